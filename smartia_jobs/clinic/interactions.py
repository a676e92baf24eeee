"""Writing what was sent into SmartIA's ``interactions``, where the clinic reads its dialogues."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, func, insert, literal_column, select

from smartia_jobs.batch import Batch
from smartia_jobs.clinic.tables import conversations, interactions
from smartia_jobs.database import UtcDateTime
from smartia_jobs.message import Conversations, SentMessage

_NEWEST = (
    select(conversations.c.patient_id, func.max(conversations.c.id).label("newest"))
    .where(
        conversations.c.patient_id.in_(bindparam("patient_ids", expanding=True)),
        conversations.c.id > bindparam("after"),
    )
    .group_by(conversations.c.patient_id)
)
_LAST = select(func.max(conversations.c.id))


#: PostgreSQL hands out ids before it commits them: so many may be smaller and yet be newer.
_MARGIN = 100


def newest_conversations(connection: Connection, patient_ids: Collection[int]) -> Conversations:
    """Return the newest conversation of each of these patients that has one.

    SmartIA has no index for it, so the whole table is read: once for a page of visits.
    """
    if not patient_ids:
        return Conversations()
    last = connection.scalar(_LAST) or 0
    return Conversations(_newest(connection, patient_ids, after=0), last)


def _newest(connection: Connection, patient_ids: Collection[int], *, after: int) -> dict[int, int]:
    rows = connection.execute(_NEWEST, {"patient_ids": sorted(patient_ids), "after": after})
    return {row.patient_id: row.newest for row in rows.all()}


def write_interactions(connection: Connection, sent: Sequence[SentMessage]) -> None:
    """Record messages as OUTGOING templates in the caller's transaction.

    A patient without a conversation gets one in state DONE, so that the chatbot never takes
    our message for the middle of a dialogue. Whether they have begun one since their
    appointment was read is looked up again for them alone.
    """
    known = {m.patient_id: m.conversations.newest.get(m.patient_id) for m in sent}
    strangers = {patient_id for patient_id, newest in known.items() if newest is None}
    if strangers:
        firsts = {m.patient_id: m for m in reversed(sent) if m.patient_id in strangers}
        after = min(m.conversations.last for m in firsts.values()) - _MARGIN
        ordered = [firsts[patient_id] for patient_id in sorted(firsts)]
        known.update(_begin_conversations(connection, ordered, after=after))
        if chatting := {patient_id for patient_id in strangers if known[patient_id] is None}:
            known.update(_newest(connection, chatting, after=after))
    if sent:
        written = [
            {
                "conversation_id": known[message.patient_id],
                "patient_id": message.patient_id,
                "message_text": message.text,
                "provider_message_id": message.message_id,
                "created_at": stored_utc(connection, message.sent_at),
            }
            for message in sent
        ]
        dialect = connection.dialect.name
        connection.execute(_writing(dialect), _messages(dialect).parameters(written))


def stored_utc(connection: Connection, instant: datetime) -> Any:
    """Return ``instant`` as SmartIA's own defaults store it (SQLite: UTC text)."""
    if connection.dialect.name == "sqlite":
        return instant.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "seconds")
    return instant


def _begin_conversations(
    connection: Connection, firsts: Sequence[SentMessage], *, after: int
) -> Mapping[int, int]:
    """Begin a conversation for each patient who has none after that id; return them by patient."""
    rows = [
        {"patient_id": message.patient_id, "begun_at": stored_utc(connection, message.sent_at)}
        for message in firsts
    ]
    dialect = connection.dialect.name
    values = {**_begun(dialect).parameters(rows), "after": after}
    begun = connection.execute(_beginning(dialect), values)
    return {row.patient_id: row.id for row in begun.all()}


@cache
def _messages(dialect: str) -> Batch:
    columns = (
        interactions.c.conversation_id,
        interactions.c.patient_id,
        interactions.c.message_text,
        interactions.c.provider_message_id,
    )
    types = {column.name: column.type for column in columns}
    return Batch(dialect, **types, created_at=UtcDateTime())


@cache
def _writing(dialect: str) -> Any:
    rows = _messages(dialect).table.c
    alike: dict[str, ColumnElement[str]] = {
        "type": literal_column("'OUTGOING'"),
        "message_type": literal_column("'template'"),
    }
    return insert(interactions).from_select([*rows.keys(), *alike], select(*rows, *alike.values()))


@cache
def _begun(dialect: str) -> Batch:
    return Batch(dialect, patient_id=conversations.c.patient_id.type, begun_at=UtcDateTime())


@cache
def _beginning(dialect: str) -> Any:
    rows = _begun(dialect).table.c
    newer = select(conversations.c.id).where(
        conversations.c.patient_id == rows.patient_id, conversations.c.id > bindparam("after")
    )
    values = select(rows.patient_id, literal_column("'DONE'"), rows.begun_at, rows.begun_at).where(
        ~newer.exists()
    )
    return (
        insert(conversations)
        .from_select(["patient_id", "state", "created_at", "updated_at"], values)
        .returning(conversations.c.patient_id, conversations.c.id)
    )
