"""What became of our messages, counted by the database."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from sqlalchemy import ColumnElement, Connection, FromClause, case, exists, false, func, or_, select

from smartia_jobs.appointment import AppointmentStatus
from smartia_jobs.kinds import INVITATION
from smartia_jobs.outbox.admin import FINAL
from smartia_jobs.store.states import ACCEPTED, State
from smartia_jobs.store.tables import outbox

#: Rows held at once, however many there are.
_ROWS = 1000

#: Reasons shown; the rest is a long tail of single cases.
_TOP_REASONS = 5

#: The delivery of one message has been learnt; while there is none, nothing is pulled at all.
_DELIVERED = outbox.c.delivered_at.is_not(None) | outbox.c.read_at.is_not(None)
_ACCEPTED = outbox.c.state.in_(sorted(ACCEPTED))
#: Nobody knows what became of these: a claim of a visit that is over was left by a dead process.
_MAYBE_ACCEPTED = frozenset({State.UNKNOWN, State.CLAIMED})


@dataclass(frozen=True, slots=True)
class MessageCounts:
    """Messages of one kind; one that told two visits of a patient is one message.

    ``delivered`` and ``read`` are None while no delivery status has ever been pulled.
    """

    sent: int = 0
    failed: int = 0
    unknown: int = 0
    delivered: int | None = None
    read: int | None = None


@dataclass(frozen=True, slots=True)
class FailureReason:
    """Why messages failed, in plain words, and how many.

    Attributes:
        messages: how many.
        reason: as WhatsApp's answer was put when it was recorded.
        code: Meta's error code, where there was one.
    """

    messages: int
    reason: str
    code: int | None


@dataclass(frozen=True, slots=True)
class Record:
    """How far back messages are remembered.

    Attributes:
        since: when the oldest one was first claimed, aware UTC.
        first_start: the earliest visit that any of them told of, naive wall time. A purge
            forgets by visits, so those before it may have had messages that are gone.
        knows_deliveries: whether delivery statuses were ever pulled.
    """

    since: datetime
    first_start: datetime
    knows_deliveries: bool


def record(connection: Connection) -> Record | None:
    """Return how far back messages are remembered; None when none is.

    Only what a purge takes tells: it leaves an unknown message where it is, however old.
    """
    remembered = outbox.c.state.in_([str(state) for state in FINAL])
    query = select(
        func.min(outbox.c.created_at), func.min(outbox.c.start), func.count().filter(_DELIVERED)
    ).where(remembered)
    since, first_start, delivered = connection.execute(query).one()
    return None if since is None else Record(since, first_start, knows_deliveries=delivered > 0)


def count_messages(
    connection: Connection, from_at: datetime, to_at: datetime, *, pulled: bool
) -> dict[str, MessageCounts]:
    """Return what became of the messages first claimed in a half-open span, by kind.

    A kind of which there were none is missing.

    Args:
        connection: inside a short transaction.
        from_at: the first instant of the span.
        to_at: the first one after it.
        pulled: whether delivery statuses are known, so that none is a 0 and not a None.
    """
    query = (
        select(
            outbox.c.kind,
            func.count().filter(_ACCEPTED),
            func.count().filter(outbox.c.state == State.FAILED),
            func.count().filter(outbox.c.state == State.UNKNOWN),
            func.count().filter(_DELIVERED),
            func.count().filter(outbox.c.read_at.is_not(None)),
        )
        .where(_messages_between(from_at, to_at))
        .group_by(outbox.c.kind)
    )
    return {
        kind: MessageCounts(sent, failed, unknown, *(seen if pulled else (None, None)))
        for kind, sent, failed, unknown, *seen in connection.execute(query)
    }


def top_failure_reasons(
    connection: Connection, from_at: datetime, to_at: datetime
) -> list[FailureReason]:
    """Return the most frequent reasons of the messages that failed in a span, first the top."""
    code, text = outbox.c.error_code, outbox.c.error
    # One code is one reason, however its text was worded over time.
    without_code = case((code.is_(None), text))
    messages = func.count().label("messages")
    query = (
        select(messages, func.max(text), code)
        .where(_messages_between(from_at, to_at), outbox.c.state == State.FAILED)
        .group_by(code, without_code)
        .order_by(messages.desc(), func.max(text))
        .limit(_TOP_REASONS)
    )
    return [
        FailureReason(count, reason or "no reason was recorded", found)
        for count, reason, found in connection.execute(query)
    ]


def reminders(
    connection: Connection, from_wall: datetime, to_wall: datetime
) -> Iterator[tuple[tuple[int, datetime], bool, bool]]:
    """Yield the reminders that WhatsApp accepted or may have, one for each visit they told of.

    Args:
        connection: inside a short transaction.
        from_wall: naive clinic wall time; visits told to begin before it are left out.
        to_wall: the same, for visits told to begin after it.

    Yields:
        the appointment's id with the wall time told, whether WhatsApp surely accepted the
        reminder, and whether the visit was confirmed when it was claimed.
    """
    columns, earlier = outbox.c, outbox.alias("earlier").c
    told = sorted(ACCEPTED | _MAYBE_ACCEPTED)
    # Moved away and back, a visit was told of this time twice, which is one reminder of it.
    told_before = exists().where(
        earlier.appointment_id == columns.appointment_id,
        earlier.kind == columns.kind,
        earlier.start == columns.start,
        earlier.turn < columns.turn,
        earlier.state.in_(told),
    )
    query = select(
        columns.appointment_id,
        columns.start,
        _ACCEPTED,
        func.coalesce(columns.appointment_status == AppointmentStatus.CONFIRMED, false()),
    ).where(
        columns.state.in_(told),
        # Every other kind is a reminder, also one that the clinic's catalogue has no longer.
        columns.kind != INVITATION,
        columns.start.between(from_wall, to_wall),
        or_(columns.turn == 1, ~told_before),
    )
    rows = connection.execute(query.execution_options(yield_per=_ROWS))
    for appointment_id, start, accepted, confirmed in chain.from_iterable(rows.partitions()):
        yield (appointment_id, start), accepted, confirmed


def accepted_invitations(from_at: datetime, to_at: datetime) -> FromClause:
    """Return the invitations to book again that were claimed in a span, as a table to join.

    Returns:
        one row for each with ``patient_id`` and ``sent_at``.
    """
    return (
        select(outbox.c.patient_id, outbox.c.sent_at)
        .where(
            _messages_between(from_at, to_at),
            _ACCEPTED,
            outbox.c.kind == INVITATION,
        )
        .subquery("invitations")
    )


def count_invited(connection: Connection, from_at: datetime, to_at: datetime) -> int:
    """Return how many patients were invited to book again in a span."""
    invited = accepted_invitations(from_at, to_at)
    return connection.execute(select(func.count(invited.c.patient_id.distinct()))).scalar_one()


def _messages_between(from_at: datetime, to_at: datetime) -> ColumnElement[bool]:
    return (
        (outbox.c.created_at >= from_at)
        & (outbox.c.created_at < to_at)
        & outbox.c.leader_id.is_(None)
    )
