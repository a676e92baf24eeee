"""Recording: what became of a claim, written down with its interaction in one transaction."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, assert_never

from sqlalchemy import Boolean, Connection, Update, and_, bindparam, case, null, or_, update

from smartia_jobs.message import Answer, SentMessage, Verdict
from smartia_jobs.outbox.claims import Claim
from smartia_jobs.store.opt_outs import add_from_whatsapp
from smartia_jobs.store.states import State
from smartia_jobs.store.tables import outbox

#: States in which the owner of a claim may still write its outcome: its own claim, one that
#: recovery took for lost, and one that it put back itself.
_OWN = (State.CLAIMED, State.UNKNOWN, State.RETRY)

#: After this many request errors in a row the fault lies with this patient's data, once other
#: messages have shown that WhatsApp can read such a request.
_REQUEST_ERRORS = 2


@dataclass(frozen=True, slots=True)
class Finished:
    """A claim that is no longer being sent.

    Attributes:
        claim: which.
        answer: what WhatsApp answered; None when it was given back without being posted.
        state: what the rows become.
        finished_at: when, aware UTC.
        finished_s: the same on the clock's monotonic seconds.
        started_s: when the request began, likewise; None when it never did.
        is_bug: this program failed, not WhatsApp: the run ends.
    """

    claim: Claim
    answer: Answer | None
    state: State
    finished_at: datetime
    finished_s: float
    started_s: float | None = None
    is_bug: bool = False

    @property
    def is_request_error(self) -> bool:
        """Whether WhatsApp could not read the request; other messages show whose fault that is."""
        return self.answer is not None and self.answer.verdict is Verdict.BAD_REQUEST


def state_after(verdict: Verdict) -> State:
    """Return what an answer makes of the rows it is about."""
    match verdict:
        case Verdict.SENT:
            return State.SENT
        case Verdict.GIVE_UP:
            return State.FAILED
        case Verdict.UNKNOWN:
            return State.UNKNOWN
        case (
            Verdict.BAD_REQUEST  # until others show whether the request or the patient is at fault
            | Verdict.RETRY
            | Verdict.SLOW_DOWN
            | Verdict.SLOW_DOWN_RECIPIENT
            | Verdict.STOP
        ):
            return State.RETRY
        case _:
            assert_never(verdict)


def record(connection: Connection, finished: Sequence[Finished], *, run_id: str) -> None:
    """Write outcomes in the caller's transaction.

    Only rows that this run still owns are changed, so a slow owner never overwrites what a
    person or another run has settled since.
    """
    # In one order, so that two processes hardly ever deadlock (they share rows only when a lease
    # has ended); the database ends one of them, which tries again.
    rows = [row for one in finished for row in _rows(one)]
    _write(connection, sorted(rows, key=lambda row: row["row_id"]), run_id)
    _record_opt_outs(connection, finished)


def record_alone(connection: Connection, one: Finished, *, run_id: str) -> bool:
    """Write one outcome that may have been committed before the connection was lost.

    Returns:
        whether it was written now: otherwise it was already there, its interaction included, or
        somebody has settled it since.
    """
    leader, *followers = _rows(one)
    is_new = _write(connection, [leader], run_id) > 0
    _write(connection, followers, run_id)
    _record_opt_outs(connection, [one])
    return is_new


def release_claims(
    connection: Connection, *, run_id: str, in_flight: Collection[int], at: datetime
) -> None:
    """Return every claim of this run that was surely never posted to ``retry``.

    Args:
        connection: inside a writing transaction.
        run_id: this process.
        in_flight: rows that it is sending, or whose outcome it has not recorded.
        at: now.
    """
    connection.execute(
        update(outbox)
        .where(
            outbox.c.run_id == run_id,
            outbox.c.state == State.CLAIMED,
            outbox.c.id.not_in(sorted(in_flight)),
        )
        .values(state=State.RETRY, lease_until=null(), updated_at=at)
    )


def fail_request_errors(
    connection: Connection, refused: Iterable[Finished], *, run_id: str, at: datetime
) -> set[int]:
    """Fail those of a run's request errors that had one before; return their outbox ids.

    Args:
        connection: inside a writing transaction.
        refused: what WhatsApp could not read in this run, of templates that it could read in
            other messages; recorded as ``retry``.
        run_id: this process: a row that somebody else has taken since is theirs.
        at: now.
    """
    ids = sorted(outbox_id for one in refused for outbox_id in one.claim.outbox_ids)
    failed = connection.execute(
        update(outbox)
        .where(
            outbox.c.id.in_(ids),
            outbox.c.run_id == run_id,
            outbox.c.state == State.RETRY,
            outbox.c.request_errors >= _REQUEST_ERRORS,
        )
        .values(state=State.FAILED, updated_at=at)
        .returning(outbox.c.id)
    )
    return set(failed.scalars())


def sent_message(one: Finished) -> SentMessage:
    """Return what SmartIA's ``interactions`` remember of an accepted message."""
    return SentMessage(
        patient_id=one.claim.visits[0].patient_id,
        text=one.claim.message.text,
        message_id=one.answer.message_id if one.answer else None,
        sent_at=one.finished_at,
    )


def _write(connection: Connection, rows: Sequence[Mapping[str, Any]], run_id: str) -> int:
    """Write outcomes; return how many of them, as the rows were still this run's to change."""
    if not rows:
        return 0
    return connection.execute(_outcome(), [{**row, "owner": run_id} for row in rows]).rowcount


@cache
def _outcome() -> Update:
    # Without a lease the request was counted already, by whoever ended the lease.
    leased = outbox.c.lease_until.is_not(None)
    posted = bindparam("posted", type_=outbox.c.attempts.type)
    errors = outbox.c.request_errors + 1
    wamid = bindparam("wamid", type_=outbox.c.message_id.type)
    return (
        update(outbox)
        .where(
            outbox.c.id == bindparam("row_id"),
            outbox.c.run_id == bindparam("owner", type_=outbox.c.run_id.type),
            or_(*(outbox.c.state == state for state in _OWN)),
        )
        .values(
            attempts=case((leased, outbox.c.attempts + posted), else_=outbox.c.attempts),
            # In a row: a claim that was not posted neither counts nor ends the row of errors.
            request_errors=case(
                (and_(leased, bindparam("is_request_error", type_=Boolean)), errors),
                (and_(leased, posted > 0), 0),
                else_=outbox.c.request_errors,
            ),
            # A person who was erased meanwhile gets no id back.
            message_id=case((outbox.c.phone.is_not(None), wamid)),
            lease_until=null(),
        )
    )


def _rows(one: Finished) -> list[Mapping[str, Any]]:
    """Return what becomes of a claim's rows, the leader's first."""
    answer = one.answer or Answer(Verdict.RETRY, "given back before it was posted")
    sent = one.state is State.SENT
    values = {
        "state": one.state,
        "posted": int(one.started_s is not None),
        "is_request_error": one.is_request_error,
        "wamid": answer.message_id,
        "error_code": answer.code,
        "error": None if sent else answer.reason[:500],
        "sent_at": one.finished_at if sent else None,
        "updated_at": one.finished_at,
    }
    return [{"row_id": outbox_id, **values} for outbox_id in one.claim.outbox_ids]


def _record_opt_outs(connection: Connection, finished: Iterable[Finished]) -> None:
    add_from_whatsapp(
        connection,
        {
            one.claim.phone.canonical: one.finished_at
            for one in finished
            if one.answer is not None and one.answer.opt_out
        },
    )
