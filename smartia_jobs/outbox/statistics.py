"""What became of our messages, counted by the database."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import datetime
from enum import StrEnum
from itertools import chain
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, case, func, null, select

from smartia_jobs.kinds import INVITATION
from smartia_jobs.outbox.admin import FINAL
from smartia_jobs.outbox.recovery import is_unknown
from smartia_jobs.store.listening import CategoryMove
from smartia_jobs.store.states import ACCEPTED, State
from smartia_jobs.store.tables import outbox, statuses

#: Rows in memory at once, however many there are.
_ROWS = 1000

#: Reasons shown; the rest is a long tail of single cases.
_TOP_REASONS = 5

_DELIVERED = outbox.c.delivered_at.is_not(None) | outbox.c.read_at.is_not(None)
_ACCEPTED = outbox.c.state.in_(sorted(ACCEPTED))


@dataclass(frozen=True, slots=True)
class MessageCounts:
    """Messages of one kind; one that told two visits of a patient is one message.

    ``delivered``, ``read`` (which is delivered as well) and ``undelivered`` are parts of ``sent``,
    and None while no status ever came.
    """

    sent: int = 0
    failed: int = 0
    unknown: int = 0
    delivered: int | None = None
    read: int | None = None
    undelivered: int | None = None

    @classmethod
    def none(cls, *, heard: bool) -> "MessageCounts":
        """Return the counts of no message; ``heard``: whether any status ever was."""
        return cls(delivered=0, read=0, undelivered=0) if heard else cls()

    def __add__(self, other: "MessageCounts") -> "MessageCounts":
        """Return the counts of both; what one does not know, both do not."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        both: Any = (None if None in pair else sum(pair) for pair in pairs)
        return MessageCounts(*both)

    @property
    def delivered_rate(self) -> float | None:
        """Of what WhatsApp accepted, the part that is known to have arrived."""
        return self._of_sent(self.delivered)

    @property
    def read_rate(self) -> float | None:
        """The same, known to have been opened."""
        return self._of_sent(self.read)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON of these counts (documented in docs/reference.md)."""
        rates = {"delivered_rate": self.delivered_rate, "read_rate": self.read_rate}
        return {**asdict(self), **rates}

    def _of_sent(self, part: int | None) -> float | None:
        return None if part is None or not self.sent else part / self.sent


class Category(StrEnum):
    """What Meta charges a message as."""

    UTILITY = "utility"
    MARKETING = "marketing"
    #: A free text: a word back.
    SERVICE = "service"
    #: The catalogue has its template no longer, or Meta calls it by a name that is new.
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, name: str | None) -> "Category":
        """Return the category that Meta, or the catalogue, calls by a name."""
        return next((one for one in cls if one == (name or "").lower()), cls.UNKNOWN)


@dataclass(frozen=True, slots=True)
class FailureReason:
    """Why messages failed, or did not arrive, in plain words, and how many.

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
        heard_since: when the first status came of which anything is remembered, aware UTC; None:
            none ever did.
    """

    since: datetime
    first_start: datetime
    heard_since: datetime | None


def record(connection: Connection) -> Record | None:
    """Return how far back messages are remembered; None when none is.

    Only rows that a purge deletes count: it leaves unknown messages, however old.
    """
    remembered = outbox.c.state.in_([str(state) for state in FINAL])
    query = select(
        func.min(outbox.c.created_at),
        func.min(outbox.c.start),
        func.min(outbox.c.delivered_at),
        func.min(outbox.c.read_at),
        func.min(outbox.c.updated_at).filter(outbox.c.state == str(State.UNDELIVERED)),
    ).where(remembered)
    since, first_start, *heard = connection.execute(query).one()
    if since is None:
        return None
    # Statuses are kept for days only, but those of messages merely sent count as well.
    heard.append(connection.execute(select(func.min(statuses.c.received_at))).scalar_one())
    return Record(since, first_start, min((at for at in heard if at is not None), default=None))


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of the messages of one kind and template.

    Attributes:
        kind: of which.
        template: its name at Meta; None: not recorded, as of many that were never sent.
        moved_to: the category that Meta had moved it to by then; None: it had not.
        counts: of these messages.
    """

    kind: str
    template: str | None
    moved_to: str | None
    counts: MessageCounts


