"""What ``check`` counts in the clinic's rows, on both engines."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import pytest
from sqlalchemy import Connection, event

from smartia_jobs.clinic import findings
from smartia_jobs.clinic.findings import SHOWN, Matches, Page, Pairs
from smartia_jobs.clinic.times import Storage, StoredTimes
from smartia_jobs.database import Database
from tests.support import Clinic
from tests.support.clinic_data import SAO_PAULO

T = TypeVar("T")

#: A Monday, nine o'clock in São Paulo.
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TOMORROW = datetime.fromisoformat("2026-11-24T14:30")
LATER = datetime.fromisoformat("2026-11-26T10:00")
YESTERDAY = datetime.fromisoformat("2026-11-22T10:00")


def times(clinic: Clinic) -> StoredTimes:
    """Return how this clinic's dates are read."""
    text = clinic.dialect == "sqlite"
    return StoredTimes(Storage.TEXT if text else Storage.WALL_AS_UTC, SAO_PAULO)


def ask(clinic: Clinic, question: Callable[[Connection], T]) -> T:
    """Ask in one transaction of a database that refuses every change."""
    with closing(Database(clinic.url, read_only=True)) as database, database.read() as connection:
        return question(connection)


def moved(clinic: Clinic) -> Pairs:
    """Return the pairs."""
    return ask(clinic, lambda c: findings.moved_by_chat(c, times(clinic), NOW))


def cancelled(clinic: Clinic) -> Matches:
    """Return the visits."""
    return ask(clinic, lambda c: findings.asked_to_cancel(c, times(clinic), NOW))


@pytest.mark.parametrize("intent", ["reschedule", "RESCHEDULE", "remarcar", "reagendamento"])
def test_a_visit_moved_by_chat_is_found_with_the_one_it_replaces(
    clinic: Clinic, intent: str
) -> None:
    patient = clinic.add_patient()
    old = clinic.add_appointment(patient, LATER)
    chat = clinic.add_conversation(patient, intent=intent)
    new = clinic.add_appointment(patient, TOMORROW, "CONFIRMED", conversation_id=chat)

    assert moved(clinic) == Pairs(1, ((old, new),))


def test_two_visits_that_no_chat_moved_are_no_finding(clinic: Clinic) -> None:
    patient, other = clinic.add_patient(), clinic.add_patient()
    chat = clinic.add_conversation(patient, intent="schedule")
    unknown = clinic.add_conversation(patient, intent=None)
    rescheduling = clinic.add_conversation(other, intent="reschedule")
    clinic.add_appointment(patient, TOMORROW)
    clinic.add_appointment(patient, LATER, conversation_id=chat)
    clinic.add_appointment(patient, LATER, conversation_id=unknown)
    clinic.add_appointment(other, LATER, conversation_id=rescheduling)

    assert moved(clinic) == Pairs(0, ())


def test_a_visit_booked_after_the_rescheduling_replaces_nothing(clinic: Clinic) -> None:
    patient = clinic.add_patient()
    chat = clinic.add_conversation(patient, intent="reschedule")
    clinic.add_appointment(patient, TOMORROW, conversation_id=chat)
    clinic.add_appointment(patient, LATER)

    assert moved(clinic).count == 0


@pytest.mark.parametrize("status", ["CANCELLED", "COMPLETED", "NO_SHOW"])
def test_a_moved_visit_whose_old_one_is_closed_is_no_finding(clinic: Clinic, status: str) -> None:
    patient = clinic.add_patient()
    chat = clinic.add_conversation(patient, intent="reschedule")
    clinic.add_appointment(patient, TOMORROW, status)
    clinic.add_appointment(patient, LATER, conversation_id=chat)

    assert moved(clinic).count == 0


def test_a_moved_visit_whose_old_one_has_begun_is_no_finding(clinic: Clinic) -> None:
    patient = clinic.add_patient()
    chat = clinic.add_conversation(patient, intent="reschedule")
    clinic.add_appointment(patient, YESTERDAY)
    clinic.add_appointment(patient, LATER, conversation_id=chat)

    assert moved(clinic).count == 0


def test_only_the_first_pairs_are_named_and_all_are_counted(clinic: Clinic) -> None:
    for _ in range(SHOWN + 3):
        patient = clinic.add_patient()
        chat = clinic.add_conversation(patient, intent="reschedule")
        clinic.add_appointment(patient, TOMORROW)
        clinic.add_appointment(patient, LATER, conversation_id=chat)

    found = moved(clinic)

    assert (found.count, len(found.ids)) == (SHOWN + 3, SHOWN)


def test_open_visits_of_a_patient_whose_newest_chat_cancelled_are_found(clinic: Clinic) -> None:
    patient = clinic.add_patient()
    clinic.add_conversation(patient, intent="schedule")
    clinic.add_conversation(patient, intent="cancel_appointment")
    open_visit = clinic.add_appointment(patient, TOMORROW)
    clinic.add_appointment(patient, LATER, "CANCELLED")
    clinic.add_appointment(patient, YESTERDAY)

    assert cancelled(clinic) == Matches(1, (open_visit,))


def test_a_newer_chat_about_something_else_takes_the_cancelling_back(clinic: Clinic) -> None:
    patient = clinic.add_patient()
    clinic.add_conversation(patient, intent="cancel")
    clinic.add_conversation(patient, intent="schedule")
    clinic.add_appointment(patient, TOMORROW)
    clinic.add_appointment(clinic.add_patient(), TOMORROW)

    assert cancelled(clinic) == Matches()


