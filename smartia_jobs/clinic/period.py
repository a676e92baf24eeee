"""The stretch of local days that figures are drawn from, and the one before it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from smartia_jobs.clinic.times import to_instant, to_wall


@dataclass(frozen=True, slots=True)
class Period:
    """Local days of a clinic, half-open: a visit at ``from_at`` is in it, one at ``to_at`` is not.

    Attributes:
        from_at: a local midnight (or the instant after a gap that swallowed it), aware UTC.
        to_at: where it ends, aware UTC; never in the future of the moment it was made for.
        days: how many local days lie between ``from_at`` and the midnight at or before ``to_at``.
        zone: the clinic's.
    """

    from_at: datetime
    to_at: datetime
    days: int
    zone: ZoneInfo

    @classmethod
    def last(
        cls, days: int, now: datetime, zone: ZoneInfo, *, until: date | None = None
    ) -> "Period":
        """Return the period from local midnight ``days`` days before its end, to its end.

        Args:
            days: at least 1.
            now: where it ends unless ``until`` says earlier; aware.
            zone: the clinic's.
            until: the last local day that belongs to it; a day that has not ended is cut to
                ``now``.
        """
        to_at = now
        if until is not None:
            to_at = min(now, midnight(until + timedelta(days=1), zone))
        first = to_wall(to_at, zone).date() - timedelta(days=days)
        return cls(midnight(first, zone), to_at, days, zone)

    def seems_to_hold(self, stored: Any) -> bool:
        """Return whether a text that is no date (31 November) stands where the period's do."""
        first = to_wall(self.from_at, self.zone).date().isoformat()
        end = to_wall(self.to_at, self.zone).isoformat(" ", "minutes").removesuffix(" 00:00")
        return isinstance(stored, str) and first <= stored < end

    @property
    def before(self) -> "Period":
        """The period of equal length on the clinic's clock that ends where this one begins."""
        from_wall, to_wall_ = to_wall(self.from_at, self.zone), to_wall(self.to_at, self.zone)
        earlier = to_instant(from_wall - (to_wall_ - from_wall), self.zone)
        return Period(earlier, self.from_at, self.days, self.zone)

    def local_days(self) -> Iterator[date]:
        """Yield each local day that has a moment in the period, in order."""
        day = to_wall(self.from_at, self.zone).date()
        last = to_wall(self.to_at - timedelta(microseconds=1), self.zone).date()
        while day <= last:
            yield day
            day += timedelta(days=1)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant at which a local day begins, aware UTC."""
    return to_instant(datetime.combine(day, time()), zone)
