"""Claiming: the one place where a message becomes somebody's to send, and nobody else's."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, update

from smartia_jobs.appointment import Appointment, PersonDay
from smartia_jobs.database import insert_once, lock_names, now_plus
from smartia_jobs.message import Message, Phone, Unsendable
from smartia_jobs.outbox.sender import Sender
from smartia_jobs.outbox.source import Source
from smartia_jobs.outbox.tellings import Decision, Intent, Known, Row, decide, look_up
from smartia_jobs.report import Outcome, Reason, Result
from smartia_jobs.run import Run
from smartia_jobs.store.states import ACCEPTED, State
from smartia_jobs.store.tables import outbox

#: Why no message is due where another appointment's row told the patient, by its state.
_TOLD_BY_TWIN: Mapping[State, Reason] = {
    **dict.fromkeys(ACCEPTED, Reason.ALREADY_TOLD),
    State.UNKNOWN: Reason.HELD_UNKNOWN,
    State.CLAIMED: Reason.BEING_SENT_ELSEWHERE,
}

#: Reasons that do not pass: a retry of such a visit expires.
_OUTDATED = frozenset({Reason.MOVED, Reason.NO_LONGER_OPEN, Reason.TOO_LATE})


@dataclass(frozen=True, slots=True)
class Pending:
    """The visits of one person on one day, waiting for their turn.

    Attributes:
        visits: as they were read, earliest first.
        attempts: requests already posted for them in this run.
    """

    visits: PersonDay
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that this run, and no other, may post now.

    Attributes:
        outbox_ids: the rows it stands for, in the order of ``visits``; the first leads.
        number: how often the leading row was claimed, this time included.
        visits: what the message tells, earliest first, as re-read in the claiming transaction.
        phone: where it goes.
        message: what is sent.
        send_before: no attempt starts at or after this instant.
        claimed_s: the clock's monotonic seconds before the claim was made.
        attempts: requests already posted for it in this run.
    """

    outbox_ids: tuple[int, ...]
    number: int
    visits: PersonDay
    phone: Phone
    message: Message
    send_before: datetime
    claimed_s: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims, and when: what a claiming transaction takes from its run.

    Attributes:
        run_id: this process, and no other.
        lease: how long its claims hold, should it die.
        resend_unknown: send a message of an earlier run that may not have arrived once more.
        now: aware UTC.
        now_s: the same on the clock's monotonic seconds.
        in_flight: rows whose message this process is sending, or whose outcome it has not
            recorded yet: its dispatcher knows them, the rows do not tell.
    """

    run_id: str
    lease: timedelta
    resend_unknown: bool
    now: datetime
    now_s: float
    in_flight: frozenset[int] = frozenset()

    @classmethod
    def of(cls, run: Run, in_flight: Iterable[int] = ()) -> "Claimant":
        """Return the run as a claimant at this moment."""
        return cls(
            run_id=run.id,
            lease=run.settings.claim_lease,
            resend_unknown=run.settings.on_unknown == "resend",
            now=run.clock.now(),
            now_s=run.clock.monotonic(),
            in_flight=frozenset(in_flight),
        )


@dataclass(slots=True)
class Claimed:
    """What one claiming transaction brought: claims to send, and outcomes of other visits."""

    claims: list[Claim] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def skip(self, visits: Iterable[Appointment], reason: Reason) -> None:
        """Report visits that are rightly not messaged."""
        self.outcomes.extend(Outcome(a.id, Result.SKIPPED, reason) for a in visits)


class _Obtained(NamedTuple):
    """A row that is this run's now, and how often it was claimed."""

    row_id: int
    number: int


@dataclass(slots=True)
class _Group:
    """Visits that go into one message, and by which rows."""

    address: Phone | Unsendable
    attempts: int
    visits: list[tuple[Appointment, Decision]] = field(default_factory=list)


