"""What an answer changes in the agenda, and how it is taken back: the reception always wins."""

from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta

import psycopg
import pytest

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.status_changes import change, ended, note, undo
from smartia_jobs.database import Database
from smartia_jobs.store.schema import ensure
from tests.support import Clinic

AT = datetime.fromisoformat("2026-11-25T12:00:00Z")
LATER = AT + timedelta(hours=1)
THURSDAY_9 = datetime.fromisoformat("2026-11-26T09:00")
ANSWER = 7

SCHEDULED, CONFIRMED, CANCELLED = (
    AppointmentStatus.SCHEDULED,
    AppointmentStatus.CONFIRMED,
    AppointmentStatus.CANCELLED,
)


class Agenda:
    """A clinic with a visit, and what answers do to it."""

    def __init__(self, clinic: Clinic, database: Database, appointments: Appointments) -> None:
        """Book a visit for Thursday."""
        self.clinic = clinic
        self.database = database
        self.appointments = appointments
        self.visit = self.book()

    def book(self) -> int:
        return self.clinic.add_appointment(self.clinic.add_patient(), THURSDAY_9)

    def read(self, visit: int | None = None) -> Appointment:
        id = visit or self.visit
        with self.database.read() as connection:
            return self.appointments.by_id(connection, [id])[id]

    def change(
        self, read: Appointment, after: AppointmentStatus = CANCELLED, *, answer_id: int = ANSWER
    ) -> bool:
        with self.database.write() as connection:
            return change(
                connection,
                self.appointments,
                read,
                after,
                why="a word",
                answer_id=answer_id,
                run_id="run",
                at=AT,
            )

    def hold(self, read: Appointment) -> None:
        with self.database.write() as connection:
            note(connection, read, why="cancel", answer_id=ANSWER, run_id="run", at=AT)

    def undo(self) -> dict[int, bool]:
        with self.database.write() as connection:
            return undo(connection, ANSWER, at=LATER)

    def has_ended(self) -> bool:
        with self.database.read() as connection:
            return ended(connection, [ANSWER]) == {ANSWER}

    def remembered(self) -> list[tuple[object, ...]]:
        rows = self.clinic.rows("SELECT * FROM smartia_status_changes ORDER BY id")
        columns = ("appointment_id", "before", "after", "why", "answer_id", "run_id")
        return [tuple(row[column] for column in columns) for row in rows]

    def updated_at(self) -> str:
        query = "SELECT updated_at FROM appointments WHERE id = :id"
        return str(self.clinic.value(query, id=self.visit))[:19]


@pytest.fixture
def agenda(clinic: Clinic, database: Database, appointments: Appointments) -> Agenda:
    ensure(database, auto_migrate=True)
    return Agenda(clinic, database, appointments)


# -- what somebody at the reception may do ------------------------------------------------------


def completes(agenda: Agenda) -> None:
    agenda.clinic.set_status(agenda.visit, "COMPLETED")


def moves(agenda: Agenda) -> None:
    agenda.clinic.move(agenda.visit, THURSDAY_9 + timedelta(days=1))


def gives_away(agenda: Agenda) -> None:
    agenda.clinic.execute(
        "UPDATE appointments SET patient_id = :patient WHERE id = :id",
        patient=agenda.clinic.add_patient(),
        id=agenda.visit,
    )


def corrects_the_phone(agenda: Agenda) -> None:
    agenda.clinic.execute("UPDATE patients SET phone_number = '5511911112222'")


def deletes(agenda: Agenda) -> None:
    agenda.clinic.delete_appointment(agenda.visit)


def saves(agenda: Agenda) -> None:
    """Whatever it was, SmartIA notes when."""
    agenda.clinic.execute(
        "UPDATE appointments SET updated_at = '2026-11-25 12:00:01' WHERE id = :id",
        id=agenda.visit,
    )


# -- tests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [CONFIRMED, CANCELLED])
def test_an_answer_changes_a_visit_and_it_is_remembered(
    agenda: Agenda, after: AppointmentStatus
) -> None:
    changed = agenda.change(agenda.read(), after)

    assert changed
    assert agenda.read().status is after
    assert agenda.updated_at() == "2026-11-25 12:00:00"
    assert agenda.remembered() == [(agenda.visit, "SCHEDULED", after, "a word", ANSWER, "run")]


