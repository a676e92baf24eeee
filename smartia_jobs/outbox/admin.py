"""What a person does with the outbox: look at it, settle what is unknown, delete what is past."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, update

from smartia_jobs.database import Database
from smartia_jobs.errors import UnavailableError
from smartia_jobs.message import CallbackData
from smartia_jobs.outbox.recovery import is_lost, is_unknown
from smartia_jobs.store.answers import delete_before, disputes_number, erase_answers
from smartia_jobs.store.installation import installation_id
from smartia_jobs.store.states import ACCEPTED, State
from smartia_jobs.store.tables import opt_outs, outbox, status_changes, statuses

#: What may still be sent, or needs a decision: shown when no state is asked for.
UNFINISHED = (State.UNKNOWN, State.RETRY)
#: Nothing more will happen to these.
FINAL = (*sorted(ACCEPTED), State.FAILED, State.EXPIRED)
#: Rows of nearer visits are what keeps a message from being sent again; invitations are sent
#: up to 30 days after a missed visit.
SHORTEST_RETENTION = timedelta(days=31)
#: Rows deleted in one transaction.
_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the outbox, as a person needs it: what a patient was, or is to be, told.

    Attributes:
        id: what ``resend`` and ``settle`` are given.
        kind: ``24h``, ``2h``, ``no_show``.
        appointment_id: whose message.
        turn: counts what the patient was told of this visit by this kind, from 1.
        start: what the patient is told, clinic wall time.
        phone: as it is stored; mask it before it is shown.
        state: the state it is in.
        attempts: requests posted so far.
        since: since when it has been in it, aware UTC.
        sent_at: when WhatsApp accepted it; likewise ``delivered_at`` and ``read_at``.
        error: why, in plain words; None when nothing is known.
        code: Meta's number for that, where it gave one.
    """

    id: int
    kind: str
    appointment_id: int
    turn: int
    start: datetime
    phone: str | None
    state: State
    attempts: int
    since: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    error: str | None
    code: int | None


def entries(
    connection: Connection,
    states: Collection[State] = UNFINISHED,
    *,
    is_theirs: Callable[[str], bool] | None = None,
    appointment_id: int | None = None,
    day: date | None = None,
    undelivered_from: datetime | None = None,
) -> list[Entry]:
    """Return the rows in these states, the next visit first.

    A claim whose lease has ended is unknown: its owner died while it was being sent.

    Args:
        connection: inside a short transaction.
        states: in one of these.
        is_theirs: whether a stored phone is one person's; None for everybody's.
        appointment_id: about this visit; None for all.
        day: about visits told for this day, clinic wall time; None for all.
        undelivered_from: also what did not arrive of visits told to begin then or later, clinic
            wall time.
    """
    lost = is_lost(connection)
    named = and_(outbox.c.state.in_([str(state) for state in states]), ~lost)
    wanted = [or_(named, lost) if State.UNKNOWN in states else named]
    if undelivered_from is not None:
        failed = and_(outbox.c.state == str(State.UNDELIVERED), outbox.c.start >= undelivered_from)
        wanted = [or_(*wanted, failed)]
    if is_theirs is not None:
        phones = connection.scalars(select(outbox.c.phone).distinct())
        wanted.append(outbox.c.phone.in_([one for one in phones if one and is_theirs(one)]))
    if appointment_id is not None:
        wanted.append(outbox.c.appointment_id == appointment_id)
    if day is not None:
        midnight = datetime.combine(day, time())
        wanted += [outbox.c.start >= midnight, outbox.c.start < midnight + timedelta(days=1)]
    query = select(outbox, lost.label("lost")).where(*wanted).order_by(outbox.c.start, outbox.c.id)
    return [
        Entry(
            id=row.id,
            kind=row.kind,
            appointment_id=row.appointment_id,
            turn=row.turn,
            start=row.start,
            phone=row.phone,
            state=State.UNKNOWN if row.lost else State(row.state),
            attempts=row.attempts,
            since=row.updated_at,
            sent_at=row.sent_at,
            delivered_at=row.delivered_at,
            read_at=row.read_at,
            error="its run ended while it was being sent" if row.lost else row.error,
            code=row.error_code,
        )
        for row in connection.execute(query)
    ]


