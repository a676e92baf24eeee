"""Storing what comes in: once each, however often it comes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table

from smartia_jobs.database import insert_once
from smartia_jobs.incoming import Notice, PatientAnswer, Status
from smartia_jobs.store.tables import answers, notices, statuses


def store_statuses(
    connection: Connection, received: Sequence[Status], *, received_at: datetime
) -> None:
    """Keep what became of messages; one that is there already stays as it is."""
    _insert(
        connection,
        statuses,
        ["wamid", "status"],
        [
            {
                "wamid": one.wamid,
                "status": str(one.delivery),
                "said_at": one.said_at,
                "received_at": received_at,
                "callback": one.callback,
                "code": one.code,
            }
            # Always in the same order, or two posts with the same statuses could deadlock.
            for one in sorted(received, key=lambda one: (one.wamid, one.delivery))
        ],
    )


def store_answers(
    connection: Connection, received: Sequence[PatientAnswer], *, received_at: datetime
) -> None:
    """Keep what patients did in the chat, as it came; one that is there already stays as it is."""
    _insert(
        connection,
        answers,
        ["message_id"],
        [
            {
                "message_id": one.message_id,
                "source": str(one.source),
                "phone": one.phone,
                "type": one.type,
                "text": one.text,
                "payload": one.payload,
                "context_id": one.context_id,
                "said_at": one.said_at,
                "received_at": received_at,
            }
            for one in received
        ],
    )


def store_notices(
    connection: Connection, received: Sequence[Notice], *, received_at: datetime
) -> None:
    """Keep what Meta reports of templates and the account."""
    _insert(
        connection,
        notices,
        ["field", "event", "subject", "said_at"],
        [
            {
                "field": one.field,
                "event": one.event,
                "subject": one.subject,
                "detail": one.detail,
                "said_at": one.said_at,
                "received_at": received_at,
            }
            for one in received
        ],
    )


def _insert(
    connection: Connection, table: Table, key: Sequence[str], rows: Sequence[dict[str, Any]]
) -> None:
    if rows:
        connection.execute(insert_once(connection.dialect.name, table, key=key), rows)
