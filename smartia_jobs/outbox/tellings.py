"""Who was last told what of a visit, by its outbox rows, and what that allows now."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, exists, false, func, select

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.database import any_of, now_plus
from smartia_jobs.message import Phone
from smartia_jobs.outbox.sender import Sender
from smartia_jobs.outbox.source import Source
from smartia_jobs.report import Reason
from smartia_jobs.store.states import MAYBE_ACCEPTED, State
from smartia_jobs.store.status_changes import NO_ANSWER
from smartia_jobs.store.tables import outbox, status_changes, statuses

#: Surely never left: the next message of the visit takes such a row, or nobody does.
_NEVER_LEFT = frozenset({State.RETRY, State.EXPIRED, State.FAILED})
#: The patient knows, may know, or will in a moment.
_OUT = MAYBE_ACCEPTED | {State.CLAIMED}


#: How long an unknown message waits for a status before ``ON_UNKNOWN=resend`` sends it again:
#: without one by then, WhatsApp has probably never taken it.
STATUS_WAIT = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Row:
    """One outbox row, as far as deciding needs it: one telling of one visit.

    Attributes:
        id: of the row.
        appointment_id: which visit.
        turn: counts the tellings of this kind, from 1.
        start: what the patient was, or is to be, told; clinic wall time.
        state: the state it is in.
        run_id: the process that changed it last.
        patient_id: whose visit it was.
        phone: canonical, or as stored where it cannot be a phone; None once it was erased.
        resends: how often it was sent once more.
        claims: how often it was claimed.
        leader_id: the row that leads its message; None: itself.
        sent_at: when it was accepted.
        template: the name at Meta of what was sent, or is to be.
        status_may_come: it was claimed so recently that a status may still settle it.
        is_over: the patient has cancelled since, and was told so: if the visit takes place after
            all, they do not know of it.
    """

    id: int
    appointment_id: int
    turn: int
    start: datetime
    state: State
    run_id: str
    patient_id: int
    phone: str | None
    resends: int
    claims: int
    leader_id: int | None
    sent_at: datetime | None = None
    template: str | None = None
    status_may_come: bool = False
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """What a message would tell now, and whom.

    Attributes:
        start: the visit's, clinic wall time.
        patient_id: whose visit it is.
        phone: canonical, or as stored where it cannot be a phone.
        to_patient: the patient row is the recipient, whatever phone it has.
    """

    start: datetime | None
    patient_id: int
    phone: str | None
    to_patient: bool = False

    def repeats(self, row: Row) -> bool:
        """Whether ``row`` told, or would tell, the same to the same recipient."""
        same = self.patient_id == row.patient_id if self.to_patient else self.has_phone_of(row)
        return same and self.start == row.start

    def has_phone_of(self, row: Row) -> bool:
        """Whether a row went to this phone; one whose phone was erased did."""
        return row.phone is None or row.phone == self.phone


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rows of a visit allow.

    Attributes:
        reason: why no message is due; None when one is.
        row: the row to claim again; None for a new one.
        turn: of the new one.
        useless: ids of rows that never left and that nothing needs.
    """

    reason: Reason | None = None
    row: Row | None = None
    turn: int = 1
    useless: tuple[int, ...] = ()


def decide(
    rows: Sequence[Row],
    intent: Intent,
    *,
    run_id: str,
    in_flight: Collection[int],
    resend_unknown: bool,
) -> Decision:
    """Return whether a message is due, and by which row.

    The newest row that was or may have been accepted says who was last told what. If that is
    this very start and recipient, the patient knows; else a message is due, by the newest row
    if it surely never left, by a new one otherwise.

    Args:
        rows: of one visit and kind, by turn.
        intent: what the message would tell, and whom.
        run_id: this process, and no other.
        in_flight: rows whose message this process is sending, or whose outcome it has not
            recorded yet: its dispatcher knows them, the rows do not tell.
        resend_unknown: whether the clinic chose ``ON_UNKNOWN=resend``.
    """
    if not rows:
        return Decision()
    newest = rows[-1]
    # A claim of this process that its dispatcher does not know of was committed although the
    # database's answer got lost: nobody is sending it.
    claimed = [row for row in rows if row.state is State.CLAIMED]
    if any(row.run_id != run_id or row.id in in_flight for row in claimed):
        return Decision(Reason.BEING_SENT_ELSEWHERE)
    last = last_told(rows)
    if last is not None and intent.repeats(last):
        younger = (row for row in rows if row.turn > last.turn and row.state is State.RETRY)
        useless = tuple(row.id for row in younger)
        if last.state is not State.UNKNOWN:
            return Decision(Reason.ALREADY_SENT, useless=useless)
        again = resend_unknown and last.resends == 0 and last.run_id != run_id
        if again and not last.status_may_come:
            return Decision(row=last, useless=useless)
        return Decision(Reason.HELD_UNKNOWN, useless=useless)
    refused = newest.state is State.FAILED and newest.start == intent.start
    if refused and intent.has_phone_of(newest):
        return Decision(Reason.ALREADY_FAILED)
    # The buttons of a message name its row. Once a try may have reached a phone they stand for
    # what it told, so the row cannot tell anything else.
    may_have_left = newest.sent_at is not None or newest.resends > 0
    is_free = newest.state in _NEVER_LEFT or newest.state is State.CLAIMED
    if is_free and (not may_have_left or intent.repeats(newest)):
        useless = tuple(row.id for row in rows[:-1] if row.state is State.RETRY)
        return Decision(row=newest, useless=useless)
    useless = tuple(row.id for row in rows if row.state is State.RETRY)
    return Decision(turn=newest.turn + 1, useless=useless)