def being_sent(connection: Connection) -> int:
    """Return of how many visits a message is being sent: claims whose lease has not ended."""
    sending = (outbox.c.state == State.CLAIMED, ~is_lost(connection))
    return connection.execute(select(func.count()).where(*sending)).scalar_one()


class Resolution(StrEnum):
    """What a person decides about a message that may have been accepted."""

    RESEND = "resend"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Resolved:
    """What became of one id.

    Attributes:
        id: as it was given.
        visits: how many visits' rows were changed: a message may tell of several.
        found: the state it was found in; None when there is no such row.
    """

    id: int
    visits: int
    found: State | None


def resolve(
    connection: Connection, ids: Sequence[int], resolution: Resolution, *, at: datetime
) -> list[Resolved]:
    """Apply a person's decision to messages that are unknown, all rows of each together.

    A claim whose lease has ended counts as unknown; one that is being sent, and whatever
    somebody has settled meanwhile, is left alone. The owner stays noted, so that one who
    answers late can still record that a message to be sent again was sent after all.
    """
    done: dict[int, int] = {}
    resolved = []
    for outbox_id in ids:
        row = connection.execute(
            select(outbox.c.state, outbox.c.leader_id).where(outbox.c.id == outbox_id)
        ).first()
        if row is None:
            resolved.append(Resolved(outbox_id, 0, None))
            continue
        leader = row.leader_id or outbox_id
        if leader not in done:
            done[leader] = _change(connection, leader, resolution, at)
        resolved.append(Resolved(outbox_id, done[leader], State(row.state)))
    return resolved


def _change(connection: Connection, leader: int, resolution: Resolution, at: datetime) -> int:
    changes: dict[Resolution, dict[str, Any]] = {
        Resolution.RESEND: {
            "state": str(State.RETRY),
            "error": "a person wants it sent again",
            "resends": outbox.c.resends + 1,  # the one that ON_UNKNOWN=resend would allow
        },
        Resolution.SENT: {
            "state": str(State.SENT),
            "error": None,
            "sent_at": func.coalesce(outbox.c.claimed_at, at),
        },
        Resolution.FAILED: {"state": str(State.FAILED), "error": "a person found it undelivered"},
    }
    return connection.execute(
        update(outbox)
        .where(
            or_(outbox.c.id == leader, outbox.c.leader_id == leader),
            is_unknown(connection),
        )
        .values(**changes[resolution], lease_until=None, updated_at=at)
    ).rowcount


def purge(database: Database, *, before_wall: datetime, before_at: datetime) -> Iterator[int]:
    """Delete final rows of visits that began before a moment, and answers that came before it.

    Whoever says that a number is somebody else's is believed until a person has settled it: what
    they said stays, and the row that tells the number.

    Args:
        database: open for writing; each batch is its own short transaction.
        before_wall: clinic wall time, naive, at least ``SHORTEST_RETENTION`` ago.
        before_at: the same moment, aware UTC.

    Yields:
        how many rows went, batch by batch.
    """
    past = (
        select(outbox.c.id)
        .where(
            outbox.c.state.in_([str(state) for state in FINAL]),
            outbox.c.start < before_wall,
            ~disputes_number(),
        )
        .limit(_CHUNK)
    )
    deleted = _CHUNK
    while deleted == _CHUNK:
        with database.write() as connection:
            deleted = connection.execute(
                delete(outbox).where(outbox.c.id.in_(past.scalar_subquery()))
            ).rowcount
        yield deleted
    deleted = _CHUNK
    while deleted == _CHUNK:
        with database.write() as connection:
            deleted = delete_before(connection, before_at, most=_CHUNK)
        yield deleted


@dataclass(frozen=True, slots=True)
class Erased:
    """What was removed of one person: how many rows of which table."""

    deleted: int
    blanked: int
    marks: int
    opt_outs: int
    answers: int
    statuses: int


