"""Stored times: what they mean in the clinic's zone, and bounds that miss none of them."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartia_jobs.clinic.times import (
    Storage,
    StoredTimes,
    read_booked_at,
    to_instant,
    to_wall,
)
from tests.clinic.wall_clock import DAYS, around, first_shown, minutes, wall, zoned_days

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
TOKYO = ZoneInfo("Asia/Tokyo")
ZONES = sorted({name for name, _ in DAYS})

zones = st.sampled_from(ZONES).map(ZoneInfo)
walls = st.datetimes(wall("2000-01-01"), wall("2035-01-01"))
minute_of_days = st.integers(-48 * 60, 72 * 60)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def text_times(zone: ZoneInfo = SAO_PAULO) -> StoredTimes:
    return StoredTimes(Storage.TEXT, zone)


# -- wall time to instant -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "shown", "instant"),
    [
        ("America/New_York", "2024-11-03 01:30", "2024-11-03 05:30"),
        ("Europe/Madrid", "2024-10-27 02:00", "2024-10-27 00:00"),
        ("Australia/Lord_Howe", "2024-04-07 01:45", "2024-04-06 14:45"),
        ("America/Sao_Paulo", "2018-02-17 23:30", "2018-02-18 01:30"),
    ],
)
def test_a_time_that_clocks_show_twice_means_the_first(zone: str, shown: str, instant: str) -> None:
    read = to_instant(wall(shown), ZoneInfo(zone))

    assert read == utc(instant)


@pytest.mark.parametrize(
    ("zone", "shown", "instant"),
    [
        ("America/New_York", "2024-03-10 02:00", "2024-03-10 07:00"),
        ("America/New_York", "2024-03-10 02:59:59.999999", "2024-03-10 07:00"),
        ("Europe/Madrid", "2024-03-31 02:30", "2024-03-31 01:00"),
        ("Australia/Lord_Howe", "2024-10-06 02:10", "2024-10-05 15:30"),
        ("America/Sao_Paulo", "2018-11-04 00:00", "2018-11-04 03:00"),
        ("America/Sao_Paulo", "2018-11-04 00:45:10.5", "2018-11-04 03:00"),
        ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30 10:00"),  # the day that never was
    ],
)
def test_a_time_that_clocks_skip_means_the_end_of_the_gap(
    zone: str, shown: str, instant: str
) -> None:
    read = to_instant(wall(shown), ZoneInfo(zone))

    assert read == utc(instant)


@given(zoned_days, minute_of_days)
def test_a_wall_time_means_the_first_minute_at_which_clocks_have_come_to_it(
    zoned_day: tuple[str, date], minute: int
) -> None:
    zone, day = zoned_day
    shown = around(day, minute)

    read = to_instant(shown, ZoneInfo(zone))

    assert read == first_shown(zone, day, shown)


@given(zones, walls)
def test_what_clocks_show_at_the_instant_of_a_wall_time_is_that_time_or_the_end_of_its_gap(
    zone: ZoneInfo, meant: datetime
) -> None:
    shown = to_wall(to_instant(meant, zone), zone)

    # The widest gap of these years but Samoa's lost day is one hour.
    gap = timedelta(days=1) if zone.key == "Pacific/Apia" else timedelta(hours=1)
    is_a_change = to_instant(shown - timedelta(microseconds=1), zone) == to_instant(shown, zone)
    assert shown == meant or (meant < shown <= meant + gap and is_a_change)


@given(zones, walls.map(lambda utc_reading: utc_reading.replace(tzinfo=UTC)))
def test_an_instant_survives_the_way_over_the_wall_clock_unless_its_time_came_before(
    zone: ZoneInfo, instant: datetime
) -> None:
    back = to_instant(to_wall(instant, zone), zone)

    second_time = instant.astimezone(zone).fold == 1
    assert back < instant if second_time else back == instant


@given(zones, walls, walls)
def test_of_two_wall_times_the_later_one_never_comes_first(
    zone: ZoneInfo, one: datetime, other: datetime
) -> None:
    early, late = sorted((one, other))

    assert to_instant(early, zone) <= to_instant(late, zone)


def test_what_a_driver_says_about_the_fold_changes_nothing() -> None:
    second = wall("2024-11-03 01:30").replace(fold=1)

    read = to_instant(second, ZoneInfo("America/New_York"))

    assert read == utc("2024-11-03 05:30")


# -- stored dates -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "instant"),
    [
        ("2026-11-23 14:30:00.000000", "2026-11-23 17:30"),  # as SQLAlchemy writes it
        ("2026-11-23 14:30:00", "2026-11-23 17:30"),
        ("2026-11-23 14:30", "2026-11-23 17:30"),
        ("2026-11-23T14:30:00", "2026-11-23 17:30"),
        ("2026-11-23T14:30", "2026-11-23 17:30"),
        ("2026-11-23 14:30:15.250000", "2026-11-23 17:30:15.250000"),
        ("2026-11-23T14:30:00-03:00", "2026-11-23 17:30"),
        ("2026-11-23T14:30:00+00:00", "2026-11-23 14:30"),
        ("2026-11-23T14:30:00Z", "2026-11-23 14:30"),
    ],
)
def test_a_text_with_date_and_time_is_read(stored: str, instant: str) -> None:
    assert text_times().read(stored) == utc(instant)


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "",
        "amanhã às 14:30, talvez",
        "2026-11-23",
        "2026-11-23 14",
        "2026-13-01 14:30:00",
        "2026-02-30 14:30:00",
        "2026-11-23 25:00:00",
        "23/11/2026 14:30:00",
        "2026-11-23 14:30:00 (confirmar)",
        "0000-00-00 00:00:00",
        "\x00" * 20,
        1_795_000_000,
        1_795_000_000.5,
        b"2026-11-23 14:30:00",
        date(2026, 11, 23),
    ],
)
def test_what_is_no_date_with_a_time_is_not_guessed(stored: Any) -> None:
    assert text_times().read(stored) is None


@given(zones, st.text() | st.datetimes().map(str) | st.datetimes(timezones=st.timezones()).map(str))
def test_no_text_breaks_the_reading_nor_what_is_made_of_it(zone: ZoneInfo, stored: str) -> None:
    read = text_times(zone).read(stored)

    assert read is None or to_instant(to_wall(read, zone), zone) <= read


@pytest.mark.parametrize("zone", [SAO_PAULO, TOKYO], ids=str)
@pytest.mark.parametrize(
    "stored",
    [
        "0001-01-01 00:00:00",
        "0001-01-01 00:00:00+00:00",
        "0001-01-01 00:00:00+14:00",
        "9999-12-31 23:59:59",
        "9999-12-31 23:59:59+00:00",
        "9999-12-31 23:59:59-12:00",
    ],
)
def test_a_date_at_the_edge_of_all_calendars_is_no_date(zone: ZoneInfo, stored: str) -> None:
    times = text_times(zone)

    read = times.read(stored)

    assert read is None or to_wall(read, zone)


def test_a_timestamp_without_zone_is_the_clinics_wall_time() -> None:
    times = StoredTimes(Storage.TIMESTAMP, SAO_PAULO)

    assert times.read(wall("2026-11-23 14:30")) == utc("2026-11-23 17:30")


@pytest.mark.parametrize("session_offset", [-3, 0, 9])
def test_wall_time_labelled_utc_is_read_alike_in_any_session(session_offset: int) -> None:
    times = StoredTimes(Storage.WALL_AS_UTC, SAO_PAULO)
    session = timezone(timedelta(hours=session_offset))
    stored = datetime(2026, 11, 23, 14, 30, tzinfo=UTC).astimezone(session)

    assert times.read(stored) == utc("2026-11-23 17:30")


@pytest.mark.parametrize("session_offset", [-3, 0, 9])
def test_a_true_instant_is_taken_as_it_is(session_offset: int) -> None:
    times = StoredTimes(Storage.INSTANT, SAO_PAULO)
    session = timezone(timedelta(hours=session_offset))
    stored = datetime(2026, 11, 23, 14, 30, tzinfo=UTC).astimezone(session)

    assert times.read(stored) == utc("2026-11-23 14:30")


# -- bounds -------------------------------------------------------------------------------------


def stored_forms(storage: Storage, shown: datetime, instant: datetime) -> list[Any]:
    """Return the ways in which a visit at a wall time, which means ``instant``, may be stored."""
    if storage is Storage.INSTANT:
        return [instant]
    if storage is Storage.TIMESTAMP:
        return [shown]
    if storage is Storage.WALL_AS_UTC:
        return [shown.replace(tzinfo=UTC)]
    return [
        f"{shown:%Y-%m-%d %H:%M:%S.%f}",
        f"{shown:%Y-%m-%d %H:%M:%S}",
        f"{shown:%Y-%m-%d %H:%M}",
        f"{shown:%Y-%m-%dT%H:%M:%S.%f}",
        f"{shown:%Y-%m-%dT%H:%M}",
        f"{instant:%Y-%m-%d %H:%M:%S}+00:00",
        f"{instant:%Y-%m-%dT%H:%M:%S}+00:00",
        f"{instant:%Y-%m-%dT%H:%M:%S}Z",
    ]


@pytest.mark.parametrize("storage", Storage)
@given(zoned_day=zoned_days, minute=minute_of_days)
def test_every_form_of_a_visit_on_the_edge_lies_within_the_bounds(
    storage: Storage, zoned_day: tuple[str, date], minute: int
) -> None:
    zone, day = zoned_day
    times = StoredTimes(storage, ZoneInfo(zone))
    shown = around(day, minute)
    instant = first_shown(zone, day, shown)

    lower, upper = times.lower_bound(instant), times.upper_bound(instant)

    # Two texts are compared as SQLite does it, byte by byte.
    assert all(lower <= stored <= upper for stored in stored_forms(storage, shown, instant))


@given(zoned_days, minute_of_days)
def test_no_bound_is_more_than_a_day_and_a_half_away(
    zoned_day: tuple[str, date], minute: int
) -> None:
    zone, day = zoned_day
    times = text_times(ZoneInfo(zone))
    instant, shown = minutes(zone, day)[4 * 24 * 60 + minute]

    lower, upper = times.lower_bound(instant), times.upper_bound(instant)

    far = timedelta(hours=36)
    assert f"{shown - far}" < lower <= upper < f"{shown + far}"


# -- when a visit was booked --------------------------------------------------------------------


@pytest.fixture
def machine_in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the machine's own zone, which must mean nothing."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("stored", "booked_at"),
    [
        (None, None),
        ("", None),
        ("2026-11-20", None),
        ("há uma semana ou duas", None),
        (1_795_000_000, None),
        ("0001-01-01 00:00:00+14:00", None),
        ("9999-12-31 23:59:59-12:00", None),
        ("2026-11-20 12:00:00", "2026-11-20 12:00"),  # SQLite's CURRENT_TIMESTAMP is UTC
        ("2026-11-20 12:00:00.000000", "2026-11-20 12:00"),
        ("2026-11-20T09:00:00-03:00", "2026-11-20 12:00"),
        (wall("2026-11-20 12:00"), "2026-11-20 12:00"),
        (datetime(2026, 11, 20, 9, tzinfo=SAO_PAULO), "2026-11-20 12:00"),
    ],
)
def test_the_moment_of_booking_is_utc_or_unknown(
    machine_in_tokyo: None, stored: Any, booked_at: str | None
) -> None:
    assert read_booked_at(stored) == (utc(booked_at) if booked_at else None)
