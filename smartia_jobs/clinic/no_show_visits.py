"""The no-shows of a window, and the other visits of their patients."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, time

from sqlalchemy import Connection

from smartia_jobs.appointment import OPEN, Appointment, AppointmentStatus, PersonDay
from smartia_jobs.clinic.appointments import Appointments, Cursor
from smartia_jobs.clinic.rules.window import Window
from smartia_jobs.clinic.times import to_instant, to_wall


class NoShowVisits:
    """The no-shows of a window, the oldest first, each by itself.

    An invitation is about one visit: an earlier no-show of the same person is a veto against the
    later one, so nothing has to be grouped.

    Attributes:
        window: when a visit must have begun.
        identify: returns what identifies a person.
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
            appointments: SmartIA's.
            window: when a visit must have begun.
            identify: returns what identifies a person: the canonical phone.
            foreseen: visits that count as NO_SHOW: a dry run would have marked them.
        """
        self._appointments = appointments
        self.window = window
        self.identify = identify
        self._foreseen = frozenset(foreseen)
        self._after: Cursor | None = None
        self._finished = False

    def next_page(self, connection: Connection) -> Sequence[PersonDay] | None:
        """Return the next no-shows, possibly none; None after the last page."""
        if self._finished:
            return None
        no_show = frozenset({AppointmentStatus.NO_SHOW})
        page = self._appointments.page(
            connection,
            self.window,
            after=self._after,
            statuses=no_show | OPEN if self._foreseen else no_show,
        )
        self._after = page.next
        self._finished = page.next is None
        visits = (self._foresee(visit) for visit in page.appointments)
        return [(visit,) for visit in visits if visit.status in no_show]

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
