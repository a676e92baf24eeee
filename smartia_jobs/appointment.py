"""What an appointment is to this program: the plain values read from the clinic's database."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class AppointmentStatus(StrEnum):
    """SmartIA's appointment states, stored by member name."""

    SCHEDULED = "SCHEDULED"
    CONFIRMED = "CONFIRMED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    NO_SHOW = "NO_SHOW"


#: The visit is still expected to take place.
OPEN = frozenset({AppointmentStatus.SCHEDULED, AppointmentStatus.CONFIRMED})

#: What a visit lasts when the clinic did not say (SmartIA's own default).
DEFAULT_DURATION = timedelta(minutes=60)


@dataclass(frozen=True, slots=True)
class Appointment:
    """One row of ``appointments`` with its patient, as it was read at one moment.

    Attributes:
        id: the appointment's id.
        patient_id: the patient it points to, whether or not that row still exists.
        status: SmartIA's state; None when it is NULL or no known name.
        start_at: when it begins, aware UTC; None when the stored date cannot be read.
        start: the same as the clinic's wall time, naive, to the minute: what the patient is
            told, and part of the key that forbids a second message. None like ``start_at``.
        duration: how long it lasts.
        booked_at: when the row was made, aware UTC; None when the clinic did not record it.
        patient_exists: False when the patient row is gone.
        patient_name: as stored; may be None or blank.
        phone: as stored, not yet parsed; may be None.
    """

    id: int
    patient_id: int
    status: AppointmentStatus | None
    start_at: datetime | None
    start: datetime | None
    duration: timedelta = DEFAULT_DURATION
    booked_at: datetime | None = None
    patient_exists: bool = True
    patient_name: str | None = None
    phone: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the visit is still expected to take place."""
        return self.status in OPEN


#: (appointment id, its start in the clinic's wall time): one visit at one time
Key = tuple[int, datetime]

#: The visits of one person on one local day, earliest first, told in one message. Most have one.
PersonDay = tuple[Appointment, ...]
