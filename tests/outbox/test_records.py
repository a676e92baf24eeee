"""Whose outcome is written, and what is not written at all: over both databases."""

from collections import Counter

import pytest
from sqlalchemy import create_engine, text

from smartia_jobs.errors import ExitStatus
from smartia_jobs.report import Result
from smartia_jobs.run import Stop
from tests.outbox.desk import Desk
from tests.outbox.faulty_desk import Fault, FaultyDesk
from tests.support import Clinic
from tests.support.fake_sender import BUSY, FakeSender, always


def test_an_outcome_changes_no_row_that_is_not_its_owners_any_more(clinic: Clinic) -> None:
    desk = Desk(clinic)
    visit = desk.book()

    def take_it_over(_: str) -> None:
        clinic.execute("UPDATE smartia_outbox SET run_id = 'another'")

    desk.run(FakeSender(before_send=take_it_over))

    assert desk.states() == {visit: "claimed"}
    assert clinic.value("SELECT run_id FROM smartia_outbox") == "another"


def test_claims_that_were_committed_unheard_are_given_back_at_the_end(clinic: Clinic) -> None:
    stop = Stop()

    def lose_the_commit_that_claims(kind: str, _: int) -> Fault | None:
        if kind == "read" or len(sender.posted) != 1 or stop.requested:
            return None
        stop.request(ExitStatus.TERMINATED)
        return Fault.AFTER

    desk = FaultyDesk(clinic, faults=lose_the_commit_that_claims)
    for n in range(4):
        desk.book(hours=20 + n)
    sender = FakeSender()

    report = desk.run(sender, stop=stop)

    assert len(sender.posted) == 1
    assert report.results == Counter({Result.SENT: 1, Result.LEFT: 3})
    assert Counter(desk.states().values()) == {"sent": 1, "retry": 3}


def test_a_row_that_is_claimed_alone_follows_no_leader_any_more(clinic: Clinic) -> None:
    desk = Desk(clinic)
    patient = clinic.add_patient("Ana")
    desk.book(hours=24, patient_id=patient)
    follower = desk.book(hours=27, patient_id=patient)
    desk.run(FakeSender(always(BUSY)))
    led = "SELECT leader_id FROM smartia_outbox WHERE appointment_id = :id"
    assert clinic.value(led, id=follower) is not None
    other = clinic.add_patient("Bia")
    clinic.execute("UPDATE appointments SET patient_id = :to WHERE id = :id", to=other, id=follower)

    desk.run(FakeSender())

    assert clinic.value(led, id=follower) is None
    assert set(desk.states().values()) == {"sent"}


def test_no_outcome_waits_for_a_conversation_that_another_program_has_locked(
    postgres_clinic: Clinic, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(postgres_clinic)
    patient = postgres_clinic.add_patient("Ana")
    conversation = postgres_clinic.add_conversation(patient)
    desk.book(hours=20, patient_id=patient)
    for n in range(11):
        desk.book(hours=21 + n / 10)
    sender = FakeSender()
    engine = create_engine(postgres_clinic.url)

    with engine.begin() as bot:
        lock = text("SELECT id FROM conversations WHERE id = :id FOR UPDATE")
        bot.execute(lock, {"id": conversation})
        report = desk.run(sender)
    engine.dispose()

    assert report.results == Counter({Result.SENT: 12})
    assert Counter(desk.states().values()) == {"sent": 12}
    assert report.exit_status is ExitStatus.OK
    assert report.interactions_missing == 1
    assert "missing in SmartIA's dialogues: 1 messages" in report.warnings[0]
    assert postgres_clinic.value("SELECT count(*) FROM interactions") == 11
    assert "an interaction could not be written" in caplog.text
