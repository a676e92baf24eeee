"""What SmartIA's tables say about the patients to call, and whether they came last time."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, column, select, table

from smartia_jobs.appointment import AppointmentStatus
from smartia_jobs.clinic.appointments import of_our_calendar
from smartia_jobs.clinic.tables import appointments, patients
from smartia_jobs.clinic.times import StoredTimes, read_booked_at
from smartia_jobs.database import chunks
from smartia_jobs.phones import canonical_phone

# SmartIA may lack this column, and a role with few rights may not read it.
_MAY_READ_EVENTS = {
    "sqlite": "SELECT count(*) FROM pragma_table_info('appointments')"
    " WHERE name = 'calendar_event_id'",
    "postgresql": "SELECT count(*) FROM pg_attribute"
    " WHERE attrelid = to_regclass('appointments') AND attname = 'calendar_event_id'"
    " AND NOT attisdropped AND has_column_privilege(attrelid, attnum, 'SELECT')",
}
_with_events = table("appointments", column("id"), column("calendar_event_id"))


@dataclass(frozen=True, slots=True)
class Patient:
    """Whom to call.

    Attributes:
        id: SmartIA's.
        name: as stored; may be None.
        phone: as stored; may be None.
    """

    id: int
    name: str | None
    phone: str | None


def patients_by_id(connection: Connection, ids: Collection[int]) -> dict[int, Patient]:
    """Return these patients, by id; one that is gone is not among them."""
    found: dict[int, Patient] = {}
    for some in chunks(ids):
        query = select(patients.c.id, patients.c.name, patients.c.phone_number)
        for row in connection.execute(query.where(patients.c.id.in_(some))):
            found[row.id] = Patient(row.id, row.name, row.phone_number)
    return found


def patients_by_phone(
    connection: Connection, phones: Collection[str], country: str
) -> dict[str, Patient]:
    """Return the patients with these phones, however they were typed; of several the newest."""
    found: dict[str, Patient] = {}
    if not phones:
        return found
    query = select(patients.c.id, patients.c.name, patients.c.phone_number)
    rows = connection.execute(query.where(patients.c.phone_number.is_not(None)))
    for row in rows:
        stored = str(row.phone_number)
        phone = canonical_phone(stored, country)
        if phone is not None and phone in phones:
            newest = found.get(phone)
            if newest is None or newest.id < row.id:
                found[phone] = Patient(row.id, row.name, stored)
    return found


def no_show_last_time(
    connection: Connection, times: StoredTimes, patient_ids: Collection[int], *, before: datetime
) -> set[int]:
    """Return the patients whose last visit that was kept or a no-show was a no-show."""
    last: dict[int, tuple[datetime, str]] = {}
    kept_or_missed = (AppointmentStatus.COMPLETED, AppointmentStatus.NO_SHOW)
    for some in chunks(patient_ids):
        query = select(
            appointments.c.patient_id,
            appointments.c.status,
            of_our_calendar(appointments.c.appointment_date),
        ).where(appointments.c.patient_id.in_(some), appointments.c.status.in_(kept_or_missed))
        for row in connection.execute(query):
            start_at = times.read(row.appointment_date)
            if start_at is None or start_at >= before:
                continue
            if row.patient_id not in last or last[row.patient_id][0] < start_at:
                last[row.patient_id] = start_at, row.status
    return {one for one, (_, status) in last.items() if status == AppointmentStatus.NO_SHOW}


def changed_at(connection: Connection, ids: Collection[int]) -> dict[int, datetime | None]:
    """Return when SmartIA's rows of these visits were last changed, by id; None: not recorded."""
    found: dict[int, datetime | None] = {}
    for some in chunks(ids):
        query = select(appointments.c.id, of_our_calendar(appointments.c.updated_at))
        for row in connection.execute(query.where(appointments.c.id.in_(some))):
            found[row.id] = read_booked_at(row.updated_at)
    return found


def calendar_events(connection: Connection, ids: Collection[int]) -> dict[int, str]:
    """Return the calendar's ids of these visits where SmartIA has noted one, by visit."""
    may_read = connection.exec_driver_sql(_MAY_READ_EVENTS[connection.dialect.name]).scalar()
    found: dict[int, str] = {}
    if not may_read:
        return found
    for some in chunks(ids):
        query = select(_with_events.c.id, _with_events.c.calendar_event_id)
        for row in connection.execute(query.where(_with_events.c.id.in_(some))):
            if row.calendar_event_id:
                found[row.id] = str(row.calendar_event_id)
    return found
