"""Whom nobody writes to, or marks as missed: for what they answered, asked for, or never got."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
from sqlalchemy import event, insert

from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.status_changes import note, undo
from smartia_jobs.clinic.times import Storage, StoredTimes
from smartia_jobs.clinic.vetoes import said_no, vetoes
from smartia_jobs.clock import ShiftedClock
from smartia_jobs.database import Database
from smartia_jobs.jobs.opt_outs import put_on_list, take_off_list
from smartia_jobs.jobs.outbox import purge
from smartia_jobs.kinds import DAY_AHEAD, HOURS_AHEAD
from smartia_jobs.message import Scope
from smartia_jobs.report import Reason, Report, Result
from smartia_jobs.run import Run
from smartia_jobs.sandbox.server import Sandbox
from smartia_jobs.store.tables import answers
from tests.jobs.no_show_desk import DisturbedDatabase, NoShowDesk
from tests.jobs.test_reminders import DAY, HOUR, MONDAY_9, TEMPLATES, ReminderDesk
from tests.support import Clinic

TUESDAY_9 = MONDAY_9 + DAY
SAYS_NO = pytest.mark.parametrize("meaning", ["cancel", "move"])
_messages = count(1)


@pytest.fixture
def sandbox(no_threads_left: None) -> Iterator[Sandbox]:
    with Sandbox(templates=TEMPLATES) as running:
        yield running


@pytest.fixture
def desk(clinic: Clinic, sandbox: Sandbox) -> ReminderDesk:
    """On SQLite and on PostgreSQL."""
    return ReminderDesk(clinic, sandbox)


@pytest.fixture
def missing(clinic: Clinic, sandbox: Sandbox) -> NoShowDesk:
    """Where visits are marked as missed, on each engine."""
    desk = NoShowDesk(clinic, sandbox)
    desk.make_tables()
    return desk


def appointments_of(desk: ReminderDesk | NoShowDesk) -> Appointments:
    storage = Storage.TEXT if desk.clinic.dialect == "sqlite" else Storage.WALL_AS_UTC
    return Appointments(StoredTimes(storage, desk.settings.clinic_timezone))


def at(desk: ReminderDesk | NoShowDesk) -> datetime:
    return desk.now.replace(tzinfo=desk.settings.clinic_timezone).astimezone(UTC)


def answer(
    desk: ReminderDesk | NoShowDesk, visit: int, meaning: str, *, settled: bool = False
) -> int:
    """Let a patient have answered the newest message about a visit, and be heard."""
    found = desk.clinic.rows(
        "SELECT id FROM smartia_outbox WHERE appointment_id = :id ORDER BY id DESC", id=visit
    )
    with closing(Database(desk.clinic.url)) as database, database.write() as connection:
        answer_id: int = connection.execute(
            insert(answers)
            .values(
                message_id=f"wamid.{next(_messages)}",
                source="webhook",
                type="text",
                said_at=at(desk),
                received_at=at(desk),
                outbox_id=found[0]["id"] if found else None,
                meaning=meaning,
                effect="listed",
                acted_at=at(desk),
                settled_at=at(desk) if settled else None,
            )
            .returning(answers.c.id)
        ).scalar_one()
        now = appointments_of(desk).by_id(connection, [visit])[visit]
        note(connection, now, why=meaning, answer_id=answer_id, run_id="replies", at=at(desk))
    return answer_id


def cannot_come(desk: ReminderDesk | NoShowDesk, visit: int) -> None:
    answer(desk, visit, "cancel")


def told_a_day_ahead(desk: ReminderDesk, **visit: Any) -> int:
    """Book a visit for tomorrow at nine, and let its patient be reminded of it."""
    booked = desk.book(DAY, **visit)
    assert desk.run(DAY_AHEAD).results[Result.SENT] == 1
    return booked


def two_hours_before(desk: ReminderDesk) -> Report:
    """Run the reminder of two hours ahead of tomorrow's visit."""
    desk.now = TUESDAY_9 - 2 * HOUR
    return desk.run(HOURS_AHEAD)


# -- who cannot come, or wants another time --------------------------------------------------


@SAYS_NO
def test_who_cannot_come_is_not_reminded_again(desk: ReminderDesk, meaning: str) -> None:
    desk.has_run(HOURS_AHEAD)
    visit = told_a_day_ahead(desk)
    answer(desk, visit, meaning)
    desk.now = TUESDAY_9 - 2 * HOUR

    dry, report = desk.run(HOURS_AHEAD, dry_run=True), desk.run(HOURS_AHEAD)
    desk.now = TUESDAY_9 - HOUR / 2
    afterwards = desk.run(HOURS_AHEAD)

    assert report.skipped == dry.skipped == {Reason.SAID_NO: 1}
    assert (report.messages, afterwards.missed) == (0, 0)


