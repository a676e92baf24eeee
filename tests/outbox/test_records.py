"""Whose outcome is written, and what is not written at all: over both databases."""

from collections import Counter
from collections.abc import Sequence

import pytest
from sqlalchemy import create_engine, text

from smartia_jobs.appointment import Appointment
from smartia_jobs.errors import ExitStatus
from smartia_jobs.message import Message
from smartia_jobs.report import Reason, Result
from smartia_jobs.run import Stop
from tests.outbox.desk import Desk
from tests.outbox.faulty_desk import Fault, FaultyDesk
from tests.support import Clinic
from tests.support.fake_sender import BUSY, FakeSender, always


def test_an_outcome_changes_no_row_that_is_no_longer_its_owners(clinic: Clinic) -> None:
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


def test_a_row_that_is_claimed_alone_no_longer_follows_a_leader(clinic: Clinic) -> None:
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


# -- which template told it ---------------------------------------------------------------------


def templates(clinic: Clinic) -> dict[int, str | None]:
    """Return appointment → template of its newest outbox row."""
    rows = clinic.rows("SELECT appointment_id, template FROM smartia_outbox ORDER BY id")
    return {row["appointment_id"]: row["template"] for row in rows}


def test_a_row_names_the_template_that_told_it(clinic: Clinic) -> None:
    desk = Desk(clinic)
    patient = clinic.add_patient("Ana")
    usual, confirmed, unreachable = (
        desk.book(),
        desk.book(),
        desk.book(patient_id=clinic.add_patient("Rui", "98765")),
    )
    one, other = desk.book(hours=24, patient_id=patient), desk.book(hours=27, patient_id=patient)
    clinic.execute(
        "UPDATE appointments SET status = 'CONFIRMED' WHERE id IN (:a, :b)", a=confirmed, b=one
    )

    desk.run(FakeSender())

    assert templates(clinic) == {
        usual: "lembrete",
        confirmed: "lembrete_confirmado",
        unreachable: None,
        one: "lembrete",  # one message, about a visit that is not confirmed as well
        other: "lembrete",
    }


def test_who_confirms_before_a_second_try_gets_the_text_for_that(clinic: Clinic) -> None:
    desk = Desk(clinic)
    visit = desk.book()
    desk.run(FakeSender(always(BUSY)))
    assert templates(clinic) == {visit: "lembrete"}

    clinic.execute("UPDATE appointments SET status = 'CONFIRMED'")
    desk.run(FakeSender())

    assert templates(clinic) == {visit: "lembrete_confirmado"}


def test_a_row_that_follows_names_the_template_that_told_the_patient(clinic: Clinic) -> None:
    desk = Desk(clinic)
    patient = clinic.add_patient("Ana")
    visit = desk.book(patient_id=patient)
    desk.book(hours=30)  # keeps ids from coming again
    desk.run(FakeSender())
    clinic.delete_appointment(visit)
    again = desk.book(patient_id=patient)
    clinic.execute("UPDATE appointments SET status = 'CONFIRMED' WHERE id = :id", id=again)

    desk.run(FakeSender())

    assert templates(clinic)[again] == "lembrete"


def test_a_row_is_right_although_another_run_took_the_other_visit(
    postgres_clinic: Clinic,
) -> None:
    desk = Desk(postgres_clinic)
    patient = postgres_clinic.add_patient("Ana")
    ours, theirs = desk.book(hours=24, patient_id=patient), desk.book(hours=27, patient_id=patient)
    postgres_clinic.execute("UPDATE appointments SET status = 'CONFIRMED' WHERE id = :id", id=ours)

    class Overtaken(FakeSender):
        """Another run claims a visit between the look at its rows and the claim."""

        def write(self, visits: Sequence[Appointment]) -> Message:
            if len(visits) == 2:
                postgres_clinic.execute(
                    "INSERT INTO smartia_outbox (appointment_id, kind, turn, start, patient_id,"
                    " phone, state, run_id, template, claims, created_at, updated_at) SELECT id,"
                    " '24h', 1, appointment_date, patient_id, '+5511900000000', 'claimed', 'other',"
                    " 'lembrete', 1, appointment_date, appointment_date FROM appointments"
                    " WHERE id = :id",
                    id=theirs,
                )
            return super().write(visits)

    sender = Overtaken()
    report = desk.run(sender)

    assert report.skipped == {Reason.BEING_SENT_ELSEWHERE: 1}
    assert [one.text for one in sender.posted] == ["09:00"]
    assert templates(postgres_clinic) == {ours: "lembrete_confirmado", theirs: "lembrete"}
