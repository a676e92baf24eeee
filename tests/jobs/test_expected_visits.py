"""How much a run says there is to do is what it then does, on either engine."""

from datetime import UTC, timedelta

from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.rules.window import Window
from smartia_jobs.clinic.times import Storage, StoredTimes
from smartia_jobs.database import Database
from tests.clinic.wall_clock import wall
from tests.support import Clinic
from tests.support.clinic_data import SAO_PAULO


def test_the_visits_counted_are_those_that_will_be_read(clinic: Clinic) -> None:
    nine = wall("2026-11-24 09:00")
    from_at = nine.replace(tzinfo=SAO_PAULO).astimezone(UTC)
    window = Window(from_at, from_at + timedelta(hours=3))
    for minutes in (-180, -1, 0, 60, 180, 181, 360):
        clinic.add_appointment(clinic.add_patient(), nine + timedelta(minutes=minutes))
    closed = clinic.add_appointment(clinic.add_patient(), nine, "CANCELLED")
    storage = Storage.TEXT if clinic.dialect == "sqlite" else Storage.WALL_AS_UTC
    appointments = Appointments(StoredTimes(storage, SAO_PAULO))
    database = Database(clinic.url, read_only=True)

    with database.read() as connection:
        counted = appointments.count(connection, window)
        read = [visit.id for page in appointments.pages(connection, window) for visit in page]

    database.close()
    assert counted == len(read) == 3
    assert closed not in read
