"""What was sent, written where the clinic reads its dialogues, over both databases."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from smartia_jobs.clinic.interactions import write_interactions
from smartia_jobs.database import Database
from smartia_jobs.message import SentMessage
from tests.support import Clinic

SENT_AT = datetime(2026, 11, 23, 12, 0, 5, 250_000, tzinfo=UTC)


#: For what both engines do alike.
only_sqlite = pytest.mark.parametrize("clinic", ["sqlite"], indirect=True)


def sent(
    patient_id: int,
    *,
    text: str = "Olá, Ana",
    message_id: str | None = "wamid.TEST",
    sent_at: datetime = SENT_AT,
) -> SentMessage:
    return SentMessage(patient_id, text, message_id, sent_at)


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

    write(database, sent(one), sent(other), sent(silent))

    rows = clinic.rows("SELECT patient_id, conversation_id FROM interactions")
    found = {row["patient_id"]: row["conversation_id"] for row in rows}
    assert (found[one], found[other]) == (newest, only)
    assert found[silent] not in (newest, only)


def test_a_message_is_written_as_the_patient_read_it(clinic: Clinic, database: Database) -> None:
    patient = clinic.add_patient()
    conversation = clinic.add_conversation(patient)
    text = "Olá, Ana!\nSegunda-feira, 23 de novembro, 14:30 — 100% combinado 😊"

    write(database, sent(patient, text=text))

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
    clinic.add_conversation(known)

    write(database, sent(one), sent(other), sent(one), sent(known), sent(one))

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
    clinic.add_conversation(patient)
    in_sao_paulo = SENT_AT.astimezone(timezone(timedelta(hours=-3)))

    write(database, sent(patient, sent_at=in_sao_paulo), sent(new))

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

    write(database, sent(1, sent_at=moment))

    assert clinic.value("SELECT max(created_at) FROM interactions") == dated
    assert clinic.value("SELECT min(created_at) FROM interactions") == dated
