"""The due rule, restated slowly and compared: in minutes on a wall clock, and in real SQL."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartia_jobs import kinds
from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.rules.hours import SendingHours
from smartia_jobs.clinic.rules.reminders import ReminderRule
from smartia_jobs.clinic.times import Storage, StoredTimes, to_instant, to_wall
from smartia_jobs.database import Database
from smartia_jobs.report import Reason
from smartia_jobs.settings import QuietHours, ReminderTimes
from tests.clinic.wall_clock import DAY, DAYS, MINUTE, around, first_shown, minutes, wall
from tests.support import Clinic

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
HOUR = timedelta(hours=1)
DAY_AHEAD, HOURS_AHEAD = (kinds.DAY_AHEAD.times, kinds.HOURS_AHEAD.times)
WEEKEND = frozenset({5, 6})
NOW = wall("2026-11-23 09:00").replace(tzinfo=SAO_PAULO).astimezone(UTC)

zoned_days = st.sampled_from(DAYS)


@st.composite
def some_times(draw: st.DrawFn) -> ReminderTimes:
    """Lead, cadence and latest moment as the settings allow them, in whole minutes."""
    lead = draw(st.integers(60, 48 * 60))
    cadence = 2 * draw(st.integers(5, min(lead - 1, 12 * 60)))
    latest = draw(st.integers(1, lead - cadence // 2))
    return ReminderTimes(lead * MINUTE, cadence * MINUTE, latest * MINUTE)


reminder_times = st.sampled_from([DAY_AHEAD, HOURS_AHEAD]) | some_times()


def rule_of(
    times: ReminderTimes, zone: ZoneInfo = SAO_PAULO, no_send_days: frozenset[int] = frozenset()
) -> ReminderRule:
    return ReminderRule(times, SendingHours(zone, None, no_send_days), bridges_days=True)


def visit_at(
    start_at: datetime | None,
    *,
    status: AppointmentStatus | None = AppointmentStatus.SCHEDULED,
    booked_at: datetime | None = None,
    patient_exists: bool = True,
) -> Appointment:
    start = to_wall(start_at, SAO_PAULO) if start_at else None
    return Appointment(
        1, 1, status, start_at, start, booked_at=booked_at, patient_exists=patient_exists
    )


# -- which visits are due -----------------------------------------------------------------------


@given(st.data(), zoned_days, st.integers(-24 * 60, 48 * 60), reminder_times)
def test_a_visit_is_due_from_latest_to_lead_and_half_a_cadence_ahead(
    data: st.DataObject, zoned_day: tuple[str, date], minute: int, times: ReminderTimes
) -> None:
    zone, day = zoned_day
    start = around(day, minute)
    latest, farthest = times.latest // MINUTE, (times.lead + times.cadence / 2) // MINUTE
    near_an_edge = st.sampled_from([latest, farthest]).flatmap(
        lambda edge: st.integers(edge - 1, edge + 1)
    )
    ahead = data.draw(near_an_edge | st.integers(0, 60 * 60), label="minutes ahead")
    now = first_shown(zone, day, start)
    for _ in range(ahead):
        now -= MINUTE
    start_at = StoredTimes(Storage.TEXT, ZoneInfo(zone)).read(f"{start}")

    window = rule_of(times).window(now)

    assert start_at is not None
    assert (start_at in window) == (latest <= ahead <= farthest)


@given(zoned_days, st.integers(0, 72 * 60), st.frozensets(st.integers(0, 6), max_size=6))
def test_days_without_sending_that_follow_are_reminded_ahead(
    zoned_day: tuple[str, date], minute: int, no_send_days: frozenset[int]
) -> None:
    zone, day = zoned_day
    now, shown = minutes(zone, day)[3 * 24 * 60 + minute]
    bridged, following = 0, shown.date() + DAY
    while following.weekday() in no_send_days:
        bridged, following = bridged + 1, following + DAY

    window = rule_of(DAY_AHEAD, ZoneInfo(zone), no_send_days).window(now)

    assert window.from_at == now + 6 * HOUR
    assert window.until_at == now + 36 * HOUR + bridged * DAY


def test_fridays_run_reminds_mondays_patients_and_saturdays_says_why_it_does_not() -> None:
    rule = rule_of(DAY_AHEAD, no_send_days=WEEKEND)
    friday, monday_evening = NOW - 3 * DAY, visit_at(NOW + 12 * HOUR)

    assert monday_evening.start_at == rule.window(friday).until_at
    assert rule.refusal(monday_evening, friday) is None
    assert rule.refusal(monday_evening, friday + DAY) is Reason.NO_SEND_DAY


def test_only_the_reminder_of_a_day_ahead_bridges_days() -> None:
    hours = SendingHours(SAO_PAULO, None, WEEKEND)
    friday = NOW - 3 * DAY

    window = ReminderRule(HOURS_AHEAD, hours).window(friday)

    assert window.until_at == friday + 2.5 * HOUR


# -- three days ahead ---------------------------------------------------------------------------


def days_ahead(
    zone: ZoneInfo = SAO_PAULO, no_send_days: frozenset[int] = frozenset()
) -> ReminderRule:
    """The rule of 72h as shipped, whose visits 24h takes over."""
    kind = kinds.DAYS_AHEAD
    return replace(
        rule_of(kind.times, zone, no_send_days),
        conditions=kind.conditions,
        followed_by=rule_of(DAY_AHEAD, zone, no_send_days),
    )


@given(zoned_days, st.integers(0, 72 * 60), st.frozensets(st.integers(0, 6), max_size=6))
def test_what_a_day_ahead_can_be_reminded_of_is_not_reminded_of_three_days_ahead(
    zoned_day: tuple[str, date], minute: int, no_send_days: frozenset[int]
) -> None:
    zone, day = zoned_day
    now, _ = minutes(zone, day)[3 * 24 * 60 + minute]
    nearer = rule_of(DAY_AHEAD, ZoneInfo(zone), no_send_days).window(now)

    window = days_ahead(ZoneInfo(zone), no_send_days).window(now)

    assert nearer.until_at not in window
    assert nearer.until_at + timedelta(microseconds=1) in window
    assert window.until_at - nearer.until_at == 48 * HOUR


def test_the_days_of_a_weekend_without_messages_are_bridged_three_days_ahead_as_well() -> None:
    friday = NOW - 3 * DAY

    window = days_ahead(no_send_days=WEEKEND).window(friday)

    assert (
        window.from_at == wall("2026-11-23 21:00").replace(tzinfo=SAO_PAULO) + timedelta.resolution
    )
    assert window.until_at == wall("2026-11-25 21:00").replace(tzinfo=SAO_PAULO)


@given(st.integers(0, 4 * 24 * 3600))
def test_runs_each_morning_ask_every_patient_three_days_ahead(seconds: int) -> None:
    start_at = NOW + timedelta(seconds=seconds)
    runs = [NOW + n * DAY for n in range(-5, 5)]

    asking = [now for now in runs if start_at in days_ahead().window(now)]

    # The first of them tells; the second makes up for one that did not happen.
    assert len(asking) == 2
    assert 60 * HOUR <= start_at - asking[0] <= 84 * HOUR


@pytest.mark.parametrize(
    ("status", "booked_at", "reason"),
    [
        ("SCHEDULED", "2026-11-19 23:59", None),
        ("SCHEDULED", "2026-11-20 00:00", Reason.BOOKED_LATELY),  # six days, not seven
        ("SCHEDULED", "2026-11-26 08:00", Reason.BOOKED_LATELY),
        ("SCHEDULED", "2026-11-27 08:00", None),  # after the visit: nobody knows when
        ("SCHEDULED", None, None),
        ("CONFIRMED", "2026-11-01 08:00", Reason.CONFIRMED),
        ("CONFIRMED", None, Reason.CONFIRMED),
        ("CANCELLED", None, Reason.NO_LONGER_OPEN),
    ],
)
def test_three_days_ahead_only_who_booked_long_ahead_and_has_not_confirmed_is_asked(
    status: str, booked_at: str | None, reason: Reason | None
) -> None:
    booked = wall(booked_at).replace(tzinfo=SAO_PAULO).astimezone(UTC) if booked_at else None
    visit = visit_at(NOW + 72 * HOUR, status=AppointmentStatus(status), booked_at=booked)

    assert days_ahead().refusal(visit, NOW) is reason


def test_a_condition_outranks_that_it_is_too_late_so_that_nothing_is_missed_of_it() -> None:
    confirmed = visit_at(NOW + HOUR, status=AppointmentStatus.CONFIRMED)

    assert days_ahead().refusal(confirmed, NOW) is Reason.CONFIRMED
    assert not days_ahead().could_have_been_reminded(confirmed)


# -- the same in SQL ----------------------------------------------------------------------------

OpenClinic = tuple[Clinic, Storage]

#: Every 40 minutes from a day before to two days after: on the hour and off it, in gaps too.
STARTS = range(-24 * 60, 72 * 60, 40)
#: Runs at these minutes of the day, and a reminder for each.
RUNS = ((9 * 60, DAY_AHEAD), (-3 * 60, DAY_AHEAD), (-23, HOURS_AHEAD), (80, HOURS_AHEAD))


@pytest.fixture(params=list(Storage), ids=str)
def stored_clinic(request: pytest.FixtureRequest) -> OpenClinic:
    """A clinic for each way of storing dates."""
    fixtures = {Storage.TEXT: "sqlite_clinic", Storage.TIMESTAMP: "plain_timestamp_clinic"}
    clinic: Clinic = request.getfixturevalue(fixtures.get(request.param, "postgres_clinic"))
    return clinic, request.param


def written(storage: Storage, place: int, start: datetime, start_at: datetime) -> str:
    """Return a date as SmartIA or, on SQLite, now and then another program writes it."""
    if storage is Storage.INSTANT:
        return f"{start_at}"
    forms = [f"{start:%Y-%m-%d %H:%M:%S.%f}"]
    if storage is Storage.TEXT:
        forms += [f"{start}", f"{start:%Y-%m-%dT%H:%M}", f"{start_at.isoformat()}"]
    return forms[place % len(forms)]


def book(clinic: Clinic, storage: Storage, zone: str, day: date) -> dict[int, datetime]:
    """Replace all visits by those at STARTS; return id → the instant, read off the wall clock."""
    starts = [around(day, minute) for minute in STARTS]
    instants = [first_shown(zone, day, start) for start in starts]
    rows = ", ".join(
        f"({n}, 1, 'Consulta', '{written(storage, n, starts[n], instants[n])}', 'SCHEDULED')"
        for n in range(len(starts))
    )
    clinic.execute("DELETE FROM appointments")
    clinic.execute(
        f"INSERT INTO appointments (id, patient_id, title, appointment_date, status) VALUES {rows}"
    )
    return dict(enumerate(instants))


def test_every_database_finds_the_visits_that_a_slow_count_finds(
    stored_clinic: OpenClinic,
) -> None:
    clinic, storage = stored_clinic
    clinic.add_patient()
    database = Database(clinic.url)
    found: dict[tuple[object, ...], set[int]] = {}
    counted: dict[tuple[object, ...], set[int]] = {}

    for zone, day in DAYS:
        start_of = book(clinic, storage, zone, day)
        appointments = Appointments(StoredTimes(storage, ZoneInfo(zone)))
        for minute, times in RUNS:
            now = first_shown(zone, day, around(day, minute))
            with database.read() as connection:
                page = appointments.page(connection, rule_of(times).window(now), size=1000)
            case = (zone, day, minute)
            found[case] = {visit.id for visit in page.appointments}
            counted[case] = {
                visit
                for visit, start_at in start_of.items()
                if times.latest <= start_at - now <= times.lead + times.cadence / 2
            }
    database.close()

    assert found == counted
    assert all(counted.values())


# -- every visit in some run, and in the nearest ------------------------------------------------


def runs_around(start_at: datetime, first_at: datetime, times: ReminderTimes) -> list[datetime]:
    """Return the runs, one each cadence, from before the visit can be due to after."""
    runs = [first_at]
    while runs[0] > start_at - times.lead - 2 * times.cadence:
        runs.insert(0, runs[0] - times.cadence)
    while runs[-1] < start_at:
        runs.append(runs[-1] + times.cadence)
    return runs


@given(st.integers(0, 2 * 24 * 3600), reminder_times)
def test_each_visit_is_due_in_the_run_nearest_to_its_lead(
    seconds: int, times: ReminderTimes
) -> None:
    start_at = NOW + timedelta(seconds=seconds)
    runs = runs_around(start_at, NOW, times)

    nearest = min(runs, key=lambda run: abs(start_at - times.lead - run))

    assert start_at in rule_of(times).window(nearest)


@given(st.integers(0, 2 * 24 * 3600), reminder_times)
def test_a_skipped_run_is_caught_up_by_the_next_while_that_is_of_use(
    seconds: int, times: ReminderTimes
) -> None:
    start_at = NOW + timedelta(seconds=seconds)
    runs = runs_around(start_at, NOW, times)
    skipped = min(runs, key=lambda run: abs(start_at - times.lead - run))

    following = runs[runs.index(skipped) + 1]

    assert (start_at in rule_of(times).window(following)) == (start_at >= following + times.latest)


@given(zoned_days, st.integers(0, 24 * 60), st.times(time(6), time(12)))
def test_a_run_each_morning_misses_no_visit_on_whatever_day(
    zoned_day: tuple[str, date], minute: int, every_day_at: time
) -> None:
    zone, day = zoned_day
    start_at = first_shown(zone, day, around(day, minute))
    mornings = (datetime.combine(day + n * DAY, every_day_at) for n in range(-3, 3))
    runs = [to_instant(morning, ZoneInfo(zone)) for morning in mornings]

    reminding = [now for now in runs if start_at in rule_of(DAY_AHEAD).window(now)]

    assert reminding


@given(zoned_days, st.integers(0, 24 * 60), st.integers(0, 59))
def test_a_run_each_hour_of_the_clock_misses_no_visit_on_whatever_day(
    zoned_day: tuple[str, date], minute: int, at_minute: int
) -> None:
    zone, day = zoned_day
    start_at = first_shown(zone, day, around(day, minute))
    # Like cron: once an hour by the clock, so twice in the hour that comes twice.
    near = (m for m in minutes(zone, day) if timedelta(0) <= start_at - m[0] <= 4 * HOUR)
    runs = [instant for instant, shown in near if shown.minute == at_minute]

    reminding = [now for now in runs if start_at in rule_of(HOURS_AHEAD).window(now)]

    assert reminding


# -- too late, and missed -----------------------------------------------------------------------


@given(st.integers(-2 * 24 * 3600, 3 * 24 * 3600), reminder_times)
def test_a_visit_is_old_or_missed_or_due_or_still_far_and_nothing_falls_between(
    seconds: int, times: ReminderTimes
) -> None:
    rule, start_at = rule_of(times), NOW + timedelta(seconds=seconds)

    places = [
        start_at < rule.missed_window(NOW).from_at,
        start_at in rule.missed_window(NOW),
        start_at in rule.window(NOW),
        start_at > rule.window(NOW).until_at,
    ]

    assert places.count(True) == 1


@given(st.integers(0, 2 * 24 * 3600), reminder_times)
def test_of_regular_runs_exactly_one_can_count_a_visit_as_missed(
    seconds: int, times: ReminderTimes
) -> None:
    start_at = NOW + timedelta(seconds=seconds)
    runs = runs_around(start_at, NOW, times)
    runs += [runs[-1] + times.cadence * n for n in (1, 2)]

    assert sum(start_at in rule_of(times).missed_window(now) for now in runs) == 1


@pytest.mark.parametrize(
    ("booked_ahead", "min_notice", "could"),
    [
        (None, timedelta(0), True),  # nobody knows when it was booked
        (24 * HOUR + timedelta(seconds=1), timedelta(0), True),
        (24 * HOUR, timedelta(0), False),  # booked exactly at its lead
        (HOUR, timedelta(0), False),
        (48 * HOUR + timedelta(seconds=1), 48 * HOUR, True),
        (48 * HOUR, 48 * HOUR, True),  # notice enough, to the second
        (47 * HOUR, 48 * HOUR, False),
        (None, 48 * HOUR, True),
        (-HOUR, timedelta(0), False),  # entered after the visit
    ],
)
def test_a_visit_is_missed_only_if_it_was_booked_in_time_for_its_reminder(
    booked_ahead: timedelta | None, min_notice: timedelta, could: bool
) -> None:
    rule = ReminderRule(DAY_AHEAD, SendingHours(SAO_PAULO), min_notice)
    start_at = NOW + HOUR
    booked_at = None if booked_ahead is None else start_at - booked_ahead

    assert rule.could_have_been_reminded(visit_at(start_at, booked_at=booked_at)) is could


@pytest.mark.parametrize(
    "visit",
    [
        visit_at(None),
        visit_at(NOW, status=None),
        visit_at(NOW, status=AppointmentStatus.CANCELLED),
        visit_at(NOW, patient_exists=False),
    ],
    ids=["no date", "no status", "cancelled", "no patient"],
)
def test_what_could_never_be_reminded_is_not_missed(visit: Appointment) -> None:
    assert not rule_of(DAY_AHEAD).could_have_been_reminded(visit)


# -- why not ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("visit", "reason"),
    [
        (visit_at(NOW + 24 * HOUR), None),
        (visit_at(NOW + 24 * HOUR, status=AppointmentStatus.CONFIRMED), None),
        (visit_at(None), Reason.UNREADABLE_DATE),
        (visit_at(NOW + 24 * HOUR, status=None), Reason.NO_STATUS),
        (visit_at(NOW + 24 * HOUR, status=AppointmentStatus.CANCELLED), Reason.NO_LONGER_OPEN),
        (visit_at(NOW + 24 * HOUR, status=AppointmentStatus.NO_SHOW), Reason.NO_LONGER_OPEN),
        (visit_at(NOW + 24 * HOUR, patient_exists=False), Reason.PATIENT_MISSING),
        (visit_at(NOW + 6 * HOUR), None),
        (visit_at(NOW + 6 * HOUR - timedelta(microseconds=1)), Reason.TOO_LATE),
    ],
)
def test_a_visit_gets_its_reminder_or_the_reason_why_not(
    visit: Appointment, reason: Reason | None
) -> None:
    assert rule_of(DAY_AHEAD).refusal(visit, NOW) is reason


@pytest.mark.parametrize(
    ("booked_ahead", "reason"),
    [(2 * DAY, None), (2 * DAY - timedelta(seconds=1), Reason.SHORT_NOTICE), (None, None)],
)
def test_visits_booked_at_short_notice_are_left_alone_where_the_clinic_says_so(
    booked_ahead: timedelta | None, reason: Reason | None
) -> None:
    rule = ReminderRule(DAY_AHEAD, SendingHours(SAO_PAULO), min_notice=2 * DAY)
    start_at = NOW + DAY
    booked_at = None if booked_ahead is None else start_at - booked_ahead

    assert rule.refusal(visit_at(start_at, booked_at=booked_at), NOW) is reason


def test_a_date_of_booking_that_cannot_be_true_costs_no_reminder() -> None:
    visit = visit_at(NOW + DAY, booked_at=NOW + 2 * DAY)

    assert rule_of(DAY_AHEAD).refusal(visit, NOW) is None


def test_quiet_hours_are_the_last_reason() -> None:
    hours = SendingHours(SAO_PAULO, QuietHours(time(8), time(10)))
    rule = ReminderRule(DAY_AHEAD, hours)

    assert rule.refusal(visit_at(NOW + DAY), NOW) is Reason.QUIET_HOURS
    assert rule.refusal(visit_at(NOW + HOUR), NOW) is Reason.TOO_LATE


# -- until when ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quiet_hours", "closes_at"),
    [
        (None, NOW + 99 * DAY),
        (QuietHours(time(21), time(7)), NOW + 12 * HOUR),
    ],
    ids=["always open", "quiet nights"],
)
def test_a_reminder_may_be_tried_until_it_is_of_no_use_or_the_clinic_closes(
    quiet_hours: QuietHours | None, closes_at: datetime
) -> None:
    rule = ReminderRule(DAY_AHEAD, SendingHours(SAO_PAULO, quiet_hours))

    until = {h: rule.send_before(visit_at(NOW + h * HOUR), NOW) for h in (7, 18, 19, 36)}

    assert until == {h: min(NOW + (h - 6) * HOUR, closes_at) for h in until}


def test_a_visit_without_a_readable_date_is_not_tried_at_all() -> None:
    assert rule_of(DAY_AHEAD).send_before(visit_at(None), NOW) == NOW
