"""Words back: one short free text per answer, sent through the outbox like every message.

The row is made in the transaction that acts on the answer, under the answer's own key, so that
there is at most one. It waits as ``retry``, is claimed, posted and recorded, and a claim whose
owner died becomes ``unknown``, as always. They go one by one: a clinic has some dozens a day.
"""

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, case, func, select, update
from sqlalchemy.exc import DBAPIError

from smartia_jobs.appointment import Appointment
from smartia_jobs.database import insert_once, now_plus
from smartia_jobs.errors import UnavailableError
from smartia_jobs.kinds import WORDS_BACK
from smartia_jobs.message import Message, Phone, Verdict
from smartia_jobs.outbox.claims import Claim
from smartia_jobs.outbox.dispatcher import DATABASE_RETRY_S, POLL_S, SHUTDOWN_S
from smartia_jobs.outbox.recorder import Recorder
from smartia_jobs.outbox.records import Finished
from smartia_jobs.outbox.sender import Sender
from smartia_jobs.outbox.source import Source
from smartia_jobs.outbox.workers import Gate, Workers
from smartia_jobs.run import Run
from smartia_jobs.store.installation import installation_id
from smartia_jobs.store.states import State
from smartia_jobs.store.tables import outbox

logger = logging.getLogger(__name__)

#: How long after the answer a word back is of use.
USEFUL_FOR = timedelta(hours=2)
#: How long after the answer the patient still looks at the chat, so that quiet hours do not count.
AT_ONCE = timedelta(minutes=15)

#: After these verdicts the next one is tried; after any other the rest waits for the next run.
_GO_ON = frozenset(
    {Verdict.SENT, Verdict.GIVE_UP, Verdict.BAD_REQUEST, Verdict.SLOW_DOWN_RECIPIENT}
)


