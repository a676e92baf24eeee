"""What an answer proves of the message that it answers: that WhatsApp took it, and it arrived."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, func, update

from smartia_jobs.store.states import State
from smartia_jobs.store.tables import outbox
from smartia_jobs.store.told import told_by


def settle_answered(
    connection: Connection, leader_id: int, *, wamid: str | None, said_at: datetime, at: datetime
) -> None:
    """Settle a message that was answered: nobody needs to decide about it or send it again.

    One that WhatsApp had given up has arrived after all.

    Args:
        connection: the transaction that acts on the answer.
        leader_id: the row that leads the message.
        wamid: WhatsApp's id of the message, as the answer quotes it; None: it quotes nothing.
        said_at: when it was answered: by then it had arrived.
        at: now.
    """
    was_given_up = outbox.c.state == str(State.UNDELIVERED)
    known: dict[str, Any] = {
        "state": case((was_given_up, str(State.DELIVERED)), else_=str(State.SENT)),
        "delivered_at": case(
            (was_given_up, func.coalesce(outbox.c.delivered_at, said_at)),
            else_=outbox.c.delivered_at,
        ),
        "error": None,
        "error_code": None,
        "updated_at": at,
        "sent_at": func.coalesce(outbox.c.sent_at, outbox.c.claimed_at, said_at),
    }
    if wamid is not None:
        # A person who was erased gets no id back.
        known["message_id"] = case((outbox.c.phone.is_not(None), wamid))
    connection.execute(
        update(outbox)
        .where(
            outbox.c.id.in_([row.outbox_id for row in told_by(connection, leader_id)]),
            outbox.c.state.in_([State.UNKNOWN, State.RETRY, State.UNDELIVERED]),
        )
        .values(known)
    )
