"""Recording: what became of a claim, written down with its interaction in one transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, case, literal_column, null, update

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
    """

    claim: Claim
    answer: Answer | None
    state: State
    finished_at: datetime
    finished_s: float
    started_s: float | None = None


#: What an answer makes of the rows it is about.
STATE_AFTER = {
    Verdict.SENT: State.SENT,
    Verdict.GIVE_UP: State.FAILED,
    # Until its fellows show whether the request or the patient is at fault.
    Verdict.BAD_REQUEST: State.RETRY,
    Verdict.RETRY: State.RETRY,
    Verdict.SLOW_DOWN: State.RETRY,
    Verdict.SLOW_DOWN_RECIPIENT: State.RETRY,
    Verdict.STOP: State.RETRY,
    Verdict.UNKNOWN: State.UNKNOWN,
}


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
    # In one order everywhere, so that two processes never wait for each other in a circle.
    values = sorted(
        (row for one in finished for row in _values(one)), key=lambda row: int(row["outbox_id"])
    )
    connection.execute(_update(run_id), values)
    refused = {one.claim.phone.canonical: one for one in finished if _opts_out(one)}
    if refused:
        _record_opt_outs(connection, [refused[phone] for phone in sorted(refused)])
    if interactions:
        sent = [_sent_message(one) for one in finished if one.state is State.SENT]
        errand.calendar.write_interactions(connection, sent)


def give_back_own(connection: Connection, *, run_id: str, at: datetime) -> None:
    """Return every claim of this run that was surely never posted to ``retry``."""
    connection.execute(
        update(outbox)
        .where(outbox.c.run_id == run_id, outbox.c.state == str(State.CLAIMED))
        .values(state=str(State.RETRY), lease_until=None, updated_at=at)
    )


def record_alone(
    connection: Connection, errand: Errand, one: Finished, *, run_id: str, interaction: bool
) -> None:
    """Write one outcome that may have been committed before the database fell silent.

    What stands there already is left alone, its interaction included.
    """
    for first, values in zip(
        [True] + [False] * len(one.claim.outbox_ids), _values(one), strict=False
    ):
        changed = connection.execute(_update(run_id), values).rowcount
        if first and changed and interaction and one.state is State.SENT:
            errand.calendar.write_interactions(connection, [_sent_message(one)])
    if _opts_out(one):
        _record_opt_outs(connection, [one])


@lru_cache(maxsize=1)
def _update(run_id: str) -> Any:
    return (
        update(outbox)
        .where(
            outbox.c.id == bindparam("outbox_id"),
            outbox.c.run_id == run_id,
            outbox.c.state.in_(_OWN),
        )
        .values(
            state=bindparam("new_state"),
            # Without a lease, the request was counted when it ended.
            attempts=outbox.c.attempts
            + case(
                (outbox.c.lease_until.is_not(None), bindparam("posted")), else_=literal_column("0")
            ),
            message_id=_unless_erased("message_id"),
            wa_id=_unless_erased("wa_id"),
            held=bindparam("new_held"),
            error_code=bindparam("new_error_code"),
            error=bindparam("new_error"),
            sent_at=bindparam("new_sent_at"),
            updated_at=bindparam("now"),
            lease_until=null(),
        )
    )


def _unless_erased(name: str) -> ColumnElement[str | None]:
    """Return WhatsApp's id as it was answered; none for a person who was erased meanwhile."""
    answered = bindparam(f"new_{name}", type_=outbox.c[name].type)
    return case((outbox.c.phone.is_not(None), answered), else_=None)


def _values(one: Finished) -> list[dict[str, Any]]:
    answer = one.answer or Answer(Verdict.RETRY, "given back before it was posted")
    sent = one.state is State.SENT
    common = {
        "new_state": str(one.state),
        "posted": int(one.started_s is not None),
        "new_message_id": answer.message_id,
        "new_wa_id": answer.wa_id,
        "new_held": answer.held,
        "new_error_code": answer.code,
        "new_error": None if sent else answer.reason[:500],
        "new_sent_at": one.finished_at if sent else None,
        "now": one.finished_at,
    }
    return [{"outbox_id": outbox_id, **common} for outbox_id in one.claim.outbox_ids]


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
