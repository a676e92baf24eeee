"""Delivering: many messages at once, paced, stoppable, each outcome committed as it comes.

One turn of the loop is one short transaction: it records what has finished and claims for
the workers that are idle. The transaction is never open while the network is used.
"""

import logging
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count

from sqlalchemy.exc import DBAPIError

from smartia_jobs.database import is_transient
from smartia_jobs.errors import ExitStatus, InterruptedRunError
from smartia_jobs.logs import lines_together
from smartia_jobs.message import Verdict
from smartia_jobs.outbox.brakes import LONGEST_WAIT_S, Brakes, End
from smartia_jobs.outbox.claims import Claim, Claimant, Claimed, Pending, claim
from smartia_jobs.outbox.errand import Errand
from smartia_jobs.outbox.feed import Feed
from smartia_jobs.outbox.ledger import Ledger
from smartia_jobs.outbox.records import Finished, give_back_own, record
from smartia_jobs.outbox.states import State
from smartia_jobs.outbox.suspects import Suspects
from smartia_jobs.outbox.workers import Gate, Workers
from smartia_jobs.report import Outcome, Result
from smartia_jobs.run import Run

logger = logging.getLogger(__name__)

#: Claims are made for the starts of the next half second, no further ahead.
HORIZON_S = 0.5
#: How long a turn waits for something to happen before it looks around again.
LOOK_AROUND_S = 0.5
#: How long a database that failed is left alone before the next try.
DATABASE_REST_S = 0.5
#: How long requests in flight may still answer after the run was asked to end.
LAST_ANSWERS_S = 8.0
#: Requests end in flocks; so long after one, no more of its flock are expected.
FLOCK_S = 0.001
#: After so long without an answer, none is expected soon.
QUIET_S = 0.008
#: Outcomes of fewer than one in so many workers wait for others, the first so long at most.
FEW = 16
COMPANY_S = 0.05
#: For so many a transaction is worth its cost, and nobody waits for more (docs/benchmarks.md).
ENOUGH = 12


