"""One message per person and day: which visits are told together, whatever page they lie in."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from smartia_jobs.appointment import Appointment
from smartia_jobs.clinic.appointments import Appointments, Page
from smartia_jobs.clinic.rules.window import Window
from smartia_jobs.clinic.visit_days import VisitDays
from smartia_jobs.database import Database
from smartia_jobs.jobs.sender import person
from tests.clinic.wall_clock import DAY, MINUTE, wall
from tests.support import Clinic
from tests.support.clinic_data import SAO_PAULO

TUESDAY = wall("2026-11-24 09:00")
WINDOW = Window(
    wall("2026-11-23 15:00").replace(tzinfo=SAO_PAULO).astimezone(UTC),
    wall("2026-11-25 12:00").replace(tzinfo=SAO_PAULO).astimezone(UTC),
)

by_phone = partial(person, country="BR")
#: For what the other engine refuses by itself, or does alike.
only_sqlite = pytest.mark.parametrize("clinic", ["sqlite"], indirect=True)


class InPagesOf(Appointments):
    """The same appointments, so many at a time."""

    def __init__(self, appointments: Appointments, size: int) -> None:
        super().__init__(appointments.times)
        self.size = size

    def page(self, connection: Connection, window: Window, **options: Any) -> Page:
        return super().page(connection, window, **{**options, "size": self.size})


class Reading:
    """A clinic's visit days, read to their end."""

    def __init__(self, database: Database, appointments: Appointments) -> None:
        self.database = database
        self.appointments = appointments

    def days(
        self, *, size: int = 500, identify: Callable[[Appointment], str] = by_phone
    ) -> VisitDays:
        return VisitDays(InPagesOf(self.appointments, size), WINDOW, identify)

    def next(self, days: VisitDays) -> list[list[int]] | None:
        """Read one page in a transaction of its own; return the ids of each day."""
        with self.database.read() as connection:
            page = days.next_page(connection)
        return None if page is None else [[visit.id for visit in day] for day in page]

    def rest(self, days: VisitDays) -> list[list[int]]:
        found: list[list[int]] = []
        for _ in range(100):
            page = self.next(days)
            if page is None:
                return found
            found += page
        pytest.fail("the pages have no end")

    def all(self, *, size: int = 500) -> list[list[int]]:
        return self.rest(self.days(size=size))


@pytest.fixture
def reading(database: Database, appointments: Appointments) -> Reading:
    return Reading(database, appointments)


def book(clinic: Clinic, minutes: Sequence[int], phone: str | None = None) -> list[int]:
    """Book visits of one new patient, so many minutes after nine on Tuesday."""
    patient = clinic.add_patient("Ana", phone)
    return [clinic.add_appointment(patient, TUESDAY + minute * MINUTE) for minute in minutes]


# -- who is told what together ------------------------------------------------------------------


def test_the_visits_of_one_person_on_one_day_are_together_earliest_first(
    clinic: Clinic, reading: Reading
) -> None:
    late, early = book(clinic, [60, 0])
    (other,) = book(clinic, [30])

    assert reading.all() == [[early, late], [other]]


@only_sqlite
def test_midnight_in_the_clinic_parts_two_days(clinic: Clinic, reading: Reading) -> None:
    before, after = book(clinic, [-9 * 60 - 1, -9 * 60])

    assert reading.all() == [[before], [after]]


@pytest.mark.parametrize("size", [1, 2, 3])
@only_sqlite
def test_a_day_is_whole_although_pages_lie_between(
    clinic: Clinic, reading: Reading, size: int
) -> None:
    first, last = book(clinic, [0, 300])
    others = [book(clinic, [minute])[0] for minute in range(60, 240, 30)]

    assert reading.all(size=size) == [[first, last], *([other] for other in others)]


def test_several_patients_with_one_phone_are_one_person(clinic: Clinic, reading: Reading) -> None:
    (mother,) = book(clinic, [0], "5531987650001")
    (child,) = book(clinic, [60], "553187650001")  # an id from before the ninth digit
    (again,) = book(clinic, [120], "(31) 98765-0001")

    assert reading.all(size=2) == [[mother, child, again]]


@only_sqlite
def test_phones_that_merely_end_alike_are_two_persons(clinic: Clinic, reading: Reading) -> None:
    (one,) = book(clinic, [0], "5511987654321")
    (other,) = book(clinic, [60], "5521987654321")

    assert reading.all() == [[one], [other]]


@only_sqlite
def test_whoever_has_no_usable_phone_is_one_patient_and_no_more(
    clinic: Clinic, reading: Reading
) -> None:
    one = book(clinic, [0, 60], "123")
    other = book(clinic, [10, 70], "1-23")

    assert reading.all() == [one, other]


@only_sqlite
def test_an_unreadable_date_stands_alone(clinic: Clinic, reading: Reading) -> None:
    patient = clinic.add_patient()
    unreadable = [clinic.add_appointment(patient, text) for text in ("2026-11-24", "2026-11-24 ?")]
    readable = clinic.add_appointment(patient, TUESDAY)

    found = reading.all()

    assert sorted(found) == sorted([[one] for one in (*unreadable, readable)])


@only_sqlite
def test_a_visit_without_status_is_looked_at_with_its_persons_others(
    clinic: Clinic, reading: Reading
) -> None:
    early, late = book(clinic, [0, 60])
    clinic.set_status(early, None)

    assert reading.all() == [[early, late]]


