"""What WhatsApp says later of a message: stored statuses, applied to the rows they are about.

A status names its message by WhatsApp's id and, where it came to our own webhook, by what was
sent along: installation, leading row, attempt. Rows move only up (``outbox``), so neither order
nor repetition matters.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, assert_never

from sqlalchemy import Connection, bindparam, null, or_, select, update

from smartia_jobs.database import now_plus
from smartia_jobs.incoming import Delivery, Status
from smartia_jobs.message import Answer, CallbackData, Verdict
from smartia_jobs.run import Run
from smartia_jobs.store.installation import installation_id
from smartia_jobs.store.opt_outs import add_from_whatsapp
from smartia_jobs.store.states import ACCEPTED, State
from smartia_jobs.store.tables import outbox, statuses
from smartia_jobs.store.told import of_messages

#: Statuses applied in one transaction.
_CHUNK = 1000
#: How long a failure for WhatsApp's own reasons waits for a status that it did arrive.
CONTRADICTION_WAIT = timedelta(minutes=5)
#: How long a status that names no row waits for the message's id to be recorded.
SENDER_WAIT = timedelta(minutes=5)

#: How far up a row is once WhatsApp has taken its message; any other state is below.
_RANK: Mapping[State, int] = {
    State.SENT: 1,
    State.UNDELIVERED: 2,
    State.DELIVERED: 3,
    State.READ: 4,
}


class Ignored(StrEnum):
    """Why a status changes nothing: the keys of ``ignored`` in the report."""

    #: It is about no message of this database: SmartIA's, another program's, or forgotten.
    NOT_OURS = "not_ours"
    #: Its row was deleted since.
    ROW_GONE = "row_gone"
    #: Its row was sent again since.
    EARLIER_TRY = "earlier_try"
    #: Its row has another message's id.
    ANOTHER_MESSAGE = "another_message"


@dataclass(frozen=True, slots=True)
class Rules:
    """What only the caller knows.

    Attributes:
        explain: what Meta's reason for a failure means for a message that it had accepted:
            ``RETRY`` where it gave up for reasons of its own.
        useful_until: given kind and told start, until when that message is of use, aware UTC.
    """

    explain: Callable[[int | None], Answer]
    useful_until: Callable[[str, datetime], datetime]


@dataclass(frozen=True, slots=True)
class Move:
    """A message whose state changed, by its leading row: for a dry run's decisions."""

    appointment_id: int
    start: datetime
    phone: str | None
    state: State
    reason: str | None


@dataclass(slots=True)
class Applied:
    """What the statuses of a run changed. A message counts once, in its last state.

    Attributes:
        statuses: applied; those that wait for the next run are not among them.
        moved: messages by the state they have now.
        settled: messages among them of which nobody knew whether WhatsApp took them.
        ignored: statuses that are about no row, or no longer.
        moves: what ``moved`` counts.
    """

    statuses: int = 0
    moved: Counter[State] = field(default_factory=Counter)
    settled: int = 0
    ignored: Counter[Ignored] = field(default_factory=Counter)
    moves: list[Move] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Stored:
    """A status with its id here and when it came; id 0: it is not stored (a dry run)."""

    id: int
    status: Status
    received_at: datetime

    @property
    def callback(self) -> CallbackData | None:
        text = self.status.callback
        return None if text is None else CallbackData.parse(text)


@dataclass(frozen=True, slots=True)
class _Row:
    id: int
    leader_id: int | None
    appointment_id: int
    kind: str
    start: datetime
    phone: str | None
    state: State
    run_id: str
    claims: int
    message_id: str | None
    claimed_at: datetime | None
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    error_code: int | None
    error: str | None
    updated_at: datetime

    @property
    def leader(self) -> int:
        return self.leader_id or self.id