@dataclass(frozen=True, slots=True)
class Word:
    """A word back that waits.

    Attributes:
        row_id: of the outbox.
        answer_id: the answer that it is about.
        word: which text: ``confirmed``, ``cancelled``, ``passed_on``, ``stopped``.
        appointment_id: a visit of the message that was answered.
        start: what its patient was told, clinic wall time.
        patient_id: who was told.
        phone: canonical; None: erased since.
        claims: how often it was claimed.
        send_before: when it loses its use.
    """

    row_id: int
    answer_id: int
    word: str
    appointment_id: int
    start: datetime
    patient_id: int
    phone: str | None
    claims: int
    send_before: datetime

    @property
    def said_at(self) -> datetime:
        """When the answer was given."""
        return self.send_before - USEFUL_FOR


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent about a word that is still true."""

    phone: Phone
    message: Message
    visit: Appointment


#: Given a word, what to send; None: it is no longer true, or nobody may be written to.
Compose = Callable[[Connection, Word], Reply | None]


def enqueue(
    connection: Connection,
    *,
    answer_id: int,
    word: str,
    appointment_id: int,
    start: datetime,
    patient_id: int,
    phone: str,
    said_at: datetime,
    run_id: str,
    at: datetime,
) -> None:
    """Queue a word back to a patient, in the transaction that acts on their answer.

    Args:
        connection: that transaction.
        answer_id: the answer, which gets at most one word.
        word: which text.
        appointment_id: a visit of the message that was answered.
        start: as its patient was told it, clinic wall time.
        patient_id: whose visit.
        phone: canonical.
        said_at: when the answer was given.
        run_id: who acts.
        at: now.
    """
    turns = select(func.coalesce(func.max(outbox.c.turn), 0) + 1).where(
        outbox.c.appointment_id == appointment_id, outbox.c.kind == WORDS_BACK
    )
    connection.execute(
        insert_once(connection.dialect.name, outbox, key=["answer_id"]).values(
            appointment_id=appointment_id,
            kind=WORDS_BACK,
            turn=connection.execute(turns).scalar_one(),
            start=start,
            answer_id=answer_id,
            patient_id=patient_id,
            phone=phone,
            state=State.RETRY,
            run_id=run_id,
            claims=0,
            send_before=said_at + USEFUL_FOR,
            template=word,
            created_at=at,
            updated_at=at,
        )
    )


def withdraw(
    connection: Connection, appointment_ids: Collection[int], *, run_id: str, at: datetime
) -> None:
    """Expire words that wait about these visits: what they say no longer holds."""
    connection.execute(
        update(outbox)
        .where(
            outbox.c.kind == WORDS_BACK,
            outbox.c.state == State.RETRY,
            outbox.c.appointment_id.in_(sorted(appointment_ids)),
        )
        .values(state=State.EXPIRED, run_id=run_id, updated_at=at)
    )


@dataclass(slots=True)
class WrittenBack:
    """How many words WhatsApp took, and whether a bug ended it."""

    written: int = 0
    is_bug: bool = False


def write_back(
    run: Run,
    source: Source,
    sender: Sender,
    compose: Compose,
    *,
    is_quiet: Callable[[datetime], bool],
) -> WrittenBack:
    """Send the words that wait, one after the other; what cannot be sent now keeps waiting.

    Each is checked again when it is claimed: what is no longer true or of use expires.

    Args:
        run: what to work with; its limit counts.
        source: remembers accepted messages where the clinic reads its dialogues.
        sender: posts.
        compose: says what is sent about a word.
        is_quiet: whether only what was asked for just now may be sent at a moment.

    Raises:
        sqlalchemy.exc.DBAPIError: the database is away, and nothing is being sent.
        UnavailableError: an outcome could not be recorded; the log names it.
    """
    done = WrittenBack()
    gate = Gate()
    workers = Workers(sender, run.clock, stop=run.stop, gate=gate)
    recorder = Recorder(run, source, gate)
    run.stop.on_forced_exit = lambda: recorder.log_unrecorded(workers.uncollected)
    run.stop.is_polled = True
    after, installation = 0, ""
    try:
        while not run.stop.requested and (run.limit is None or done.written < run.limit):
            with run.database.write() as connection:
                claim = _claim_next(connection, run, compose, is_quiet, after=after)
                installation = installation or installation_id(connection)
            if claim is None:
                break
            after = claim.outbox_ids[0]
            workers.submit([claim], installation)
            one = _wait_for_answer(run, workers)
            _record(run, recorder, one)
            done.written += one.state is State.SENT
            done.is_bug = one.is_bug
            if one.answer is not None and one.answer.verdict not in _GO_ON:
                logger.warning(
                    "words back that wait are left to the next run",
                    extra={"ctx": {"code": one.answer.code, "why": one.answer.reason}},
                )
            if one.is_bug or one.answer is None or one.answer.verdict not in _GO_ON:
                break
    finally:
        workers.shut_down()
        recorder.write_interactions(last_try=True)
        run.stop.is_polled = False
    return done


def _claim_next(
    connection: Connection,
    run: Run,
    compose: Compose,
    is_quiet: Callable[[datetime], bool],
    *,
    after: int,
) -> Claim | None:
    """Claim the next word that is still of use and true; expire the others."""
    now, now_s = run.clock.now(), run.clock.monotonic()
    for word in _waiting(connection, after):
        if now >= word.send_before:
            _expire(connection, run, word, now)
            continue
        if now - word.said_at >= AT_ONCE and is_quiet(now):
            continue
        reply = compose(connection, word)
        if reply is None:
            _expire(connection, run, word, now)
        elif _claim(connection, run, word, now):
            return Claim(
                outbox_ids=(word.row_id,),
                number=word.claims + 1,
                visits=(reply.visit,),
                phone=reply.phone,
                message=reply.message,
                send_before=word.send_before,
                claimed_s=now_s,
                attempts=0,
            )
    return None


def _waiting(connection: Connection, after: int) -> Sequence[Word]:
    query = (
        select(outbox)
        .where(outbox.c.kind == WORDS_BACK, outbox.c.state == State.RETRY, outbox.c.id > after)
        .order_by(outbox.c.id)
    )
    return [
        Word(
            row_id=row.id,
            answer_id=row.answer_id,
            word=row.template,
            appointment_id=row.appointment_id,
            start=row.start,
            patient_id=row.patient_id,
            phone=row.phone,
            claims=row.claims,
            send_before=row.send_before,
        )
        for row in connection.execute(query)
    ]


def _claim(connection: Connection, run: Run, word: Word, now: datetime) -> bool:
    """Claim a waiting word, unless another process was faster."""
    claimed = connection.execute(
        update(outbox)
        .where(
            outbox.c.id == word.row_id,
            outbox.c.state == State.RETRY,
            outbox.c.claims == word.claims,
        )
        .values(
            state=State.CLAIMED,
            run_id=run.id,
            claims=word.claims + 1,
            claimed_at=now_plus(connection, 0),
            lease_until=now_plus(connection, run.settings.claim_lease.total_seconds()),
            # Of the last try, whose statuses must not be taken for this one's.
            message_id=None,
            error_code=None,
            error=None,
            updated_at=now,
        )
    )
    return claimed.rowcount == 1


def _expire(connection: Connection, run: Run, word: Word, now: datetime) -> None:
    # One that WhatsApp took, and gave up for reasons of its own, was sent.
    was_sent = outbox.c.sent_at.is_not(None)
    connection.execute(
        update(outbox)
        .where(outbox.c.id == word.row_id, outbox.c.state == State.RETRY)
        .values(
            state=case((was_sent, str(State.UNDELIVERED)), else_=str(State.EXPIRED)),
            run_id=run.id,
            updated_at=now,
        )
    )


def _wait_for_answer(run: Run, workers: Workers) -> Finished:
    """Wait for the one request in flight, and only for seconds once the run was asked to end."""
    leave_at_s: float | None = None
    while not (finished := workers.collect(POLL_S)):
        if run.stop.requested:
            now_s = run.clock.monotonic()
            leave_at_s = now_s + SHUTDOWN_S if leave_at_s is None else leave_at_s
            if now_s >= leave_at_s:
                finished = workers.abandon()
                break
    (one,) = finished
    if one.is_request_error:
        # No other message shows whose fault it is, and it is of use for at most two hours.
        one = replace(one, state=State.FAILED)
    return one


def _record(run: Run, recorder: Recorder, one: Finished) -> None:
    """Record what became of a word, although the database may be busy or away for a while."""
    recorder.take([one])
    while recorder.waiting and not recorder.has_given_up:
        try:
            for written in recorder.write_one_by_one():
                recorder.log(written)
        except DBAPIError as error:
            recorder.on_failure(error)
            logger.warning("a word back could not be recorded; trying again")
            run.clock.wait(threading.Event(), DATABASE_RETRY_S)
    if recorder.waiting or recorder.refused:
        recorder.log_unrecorded()
        raise UnavailableError(
            "What became of a word back could not be recorded: the log names it. It becomes unknown"
            " and is not sent again."
        )