@only_sqlite
def test_what_lies_outside_the_window_is_not_told_with_it(clinic: Clinic, reading: Reading) -> None:
    _, first = book(clinic, [-18 * 60 - 1, -18 * 60])
    last, _ = book(clinic, [27 * 60, 27 * 60 + 1])

    assert reading.all() == [[first], [last]]


@only_sqlite
def test_the_visits_of_a_patient_who_is_gone_are_each_looked_at(
    clinic: Clinic, reading: Reading
) -> None:
    visits = book(clinic, [0, 60])
    clinic.delete_patient(clinic.value("SELECT id FROM patients"))

    assert reading.all() == [[visit] for visit in visits]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    visits=st.lists(
        st.tuples(st.integers(0, 3), st.integers(-12, 24), st.booleans()), min_size=1, max_size=16
    ),
    size=st.integers(1, 6),
)
def test_every_visit_is_in_just_one_day_and_every_day_is_whole(
    clinic: Clinic, reading: Reading, visits: list[tuple[int, int, bool]], size: int
) -> None:
    """Persons 0 and 1 end alike; 2 has two patient rows; 3 has no usable phone."""
    if not clinic.rows("SELECT id FROM patients"):
        for phone in ("5511987650000", "5521987650000", "5511987650002", "12", "551187650002"):
            clinic.add_patient("Ana", phone)
    clinic.execute("DELETE FROM appointments")
    days: dict[tuple[int, object], list[tuple[datetime, int]]] = {}
    for who, hours, second_row in visits:
        start = TUESDAY + hours * 60 * MINUTE
        visit = clinic.add_appointment(5 if who == 2 and second_row else who + 1, start)
        days.setdefault((who, start.date()), []).append((start, visit))

    found = reading.all(size=size)

    assert found == [
        [visit for _, visit in sorted(day)] for day in sorted(map(sorted, days.values()))
    ]


# -- between pages ------------------------------------------------------------------------------


@only_sqlite
def test_a_first_page_of_one_visit_is_not_taken_for_all_there_is(
    clinic: Clinic, reading: Reading
) -> None:
    early, late = book(clinic, [0, 60])

    first = reading.next(reading.days(size=1))

    assert first == [[early, late]]


@only_sqlite
def test_a_page_whose_visits_were_all_told_is_empty_and_not_the_last(
    clinic: Clinic, reading: Reading
) -> None:
    told = book(clinic, [0, 60])
    (other,) = book(clinic, [120])
    days = reading.days(size=1)

    pages = [reading.next(days) for _ in range(5)]

    assert pages == [[told], [], [[other]], [], None]


@pytest.mark.parametrize("size", [1, 2, 500])
@only_sqlite
def test_a_visit_told_early_is_not_told_again_where_its_text_sorts_later(
    clinic: Clinic, reading: Reading, size: int
) -> None:
    """A ``T`` sorts after the space, so the visit that is read last is the earliest."""
    patient = clinic.add_patient()
    late = clinic.add_appointment(patient, TUESDAY + 60 * MINUTE)
    early = clinic.add_appointment(patient, f"{TUESDAY:%Y-%m-%dT%H:%M}")

    assert reading.all(size=size) == [[early, late]]


@only_sqlite
def test_a_visit_cancelled_or_moved_between_two_pages_is_not_told_with_the_others(
    clinic: Clinic, reading: Reading
) -> None:
    (first,) = book(clinic, [-60])
    leader, cancelled, moved = book(clinic, [0, 10, 20])
    days = reading.days(size=1)

    before = reading.next(days)
    clinic.set_status(cancelled, "CANCELLED")
    clinic.move(moved, TUESDAY + DAY)
    after = reading.rest(days)

    assert before == [[first]]
    assert after == [[leader], [moved]]


class Lost(Exception):
    """The connection, in the middle of a page."""


class BreaksAt:
    """A connection that is lost at its nth query."""

    def __init__(self, connection: Connection, query: int) -> None:
        self._connection = connection
        self._left = query
        self.dialect = connection.dialect

    def execute(self, *arguments: Any) -> Any:
        if self._left == 0:
            raise Lost
        self._left -= 1
        return self._connection.execute(*arguments)


@pytest.mark.parametrize("query", [0, 1, 2])
@only_sqlite
def test_a_page_whose_reading_failed_is_read_again(
    clinic: Clinic, reading: Reading, database: Database, query: int
) -> None:
    """A page takes three queries: its visits, who may be the same person, and their visits."""
    first, last = book(clinic, [0, 60])
    (between,) = book(clinic, [30])
    days = reading.days(size=1)

    with database.read() as connection, pytest.raises(Lost):
        days.next_page(cast("Connection", BreaksAt(connection, query)))

    assert reading.rest(days) == [[first, last], [between]]


@pytest.mark.parametrize("call", range(1, 7))
@only_sqlite
def test_a_page_whose_sorting_failed_is_sorted_again(
    clinic: Clinic, reading: Reading, call: int
) -> None:
    calls = 0

    def identify(appointment: Appointment) -> str:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Lost
        return by_phone(appointment)

    whole = [book(clinic, [minute, minute + 100]) for minute in (0, 1, 2)]
    days = reading.days(size=2, identify=identify)
    found: list[list[int]] = []

    for _ in range(6):
        with suppress(Lost):
            found += reading.next(days) or []

    assert found == whole
