"""When the clinic may write at all: quiet hours and days without sending, in its own zone."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from smartia_jobs.clinic.times import to_instant, to_wall
from smartia_jobs.report import Reason
from smartia_jobs.settings import QuietHours, Settings


@dataclass(frozen=True, slots=True)
class SendingHours:
    """The hours and days in which patients are left in peace."""

    zone: ZoneInfo
    quiet_hours: QuietHours | None = None
    no_send_days: frozenset[int] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> "SendingHours":
        """Return the hours that the settings ask for."""
        return cls(settings.clinic_timezone, settings.quiet_hours, settings.no_send_days)

    def closed(self, now: datetime) -> Reason | None:
        """Return why nothing may be sent at ``now``; None when it may."""
        wall = to_wall(now, self.zone)
        if wall.weekday() in self.no_send_days:
            return Reason.NO_SEND_DAY
        if self.quiet_hours is not None and _within(self.quiet_hours, wall.time()):
            return Reason.QUIET_HOURS
        return None

    def next_closing(self, now: datetime) -> datetime | None:
        """Return the next instant after ``now`` at which sending must cease, if there is one."""
        today = to_wall(now, self.zone).date()
        edges = []
        for ahead in range(9):
            day = today + timedelta(days=ahead)
            if day.weekday() in self.no_send_days:
                edges.append(datetime.combine(day, time()))
            if self.quiet_hours is not None:
                edges.append(datetime.combine(day, self.quiet_hours.start))
        instants = (to_instant(edge, self.zone) for edge in edges)
        return min((instant for instant in instants if instant > now), default=None)

    def closed_days_after(self, now: datetime) -> int:
        """Return how many days without sending directly follow the local day of ``now``."""
        weekday = to_wall(now, self.zone).weekday()
        days = 0
        while days < 7 and (weekday + days + 1) % 7 in self.no_send_days:
            days += 1
        return days


def _within(hours: QuietHours, moment: time) -> bool:
    if hours.start <= hours.end:
        return hours.start <= moment < hours.end
    return moment >= hours.start or moment < hours.end
