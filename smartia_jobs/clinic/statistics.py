"""How many visits there were and what became of them, counted by the database."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date, timedelta
from operator import add, attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, distinct, func, select

from smartia_jobs.appointment import AppointmentStatus
from smartia_jobs.clinic.local_time import LocalTime
from smartia_jobs.clinic.period import Period
from smartia_jobs.clinic.tables import appointments
from smartia_jobs.clinic.times import StoredTimes

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

    def __add__(self, other: "StatusCounts") -> "StatusCounts":
        """Return the counts of both."""
        return StatusCounts(*map(add, _numbers(self), _numbers(other)))

    @classmethod
    def sum(cls, counts: Iterable["StatusCounts"]) -> "StatusCounts":
        """Return the counts of all."""
        return sum(counts, cls())

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


#: All its numbers in their order; ``dataclasses.astuple`` copies each of them deeply.
_numbers = attrgetter(*(field.name for field in fields(StatusCounts)))


def count_by_day(
    connection: Connection, times: StoredTimes, period: Period
) -> dict[date, StatusCounts]:
    """Return the visits of each local day that has any."""
    day = LocalTime(times, (period.from_at, period.to_at)).day
    return {
        date.fromisoformat(str(found)): counts
        for found, counts in _counts_by(day, connection, times, period)
    }


def count_by_hour(
    connection: Connection, times: StoredTimes, period: Period
) -> dict[int, StatusCounts]:
    """Return the visits that begin in each local hour (0–23) that has any, in order."""
    hour = LocalTime(times, (period.from_at, period.to_at)).hour
    return dict(sorted(_counts_by(hour, connection, times, period)))


def count_unreadable(connection: Connection, times: StoredTimes, period: Period) -> int:
    """Return how many visits seem to be of the period but have a date that nobody can read.

    They are in no other count.
    """
    unreadable = LocalTime(times).unreadable_between(period.from_at, period.to_at)
    query = select(func.count()).select_from(appointments).where(unreadable)
    return connection.execute(query).scalar_one()


def count_rebooked(
    connection: Connection, times: StoredTimes, period: Period, invitations: FromClause
) -> int:
    """Return how many patients booked again within ``REBOOKING_TIME`` of an invitation.

    Args:
        connection: a reading transaction.
        times: how SmartIA's dates are stored.
        period: in which they were invited.
        invitations: one row for each, with ``patient_id`` and ``sent_at`` (an instant as our
            own tables store it).
    """
    local = LocalTime(times)
    # A cheap bound first: of all bookings there have ever been, only recent ones are joined.
    # A message may be accepted well after the claim that put it into the period.
    recent = local.booked_between(period.from_at, period.to_at + 2 * REBOOKING_TIME)
    joined = invitations.join(
        appointments,
        (appointments.c.patient_id == invitations.c.patient_id)
        & recent
        & local.booked_within(invitations.c.sent_at, REBOOKING_TIME),
    )
    patients = func.count(distinct(invitations.c.patient_id))
    return connection.execute(select(patients).select_from(joined)).scalar_one()


def _counts_by(
    group: ColumnElement[Any], connection: Connection, times: StoredTimes, period: Period
) -> list[tuple[Any, StatusCounts]]:
    """Count each group's visits; those whose date cannot be read belong to none."""
    known = {
        field.name: func.count().filter(appointments.c.status == AppointmentStatus[name])
        for field in fields(StatusCounts)
        if (name := field.name.upper()) in AppointmentStatus.__members__
    }
    query = (
        select(group.label("local"), func.count(), *known.values())
        .where(LocalTime(times).within(period.from_at, period.to_at))
        .group_by("local")
    )
    return [
        (
            found,
            StatusCounts(
                total=total, unset=total - sum(numbers), **dict(zip(known, numbers, strict=True))
            ),
        )
        for found, total, *numbers in connection.execute(query)
        if found is not None
    ]
