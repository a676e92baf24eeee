"""Recording: what became of a claim, written down with its interaction in one transaction."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, assert_never

from sqlalchemy import ColumnElement, Connection, bindparam, case, literal_column, null, update

from smartia_jobs.batch import Batch
from smartia_jobs.database import insert_once
from smartia_jobs.message import Answer, SentMessage, Verdict
from smartia_jobs.outbox.claims import Claim
from smartia_jobs.outbox.errand import Errand
from smartia_jobs.outbox.states import State
from smartia_jobs.outbox.tables import opt_outs, outbox

#: States in which the owner of a claim may still write its outcome: its own claim, one that
#: recovery took for lost, and one that it put back itself.
_OWN: list[ColumnElement[str]] = [
    literal_column(f"'{state}'") for state in (State.CLAIMED, State.UNKNOWN, State.RETRY)
]


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


def record(
    connection: Connection,
    errand: Errand,
    finished: Sequence[Finished],
    *,
    run_id: str,
    interactions: bool = True,
) -> None:
    """Write outcomes and their interactions in the caller's transaction.

    Only rows that this run still owns are changed, so a slow owner never overwrites what a
    person or another run has settled since.
    """
    if not finished:
        return
    rows = [row for one in finished for row in _rows(one)]
    while rows:
        # A statement changes a row once, and a request error may have been heard together with
        # what acquits it. In one order, so that two processes hardly wait for each other in a
        # circle (they share rows only when a lease has ended); a database ends one, which retries.
        firsts: dict[int, Mapping[str, Any]] = {}
        rows = [row for row in rows if firsts.setdefault(row["id"], row) is not row]
        _write(connection, [firsts[outbox_id] for outbox_id in sorted(firsts)], run_id)
    refused = {one.claim.phone.canonical: one for one in finished if _opts_out(one)}
    if refused:
        _record_opt_outs(connection, [refused[phone] for phone in sorted(refused)])
    if interactions:
        sent = [_sent_message(one) for one in finished if one.state is State.SENT]
        errand.calendar.write_interactions(connection, sent)


def give_back_own(
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
            outbox.c.state == str(State.CLAIMED),
            outbox.c.id.not_in(sorted(in_flight)),
        )
        .values(state=str(State.RETRY), lease_until=null(), updated_at=at)
    )


def record_alone(
    connection: Connection, errand: Errand, one: Finished, *, run_id: str, interaction: bool
) -> None:
    """Write one outcome that may have been committed before the database fell silent.

    What stands there already is left alone, its interaction included.
    """
    leader, *followers = _rows(one)
    changed = _write(connection, [leader], run_id)
    if changed and interaction and one.state is State.SENT:
        errand.calendar.write_interactions(connection, [_sent_message(one)])
    _write(connection, followers, run_id)
    if _opts_out(one):
        _record_opt_outs(connection, [one])


def _write(connection: Connection, rows: Sequence[Mapping[str, Any]], run_id: str) -> int:
    """Write outcomes; return how many of them, as the rows were still this run's to change."""
    if not rows:
        return 0
    dialect = connection.dialect.name
    values = {**_outcomes(dialect).parameters(rows), "of_run": run_id}
    return connection.execute(_update(dialect), values).rowcount


@cache
def _outcomes(dialect: str) -> Batch:
    return Batch.of(
        dialect,
        outbox.c.id,
        outbox.c.state,
        outbox.c.attempts,
        outbox.c.message_id,
        outbox.c.wa_id,
        outbox.c.held,
        outbox.c.error_code,
        outbox.c.error,
        outbox.c.sent_at,
        outbox.c.updated_at,
    )


@cache
def _update(dialect: str) -> Any:
    new = _outcomes(dialect).table.c
    # Without a lease, the request was counted when it ended.
    posted = case((outbox.c.lease_until.is_not(None), new.attempts), else_=literal_column("0"))
    # Nothing that WhatsApp answered comes back to a person who was erased meanwhile.
    known = outbox.c.phone.is_not(None)
    return (
        update(outbox)
        .where(
            outbox.c.id == new.id,
            outbox.c.run_id == bindparam("of_run"),
            outbox.c.state.in_(_OWN),
        )
        .values(
            state=new.state,
            attempts=outbox.c.attempts + posted,
            message_id=case((known, new.message_id)),
            wa_id=case((known, new.wa_id)),
            held=new.held,
            error_code=new.error_code,
            error=new.error,
            sent_at=new.sent_at,
            updated_at=new.updated_at,
            lease_until=null(),
        )
    )


def _rows(one: Finished) -> list[Mapping[str, Any]]:
    """Return what becomes of a claim's rows, the leader's first."""
    answer = one.answer or Answer(Verdict.RETRY, "given back before it was posted")
    sent = one.state is State.SENT
    values = {
        "state": str(one.state),
        "attempts": int(one.started_s is not None),
        "message_id": answer.message_id,
        "wa_id": answer.wa_id,
        "held": answer.held,
        "error_code": answer.code,
        "error": None if sent else answer.reason[:500],
        "sent_at": one.finished_at if sent else None,
        "updated_at": one.finished_at,
    }
    return [{"id": outbox_id, **values} for outbox_id in one.claim.outbox_ids]


def _sent_message(one: Finished) -> SentMessage:
    leader = one.claim.visits[0]
    return SentMessage(
        patient_id=leader.patient_id,
        conversations=one.claim.conversations,
        text=one.claim.message.text,
        message_id=one.answer.message_id if one.answer else None,
        sent_at=one.finished_at,
    )


def _opts_out(one: Finished) -> bool:
    return one.answer is not None and one.answer.opt_out


def _record_opt_outs(connection: Connection, refused: Iterable[Finished]) -> None:
    connection.execute(
        insert_once(connection.dialect.name, opt_outs, key=["phone"]),
        [
            {
                "phone": one.claim.phone.canonical,
                "source": "whatsapp",
                "created_at": one.finished_at,
            }
            for one in refused
        ],
    )
