"""How SmartIA's appointment times are stored, and what they mean in the clinic's zone.

Instants are aware UTC; a *wall time* is naive and is what a clock in the clinic shows.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo


class Storage(StrEnum):
    """What ``appointments.appointment_date`` holds."""

    #: SQLite: text, clinic wall time (``2026-11-23 14:30:00.000000``).
    TEXT = "text"
    #: PostgreSQL ``timestamp``: clinic wall time.
    TIMESTAMP = "timestamp"
    #: PostgreSQL ``timestamptz`` whose UTC reading is the clinic's wall time (``STORED_TIMES=wall``).
    WALL_AS_UTC = "wall_as_utc"
    #: PostgreSQL ``timestamptz`` that holds true instants (``STORED_TIMES=instant``).
    INSTANT = "instant"


#: No zone has ever moved its clocks further than this in one step but by skipping a whole day
#: (Samoa, 2011); wall-time comparisons in SQL are widened by it and then filtered exactly.
WIDENING = timedelta(hours=3)

#: Shorter texts are a date without a time, or no date at all.
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
    """The reading and writing of SmartIA's times for one clinic and one database."""

    storage: Storage
    zone: ZoneInfo

    def read(self, value: Any) -> datetime | None:
        """Return the instant that a stored appointment date means; None when it is no date."""
        if isinstance(value, str):
            value = _parse(value)
        if not isinstance(value, datetime):
            return None
        try:
            if value.tzinfo is None:
                return to_instant(value, self.zone)
            if self.storage is Storage.WALL_AS_UTC:
                return to_instant(value.astimezone(UTC).replace(tzinfo=None), self.zone)
            return value.astimezone(UTC)
        except OverflowError:  # the year 1 or 9999, shifted over the edge
            return None

    def lower_bound(self, instant: datetime) -> Any:
        """Return a value below which no stored date at or after ``instant`` can lie."""
        return self._bound(instant, -WIDENING)

    def upper_bound(self, instant: datetime) -> Any:
        """Return a value above which no stored date at or before ``instant`` can lie."""
        return self._bound(instant, WIDENING)

    def _bound(self, instant: datetime, widening: timedelta) -> Any:
        if self.storage is Storage.INSTANT:
            return instant
        wall = to_wall(instant, self.zone) + widening
        if self.storage is Storage.TEXT:
            return wall.strftime("%Y-%m-%d %H:%M:%S.%f")
        return wall if self.storage is Storage.TIMESTAMP else wall.replace(tzinfo=UTC)


def read_booked_at(value: Any) -> datetime | None:
    """Return when a row was made (``created_at``), aware UTC; None when it was not recorded.

    SQLite's CURRENT_TIMESTAMP and PostgreSQL's ``timestamp`` default are UTC.
    """
    if isinstance(value, str):
        value = _parse(value)
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _parse(text: str) -> datetime | None:
    if len(text) < _SHORTEST_DATE_TIME:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