@pytest.mark.parametrize("meaning", ["confirm", "unclear", "courtesy", "stop"])
def test_other_answers_hold_no_reminder_back(desk: ReminderDesk, meaning: str) -> None:
    answer(desk, told_a_day_ahead(desk), meaning)

    assert two_hours_before(desk).messages == 1


def confirmed(desk: ReminderDesk, visit: int, answer_id: int) -> None:
    desk.clinic.set_status(visit, "CONFIRMED")


def given_to_another(desk: ReminderDesk, visit: int, answer_id: int) -> None:
    desk.clinic.execute(
        f"UPDATE appointments SET patient_id = {desk.clinic.add_patient()} WHERE id = {visit}"
    )


def corrected(desk: ReminderDesk, visit: int, answer_id: int) -> None:
    desk.clinic.execute("UPDATE patients SET phone_number = '5511911112222'")


def settled(desk: ReminderDesk, visit: int, answer_id: int) -> None:
    desk.clinic.execute("UPDATE smartia_answers SET settled_at = CURRENT_TIMESTAMP")


def taken_back(desk: ReminderDesk, visit: int, answer_id: int) -> None:
    with closing(Database(desk.clinic.url)) as database, database.write() as connection:
        assert undo(connection, answer_id, at=at(desk)) == {visit: True}


@pytest.mark.parametrize("end", [confirmed, given_to_another, corrected, settled, taken_back])
def test_whatever_anybody_does_about_the_visit_ends_it(
    desk: ReminderDesk, end: Callable[[ReminderDesk, int, int], None]
) -> None:
    visit = told_a_day_ahead(desk)
    answer_id = answer(desk, visit, "cancel")

    end(desk, visit, answer_id)

    report = two_hours_before(desk)
    assert (report.messages, report.skipped) == (1, {})


def test_a_number_that_is_only_written_otherwise_ends_nothing(desk: ReminderDesk) -> None:
    visit = told_a_day_ahead(desk, phone="5511987654321")
    answer(desk, visit, "cancel")

    desk.clinic.execute("UPDATE patients SET phone_number = '551187654321'")

    assert two_hours_before(desk).skipped == {Reason.SAID_NO: 1}


def test_who_cannot_come_and_is_moved_to_thursday_is_reminded_of_thursday(
    desk: ReminderDesk,
) -> None:
    visit = told_a_day_ahead(desk)
    answer(desk, visit, "cancel")
    thursday = TUESDAY_9 + 2 * DAY
    desk.clinic.move(visit, thursday)

    desk.now = thursday - DAY
    report = desk.run(DAY_AHEAD)

    assert (report.messages, report.skipped) == (1, {})
    told = desk.clinic.rows(f"SELECT start FROM smartia_outbox WHERE appointment_id = {visit}")
    assert [str(row["start"])[:16] for row in told] == ["2026-11-24 09:00", "2026-11-26 09:00"]


def test_a_patient_who_gets_the_slot_of_one_who_cannot_come_is_reminded(
    desk: ReminderDesk,
) -> None:
    visit = told_a_day_ahead(desk)
    answer(desk, visit, "cancel")
    given_to_another(desk, visit, 0)

    report = desk.run(DAY_AHEAD)

    assert (report.messages, report.skipped) == (1, {})
    assert len(set(desk.written_to())) == 2


def test_a_sister_who_gets_the_slot_is_reminded_on_the_same_phone(desk: ReminderDesk) -> None:
    visit = told_a_day_ahead(desk, phone="5511987654321")
    answer(desk, visit, "cancel")
    sister = desk.clinic.add_patient("Ana Souza", "551187654321")

    desk.clinic.execute(f"UPDATE appointments SET patient_id = {sister} WHERE id = {visit}")

    assert two_hours_before(desk).messages == 1


class Answering:
    """Watches a run; at its first outcome a patient's answer is acted on."""

    def __init__(self, desk: ReminderDesk, visit: int) -> None:
        """Wait for the first outcome."""
        self._desk = desk
        self._visit = visit
        self._heard = False

    def expect(self, visits: int) -> None:
        """Fulfil the interface."""

    def show(self, report: Report) -> None:
        """Hear the answer, once."""
        if not self._heard:
            self._heard = True
            answer(self._desk, self._visit, "cancel")


def test_an_answer_that_comes_while_the_run_is_under_way_counts(desk: ReminderDesk) -> None:
    desk.setting(send_workers=1)
    *_, last = [desk.book(DAY + n * HOUR) for n in range(4)]

    report = desk.run(DAY_AHEAD, progress=Answering(desk, last))

    assert last not in desk.told()
    assert (report.messages, report.skipped) == (3, {Reason.SAID_NO: 1})


# -- who asked for no message, or whose number it is not --------------------------------------