@pytest.mark.parametrize("does", [completes, moves, gives_away, corrects_the_phone, deletes])
def test_a_visit_that_somebody_has_changed_since_it_was_read_stays_theirs(
    agenda: Agenda, does: Callable[[Agenda], None]
) -> None:
    read = agenda.read()
    does(agenda)

    changed = agenda.change(read)

    assert not changed
    assert agenda.remembered() == []
    assert agenda.clinic.rows("SELECT 1 FROM appointments WHERE status = 'CANCELLED'") == []


def test_a_visit_that_is_being_changed_is_not_waited_for(
    postgres_clinic: Clinic, appointments: Appointments
) -> None:
    with closing(Database(postgres_clinic.url)) as database:
        ensure(database, auto_migrate=True)
        agenda = Agenda(postgres_clinic, database, appointments)
        read = agenda.read()

        url = postgres_clinic.url.replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(url) as receptionist:
            receptionist.execute("UPDATE appointments SET status = 'CONFIRMED'")
            changed = agenda.change(read)

        assert not changed
        assert (agenda.read().status, agenda.remembered()) == (CONFIRMED, [])


def test_an_answer_acts_on_a_visit_once_whoever_reopens_it(agenda: Agenda) -> None:
    read = agenda.read()
    agenda.change(read)
    agenda.clinic.set_status(agenda.visit, "SCHEDULED")

    again = agenda.change(read)
    another = agenda.change(read, answer_id=ANSWER + 1)

    assert (again, another) == (False, True)
    assert len(agenda.remembered()) == 2


def test_an_answer_about_a_visit_that_stays_as_it_is_is_remembered_once(agenda: Agenda) -> None:
    before = agenda.updated_at()

    agenda.hold(agenda.read())
    agenda.hold(agenda.read())

    assert agenda.remembered() == [
        (agenda.visit, "SCHEDULED", "SCHEDULED", "cancel", ANSWER, "run")
    ]
    assert (agenda.read().status, agenda.updated_at()) == (SCHEDULED, before)


def test_what_an_answer_did_is_taken_back_once(agenda: Agenda) -> None:
    held = agenda.book()
    agenda.clinic.set_status(agenda.visit, "CONFIRMED")
    agenda.change(agenda.read())
    agenda.hold(agenda.read(held))

    undone, again = agenda.undo(), agenda.undo()

    assert undone == {agenda.visit: True, held: True}
    assert again == {}
    assert (agenda.read().status, agenda.read(held).status) == (CONFIRMED, SCHEDULED)
    assert agenda.updated_at() == "2026-11-25 13:00:00"


@pytest.mark.parametrize("does", [completes, moves, gives_away, deletes, saves])
def test_a_visit_that_somebody_has_touched_is_not_taken_back(
    agenda: Agenda, does: Callable[[Agenda], None]
) -> None:
    other = agenda.book()
    agenda.change(agenda.read())
    agenda.change(agenda.read(other))
    does(agenda)
    theirs = agenda.clinic.rows("SELECT * FROM appointments WHERE id = :id", id=agenda.visit)

    undone = agenda.undo()

    assert undone == {agenda.visit: False, other: True}
    assert agenda.read(other).status is SCHEDULED
    assert theirs == agenda.clinic.rows(
        "SELECT * FROM appointments WHERE id = :id", id=agenda.visit
    )


@pytest.mark.parametrize("does", [completes, moves, gives_away, deletes])
def test_whatever_the_reception_does_about_the_visit_ends_an_answer(
    agenda: Agenda, does: Callable[[Agenda], None]
) -> None:
    agenda.hold(agenda.read())
    before = agenda.has_ended()

    does(agenda)

    assert (before, agenda.has_ended()) == (False, True)


def test_an_answer_about_two_visits_has_not_ended_while_one_is_as_it_was(agenda: Agenda) -> None:
    agenda.hold(agenda.read(agenda.book()))
    agenda.hold(agenda.read())

    completes(agenda)

    assert not agenda.has_ended()
