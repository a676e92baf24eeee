"""SmartIA's times in SQL: exact bounds to compare them with, and local day and hour of a row."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    Integer,
    Text,
    case,
    cast,
    extract,
    func,
    literal,
    type_coerce,
)

from smartia_jobs.clinic.period import Period
from smartia_jobs.clinic.tables import appointments
from smartia_jobs.clinic.times import Storage, StoredTimes, to_instant, to_wall

#: Longer leads are not told apart, so what a zone's clocks did before does not matter.
LONGEST_LEAD_DAYS = 30
_EXACT_LEAD = timedelta(days=LONGEST_LEAD_DAYS + 2)

_DATE = appointments.c.appointment_date
_BOOKED = appointments.c.created_at


@dataclass(frozen=True, slots=True)
class LocalTime:
    """What a clock in the clinic showed, as SQL over ``appointments``.

    The bounds leave the date column bare, so that its index serves; the expressions are for
    the rows so selected (SELECT, GROUP BY, JOIN), and NULL where a stored date is no date.
    """

    times: StoredTimes

    def within(self, from_at: datetime, to_at: datetime) -> ColumnElement[bool]:
        """Return whether a visit begins at or after ``from_at`` and before ``to_at``, exactly."""
        return (self._first(from_at) <= _DATE) & (self._first(to_at) > _DATE)

    @property
    def minute(self) -> ColumnElement[Any]:
        """The wall time to the minute: text on SQLite, ``timestamp`` on PostgreSQL."""
        match self.times.storage:
            case Storage.TEXT:
                # A shorter text is a date without a time, or no date at all.
                readable = func.strftime("%Y-%m-%d %H:%M", func.substr(_DATE, 1, 16))
                return case((func.length(_DATE) >= 16, readable))
            case Storage.TIMESTAMP:
                wall: ColumnElement[Any] = _DATE
            case Storage.WALL_AS_UTC:
                wall = func.timezone("UTC", _DATE)
            case Storage.INSTANT:
                wall = func.timezone(self.times.zone.key, _DATE)
        return func.date_trunc("minute", wall, type_=DateTime())

    def is_minute(self, wall: ColumnElement[datetime]) -> ColumnElement[bool]:
        """Return whether a visit begins at this naive wall time, as our own tables store it."""
        if self._is_text:
            return func.substr(cast(wall, Text), 1, 16) == self.minute
        return wall == self.minute

    @property
    def day(self) -> ColumnElement[Any]:
        """The local day: ISO text on SQLite, ``date`` on PostgreSQL."""
        return func.date(self.minute) if self._is_text else cast(self.minute, Date)

    @property
    def hour(self) -> ColumnElement[int]:
        """The local hour, 0–23."""
        if self._is_text:
            return cast(func.strftime("%H", self.minute), Integer)
        return cast(extract("hour", self.minute), Integer)

    def lead_days(self, period: Period) -> ColumnElement[int]:
        """Return the local days from booking to visit, for visits of ``period``.

        -1 where the row was made on a later day, 30 for any longer lead, and NULL where the
        booking was not recorded: so a grouping by it has few groups.
        """
        if self._is_text:
            utc = func.substr(_BOOKED, 1, 19)
            text_day = func.date(utc, _shift(self.times.zone, utc, period))
            lead = cast(func.julianday(self.day) - func.julianday(text_day), Integer)
            return func.max(-1, func.min(lead, LONGEST_LEAD_DAYS))
        # The epoch reads timestamp as UTC and timestamptz as the instant it is.
        booked = func.to_timestamp(extract("epoch", _BOOKED))
        days = self.day - cast(func.timezone(self.times.zone.key, booked), Date)
        lead_days = type_coerce(days, Integer)
        # Unlike SQLite's, these pass over a NULL.
        capped = func.greatest(-1, func.least(lead_days, LONGEST_LEAD_DAYS))
        return case((lead_days.is_not(None), capped))

    def booked_between(self, from_at: datetime, to_at: datetime) -> ColumnElement[bool]:
        """Return whether a visit was booked in a span, both ends and their seconds included."""
        first, last = (at.astimezone(UTC).replace(microsecond=0) for at in (from_at, to_at))
        last += timedelta(seconds=1)
        if self._is_text:
            # SQLite's CURRENT_TIMESTAMP.
            form = "%Y-%m-%d %H:%M:%S"
            return _BOOKED.between(first.strftime(form), last.strftime(form))
        return _BOOKED.between(first, last)

    def booked_within(self, instant: ColumnElement[Any], span: timedelta) -> ColumnElement[bool]:
        """Return whether a visit was booked after ``instant`` (of ours), but within ``span``."""
        if self._is_text:
            waited = func.julianday(_BOOKED) - func.julianday(instant)
            return (waited > 0) & (waited <= span / timedelta(days=1))
        waited = extract("epoch", _BOOKED) - extract("epoch", instant)
        return (waited > 0) & (waited <= span.total_seconds())

    @property
    def _is_text(self) -> bool:
        return self.times.storage is Storage.TEXT

    def _first(self, instant: datetime) -> ColumnElement[Any]:
        """Return the smallest stored date that means ``instant`` or later."""
        if self.times.storage is Storage.INSTANT:
            return literal(instant, _DATE.type)
        # As a wall time goes on, the instant it means never goes back: not even where clocks
        # show an hour twice or skip one. So the first wall time that is late enough exists.
        early, late = (to_wall(instant, self.times.zone) + timedelta(days=d) for d in (-2, 2))
        while late - early > timedelta(microseconds=1):
            middle = early + (late - early) / 2
            if to_instant(middle, self.times.zone) < instant:
                early = middle
            else:
                late = middle
        if self.times.storage is Storage.WALL_AS_UTC:
            return literal(late.replace(tzinfo=UTC), _DATE.type)
        if self.times.storage is Storage.TIMESTAMP:
            return literal(late, _DATE.type)
        # The shortest form: '… 09:00' is not greater than '… 09:00:00' and '… 09:00:00.000000'.
        text = late.strftime("%Y-%m-%d %H:%M:%S.%f").removesuffix(".000000").removesuffix(":00")
        return literal(text, _DATE.type)


def _shift(zone: ZoneInfo, utc: ColumnElement[str], period: Period) -> ColumnElement[str]:
    """Return the zone's offset at a UTC text, as SQLite's date functions take it.

    SQLite knows no zones, so it is told the few changes that matter for the period.
    """
    start = period.from_at - _EXACT_LEAD
    changes = [
        (utc < literal(at.strftime("%Y-%m-%d %H:%M:%S")), _seconds(at - timedelta(seconds=1), zone))
        for at in _clock_changes(zone, start, period.to_at)
    ]
    latest = _seconds(period.to_at, zone)
    return case(*changes, else_=latest) if changes else literal(latest)


def _seconds(instant: datetime, zone: ZoneInfo) -> str:
    offset = instant.astimezone(zone).utcoffset() or timedelta()
    return f"{int(offset.total_seconds()):+d} seconds"


def _clock_changes(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the instants after ``start`` and up to ``end`` at which the zone's offset changes."""
    before = start
    while before < end:
        after = min(before + timedelta(days=1), end)
        old = before.astimezone(zone).utcoffset()
        if after.astimezone(zone).utcoffset() != old:
            early, late = before, after
            while late - early > timedelta(milliseconds=1):
                middle = early + (late - early) / 2
                if middle.astimezone(zone).utcoffset() == old:
                    early = middle
                else:
                    late = middle
            yield late.replace(microsecond=0)
        before = after