def test_who_wants_no_message_gets_no_reminder_until_taken_off_the_list(
    desk: ReminderDesk,
) -> None:
    where = replace(desk.settings, database_url=desk.clinic.url)
    put_on_list(where, ShiftedClock(at(desk)), phone="11 98765-4321", scope=Scope.ALL)
    desk.book(DAY, phone="551187654321")

    dry, report = desk.run(DAY_AHEAD, dry_run=True), desk.run(DAY_AHEAD)
    take_off_list(where, phone="11 98765-4321")
    afterwards = desk.run(DAY_AHEAD)

    assert report.skipped == dry.skipped == {Reason.OPTED_OUT: 1}
    assert (report.messages, afterwards.messages) == (0, 1)


def test_who_wants_no_message_gets_no_invitation_either(missing: NoShowDesk) -> None:
    missed = missing.visit(3 * HOUR, patient_id=missing.clinic.add_patient(phone="5511987654321"))
    where = replace(missing.settings, database_url=missing.clinic.url)
    put_on_list(where, ShiftedClock(at(missing)), phone="5511987654321", scope=Scope.ALL)

    report = missing.run()

    assert missing.clinic.status(missed) == "NO_SHOW"
    assert report.skipped == {Reason.OPTED_OUT: 1}
    assert missing.accepted == []


def test_a_number_that_is_somebody_elses_gets_nothing_more_of_any_visit(
    desk: ReminderDesk,
) -> None:
    visit = told_a_day_ahead(desk, phone="5511987654321")
    desk.book(DAY + HOUR, phone="551187654321")
    answer(desk, visit, "not_me")

    report = desk.run(DAY_AHEAD)

    assert report.messages == 0
    assert report.skipped == {Reason.ALREADY_SENT: 1, Reason.NUMBER_DISPUTED: 1}


@pytest.mark.parametrize("end", [corrected, settled])
def test_a_number_is_written_to_again_once_it_is_settled_or_corrected(
    desk: ReminderDesk, end: Callable[[ReminderDesk, int, int], None]
) -> None:
    visit = told_a_day_ahead(desk)
    answer_id = answer(desk, visit, "not_me")

    held = two_hours_before(desk)
    end(desk, visit, answer_id)

    assert held.skipped == {Reason.NUMBER_DISPUTED: 1}
    assert desk.run(HOURS_AHEAD).messages == 1


def test_a_number_stays_somebody_elses_when_old_messages_are_purged(desk: ReminderDesk) -> None:
    visit = told_a_day_ahead(desk, phone="5511987654321")
    settled(desk, visit, answer(desk, told_a_day_ahead(desk), "not_me"))
    answer(desk, visit, "not_me")
    desk.now += 40 * DAY
    settings = replace(desk.settings, database_url=desk.clinic.url)
    gone = purge(settings, ShiftedClock(at(desk)), older_than=31 * DAY)
    desk.book(DAY, phone="551187654321")

    report = desk.run(DAY_AHEAD)

    assert gone == 2  # the message that is disputed no more, and what was said of it
    assert report.skipped == {Reason.NUMBER_DISPUTED: 1}


# -- whom WhatsApp does not reach --------------------------------------------------------------


def undelivered(desk: ReminderDesk, code: int = 131026) -> None:
    """Let Meta report that what was sent did not arrive."""
    desk.clinic.execute(
        "UPDATE smartia_outbox SET state = 'undelivered', error_code = :code", code=code
    )


def test_a_phone_that_whatsapp_does_not_reach_is_left_alone_for_a_week(desk: ReminderDesk) -> None:
    visit = told_a_day_ahead(desk)
    undelivered(desk)

    desk.now = TUESDAY_9 - 2 * HOUR
    dry, report = desk.run(HOURS_AHEAD, dry_run=True), desk.run(HOURS_AHEAD)
    desk.now = MONDAY_9 + 7 * DAY + HOUR
    desk.clinic.move(visit, desk.now + DAY)
    a_week_later = desk.run(DAY_AHEAD)

    assert report.skipped == dry.skipped == {Reason.UNREACHABLE: 1}
    assert (report.messages, a_week_later.messages) == (0, 1)


@pytest.mark.parametrize("change", ["another number", "another reason"])
def test_a_phone_of_which_this_is_not_known_is_written_to(desk: ReminderDesk, change: str) -> None:
    visit = told_a_day_ahead(desk)
    undelivered(desk, 131049 if change == "another reason" else 131026)
    if change == "another number":
        corrected(desk, visit, 0)

    report = two_hours_before(desk)

    assert (report.messages, report.skipped) == (1, {})


