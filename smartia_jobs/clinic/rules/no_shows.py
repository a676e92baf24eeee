"""When a visit is a no-show."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.clinic.rules.window import Window
from smartia_jobs.settings import Settings


@dataclass(frozen=True, slots=True)
class NoShowRule:
    """When an open visit is a no-show.

    Attributes:
        statuses: those that become NO_SHOW.
        grace: how long after its start at the earliest, and not before its end.
        lookback: visits that began longer ago are left alone.
    """

    statuses: frozenset[AppointmentStatus]
    grace: timedelta
    lookback: timedelta

    @classmethod
    def of(cls, settings: Settings) -> "NoShowRule":
        """Return the rule that the settings ask for."""
        statuses = frozenset(AppointmentStatus(name) for name in settings.no_show_statuses)
        return cls(statuses, settings.no_show_grace, settings.no_show_lookback)

    def window(self, now: datetime) -> Window:
        """Return when no-shows at ``now`` started; how long they last decides too."""
        return Window(now - self.lookback, now - self.grace)

    def is_no_show(self, visit: Appointment, now: datetime) -> bool:
        """Whether the visit is over by ``now``, the patient's grace included, and still open."""
        return (
            visit.status in self.statuses
            and visit.start_at is not None
            and visit.start_at >= now - self.lookback
            and visit.start_at + max(self.grace, visit.duration) <= now
        )