@dataclass(slots=True)
class _Messages:
    """The rows that statuses may be about, as the statuses so far have left them.

    Attributes:
        by_leader: the rows of a message by the id of the one that leads it, that one first.
        by_wamid: the leading row's id by WhatsApp's id of the message.
        busy: ids of rows of messages of which another process is writing one at this moment.
        busy_wamids: those of their messages.
    """

    by_leader: dict[int, list[_Row]] = field(default_factory=dict)
    by_wamid: dict[str, int] = field(default_factory=dict)
    busy: set[int] = field(default_factory=set)
    busy_wamids: set[str] = field(default_factory=set)

    def put(self, leader: int, rows: list[_Row]) -> None:
        """Keep the rows of one message."""
        self.by_leader[leader] = rows
        self.by_wamid |= {row.message_id: leader for row in rows if row.message_id is not None}


def apply_statuses(run: Run, rules: Rules, *, unstored: Sequence[Status] = ()) -> Applied:
    """Move the rows that stored statuses are about, a chunk of them in each transaction.

    What cannot be decided yet waits: a status of a message that is being sent, a failure for
    WhatsApp's own reasons that is too young. A dry run changes nothing.

    Args:
        run: what to work with; its limit bounds how many statuses are looked at.
        rules: what a failure means, and how long a message is of use.
        unstored: statuses that a real run would have stored before (a dry run only).
    """
    applied = Applied()
    after, left = 0, run.limit
    while left != 0 and not run.stop.requested:
        size = _CHUNK if left is None else min(_CHUNK, left)
        with run.database.read() if run.dry_run else run.database.write() as connection:
            stored = _unapplied(connection, after, size, lock=not run.dry_run)
            _apply(connection, run, rules, stored, applied)
        left = None if left is None else left - len(stored)
        if len(stored) < size:
            break
        after = stored[-1].id
    if unstored:
        new = [_Stored(0, status, run.now) for status in unstored[:left]]
        with run.database.read() as connection:
            _apply(connection, run, rules, new, applied)
    return applied


def _unapplied(connection: Connection, after: int, size: int, *, lock: bool) -> list[_Stored]:
    query = (
        select(statuses)
        .where(statuses.c.applied_at.is_(None), statuses.c.id > after)
        .order_by(statuses.c.id)
        .limit(size)
    )
    if lock:  # what another process is applying is its own (SQLite has one writer at a time)
        query = query.with_for_update(skip_locked=True)
    return [
        _Stored(
            row.id,
            Status(row.wamid, Delivery(row.status), row.said_at, row.callback, row.code),
            row.received_at,
        )
        for row in connection.execute(query)
    ]


def _apply(
    connection: Connection, run: Run, rules: Rules, stored: Sequence[_Stored], applied: Applied
) -> None:
    """Decide what these statuses change and, in a real run, write it."""
    installation = installation_id(connection)
    messages = _read_messages(connection, installation, stored, lock=not run.dry_run)
    before = {row.id: row for rows in messages.by_leader.values() for row in rows}
    overruled = _arrived(connection, stored)
    done: list[int] = []
    opted_out: dict[str, datetime] = {}
    for one in stored:
        leader = _leader_of(one, installation, messages, now=run.now)
        if leader is None:
            continue
        if isinstance(leader, Ignored):
            applied.ignored[leader] += 1
            done.append(one.id)
            continue
        is_failure = one.status.delivery is Delivery.FAILED
        failure = rules.explain(one.status.code) if is_failure else None
        steps = [
            _apply_to_row(row, one, failure, run, rules, overruled=one.status.wamid in overruled)
            for row in messages.by_leader[leader]
        ]
        messages.put(leader, [row for row, _ in steps])
        if all(is_done for _, is_done in steps):
            done.append(one.id)
            if failure is not None and failure.opt_out:
                phones = (row.phone for row, _ in steps)
                opted_out |= {phone: one.status.said_at for phone in phones if phone}
    applied.statuses += len(done)
    for rows in messages.by_leader.values():
        was, now = before[rows[0].id], rows[0]
        if now.state is not was.state:
            applied.moved[now.state] += 1
            applied.settled += was.state is State.UNKNOWN
            applied.moves.append(
                Move(now.appointment_id, now.start, now.phone, now.state, now.error)
            )
    if not run.dry_run:
        rows = [
            row for rows in messages.by_leader.values() for row in rows if row != before[row.id]
        ]
        _write(connection, sorted(rows, key=lambda row: row.id))
        add_from_whatsapp(connection, opted_out)
        taken = update(statuses).where(statuses.c.id.in_(done))
        connection.execute(taken.values(applied_at=run.clock.now()))


