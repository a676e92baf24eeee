"""The clock on a clinic's wall, read minute by minute: slow, and too plain to be wrong."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

#: Reads a naive time, as a clock shows it.
wall = datetime.fromisoformat

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

#: Days on which careless arithmetic is wrong, by zone.
DAYS = (
    ("America/Sao_Paulo", date(2018, 11, 4)),  # midnight did not exist
    ("America/Sao_Paulo", date(2018, 2, 17)),  # the hour before midnight came twice
    ("America/Sao_Paulo", date(2026, 11, 23)),  # an ordinary Monday
    ("America/Santiago", date(2024, 4, 6)),  # the hour before midnight came twice
    ("America/New_York", date(2024, 3, 10)),  # 23 hours
    ("America/New_York", date(2024, 11, 3)),  # 25 hours
    ("Europe/Madrid", date(2024, 3, 31)),  # month end, 23 hours
    ("Europe/Madrid", date(2024, 10, 27)),  # 25 hours
    ("Australia/Lord_Howe", date(2024, 10, 6)),  # half an hour less
    ("Australia/Lord_Howe", date(2024, 4, 7)),  # half an hour more
    ("Pacific/Apia", date(2020, 9, 27)),  # 23 hours, a day ahead of everybody
    ("Asia/Tokyo", date(2024, 2, 29)),  # no such changes; month end
)

zoned_days = st.sampled_from(DAYS)


@cache
def minutes(zone: str, day: date) -> tuple[tuple[datetime, datetime], ...]:
    """Return each minute from four days before ``day`` to four after: instant, clock's reading."""
    first = datetime.combine(day, time(), UTC) - 4 * DAY
    instants = (first + n * MINUTE for n in range(9 * 24 * 60))
    tz = ZoneInfo(zone)
    return tuple((instant, instant.astimezone(tz).replace(tzinfo=None)) for instant in instants)


@cache
def first_shown(zone: str, day: date, time_of_day: datetime) -> datetime:
    """Return the first minute at which clocks show a time or, where they skip it, more."""
    return next(instant for instant, shown in minutes(zone, day) if shown >= time_of_day)


def around(day: date, minute: int) -> datetime:
    """Return the wall time so many minutes after the midnight that begins ``day``."""
    return datetime.combine(day, time()) + minute * MINUTE
