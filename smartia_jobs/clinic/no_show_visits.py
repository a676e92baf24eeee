"""The missed visits of a window, and what else their patients have in the book."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, time

from sqlalchemy import Connection

from smartia_jobs.appointment import OPEN, Appointment, AppointmentStatus, PersonDay
from smartia_jobs.clinic.appointments import Appointments, Cursor
from smartia_jobs.clinic.rules.window import Window
from smartia_jobs.clinic.times import to_instant, to_wall


class NoShowVisits:
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
