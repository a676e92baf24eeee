"""What patients were told, or may have been, by our messages: the rows of the outbox, only read."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from smartia_jobs.appointment import Key
from smartia_jobs.database import chunks
from smartia_jobs.store.states import MAYBE_ACCEPTED, State
from smartia_jobs.store.tables import answers, outbox


@dataclass(frozen=True, slots=True)
class Telling:
    """One visit of a message of ours, as it was told.

    Attributes:
        outbox_id: of the row.
        leader_id: of the row that leads its message: itself where it is told alone.
        appointment_id: which visit.
        patient_id: whose.
        kind: which kind of message.
        start: what the patient was told, clinic wall time.
        phone: canonical; None: erased since.
        state: the state it is in.
        template: the message's template at Meta.
        message_id: WhatsApp's id of the message (holds the phone number: never log it).
        sent_at: when it was, or may have been, accepted; aware UTC.
        status: SmartIA's of the visit when the message was claimed; None: not known.
    """

    outbox_id: int
    leader_id: int
    appointment_id: int
    patient_id: int
    kind: str
    start: datetime
    phone: str | None
    state: State
    template: str | None
    message_id: str | None
    sent_at: datetime
    status: str | None


def told_by(connection: Connection, outbox_id: int) -> list[Telling]:
    """Return all visits of the message that a row belongs to, the leader's first."""
    return told_by_each(connection, [outbox_id]).get(outbox_id, [])


def told_by_each(connection: Connection, outbox_ids: Collection[int]) -> dict[int, list[Telling]]:
    """Return by row all visits of the message that it belongs to, the leader's first."""
    told: dict[int, list[Telling]] = {}
    for some in chunks(outbox_ids):
        named = select(outbox.c.id, outbox.c.leader_id, outbox.c.phone)
        rows = connection.execute(named.where(outbox.c.id.in_(some))).all()
        leaders = {row.leader_id or row.id for row in rows}
        theirs = of_messages(leaders, {row.phone for row in rows})
        by_leader: dict[int, list[Telling]] = {}
        for one in _read(connection, _tellings().where(theirs).order_by(outbox.c.id)):
            by_leader.setdefault(one.leader_id, []).append(one)
        told |= {row.id: by_leader.get(row.leader_id or row.id, []) for row in rows}
    return told


def of_messages(leader_ids: Collection[int], phones: Collection[str | None]) -> ColumnElement[bool]:
    """Return the condition for all rows of some messages, by an index.

    Args:
        leader_ids: of the rows that lead them.
        phones: of any row of each; None for a message whose phone was erased.
    """
    # No index finds followers by their leader; they share its phone.
    known = [outbox.c.phone.in_(sorted(phone for phone in phones if phone is not None))]
    erased = [outbox.c.phone.is_(None)] if None in phones else []
    follows = and_(or_(*known, *erased), outbox.c.leader_id.in_(sorted(leader_ids)))
    return or_(outbox.c.id.in_(sorted(leader_ids)), follows)


def told_by_answered(connection: Connection, word_id: int) -> list[Telling]:
    """Return all visits of the message whose answer got this word back."""
    query = (
        select(answers.c.outbox_id)
        .join(outbox, outbox.c.answer_id == answers.c.id)
        .where(outbox.c.id == word_id)
    )
    answered: int | None = connection.execute(query).scalar()
    return [] if answered is None else told_by(connection, answered)


def told_by_message(connection: Connection, message_id: str) -> list[Telling]:
    """Return the rows of the message that WhatsApp knows by this id, the leader's first."""
    query = _tellings().where(outbox.c.message_id == message_id).order_by(outbox.c.id)
    return list(_read(connection, query))


def told_to(connection: Connection, phone: str) -> list[Telling]:
    """Return all that a phone was, or may have been, told, words back among it, oldest first."""
    query = _tellings().where(outbox.c.phone == phone, outbox.c.state.in_(sorted(MAYBE_ACCEPTED)))
    return sorted(_read(connection, query), key=lambda one: (one.sent_at, one.outbox_id))


def told_since(
    connection: Connection, kind: str, phones: Collection[str], since_at: datetime
) -> Mapping[str, set[Key]]:
    """Return which visits people were, or may have been, told of since a moment, by phone.

    A message counts from when it was accepted. Of one that may have been accepted nobody knows
    when; its row was last changed when the request ended, or later, so that counts. (``created_at``
    is no answer: a row may wait for days before it is sent. ``claimed_at`` is the database's
    time, not the run's.) A message that is being sent always counts.

    Args:
        connection: inside a short transaction.
        kind: the message kind.
        phones: canonical.
        since_at: a message at this very moment is too old.
    """
    last_at = func.coalesce(outbox.c.sent_at, outbox.c.updated_at)
    lately = outbox.c.state.in_(sorted(MAYBE_ACCEPTED)) & (last_at > since_at)
    query = select(outbox.c.phone, outbox.c.appointment_id, outbox.c.start).where(
        outbox.c.phone.in_(sorted(phones)),
        outbox.c.kind == kind,
        or_(outbox.c.state == State.CLAIMED, lately),
    )
    told: dict[str, set[Key]] = {}
    for row in connection.execute(query):
        told.setdefault(row.phone, set()).add((row.appointment_id, row.start))
    return told


def _tellings() -> Select[Any]:
    return select(
        outbox.c.id.label("outbox_id"),
        func.coalesce(outbox.c.leader_id, outbox.c.id).label("leader_id"),
        outbox.c.appointment_id,
        outbox.c.patient_id,
        outbox.c.kind,
        outbox.c.start,
        outbox.c.phone,
        outbox.c.state,
        outbox.c.template,
        outbox.c.message_id,
        # One that may have been accepted was not before it was claimed. (Its row changes later,
        # when it is found to be unknown: its patient may have answered by then.)
        func.coalesce(outbox.c.sent_at, outbox.c.claimed_at, outbox.c.updated_at).label("sent_at"),
        outbox.c.appointment_status.label("status"),
    )


def _read(connection: Connection, query: Select[Any]) -> Iterator[Telling]:
    for row in connection.execute(query):
        values = row._asdict()
        yield Telling(**{**values, "state": State(values["state"])})
