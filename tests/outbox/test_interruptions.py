"""A database that fails at the worst moments of a run: everybody is accounted for, once."""

import random
from collections import Counter

import pytest

from smartia_jobs.errors import ExitStatus
from smartia_jobs.report import Result
from tests.outbox.faulty_desk import Fault, FaultyDesk
from tests.support import Clinic
from tests.support.fake_courier import ACCEPTED, BUSY, FakeCourier


@pytest.mark.parametrize("seed", range(4))
def test_no_lost_turn_and_no_lost_commit_sends_twice_or_forgets(clinic: Clinic, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same faults each time
    faults = (Fault.BEFORE, Fault.AFTER, None, None, None, None)
    desk = FaultyDesk(clinic, speed=50.0, faults=lambda _, __: chance.choice(faults))
    for n in range(40):
        desk.book(hours=20 + n / 10)
    patient = clinic.add_patient("Ana")
    desk.book(hours=24, patient_id=patient)
    desk.book(hours=30, patient_id=patient)
    courier = FakeCourier(lambda _, before: BUSY if before % 7 == 3 else ACCEPTED)

    report = desk.run(courier)

    assert report.results == Counter({Result.SENT: 42})
    assert (report.due, report.messages) == (42, 41)
    assert len(courier.posted) == 41 + sum(n % 7 == 3 for n in range(len(courier.posted)))
    assert clinic.value("SELECT count(*) FROM interactions") == 41


def test_a_read_that_fails_forgets_nobody_who_was_about_to_be_claimed(clinic: Clinic) -> None:
    desk = FaultyDesk(
        clinic,
        workers=16,
        faults=lambda kind, n: Fault.BEFORE if (kind, n) == ("read", 1) else None,
    )
    for n in range(505):  # the second page is read with the last of the first in hand
        desk.book(hours=20 + n / 100)

    report = desk.run(FakeCourier())

    assert report.results == Counter({Result.SENT: 505})


def test_a_database_that_cannot_even_be_read_ends_the_run(clinic: Clinic) -> None:
    desk = FaultyDesk(clinic, speed=300.0, faults=lambda _, __: Fault.BEFORE)
    desk.book()
    courier = FakeCourier()

    report = desk.run(courier)

    assert courier.posted == []
    assert report.exit_status is ExitStatus.UNAVAILABLE