def test_hours_are_counted_as_the_clinic_reads_them(clinic: Clinic) -> None:
    patient = clinic.add_patient()
    clinic.add_appointment(patient, TOMORROW)
    clinic.add_appointment(patient, TOMORROW.replace(minute=45))
    clinic.add_appointment(patient, LATER, "CONFIRMED")
    clinic.add_appointment(patient, LATER, "CANCELLED")
    clinic.add_appointment(patient, YESTERDAY)

    until = NOW + timedelta(days=30)
    hours = ask(clinic, lambda c: findings.hours_of_visits(c, times(clinic), NOW, until))

    assert hours == {14: 2, 10: 1}


def test_people_are_counted_once_however_many_visits_they_have(clinic: Clinic) -> None:
    one, two = clinic.add_patient(), clinic.add_patient()
    clinic.add_appointment(one, TOMORROW)
    clinic.add_appointment(one, TOMORROW.replace(hour=16))
    clinic.add_appointment(two, TOMORROW)
    clinic.add_appointment(clinic.add_patient(), LATER)

    until = NOW + timedelta(days=2)
    people = ask(clinic, lambda c: findings.people_expected(c, times(clinic), NOW, until))

    assert people == 2


#: Half past eight of the same morning, over by NOW, and half past nine, still to come.
FORMS = [
    ("2026-11-23 08:30:00.000000", "2026-11-23 09:30:00.000000"),
    ("2026-11-23T08:30", "2026-11-23T09:30"),
    ("2026-11-23T11:30:00Z", "2026-11-23T12:30:00Z"),
    ("2026-11-23 06:30:00-05:00", "2026-11-23 07:30:00-05:00"),
    ("2026-11-31 08:30:00", "2026-11-23 09:30"),
]


@pytest.mark.parametrize(("over", "to_come"), FORMS)
def test_whatever_form_a_date_has_it_is_read_as_the_jobs_read_it(
    sqlite_clinic: Clinic, over: str, to_come: str
) -> None:
    patient = sqlite_clinic.add_patient()
    chat = sqlite_clinic.add_conversation(patient, intent="reschedule")
    sqlite_clinic.add_appointment(patient, over)
    old = sqlite_clinic.add_appointment(patient, to_come)
    sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), over)
    new = sqlite_clinic.add_appointment(patient, LATER, conversation_id=chat)
    until = NOW + timedelta(days=2)

    hours = ask(
        sqlite_clinic, lambda c: findings.hours_of_visits(c, times(sqlite_clinic), NOW, until)
    )
    people = ask(
        sqlite_clinic, lambda c: findings.people_expected(c, times(sqlite_clinic), NOW, until)
    )

    assert hours == {9: 1}
    assert people == 1
    assert moved(sqlite_clinic) == Pairs(1, ((old, new),))


@pytest.mark.parametrize(("over", "to_come"), FORMS)
def test_a_cancelled_visit_is_found_whatever_form_its_date_has(
    sqlite_clinic: Clinic, over: str, to_come: str
) -> None:
    patient = sqlite_clinic.add_patient()
    sqlite_clinic.add_conversation(patient, intent="cancel")
    sqlite_clinic.add_appointment(patient, over)
    open_visit = sqlite_clinic.add_appointment(patient, to_come)

    assert cancelled(sqlite_clinic) == Matches(1, (open_visit,))


def unreadable(clinic: Clinic) -> list[int]:
    """Return the ids of the open visits of the first page whose date cannot be read."""
    page = ask(clinic, lambda c: findings.open_dates(c, 0))
    return [id_ for id_, stored in page.rows if times(clinic).read(stored) is None]


def test_dates_that_are_none_are_found_unless_the_visit_is_closed(sqlite_clinic: Clinic) -> None:
    patient = sqlite_clinic.add_patient()
    sqlite_clinic.add_appointment(patient, TOMORROW)
    bad = [
        sqlite_clinic.add_appointment(patient, text)
        for text in ("", "amanhã", "2026-02-31 14:00", "2026-11-24", "24/11/2026 14:30")
    ]
    without_status = sqlite_clinic.add_appointment(patient, "?", None)
    sqlite_clinic.add_appointment(patient, "?", "CANCELLED")

    assert unreadable(sqlite_clinic) == [*bad, without_status]


def test_dates_beyond_every_calendar_are_found_on_postgresql(postgres_clinic: Clinic) -> None:
    patient = postgres_clinic.add_patient()
    postgres_clinic.add_appointment(patient, TOMORROW)
    bad = [
        postgres_clinic.add_appointment(patient, text)
        for text in ("infinity", "-infinity", "0044-03-15 12:00 BC", "12000-01-01 10:00")
    ]

    assert unreadable(postgres_clinic) == bad


@pytest.mark.parametrize("patients", [0, 2, 3, 7])
def test_every_patient_is_read_once_in_pages(clinic: Clinic, patients: int) -> None:
    ids = [clinic.add_patient() for _ in range(patients)]
    read: list[int] = []
    page = Page((), 0)
    while page.next is not None and len(read) <= patients:
        page = ask(clinic, partial(findings.phones, after=page.next, size=3))
        read += [id_ for id_, _ in page.rows]

    assert read == ids


def test_no_question_needs_our_own_tables_or_a_change(clinic: Clinic) -> None:
    patient = clinic.add_patient()
    clinic.add_appointment(patient, TOMORROW)
    statements: list[str] = []
    with closing(Database(clinic.url, read_only=True)) as database, database.read() as connection:
        event.listen(
            connection, "before_cursor_execute", lambda *args: statements.append(str(args[2]))
        )
        findings.moved_by_chat(connection, times(clinic), NOW)
        findings.asked_to_cancel(connection, times(clinic), NOW)
        findings.open_dates(connection, 0)
        findings.phones(connection, 0)

    assert statements
    assert all(s.lstrip().startswith(("SELECT", "WITH")) for s in statements)
    assert not any("smartia_" in s for s in statements)
