"""What the tests of the clinic's side share: the program's own connection to a clinic."""

from collections.abc import Iterator

import pytest

from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.times import Storage, StoredTimes
from smartia_jobs.database import Database
from tests.support import Clinic
from tests.support.clinic_data import SAO_PAULO


@pytest.fixture
def database(clinic: Clinic) -> Iterator[Database]:
    """The clinic's database as the program opens it."""
    opened = Database(clinic.url)
    yield opened
    opened.close()


@pytest.fixture
def appointments(clinic: Clinic) -> Appointments:
    """The questions asked of the clinic, in São Paulo."""
    storage = Storage.TEXT if clinic.dialect == "sqlite" else Storage.WALL_AS_UTC
    return Appointments(StoredTimes(storage, SAO_PAULO))