def claim(
    connection: Connection,
    source: Source,
    sender: Sender,
    batch: Sequence[Pending],
    claimant: Claimant,
) -> Claimed:
    """Claim what may still be sent of ``batch``, in the caller's transaction.

    Status, start and phone are read again; a row appears by ``INSERT … ON CONFLICT DO NOTHING``
    or changes by an UPDATE that names the state it was seen in, so of any number of runs at
    once exactly one obtains it. Two appointments that are one visit to their patient take turns
    under a lock on the phone. A follower is claimed without its leader only when somebody
    else has the leader, or the leader needs no message.

    Raises:
        sqlalchemy.exc.DBAPIError: nothing was claimed; the caller's transaction is lost.
    """
    claimed = Claimed()
    groups = list(_groups(connection, source, sender, batch, claimant, claimed))
    obtained = _obtain(connection, source, sender, groups, claimant)
    for group in groups:
        ours = [visit for visit, _ in group.visits if visit.id in obtained]
        others = [visit for visit, _ in group.visits if visit.id not in obtained]
        claimed.skip(others, Reason.BEING_SENT_ELSEWHERE)
        if isinstance(group.address, Unsendable):
            reason = group.address.reason
            claimed.outcomes.extend(Outcome(visit.id, Result.FAILED, reason) for visit in ours)
        elif ours:
            leader, *followers = ids = tuple(obtained[visit.id].row_id for visit in ours)
            if followers:
                followed = update(outbox).where(outbox.c.id.in_(followers))
                connection.execute(followed.values(leader_id=leader))
            message = sender.write(ours)
            if others:  # about fewer visits it may be another template's
                told = update(outbox).where(outbox.c.id.in_(ids))
                connection.execute(told.values(template=message.template))
            claimed.claims.append(
                Claim(
                    outbox_ids=ids,
                    number=obtained[ours[0].id].number,
                    visits=tuple(ours),
                    phone=group.address,
                    message=message,
                    send_before=min(source.send_before(visit, claimant.now) for visit in ours),
                    claimed_s=claimant.now_s,
                    attempts=group.attempts,
                )
            )
    return claimed


def judge(
    source: Source,
    sender: Sender,
    read: Appointment,
    visit: Appointment | None,
    known: Known,
    claimant: Claimant,
) -> Decision:
    """Return whether a message about one visit may be claimed, and by which row.

    Args:
        source: the kind of message, and its rules.
        sender: tells where the message would go.
        read: the visit as it was when it was found due.
        visit: the same as it is now; None when it is gone.
        known: what else the database knows.
        claimant: who asks, and when.
    """
    if visit is None:
        return Decision(Reason.NO_LONGER_OPEN)
    phone = _phone_key(visit, sender.address(visit))
    decision = decide(
        known.rows.get(visit.id, ()),
        Intent(visit.start, visit.patient_id, phone, to_patient=source.to_patient),
        run_id=claimant.run_id,
        in_flight=claimant.in_flight,
        resend_unknown=claimant.resend_unknown,
    )
    if decision.reason is Reason.BEING_SENT_ELSEWHERE:
        return decision
    if (twin := known.twins.get(visit.id)) is not None:
        rows = known.rows.get(visit.id, ())
        return Decision(_TOLD_BY_TWIN[twin.state], useless=tuple(row.id for row in rows))
    if decision.reason is not None:
        return decision
    if _day(visit) != _day(read):
        return replace(decision, reason=Reason.MOVED)
    reason = source.refusal(visit, claimant.now) or known.vetoes.get(visit.id)
    return replace(decision, reason=reason)


def _groups(
    connection: Connection,
    source: Source,
    sender: Sender,
    batch: Sequence[Pending],
    claimant: Claimant,
    claimed: Claimed,
) -> Iterator[_Group]:
    """Yield what is still due, read again and grouped by where it goes."""
    read_visits = {visit.id: visit for pending in batch for visit in pending.visits}
    current = source.reread(connection, read_visits.keys())
    # No unique key forbids a second message by another appointment that is the same visit.
    addresses = {sender.address(visit) for visit in current.values()}
    phones = {address.canonical for address in addresses if isinstance(address, Phone)}
    lock_names(connection, {f"{source.kind} {phone}" for phone in phones})
    known = look_up(connection, source, sender, current.values())
    useless: set[int] = set()
    seen: set[int] = set()
    for pending in batch:
        # Visits read as one person's are separated where a phone was changed meanwhile.
        groups: dict[str, _Group] = {}
        for read in pending.visits:
            if read.id in seen:  # listed again, as it was moved while the pages were read
                claimed.skip([read], Reason.BEING_SENT_ELSEWHERE)
                continue
            seen.add(read.id)
            visit = current.get(read.id)
            decision = judge(source, sender, read, visit, known, claimant)
            useless.update(decision.useless)
            if visit is None or decision.reason is not None:
                claimed.skip([read], decision.reason or Reason.NO_LONGER_OPEN)
                if decision.reason in _OUTDATED:
                    useless.update(row.id for row in known.rows.get(read.id, ()))
                continue
            address = sender.address(visit)
            where = address.canonical if isinstance(address, Phone) else address.reason
            group = groups.setdefault(where, _Group(address, pending.attempts))
            group.visits.append((visit, decision))
        yield from groups.values()
    _follow(connection, source, current, known, claimant)
    if useless:
        connection.execute(
            update(outbox)
            .where(outbox.c.id.in_(sorted(useless)), outbox.c.state == State.RETRY)
            .values(state=State.EXPIRED, run_id=claimant.run_id, updated_at=claimant.now)
        )


