"""Claiming: the one place where a message becomes somebody's to send, and nobody else's."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, select, true, update

from smartia_jobs.appointment import Appointment
from smartia_jobs.batch import Batch
from smartia_jobs.database import insert_once, now_plus
from smartia_jobs.message import Conversations, Message, Phone, Unsendable
from smartia_jobs.outbox.errand import Errand
from smartia_jobs.outbox.rows import Key, Row, obstacle, rows_of
from smartia_jobs.outbox.states import State
from smartia_jobs.outbox.tables import outbox
from smartia_jobs.report import Outcome, Reason, Result
from smartia_jobs.run import Run

#: What a pending retry can no longer be sent for.
_OVERTAKEN = frozenset({Reason.MOVED, Reason.NO_LONGER_OPEN, Reason.TOO_LATE})


@dataclass(frozen=True, slots=True)
class Pending:
    """The visits of one person on one day, waiting for their turn.

    Attributes:
        visits: as they were read, earliest first.
        conversations: where messages to these patients, and others, belong.
        attempts: requests already posted for them in this run.
    """

    visits: tuple[Appointment, ...]
    conversations: Conversations
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that this run, and no other, may post now.

    Attributes:
        outbox_ids: the rows it stands for, in the order of ``visits``; the first leads.
        visits: what the message tells, earliest first, as re-read in the claiming transaction.
        conversations: as in :class:`Pending`.
        phone: where it goes.
        message: what is sent.
        send_before: no attempt starts at or after this instant.
        claimed_s: the clock's monotonic seconds before the claim was made.
        attempts: requests already posted for it in this run.
    """

    outbox_ids: tuple[int, ...]
    visits: tuple[Appointment, ...]
    conversations: Conversations
    phone: Phone
    message: Message
    send_before: datetime
    claimed_s: float
    attempts: int

    def pending(self, attempts: int) -> Pending:
        """Return its visits, waiting for another turn after so many requests."""
        return Pending(self.visits, self.conversations, attempts)


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims, and when: what a claiming transaction takes from its run."""

    run_id: str
    lease: timedelta
    now: datetime
    now_s: float
    #: Rows whose message this process is sending, or whose outcome it has not recorded yet.
    in_flight: frozenset[int] = frozenset()

    @classmethod
    def of(cls, run: Run, in_flight: Iterable[int] = ()) -> "Claimant":
        """Return the run as a claimant at this moment."""
        lease, clock = run.settings.claim_lease, run.clock
        return cls(run.id, lease, clock.now(), clock.monotonic(), frozenset(in_flight))


@dataclass(slots=True)
class Claimed:
    """What one claiming transaction brought: claims to send and visits that are settled."""

    claims: list[Claim] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def skip(self, visits: Iterable[Appointment], reason: Reason) -> None:
        """Settle visits that are rightly not messaged."""
        self.outcomes.extend(Outcome(a.id, Result.SKIPPED, reason) for a in visits)


@dataclass(slots=True)
class _Parcel:
    """Visits that go into one message, with the rows they already have."""

    pending: Pending
    address: Phone | Unsendable
    visits: list[tuple[Appointment, Row | None]]


def claim(
    connection: Connection, errand: Errand, batch: Sequence[Pending], claimant: Claimant
) -> Claimed:
    """Claim what may still be sent of ``batch``, in the caller's transaction.

    Status, start and phone are read anew; a row appears by ``INSERT … ON CONFLICT DO NOTHING``
    or changes by an UPDATE that names the state it was seen in, so of any number of runs at
    once exactly one obtains it. A follower is claimed without its leader only when somebody
    else has the leader, or the leader needs no message any more.

    Raises:
        sqlalchemy.exc.DBAPIError: nothing was claimed; the caller's transaction is lost.
    """
    claimed = Claimed()
    parcels = list(_parcels(connection, errand, batch, claimant, claimed))
    ids = _obtain(connection, errand, parcels, claimant)
    for parcel in parcels:
        _finish(connection, errand, parcel, ids, claimant, claimed)
    return claimed


def _parcels(
    connection: Connection,
    errand: Errand,
    batch: Sequence[Pending],
    claimant: Claimant,
    claimed: Claimed,
) -> Iterator[_Parcel]:
    ids = {visit.id for pending in batch for visit in pending.visits}
    current = errand.calendar.reread(connection, ids)
    rows = rows_of(connection, errand.kind, ids)
    vetoes = errand.calendar.vetoes(connection, current.values())
    overtaken: list[int] = []
    seen: set[int] = set()
    for pending in batch:
        ready: list[tuple[Phone | Unsendable, Appointment, Row | None]] = []
        for read in pending.visits:
            if read.id in seen:  # listed again, as it was moved while the pages were read
                claimed.skip([read], Reason.BEING_SENT_ELSEWHERE)
                continue
            seen.add(read.id)
            visit = current.get(read.id)
            row = rows.get((read.id, read.start)) if read.start else None
            reason = objection(errand, read, visit, rows, vetoes, claimant)
            if visit is None or reason is not None:
                claimed.skip([read], reason or Reason.NO_LONGER_OPEN)
                if row is not None and row.state is State.RETRY and reason in _OVERTAKEN:
                    overtaken.append(row.id)
                continue
            if visit.start != read.start:  # moved within its day: told at its new time
                if row is not None and row.state is State.RETRY:
                    overtaken.append(row.id)
                row = rows.get((visit.id, visit.start)) if visit.start else None
            ready.append((errand.courier.address(visit), visit, row))
        # A phone that was changed meanwhile parts visits that were read as one person's.
        parcels: dict[str, _Parcel] = {}
        for address, visit, row in ready:
            parcel = _Parcel(pending, address, [])
            parcels.setdefault(_destination(address), parcel).visits.append((visit, row))
        yield from parcels.values()
    _expire(connection, overtaken, claimant)


def objection(
    errand: Errand,
    read: Appointment,
    visit: Appointment | None,
    rows: Mapping[Key, Row],
    vetoes: Mapping[int, Reason],
    claimant: Claimant,
) -> Reason | None:
    """Return why nothing is sent about one visit; None when it may be claimed.

    Args:
        errand: the kind of message.
        read: the visit as it was when it was found due.
        visit: the same as it is now; None when it is gone.
        rows: what the outbox remembers, by (appointment, start).
        vetoes: reasons that other rows of the clinic give, by appointment.
        claimant: who asks, and when.
    """
    if visit is None:
        return Reason.NO_LONGER_OPEN
    row = rows.get((visit.id, visit.start)) if visit.start else None
    if row is not None:
        failed = row.state is State.FAILED
        reason = obstacle(
            row,
            run_id=claimant.run_id,
            in_flight=claimant.in_flight,
            phone=_phone_key(visit, errand.courier.address(visit)) if failed else None,
            resend_unknown=errand.resend_unknown,
        )
        if reason is not None:
            return reason
    if _day(visit) != _day(read):
        return Reason.MOVED
    return errand.calendar.refusal(visit, claimant.now) or vetoes.get(visit.id)


def _obtain(
    connection: Connection, errand: Errand, parcels: Sequence[_Parcel], claimant: Claimant
) -> dict[int, int]:
    """Insert or re-claim the rows of all parcels; return appointment id → outbox id obtained.

    Rows are touched in one order by everyone (old ones by id, new ones by appointment), so
    that two runs never wait for each other in a circle.
    """
    obtained: dict[int, int] = {}
    old: list[tuple[Row, Appointment, dict[str, Any]]] = []
    new: list[dict[str, Any]] = []
    for parcel in parcels:
        for visit, row in parcel.visits:
            values = _values(errand, parcel, visit, claimant)
            if row is None:
                new.append({"appointment_id": visit.id, "start": visit.start, **values})
            else:
                old.append((row, visit, values))
    lease = _lease(connection.dialect.name, claimant.lease)
    for row, visit, values in sorted(old, key=lambda one: one[0].id):
        resends = row.resends + (row.state is State.UNKNOWN)
        changed = connection.execute(
            update(outbox)
            .where(
                outbox.c.id == row.id,
                outbox.c.state == str(row.state),
                outbox.c.run_id == row.run_id,
            )
            .values(
                **values,
                **lease,
                run_id=claimant.run_id,
                template=errand.template,
                updated_at=claimant.now,
                error_code=None,
                resends=resends,
                leader_id=None,
            )
        )
        if changed.rowcount == 1:
            obtained[visit.id] = row.id
    if new:
        rows = _new_rows(connection.dialect.name).parameters(new)
        made = connection.execute(
            _insertion(connection.dialect.name, claimant.lease),
            {
                **rows,
                "of_kind": errand.kind,
                "of_run": claimant.run_id,
                "of_template": errand.template,
                "at": claimant.now,
            },
        )
        obtained.update((row.appointment_id, row.id) for row in made.all())
    return obtained


@cache
def _new_rows(dialect: str) -> Batch:
    return Batch.of(
        dialect,
        outbox.c.appointment_id,
        outbox.c.start,
        outbox.c.patient_id,
        outbox.c.phone,
        outbox.c.state,
        outbox.c.send_before,
        outbox.c.appointment_status,
        outbox.c.error,
    )


@lru_cache(maxsize=2)
def _insertion(dialect: str, lease: timedelta) -> Any:
    """Return the claiming INSERT: it is the same in every turn, and making it takes a while."""
    rows = _new_rows(dialect).table
    alike = {
        "kind": bindparam("of_kind", type_=outbox.c.kind.type),
        "run_id": bindparam("of_run", type_=outbox.c.run_id.type),
        "template": bindparam("of_template", type_=outbox.c.template.type),
        "created_at": bindparam("at", type_=outbox.c.created_at.type),
        "updated_at": bindparam("at", type_=outbox.c.updated_at.type),
        **_lease(dialect, lease),
    }
    # Without any condition SQLite would read ON CONFLICT as one of a join.
    values = select(*rows.c, *alike.values()).where(true()).order_by(rows.c.appointment_id)
    return (
        insert_once(dialect, outbox, key=["appointment_id", "kind", "start"])
        .from_select([*rows.c.keys(), *alike], values)
        .returning(outbox.c.appointment_id, outbox.c.id)
    )


@lru_cache(maxsize=2)
def _lease(dialect: str, lease: timedelta) -> Mapping[str, ColumnElement[datetime]]:
    return {
        "claimed_at": now_plus(dialect, 0),
        "lease_until": now_plus(dialect, lease.total_seconds()),
    }


def _values(
    errand: Errand, parcel: _Parcel, visit: Appointment, claimant: Claimant
) -> dict[str, Any]:
    failed = isinstance(parcel.address, Unsendable)
    return {
        "patient_id": visit.patient_id,
        "phone": _phone_key(visit, parcel.address),
        "state": str(State.FAILED if failed else State.CLAIMED),
        "send_before": errand.calendar.send_before(visit, claimant.now),
        "appointment_status": str(visit.status) if visit.status else None,
        "error": parcel.address.reason if isinstance(parcel.address, Unsendable) else None,
    }


def _finish(
    connection: Connection,
    errand: Errand,
    parcel: _Parcel,
    ids: Mapping[int, int],
    claimant: Claimant,
    claimed: Claimed,
) -> None:
    """Write the message of what was obtained of a parcel, or settle it."""
    ours = [visit for visit, _ in parcel.visits if visit.id in ids]
    claimed.skip(
        (visit for visit, _ in parcel.visits if visit.id not in ids), Reason.BEING_SENT_ELSEWHERE
    )
    if not ours:
        return
    if isinstance(parcel.address, Unsendable):
        reason = parcel.address.reason
        claimed.outcomes.extend(Outcome(visit.id, Result.FAILED, reason) for visit in ours)
        return
    outbox_ids = tuple(ids[visit.id] for visit in ours)
    if len(outbox_ids) > 1:
        connection.execute(
            update(outbox).where(outbox.c.id.in_(outbox_ids[1:])).values(leader_id=outbox_ids[0])
        )
    claimed.claims.append(
        Claim(
            outbox_ids=outbox_ids,
            visits=tuple(ours),
            conversations=parcel.pending.conversations,
            phone=parcel.address,
            message=errand.courier.write(ours),
            send_before=min(errand.calendar.send_before(visit, claimant.now) for visit in ours),
            claimed_s=claimant.now_s,
            attempts=parcel.pending.attempts,
        )
    )


def _expire(connection: Connection, ids: Collection[int], claimant: Claimant) -> None:
    if ids:
        connection.execute(
            update(outbox)
            .where(outbox.c.id.in_(sorted(ids)), outbox.c.state == str(State.RETRY))
            .values(state=str(State.EXPIRED), run_id=claimant.run_id, updated_at=claimant.now)
        )


def _day(visit: Appointment) -> date | None:
    return visit.start.date() if visit.start else None


def _destination(address: Phone | Unsendable) -> str:
    return address.canonical if isinstance(address, Phone) else address.reason


def _phone_key(visit: Appointment, address: Phone | Unsendable) -> str | None:
    if isinstance(address, Phone):
        return address.canonical
    return visit.phone.replace("\0", "")[:64] if visit.phone else None
