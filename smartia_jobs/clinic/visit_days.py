"""One message per person and day: due visits, read in pages and grouped."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from smartia_jobs.appointment import Appointment, PersonDay
from smartia_jobs.clinic.appointments import CLOSED, Appointments, Cursor
from smartia_jobs.clinic.rules.window import Window


class VisitDays:
    """The due visits of a window as person-days, the nearest first.

    Each call to :meth:`next_page` is one short read that returns plain values, so no transaction is
    open while messages are sent, and a failed read can simply be repeated.
    """

    def __init__(
        self, appointments: Appointments, window: Window, identify: Callable[[Appointment], str]
    ) -> None:
        """Begin before the first visit.

        Args:
            appointments: SmartIA's.
            window: which visits are due.
            identify: returns what identifies a person: the canonical phone.
        """
        self._appointments = appointments
        self._window = window
        self._identify = identify
        self._companions: dict[int, tuple[int, ...]] | None = None
        self._told_early: set[int] = set()
        self._after: Cursor | None = None
        self._finished = False

    def next_page(self, connection: Connection) -> Sequence[PersonDay] | None:
        """Return the next person-days, possibly none of them; None after the last page."""
        if self._finished:
            return None
        page = self._appointments.page(connection, self._window, after=self._after)
        if self._companions is None and (page.next is not None or len(page.appointments) > 1):
            self._companions = self._appointments.companions(connection, self._window)
        days = self._days(connection, page.appointments)
        # Only after every query, so that a failed read leaves the position as it was.
        self._told_early.update(a.id for day in days for a in day)
        self._told_early.difference_update(a.id for a in page.appointments)
        self._after = page.next
        self._finished = page.next is None
        return days

    def _days(self, connection: Connection, page: Sequence[Appointment]) -> list[PersonDay]:
        near = {appointment.id: appointment for appointment in page}
        companions = self._companions or {}
        far = {other for a in page for other in companions.get(a.id, ())} - near.keys()
        near.update(self._appointments.by_id(connection, far))
        days: list[PersonDay] = []
        told = set(self._told_early)
        for leader in page:
            if leader.id in told:
                continue
            others = (near[i] for i in companions.get(leader.id, ()) if i in near and i not in told)
            day = (leader, *(a for a in others if self._same_day(leader, a)))
            days.append(tuple(sorted(day, key=_nearest_first)))
            told.update(a.id for a in day)
        return days

    def _same_day(self, leader: Appointment, other: Appointment) -> bool:
        return (
            other.id != leader.id
            and leader.start is not None
            and other.start is not None
            and other.start.date() == leader.start.date()
            and other.start_at is not None
            and other.start_at in self._window
            and other.status not in CLOSED
            and self._identify(other) == self._identify(leader)
        )


def _nearest_first(appointment: Appointment) -> tuple[bool, object, int]:
    return (appointment.start_at is None, appointment.start_at, appointment.id)