# -- which rows -------------------------------------------------------------------------------


def _read_messages(
    connection: Connection, installation: str, stored: Iterable[_Stored], *, lock: bool
) -> _Messages:
    """Read the rows that these statuses may be about; what others are writing is left out."""
    leaders: set[int] = set()
    wamids: set[str] = set()
    for one in stored:
        if one.status.callback is None:
            wamids.add(one.status.wamid)
        elif (callback := one.callback) is not None and callback.installation == installation:
            leaders.add(callback.outbox_id)
    columns = outbox.c.id, outbox.c.leader_id, outbox.c.phone, outbox.c.message_id
    named = or_(outbox.c.id.in_(sorted(leaders)), outbox.c.message_id.in_(sorted(wamids)))
    rows = connection.execute(select(*columns).where(named)).all()
    leaders |= {row.leader_id or row.id for row in rows}
    all_of_them = of_messages(leaders, {row.phone for row in rows})
    rest = connection.execute(select(*columns).where(all_of_them)).all()
    known = {row.id: row for row in (*rows, *rest)}
    read = _read(connection, known, lock=lock)
    free = {row.id for theirs in read.values() for row in theirs}
    # All rows of a message move together, or wait together.
    waiting = {row.leader_id or row.id for row in known.values() if row.id not in free}
    busy = [row for row in known.values() if (row.leader_id or row.id) in waiting]
    messages = _Messages(
        busy={row.id for row in busy},
        busy_wamids={row.message_id for row in busy if row.message_id is not None},
    )
    for leader, theirs in read.items():
        if leader in waiting:
            continue
        first, *others = sorted(theirs, key=lambda row: row.leader_id is not None)
        messages.put(leader, [first, *(row for row in others if _is_with(first, row))])
        for row in others:
            if not _is_with(first, row):
                messages.put(row.id, [row])
    return messages


def _read(connection: Connection, ids: Collection[int], *, lock: bool) -> dict[int, list[_Row]]:
    """Return rows as they are now, by the row that leads them."""
    lapsed = outbox.c.lease_until < now_plus(connection, 0)
    columns = [outbox.c[name] for name in _Row.__slots__]
    query = select(*columns, lapsed.label("lapsed")).where(outbox.c.id.in_(sorted(ids)))
    query = query.order_by(outbox.c.id)
    if lock:
        query = query.with_for_update(skip_locked=True)
    rows: dict[int, list[_Row]] = {}
    for one in connection.execute(query):
        values = one._asdict()
        state = State(values["state"])
        if values.pop("lapsed") and state is State.CLAIMED:
            state = State.UNKNOWN  # its owner died
        rows.setdefault(one.leader_id or one.id, []).append(_Row(**{**values, "state": state}))
    return rows


def _is_with(first: _Row, row: _Row) -> bool:
    """Whether a row belongs to the present message of its leader.

    A row that was not claimed again together with its leader still names it.
    """
    if row.message_id is not None and first.message_id is not None:
        return row.message_id == first.message_id
    if row.state is not first.state:
        return False
    # A row that follows another appointment's was never claimed with it.
    return row.state in ACCEPTED or row.run_id == first.run_id


def _leader_of(
    one: _Stored, installation: str, messages: _Messages, *, now: datetime
) -> int | Ignored | None:
    """Return which row leads the message of a status, or why none does; None: it must wait."""
    wamid = one.status.wamid
    if one.status.callback is None:
        if (leader := messages.by_wamid.get(wamid)) is not None:
            return leader
        may_come = wamid in messages.busy_wamids or one.received_at > now - SENDER_WAIT
        return None if may_come else Ignored.NOT_OURS
    callback = one.callback
    if callback is None or callback.installation != installation:
        return Ignored.NOT_OURS
    if callback.outbox_id in messages.busy:
        return None
    rows = messages.by_leader.get(callback.outbox_id)
    if rows is None:
        return Ignored.ROW_GONE
    if rows[0].id != callback.outbox_id or rows[0].claims != callback.attempt:
        return Ignored.EARLIER_TRY
    if rows[0].message_id not in (None, wamid):
        return Ignored.ANOTHER_MESSAGE
    return callback.outbox_id


