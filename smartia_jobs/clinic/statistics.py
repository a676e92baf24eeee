"""How many visits there were and what became of them: read once, added up one by one."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, FromClause, null, select

from smartia_jobs.appointment import AppointmentStatus
from smartia_jobs.clinic.appointments import of_our_calendar
from smartia_jobs.clinic.period import Period
from smartia_jobs.clinic.tables import appointments
from smartia_jobs.clinic.times import StoredTimes, read_booked_at, to_wall

T = TypeVar("T", date, int)

#: A patient who books within this time after an invitation has come back.
REBOOKING_TIME = timedelta(days=30)


def rate(part: int, whole: int) -> float | None:
    """Return ``part`` of ``whole`` as a fraction 0–1; None when there is no whole."""
    return part / whole if whole else None


@dataclass(frozen=True, slots=True)
class StatusCounts:
    """Visits by status; ``unset`` is a NULL or a name that SmartIA does not know."""

    total: int = 0
    scheduled: int = 0
    confirmed: int = 0
    completed: int = 0
    cancelled: int = 0
    no_show: int = 0
    unset: int = 0

    @classmethod
    def of(cls, visits: Mapping[Any, int]) -> "StatusCounts":
        """Return the counts of so many visits with each stored status."""
        known = {status.lower(): visits.get(status, 0) for status in AppointmentStatus}
        total = sum(visits.values())
        return cls(total=total, unset=total - sum(known.values()), **known)

    def __add__(self, other: "StatusCounts") -> "StatusCounts":
        """Return the counts of both."""
        both = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return StatusCounts(**both)

    @property
    def unresolved(self) -> int:
        """Visits whose time has come and that nobody closed; they make every rate uncertain."""
        return self.scheduled + self.confirmed

    @property
    def attended_or_missed(self) -> int:
        """Visits that could be kept and were, or were not."""
        return self.completed + self.no_show

    @property
    def no_show_rate(self) -> float | None:
        """Missed visits among all, the classic definition."""
        return rate(self.no_show, self.total)

    @property
    def completion_rate(self) -> float | None:
        """Kept visits among all."""
        return rate(self.completed, self.total)

    @property
    def no_show_rate_of_attended_or_missed(self) -> float | None:
        """Missed visits among those kept or missed: cancelled and open ones left out."""
        return rate(self.no_show, self.attended_or_missed)


class Visit(NamedTuple):
    """One visit as it is counted.

    Attributes:
        id: SmartIA's.
        status: as it is stored: a status' name, NULL or anything else.
        start_at: the instant at which it begins.
        start: what clocks in the clinic show then, to the minute.
        hour: the same to the hour.
        created_at: when it was booked, as it is stored.
    """

    id: int
    status: Any
    start_at: datetime
    start: datetime
    hour: datetime
    created_at: Any


class Unreadable(NamedTuple):
    """A visit whose date is none: 31 November, 24:00."""

    stored_date: Any


#: Rows held at once, however many there are.
_ROWS = 1000
#: Many visits begin at the same time: each text is read once.
_TEXTS = 4096


def read_visits(
    connection: Connection,
    times: StoredTimes,
    from_at: datetime,
    to_at: datetime,
    *,
    bookings: bool = True,
) -> Iterator[Visit | Unreadable]:
    """Yield the visits of a half-open span as they come, and those near it that have no date.

    Without ``bookings`` none has a ``created_at``, which takes a fifth of the time to read.
    """
    columns = appointments.c
    created_at = of_our_calendar(columns.created_at) if bookings else null()
    query = select(columns.id, columns.status, columns.appointment_date, created_at).where(
        times.near(columns.appointment_date, from_at, to_at)
    )

    @lru_cache(maxsize=_TEXTS)
    def read(stored: Any) -> tuple[datetime, datetime, datetime] | Unreadable | None:
        start_at = times.read(stored)
        if start_at is None:
            return Unreadable(stored)
        if not from_at <= start_at < to_at:
            return None
        start = to_wall(start_at, times.zone).replace(second=0, microsecond=0)
        return start_at, start, start.replace(minute=0)

    rows = connection.execute(query.execution_options(yield_per=_ROWS))
    for id_, status, stored, booked in chain.from_iterable(rows.partitions()):
        moments = read(stored)
        if isinstance(moments, Unreadable):
            yield moments
        elif moments is not None:
            yield Visit(id_, status, *moments, booked)


class Tally:
    """Visits by the local hour they begin in and their status."""

    def __init__(self) -> None:
        """Begin with none."""
        self._visits: Counter[tuple[datetime, Any]] = Counter()

    def add(self, hour: datetime, status: Any, visits: int = 1) -> None:
        """Count visits that begin in one local hour and have one status, as it is stored."""
        self._visits[hour, status] += visits

    def total(self) -> StatusCounts:
        """Return all of them."""
        return sum(self.by_weekday(), StatusCounts())

    def by_day(self) -> dict[date, StatusCounts]:
        """Return the visits of each local day that has any, in order."""
        return self._by(datetime.date)

    def by_weekday(self) -> tuple[StatusCounts, ...]:
        """Return the visits of each day of the week, Monday first, all seven."""
        found = self._by(datetime.weekday)
        return tuple(found.get(weekday, StatusCounts()) for weekday in range(7))

    def by_hour(self) -> dict[int, StatusCounts]:
        """Return the visits that begin in each local hour (0–23) that has any, in order."""
        return self._by(lambda hour: hour.hour)

    def _by(self, group: Callable[[datetime], T]) -> dict[T, StatusCounts]:
        found: defaultdict[T, Counter[Any]] = defaultdict(Counter)
        for (hour, status), visits in self._visits.items():
            found[group(hour)][status] += visits
        return {key: StatusCounts.of(found[key]) for key in sorted(found)}


def count_rebooked(
    connection: Connection, times: StoredTimes, period: Period, invitations: FromClause
) -> int:
    """Return how many patients booked again within ``REBOOKING_TIME`` of an invitation.

    Args:
        connection: a reading transaction.
        times: how SmartIA's dates are stored.
        period: in which they were invited.
        invitations: one row for each, with ``patient_id`` and ``sent_at`` (an instant).
    """
    # Of all bookings there have ever been, only recent ones are joined. A message may be
    # accepted well after the claim that put it into the period.
    recent = times.booked_near(
        appointments.c.created_at, period.from_at, period.to_at + 2 * REBOOKING_TIME
    )
    query = select(invitations.c.patient_id, invitations.c.sent_at, appointments.c.created_at).join(
        appointments, (appointments.c.patient_id == invitations.c.patient_id) & recent
    )
    back = set()
    for patient_id, sent_at, created_at in connection.execute(
        query.execution_options(yield_per=_ROWS)
    ):
        booked_at = read_booked_at(created_at)
        if booked_at and sent_at and sent_at < booked_at <= sent_at + REBOOKING_TIME:
            back.add(patient_id)
    return len(back)
