"""How SmartIA's appointment times are stored, and what they mean in the clinic's zone.

Instants are aware UTC; a *wall time* is naive and is what a clock in the clinic shows.
"""

from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement


class Storage(StrEnum):
    """What ``appointments.appointment_date`` holds."""

    #: SQLite: text, clinic wall time (``2026-11-23 14:30:00.000000``).
    TEXT = "text"
    #: PostgreSQL ``timestamp``: clinic wall time.
    TIMESTAMP = "timestamp"
    #: PostgreSQL ``timestamptz`` that is clinic wall time in UTC (``STORED_TIMES=wall``).
    WALL_AS_UTC = "wall_as_utc"
    #: PostgreSQL ``timestamptz`` that holds true instants (``STORED_TIMES=instant``).
    INSTANT = "instant"


#: No zone has ever moved its clocks by more than this at once, except for a skipped day (Samoa,
#: 2011). Comparisons of wall time in SQL are widened by it and then filtered exactly.
WIDENING = timedelta(hours=3)

#: Shorter texts are a date without a time, or no date.
_SHORTEST_DATE_TIME = len("2026-11-23 14:30")


def to_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant at which clocks in ``zone`` show ``wall``.

    A time that clocks show twice means the first; one that they skip means the instant at
    which the gap ends.
    """
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == wall:
        return first
    # In a gap, fold=0 reads the wall time with the offset before it (an instant after the
    # change) and fold=1 with the offset after it (an instant before): the change is between.
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    old_offset = before.astimezone(zone).utcoffset()
    after = first
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == old_offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def to_wall(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return what clocks in ``zone`` show at ``instant``, naive."""
    return instant.astimezone(zone).replace(tzinfo=None)


@dataclass(frozen=True, slots=True)
class StoredTimes:
    """How the times of one clinic are stored in its database."""

    storage: Storage
    zone: ZoneInfo

    def read(self, value: Any) -> datetime | None:
        """Return the instant that a stored appointment date means; None when it is no date."""
        moment = _moment(value)
        if moment is None:
            return None
        if moment.tzinfo is None:
            return to_instant(moment, self.zone)
        if self.storage is Storage.WALL_AS_UTC:
            return to_instant(moment.astimezone(UTC).replace(tzinfo=None), self.zone)
        return moment.astimezone(UTC)

    def lower_bound(self, instant: datetime) -> Any:
        """Return a value below which no stored date at or after ``instant`` can lie."""
        return self._bound(instant, -WIDENING)

    def upper_bound(self, instant: datetime) -> Any:
        """Return a value above which no stored date at or before ``instant`` can lie."""
        return self._bound(instant, WIDENING)

    def near(
        self, column: ColumnElement[Any], from_at: datetime, to_at: datetime
    ) -> ColumnElement[bool]:
        """Return the condition that every stored date of a span meets, and few others do.

        The column is not wrapped, so that its index is used; :meth:`is_within` filters exactly.
        """
        return column.between(self.lower_bound(from_at), self.upper_bound(to_at))

    def is_within(self, value: Any, from_at: datetime, to_at: datetime) -> bool:
        """Return whether a stored date is read as one at or after ``from_at``, before ``to_at``."""
        start_at = self.read(value)
        return start_at is not None and from_at <= start_at < to_at

    def booked_near(
        self, column: ColumnElement[Any], from_at: datetime, to_at: datetime
    ) -> ColumnElement[bool]:
        """Return the condition that every ``created_at`` of a span meets, and few others do.

        :func:`read_booked_at` gives the exact instant.
        """
        # No offset that a text may have is as long as a day.
        first, last = from_at - timedelta(days=1), to_at + timedelta(days=1)
        if self.storage is not Storage.TEXT:
            return column.between(first, last)
        as_text = "%Y-%m-%d %H:%M:%S"
        return column.between(
            first.astimezone(UTC).strftime(as_text), last.astimezone(UTC).strftime(as_text)
        )

    def _bound(self, instant: datetime, widening: timedelta) -> Any:
        if self.storage is Storage.INSTANT:
            return instant
        wall = to_wall(instant, self.zone)
        if self.storage is Storage.TEXT:
            return _text_bound(wall, instant.astimezone(UTC).replace(tzinfo=None), widening)
        wall += widening
        return wall if self.storage is Storage.TIMESTAMP else wall.replace(tzinfo=UTC)


def read_booked_at(value: Any) -> datetime | None:
    """Return when a row was made (``created_at``), aware UTC; None when it was not recorded.

    SQLite's CURRENT_TIMESTAMP and PostgreSQL's ``timestamp`` default are UTC.
    """
    moment = _moment(value)
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _text_bound(wall: datetime, utc: datetime, widening: timedelta) -> str:
    """Return a bound for texts of every form that is read: other programs than SmartIA write
    a ``T`` between date and time (which sorts after the space), or UTC with its offset.
    """
    if widening < timedelta(0):
        return (min(wall, utc) + widening).isoformat(" ", "microseconds")
    return (max(wall, utc) + widening).isoformat("T", "microseconds")


def _moment(value: Any) -> datetime | None:
    """Return a stored value that is a date with a time; None for all others."""
    if isinstance(value, str):
        if len(value) < _SHORTEST_DATE_TIME or value[4] + value[7] != "--":
            return None  # any other form, ISO's too, sorts where no window finds it
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    elif not isinstance(value, datetime):
        return None
    # In the first and the last year an offset could leave the calendar.
    return value if MINYEAR < value.year < MAXYEAR else None
