"""Dates that no window of dates finds, and statuses without a name, counted by the database."""

from datetime import datetime, timedelta

import pytest

from smartia_jobs.clinic.index import ensure_indexes
from smartia_jobs.clinic.times import Storage, StoredTimes
from smartia_jobs.clinic.unreadable import (
    any_date_within_reach,
    count_dates_out_of_reach,
    unknown_statuses,
)
from smartia_jobs.database import Database
from tests.support import Clinic
from tests.support.clinic_data import SAO_PAULO

#: Forms in which other programs and people write dates.
FOREIGN = (
    "28/11/2026 09:30",
    "02/12/2026 09:30",
    "19.12.2026 09:30",
    "20/12/2026 09:30",
    "11/28/2026 9:30 AM",
    "31-12-2026 09:30",
    "1795858200",
    "1795858200000",
    "1795858200.5",
    "2461373.1",
    "2026/11/28 09:30:00",
    "2026.11.28 09:30",
    "20261128T093000Z",
    "2026-28-11 09:30:00",
    "2026-1-5 9:30",
    "2026-7-5 9:30",
    "Sat Nov 28 2026 09:30:00",
    "amanhã",
    "",
)
READABLE = (
    "2026-11-28 09:30:00.000000",
    "2026-11-28T09:30:00Z",
    "2026-01-05 09:30",
    "2026-12-31 23:59:59",
    "2010-10-10 10:10",
    "2199-10-10 10:10:10-03:00",
)


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("text", FOREIGN)
def test_a_date_in_another_form_is_out_of_reach(
    sqlite_clinic: Clinic, text: str, indexed: bool
) -> None:
    patient = sqlite_clinic.add_patient()
    for readable in READABLE:
        sqlite_clinic.add_appointment(patient, readable)
    sqlite_clinic.add_appointment(patient, text)
    sqlite_clinic.add_appointment(patient, text, None)
    sqlite_clinic.add_appointment(patient, text, "scheduled")
    sqlite_clinic.add_appointment(patient, text, "COMPLETED")

    assert counted(sqlite_clinic, indexed=indexed) == (3, True)


@pytest.mark.parametrize("indexed", [True, False])
def test_dates_of_ours_are_within_reach(sqlite_clinic: Clinic, indexed: bool) -> None:
    assert counted(sqlite_clinic, indexed=indexed) == (0, False)
    for text in READABLE:
        sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), text)

    assert counted(sqlite_clinic, indexed=indexed) == (0, True)


@pytest.mark.parametrize("text", ["infinity", "-infinity", "0044-03-15 12:00 BC", "20260-11-28"])
def test_postgresql_has_dates_that_no_calendar_of_ours_has(
    postgres_clinic: Clinic, text: str
) -> None:
    patient = postgres_clinic.add_patient()
    postgres_clinic.add_appointment(patient, text)
    assert counted(postgres_clinic, indexed=True) == (1, False)
    postgres_clinic.add_appointment(patient, datetime(2026, 11, 28, 9))  # noqa: DTZ001 - wall time

    assert counted(postgres_clinic, indexed=True) == (1, True)


def counted(clinic: Clinic, *, indexed: bool) -> tuple[int, bool]:
    """Return how many dates are out of reach, and whether any is within."""
    database = Database(clinic.url)
    try:
        if indexed:
            ensure_indexes(database)
        with database.read() as connection:
            return count_dates_out_of_reach(connection), any_date_within_reach(connection)
    finally:
        database.close()


def test_statuses_are_told_apart_by_what_is_stored(sqlite_clinic: Clinic) -> None:
    patient, now = sqlite_clinic.add_patient(), datetime(2026, 11, 25, 18, tzinfo=SAO_PAULO)
    for status in ("scheduled", "scheduled", None, "SCHEDULED", "agendado"):
        sqlite_clinic.add_appointment(patient, "2026-11-28 09:30:00.000000", status)
    sqlite_clinic.add_appointment(patient, "2025-11-28 09:30:00.000000", "scheduled")
    database = Database(sqlite_clinic.url)
    try:
        with database.read() as connection:
            times = StoredTimes(Storage.TEXT, SAO_PAULO)
            found = unknown_statuses(connection, times, now - timedelta(days=7))
    finally:
        database.close()

    assert found == {"scheduled": 2, None: 1, "agendado": 1}
