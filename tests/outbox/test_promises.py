"""What a run keeps under pressure: no late message, no second one, no sum that is short."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from datetime import time as wall_time
from typing import Any

import pytest
from sqlalchemy import Connection

from smartia_jobs.appointment import PersonDay
from smartia_jobs.clock import Clock
from smartia_jobs.errors import ExitStatus
from smartia_jobs.message import Answer, Verdict
from smartia_jobs.outbox.recorder import GATE_AFTER_S
from smartia_jobs.outbox.source import Source
from smartia_jobs.outbox.workers import OLDEST_CLAIM_S
from smartia_jobs.report import Reason, Report, Result
from smartia_jobs.run import Run, Stop
from smartia_jobs.settings import QuietHours
from tests.outbox.desk import Desk
from tests.outbox.faulty_desk import Fault, FaultyDesk
from tests.outbox.test_recorder import once
from tests.support import Clinic
from tests.support.fake_sender import (
    ACCEPTED,
    BUSY,
    LOST,
    REFUSED,
    FakeSender,
    FreeRate,
    always,
    in_turn,
)

EXPIRED_TOKEN = Answer(Verdict.STOP, "the token expired", code=190, stop=ExitStatus.REFUSED)
BAD_REQUEST = Answer(Verdict.BAD_REQUEST, "a parameter is missing", code=131008)
OTHER_BAD_REQUEST = Answer(Verdict.BAD_REQUEST, "a parameter is too long", code=131009)
TOO_FAST = Answer(Verdict.SLOW_DOWN, "too many messages a second", code=130429)

#: A slot at which a claim is not yet too old, and a pause or an outage that is not over then.
LATE_SLOT_S = OLDEST_CLAIM_S * 0.75
BEYOND_IT_S = OLDEST_CLAIM_S * 1.2


@dataclass
class TimedDesk(FaultyDesk):
    """A desk that lets a test read the clock of the run under way."""

    clock: Clock = field(init=False)

    @contextmanager
    def opened(
        self, *, limit: int | None = None, stop: Stop | None = None, dry_run: bool = False
    ) -> Iterator[Run]:
        """Open the database for one run, and remember its clock."""
        with super().opened(limit=limit, stop=stop, dry_run=dry_run) as run:
            self.clock = run.clock
            yield run


class SetPace(FreeRate):
    """Slots that lie as far ahead as a test says; a slow-down holds everyone for a while."""

    def __init__(self, desk: TimedDesk, *ahead_s: float, pause_s: float = 1.0) -> None:
        """Give the first slots so far ahead, and those after them at once."""
        super().__init__()
        self._desk = desk
        self._ahead_s = list(ahead_s)
        self._pause_s = pause_s
        self._paused_until_s = 0.0
        self.reserved_s = 0.0

    def slot(self) -> float:
        """Reserve the next start, and note when that was."""
        self.reserved_s = self._desk.clock.monotonic()
        return self.reserved_s + (self._ahead_s.pop(0) if self._ahead_s else 0.0)

    def room(self, horizon_s: float) -> int:
        """Any number, but none during a pause."""
        return 0 if self.pause_left() else 1000

    def slow_down(self, started_at: float, wait_s: float | None = None) -> float:
        """Void every slot that was reserved."""
        self.epoch += 1
        self._paused_until_s = self._desk.clock.monotonic() + self._pause_s
        return self._pause_s

    def pause_left(self) -> float:
        """Return for how many seconds everyone still waits."""
        return max(self._paused_until_s - self._desk.clock.monotonic(), 0.0)


@pytest.fixture
def desk(sqlite_clinic: Clinic) -> Desk:
    """One message at a time, so that answers meet visits in their order."""
    return Desk(sqlite_clinic, workers=1)


def counts(report: Report) -> dict[str, int]:
    return {str(result): number for result, number in report.results.items() if number}


def texts(sender: FakeSender) -> list[str]:
    return [one.text for one in sender.posted]


# -- when no request may start ------------------------------------------------------------------


def test_nothing_more_is_posted_while_an_outcome_waits_long_for_the_database(
    sqlite_clinic: Clinic,
) -> None:
    away_until_s = 0.0
    posted_meanwhile: list[str] = []

    def away() -> bool:
        return desk.clock.monotonic() < away_until_s

    def take_the_database_away(phone: str) -> None:
        nonlocal away_until_s
        if away():
            posted_meanwhile.append(phone)
        if len(sender.posted) == 2:
            away_until_s = desk.clock.monotonic() + BEYOND_IT_S

    desk = TimedDesk(
        sqlite_clinic, speed=10.0, faults=lambda _, __: Fault.BEFORE if away() else None
    )
    for n in range(4):
        desk.book(hours=20 + n / 10)
    sender = FakeSender(before_send=take_the_database_away)
    # The second goes at once; the slots of those claimed with it come while its outcome waits.
    sender.rate = SetPace(desk, 0.0, 0.0, LATE_SLOT_S, LATE_SLOT_S)

    report = desk.run(sender)

    assert GATE_AFTER_S < LATE_SLOT_S
    assert posted_meanwhile == []
    assert counts(report) == {"sent": 4}
    assert len(sender.posted) == 4


def test_no_request_starts_on_an_old_claim(sqlite_clinic: Clinic) -> None:
    ages_s: list[float] = []
    desk = TimedDesk(sqlite_clinic, workers=1, speed=25.0)
    for n in range(3):
        desk.book(hours=20 + n / 10)
    sender = FakeSender(
        before_send=lambda _: ages_s.append(desk.clock.monotonic() - pace.reserved_s)
    )
    sender.rate = pace = SetPace(desk, 0.0, OLDEST_CLAIM_S + 10)

    report = desk.run(sender)

    assert max(ages_s) <= OLDEST_CLAIM_S
    assert counts(report) == {"sent": 3}
    assert len(sender.posted) == 3


def test_a_claim_from_before_a_slow_down_is_given_back_and_sent_after_it(
    sqlite_clinic: Clinic,
) -> None:
    during_the_pause: list[str] = []

    def watch(phone: str) -> None:
        if pace.pause_left():
            during_the_pause.append(phone)

    desk = TimedDesk(sqlite_clinic, workers=2, speed=12.0)
    for n in range(3):
        desk.book(hours=20 + n / 10)
    sender = FakeSender(in_turn(ACCEPTED, TOO_FAST, ACCEPTED), before_send=watch)
    # Of the two claimed together, one is throttled at once; the other's slot is in the pause.
    sender.rate = pace = SetPace(desk, 0.0, LATE_SLOT_S, 0.0, pause_s=BEYOND_IT_S)

    report = desk.run(sender)

    assert pace.epoch == 1
    assert during_the_pause == []
    assert counts(report) == {"sent": 3}
    assert len(sender.posted) == 4


def test_a_message_about_two_visits_leaves_while_the_earlier_can_be_told(
    sqlite_clinic: Clinic,
) -> None:
    desk = Desk(sqlite_clinic)

    class LosingTime(FreeRate):
        """After the first claim, it is six hours before the earlier visit."""

        def slot(self) -> float:
            desk.late = timedelta(hours=18)
            return super().slot()

    patient = desk.clinic.add_patient("Ana")
    desk.book(hours=24, patient_id=patient)
    desk.book(hours=30, patient_id=patient)
    sender = FakeSender()
    sender.rate = LosingTime()

    report = desk.run(sender)

    assert texts(sender) == ["15:00"]
    assert report.skipped == {Reason.TOO_LATE: 1}
    assert report.results[Result.SENT] == 1


def test_a_claim_whose_time_passes_before_its_slot_is_not_posted(sqlite_clinic: Clinic) -> None:
    desk = Desk(sqlite_clinic)

    class LosingTime(FreeRate):
        def slot(self) -> float:
            desk.late = timedelta(hours=1)
            return super().slot()

    visit = desk.book(hours=7)
    sender = FakeSender()
    sender.rate = LosingTime()

    report = desk.run(sender)

    assert sender.posted == []
    assert report.skipped == {Reason.TOO_LATE: 1}
    assert report.missed == 1
    assert desk.states() == {visit: "expired"}


# -- one message for a person and day -----------------------------------------------------------


def test_followers_point_to_the_row_that_leads_their_message(desk: Desk) -> None:
    patient = desk.clinic.add_patient("Ana")
    visits = [desk.book(hours=hours, patient_id=patient) for hours in (24, 27, 30)]
    alone = desk.book(hours=24)

    desk.run(FakeSender())

    rows = desk.clinic.rows("SELECT id, appointment_id, leader_id FROM smartia_outbox")
    ids = {row["appointment_id"]: row["id"] for row in rows}
    leaders = {row["appointment_id"]: row["leader_id"] for row in rows}
    first, *others = visits
    assert leaders == {first: None, alone: None, **dict.fromkeys(others, ids[first])}


# -- limits and waits ---------------------------------------------------------------------------


def test_a_message_that_may_have_been_accepted_counts_against_the_limit(desk: Desk) -> None:
    for _ in range(3):
        desk.book()
    sender = FakeSender(in_turn(LOST, ACCEPTED))

    report = desk.run(sender, limit=1)

    assert len(sender.posted) == 1
    assert counts(report) == {"unknown": 1, "left": 2}


def test_a_dry_run_counts_messages_against_the_limit_as_a_run_does(desk: Desk) -> None:
    patient = desk.clinic.add_patient("Ana")
    desk.book(hours=20, patient_id=patient)
    desk.book(hours=22, patient_id=patient)
    for n in range(3):
        desk.book(hours=21 + n / 10)

    dry = desk.run(FakeSender(), dry_run=True, limit=2)

    assert counts(dry) == {"would_send": 3, "left": 2}
    assert counts(desk.run(FakeSender(), limit=2)) == {"sent": 3, "left": 2}


def test_a_long_wait_for_everyone_ends_the_run(desk: Desk) -> None:
    for _ in range(3):
        desk.book()
    sender = FakeSender(in_turn(replace(TOO_FAST, wait_s=61.0), ACCEPTED))

    report = desk.run(sender)

    assert len(sender.posted) == 1
    assert counts(report) == {"retry": 1, "left": 2}
    assert report.stopped is not None
    assert report.exit_status is ExitStatus.RETRY


def test_a_short_wait_for_everyone_does_not_end_the_run(desk: Desk) -> None:
    for _ in range(3):
        desk.book()

    report = desk.run(FakeSender(in_turn(replace(TOO_FAST, wait_s=60.0), ACCEPTED)))

    assert counts(report) == {"sent": 3}
    assert report.stopped is None


@pytest.mark.parametrize(("wait_s", "result"), [(60.0, "sent"), (60.1, "retry")])
def test_a_wait_of_more_than_a_minute_is_left_to_the_next_run(
    desk: Desk, wait_s: float, result: str
) -> None:
    desk.book()
    desk.speed = 200.0
    sender = FakeSender(in_turn(BUSY, ACCEPTED), retry_wait_s=wait_s)

    report = desk.run(sender)

    assert counts(report) == {result: 1}
    assert set(desk.states().values()) == {result}


# -- unknown ------------------------------------------------------------------------------------


@dataclass
class ForgetfulDesk(Desk):
    """A desk whose source names every visit twice, as for one moved on and back.

    Attributes:
        at_once: in one page; else all of them once more after the last page.
    """

    at_once: bool = False

    def source(self, run: Run) -> Source:
        """Return the source with its pages read twice."""
        first, second = super().source(run), super().source(run)

        def pages(connection: Connection) -> Sequence[PersonDay] | None:
            page = first.next_page(connection)
            if self.at_once:
                return page and [day for day in page for _ in range(2)]
            return second.next_page(connection) if page is None else page

        return replace(first, next_page=pages)


def test_what_this_very_run_may_have_sent_it_does_not_resend(sqlite_clinic: Clinic) -> None:
    desk = ForgetfulDesk(sqlite_clinic, workers=1)
    visit = desk.book()
    sender = FakeSender(in_turn(LOST, ACCEPTED))

    report = desk.run(sender, resend=True)

    assert len(sender.posted) == 1
    assert counts(report) == {"unknown": 1, "skipped": 1}
    assert report.skipped == {Reason.HELD_UNKNOWN: 1}
    assert desk.states() == {visit: "unknown"}


@pytest.mark.parametrize("at_once", [False, True])
def test_a_visit_listed_again_while_its_message_is_in_flight_is_sent_once(
    clinic: Clinic, at_once: bool
) -> None:
    desk = ForgetfulDesk(clinic, workers=8, at_once=at_once)
    for hours in (20, 21, 22):
        desk.book(hours=hours)
    sender = FakeSender(before_send=lambda _: time.sleep(0.3))

    report = desk.run(sender)

    assert sorted(texts(sender)) == ["05:00", "06:00", "07:00"]  # three at a time, in any order
    assert counts(report) == {"sent": 3, "skipped": 3}
    assert set(report.skipped) <= {Reason.ALREADY_SENT, Reason.BEING_SENT_ELSEWHERE}
    assert set(desk.states().values()) == {"sent"}


def test_an_outcome_that_the_database_refuses_is_not_sent_again(sqlite_clinic: Clinic) -> None:
    desk = ForgetfulDesk(sqlite_clinic, workers=1)
    desk.book()
    sender = FakeSender(before_send=once(lambda: refuse_outcomes(sqlite_clinic)))

    report = desk.run(sender)

    assert len(sender.posted) == 1
    assert report.results[Result.UNKNOWN] == 1
    assert report.exit_status is ExitStatus.UNAVAILABLE


def refuse_outcomes(clinic: Clinic) -> None:
    """Let the database take claims, and no outcome."""
    clinic.execute(
        "CREATE TRIGGER refuse BEFORE UPDATE ON smartia_outbox WHEN NEW.state = 'sent'"
        " BEGIN SELECT RAISE(ABORT, 'no'); END"
    )


# -- bugs -----------------------------------------------------------------------------------------


class BrokenRate(FreeRate):
    """Fails in the thread that asks whether the slot it waited for still counts."""

    after: int

    @property
    def epoch(self) -> int:
        """Return the one epoch there is, at first."""
        if threading.current_thread() is not threading.main_thread():
            self.after -= 1
            if self.after < 0:
                raise ZeroDivisionError
        return 0

    @epoch.setter
    def epoch(self, _: int) -> None:
        """There is but one."""


def test_a_bug_before_a_request_ends_the_run_and_the_others_are_recorded(clinic: Clinic) -> None:
    desk = Desk(clinic, workers=4)
    for _ in range(20):
        desk.book()
    sender = FakeSender()
    sender.rate = BrokenRate()
    sender.rate.after = 6

    report = desk.run(sender)

    sent = len(sender.posted)
    assert report.exit_status is ExitStatus.BUG
    assert 6 <= sent < 20
    assert counts(report) == {"sent": sent, "left": 20 - sent}
    assert Counter(desk.states().values())["sent"] == sent
    assert "claimed" not in desk.states().values()


def test_a_bug_while_sending_ends_the_run_and_leaves_one_message_unknown(clinic: Clinic) -> None:
    def answer(_: str, before: int) -> Answer:
        if before == 6:
            raise ZeroDivisionError
        return ACCEPTED

    desk = Desk(clinic, workers=4)
    for _ in range(20):
        desk.book()
    sender = FakeSender(answer)

    report = desk.run(sender)

    sent = len(sender.posted) - 1
    assert report.exit_status is ExitStatus.BUG
    assert counts(report) == {"sent": sent, "unknown": 1, "left": 19 - sent}
    states = Counter(desk.states().values())
    assert (states["sent"], states["unknown"], states["claimed"]) == (sent, 1, 0)


# -- request errors -----------------------------------------------------------------------------


def test_request_errors_at_the_end_of_a_run_are_in_its_sums(desk: Desk) -> None:
    for _ in range(3):
        desk.book()

    report = desk.run(FakeSender(in_turn(ACCEPTED, BAD_REQUEST)))

    assert counts(report) == {"sent": 1, "retry": 2}
    assert report.stopped is None
    assert Counter(desk.states().values()) == {"sent": 1, "retry": 2}


def test_two_request_errors_in_a_row_are_the_patients_own_once_others_are_taken(
    desk: Desk,
) -> None:
    unlucky = desk.book(hours=20)
    desk.book(hours=21)
    desk.run(FakeSender(in_turn(BAD_REQUEST, ACCEPTED)))
    desk.book(hours=22)

    report = desk.run(FakeSender(in_turn(BAD_REQUEST, ACCEPTED)))

    assert counts(report) == {"skipped": 1, "failed": 1, "sent": 1}
    assert desk.states()[unlucky] == "failed"
    assert counts(desk.run(FakeSender())) == {"skipped": 3}


def test_an_error_of_another_kind_between_two_request_errors_parts_them(desk: Desk) -> None:
    desk.book(hours=20)
    desk.book(hours=21)
    desk.run(FakeSender(in_turn(BAD_REQUEST, ACCEPTED)))
    desk.run(FakeSender(always(BUSY)))
    desk.book(hours=22)

    report = desk.run(FakeSender(in_turn(BAD_REQUEST, ACCEPTED)))

    assert counts(report) == {"skipped": 1, "retry": 1, "sent": 1}


def test_a_refused_patient_shows_the_request_to_be_good_as_well(desk: Desk) -> None:
    for _ in range(3):
        desk.book()
    answers = in_turn(BAD_REQUEST, REFUSED, BAD_REQUEST)

    first = desk.run(FakeSender(answers))
    desk.book()
    second = desk.run(FakeSender(answers))

    assert counts(first) == {"failed": 1, "retry": 2}
    assert counts(second)["failed"] >= 1


def test_what_one_template_shows_fails_nobody_of_another(desk: Desk) -> None:
    patients = [desk.clinic.add_patient("Ana", f"551198765432{n}") for n in range(3)]
    usual, unlucky, confirmed = (
        desk.book(hours=20 + n, patient_id=patient) for n, patient in enumerate(patients)
    )
    desk.clinic.execute("UPDATE appointments SET status = 'CONFIRMED' WHERE id = :id", id=confirmed)

    def answer(phone: str, _: int) -> Answer:
        return BAD_REQUEST if phone[-1] in "12" else ACCEPTED

    first = desk.run(FakeSender(answer))
    desk.book(hours=23, patient_id=desk.clinic.add_patient("Rui", "5511987654329"))
    second = desk.run(FakeSender(answer))

    assert desk.states()[usual] == "sent"
    assert [run.exit_status for run in (first, second)] == [ExitStatus.CONFIGURATION] * 2
    assert (desk.states()[unlucky], desk.states()[confirmed]) == ("failed", "retry")


@pytest.mark.parametrize("visits", [1, 4])
def test_a_run_of_nothing_but_request_errors_fails_nobody(desk: Desk, visits: int) -> None:
    for _ in range(visits):
        desk.book()

    report = desk.run(FakeSender(always(BAD_REQUEST)))

    assert counts(report) == {"retry": visits}
    assert (report.stopped, report.exit_status) == (BAD_REQUEST.reason, ExitStatus.CONFIGURATION)
    assert Counter(desk.states().values()) == {"retry": visits}
    assert counts(desk.run(FakeSender())) == {"sent": visits}


def test_request_errors_before_a_run_is_stopped_fail_nobody(desk: Desk) -> None:
    for _ in range(5):
        desk.book()

    report = desk.run(FakeSender(in_turn(ACCEPTED, BAD_REQUEST, BAD_REQUEST, EXPIRED_TOKEN)))

    assert counts(report) == {"sent": 1, "retry": 3, "left": 1}
    assert (report.stopped, report.exit_status) == (EXPIRED_TOKEN.reason, ExitStatus.REFUSED)
    assert Counter(desk.states().values()) == {"sent": 1, "retry": 3}


def test_a_request_error_before_a_signal_fails_nobody(desk: Desk) -> None:
    for _ in range(3):
        desk.book()
    stop = Stop()

    def interrupt(_: str) -> None:
        if len(sender.posted) == 2:
            stop.request(ExitStatus.TERMINATED)

    sender = FakeSender(in_turn(ACCEPTED, BAD_REQUEST), before_send=interrupt)

    report = desk.run(sender, stop=stop)

    assert counts(report) == {"sent": 1, "retry": 1, "left": 1}
    assert report.exit_status is ExitStatus.TERMINATED


def test_differing_request_errors_are_not_one_fault(desk: Desk) -> None:
    for _ in range(8):
        desk.book()
    answers = [ACCEPTED, *[BAD_REQUEST, OTHER_BAD_REQUEST] * 3, ACCEPTED]

    report = desk.run(FakeSender(in_turn(*answers)))

    assert report.stopped is None
    assert counts(report) == {"sent": 2, "retry": 6}


# -- what changes while a run is under way ------------------------------------------------------


def disturb_after_the_first(desk: Desk, disturb: Callable[[], None]) -> FakeSender:
    """Return a sender whose first message goes out while the next is read, not yet claimed."""
    sender = FakeSender()

    def before_send(_: str) -> None:
        if len(sender.posted) == 1:
            disturb()

    sender.before_send = before_send
    return sender


def test_a_visit_moved_within_its_day_is_told_at_its_new_time(desk: Desk) -> None:
    desk.book(hours=10)
    moved = desk.book(hours=24)
    later = desk.now + timedelta(hours=26)
    sender = disturb_after_the_first(desk, lambda: desk.clinic.move(moved, later))

    report = desk.run(sender)
    again = FakeSender()
    desk.run(again)

    assert texts(sender) == ["19:00", "11:00"]
    assert counts(report) == {"sent": 2}
    written = desk.clinic.value(
        "SELECT start FROM smartia_outbox WHERE appointment_id = :id", id=moved
    )
    assert datetime.fromisoformat(written) == later
    assert again.posted == []


def test_a_visit_moved_to_another_day_is_left_to_the_next_run(desk: Desk) -> None:
    desk.book(hours=10)
    moved = desk.book(hours=14)  # 23:00
    later = desk.now + timedelta(hours=16)  # 1:00
    sender = disturb_after_the_first(desk, lambda: desk.clinic.move(moved, later))

    report = desk.run(sender)
    again = FakeSender()
    desk.run(again)

    assert texts(sender) == ["19:00"]
    assert report.skipped == {Reason.MOVED: 1}
    assert texts(again) == ["01:00"]


# -- what ran out of time -----------------------------------------------------------------------


def test_a_retry_that_ran_out_of_time_is_reported_as_missed(desk: Desk) -> None:
    visit = desk.book(hours=24)
    cancelled = desk.book(hours=24)
    desk.run(FakeSender(always(BUSY)))
    desk.clinic.set_status(cancelled, "CANCELLED")
    desk.now += timedelta(hours=19)

    report = desk.run(FakeSender())

    assert (report.missed, report.due) == (1, 0)
    assert desk.states() == {visit: "expired", cancelled: "expired"}


@pytest.mark.parametrize(
    "closed",
    [{"quiet_hours": QuietHours(wall_time(12), wall_time(14))}, {"no_send_days": frozenset({0})}],
    ids=["hours", "day"],
)
def test_a_retry_waits_while_nothing_may_be_sent(desk: Desk, closed: dict[str, Any]) -> None:
    visit = desk.book()
    desk.run(FakeSender(always(BUSY)))
    desk.settings = replace(desk.settings, **closed)
    desk.now += timedelta(hours=4)

    report = desk.run(FakeSender())

    assert (report.messages, report.missed) == (0, 0)
    assert desk.states() == {visit: "retry"}


def test_what_became_too_late_during_the_run_is_reported_as_missed(desk: Desk) -> None:
    for hours in (7, 7, 20):
        desk.book(hours=hours)

    def lose_two_hours() -> None:
        desk.late = timedelta(hours=2)

    sender = disturb_after_the_first(desk, lose_two_hours)

    report = desk.run(sender)

    assert counts(report) == {"sent": 2, "skipped": 1}
    assert report.skipped == {Reason.TOO_LATE: 1}
    assert report.missed == 1
