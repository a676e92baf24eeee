"""The memory of what was marked: once per appointment and start, whoever asks."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime

import pytest

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.database import Database
from smartia_jobs.store.schema import ensure
from smartia_jobs.store.status_changes import WHY_NO_SHOW, marked, marks_of, note_undone, remember
from tests.support import Clinic

NO_SHOW = AppointmentStatus.NO_SHOW
AT = datetime.fromisoformat("2026-11-25T21:00Z")
NINE = datetime.fromisoformat("2026-11-25T09:00")
TEN = datetime.fromisoformat("2026-11-25T10:00")


@pytest.fixture
def database(clinic: Clinic) -> Iterator[Database]:
    with closing(Database(clinic.url)) as opened:
        ensure(opened, auto_migrate=True)
        yield opened


def visit(id: int, start: datetime = NINE, status: str = "SCHEDULED") -> Appointment:
    return Appointment(id, 1, AppointmentStatus(status), AT, start)


def stored(*visits: Appointment) -> dict[int, str]:
    return {one.id: str(one.start) for one in visits}


def note(database: Database, *visits: Appointment, run_id: str = "run") -> set[int]:
    with database.write() as connection:
        return remember(
            connection,
            visits,
            stored(*visits),
            after=NO_SHOW,
            why=WHY_NO_SHOW,
            run_id=run_id,
            at=AT,
        )


def test_a_visit_is_remembered_once_per_start(database: Database) -> None:
    first = note(database, visit(2), visit(1))

    again = note(database, visit(1), visit(2), visit(3), visit(1, TEN), run_id="another")

    assert first == {1, 2}
    assert again == {1, 3}
    with database.read() as connection:
        assert marked(connection, {1, 2, 4}) == {(1, NINE), (1, TEN), (2, NINE)}
        assert [mark.appointment_id for mark in marks_of(connection, "run")] == [1, 2]


def test_nothing_to_remember_asks_nothing(database: Database) -> None:
    assert note(database) == set()


def test_a_mark_that_was_undone_still_counts(database: Database) -> None:
    note(database, visit(1, status="CONFIRMED"), visit(2))

    with database.write() as connection:
        undone = [mark for mark in marks_of(connection, "run") if mark.appointment_id == 1]
        note_undone(connection, undone, at=AT)

    assert note(database, visit(1)) == set()
    with database.read() as connection:
        marks = marks_of(connection, "run")
    assert [(m.appointment_id, m.start, str(m.before), m.undone) for m in marks] == [
        (1, NINE, "CONFIRMED", True),
        (2, NINE, "SCHEDULED", False),
    ]
    assert {m.stored_date for m in marks} == {str(NINE)}


def test_a_mark_that_is_not_committed_never_was(database: Database) -> None:
    class Crash(Exception):
        pass

    with pytest.raises(Crash), database.write() as connection:
        remember(
            connection,
            [visit(1)],
            stored(visit(1)),
            after=NO_SHOW,
            why=WHY_NO_SHOW,
            run_id="r",
            at=AT,
        )
        raise Crash

    with database.read() as connection:
        assert marks_of(connection, "run") == []


def test_many_marks_are_looked_up_in_pieces(database: Database) -> None:
    note(database, *(visit(number) for number in range(1, 1202)))

    with database.read() as connection:
        found = marked(connection, range(1, 3000))

    assert len(found) == 1201
