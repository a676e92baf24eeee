"""What a fleet's end says: to the scheduler by its status, to a person by a sentence a clinic."""

import itertools
import json
import signal
from datetime import timedelta
from typing import Any

import pytest

from smartia_jobs.errors import ExitStatus
from smartia_jobs.fleet.choice import Shard
from smartia_jobs.fleet.processes import Ended
from smartia_jobs.fleet.report import FleetReport, end_of

LIMIT = timedelta(minutes=10)
WORTH_REPEATING = {69, 75}


def ended(name: str, exit_code: int, body: Any = None, *, over_limit: bool = False) -> Ended:
    output = body if isinstance(body, str) else json.dumps(body or {"exit_code": exit_code})
    return Ended(name, exit_code, output, 1.0, over_limit)


def report(*exit_codes: int) -> FleetReport:
    ends = [
        end_of(ended(f"c{number}", exit_code), time_limit=LIMIT)
        for number, exit_code in enumerate(exit_codes)
    ]
    return FleetReport("24h", False, Shard(), (), (), ends)


@pytest.mark.parametrize(
    ("exit_codes", "status"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 65], 65),
        ([0, 78, 65], 78),
        ([77, 78], 77),
        ([1, 77], 1),
        ([1, 75], 75),
        ([77, 0, 75], 75),
        ([78, 69, 75], 69),
        ([2, 0], 2),
        ([-9, 0], 75),
        ([143, 78], 75),
        ([3], 1),
    ],
)
def test_the_status_asks_for_a_repetition_if_that_helps_any_clinic(
    exit_codes: list[int], status: int
) -> None:
    assert report(*exit_codes).exit_status == status


def test_the_status_is_zero_only_when_every_clinic_s_is() -> None:
    every = [*(int(status) for status in ExitStatus), -9, -15, 3]

    for codes in itertools.combinations_with_replacement(every, 3):
        status = report(*codes).exit_status
        assert (status == 0) == (set(codes) == {0})
        helped = any(code in WORTH_REPEATING or code < 0 or code in (130, 143) for code in codes)
        assert (status in WORTH_REPEATING) == helped


def test_a_fleet_that_was_told_to_end_says_so() -> None:
    told = report(0, 75, 143)
    told.stopped = ExitStatus.TERMINATED

    assert told.exit_status == 143


@pytest.mark.parametrize(
    ("one", "advice"),
    [
        (ended("c", 78, {"error": "CLINIC_TIMEZONE is no zone."}), "CLINIC_TIMEZONE is no zone"),
        (ended("c", 77, {"stopped": "the token is dead; make a new one"}), "make a new one"),
        (ended("c", 143, over_limit=True), "longer than 600 s"),
        (ended("c", -9, over_limit=True), "longer than 600 s"),
        (ended("c", 77, {"error": "a new token"}, over_limit=True), "a new token"),
        (ended("c", -9, ""), "SIGKILL"),
        (ended("c", -signal.SIGSEGV, ""), "SIGSEGV"),
        (ended("c", -70, ""), "signal 70"),
        (ended("c", 143), "told to end"),
        (ended("c", 1, ""), "report it"),
        (ended("c", 65), "outbox --state failed"),
        (ended("c", 69), "running again helps"),
        (ended("c", 75), "running again sends"),
        (ended("c", 0), ""),
        (
            ended("c", 78, {"findings": [{"name": "a", "level": "ok", "text": "fine"},
                                         {"name": "token", "level": "problem", "text": "dead"}]}),
            "token: dead",
        ),
    ],
)  # fmt: skip
def test_each_clinic_that_failed_has_a_sentence_that_says_what_to_do(
    one: Ended, advice: str
) -> None:
    said = end_of(one, time_limit=LIMIT).advice

    assert advice in said
    assert bool(said) == (one.exit_code != 0)


def test_who_was_done_before_it_was_told_to_end_has_its_own_status() -> None:
    statuses = [
        end_of(ended("c", code, over_limit=True), time_limit=LIMIT).exit_status
        for code in (0, 1, 77, 143, -9)
    ]

    assert statuses == [0, 1, 77, 75, 75]


def test_the_worst_comes_first() -> None:
    order = [end.name for end in report(0, 75, 65, 1, 78, 77, 2, 0).worst_first]

    assert order == ["c3", "c5", "c6", "c4", "c1", "c2", "c0", "c7"]


def test_counts_add_up_over_all_clinics_and_no_list_of_visits_is_kept() -> None:
    bodies = [
        {"job": "24h", "sent": 3, "due": 4, "skipped": {"opted_out": 1}, "decisions": [{"x": 1}]},
        {"job": "24h", "sent": 2, "due": 2, "skipped": {}, "exit_code": 0, "dry_run": False},
    ]
    ends = [end_of(ended(f"c{n}", 0, body), time_limit=LIMIT) for n, body in enumerate(bodies)]

    shown = FleetReport("24h", False, Shard(), (), (), ends).as_json()

    assert shown["totals"] == {"sent": 5, "due": 6, "opted_out": 1}
    assert shown["clinics"]["c0"] == {
        "sent": 3,
        "due": 4,
        "skipped": {"opted_out": 1},
        "duration_s": 1.0,
        "advice": None,
        "exit_code": 0,
    }


@pytest.mark.parametrize(
    ("body", "counts"),
    [
        ({"calls": [{"phone": "a"}, {"phone": "b"}]}, {"calls": 2}),
        ({"calls": []}, {}),
        (
            {"appointments": {"total": 7, "no_show": 2, "cancelled": 0}, "no_show_rate": 0.5},
            {"total": 7, "no_show": 2},
        ),
        (
            {"findings": [{"level": "ok"}, {"level": "warning"}, {"level": "warning"}]},
            {"warnings": 2},
        ),
    ],
)
def test_what_other_jobs_found_is_counted_too(body: Any, counts: dict[str, int]) -> None:
    assert end_of(ended("c", 0, body), time_limit=LIMIT).counts == counts


@pytest.mark.parametrize("output", ["", "[1]", '{"a', "tables: created\nindex: built\n"])
def test_what_is_no_json_object_is_kept_as_lines(output: str) -> None:
    end = end_of(ended("c", 0, output), time_limit=LIMIT)

    assert end.figures == ({"said": output.splitlines()} if output else {})


def test_an_object_behind_lines_is_found_whatever_letters_it_has() -> None:
    end = end_of(ended("c", 69, 'tables: created\n{"error": "no\u2028answer"}\n'), time_limit=LIMIT)

    assert end.figures == {"error": "no\u2028answer", "said": ["tables: created"]}
    assert end.advice == "no answer"