def _follow(
    connection: Connection,
    source: Source,
    current: Mapping[int, Appointment],
    known: Known,
    claimant: Claimant,
) -> None:
    """Make visits that another appointment's row told follow it, so that answers find them."""
    rows = [
        {
            "appointment_id": visit_id,
            "kind": source.kind,
            "turn": max((row.turn for row in known.rows.get(visit_id, ())), default=0) + 1,
            "start": told.start,
            "leader_id": told.leader_id or told.id,
            "patient_id": current[visit_id].patient_id,
            "phone": told.phone,
            "state": told.state,
            "run_id": claimant.run_id,
            "appointment_status": current[visit_id].status,
            "template": told.template,
            "created_at": claimant.now,
            "updated_at": claimant.now,
            "sent_at": told.sent_at,
        }
        for visit_id, told in sorted(known.twins.items())
        if _TOLD_BY_TWIN[told.state] is Reason.ALREADY_TOLD
    ]
    if rows:
        connection.execute(_insertion(connection.dialect.name), rows)


def _obtain(
    connection: Connection,
    source: Source,
    sender: Sender,
    groups: Iterable[_Group],
    claimant: Claimant,
) -> dict[int, _Obtained]:
    """Insert or re-claim the rows of all groups; return what was obtained by appointment id.

    Rows are touched in one order by everyone (old ones by id, new ones by appointment), so
    that two runs never deadlock.
    """
    obtained: dict[int, _Obtained] = {}
    old: list[tuple[Row, dict[str, Any]]] = []
    new: list[dict[str, Any]] = []
    for group in groups:
        is_sent = isinstance(group.address, Phone)
        visits = [visit for visit, _ in group.visits]
        template = sender.write(visits).template if is_sent else None
        for visit, decision in group.visits:
            values = {**_values(source, group, visit, claimant), "template": template}
            if decision.row is None:
                new.append({**values, "turn": decision.turn, "created_at": claimant.now})
            else:
                old.append((decision.row, values))
    dialect, lease = connection.dialect.name, claimant.lease
    for row, values in sorted(old, key=lambda one: one[0].id):
        seen = (
            outbox.c.id == row.id,
            outbox.c.state == row.state,
            outbox.c.run_id == row.run_id,
            outbox.c.claims == row.claims,
        )
        again = {
            **values,
            **_from_now(dialect, lease),
            "claims": row.claims + 1,
            "resends": row.resends + (row.state is State.UNKNOWN),
            # Of the last try, whose statuses must not be taken for this one's.
            "message_id": None,
            "error_code": None,
            "leader_id": None,
        }
        if connection.execute(update(outbox).where(*seen).values(again)).rowcount == 1:
            obtained[values["appointment_id"]] = _Obtained(row.id, row.claims + 1)
    if new:
        made = connection.execute(
            _claiming(dialect, lease), sorted(new, key=lambda values: values["appointment_id"])
        )
        obtained.update((row.appointment_id, _Obtained(row.id, 1)) for row in made.all())
    return obtained


@cache
def _claiming(dialect: str, lease: timedelta) -> Any:
    made = _insertion(dialect).values(_from_now(dialect, lease))
    return made.returning(outbox.c.appointment_id, outbox.c.id)


def _from_now(dialect: str, lease: timedelta) -> dict[str, Any]:
    return {
        "claimed_at": now_plus(dialect, 0),
        "lease_until": now_plus(dialect, lease.total_seconds()),
    }


def _insertion(dialect: str) -> Any:
    return insert_once(dialect, outbox, key=["appointment_id", "kind", "turn"])


def _values(
    source: Source, group: _Group, visit: Appointment, claimant: Claimant
) -> dict[str, Any]:
    failed = isinstance(group.address, Unsendable)
    return {
        "appointment_id": visit.id,
        "kind": source.kind,
        "start": visit.start,
        "patient_id": visit.patient_id,
        "phone": _phone_key(visit, group.address),
        "state": State.FAILED if failed else State.CLAIMED,
        "run_id": claimant.run_id,
        "send_before": source.send_before(visit, claimant.now),
        "appointment_status": visit.status,
        "error": group.address.reason if isinstance(group.address, Unsendable) else None,
        "updated_at": claimant.now,
    }


def _day(visit: Appointment) -> date | None:
    return visit.start.date() if visit.start else None


def _phone_key(visit: Appointment, address: Phone | Unsendable) -> str:
    """Return the phone as a row keeps it; only an erased one is NULL there."""
    if isinstance(address, Phone):
        return address.canonical
    return visit.phone.replace("\0", "")[:64] if visit.phone else ""