def test_a_phone_that_a_later_message_has_reached_is_written_to(desk: ReminderDesk) -> None:
    desk.book(11 * HOUR, phone="5511987654321")
    desk.run(DAY_AHEAD)
    undelivered(desk)
    desk.book(DAY, phone="551187654321")
    held = desk.run(DAY_AHEAD)

    desk.clinic.execute(
        "UPDATE smartia_outbox SET delivered_at = :at",
        at=f"{at(desk) + HOUR:%Y-%m-%d %H:%M:%S.%f}+00:00",
    )

    assert held.skipped[Reason.UNREACHABLE] == 1
    assert two_hours_before(desk).messages == 1


# -- the no-show --------------------------------------------------------------------------------


@SAYS_NO
def test_who_said_that_they_cannot_come_is_neither_marked_nor_invited(
    missing: NoShowDesk, meaning: str
) -> None:
    visit, silent = missing.visit(3 * HOUR), missing.visit(3 * HOUR)
    answer(missing, visit, meaning)

    dry, report = missing.run(dry_run=True), missing.run()

    assert missing.statuses([visit, silent]) == ["SCHEDULED", "NO_SHOW"]
    assert report.skipped == dry.skipped == {Reason.SAID_NO: 1}
    assert (report.extra["marked"], dry.extra["would_mark"]) == (1, 1)
    assert any(f"(appointments {visit})" in warning for warning in report.warnings)
    assert len(missing.accepted) == 1


def test_a_visit_is_held_for_a_week_after_its_time(missing: NoShowDesk) -> None:
    missing.setting(no_show_lookback=14 * DAY)
    visit = missing.visit(3 * HOUR)
    answer(missing, visit, "cancel")
    began = missing.now - 3 * HOUR

    missing.now = began + 7 * DAY - HOUR
    within = missing.run(invite=False)
    missing.now = began + 7 * DAY + HOUR
    afterwards = missing.run(invite=False)

    assert (within.skipped, within.extra["marked"]) == ({Reason.SAID_NO: 1}, 0)
    assert (afterwards.skipped, afterwards.extra["marked"]) == ({}, 1)


def test_questions_protect_nobody_and_neither_does_what_was_taken_back(
    missing: NoShowDesk,
) -> None:
    asked, taken_back_ = missing.visit(3 * HOUR), missing.visit(3 * HOUR)
    touched = missing.visit(3 * HOUR)
    answer(missing, asked, "unclear")
    answer_id = answer(missing, taken_back_, "cancel")
    with closing(Database(missing.clinic.url)) as database, database.write() as connection:
        undo(connection, answer_id, at=at(missing))
    answer(missing, touched, "cancel")
    missing.clinic.set_status(touched, "CONFIRMED")

    report = missing.run(invite=False)

    assert missing.statuses([asked, taken_back_, touched]) == ["NO_SHOW"] * 3
    assert report.skipped == {}


def test_an_answer_heard_between_reading_and_marking_counts(missing: NoShowDesk) -> None:
    visit, silent = missing.visit(3 * HOUR), missing.visit(3 * HOUR)

    report = missing.run(
        database=DisturbedDatabase(missing.clinic.url, partial(cannot_come, missing, visit))
    )

    assert missing.statuses([visit, silent]) == ["SCHEDULED", "NO_SHOW"]
    assert report.extra["marked"] == 1


# -- what it costs ------------------------------------------------------------------------------


def test_a_page_of_visits_asks_no_more_than_one_visit_does(desk: ReminderDesk) -> None:
    visits = [desk.book(DAY + n * timedelta(minutes=1)) for n in range(50)]
    desk.run(DAY_AHEAD)
    for visit in visits[::5]:
        answer(desk, visit, "cancel")

    assert questions(desk, visits) == questions(desk, visits[:1]) > 0


def test_a_week_of_any_number_of_visits_can_be_looked_back_on(missing: NoShowDesk) -> None:
    visit = missing.visit(3 * HOUR)
    answer(missing, visit, "cancel")
    with closing(Database(missing.clinic.url)) as database, database.read() as connection:
        found = appointments_of(missing).by_id(connection, [visit])[visit]
        many = [replace(found, id=visit + n) for n in range(70_000)]

        assert said_no(connection, many, run=run_of(missing, database)) == {visit}


def questions(desk: ReminderDesk, ids: list[int]) -> int:
    """Return how many statements tell which of these visits are held back."""
    asked: list[str] = []
    with closing(Database(desk.clinic.url)) as database, database.read() as connection:
        visits = appointments_of(desk).by_id(connection, ids).values()
        event.listen(
            connection, "before_cursor_execute", lambda *arguments: asked.append(arguments[2])
        )
        held = vetoes(run_of(desk, database), connection, visits)
    assert set(held.values()) == {Reason.SAID_NO}
    return len(asked)


def run_of(desk: ReminderDesk | NoShowDesk, database: Database) -> Run:
    return Run(
        id="a run",
        settings=desk.settings,
        clock=ShiftedClock(at(desk)),
        database=database,
        now=at(desk),
    )
