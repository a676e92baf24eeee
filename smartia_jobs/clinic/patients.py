"""Which patients a phone is of, and which visits are theirs."""

from collections.abc import Callable, Collection

from sqlalchemy import Connection, select

from smartia_jobs.clinic.tables import appointments, patients


def patients_with_phone(connection: Connection, is_theirs: Callable[[str], bool]) -> set[int]:
    """Return the ids of the patients whose phone, as it is stored, is one person's."""
    query = select(patients.c.id, patients.c.phone_number).where(
        patients.c.phone_number.is_not(None)
    )
    return {row.id for row in connection.execute(query) if is_theirs(row.phone_number)}


def visits_of(connection: Connection, patient_ids: Collection[int]) -> set[int]:
    """Return the ids of all appointments these patients ever had."""
    query = select(appointments.c.id).where(appointments.c.patient_id.in_(sorted(patient_ids)))
    return set(connection.scalars(query))
