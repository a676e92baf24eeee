"""When a visit counts as missed, what the look-back is counted for, and changing a status."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartia_jobs.appointment import OPEN, Appointment, AppointmentStatus
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.no_shows import (
    Attendance,
    change_status,
    count_attendance,
    count_left_open,
    find_no_shows,
)
from smartia_jobs.clinic.rules.no_shows import NoShowRule
from smartia_jobs.clinic.times import Storage, StoredTimes
from smartia_jobs.database import Database
from smartia_jobs.settings import Settings
from tests.support import Clinic

ZONE = ZoneInfo("America/Sao_Paulo")
WEDNESDAY_18 = datetime.fromisoformat("2026-11-25T18:00")
NOW = WEDNESDAY_18.replace(tzinfo=ZONE).astimezone(UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

RULE = NoShowRule.of(Settings())
AT = datetime.fromisoformat("2026-11-25T21:00Z")


@pytest.fixture
def database(clinic: Clinic) -> Iterator[Database]:
    with closing(Database(clinic.url)) as opened:
        yield opened


def times_of(clinic: Clinic, zone: ZoneInfo = ZONE) -> StoredTimes:
    return StoredTimes(Storage.TEXT if clinic.dialect == "sqlite" else Storage.WALL_AS_UTC, zone)


def add(clinic: Clinic, ago: timedelta, status: str | None = "SCHEDULED") -> int:
    return clinic.add_appointment(clinic.add_patient(), WEDNESDAY_18 - ago, status)


def visit(
    start_at: datetime | None,
    status: AppointmentStatus | None = AppointmentStatus.SCHEDULED,
    minutes: int = 60,
) -> Appointment:
    return Appointment(1, 1, status, start_at, None, duration=timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("minutes", "grace", "over_after"),
    [(30, 60, 60), (60, 60, 60), (90, 60, 90), (30, 0, 30), (60, 120, 120)],
)
def test_a_visit_is_over_when_both_its_length_and_the_grace_have_passed(
    minutes: int, grace: int, over_after: int
) -> None:
    rule = NoShowRule(OPEN, grace * MINUTE, 7 * DAY)
    start_at = NOW - over_after * MINUTE

    assert rule.is_no_show(visit(start_at, minutes=minutes), NOW)
    assert not rule.is_no_show(visit(start_at, minutes=minutes), NOW - timedelta.resolution)


def test_the_look_back_includes_its_first_instant() -> None:
    assert RULE.is_no_show(visit(NOW - 7 * DAY), NOW)
    assert not RULE.is_no_show(visit(NOW - 7 * DAY - timedelta.resolution), NOW)


@pytest.mark.parametrize("status", [*AppointmentStatus, None])
def test_only_the_chosen_statuses_count(status: AppointmentStatus | None) -> None:
    rule = NoShowRule(frozenset({AppointmentStatus.SCHEDULED}), HOUR, 7 * DAY)

    missed = rule.is_no_show(visit(NOW - 2 * HOUR, status), NOW)

    assert missed == (status is AppointmentStatus.SCHEDULED)


def test_a_visit_without_a_readable_date_is_not_missed() -> None:
    assert not RULE.is_no_show(visit(None), NOW)


@given(
    ago=st.integers(-600, 12_000), minutes=st.integers(1, 600), grace=st.integers(0, 600)
)  # fmt: skip
def test_whatever_is_missed_lies_in_the_window_that_is_read(
    ago: int, minutes: int, grace: int
) -> None:
    rule = NoShowRule(OPEN, grace * MINUTE, 7 * DAY)
    one = visit(NOW - ago * MINUTE, minutes=minutes)

    if rule.is_no_show(one, NOW):
        assert one.start_at is not None
        assert one.start_at in rule.window(NOW)
        assert one.start_at + one.duration <= NOW


def test_missed_visits_are_found_earliest_first_with_what_cannot_be_read(
    clinic: Clinic, database: Database
) -> None:
    late, early = add(clinic, 2 * HOUR), add(clinic, 3 * HOUR, "CONFIRMED")
    add(clinic, 3 * HOUR, None)
    add(clinic, 30 * MINUTE)
    add(clinic, 3 * HOUR, "COMPLETED")

    with database.read() as connection:
        found = find_no_shows(connection, Appointments(times_of(clinic)), RULE, NOW)

    assert [one.id for one in found.no_shows] == [early, late]
    assert (found.unreadable_statuses, found.unreadable_dates) == (1, 0)


def test_attendance_is_counted_over_the_look_back_exactly(
    clinic: Clinic, database: Database
) -> None:
    for status in ("SCHEDULED", "CONFIRMED", "NO_SHOW"):
        add(clinic, 7 * DAY, status)
        add(clinic, 7 * DAY + MINUTE, status)  # before it
        add(clinic, 61 * MINUTE, status)
        add(clinic, 59 * MINUTE, status)  # still within the grace
    for ago in (7 * DAY, MINUTE, 7 * DAY + MINUTE, -MINUTE):
        add(clinic, ago, "COMPLETED")
    add(clinic, DAY, "CANCELLED")
    add(clinic, DAY, None)

    with database.read() as connection:
        attendance = count_attendance(connection, Appointments(times_of(clinic)), RULE, NOW)

    assert attendance == Attendance(missing=6, completed=2)


def test_what_was_left_open_is_counted_from_90_days_ago_to_the_look_back(
    clinic: Clinic, database: Database
) -> None:
    for status in ("SCHEDULED", "CONFIRMED"):
        add(clinic, 90 * DAY, status)
        add(clinic, 7 * DAY + MINUTE, status)
    add(clinic, 90 * DAY + MINUTE)
    add(clinic, 7 * DAY)
    for closed in ("COMPLETED", "CANCELLED", "NO_SHOW", None):
        add(clinic, 30 * DAY, closed)

    with database.read() as connection:
        left_open = count_left_open(connection, times_of(clinic), RULE, NOW)

    assert left_open == 4


def test_what_was_left_open_is_counted_whatever_form_its_date_has(sqlite_clinic: Clinic) -> None:
    # The look-back begins on 2026-11-18 at 18:00 in São Paulo, 21:00 UTC.
    older = ("2026-11-18T17:59", "2026-11-18T20:59:00Z", "2026-11-18 15:59:00-05:00")
    within = ("2026-11-18T18:00", "2026-11-18T21:00:00Z", "2026-11-18 16:00:00-05:00")
    for text in (*older, *within, "2026-10-32 10:00", "2026-11-18"):
        sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), text)

    with closing(Database(sqlite_clinic.url)) as database, database.read() as connection:
        left_open = count_left_open(connection, times_of(sqlite_clinic), RULE, NOW)

    assert left_open == len(older)


def test_on_the_night_an_hour_comes_twice_no_visit_is_both_found_and_left_open(
    clinic: Clinic, database: Database
) -> None:
    # At midnight of 18 February 2018 São Paulo's clocks went back to 23:00.
    wall = datetime.fromisoformat
    now = datetime.fromisoformat("2018-02-25T02:30Z")  # a week after 23:30, the second one
    for minute in ("22:30", "23:00", "23:29", "23:30", "23:59"):
        clinic.add_appointment(clinic.add_patient(), wall(f"2018-02-17T{minute}"))
    after = clinic.add_appointment(clinic.add_patient(), wall("2018-02-18T00:00"))
    appointments = Appointments(times_of(clinic))

    with database.read() as connection:
        missed = find_no_shows(connection, appointments, RULE, now).no_shows
        left_open = count_left_open(connection, appointments.times, RULE, now)

    assert [one.id for one in missed] == [after]
    assert left_open == 5


def test_a_status_changes_only_where_it_still_is_what_was_read(
    clinic: Clinic, database: Database
) -> None:
    same, other, unasked = add(clinic, HOUR), add(clinic, HOUR, "CONFIRMED"), add(clinic, HOUR)

    with database.write() as connection:
        changed = change_status(
            connection,
            {same, other},
            before=AppointmentStatus.SCHEDULED,
            after=AppointmentStatus.NO_SHOW,
            at=AT,
        )

    assert changed == {same}
    assert [clinic.status(one) for one in (same, other, unasked)] == [
        "NO_SHOW", "CONFIRMED", "SCHEDULED",
    ]  # fmt: skip


def test_a_changed_row_says_when_in_smartias_own_form(sqlite_clinic: Clinic) -> None:
    one = add(sqlite_clinic, HOUR)

    with closing(Database(sqlite_clinic.url)) as database, database.write() as connection:
        change_status(
            connection,
            {one},
            before=AppointmentStatus.SCHEDULED,
            after=AppointmentStatus.NO_SHOW,
            at=AT,
        )

    stored = sqlite_clinic.value("SELECT updated_at FROM appointments WHERE id = :id", id=one)
    assert stored == "2026-11-25 21:00:00"


def test_a_locked_read_leaves_out_what_somebody_else_is_changing(postgres_clinic: Clinic) -> None:
    free, held = add(postgres_clinic, HOUR), add(postgres_clinic, HOUR)
    appointments = Appointments(times_of(postgres_clinic))
    url = postgres_clinic.url.replace("postgresql+psycopg://", "postgresql://")

    with psycopg.connect(url) as other, closing(Database(postgres_clinic.url)) as database:
        other.execute("UPDATE appointments SET notes = 'phoned' WHERE id = %s", [held])
        with database.write() as connection:
            found = appointments.by_id(connection, {free, held}, lock=True)

    assert found.keys() == {free}


def test_a_locked_read_keeps_others_from_changing_it(postgres_clinic: Clinic) -> None:
    held = add(postgres_clinic, HOUR)
    appointments = Appointments(times_of(postgres_clinic))
    postgres_clinic.execute("SET lock_timeout = '50ms'")

    with closing(Database(postgres_clinic.url)) as database, database.write() as connection:
        appointments.by_id(connection, {held}, lock=True)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            postgres_clinic.set_status(held, "COMPLETED")

    assert postgres_clinic.status(held) == "SCHEDULED"