def patients_told(connection: Connection, is_theirs: Callable[[str], bool]) -> set[int]:
    """Return the patients who were ever written to, or to be written to, at one person's phone."""
    query = select(outbox.c.phone, outbox.c.patient_id).where(outbox.c.phone.is_not(None))
    told: dict[str, set[int]] = {}
    for row in connection.execute(query.distinct()):
        told.setdefault(row.phone, set()).add(row.patient_id)
    return {patient for phone, ids in told.items() if is_theirs(phone) for patient in ids}


def erase(
    connection: Connection,
    is_theirs: Callable[[str], bool],
    *,
    patient_ids: Collection[int],
    appointment_ids: Collection[int],
    before_wall: datetime,
    before_at: datetime,
) -> Erased:
    """Remove one person: their phones, whichever they had, and WhatsApp's ids with them.

    What WhatsApp told of their messages goes, and what they answered, as :func:`erase_answers`
    says.

    Rows and marks of visits that began before ``before_wall`` (clinic wall time, naive) are
    deleted. Later rows are kept without phone and ids, later marks as they are (they hold
    nothing of the person): they are what keeps a message about that visit from being sent
    again, and a visit that was reopened from being marked again. What SmartIA itself stores
    is not touched.

    Args:
        connection: the caller's transaction, for writing.
        is_theirs: whether a stored phone is theirs.
        patient_ids: who they are; all their rows go, under other phones too.
        appointment_ids: their visits in SmartIA, whose marks go too.
        before_wall: no run looks at earlier visits.
        before_at: the same moment, aware UTC.

    Raises:
        UnavailableError: a message to them is being sent at this moment; nothing was changed.
    """
    rows = outbox.c.patient_id.in_(sorted(patient_ids))
    sending = (rows, outbox.c.state == State.CLAIMED, ~is_lost(connection))
    if connection.execute(select(outbox.c.id).where(*sending).limit(1)).first():
        raise UnavailableError(
            "A message to this person is being sent at this moment; nothing was erased. "
            "Run it again in some minutes."
        )
    visits = {*appointment_ids, *connection.scalars(select(outbox.c.appointment_id).where(rows))}
    unmarked = connection.execute(
        delete(status_changes).where(
            status_changes.c.appointment_id.in_(sorted(visits)),
            status_changes.c.start < before_wall,
        )
    ).rowcount
    theirs = set(connection.scalars(select(outbox.c.id).where(rows)))
    answered = erase_answers(connection, is_theirs, theirs, before_at=before_at)
    told = _erase_statuses(connection, rows, theirs)
    deleted = connection.execute(delete(outbox).where(rows, outbox.c.start < before_wall)).rowcount
    blanked = connection.execute(
        update(outbox).where(rows).values(phone=None, message_id=None)
    ).rowcount
    silent = [text for text in connection.scalars(select(opt_outs.c.phone)) if is_theirs(text)]
    removed = connection.execute(delete(opt_outs).where(opt_outs.c.phone.in_(silent))).rowcount
    return Erased(deleted, blanked, unmarked, removed, answered, told)


def _erase_statuses(
    connection: Connection, rows: ColumnElement[bool], outbox_ids: Collection[int]
) -> int:
    """Delete the statuses of the messages of some rows, applied or not."""
    wamids = set(connection.scalars(select(outbox.c.message_id).where(rows)))
    installation = installation_id(connection)
    found = connection.execute(select(statuses.c.id, statuses.c.wamid, statuses.c.callback))
    theirs = [
        row.id
        for row in found
        if row.wamid in wamids or _is_about(row.callback, installation, outbox_ids)
    ]
    for status_id in theirs:
        connection.execute(delete(statuses).where(statuses.c.id == status_id))
    return len(theirs)


def _is_about(callback: str | None, installation: str, outbox_ids: Collection[int]) -> bool:
    sent = CallbackData.parse(callback or "")
    return sent is not None and sent.installation == installation and sent.outbox_id in outbox_ids
