"""The report of a run: everybody accounted for, and an exit status that tells the truth."""

import json
from collections.abc import Mapping
from datetime import datetime
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartia_jobs.errors import ExitStatus
from smartia_jobs.report import Outcome, Reason, Report, Result

NOW = datetime.fromisoformat("2026-11-23T09:00:00-03:00")

#: The keys of a report, in their order.
KEYS = [
    "job",
    "run_id",
    "dry_run",
    "now",
    "timezone",
    "window",
    "due",
    "sent",
    "failed",
    "retry",
    "unknown",
    "would_send",
    "left",
    "skipped",
    "missed",
    "messages",
    "held_unknown",
    "interactions_missing",
    "unreadable_dates",
    "stopped",
    "duration_s",
    "exit_code",
]

outcomes = st.builds(
    Outcome,
    appointment_id=st.integers(1, 99),
    result=st.sampled_from(Result),
    reason=st.sampled_from(Reason),
    messages=st.integers(0, 1),
)


def report(*, dry_run: bool = False, strict: bool = False) -> Report:
    return Report("24h", "run-1", NOW, "America/Sao_Paulo", dry_run=dry_run, strict=strict)


def with_counts(
    counts: Mapping[str, int], *, strict: bool = False, dry_run: bool = False
) -> Report:
    made = report(strict=strict, dry_run=dry_run)
    for result, number in counts.items():
        for place in range(number):
            made.add(Outcome(place, Result(result), Reason.ALREADY_SENT))
    return made


# -- the sum ------------------------------------------------------------------------------------


@given(st.lists(outcomes), st.booleans())
def test_due_is_always_the_sum_of_what_became_of_everybody(
    added: list[Outcome], dry_run: bool
) -> None:
    made = report(dry_run=dry_run)

    for outcome in added:
        made.add(outcome)

    body = made.as_json()
    parts = ("sent", "failed", "retry", "unknown", "would_send", "left")
    assert body["due"] == sum(body[part] for part in parts) + sum(body["skipped"].values())
    assert body["due"] == len(added)
    assert body["messages"] == sum(outcome.messages for outcome in added)


def test_a_group_is_one_message_and_several_visits() -> None:
    made = report()

    made.add(Outcome(1, Result.SENT, messages=1))
    made.add(Outcome(2, Result.SENT))

    assert (made.due, made.messages, made.as_json()["sent"]) == (2, 1, 2)


def test_skips_are_counted_by_their_reason() -> None:
    made = report()

    for reason in (Reason.QUIET_HOURS, Reason.ALREADY_SENT, Reason.QUIET_HOURS):
        made.add(Outcome(1, Result.SKIPPED, reason))

    assert list(made.as_json()["skipped"].items()) == [("already_sent", 1), ("quiet_hours", 2)]


# -- JSON ---------------------------------------------------------------------------------------


def test_the_json_object_has_the_promised_keys_and_no_others() -> None:
    body = report().as_json()

    assert list(body) == KEYS
    assert json.loads(json.dumps(body)) == body


def test_a_job_adds_its_own_figures_before_the_end() -> None:
    made = report()
    made.extra = {"marked": 3, "left_open": 1}

    body = made.as_json()

    assert list(body) == [*KEYS[:-3], "marked", "left_open", *KEYS[-3:]]


def test_an_empty_run_says_so_in_plain_values() -> None:
    made = report()
    made.duration_s = 1.23456

    assert made.as_json() == {
        "job": "24h",
        "run_id": "run-1",
        "dry_run": False,
        "now": "2026-11-23T09:00:00-03:00",
        "timezone": "America/Sao_Paulo",
        "window": None,
        **dict.fromkeys(KEYS[6:13], 0),
        "skipped": {},
        **dict.fromkeys(KEYS[14:19], 0),
        "stopped": None,
        "duration_s": 1.235,
        "exit_code": 0,
    }


