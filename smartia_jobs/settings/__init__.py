"""What an operator may set: each setting declared once, read, and checked with the others."""

from smartia_jobs.settings.declarations import Settings
from smartia_jobs.timing import QuietHours, ReminderTimes

__all__ = ["QuietHours", "ReminderTimes", "Settings"]
