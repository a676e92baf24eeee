"""Whether SmartIA's chatbot is talking with a patient, so that a bare word may be for it."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.chats import phones_in_dialogue
from smartia_jobs.database import Database
from smartia_jobs.store.schema import ensure
from smartia_jobs.store.tables import outbox
from tests.support import Clinic

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Chatbot:
    """A clinic with a chatbot."""

    def __init__(self, clinic: Clinic, database: Database, appointments: Appointments) -> None:
        self.clinic = clinic
        self.database = database
        self.times = appointments.times
        ensure(database, auto_migrate=True)
        self.patient = clinic.add_patient(phone="5511987654321")

    def says(
        self, *, ago: timedelta = HOUR, state: str = "CONFIRM", patient: int | None = None
    ) -> int:
        chat = self.clinic.add_conversation(patient or self.patient, state)
        text = "Deseja agendar?"
        return self.clinic.add_interaction(chat, text, type="OUTGOING", created_at=NOW - ago)

    def is_talking(self) -> bool:
        with self.database.read() as connection:
            return bool(phones_in_dialogue(connection, self.times, now=NOW))


@pytest.fixture
def chatbot(clinic: Clinic, database: Database, appointments: Appointments) -> Chatbot:
    return Chatbot(clinic, database, appointments)


def test_nobody_talks_where_nothing_was_said(chatbot: Chatbot) -> None:
    assert not chatbot.is_talking()


@pytest.mark.parametrize(("hours", "talks"), [(1, True), (23.9, True), (24.1, False)])
def test_a_chatbot_that_wrote_within_a_day_is_talking(
    chatbot: Chatbot, hours: float, talks: bool
) -> None:
    chatbot.says(ago=hours * HOUR)

    assert chatbot.is_talking() is talks


def test_a_dialogue_that_is_done_waits_for_nothing(chatbot: Chatbot) -> None:
    chatbot.says(state="DONE")

    assert not chatbot.is_talking()


def test_whom_it_talks_with_is_told_by_the_phone(chatbot: Chatbot) -> None:
    chatbot.says()
    chatbot.says(patient=chatbot.clinic.add_patient(phone="551187650001"), state="DONE")
    chatbot.says(patient=chatbot.clinic.add_patient(phone="551187650002"))

    with chatbot.database.read() as connection:
        phones = phones_in_dialogue(connection, chatbot.times, now=NOW)

    assert phones == {"5511987654321", "551187650002"}


def test_what_this_program_sent_is_no_dialogue(chatbot: Chatbot) -> None:
    ours = chatbot.says()
    chatbot.clinic.execute(
        "UPDATE interactions SET provider_message_id = 'wamid.OURS' WHERE id = :id", id=ours
    )
    with chatbot.database.write() as connection:
        connection.execute(
            insert(outbox).values(
                appointment_id=1, kind="24h", start=NOW.replace(tzinfo=None), patient_id=1,
                state="sent", run_id="a run", message_id="wamid.OURS", created_at=NOW,
                updated_at=NOW,
            )
        )  # fmt: skip

    assert not chatbot.is_talking()
