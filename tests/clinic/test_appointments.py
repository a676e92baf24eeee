"""Reading appointments: as plain values, in pages that lose nothing, by the index."""

import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.clinic.appointments import PAGE_SIZE, Appointments, Cursor, Page
from smartia_jobs.clinic.index import INDEXES, build_index
from smartia_jobs.clinic.rules.window import Window
from smartia_jobs.database import Database
from smartia_jobs.message import Phone
from smartia_jobs.phones import parse_phone
from tests.clinic.wall_clock import DAY, MINUTE, wall
from tests.support import Clinic
from tests.support.clinic_data import SAO_PAULO

TUESDAY = wall("2026-11-24 09:00")

#: For what the other engine refuses by itself, or does alike.
only_sqlite = pytest.mark.parametrize("clinic", ["sqlite"], indirect=True)


def at(shown: datetime) -> datetime:
    return shown.replace(tzinfo=SAO_PAULO).astimezone(UTC)


ALL_DAY = Window(at(TUESDAY - 9 * 60 * MINUTE), at(TUESDAY + 15 * 60 * MINUTE))


def book(clinic: Clinic, minutes: list[int]) -> None:
    """Replace all visits by new ones, so many minutes after nine, with ids from 1 in this order."""
    rows = ", ".join(
        f"({place}, 1, 'Consulta', '{TUESDAY + minute * MINUTE}.000000', 'SCHEDULED')"
        for place, minute in enumerate(minutes, start=1)
    )
    clinic.execute("DELETE FROM appointments")
    clinic.execute(
        f"INSERT INTO appointments (id, patient_id, title, appointment_date, status) VALUES {rows}"
    )


def read(database: Database, appointments: Appointments) -> tuple[Appointment, ...]:
    with database.read() as connection:
        return appointments.page(connection, ALL_DAY).appointments


def read_one(database: Database, appointments: Appointments) -> Appointment:
    (only,) = read(database, appointments)
    return only


