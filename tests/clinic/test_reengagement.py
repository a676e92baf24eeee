"""Who is invited back: the pure rule, and what a person's other visits say."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.no_show_visits import NoShowVisits
from smartia_jobs.clinic.rules.hours import SendingHours
from smartia_jobs.clinic.rules.reengagement import ReengagementRule, veto
from smartia_jobs.clinic.rules.window import Window
from smartia_jobs.clinic.times import Storage, StoredTimes, to_instant
from smartia_jobs.database import Database
from smartia_jobs.report import Reason
from smartia_jobs.settings import QuietHours, Settings
from tests.support import Clinic

ZONE = ZoneInfo("America/Sao_Paulo")
WEDNESDAY_18 = datetime.fromisoformat("2026-11-25T18:00")
NOW = WEDNESDAY_18.replace(tzinfo=ZONE).astimezone(UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

RULE = ReengagementRule.of(Settings())
NO_SHOW = AppointmentStatus.NO_SHOW


def visit(
    start: str, status: AppointmentStatus | None = NO_SHOW, *, id: int = 1, zone: ZoneInfo = ZONE
) -> Appointment:
    wall = datetime.fromisoformat(start)
    return Appointment(id, 1, status, to_instant(wall, zone), wall)


# -- the rule ----------------------------------------------------------------------------------


def test_by_default_patients_are_written_to_from_one_hour_to_two_days_after() -> None:
    assert RULE.window(NOW) == Window(NOW - 48 * HOUR, NOW - HOUR)


@pytest.mark.parametrize(
    ("after", "expected"), [(None, 20), (timedelta(0), 0), (timedelta(minutes=90), 90)]
)
def test_late_arrivals_get_the_time_that_was_set(after: timedelta | None, expected: int) -> None:
    settings = replace(Settings(), no_show_grace=20 * MINUTE, reengage_after=after)

    assert ReengagementRule.of(settings).window(NOW).until_at == NOW - expected * MINUTE


@pytest.mark.parametrize("status", [*AppointmentStatus, None])
def test_only_a_no_show_is_written_about(status: AppointmentStatus | None) -> None:
    reason = RULE.refusal(visit("2026-11-25T15:00", status), NOW)

    assert reason == (None if status is NO_SHOW else Reason.NO_LONGER_OPEN)


def test_an_invitation_is_useful_up_to_its_last_instant() -> None:
    missed = visit("2026-11-23T18:00")

    assert RULE.refusal(missed, NOW - timedelta.resolution) is None
    assert RULE.refusal(missed, NOW) is Reason.TOO_LATE
    assert RULE.send_before(missed, NOW - HOUR) == NOW


def test_two_days_are_48_hours_on_the_night_the_clocks_change() -> None:
    missed = visit("2018-11-03T10:00")  # São Paulo's midnight after it did not exist

    assert RULE.send_before(missed, NOW) == datetime.fromisoformat("2018-11-05T13:00Z")


def test_no_invitation_leaves_in_quiet_hours() -> None:
    hours = SendingHours(ZONE, QuietHours(time(21), time(7)))
    rule = ReengagementRule(HOUR, 48 * HOUR, hours)
    missed = visit("2026-11-25T15:00")

    assert rule.refusal(missed, NOW + 3 * HOUR) is Reason.QUIET_HOURS
    assert rule.send_before(missed, NOW) == NOW + 3 * HOUR


def test_bad_rows_are_told_apart() -> None:
    unreadable = replace(visit("2026-11-25T15:00"), start_at=None, start=None)
    orphan = replace(visit("2026-11-25T15:00"), patient_exists=False)

    assert RULE.refusal(unreadable, NOW) is Reason.UNREADABLE_DATE
    assert RULE.refusal(orphan, NOW) is Reason.PATIENT_MISSING
    assert RULE.send_before(unreadable, NOW) == NOW


# -- other visits ---------------------------------------------------------------------------------

MISSED = visit("2026-11-25T12:00", id=5)
DUE = RULE.window(NOW)


@pytest.mark.parametrize(
    ("start", "status", "expected"),
    [
        ("2026-11-26T09:00", "SCHEDULED", Reason.REBOOKED),
        ("2027-03-01T09:00", "CONFIRMED", Reason.REBOOKED),
        ("2026-11-25T12:01", "SCHEDULED", Reason.REBOOKED),
        ("2026-11-25T12:00", "SCHEDULED", None),
        ("2026-11-25T11:00", "CONFIRMED", None),
        ("2026-11-26T09:00", "COMPLETED", Reason.REBOOKED),
        ("2026-11-25T11:00", "COMPLETED", Reason.SEEN_AFTER_ALL),
        ("2026-11-25T13:00", "COMPLETED", Reason.SEEN_AFTER_ALL),
        ("2026-11-24T23:59", "COMPLETED", None),
        ("2026-11-26T09:00", "CANCELLED", None),
        ("2026-11-25T13:00", "CANCELLED", None),
        ("2026-11-25T11:00", "NO_SHOW", Reason.ALREADY_INVITED),
        ("2026-11-25T13:00", "NO_SHOW", None),
        ("2026-11-24T11:00", "NO_SHOW", Reason.ALREADY_INVITED),
        ("2026-11-23T18:00", "NO_SHOW", Reason.ALREADY_INVITED),
        ("2026-11-23T17:59", "NO_SHOW", None),  # out of reach by now
        ("2026-11-26T13:00", "NO_SHOW", None),
    ],
)
def test_each_other_visit_has_its_meaning(start: str, status: str, expected: Reason | None) -> None:
    other = visit(start, AppointmentStatus(status), id=6)

    assert veto(MISSED, [other], due=DUE) is expected


def test_of_two_visits_missed_at_the_same_minute_the_older_row_is_told() -> None:
    other = replace(MISSED, id=6)

    assert veto(MISSED, [other], due=DUE) is None
    assert veto(other, [MISSED], due=DUE) is Reason.ALREADY_INVITED


def test_of_any_number_of_missed_visits_the_earliest_is_told() -> None:
    missed = [visit(f"2026-11-{day}T09:00", id=10 - day % 10) for day in (24, 25)]
    missed.append(visit("2026-11-24T08:00", id=9))

    reasons = {one.id: veto(one, [o for o in missed if o is not one], due=DUE) for one in missed}

    assert reasons == {9: None, 6: Reason.ALREADY_INVITED, 5: Reason.ALREADY_INVITED}


@pytest.mark.parametrize(
    ("start", "status"),
    [
        ("2026-11-23T20:00", "COMPLETED"),  # came later on the day of the first
        ("2026-11-24T09:00", "COMPLETED"),  # or on the next
        ("2026-11-25T09:00", "SCHEDULED"),  # or had booked that, which nobody has closed yet
    ],
)
def test_an_earlier_visit_that_is_not_written_about_does_not_cost_the_later_its_message(
    start: str, status: str
) -> None:
    first, second = visit("2026-11-23T19:00", id=6), visit("2026-11-25T12:00", id=8)
    between = visit(start, AppointmentStatus(status), id=7)

    assert veto(first, [between, second], due=DUE) is not None
    assert veto(second, [first, between], due=DUE) is None


def test_the_first_reason_in_their_order_is_reported() -> None:
    others = [
        visit("2026-11-25T10:00", id=6),
        visit("2026-11-25T14:00", AppointmentStatus.COMPLETED, id=7),
        visit("2026-11-26T14:00", AppointmentStatus.SCHEDULED, id=8),
    ]

    assert veto(MISSED, others, due=DUE) is Reason.REBOOKED
    assert veto(MISSED, others[:2], due=DUE) is Reason.SEEN_AFTER_ALL


def test_days_are_the_clinics_own() -> None:
    # 23:30 and 00:30 in São Paulo are one day in UTC and two at the clinic.
    evening = visit("2026-11-24T23:30", AppointmentStatus.COMPLETED, id=6)
    night = visit("2026-11-25T00:30", id=7)

    assert veto(night, [evening], due=DUE) is None


# -- reading them ---------------------------------------------------------------------------------


@pytest.fixture
def database(clinic: Clinic) -> Iterator[Database]:
    with closing(Database(clinic.url)) as opened:
        yield opened


def missed_visits(clinic: Clinic, foreseen: set[int] | None = None) -> NoShowVisits:
    storage = Storage.TEXT if clinic.dialect == "sqlite" else Storage.WALL_AS_UTC
    return NoShowVisits(
        Appointments(StoredTimes(storage, ZONE)),
        DUE,
        identify=lambda one: (one.phone or "")[-8:],
        foreseen=foreseen or (),
    )


def add(
    clinic: Clinic, ago: timedelta, status: str = "NO_SHOW", patient_id: int | None = None
) -> int:
    return clinic.add_appointment(
        patient_id or clinic.add_patient(), WEDNESDAY_18 - ago, status, 60
    )


def test_missed_visits_come_oldest_first_and_each_by_itself(
    clinic: Clinic, database: Database
) -> None:
    patient = clinic.add_patient()
    late, early = (
        add(clinic, 2 * HOUR, patient_id=patient),
        add(clinic, HOUR * 4, patient_id=patient),
    )
    add(clinic, 3 * HOUR, "SCHEDULED")
    add(clinic, 30 * MINUTE)
    visits = missed_visits(clinic)

    with database.read() as connection:
        pages = [visits.next_page(connection), visits.next_page(connection)]

    assert [[[one.id for one in day] for day in page or ()] for page in pages] == [
        [[early], [late]],
        [],
    ]
    assert pages[1] is None


def test_foreseen_marks_are_read_as_if_they_were_written(
    clinic: Clinic, database: Database
) -> None:
    patient = clinic.add_patient()
    marked, foreseen, open_one = (
        add(clinic, 4 * HOUR),
        add(clinic, 3 * HOUR, "CONFIRMED", patient),
        add(clinic, 2 * HOUR, "SCHEDULED", patient),
    )
    visits = missed_visits(clinic, {foreseen})

    with database.read() as connection:
        page = visits.next_page(connection) or ()
        others = visits.others(connection, [visit for (visit,) in page])

    assert [visit.id for (visit,) in page] == [marked, foreseen]
    assert [one.id for one in others[foreseen]] == [open_one]


def test_a_persons_other_visits_are_found_from_the_first_day_of_the_window_on(
    clinic: Clinic, database: Database
) -> None:
    patient, same_phone = clinic.add_patient(), clinic.add_patient()
    phone = clinic.value("SELECT phone_number FROM patients WHERE id = :id", id=patient)
    clinic.set_phone(same_phone, f"({phone[2:4]}) {phone[4:9]}-{phone[9:]}")
    missed = add(clinic, 3 * HOUR, patient_id=patient)
    add(clinic, 66 * HOUR + MINUTE, patient_id=patient)  # the evening before that
    found = {
        add(clinic, 66 * HOUR, "COMPLETED", patient),  # midnight
        add(clinic, -30 * DAY, "SCHEDULED", patient),
        add(clinic, -DAY, "SCHEDULED", same_phone),
    }
    add(clinic, -DAY, "SCHEDULED")

    visits = missed_visits(clinic)
    visits.identify = lambda one: "".join(filter(str.isdigit, one.phone or ""))[-8:]
    with database.read() as connection:
        page = [day[0] for day in visits.next_page(connection) or () if day[0].id == missed]
        others = visits.others(connection, page)

    assert {one.id for one in others[missed]} == found


def test_a_whole_page_of_people_is_asked_about_in_one_query(sqlite_clinic: Clinic) -> None:
    for _ in range(50):
        add(sqlite_clinic, 3 * HOUR)
    visits = missed_visits(sqlite_clinic)
    asked: list[str] = []

    with closing(Database(sqlite_clinic.url)) as database, database.read() as connection:
        page = [day[0] for day in visits.next_page(connection) or ()]
        event.listen(connection, "before_cursor_execute", lambda *args: asked.append(args[2]))
        others = visits.others(connection, page)

    assert len(others) == 50
    assert len(asked) == 1


def test_nobody_is_asked_about_without_visits(database: Database, clinic: Clinic) -> None:
    with database.read() as connection:
        assert missed_visits(clinic).others(connection, []) == {}