def last_told(rows: Sequence[Row]) -> Row | None:
    """Return the newest row that was or may have been accepted; None: nobody was told.

    What the patient was told before an answer of theirs cancelled the visit is over.
    """
    told = (row for row in reversed(rows) if row.state in MAYBE_ACCEPTED and not row.is_over)
    return next(told, None)


def rows_of(connection: Connection, kind: str, ids: Collection[int]) -> dict[int, list[Row]]:
    """Return the rows of one kind for these appointments, by appointment, each by turn."""
    found: dict[int, list[Row]] = {}
    if not ids:
        return found
    query = _of_visits(connection.dialect.name)
    for row in _rows(connection, query, {"ids": sorted(ids), "kind": kind}):
        found.setdefault(row.appointment_id, []).append(row)
    return found


def told_by_another(
    connection: Connection, source: Source, sender: Sender, visits: Collection[Appointment]
) -> dict[int, Row]:
    """Return, for visits nobody was told of, the row by which their patient knows, or may.

    A visit that a program deletes and writes again, or books a second time, is another row of
    SmartIA's, and the same visit to the patient: they know of it if the newest telling of that
    other row has this very start and phone, and that row is gone, closed, or the same patient's.

    Args:
        connection: inside a short transaction.
        source: the kind of message.
        sender: tells where each visit's message goes.
        visits: those of which nobody was told by this kind.
    """
    wanted: dict[tuple[str, datetime], list[Appointment]] = {}
    for visit in visits:
        address = sender.address(visit)
        if visit.start is not None and isinstance(address, Phone):
            wanted.setdefault((address.canonical, visit.start), []).append(visit)
    if not wanted or source.to_patient:
        return {}
    values = {
        "kind": source.kind,
        "phones": sorted({phone for phone, _ in wanted}),
        "starts": sorted({start for _, start in wanted}),
    }
    found = _rows(connection, _at_one_time(connection.dialect.name), values)
    tellings = [row for row in found if (row.phone, row.start) in wanted]
    if not tellings:
        return {}
    others = {row.appointment_id for row in tellings}
    rows = rows_of(connection, source.kind, others)
    now = source.reread(connection, others)
    told: dict[int, Row] = {}
    for row in tellings:
        other = now.get(row.appointment_id)
        theirs = reversed(rows.get(row.appointment_id, ()))
        newest = next((one for one in theirs if one.state in _OUT), row)
        if newest.id != row.id or row.is_over:
            continue  # they were told another time since, or have cancelled
        for visit in wanted[row.phone or "", row.start]:
            ended = other is None or not other.is_open
            same = (visit.patient_id, visit.start)
            stands = other is not None and (other.patient_id, other.start) == same
            if visit.id != row.appointment_id and (ended or stands):
                told[visit.id] = row
    return told


@dataclass(frozen=True, slots=True)
class Known:
    """What the database knows of some visits, read in one transaction.

    Attributes:
        rows: the outbox rows of this kind, by appointment, each by turn.
        twins: the row by which a patient knows, or may, of a visit that nobody told them of.
        vetoes: reasons that other rows of the clinic give, by appointment.
    """

    rows: Mapping[int, Sequence[Row]]
    twins: Mapping[int, Row]
    vetoes: Mapping[int, Reason]


def look_up(
    connection: Connection, source: Source, sender: Sender, visits: Collection[Appointment]
) -> Known:
    """Read everything that decides about these visits, besides the visits themselves."""
    rows = rows_of(connection, source.kind, {visit.id for visit in visits})
    untold = [visit for visit in visits if last_told(rows.get(visit.id, ())) is None]
    twins = told_by_another(connection, source, sender, untold)
    return Known(rows, twins, source.vetoes(connection, visits))


@cache
def _of_visits(dialect: str) -> Select[Any]:
    theirs = _select(dialect).where(any_of(outbox.c.appointment_id, "ids"))
    return theirs.order_by(outbox.c.appointment_id, outbox.c.turn)


@cache
def _at_one_time(dialect: str) -> Select[Any]:
    theirs = _select(dialect).where(
        any_of(outbox.c.phone, "phones"),
        any_of(outbox.c.start, "starts"),
        outbox.c.state.in_(sorted(_OUT)),
    )
    return theirs.order_by(outbox.c.id)


def _select(dialect: str) -> Select[Any]:
    # Only what our own webhook stores names the row of a message whose id is not known.
    listening = exists().where(statuses.c.callback.is_not(None))
    lately = outbox.c.claimed_at > now_plus(dialect, -STATUS_WAIT.total_seconds())
    cancelled_since = exists().where(
        status_changes.c.appointment_id == outbox.c.appointment_id,
        status_changes.c.answer_id != NO_ANSWER,
        status_changes.c.before != status_changes.c.after,
        status_changes.c.after == AppointmentStatus.CANCELLED,
        status_changes.c.changed_at >= func.coalesce(outbox.c.sent_at, outbox.c.updated_at),
    )
    return select(
        outbox.c.id,
        outbox.c.appointment_id,
        outbox.c.turn,
        outbox.c.start,
        outbox.c.state,
        outbox.c.run_id,
        outbox.c.patient_id,
        outbox.c.phone,
        outbox.c.resends,
        outbox.c.claims,
        outbox.c.leader_id,
        outbox.c.sent_at,
        outbox.c.template,
        func.coalesce(and_(lately, listening), false()).label("status_may_come"),
        cancelled_since.label("is_over"),
    ).where(outbox.c.kind == bindparam("kind", type_=outbox.c.kind.type))


def _rows(connection: Connection, query: Select[Any], wanted: Mapping[str, Any]) -> Iterator[Row]:
    for row in connection.execute(query, wanted):
        values = row._asdict()
        told = {name: bool(values[name]) for name in ("status_may_come", "is_over")}
        yield Row(**{**values, **told, "state": State(values["state"])})
