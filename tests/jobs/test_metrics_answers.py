"""What patients answered, and what came of the visits they answered about, counted by hand."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from smartia_jobs.clinic.told import AnswerCounts
from smartia_jobs.jobs.metrics import Metrics, Note
from smartia_jobs.outbox.admin import purge
from smartia_jobs.store.answered import Answered
from tests.jobs.metrics_desk import ASKS, ASKS_NOT, Desk, local, measure, opened, wall
from tests.support import Clinic

NOW = local(2026, 3, 31, 15)
VISIT = wall(2026, 3, 20, 10)
SENT_AT = local(2026, 3, 19, 9)
SAID_AT = local(2026, 3, 19, 9, 30)
LONG_AGO = local(2026, 1, 1)


@pytest.fixture
def desk(clinic: Clinic) -> Desk:
    """A clinic whose messages and answers are known since before both periods."""
    desk = Desk(clinic)
    first = desk.add(appointment_id=0, created_at=LONG_AGO, start=wall(2026, 1, 2))
    desk.add_answer(first, "courtesy", "courtesy", said_at=LONG_AGO)
    return desk


def tell(desk: Desk, status: str | None = "COMPLETED", **values: Any) -> int:
    """Add a visit of its own and a message of the day before that asks about it."""
    start = values.get("start", VISIT)
    visit = values.pop("appointment_id", None) or desk.clinic.add_appointment(
        desk.clinic.add_patient(), start, status, created_at=local(2026, 3, 1, 12)
    )
    row = {"appointment_id": visit, "start": VISIT, "template": ASKS, "created_at": SENT_AT}
    return desk.add(**{**row, **values})


def answer(
    desk: Desk, row: int, meaning: str = "confirm", effect: str = "confirmed", **values: Any
) -> int:
    """Add an answer to a message, half an hour after it was sent."""
    return desk.add_answer(row, meaning, effect, **{"said_at": SAID_AT, **values})


def by_answer(metrics: Metrics) -> dict[str, int]:
    """Return how many visits had which answer, those that any had."""
    return {str(said): counts.total for said, counts in metrics.answered.items() if counts.total}


@pytest.mark.parametrize(
    ("meaning", "effect", "held", "answered"),
    [
        ("confirm", "confirmed", False, "confirmed"),
        ("confirm", "repeated", False, "confirmed"),
        ("confirm", "listed", True, "unclear"),  # what was cancelled before, or is not as told
        ("cancel", "cancelled", True, "cannot_come"),
        ("cancel", "listed", True, "cannot_come"),  # in words
        ("cancel", "repeated", False, "cannot_come"),
        ("cancel", "listed", False, "unclear"),  # nobody can tell which visit
        ("move", "listed", True, "another_time"),
        ("move", "listed", False, "unclear"),
        ("unclear", "listed", True, "unclear"),
        ("courtesy", "courtesy", False, "other"),
        ("stop", "opted_out", False, "other"),
        ("not_me", "listed", True, "other"),
    ],
)
def test_an_answer_is_counted_as_what_it_surely_says(
    clinic: Clinic, desk: Desk, meaning: str, effect: str, held: bool, answered: str
) -> None:
    answer(desk, tell(desk), meaning, effect, held=held)

    metrics = measure(clinic, NOW)

    told = {"asked": 1, "median_wait": timedelta(minutes=30), answered: 1}
    assert metrics.answers == {"24h": AnswerCounts(**told)}  # type: ignore[arg-type]
    assert by_answer(metrics) == {answered: 1}


@pytest.mark.parametrize("effect", ["undone", "ignored"])
def test_what_was_taken_back_or_is_about_nothing_of_ours_counts_for_nothing(
    clinic: Clinic, desk: Desk, effect: str
) -> None:
    answer(desk, tell(desk), "cancel", effect, held=True)

    metrics = measure(clinic, NOW)

    assert metrics.answers == {"24h": AnswerCounts(asked=1, none=1)}
    assert by_answer(metrics) == {"none": 1}


def test_every_message_that_asked_is_in_one_count(clinic: Clinic, desk: Desk) -> None:
    for meaning, effect in (
        ("confirm", "confirmed"),
        ("cancel", "cancelled"),
        ("stop", "opted_out"),
    ):
        answer(desk, tell(desk), meaning, effect)
    tell(desk)
    ahead = local(2026, 3, 31, 9)
    tell(desk, "SCHEDULED", start=wall(2026, 4, 1, 9), created_at=ahead)
    tell(desk, "SCHEDULED", start=wall(2026, 3, 31, 15), created_at=ahead)  # begins now
    tell(desk, template=ASKS_NOT)
    tell(desk, state="failed")
    tell(desk, state="unknown")
    tell(desk, created_at=local(2026, 2, 28, 23, 59))
    leader = tell(desk, kind="72h")
    tell(desk, kind="72h", leader_id=leader)

    metrics = measure(clinic, NOW)

    wait = timedelta(minutes=30)
    assert metrics.answers == {
        "24h": AnswerCounts(
            asked=6, confirmed=1, cannot_come=1, other=1, none=2, pending=1, median_wait=wait
        ),
        "72h": AnswerCounts(asked=1, none=1),
    }


def test_the_json_tells_the_median_in_seconds(clinic: Clinic, desk: Desk) -> None:
    for minutes in (1, 4, 60, 61):
        answer(desk, tell(desk), said_at=SENT_AT + timedelta(minutes=minutes))
    tell(desk, kind="72h")

    answers = measure(clinic, NOW).as_json()["answers"]

    assert answers["24h"] == {
        "asked": 4, "confirmed": 4, "cannot_come": 0, "another_time": 0, "unclear": 0, "other": 0,
        "none": 0, "pending": 0, "median_wait_s": 32 * 60,
    }  # fmt: skip
    assert answers["72h"]["median_wait_s"] is None


def test_the_wait_ends_with_the_first_answer_and_is_never_negative(
    clinic: Clinic, desk: Desk
) -> None:
    row = tell(desk)
    answer(desk, row, "unclear", "listed", said_at=SENT_AT + timedelta(minutes=2))
    answer(desk, row, said_at=SENT_AT + timedelta(hours=2))
    answer(desk, tell(desk, kind="72h"), said_at=SENT_AT - timedelta(seconds=2))  # Meta's clock

    answers = measure(clinic, NOW).answers

    assert answers is not None
    assert answers["24h"].median_wait == timedelta(minutes=2)
    assert answers["72h"].median_wait == timedelta(0)


def test_the_last_decision_counts_whatever_was_said_beside_it(clinic: Clinic, desk: Desk) -> None:
    later = SAID_AT + timedelta(hours=1)
    changed_their_mind = tell(desk)
    answer(desk, changed_their_mind, "cancel", "cancelled", said_at=later)
    answer(desk, changed_their_mind)
    thanked_later = tell(desk)
    answer(desk, thanked_later)
    answer(desk, thanked_later, "courtesy", "courtesy", said_at=later)
    asked_first = tell(desk)
    answer(desk, asked_first, "unclear", "listed")
    answer(desk, asked_first, "courtesy", "courtesy", said_at=later)

    metrics = measure(clinic, NOW)

    assert by_answer(metrics) == {"confirmed": 1, "cannot_come": 1, "unclear": 1}


def test_what_was_said_when_the_visit_had_begun_is_no_answer_to_it(
    clinic: Clinic, desk: Desk
) -> None:
    begins = local(2026, 3, 20, 10)
    in_time, too_late = tell(desk), tell(desk)
    answer(desk, in_time, said_at=begins - timedelta(seconds=1))
    answer(desk, in_time, "cancel", "listed", said_at=begins, held=True)
    answer(desk, too_late, "cancel", "listed", said_at=begins, held=True)

    metrics = measure(clinic, NOW)

    assert by_answer(metrics) == {"confirmed": 1, "none": 1}


def test_an_answer_is_given_when_it_came_where_its_clock_is_ahead(
    clinic: Clinic, desk: Desk
) -> None:
    answer(desk, tell(desk), said_at=local(2026, 3, 21), received_at=SAID_AT)

    metrics = measure(clinic, NOW)

    assert by_answer(metrics) == {"confirmed": 1}


def test_one_answer_is_about_all_visits_of_its_message(clinic: Clinic, desk: Desk) -> None:
    afternoon = wall(2026, 3, 20, 15)
    leader = tell(desk)
    tell(desk, start=afternoon, leader_id=leader)
    answer(desk, leader)

    metrics = measure(clinic, NOW)

    assert by_answer(metrics) == {"confirmed": 2}
    assert metrics.answers == {
        "24h": AnswerCounts(asked=1, confirmed=1, median_wait=timedelta(minutes=30))
    }


def test_what_is_answered_to_a_word_back_is_about_the_visit(clinic: Clinic, desk: Desk) -> None:
    row = tell(desk, "CANCELLED")
    first = answer(desk, row)
    word = tell(
        desk, appointment_id=1, kind="words_back", template="confirmed", answer_id=first,
        created_at=SAID_AT,
    )  # fmt: skip
    answer(desk, word, "cancel", "cancelled", said_at=SAID_AT + timedelta(minutes=5))

    metrics = measure(clinic, NOW)

    assert by_answer(metrics) == {"cannot_come": 1}


def test_of_several_messages_about_a_visit_the_last_answer_counts(
    clinic: Clinic, desk: Desk
) -> None:
    earlier, later = local(2026, 3, 17, 10), local(2026, 3, 20, 8, 30)
    first = tell(desk, "CANCELLED", kind="72h", created_at=local(2026, 3, 17, 9))
    visit = desk.clinic.rows("SELECT max(id) AS id FROM appointments")[0]["id"]
    tell(desk, appointment_id=visit)
    last = tell(desk, appointment_id=visit, kind="2h", template=ASKS_NOT, created_at=later)
    answer(desk, first, said_at=earlier)
    answer(desk, last, "cancel", "listed", said_at=later, held=True)

    metrics = measure(clinic, NOW)

    assert by_answer(metrics) == {"cannot_come": 1}
    assert metrics.answers == {
        "24h": AnswerCounts(asked=1, none=1),
        "72h": AnswerCounts(asked=1, confirmed=1, median_wait=timedelta(hours=1)),
    }


def test_the_visits_of_each_answer_are_counted_by_what_became_of_them(
    clinic: Clinic, desk: Desk
) -> None:
    for status in ("COMPLETED", "COMPLETED", "NO_SHOW"):
        answer(desk, tell(desk, status))
    for status in ("CANCELLED", "CANCELLED", "NO_SHOW", "SCHEDULED"):
        answer(desk, tell(desk, status), "cancel", "cancelled", held=True)
    answer(desk, tell(desk, "CANCELLED"), "move", "listed", held=True)
    tell(desk, "NO_SHOW")
    for status in ("NO_SHOW", "CANCELLED"):
        clinic.add_appointment(clinic.add_patient(), VISIT, status)
    tell(desk, "NO_SHOW", template=ASKS_NOT)

    metrics = measure(clinic, NOW)

    told = metrics.as_json()["by_answer"]
    assert list(told) == [str(one) for one in Answered]
    assert told["confirmed"] == {
        "total": 3, "scheduled": 0, "confirmed": 0, "completed": 2, "cancelled": 0, "no_show": 1,
        "unset": 0, "no_show_rate_of_attended_or_missed": 1 / 3,
    }  # fmt: skip
    assert told["another_time"]["no_show_rate_of_attended_or_missed"] is None
    seen = {name: (one["total"], one["no_show"], one["cancelled"]) for name, one in told.items()}
    assert seen == {
        "confirmed": (3, 1, 0),
        "cannot_come": (4, 1, 2),
        "another_time": (1, 0, 1),
        "unclear": (0, 0, 0),
        "other": (0, 0, 0),
        "none": (1, 1, 0),
        "not_asked": (3, 2, 1),
    }
    assert metrics.as_json()["cancelled_in_advance"] == 3
    assert metrics.answered_by_day[Answered.CONFIRMED][date(2026, 3, 20)].total == 3


def test_cancellations_in_advance_are_those_of_both_periods(clinic: Clinic, desk: Desk) -> None:
    start, sent_at = wall(2026, 2, 20, 10), local(2026, 2, 19, 9)
    for status in ("CANCELLED", "NO_SHOW"):
        row = tell(desk, status, start=start, created_at=sent_at)
        answer(desk, row, "cancel", "cancelled", said_at=sent_at)
    clinic.add_appointment(clinic.add_patient(), start, "CANCELLED")  # by phone: nobody knows when

    metrics = measure(clinic, NOW)

    assert metrics.figures.cancelled_in_advance == 0
    assert metrics.previous.cancelled_in_advance == 1


def test_a_visit_that_was_moved_is_not_the_one_that_was_answered_about(
    clinic: Clinic, desk: Desk
) -> None:
    row = tell(desk, start=VISIT + timedelta(days=2))
    clinic.execute("UPDATE smartia_outbox SET start = :told WHERE id = :id", told=VISIT, id=row)
    answer(desk, row, "move", "listed", held=True)

    metrics = measure(clinic, NOW)

    assert by_answer(metrics) == {"not_asked": 1}
    assert metrics.answers is not None
    assert metrics.answers["24h"].another_time == 1


def test_a_visit_moved_away_and_back_keeps_its_answers(clinic: Clinic, desk: Desk) -> None:
    tell(desk, turn=1)
    visit = desk.clinic.rows("SELECT max(id) AS id FROM appointments")[0]["id"]
    again = tell(desk, appointment_id=visit, turn=2)
    answer(desk, again)

    metrics = measure(clinic, NOW)

    assert by_answer(metrics) == {"confirmed": 1}


@pytest.mark.parametrize(
    ("values", "counted"),
    [
        ({"state": "unknown"}, {}),  # it may not have arrived
        ({"template": "of_another_catalogue"}, {}),
        ({"template": None}, {}),
        ({"created_at": local(2026, 3, 17, 23, 59)}, {}),  # nobody heard then
        ({"created_at": local(2026, 3, 18)}, {"none": 1}),
    ],
)
def test_a_visit_of_which_nobody_knows_whether_it_was_asked_is_in_no_count(
    clinic: Clinic, values: dict[str, Any], counted: dict[str, int]
) -> None:
    desk = Desk(clinic)
    first = desk.add(appointment_id=0, created_at=LONG_AGO, start=wall(2026, 1, 2))
    desk.add_answer(first, "courtesy", "courtesy", said_at=local(2026, 3, 18, 14))
    tell(desk, **values)
    # Before anybody heard:
    clinic.add_appointment(clinic.add_patient(), wall(2026, 3, 17, 23, 59), "NO_SHOW")

    metrics = measure(clinic, NOW)

    assert by_answer(metrics) == counted


def test_an_answer_tells_that_its_message_asked_and_arrived(clinic: Clinic, desk: Desk) -> None:
    answer(desk, tell(desk, template="of_another_catalogue"))

    metrics = measure(clinic, NOW)

    assert by_answer(metrics) == {"confirmed": 1}
    assert metrics.answers == {}  # whether messages by this template ask, nobody knows


def test_without_any_answer_nothing_is_known_of_answers(clinic: Clinic) -> None:
    desk = Desk(clinic)
    tell(desk)
    desk.add_answer(
        None, None, None, said_at=SAID_AT, type="user_preferences", payload="stop"
    )  # comes another way

    metrics = measure(clinic, NOW)

    told = metrics.as_json()
    names = ("answers", "answer_effects", "by_answer", "cancelled_in_advance", "answers_since")
    assert [told[name] for name in names] == [None] * 5
    assert told["previous"]["cancelled_in_advance"] is None
    assert {one["reminded"] for one in told["effect"]} == {
        "none", "one", "two_or_more", "confirmed", "unknown"
    }  # fmt: skip
    assert Note.NO_ANSWER_HEARD in metrics.notes
    assert metrics.answers_waiting == 0


@pytest.mark.parametrize("state", ["sent", "read", "unknown", "retry"])
def test_answers_are_known_before_the_first_visit_told_of_has_begun(
    clinic: Clinic, state: str
) -> None:
    desk, ahead = Desk(clinic), {"start": wall(2026, 4, 1, 9), "created_at": local(2026, 3, 31, 9)}
    clinic.add_appointment(clinic.add_patient(), VISIT, "CANCELLED")
    for meaning, effect in (("confirm", "confirmed"), ("cancel", "cancelled"), ("stop", "listed")):
        row = tell(desk, "SCHEDULED", state=state, **ahead)
        answer(desk, row, meaning, effect, said_at=local(2026, 3, 31, 9, 20))
    tell(desk, "SCHEDULED", state=state, **ahead)

    metrics = measure(clinic, NOW)

    told = metrics.as_json()
    accepted = state in ("sent", "read")  # of another it is not known whether it asked
    wait = timedelta(minutes=20)
    counts = AnswerCounts(4, confirmed=1, cannot_come=1, other=1, pending=1, median_wait=wait)
    assert metrics.answers == ({"24h": counts} if accepted else {})
    assert told["answer_effects"] == {"confirmed": 1, "cancelled": 1, "listed": 1}
    assert told["cancelled_in_advance"] == 0
    assert told["previous"]["cancelled_in_advance"] is None
    # Of no visit that has begun is it known what it had.
    assert (told["by_answer"], told["effect"]) == (None, [])


def test_a_visit_cancelled_in_advance_counts_though_no_message_is_sure_to_have_arrived(
    clinic: Clinic,
) -> None:
    desk = Desk(clinic)
    answer(desk, tell(desk, "CANCELLED", state="unknown"), "cancel", "cancelled", held=True)

    metrics = measure(clinic, NOW)

    assert metrics.figures.cancelled_in_advance == 1
    assert metrics.in_advance_by_day == {VISIT.date(): 1}


def test_a_period_that_ended_before_the_first_answer_knows_nothing_of_answers(
    clinic: Clinic,
) -> None:
    desk = Desk(clinic)
    answer(desk, tell(desk))
    tell(desk, start=wall(2026, 3, 5, 10), created_at=local(2026, 3, 4, 9))

    metrics = measure(clinic, NOW, days=9, until=date(2026, 3, 10))

    assert (metrics.answers, metrics.answered) == (None, {})
    assert metrics.figures.cancelled_in_advance is None
    assert Note.ANSWERS_INCOMPLETE in metrics.notes


@pytest.mark.parametrize(
    ("first", "note"),
    [
        (local(2026, 3, 10), Note.ANSWERS_INCOMPLETE),
        (local(2026, 2, 10), Note.PREVIOUS_ANSWERS_INCOMPLETE),
        (LONG_AGO, None),
    ],
)
def test_answers_that_are_known_late_are_said(
    clinic: Clinic, first: datetime, note: Note | None
) -> None:
    desk = Desk(clinic)
    row = desk.add(appointment_id=0, created_at=LONG_AGO, start=wall(2026, 1, 2))
    desk.add_answer(row, "courtesy", "courtesy", said_at=first)

    metrics = measure(clinic, NOW)

    late = {Note.ANSWERS_INCOMPLETE, Note.PREVIOUS_ANSWERS_INCOMPLETE, Note.NO_ANSWER_HEARD}
    assert late & set(metrics.notes) == ({note} if note else set())
    assert metrics.answers_since == first


def test_messages_and_answers_that_began_on_one_day_are_complete(clinic: Clinic) -> None:
    desk = Desk(clinic)
    answer(desk, tell(desk))

    metrics = measure(clinic, NOW)

    assert metrics.answers is not None
    assert metrics.answers["24h"].asked == 1
    assert not {Note.ANSWERS_INCOMPLETE, Note.NO_ANSWER_HEARD} & set(metrics.notes)
    assert Note.MESSAGES_INCOMPLETE in metrics.notes


def test_what_a_purge_leaves_does_not_tell_since_when_answers_are_known(clinic: Clinic) -> None:
    desk = Desk(clinic)
    row = tell(desk)
    answer(desk, row, "not_me", "listed", said_at=local(2026, 1, 5))
    answer(desk, row, "courtesy", "courtesy", said_at=local(2026, 1, 6))
    answer(desk, row)
    with opened(clinic) as database:
        sum(purge(database, before_wall=wall(2026, 3, 1), before_at=local(2026, 3, 1)))

    metrics = measure(clinic, NOW)

    assert metrics.answers_since == SAID_AT


def test_what_was_done_about_the_answers_of_the_period_is_counted(
    clinic: Clinic, desk: Desk
) -> None:
    row = tell(desk)
    just_before = timedelta(microseconds=1)
    for effect, received_at in (
        ("confirmed", local(2026, 3, 1)),
        ("confirmed", NOW - just_before),
        ("listed", SAID_AT),
        ("ignored", SAID_AT),
        ("cancelled", local(2026, 3, 1) - just_before),
        ("cancelled", NOW),
    ):
        answer(desk, row, "confirm", effect, said_at=received_at)

    metrics = measure(clinic, NOW)

    assert metrics.as_json()["answer_effects"] == {"confirmed": 2, "listed": 1}


def test_answers_that_nobody_has_read_are_said(clinic: Clinic, desk: Desk) -> None:
    for _ in range(2):
        desk.add_answer(None, None, None, said_at=SAID_AT)

    metrics = measure(clinic, NOW)

    assert metrics.answers_waiting == 2
    assert Note.ANSWERS_WAITING in metrics.notes


def test_what_is_to_be_known_of_answers_is_said_also_where_no_message_is_on_record(
    clinic: Clinic,
) -> None:
    desk = Desk(clinic)
    desk.add_answer(None, None, None, said_at=SAID_AT)

    metrics = measure(clinic, NOW)

    assert metrics.notes == (
        Note.NO_MESSAGES_RECORDED, Note.ANSWERS_INCOMPLETE, Note.ANSWERS_WAITING
    )  # fmt: skip