@contextmanager
def explained(connection: Connection) -> Iterator[list[str]]:
    """Collect the database's plan for each query that is made, without the spaces."""
    plans: list[str] = []
    explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"

    def ask(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        other = cursor.connection.cursor()
        other.execute(f"{explain} {statement}", parameters)
        plans.append("\n".join(str(row[-1]).replace(" ", "") for row in other.fetchall()))
        other.close()

    event.listen(connection, "before_cursor_execute", ask)
    yield plans
    event.remove(connection, "before_cursor_execute", ask)


def paged(database: Database, appointments: Appointments, size: int) -> Iterator[Page]:
    """Read page by page, each in a transaction of its own."""
    after: Cursor | None = None
    for _ in range(100):
        with database.read() as connection:
            page = appointments.page(connection, ALL_DAY, after=after, size=size)
        yield page
        if page.next is None:
            return
        after = page.next
    pytest.fail("the pages have no end")


# -- one row ------------------------------------------------------------------------------------


def test_a_visit_is_read_with_its_patient(
    clinic: Clinic, database: Database, appointments: Appointments
) -> None:
    booked_at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    patient = clinic.add_patient("Ana Lima", "5511987650001")
    visit = clinic.add_appointment(patient, TUESDAY, "CONFIRMED", 30, created_at=booked_at)

    found = read_one(database, appointments)

    assert found == Appointment(
        id=visit,
        patient_id=patient,
        status=AppointmentStatus.CONFIRMED,
        start_at=at(TUESDAY),
        start=TUESDAY,
        duration=timedelta(minutes=30),
        booked_at=booked_at,
        patient_exists=True,
        patient_name="Ana Lima",
        phone="5511987650001",
    )


@only_sqlite
def test_the_patient_is_told_the_minute_and_the_instant_is_exact(
    clinic: Clinic, database: Database, appointments: Appointments
) -> None:
    start = wall("2026-11-24 09:00:59.999999")
    clinic.add_appointment(clinic.add_patient(), start)

    found = read_one(database, appointments)

    assert (found.start, found.start_at) == (TUESDAY, at(start))


def test_visits_that_are_open_or_unset_are_looked_at_and_closed_ones_are_not(
    clinic: Clinic, database: Database, appointments: Appointments
) -> None:
    patient = clinic.add_patient()
    for status in (None, *AppointmentStatus):
        clinic.add_appointment(patient, TUESDAY, status)

    found = read(database, appointments)

    assert [visit.status for visit in found] == [None, "SCHEDULED", "CONFIRMED"]


@pytest.mark.parametrize("status", ["RESCHEDULED", "scheduled", ""])
@only_sqlite
def test_a_status_that_nobody_knows_is_looked_at_and_is_none(
    clinic: Clinic, database: Database, appointments: Appointments, status: str
) -> None:
    clinic.add_appointment(clinic.add_patient(), TUESDAY, status)

    found = read_one(database, appointments)

    assert found.status is None
    assert not found.is_open


@only_sqlite
def test_only_the_statuses_asked_for_are_read(
    clinic: Clinic, database: Database, appointments: Appointments
) -> None:
    patient = clinic.add_patient()
    visits = {
        status: clinic.add_appointment(patient, TUESDAY, status)
        for status in ("SCHEDULED", "COMPLETED", "NO_SHOW", None)
    }
    wanted = {AppointmentStatus.NO_SHOW, AppointmentStatus.COMPLETED}

    with database.read() as connection:
        page = appointments.page(connection, ALL_DAY, statuses=wanted)

    assert {visit.id for visit in page.appointments} == {visits["NO_SHOW"], visits["COMPLETED"]}


@only_sqlite
def test_a_visit_without_a_sensible_length_lasts_an_hour(
    clinic: Clinic, database: Database, appointments: Appointments
) -> None:
    patient = clinic.add_patient()
    for minutes in (None, 0, -30, 2**31 - 1):
        clinic.add_appointment(patient, TUESDAY, duration=minutes)

    found = read(database, appointments)

    assert [visit.duration for visit in found] == [timedelta(hours=1)] * 4


@pytest.mark.parametrize(
    ("stored", "minutes"),
    [("'meia hora'", 60), ("x'00'", 60), (2**62, 60), (1e300, 60), (30.5, 30.5), ("'45'", 45)],
)
@only_sqlite
def test_whatever_sqlite_holds_for_a_length_ends_no_run(
    clinic: Clinic, database: Database, appointments: Appointments, stored: object, minutes: float
) -> None:
    clinic.add_appointment(clinic.add_patient(), TUESDAY)
    clinic.execute(f"UPDATE appointments SET duration_minutes = {stored}")

    found = read_one(database, appointments)

    assert found.duration == timedelta(minutes=minutes)


def test_a_visit_may_lack_its_patient_and_the_moment_of_its_booking(
    clinic: Clinic, database: Database, appointments: Appointments
) -> None:
    patient = clinic.add_patient()
    clinic.add_appointment(patient, TUESDAY)
    clinic.delete_patient(patient)
    clinic.execute("UPDATE appointments SET created_at = NULL")

    found = read_one(database, appointments)

    assert (found.patient_id, found.patient_exists, found.phone) == (patient, False, None)
    assert found.booked_at is None


def test_what_the_database_says_of_the_booking_is_its_present(
    clinic: Clinic, database: Database, appointments: Appointments
) -> None:
    before = datetime.now(UTC).replace(microsecond=0)  # SQLite notes seconds
    clinic.add_appointment(clinic.add_patient(), TUESDAY, created_at=None)
    after = datetime.now(UTC)

    booked_at = read_one(database, appointments).booked_at

    assert booked_at is not None
    # The server's clock is this machine's.
    assert before <= booked_at <= after


@pytest.mark.parametrize(
    ("stored", "is_seen"),
    [
        ("2026-11-24", True),
        ("2026-11-24 às nove horas", True),
        ("2026-11-24 25:00:00", True),
        ("2026-11-24 09:00:00.000000 (remarcar)", True),
        ("24/11/2026 09:00", False),  # nothing tells that it is this day: `check` finds it
        ("amanhã", False),
        ("", False),
        ("1795000000", False),  # becomes a number in this column
    ],
)
@only_sqlite
def test_a_text_that_is_no_date_is_seen_where_it_would_stand(
    clinic: Clinic, database: Database, appointments: Appointments, stored: str, is_seen: bool
) -> None:
    patient = clinic.add_patient()
    bad = clinic.add_appointment(patient, stored)
    good = clinic.add_appointment(patient, TUESDAY)

    found = {visit.id: visit.start_at for visit in read(database, appointments)}

    assert found == {good: at(TUESDAY), **({bad: None} if is_seen else {})}


# -- pages --------------------------------------------------------------------------------------


@only_sqlite
def test_both_edges_of_a_window_belong_to_it(
    clinic: Clinic, database: Database, appointments: Appointments
) -> None:
    clinic.add_patient()
    book(clinic, [-1, 0, 60, 61])
    window = Window(at(TUESDAY), at(TUESDAY + 60 * MINUTE))

    with database.read() as connection:
        page = appointments.page(connection, window)

    assert [visit.id for visit in page.appointments] == [2, 3]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(minutes=st.lists(st.integers(-12, 12), max_size=24), size=st.integers(1, 7))
def test_small_pages_hold_what_one_read_does_in_the_same_order(
    clinic: Clinic, database: Database, appointments: Appointments, minutes: list[int], size: int
) -> None:
    if not clinic.rows("SELECT id FROM patients"):
        clinic.add_patient()
    book(clinic, [*(minute * 10 for minute in minutes), 300])

    pages = list(paged(database, appointments, size))

    in_pages = [visit for page in pages for visit in page.appointments]
    assert in_pages == list(read(database, appointments))
    assert Counter(visit.id for visit in in_pages) == Counter(range(1, len(minutes) + 2))
    assert all(len(page.appointments) == size for page in pages[:-1])


@only_sqlite
def test_visits_at_one_time_are_parted_by_their_ids(
    clinic: Clinic, database: Database, appointments: Appointments
) -> None:
    clinic.add_patient()
    book(clinic, [0] * 10)

    pages = [[visit.id for visit in p.appointments] for p in paged(database, appointments, 4)]

    assert pages == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


@only_sqlite
@pytest.mark.parametrize(("booked", "pages"), [(PAGE_SIZE, 2), (PAGE_SIZE + 1, 2), (0, 1), (1, 1)])
def test_all_pages_are_read_in_one_transaction_where_that_is_asked(
    clinic: Clinic, database: Database, appointments: Appointments, booked: int, pages: int
) -> None:
    clinic.add_patient()
    book(clinic, [*range(booked // 2), *range(booked // 2), *range(booked % 2), 24 * 60 + 1])

    with database.read() as connection:
        read_pages = list(appointments.pages(connection, ALL_DAY))

    assert sum(len(page) for page in read_pages) == booked
    assert len(read_pages) == pages


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), size=st.integers(1, 5))
def test_what_nobody_touches_is_read_once_however_the_others_are_moved(
    clinic: Clinic, database: Database, appointments: Appointments, data: st.DataObject, size: int
) -> None:
    if not clinic.rows("SELECT id FROM patients"):
        clinic.add_patient()
    book(clinic, [minute for n in range(6) for minute in (n * 10, n * 10)])
    touched: set[int] = set()
    seen: Counter[int] = Counter()

    for page in paged(database, appointments, size):
        seen.update(visit.id for visit in page.appointments)
        # Between two pages somebody moves, cancels or deletes a visit: maybe the last one read.
        visit = data.draw(st.integers(1, 12), label="visit")
        touched.add(visit)
        match data.draw(st.sampled_from(["move", "cancel", "delete"])):
            case "move":
                clinic.move(visit, TUESDAY + data.draw(st.integers(-9, 60)) * MINUTE)
            case "cancel":
                clinic.set_status(visit, "CANCELLED")
            case "delete":
                clinic.delete_appointment(visit)

    untouched = set(range(1, 13)) - touched
    assert {visit: seen[visit] for visit in untouched} == dict.fromkeys(untouched, 1)


def test_a_page_is_found_by_the_index_and_not_by_reading_all(
    clinic: Clinic, database: Database, appointments: Appointments
) -> None:
    clinic.add_patient()
    book(clinic, [n * 24 * 60 for n in range(-400, 400)])
    guard = Database(clinic.url)
    index, _ = INDEXES
    build_index(database, index, guard=guard)
    guard.close()
    clinic.execute("ANALYZE appointments")
    window = Window(at(TUESDAY), at(TUESDAY + DAY))

    with database.read() as connection, explained(connection) as plans:
        page = appointments.page(connection, window, size=1)
        appointments.page(connection, window, size=1, after=page.next)
        appointments.companions(connection, window)

    assert page.next is not None
    assert len(plans) == 3
    assert all(index.name in plan for plan in plans)
    assert all("appointment_date>" in plan and "appointment_date<" in plan for plan in plans)
    assert not any(
        "SCAN appointments" in plan or "Seq Scan on appointments" in plan for plan in plans
    )


# -- by id, and who may be the same person ------------------------------------------------------


def test_visits_are_read_again_as_they_are_now(
    clinic: Clinic, database: Database, appointments: Appointments
) -> None:
    patient = clinic.add_patient()
    moved, cancelled, deleted = (clinic.add_appointment(patient, TUESDAY) for _ in range(3))
    clinic.move(moved, TUESDAY + DAY)
    clinic.set_status(cancelled, "CANCELLED")
    clinic.delete_appointment(deleted)

    with database.read() as connection:
        now = appointments.by_id(connection, {moved, cancelled, deleted, 999_999})

    assert now.keys() == {moved, cancelled}
    assert now[moved].start == TUESDAY + DAY
    assert now[cancelled].status is AppointmentStatus.CANCELLED


@pytest.mark.parametrize("start", ["20260-11-24 09:00:00", "infinity", "-infinity"])
def test_a_visit_moved_out_of_all_calendars_has_no_date_and_ends_no_run(
    clinic: Clinic, database: Database, appointments: Appointments, start: str
) -> None:
    visit = clinic.add_appointment(clinic.add_patient(), TUESDAY)
    clinic.move(visit, start)
    clinic.execute("UPDATE appointments SET created_at = appointment_date")

    with database.read() as connection:
        now = appointments.by_id(connection, {visit})

    assert (now[visit].start_at, now[visit].booked_at) == (None, None)


@only_sqlite
def test_more_visits_than_a_page_are_read_again_at_once(
    clinic: Clinic, database: Database, appointments: Appointments
) -> None:
    clinic.add_patient()
    book(clinic, [0] * (2 * PAGE_SIZE + 1))

    with database.read() as connection:
        now = appointments.by_id(connection, range(1, 2 * PAGE_SIZE + 2))

    assert len(now) == 2 * PAGE_SIZE + 1


TYPED = (
    "11 {}-{}",
    "(11) {}.{}",
    "+55 11 {}\N{EN DASH}{}",
    "55\N{NO-BREAK SPACE}11\N{NO-BREAK SPACE}{}\N{NON-BREAKING HYPHEN}{}",
    "\N{LEFT-TO-RIGHT EMBEDDING}11{}{}\N{POP DIRECTIONAL FORMATTING}",
    "11{}{}\t",
    "5511{}{}@c.us",
    "5511{}{}:12@s.whatsapp.net",
    "https://wa.me/5511{}{}?text=12",
    "https://api.whatsapp.com/send?phone=5511{}{}&type=1&app_absent=0",
    "TEL;TYPE=CELL:+55 11 {}-{}",
    "5511{}{}.0",
)


def test_whatever_the_reading_of_phones_ignores_parts_nobody_from_their_other_visits(
    clinic: Clinic, database: Database, appointments: Appointments
) -> None:
    ignored = [
        character
        for character in map(chr, range(1, sys.maxunicode + 1))
        if character.isspace() or unicodedata.category(character) in {"Cf", "Pd"}
    ]
    typed = [f"(11) 98765{character}4321" for character in ignored]
    patients = [clinic.add_patient("Ana", phone) for phone in ("5511987654321", *typed)]
    visits = {clinic.add_appointment(patient, TUESDAY) for patient in patients}

    with database.read() as connection:
        found = appointments.sharing_phones(connection, patients[:1], from_at=ALL_DAY.from_at)

    assert {visit.id for visit in found} == visits
    canonical = {parse_phone(phone, "BR") for phone in typed}
    assert canonical == {Phone("+5511987654321", "+5511987654321")}


def test_digits_of_any_script_part_nobody_from_their_other_visits(
    clinic: Clinic, database: Database, appointments: Appointments
) -> None:
    every = [c for c in map(chr, range(128, sys.maxunicode + 1)) if unicodedata.category(c) == "Nd"]
    scripts = ["".join(every[n : n + 10]) for n in range(0, len(every), 10)]
    ascii_to = [str.maketrans("0123456789", script) for script in scripts]
    typed = ["+55 (11) 98765-4320".translate(digits) for digits in ascii_to]
    typed.append("+55 11 98765-" + "4320".translate(ascii_to[0]))
    patients = [clinic.add_patient("Ana", phone) for phone in ("5511987654320", *typed)]
    visits = {clinic.add_appointment(patient, TUESDAY) for patient in patients}

    with database.read() as connection:
        found = appointments.sharing_phones(connection, patients[:1], from_at=ALL_DAY.from_at)
        companions = appointments.companions(connection, ALL_DAY)

    assert {visit.id for visit in found} == visits
    assert {visit: set(others) for visit, others in companions.items()} == dict.fromkeys(
        visits, visits
    )
    canonical = {parse_phone(phone, "BR") for phone in typed}
    assert canonical == {Phone("+5511987654320", "+5511987654320")}


def test_one_phone_typed_in_two_ways_makes_companions(
    clinic: Clinic, database: Database, appointments: Appointments
) -> None:
    if clinic.dialect == "postgresql":  # as SmartIA made it, no link fits in
        clinic.execute("ALTER TABLE patients ALTER COLUMN phone_number TYPE text")
    expected: dict[int, set[int]] = {}
    for n, typed in enumerate(TYPED):
        halves = f"987{n:02}", "4320"
        phones = ("5511{}{}".format(*halves), typed.format(*halves))
        visits = {
            clinic.add_appointment(clinic.add_patient("Ana", phone), TUESDAY) for phone in phones
        }
        expected |= dict.fromkeys(visits, visits)
    clinic.add_appointment(clinic.add_patient("Rui", "5511987694320"), TUESDAY)

    with database.read() as connection:
        companions = appointments.companions(connection, ALL_DAY)

    assert {visit: set(others) for visit, others in companions.items()} == expected


@only_sqlite
def test_companions_are_open_visits_of_the_window(
    clinic: Clinic, database: Database, appointments: Appointments
) -> None:
    patient = clinic.add_patient()
    clinic.add_appointment(patient, TUESDAY)
    clinic.add_appointment(patient, TUESDAY, "CANCELLED")
    clinic.add_appointment(patient, TUESDAY + 2 * DAY)

    with database.read() as connection:
        companions = appointments.companions(connection, ALL_DAY)

    assert companions == {}