# -- what becomes of them ---------------------------------------------------------------------


def _arrived(connection: Connection, stored: Iterable[_Stored]) -> set[str]:
    """Return those of the messages reported as failed of which it is known that they arrived."""
    arrived = [Delivery.DELIVERED, Delivery.READ]
    failed = {one.status.wamid for one in stored if one.status.delivery is Delivery.FAILED}
    if not failed:
        return set()
    query = select(statuses.c.wamid).where(
        statuses.c.wamid.in_(sorted(failed)), statuses.c.status.in_(arrived)
    )
    here = {one.status.wamid for one in stored if one.status.delivery in arrived}
    return failed & {*connection.scalars(query), *here}


def _apply_to_row(
    row: _Row, one: _Stored, failure: Answer | None, run: Run, rules: Rules, *, overruled: bool
) -> tuple[_Row, bool]:
    """Return a row as one status leaves it, and whether that is all the status has to say."""
    status = one.status
    if row.state is State.CLAIMED:
        return row, False  # its owner is sending it
    after = row
    never_left = row.sent_at is None and row.state in (State.RETRY, State.EXPIRED)
    if row.state is State.UNKNOWN or never_left:
        # Whatever the answer was: there is a status, so WhatsApp took the message.
        sent_at = row.sent_at or row.claimed_at or status.said_at
        after = replace(row, state=State.SENT, sent_at=sent_at, error=None, error_code=None)
    if row.message_id is None and row.phone is not None:  # an erased person gets no id back
        after = replace(after, message_id=status.wamid)
    is_done = True
    match status.delivery:
        case Delivery.SENT:
            pass
        case Delivery.DELIVERED:
            after = _up(after, State.DELIVERED, delivered_at=status.said_at)
        case Delivery.READ:  # WhatsApp leaves out "delivered" when the chat is open
            after = _up(after, State.READ, delivered_at=status.said_at, read_at=status.said_at)
        case Delivery.FAILED:
            if failure is not None and after.state is State.SENT and not overruled:
                after, is_done = _fail(after, one, failure, run, rules)
        case _:
            assert_never(status.delivery)
    if after.state is not row.state:
        after = replace(after, run_id=run.id, updated_at=run.clock.now())
    return after, is_done


def _up(row: _Row, state: State, **told: datetime) -> _Row:
    """Return a row moved up to at least this state; of two moments the earlier one counts."""
    moments: dict[str, Any] = {name: min(at, getattr(row, name) or at) for name, at in told.items()}
    if _RANK.get(row.state, 0) >= _RANK[state]:
        return replace(row, **moments)
    return replace(row, state=state, error=None, error_code=None, **moments)


def _fail(row: _Row, one: _Stored, failure: Answer, run: Run, rules: Rules) -> tuple[_Row, bool]:
    """Return a row whose accepted message did not arrive, and whether that is decided."""
    why: dict[str, Any] = {"error_code": one.status.code, "error": failure.reason[:500]}
    of_use = rules.useful_until(row.kind, row.start) > run.now
    if failure.verdict is not Verdict.RETRY or not of_use:
        return replace(row, state=State.UNDELIVERED, **why), True
    if one.received_at > run.now - CONTRADICTION_WAIT:
        return row, False
    return replace(row, state=State.RETRY, **why), True


# -- writing ----------------------------------------------------------------------------------

#: What a status may change of a row.
_CHANGES = (
    "state", "run_id", "message_id", "sent_at", "delivered_at", "read_at",
    "error_code", "error", "updated_at",
)  # fmt: skip


def _write(connection: Connection, rows: Sequence[_Row]) -> None:
    if not rows:
        return
    values = {name: bindparam(f"new_{name}", type_=outbox.c[name].type) for name in _CHANGES}
    connection.execute(
        update(outbox)
        .where(outbox.c.id == bindparam("row_id"))
        .values(**values, lease_until=null()),
        [
            {"row_id": row.id, **{f"new_{name}": getattr(row, name) for name in _CHANGES}}
            for row in rows
        ],
    )
