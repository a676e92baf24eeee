"""When messages may be sent: quiet hours and days without sending, in the clinic's zone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from smartia_jobs.clinic.times import to_instant, to_wall
from smartia_jobs.report import Reason
from smartia_jobs.settings import QuietHours, Settings

#: From its midnight to the next.
_WHOLE_DAY = QuietHours(time(), time())


@dataclass(frozen=True, slots=True)
class _Spell:
    """A time in which nothing may be sent, from ``begins_at`` until just before ``ends_at``."""

    begins_at: datetime
    ends_at: datetime
    why: Reason


@dataclass(frozen=True, slots=True)
class SendingHours:
    """The hours and days in which nothing is sent."""

    zone: ZoneInfo
    quiet_hours: QuietHours | None = None
    no_send_days: frozenset[int] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> "SendingHours":
        """Return the hours that the settings ask for."""
        return cls(settings.clinic_timezone, settings.quiet_hours, settings.no_send_days)

    def closed(self, now: datetime) -> Reason | None:
        """Return why nothing may be sent at ``now``; None when it may."""
        spells = self._spells(now, days=(0, -1))
        return next((s.why for s in spells if s.begins_at <= now < s.ends_at), None)

    def next_closing(self, now: datetime) -> datetime | None:
        """Return the next instant after ``now`` at which sending must cease, if there is one."""
        spells = self._spells(now, days=range(8))
        # A spell that the clocks skip is empty.
        return next((s.begins_at for s in spells if now < s.begins_at < s.ends_at), None)

    def closed_days_after(self, now: datetime) -> int:
        """Return how many days without sending directly follow the local day of ``now``."""
        weekday = to_wall(now, self.zone).weekday()
        days = 0
        while days < 7 and (weekday + days + 1) % 7 in self.no_send_days:
            days += 1
        return days

    def _spells(self, now: datetime, *, days: Iterable[int]) -> Iterator[_Spell]:
        """Yield what begins on these days, counted from the local day of ``now``.

        In instants, so that a spell from 23:30 goes on when clocks are set back to 23:00.
        """
        if self.quiet_hours is None and not self.no_send_days:
            return
        today = to_wall(now, self.zone).date()
        for day in (today + timedelta(days=n) for n in days):
            if day.weekday() in self.no_send_days:
                yield self._spell(day, _WHOLE_DAY, Reason.NO_SEND_DAY)
            if self.quiet_hours is not None:
                yield self._spell(day, self.quiet_hours, Reason.QUIET_HOURS)

    def _spell(self, day: date, hours: QuietHours, why: Reason) -> _Spell:
        last_day = day if hours.start < hours.end else day + timedelta(days=1)
        return _Spell(
            to_instant(datetime.combine(day, hours.start), self.zone),
            to_instant(datetime.combine(last_day, hours.end), self.zone),
            why,
        )