def test_a_dry_run_shows_each_decision_in_the_order_of_the_visits() -> None:
    made = report(dry_run=True)
    start = datetime.fromisoformat("2026-11-24T14:30")

    made.add(Outcome(7, Result.WOULD_SEND, start=start, phone="+55 11 9****-4321"))
    made.add(Outcome(3, Result.SKIPPED, Reason.UNREADABLE_DATE))

    body = made.as_json()
    assert list(body) == [*KEYS, "decisions"]
    assert json.loads(json.dumps(body["decisions"])) == [
        {
            "appointment_id": 7,
            "start": "2026-11-24T14:30:00",
            "decision": "would_send",
            "reason": None,
            "phone": "+55 11 9****-4321",
            "together_with": None,
        },
        {
            "appointment_id": 3,
            "start": None,
            "decision": "skipped",
            "reason": "unreadable_date",
            "phone": None,
            "together_with": None,
        },
    ]


def test_a_real_run_keeps_nobody_by_name() -> None:
    made = report()

    made.add(Outcome(7, Result.SENT, phone="+55 11 9****-4321"))

    assert made.decisions == []


# -- exit status --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        ({}, 0),
        ({"sent": 500}, 0),
        ({"left": 500}, 0),
        ({"skipped": 500}, 0),
        ({"failed": 1}, 0),
        ({"failed": 4}, 0),  # four tried: too few to tell
        ({"unknown": 4}, 0),
        ({"failed": 5}, 65),
        ({"unknown": 5}, 65),
        ({"failed": 2, "unknown": 1, "sent": 2}, 65),
        ({"failed": 2, "sent": 3}, 0),
        ({"failed": 3, "sent": 3}, 65),  # exactly half
        ({"failed": 3, "sent": 4}, 0),
        ({"failed": 19, "sent": 1}, 65),
        ({"failed": 4, "left": 96, "skipped": 96}, 0),  # those were not tried
        ({"retry": 1}, 75),
        ({"retry": 1, "sent": 500}, 75),
        ({"retry": 1, "failed": 500}, 75),
    ],
)
def test_the_counts_imply_a_status(counts: dict[str, int], status: int) -> None:
    assert with_counts(counts).exit_status == status


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        ({"sent": 500}, 0),
        ({"failed": 1, "sent": 500}, 65),
        ({"unknown": 1, "sent": 500}, 65),
        ({"retry": 1, "failed": 1}, 75),
        ({"skipped": 1, "left": 1}, 0),
    ],
)
def test_a_strict_run_wants_everybody_reached(counts: dict[str, int], status: int) -> None:
    assert with_counts(counts, strict=True).exit_status == status


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("counts", [{"failed": 20}, {"unknown": 20}, {"retry": 20}])
def test_what_a_dry_run_foresees_is_no_failure_of_its_own(
    counts: dict[str, int], strict: bool
) -> None:
    assert with_counts(counts, strict=strict, dry_run=True).exit_status == 0


def test_a_dry_run_that_could_not_be_made_says_so() -> None:
    made = report(dry_run=True)

    made.stop("the brake held", ExitStatus.CONFIGURATION)

    assert made.exit_status == 78


#: Design §9: where several apply.
STRONGEST_FIRST = (1, 130, 143, 77, 78, 69, 75, 65)


@pytest.mark.parametrize(("stronger", "weaker"), list(combinations(STRONGEST_FIRST, 2)))
def test_where_two_statuses_apply_the_stronger_one_is_told(stronger: int, weaker: int) -> None:
    made = report()

    made.stop("first", ExitStatus(weaker))
    made.stop("second", ExitStatus(stronger))

    assert made.exit_status == stronger
    assert made.stopped == "first"


@pytest.mark.parametrize("stop", STRONGEST_FIRST[:6])
def test_why_a_run_ended_outranks_what_the_counts_imply(stop: int) -> None:
    made = with_counts({"failed": 20, "retry": 1})

    made.stop("stopped", ExitStatus(stop))

    assert made.exit_status == stop
    assert made.as_json()["exit_code"] == stop
