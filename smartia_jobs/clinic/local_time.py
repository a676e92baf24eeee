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
    false,
    func,
    literal,
    null,
    type_coerce,
)

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
    Every text that ``StoredTimes.read`` can read in SQLite's own order of digits is read alike.

    Attributes:
        times: how SmartIA's dates are stored.
        span: the first and the last instant of the rows whose local time is asked for. SQLite
            knows no zones: without it a text with an offset has no local time there.
    """

    times: StoredTimes
    span: tuple[datetime, datetime] | None = None

    def within(self, from_at: datetime, to_at: datetime) -> ColumnElement[bool]:
        """Return whether a visit begins at or after ``from_at`` and before ``to_at``, exactly.

        A text that is no date with a time is never within.
        """
        first, end = self._first(from_at), self._first(to_at)
        if not self._is_text:
            return (first <= _DATE) & (end > _DATE)
        # Forms that other programs write sort elsewhere than SmartIA's: wide bounds for the
        # index, then the exact ones.
        early, late = self.times.lower_bound(from_at), self.times.upper_bound(to_at)
        by_index = _DATE.between(literal(early, _DATE.type), literal(late, _DATE.type))
        utc = func.strftime("%Y-%m-%d %H:%M:%f", _text())
        exactly = case(
            (_has_offset(), (utc >= _milliseconds(from_at)) & (utc < _milliseconds(to_at))),
            else_=(_text() >= first) & (_text() < end),
        )
        return by_index & _is_readable() & exactly

    def unreadable_between(self, from_at: datetime, to_at: datetime) -> ColumnElement[bool]:
        """Return whether a stored date falls into a span by its text, but is no date and time.

        On PostgreSQL, whose dates are dates, none is.
        """
        if not self._is_text:
            return false()
        return (self._first(from_at) <= _DATE) & (self._first(to_at) > _DATE) & ~_is_readable()

    @property
    def minute(self) -> ColumnElement[Any]:
        """The wall time to the minute: text on SQLite, ``timestamp`` on PostgreSQL."""
        match self.times.storage:
            case Storage.TEXT:
                utc, shown = func.datetime(_text()), func.substr(_text(), 1, 16)
                shifted = func.substr(func.datetime(utc, self._shift(utc)), 1, 16)
                return case((~_is_readable(), null()), (_has_offset(), shifted), else_=shown)
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
        return func.substr(self.minute, 1, 10) if self._is_text else cast(self.minute, Date)

    @property
    def hour(self) -> ColumnElement[int]:
        """The local hour, 0–23."""
        if self._is_text:
            return cast(func.substr(self.minute, 12, 2), Integer)
        return cast(extract("hour", self.minute), Integer)

    def lead_days(self) -> ColumnElement[int]:
        """Return the local days from booking to visit, for visits of the span.

        -1 where the row was made on a later day, 30 for any longer lead, and NULL where the
        booking was not recorded: so a grouping by it has few groups.
        """
        if self._is_text:
            utc = func.substr(_BOOKED, 1, 19)
            text_day = func.date(utc, self._shift(utc))
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

    def _shift(self, utc: ColumnElement[str]) -> ColumnElement[str]:
        """Return the zone's offset at a UTC text, as SQLite's date functions take it.

        SQLite knows no zones, so it is told the few changes that matter for the span.
        """
        if self.span is None:
            return literal(None, Text())
        (from_at, to_at), zone = self.span, self.times.zone
        changes = [
            (
                utc < literal(at.strftime("%Y-%m-%d %H:%M:%S")),
                _seconds(at - timedelta(seconds=1), zone),
            )
            for at in _clock_changes(zone, from_at - _EXACT_LEAD, to_at)
        ]
        latest = _seconds(to_at, zone)
        return case(*changes, else_=latest) if changes else literal(latest)

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


def _text() -> ColumnElement[str]:
    """Return a stored text as SQLite reads it: a space before the time, a colon in an offset."""
    text = func.substr(_DATE, 1, 10) + " " + func.substr(_DATE, 12)
    hour_only = text.op("GLOB")("*[-+][0-9][0-9]")
    return case((_has_offset() & hour_only, text + ":00"), else_=text)


def _has_offset() -> ColumnElement[bool]:
    return func.substr(_DATE, 17).op("GLOB", is_comparison=True)("*[-+Z]*")


def _is_readable() -> ColumnElement[bool]:
    """Return whether a text is a date of the calendar and a time of day; never NULL.

    SQLite alone takes 31 November for 1 December, and 24:00 for an hour.
    """
    day = func.substr(_DATE, 1, 10)
    return func.coalesce(
        (func.length(_DATE) >= len("2026-11-23 14:30"))
        & (func.date(day, "+0 days") == day)
        & (func.substr(_DATE, 12, 2) < "24")
        & func.julianday(_text()).is_not(None),
        false(),
    )


def _milliseconds(instant: datetime) -> str:
    """Return an instant as SQLite writes it in UTC."""
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


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
