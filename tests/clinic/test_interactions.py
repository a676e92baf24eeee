"""What was sent, written where the clinic reads its dialogues, over both databases."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import event

from smartia_jobs.clinic.interactions import newest_conversations, write_interactions
from smartia_jobs.database import Database
from smartia_jobs.message import Conversations, SentMessage
from tests.support import Clinic

SENT_AT = datetime(2026, 11, 23, 12, 0, 5, 250_000, tzinfo=UTC)


#: For what both engines do alike.
only_sqlite = pytest.mark.parametrize("clinic", ["sqlite"], indirect=True)


def sent(
    patient_id: int,
    conversation_id: int | None = None,
    *,
    text: str = "Olá, Ana",
    message_id: str | None = "wamid.TEST",
    sent_at: datetime = SENT_AT,
) -> SentMessage:
    conversations = Conversations({patient_id: conversation_id}, last=conversation_id or 0)
    return SentMessage(patient_id, conversations, text, message_id, sent_at)


def write(database: Database, *messages: SentMessage) -> None:
    with database.write() as connection:
        write_interactions(connection, messages)


@only_sqlite
def test_the_newest_conversation_of_each_patient_is_found(
    clinic: Clinic, database: Database
) -> None:
    one, other, silent = (clinic.add_patient() for _ in range(3))
    clinic.add_conversation(one)
    clinic.add_conversation(other)
    newest = clinic.add_conversation(one, "ASK_DATE")
    only = clinic.value("SELECT id FROM conversations WHERE patient_id = :id", id=other)

    with database.read() as connection:
        found = newest_conversations(connection, [one, other, silent])
        of_nobody = newest_conversations(connection, [])

    assert found == Conversations({one: newest, other: only, silent: None}, last=newest)
    assert of_nobody == Conversations()


def test_a_message_is_written_as_the_patient_read_it(clinic: Clinic, database: Database) -> None:
    patient = clinic.add_patient()
    conversation = clinic.add_conversation(patient)
    text = "Olá, Ana!\nSegunda-feira, 23 de novembro, 14:30 — 100% combinado 😊"

    write(database, sent(patient, conversation, text=text))

    (row,) = clinic.rows("SELECT * FROM interactions")
    del row["id"], row["created_at"]
    assert row == {
        "conversation_id": conversation,
        "patient_id": patient,
        "type": "OUTGOING",
        "message_text": text,
        "message_type": "template",
        "provider_message_id": "wamid.TEST",
    }


def test_a_patient_without_a_conversation_gets_one_that_no_chatbot_continues(
    clinic: Clinic, database: Database
) -> None:
    patient = clinic.add_patient()

    write(database, sent(patient))

    (made,) = clinic.rows("SELECT * FROM conversations")
    assert (made["patient_id"], made["state"]) == (patient, "DONE")
    assert made["created_at"] == made["updated_at"]
    assert clinic.value("SELECT conversation_id FROM interactions") == made["id"]


def test_messages_of_one_turn_to_new_patients_share_a_conversation_each(
    clinic: Clinic, database: Database
) -> None:
    one, other, known = (clinic.add_patient() for _ in range(3))
    conversation = clinic.add_conversation(known)

    write(database, sent(one), sent(other), sent(one), sent(known, conversation), sent(one))

    rows = clinic.rows("SELECT patient_id, conversation_id FROM interactions ORDER BY id")
    assert [row["patient_id"] for row in rows] == [one, other, one, known, one]
    assert len({row["conversation_id"] for row in rows}) == 3
    assert clinic.value("SELECT count(*) FROM conversations") == 3


@only_sqlite
def test_a_conversation_begun_since_the_visit_was_read_is_the_one(
    clinic: Clinic, database: Database
) -> None:
    patient = clinic.add_patient()
    begun = clinic.add_conversation(patient, "NEW_INTENT")

    write(database, sent(patient))

    assert clinic.value("SELECT conversation_id FROM interactions") == begun
    assert clinic.value("SELECT state FROM conversations") == "NEW_INTENT"


def test_a_long_table_of_conversations_is_not_read_for_each_turn(
    clinic: Clinic, database: Database
) -> None:
    patient = clinic.add_patient()
    asked = Conversations({patient: None}, last=9000, last_at_start=5000)
    bounds: list[Any] = []

    with database.write() as connection:

        def note(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
            if "conversations.id >" in statement:
                bounds.extend(values.values() if isinstance(values, dict) else values)

        event.listen(connection, "before_cursor_execute", note)
        write_interactions(connection, [SentMessage(patient, asked, "Olá", "wamid.A", SENT_AT)])

    # PostgreSQL's ids may come to light long after others: what the run itself began is read too.
    bound = {"sqlite": 9000 - 100, "postgresql": 5000 - 100}[clinic.dialect]
    assert [value for value in bounds if isinstance(value, int)] == [bound]


def test_a_visit_given_to_another_patient_since_finds_their_conversation(
    clinic: Clinic, database: Database
) -> None:
    before, after = clinic.add_patient(), clinic.add_patient()
    running = clinic.add_conversation(after, "ASK_DATE")
    asked = Conversations({before: None}, last=running + 5000, last_at_start=running + 5000)

    with database.write() as connection:
        write_interactions(connection, [SentMessage(after, asked, "Olá", "wamid.A", SENT_AT)])

    assert clinic.value("SELECT conversation_id FROM interactions") == running


def test_a_conversation_whose_id_came_to_light_late_is_found(
    clinic: Clinic, database: Database
) -> None:
    patient = clinic.add_patient()
    late = clinic.add_conversation(patient, "ASK_DATE")
    asked = Conversations({patient: None}, last=late + 50, last_at_start=late + 50)

    with database.write() as connection:
        write_interactions(connection, [SentMessage(patient, asked, "Olá", "wamid.A", SENT_AT)])

    assert clinic.value("SELECT conversation_id FROM interactions") == late


@only_sqlite
def test_a_message_whose_id_is_unknown_is_written_without(
    clinic: Clinic, database: Database
) -> None:
    write(database, sent(clinic.add_patient(), message_id=None))

    assert clinic.value("SELECT provider_message_id FROM interactions") is None


@only_sqlite
def test_nothing_sent_writes_nothing(clinic: Clinic, database: Database) -> None:
    write(database)

    assert clinic.rows("SELECT id FROM interactions") == []


def test_what_is_written_is_gone_when_the_turn_fails(clinic: Clinic, database: Database) -> None:
    patient = clinic.add_patient()

    with pytest.raises(ZeroDivisionError), database.write() as connection:
        write_interactions(connection, [sent(patient)])
        _ = 1 // 0

    assert clinic.rows("SELECT id FROM interactions") == []
    assert clinic.rows("SELECT id FROM conversations") == []


def test_the_moment_is_stored_as_the_instant_it_was(clinic: Clinic, database: Database) -> None:
    patient, new = clinic.add_patient(), clinic.add_patient()
    conversation = clinic.add_conversation(patient)
    in_sao_paulo = SENT_AT.astimezone(timezone(timedelta(hours=-3)))

    write(database, sent(patient, conversation, sent_at=in_sao_paulo), sent(new))

    stored = {row["created_at"] for row in clinic.rows("SELECT created_at FROM interactions")}
    begun = clinic.value("SELECT updated_at FROM conversations WHERE patient_id = :id", id=new)
    as_utc = SENT_AT if clinic.dialect == "postgresql" else "2026-11-23 12:00:05"
    assert stored == {as_utc}
    assert begun == as_utc


@only_sqlite
def test_on_sqlite_the_moment_looks_like_smartias_own(clinic: Clinic, database: Database) -> None:
    conversation = clinic.add_conversation(clinic.add_patient())
    own = clinic.add_interaction(conversation, "Oi")  # dated by SQLite: CURRENT_TIMESTAMP
    dated = clinic.value("SELECT created_at FROM interactions WHERE id = :id", id=own)
    moment = datetime.fromisoformat(dated).replace(tzinfo=UTC)

    write(database, sent(1, conversation, sent_at=moment))

    assert clinic.value("SELECT max(created_at) FROM interactions") == dated
    assert clinic.value("SELECT min(created_at) FROM interactions") == dated
