"""Who is invited back after a no-show; pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.clinic.rules.hours import SendingHours
from smartia_jobs.clinic.rules.window import Window
from smartia_jobs.report import Reason
from smartia_jobs.settings import Settings


@dataclass(frozen=True, slots=True)
class ReengagementRule:
    """When a patient is invited back after a no-show, and until when.

    Attributes:
        after: how long after its start at the earliest, so that a late arrival can be noted.
        within: how long after its start an invitation is useful.
        hours: when messages may be sent.
    """

    after: timedelta
    within: timedelta
    hours: SendingHours

    @classmethod
    def of(cls, settings: Settings) -> "ReengagementRule":
        """Return the rule that the settings ask for."""
        after = settings.reengage_after
        return cls(
            after=settings.no_show_grace if after is None else after,
            within=settings.reengage_within,
            hours=SendingHours.of(settings),
        )

    def window(self, now: datetime) -> Window:
        """Return when a visit must have begun for an invitation at ``now``."""
        return Window(now - self.within, now - self.after)

    def refusal(self, visit: Appointment, now: datetime) -> Reason | None:
        """Return why nobody is invited back for this visit at ``now``; None when it is due."""
        if visit.start_at is None:
            return Reason.UNREADABLE_DATE
        if visit.status is not AppointmentStatus.NO_SHOW:
            return Reason.NO_LONGER_OPEN
        if not visit.patient_exists:
            return Reason.PATIENT_MISSING
        if now >= visit.start_at + self.within:
            return Reason.TOO_LATE
        return self.hours.closed(now)

    def send_before(self, visit: Appointment, now: datetime) -> datetime:
        """Return the instant from which this invitation must not be tried any more."""
        if visit.start_at is None:
            return now
        useful_until = visit.start_at + self.within
        closing = self.hours.next_closing(now)
        return useful_until if closing is None else min(useful_until, closing)


def veto(
    visit: Appointment,
    others: Collection[Appointment],
    *,
    due: Window,
    cancelled: Collection[int] = (),
) -> Reason | None:
    """Return why a person's other visits forbid the invitation; None when they do not.

    A person is invited once: of several no-shows, about the earliest. One whose own invitation is
    forbidden does not count; otherwise a person who booked again after the first no-show, and did
    not come to that visit either, would not be invited.

    Args:
        visit: a no-show that is due otherwise.
        others: the same person's other visits, at least from the day on which ``due`` begins.
        due: when a visit must have begun for an invitation.
        cancelled: the ids of those visits that the patient cancelled in SmartIA's chat.
    """
    if (reason := _forbidden(visit, others, cancelled)) is not None:
        return reason
    for other in others:
        if _earlier_no_show(visit, other, due):
            beside = [visit, *(one for one in others if one.id != other.id)]
            if _forbidden(other, beside, cancelled) is None:
                return Reason.ALREADY_INVITED
    return None


#: The first one that applies is the one that is reported.
_VETOES = (Reason.REBOOKED, Reason.SEEN_AFTER_ALL)


def _forbidden(
    visit: Appointment, others: Collection[Appointment], cancelled: Collection[int]
) -> Reason | None:
    if visit.id in cancelled:
        return Reason.CANCELLED_BY_CHAT
    reasons = {_objection(visit, other) for other in others}
    return next((reason for reason in _VETOES if reason in reasons), None)


def _objection(visit: Appointment, other: Appointment) -> Reason | None:
    if visit.start_at is None or other.start_at is None:
        return None
    completed = other.status is AppointmentStatus.COMPLETED
    if completed and _day(other) == _day(visit):
        return Reason.SEEN_AFTER_ALL
    # Booked instead, whether that visit is still ahead or has taken place.
    booked = completed or other.is_open
    return Reason.REBOOKED if booked and other.start_at > visit.start_at else None


def _earlier_no_show(visit: Appointment, other: Appointment, due: Window) -> bool:
    if visit.start_at is None or other.start_at is None:
        return False
    earlier = (other.start_at, other.id) < (visit.start_at, visit.id)
    return earlier and other.status is AppointmentStatus.NO_SHOW and other.start_at in due


def _day(visit: Appointment) -> date:
    return visit.start.date() if visit.start else date.min