def count_messages(
    connection: Connection,
    from_at: datetime,
    to_at: datetime,
    *,
    heard: bool,
    moves: Sequence[CategoryMove] = (),
) -> list[Counted]:
    """Return what became of the messages first claimed in a half-open span.

    Args:
        connection: inside a short transaction.
        from_at: the first instant of the span.
        to_at: the first one after it.
        heard: whether statuses are, so that none is a 0 and not a None.
        moves: of templates into another category, the newest first.
    """
    columns = (outbox.c.kind, outbox.c.template, _moved_to(moves))
    query = (
        select(*columns, *(func.count().filter(part) for part in _parts(connection)))
        .where(_messages_between(from_at, to_at))
        .group_by(outbox.c.kind, outbox.c.template, *(["moved_to"] if moves else []))
    )
    return [
        Counted(kind, template, moved_to, MessageCounts(*(parts if heard else parts[:3])))
        for kind, template, moved_to, *parts in connection.execute(query)
    ]


@dataclass(frozen=True, slots=True)
class Message:
    """What became of one message.

    Attributes:
        claimed_at: when it was first claimed, aware UTC.
        counted: this one.
        code: Meta's reason, where it did not arrive and one was told.
    """

    claimed_at: datetime
    counted: Counted
    code: int | None


def read_messages(
    connection: Connection,
    from_at: datetime,
    to_at: datetime,
    *,
    heard: bool,
    moves: Sequence[CategoryMove] = (),
) -> Iterator[Message]:
    """Yield the messages of a span one by one; arguments as for :func:`count_messages`."""
    columns = (outbox.c.kind, outbox.c.template, _moved_to(moves))
    more = (outbox.c.created_at, outbox.c.error_code, *_parts(connection))
    query = select(*columns, *more).where(_messages_between(from_at, to_at))
    rows = connection.execute(query.execution_options(yield_per=_ROWS))
    for kind, template, moved_to, claimed_at, code, *parts in chain.from_iterable(
        rows.partitions()
    ):
        counts = MessageCounts(*(int(bool(is_so)) for is_so in (parts if heard else parts[:3])))
        counted = Counted(kind, template, moved_to, counts)
        yield Message(claimed_at, counted, code if counts.undelivered else None)


def top_reasons(
    connection: Connection, state: State, from_at: datetime, to_at: datetime
) -> list[FailureReason]:
    """Return why messages of a span stand in a state, the most frequent reasons first.

    Args:
        connection: inside a short transaction.
        state: ``FAILED`` or ``UNDELIVERED``.
        from_at: the first instant of the span.
        to_at: the first one after it.
    """
    code, text = outbox.c.error_code, outbox.c.error
    # One code is one reason, however its text was worded over time.
    without_code = case((code.is_(None), text))
    messages = func.count().label("messages")
    query = (
        select(messages, func.max(text), code)
        .where(_messages_between(from_at, to_at), outbox.c.state == state)
        .group_by(code, without_code)
        .order_by(messages.desc(), func.max(text))
        .limit(_TOP_REASONS)
    )
    return [
        FailureReason(count, reason or "no reason was recorded", found)
        for count, reason, found in connection.execute(query)
    ]


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


def _parts(connection: Connection) -> Iterator[ColumnElement[bool]]:
    """Yield which messages count, in the order of the fields of :class:`MessageCounts`."""
    yield _ACCEPTED
    yield outbox.c.state == State.FAILED
    yield is_unknown(connection)
    yield _DELIVERED
    yield outbox.c.read_at.is_not(None)
    yield outbox.c.state == State.UNDELIVERED


def _moved_to(moves: Sequence[CategoryMove]) -> ColumnElement[Any]:
    """Return the category that a message's template had been moved to, as ``moved_to``."""
    if not moves:
        return null().label("moved_to")
    return case(
        *(
            ((outbox.c.template == one.template) & (outbox.c.created_at >= one.at), one.category)
            for one in moves
        )
    ).label("moved_to")


def _messages_between(from_at: datetime, to_at: datetime) -> ColumnElement[bool]:
    return (
        (outbox.c.created_at >= from_at)
        & (outbox.c.created_at < to_at)
        & outbox.c.leader_id.is_(None)
    )
