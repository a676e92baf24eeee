"""When messages may leave: the times of a kind of reminder, and the clinic's quiet hours."""

from dataclasses import dataclass
from datetime import time, timedelta


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Local hours in which nothing is sent: half-open, may cross midnight."""

    start: time
    end: time


@dataclass(frozen=True, slots=True)
class ReminderTimes:
    """When one kind of reminder is due.

    Attributes:
        lead: how long before the visit the reminder is best.
        cadence: how often the job is scheduled.
        latest: how long before the visit it stops being useful.
    """

    lead: timedelta
    cadence: timedelta
    latest: timedelta
