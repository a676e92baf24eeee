"""Writing what was sent into SmartIA's ``interactions``, where the clinic reads its dialogues."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select

from smartia_jobs.clinic.tables import conversations, interactions
from smartia_jobs.message import SentMessage

_NEWEST = (
    select(conversations.c.patient_id, func.max(conversations.c.id).label("newest"))
    .where(conversations.c.patient_id.in_(bindparam("patient_ids", expanding=True)))
    .group_by(conversations.c.patient_id)
)


def newest_conversations(connection: Connection, patient_ids: Collection[int]) -> dict[int, int]:
    """Return each patient's newest conversation id; patients without one are left out."""
    if not patient_ids:
        return {}
    rows = connection.execute(_NEWEST, {"patient_ids": sorted(patient_ids)})
    return {row.patient_id: row.newest for row in rows}


def write_interactions(connection: Connection, sent: Sequence[SentMessage]) -> None:
    """Record messages as OUTGOING templates in the caller's transaction.

    A patient without a conversation gets one in state DONE, so that the chatbot never takes
    our message for the middle of a dialogue. Whether they have begun one since their
    appointment was read is looked up again for them alone.
    """
    strangers = {message.patient_id for message in sent if message.conversation_id is None}
    known = newest_conversations(connection, strangers)
    firsts = {m.patient_id: m for m in reversed(sent) if m.patient_id in strangers - known.keys()}
    known.update(_begin_conversations(connection, [firsts[one] for one in sorted(firsts)]))
    if sent:
        connection.execute(
            insert(interactions),
            [
                {
                    "conversation_id": message.conversation_id or known[message.patient_id],
                    "patient_id": message.patient_id,
                    "type": "OUTGOING",
                    "message_text": message.text,
                    "message_type": "template",
                    "provider_message_id": message.message_id,
                    "created_at": stored_utc(connection, message.sent_at),
                }
                for message in sent
            ],
        )


def stored_utc(connection: Connection, instant: datetime) -> Any:
    """Return ``instant`` as SmartIA's own defaults store it (SQLite: UTC text)."""
    if connection.dialect.name == "sqlite":
        return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return instant


def _begin_conversations(
    connection: Connection, firsts: Sequence[SentMessage]
) -> Mapping[int, int]:
    """Begin one conversation for each patient; return their ids by patient."""
    if not firsts:
        return {}
    begun = connection.execute(
        insert(conversations).returning(conversations.c.patient_id, conversations.c.id),
        [
            {
                "patient_id": message.patient_id,
                "state": "DONE",
                "created_at": (stamp := stored_utc(connection, message.sent_at)),
                "updated_at": stamp,
            }
            for message in firsts
        ],
    )
    return {row.patient_id: row.id for row in begun}
