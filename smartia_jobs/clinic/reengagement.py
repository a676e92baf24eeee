"""Who is invited back after a missed visit: the rule, pure, and what it must be told."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

from sqlalchemy import Connection

from smartia_jobs.appointment import OPEN, Appointment, AppointmentStatus, PersonDay
from smartia_jobs.clinic.appointments import Appointments, Cursor, Window
from smartia_jobs.clinic.hours import SendingHours
from smartia_jobs.clinic.times import to_instant, to_wall
from smartia_jobs.report import Reason
from smartia_jobs.settings import Settings


@dataclass(frozen=True, slots=True)
class ReengagementRule:
    """When a missed visit is written about, and until when.

    Attributes:
        after: how long after its start at the earliest, so that a late arrival can be noted.
        within: how long after its start an invitation has lost its use.
        hours: when the clinic may write at all.
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

    A person is invited once: of several missed visits the earliest is written about. One that
    is forbidden itself does not count, or nobody would be invited who booked again after the
    first and missed that as well.

    Args:
        visit: missed, and due otherwise.
        others: the same person's other visits, at least from the day on which ``due`` begins.
        due: when a visit must have begun to be written about.
        cancelled: the ids of those visits that the patient cancelled in SmartIA's chat.
    """
    if (reason := _forbidden(visit, others, cancelled)) is not None:
        return reason
    for other in others:
        if _missed_before(visit, other, due):
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
    # Booked instead, whether that visit still lies ahead or has taken place.
    booked = completed or other.is_open
    return Reason.REBOOKED if booked and other.start_at > visit.start_at else None


def _missed_before(visit: Appointment, other: Appointment, due: Window) -> bool:
    if visit.start_at is None or other.start_at is None:
        return False
    earlier = (other.start_at, other.id) < (visit.start_at, visit.id)
    return earlier and other.status is AppointmentStatus.NO_SHOW and other.start_at in due


def _day(visit: Appointment) -> date:
    return visit.start.date() if visit.start else date.min


class MissedVisits:
    """The missed visits of a window, the oldest first, each by itself.

    A message tells of one missed visit; that a person missed an earlier one is a veto against
    the later, so nothing need be put together.

    Attributes:
        window: when a visit must have begun.
        identify: what tells one person from another.
    """

    def __init__(
        self,
        appointments: Appointments,
        window: Window,
        *,
        identify: Callable[[Appointment], str],
        foreseen: Collection[int] = (),
    ) -> None:
        """Begin before the first visit.

        Args:
            appointments: the questions asked of the clinic's database.
            window: when a visit must have begun.
            identify: what tells one person from another: the canonical phone.
            foreseen: visits to be read as NO_SHOW: a dry run's own marks, which it never wrote.
        """
        self._appointments = appointments
        self.window = window
        self.identify = identify
        self._foreseen = frozenset(foreseen)
        self._after: Cursor | None = None
        self._finished = False

    def next_page(self, connection: Connection) -> Sequence[PersonDay] | None:
        """Return the next missed visits, possibly none; None after the last page."""
        if self._finished:
            return None
        missed = frozenset({AppointmentStatus.NO_SHOW})
        page = self._appointments.page(
            connection,
            self.window,
            after=self._after,
            statuses=missed | OPEN if self._foreseen else missed,
        )
        self._after = page.next
        self._finished = page.next is None
        visits = (self._foresee(visit) for visit in page.appointments)
        return [(visit,) for visit in visits if visit.status in missed]

    def others(
        self, connection: Connection, visits: Collection[Appointment]
    ) -> Mapping[int, Sequence[Appointment]]:
        """Return, for each visit, the same person's others from the window's first day on.

        One query for all of them; visits without a readable date are left out.
        """
        dated = [visit for visit in visits if visit.start is not None]
        if not dated:
            return {}
        zone = self._appointments.times.zone
        first_day = datetime.combine(to_wall(self.window.from_at, zone), time())
        found = self._appointments.sharing_phones(
            connection,
            {visit.patient_id for visit in dated},
            from_at=to_instant(first_day, zone),
        )
        by_person: dict[str, list[Appointment]] = {}
        for other in map(self._foresee, found):
            by_person.setdefault(self.identify(other), []).append(other)
        return {
            visit.id: [
                other for other in by_person.get(self.identify(visit), ()) if other.id != visit.id
            ]
            for visit in dated
        }

    def _foresee(self, visit: Appointment) -> Appointment:
        if visit.id in self._foreseen:
            return replace(visit, status=AppointmentStatus.NO_SHOW)
        return visit
