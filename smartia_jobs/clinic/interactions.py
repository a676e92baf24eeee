"""Writing what was sent into SmartIA's ``interactions``, where the clinic reads dialogues."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, func, insert, select

from smartia_jobs.clinic.tables import conversations, interactions
from smartia_jobs.database import any_of

if TYPE_CHECKING:
    from smartia_jobs.message import SentMessage


def write_interactions(
    connection: Connection, sent: Sequence["SentMessage"], *, message_type: str = "template"
) -> None:
    """Record messages as OUTGOING in the caller's transaction: templates, or free ``text``.

    Each goes into its patient's newest conversation. A patient without one gets one in state
    DONE, so that the chatbot does not take our message for part of a dialogue.
    """
    if not sent:
        return
    newest = _newest(connection, {message.patient_id for message in sent})
    first_sent = {message.patient_id: message for message in reversed(sent)}
    for patient_id in sorted(first_sent.keys() - newest.keys()):
        newest[patient_id] = _begin_conversation(connection, first_sent[patient_id])
    connection.execute(
        insert(interactions),
        [
            {
                "conversation_id": newest[message.patient_id],
                "patient_id": message.patient_id,
                "type": "OUTGOING",
                "message_text": message.text,
                "message_type": message_type,
                "provider_message_id": message.message_id,
                "created_at": stored_utc(connection, message.sent_at),
            }
            for message in sent
        ],
    )


def stored_utc(connection: Connection, instant: datetime) -> Any:
    """Return ``instant`` as SmartIA's own defaults store it (SQLite: UTC text)."""
    if connection.dialect.name == "sqlite":
        return instant.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "seconds")
    return instant


def _newest(connection: Connection, patient_ids: Collection[int]) -> dict[int, int]:
    rows = connection.execute(_newest_of_each(), {"patient_ids": sorted(patient_ids)})
    return {row.patient_id: row.newest for row in rows}


@cache
def _newest_of_each() -> Select[Any]:
    return (
        select(conversations.c.patient_id, func.max(conversations.c.id).label("newest"))
        .where(any_of(conversations.c.patient_id, "patient_ids"))
        .group_by(conversations.c.patient_id)
    )


def _begin_conversation(connection: Connection, message: "SentMessage") -> int:
    begun_at = stored_utc(connection, message.sent_at)
    values = {
        "patient_id": message.patient_id,
        "state": "DONE",
        "created_at": begun_at,
        "updated_at": begun_at,
    }
    made = insert(conversations).values(values).returning(conversations.c.id)
    conversation_id: int = connection.execute(made).scalar_one()
    return conversation_id
