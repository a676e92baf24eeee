"""Quiet hours and days without sending, against a clock read minute by minute."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smartia_jobs.clinic.rules.hours import SendingHours
from smartia_jobs.report import Reason
from smartia_jobs.settings import QuietHours, Settings
from tests.clinic.wall_clock import DAYS, MINUTE, minutes, wall

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
FRIDAY, SATURDAY, SUNDAY = 4, 5, 6

times_of_day = st.times(time(0), time(23, 59)).map(lambda t: t.replace(second=0, microsecond=0))
#: Between them lies what happens to clocks at night.
night_times = st.sampled_from([time(23, 30), time(0), time(0, 30), time(1, 30), time(2, 10)])
edges = times_of_day | night_times
hours_of_day = st.tuples(edges, edges).filter(lambda edge: edge[0] != edge[1])
quiet_hours = st.none() | hours_of_day.map(lambda edge: QuietHours(*edge))
no_send_days = st.frozensets(st.integers(0, 6), max_size=3)


def at(text: str, zone: ZoneInfo = SAO_PAULO) -> datetime:
    return wall(text).replace(tzinfo=zone).astimezone(UTC)


def quiet(start: str, end: str) -> QuietHours:
    return QuietHours(time.fromisoformat(start), time.fromisoformat(end))


def closed_minutes(
    zone: str, day: date, hours: QuietHours | None, no_send: frozenset[int]
) -> list[tuple[datetime, Reason | None]]:
    """Walk through the minutes with a clock that stands still rather than go back."""
    walked: list[tuple[datetime, Reason | None]] = []
    shown = minutes(zone, day)[0][1]
    for instant, reading in minutes(zone, day):
        shown = max(shown, reading)
        clock = shown.time()
        reason = None
        if hours is not None:
            is_quiet = (
                hours.start <= clock < hours.end
                if hours.start <= hours.end
                else clock >= hours.start or clock < hours.end
            )
            reason = Reason.QUIET_HOURS if is_quiet else None
        if shown.weekday() in no_send:
            reason = Reason.NO_SEND_DAY
        walked.append((instant, reason))
    return walked


@settings(max_examples=40)
@given(st.sampled_from(DAYS), quiet_hours, no_send_days, st.integers(0, 59))
@example(("America/Santiago", date(2024, 4, 6)), quiet("23:30", "07:00"), frozenset(), 0)
@example(("America/New_York", date(2024, 11, 3)), quiet("21:00", "01:30"), frozenset(), 0)
@example(("America/New_York", date(2024, 3, 10)), quiet("02:10", "02:40"), frozenset(), 0)
@example(("America/Sao_Paulo", date(2018, 11, 4)), None, frozenset({SUNDAY}), 0)
@example(("America/Sao_Paulo", date(2018, 2, 17)), quiet("12:00", "13:00"), frozenset({SUNDAY}), 0)
def test_the_clinic_is_closed_in_just_the_minutes_that_the_clock_says(
    zoned_day: tuple[str, date],
    hours: QuietHours | None,
    no_send: frozenset[int],
    first: int,
) -> None:
    zone, day = zoned_day
    sending = SendingHours(ZoneInfo(zone), hours, no_send)
    walked = closed_minutes(zone, day, hours, no_send)
    # From a day before to a day after, every hour from some minute on, and around each change.
    middle = range(3 * 24 * 60, 6 * 24 * 60)
    changes = {n for n in middle if (walked[n][1] is None) != (walked[n - 1][1] is None)}
    looked_at = {*middle[first::60], *changes, *(n - 1 for n in changes)}

    said = {n: sending.closed(walked[n][0]) for n in looked_at}

    assert said == {n: walked[n][1] for n in looked_at}


@settings(max_examples=40)
@given(st.sampled_from(DAYS), quiet_hours, no_send_days, st.integers(0, 2 * 24 * 60))
@example(("America/Santiago", date(2024, 4, 6)), quiet("23:30", "07:00"), frozenset(), 24 * 60)
@example(("America/New_York", date(2024, 11, 3)), quiet("21:00", "01:30"), frozenset(), 30 * 60)
@example(("America/New_York", date(2024, 3, 10)), quiet("02:10", "02:40"), frozenset(), 30 * 60)
def test_whoever_may_send_may_do_so_until_the_next_closing_and_no_longer(
    zoned_day: tuple[str, date],
    hours: QuietHours | None,
    no_send: frozenset[int],
    minute: int,
) -> None:
    zone, day = zoned_day
    sending = SendingHours(ZoneInfo(zone), hours, no_send)
    walked = closed_minutes(zone, day, hours, no_send)[3 * 24 * 60 + minute :]
    opened = next(n for n, (_, reason) in enumerate(walked) if reason is None)
    following = walked[opened:]

    closing = sending.next_closing(following[0][0])

    stepped = next((instant for instant, reason in following if reason is not None), None)
    # What lies behind the days that were walked through may only come later.
    assert closing == stepped or (stepped is None and (not closing or closing > walked[-1][0]))


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        ("2026-11-23 20:59:59.999999", None),
        ("2026-11-23 21:00", Reason.QUIET_HOURS),
        ("2026-11-24 00:00", Reason.QUIET_HOURS),
        ("2026-11-24 06:59:59.999999", Reason.QUIET_HOURS),
        ("2026-11-24 07:00", None),
    ],
)
def test_quiet_hours_cross_midnight_and_are_over_at_their_end(
    moment: str, reason: Reason | None
) -> None:
    sending = SendingHours(SAO_PAULO, quiet("21:00", "07:00"))

    assert sending.closed(at(moment)) is reason


def test_a_day_without_sending_is_named_before_the_quiet_hours_in_it() -> None:
    sending = SendingHours(SAO_PAULO, quiet("21:00", "07:00"), frozenset({SUNDAY}))

    assert sending.closed(at("2026-11-22 03:00")) is Reason.NO_SEND_DAY
    assert sending.closed(at("2026-11-22 23:00")) is Reason.NO_SEND_DAY
    assert sending.closed(at("2026-11-23 03:00")) is Reason.QUIET_HOURS


def test_a_clinic_without_such_hours_never_closes() -> None:
    sending = SendingHours.of(Settings())

    assert sending.closed(at("2026-11-22 03:00")) is None
    assert sending.next_closing(at("2026-11-22 03:00")) is None


@pytest.mark.parametrize("moment", ["2026-11-22 00:00", "2026-11-22 12:00", "2026-11-23 00:00"])
def test_the_next_closing_may_be_a_week_away(moment: str) -> None:
    sending = SendingHours(SAO_PAULO, no_send_days=frozenset({SUNDAY}))

    closing = sending.next_closing(at(moment))

    assert closing == at("2026-11-29 00:00")


def test_a_clinic_that_closes_at_this_moment_is_closed() -> None:
    sending = SendingHours(SAO_PAULO, quiet("21:00", "07:00"))
    closing = sending.next_closing(at("2026-11-23 09:00"))

    assert closing == at("2026-11-23 21:00")
    assert sending.closed(closing) is Reason.QUIET_HOURS
    assert sending.closed(closing - MINUTE) is None


@pytest.mark.parametrize(
    ("no_send", "day", "following"),
    [
        ({SATURDAY, SUNDAY}, "2026-11-19", 0),
        ({SATURDAY, SUNDAY}, "2026-11-20", 2),
        ({SATURDAY, SUNDAY}, "2026-11-21", 1),
        ({SATURDAY, SUNDAY}, "2026-11-22", 0),
        ({SUNDAY}, "2026-11-20", 0),
        ({SUNDAY}, "2026-11-21", 1),
        (set(), "2026-11-20", 0),
        ({0, 1, 2, 3, 4, 5, 6}, "2026-11-20", 7),
    ],
)
def test_the_days_without_sending_that_follow_are_counted(
    no_send: set[int], day: str, following: int
) -> None:
    sending = SendingHours(SAO_PAULO, no_send_days=frozenset(no_send))

    assert sending.closed_days_after(at(f"{day} 09:00")) == following


@pytest.mark.parametrize("hour", [0, 23])
def test_which_day_it_is_says_the_clinics_clock(hour: int) -> None:
    sending = SendingHours(ZoneInfo("Pacific/Apia"), no_send_days=frozenset({SATURDAY, SUNDAY}))
    friday = at("2026-11-20", sending.zone) + timedelta(hours=hour)

    assert sending.closed(friday) is None
    assert sending.closed_days_after(friday) == 2
