"""The due rule of reminders: which visits a run at a given moment is nearest to; pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from smartia_jobs.appointment import OPEN, Appointment, AppointmentStatus
from smartia_jobs.clinic.rules.hours import SendingHours
from smartia_jobs.clinic.rules.window import Window
from smartia_jobs.clinic.times import to_wall
from smartia_jobs.kinds import Conditions, ReminderKind
from smartia_jobs.report import Reason
from smartia_jobs.settings import ReminderTimes, Settings

#: Visits that took place or were meant to: each should have been reminded of.
EXPECTED = OPEN | {AppointmentStatus.COMPLETED, AppointmentStatus.NO_SHOW}

#: The finest step between two instants.
_A_MOMENT = timedelta.resolution


@dataclass(frozen=True, slots=True)
class ReminderRule:
    """When one kind of reminder is due, and until when it may be sent.

    Attributes:
        times: lead, cadence and latest moment of this kind.
        hours: when messages may be sent.
        min_notice: visits booked less than this before they start get no reminder.
        bridges_days: whether days without sending move the window's upper edge.
        conditions: which visits this kind skips.
        followed_by: the rule of the kind that takes over nearer to the visit; None: none does.
    """

    times: ReminderTimes
    hours: SendingHours
    min_notice: timedelta = timedelta(0)
    bridges_days: bool = False
    conditions: Conditions = field(default_factory=Conditions)
    followed_by: "ReminderRule | None" = None

    @classmethod
    def of(
        cls, settings: Settings, kind: ReminderKind, followed_by: ReminderKind | None = None
    ) -> "ReminderRule":
        """Return the rule of a kind by the settings, with that of the kind that takes over."""
        return cls(
            times=settings.times_of(kind),
            hours=SendingHours.of(settings),
            min_notice=settings.min_notice,
            bridges_days=kind.bridges_days,
            conditions=kind.conditions,
            followed_by=None if followed_by is None else cls.of(settings, followed_by),
        )

    def window(self, now: datetime) -> Window:
        """Return when visits start that a run at ``now`` reminds of.

        From ``latest`` to ``lead + cadence/2``: so each visit belongs to the run nearest to its
        lead, and the next run makes up for a skipped one while the reminder is still useful.
        Visits within the window of the kind that takes over are left to it.
        """
        from_at = now + self.times.latest
        if self.followed_by is not None:
            from_at = max(from_at, self.followed_by.window(now).until_at + _A_MOMENT)
        bridge = timedelta(days=self.hours.closed_days_after(now) if self.bridges_days else 0)
        until_at = now + self.times.lead + self.times.cadence / 2 + bridge
        return Window(from_at, until_at)

    def missed_window(self, now: datetime) -> Window:
        """Return when visits start that became too near for a reminder since the previous run.

        One cadence, half-open, so that of regular runs exactly one sees each visit. A daily run
        also sees those that have begun since the day before.
        """
        too_near_at = now + self.times.latest
        return Window(too_near_at - self.times.cadence, too_near_at - _A_MOMENT)

    def was_in_time(self, appointment: Appointment, first_at: datetime | None) -> bool:
        """Whether a reminder was still useful when the first of its kind was sent (None: never)."""
        if first_at is None or appointment.start_at is None:
            return False
        return appointment.start_at >= first_at + self.times.latest

    def could_have_been_reminded(self, appointment: Appointment) -> bool:
        """Whether the visit was expected, and booked early enough for a reminder at its lead.

        A visit that a condition skips could not.
        """
        if appointment.start_at is None or appointment.status not in EXPECTED:
            return False
        if not appointment.patient_exists or self.left_alone(appointment) is not None:
            return False
        if appointment.booked_at is None:
            return True
        notice = appointment.start_at - appointment.booked_at
        return notice > self.times.lead and notice >= self.min_notice

    def left_alone(self, appointment: Appointment) -> Reason | None:
        """Return which condition skips this visit; None when none does."""
        if self.conditions.only_unconfirmed and appointment.status is AppointmentStatus.CONFIRMED:
            return Reason.CONFIRMED
        ahead = days_ahead(appointment, self.hours.zone)
        # A negative number means that the date of booking is wrong.
        if ahead is not None and 0 <= ahead < self.conditions.booked_days_ahead:
            return Reason.BOOKED_LATELY
        return None

    def refusal(self, appointment: Appointment, now: datetime) -> Reason | None:
        """Return why this visit gets no reminder at ``now``; None when it is due."""
        if appointment.start_at is None:
            return Reason.UNREADABLE_DATE
        if appointment.status is None:
            return Reason.NO_STATUS
        if not appointment.is_open:
            return Reason.NO_LONGER_OPEN
        if not appointment.patient_exists:
            return Reason.PATIENT_MISSING
        if (reason := self.left_alone(appointment)) is not None:
            return reason
        if appointment.start_at < now + self.times.latest:
            return Reason.TOO_LATE
        if (
            self.min_notice  # at 0 even a wrong date of booking does not matter
            and appointment.booked_at is not None
            and appointment.start_at - appointment.booked_at < self.min_notice
        ):
            return Reason.SHORT_NOTICE
        return self.hours.closed(now)

    def send_before(self, appointment: Appointment, now: datetime) -> datetime:
        """Return the instant from which this reminder must not be tried any more."""
        if appointment.start_at is None:
            return now
        useful_until = appointment.start_at - self.times.latest
        closing = self.hours.next_closing(now)
        return useful_until if closing is None else min(useful_until, closing)


def days_ahead(visit: Appointment, zone: ZoneInfo) -> int | None:
    """Return how many local days lie between booking and visit; None where that is not known."""
    if visit.booked_at is None or visit.start is None:
        return None
    return (visit.start.date() - to_wall(visit.booked_at, zone).date()).days