class Dispatch:
    """One run's delivery of one errand; iterate over :meth:`outcomes` once.

    Attributes:
        end: why it ended before its work did; None when it did not.
    """

    def __init__(self, run: Run, errand: Errand) -> None:
        """Prepare; nothing is read, claimed or sent yet."""
        self._run = run
        self._errand = errand
        self._clock = run.clock
        self._brakes = Brakes()
        gate = Gate()
        self._ledger = Ledger(run, errand, gate)
        self._workers = Workers(errand.workers, errand.courier, run.clock, stop=run.stop, gate=gate)
        self._feed = Feed(run, errand)
        self._waiting: list[tuple[float, int, Pending]] = []
        self._order = count()
        self._suspects = Suspects()
        self._accepted = 0
        #: Never set: not the signal's, whose handler runs in this very thread, and to set an
        #: event takes the lock that a beginning wait holds for a moment.
        self._nothing = threading.Event()
        #: When a page may be read ahead again, after one could not be.
        self._no_reading_before_s = 0.0
        self._outcomes: deque[Outcome] = deque()

    @property
    def end(self) -> End | None:
        """Why the run ended before its work did."""
        return self._brakes.end

    def outcomes(self) -> Iterator[Outcome]:
        """Send what is due and yield what became of each appointment, once each.

        An outcome is yielded only after it was committed. From here on a signal is a wish,
        not an exception.
        """
        self._run.stop.last_words = self._ledger.log_unrecorded
        self._run.stop.heeded = True
        try:
            yield from self._fly()
            self._land()
        except BaseException:
            self._ledger.log_unrecorded()  # a bug: say at least what it leaves behind
            raise
        yield from self._drain()
        yield from self._leave_the_rest()

    def _fly(self) -> Iterator[Outcome]:
        try:
            while not self._done():
                self._hear(self._await_news())
                self._rest()
                self._turn()
                yield from self._drain()
        except InterruptedRunError:
            raise  # somebody who does not want to wait
        except Exception:
            self._land()  # the database refuses, or a bug: what was posted is still written down
            raise

    def _await_news(self) -> Sequence[Finished]:
        """Return what has finished; while nothing does, there is time to read on."""
        patience_s = self._patience()
        if self._may_read_on():
            patience_s = min(QUIET_S, patience_s)
        news = self._workers.collect(patience_s)
        if not news and self._may_read_on():
            self._read_on()
            news = self._workers.collect(self._patience())
        return news

    def _may_read_on(self) -> bool:
        if self._ledger.waiting or not self._workers.in_flight or self._run.stop.requested:
            return False
        if self._clock.monotonic() < self._no_reading_before_s:
            return False
        return self._feed.is_low(self._workers.count)

    def _read_on(self) -> None:
        try:
            self._feed.read_on()
        except DBAPIError:  # the turn that needs the page reads it, or raises this again
            self._no_reading_before_s = self._clock.monotonic() + DATABASE_REST_S
            logger.warning("the next page could not be read ahead; it is read when it is needed")

    def _rest(self) -> None:
        """Let more requests end, so that the next transaction serves them together.

        A transaction costs as much as several messages do. It is held back while more of them
        come, and very few of them wait for others. Where all requests take equally long, those
        whom one transaction sent off end together again: nobody stays alone for the whole run.
        """
        while 0 < len(self._ledger.waiting) < ENOUGH and self._workers.in_flight:
            self._clock.wait(self._nothing, FLOCK_S)
            more = self._workers.collect(0.0) or self._workers.collect(self._company_s())
            if not more:
                return
            self._hear(more)

    def _company_s(self) -> float:
        """Return how long outcomes may wait for others, in seconds.

        0 when they are not so few, or have waited long enough.
        """
        waiting = self._ledger.waiting
        if len(waiting) * FEW >= self._workers.count:
            return 0.0
        return max(0.0, waiting[0].finished_s + COMPANY_S - self._clock.monotonic())

    def _turn(self) -> None:
        """Record what has finished and claim for who is idle, in one transaction."""
        if self._ledger.hopeless:
            self._brakes.stop("the database cannot be reached", ExitStatus.UNAVAILABLE)
            return
        batch: list[Pending] = []
        try:
            if self._ledger.doubtful:
                self._settle(self._ledger.write_one_by_one())
            batch = self._next_batch()
            if not batch and not self._ledger.waiting:
                return
            claimed = self._commit(batch)
        except DBAPIError as error:
            self._take_back(batch)
            if not is_transient(error) and not self._ledger.waiting:
                raise
            self._ledger.failed()
            logger.warning("the database did not take a turn; trying again")
            self._clock.wait(self._nothing, DATABASE_REST_S)
            return
        if claimed.claims:
            self._brakes.claimed()
            self._workers.give(claimed.claims)
        with lines_together():
            self._settle(self._ledger.written())
        self._outcomes.extend(claimed.outcomes)

    def _commit(self, batch: Sequence[Pending]) -> Claimed:
        claimant = Claimant.of(self._run, self._in_flight())
        with self._run.database.write() as connection:
            record(connection, self._errand, self._ledger.waiting, run_id=self._run.id)
            return claim(connection, self._errand, batch, claimant) if batch else Claimed()

    def _in_flight(self) -> set[int]:
        """Return the rows that are being sent, or whose outcome is not recorded."""
        unrecorded = (*self._ledger.waiting, *self._ledger.refused)
        claims = (*self._workers.claims, *(one.claim for one in unrecorded))
        return {outbox_id for one in claims for outbox_id in one.outbox_ids}

    def _next_batch(self) -> list[Pending]:
        wanted = self._wanted()
        batch: list[Pending] = []
        while len(batch) < wanted and (waiting := self._next_waiting()) is not None:
            batch.append(waiting)
        try:
            while len(batch) < wanted and (due := self._feed.next()) is not None:
                batch.append(due)
        except DBAPIError:
            self._take_back(batch)
            raise
        self._outcomes.extend(self._feed.settled())
        return batch

    def _wanted(self) -> int:
        """Return for how many messages there is a worker, a slot, and leave to send them."""
        if self._run.stop.requested:
            return 0
        wanted = min(self._workers.idle, self._errand.courier.pace.room(HORIZON_S))
        allowed = self._brakes.allowance(self._clock.monotonic(), self._workers.in_flight)
        if allowed is not None:
            wanted = min(wanted, allowed)
        if self._run.limit is not None:
            wanted = min(wanted, self._run.limit - self._accepted - self._workers.in_flight)
        return max(wanted, 0)

    def _next_waiting(self) -> Pending | None:
        if self._waiting and self._waiting[0][0] <= self._clock.monotonic():
            return heappop(self._waiting)[2]
        return None

    def _take_back(self, batch: Sequence[Pending]) -> None:
        for pending in batch:
            self._wait(pending, 0.0)

    def _wait(self, pending: Pending, seconds: float) -> None:
        wake_s = self._clock.monotonic() + seconds
        heappush(self._waiting, (wake_s, next(self._order), pending))

    def _hear(self, finished: Sequence[Finished]) -> None:
        """Learn from what came back, and hand it to the ledger."""
        for one in finished:
            self._ledger.take([one])  # before anything that learning from it adds
            self._learn(one)
        self._ledger.close_gate_if_late()

    def _learn(self, one: Finished) -> None:
        answer, pace = one.answer, self._errand.courier.pace
        if one.is_bug:
            self._brakes.stop("a bug in smartia-jobs; see the log", ExitStatus.BUG)
        if answer is None or one.started_s is None:
            return
        self._brakes.heard(answer, self._clock.monotonic())
        match answer.verdict:
            case Verdict.SENT:
                pace.success()
                self._accepted += 1
            case Verdict.UNKNOWN:
                self._accepted += 1
            case Verdict.SLOW_DOWN:
                if answer.wait_s is not None and answer.wait_s > LONGEST_WAIT_S:
                    self._brakes.stop("WhatsApp asks to wait for long", ExitStatus.RETRY)
                self._brakes.waited(pace.slow_down(one.started_s, answer.wait_s))
        self._acquit(self._suspects.hear(one))
        if self._suspects.request_is_bad:
            self._convict_request()
        if self._brakes.busy:
            self._brakes.waited(pace.slow_down(self._clock.monotonic()))

    def _acquit(self, innocent: Iterable[Finished]) -> None:
        """Fail those whom WhatsApp refused for their own sake."""
        self._ledger.take([replace(one, state=State.FAILED, started_s=None) for one in innocent])

    def _convict_request(self) -> None:
        """End the run: the request is wrong, so whoever it was refused for waits for the next."""
        for one in self._suspects.release():
            if one.answer is not None:
                self._brakes.stop(one.answer.reason, ExitStatus.CONFIGURATION)
            self._outcomes.extend(_outcomes(one.claim, Result.RETRY, one))

    def _settle(self, written: Iterable[Finished]) -> None:
        """Report what was committed, or let it wait for its next try."""
        for one in written:
            self._log(one)
            self._settle_one(one)

    def _settle_one(self, one: Finished) -> None:
        result = _RESULTS.get(one.state)
        if result is not None:
            self._outcomes.extend(_outcomes(one.claim, result, one))
            return
        if one.answer is None:
            self._wait(one.claim.pending(one.claim.attempts), 0.0)
            return
        verdict, attempts = one.answer.verdict, one.claim.attempts + 1
        if verdict is Verdict.BAD_REQUEST:
            return  # a suspect: reported when its fellows have spoken
        wait_s = (
            0.0
            if verdict is Verdict.SLOW_DOWN
            else self._errand.courier.retry_wait_s(one.answer, attempts)
        )
        if wait_s is None or wait_s > LONGEST_WAIT_S:
            self._outcomes.extend(_outcomes(one.claim, Result.RETRY, one))
        else:
            self._wait(one.claim.pending(attempts), wait_s)

    def _log(self, one: Finished) -> None:
        duration_s = one.finished_s - one.started_s if one.started_s is not None else 0.0
        logger.info(
            "message",
            extra={
                "ctx": {
                    "action": "message",
                    "outbox_id": one.claim.outbox_ids[0],
                    "kind": self._errand.kind,
                    "status": str(one.state),
                    "code": one.answer.code if one.answer else None,
                    "attempts": one.claim.attempts + int(one.started_s is not None),
                    "duration_ms": round(duration_s * 1000),
                }
            },
        )

    def _drain(self) -> Iterator[Outcome]:
        while self._outcomes:
            yield self._outcomes.popleft()

    def _done(self) -> bool:
        if self._run.stop.requested:
            return True
        if self._workers.in_flight or self._ledger.waiting:
            return self._ledger.hopeless
        if self._brakes.end is not None:
            return True
        limited = self._run.limit is not None and self._accepted >= self._run.limit
        return limited or (not self._waiting and self._feed.exhausted)

    def _patience(self) -> float:
        """Return how long the next turn may wait for something to happen, in seconds."""
        if self._ledger.waiting:
            return 0.0
        waits = [LOOK_AROUND_S]
        if not self._wanted():  # a message that is due again could not leave either
            waits += filter(None, self._stalls_s())
        elif self._workers.in_flight or self._feed.exhausted:
            waits.append(self._until_next_waiting_s())
        else:
            return 0.0
        if self._workers.idle and (self._waiting or not self._feed.exhausted):
            waits.append(HORIZON_S / 2)
        return min(waits)

    def _stalls_s(self) -> tuple[float, float]:
        """Return for how long WhatsApp is left alone, and for how long it asked to be."""
        now_s = self._clock.monotonic()
        return self._brakes.resumes_in_s(now_s), self._errand.courier.pace.pause_left()

    def _until_next_waiting_s(self) -> float:
        if not self._waiting:
            return LOOK_AROUND_S
        return max(0.0, self._waiting[0][0] - self._clock.monotonic())

    def _land(self) -> None:
        """Hear what is in flight, write it down, and name what cannot be."""
        self._workers.dismiss()
        self._end_flights()
        ended = self._brakes.end is not None or self._run.stop.requested
        if self._suspects.request_is_good and not ended:
            self._acquit(self._suspects.release())
        else:
            self._convict_request()
        self._write_last()

    def _end_flights(self) -> None:
        """Give requests in flight a last chance to answer; what does not is unknown."""
        deadline_s = self._clock.monotonic() + LAST_ANSWERS_S
        while (
            self._workers.in_flight or self._ledger.waiting
        ) and self._clock.monotonic() < deadline_s:
            self._hear(self._workers.collect(LOOK_AROUND_S))
            self._try_to_write()
        self._hear(self._workers.collect(0.0))  # what came while the database was tried
        if self._workers.in_flight:
            self._ledger.take(self._workers.abandon())
        else:
            self._workers.see_off()

    def _write_last(self) -> None:
        self._try_to_write()
        if self._ledger.waiting or self._ledger.refused:
            self._brakes.stop("some outcomes could not be recorded", ExitStatus.UNAVAILABLE)
            self._ledger.log_unrecorded()
            for one in (*self._ledger.waiting, *self._ledger.refused):
                self._outcomes.extend(_outcomes(one.claim, Result.UNKNOWN, one))
        elif self._ledger.was_doubtful:
            self._give_back_strays()

    def _give_back_strays(self) -> None:
        """Release claims of ours that were committed although the database's answer got lost.

        Everything that was posted is recorded by now: what is still claimed never was.
        """
        try:
            with self._run.database.write() as connection:
                give_back_own(
                    connection,
                    run_id=self._run.id,
                    in_flight=self._in_flight(),
                    at=self._clock.now(),
                )
        except DBAPIError:
            logger.warning("claims of this run may be left; they become unknown unsent")

    def _try_to_write(self) -> None:
        """Commit what waits, if the database lets us; it keeps waiting otherwise."""
        try:
            if self._ledger.waiting and not self._ledger.doubtful:
                self._commit([])
                self._settle(self._ledger.written())
        except DBAPIError as error:
            self._ledger.failed()
            if is_transient(error):
                return
        try:
            self._settle(self._ledger.write_one_by_one())
        except DBAPIError:
            self._ledger.failed()

    def _leave_the_rest(self) -> Iterator[Outcome]:
        """Account for what was never reached: left, or rightly skipped."""
        while self._waiting:
            pending = heappop(self._waiting)[2]
            result = Result.RETRY if pending.attempts else Result.LEFT
            yield from (Outcome(visit.id, result) for visit in pending.visits)
        # A process that must leave, or whose database is away, counts what it has in memory.
        quick = self._run.stop.requested or self._ledger.hopeless
        try:
            yield from self._feed.rest(quick=quick)
        except DBAPIError:
            logger.warning("the database went away; what lies beyond is not counted")
            yield from self._feed.rest(quick=True)


_RESULTS = {State.SENT: Result.SENT, State.FAILED: Result.FAILED, State.UNKNOWN: Result.UNKNOWN}


def _outcomes(claim: Claim, result: Result, one: Finished) -> Iterator[Outcome]:
    reason = one.answer.reason if one.answer and result is not Result.SENT else ""
    for place, visit in enumerate(claim.visits):
        messages = int(result is Result.SENT and place == 0)
        yield Outcome(visit.id, result, reason, messages=messages)
