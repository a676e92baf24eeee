"""Dispatching: many messages at once, paced, stoppable, each outcome committed as it comes.

One turn of the loop is one short transaction: it records what has finished and claims for
the workers that are idle. The transaction is never open while the network is used.
"""

import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import count

from sqlalchemy.exc import DBAPIError

from smartia_jobs.appointment import PersonDay
from smartia_jobs.database.errors import is_transient
from smartia_jobs.errors import ExitStatus, InterruptedRunError
from smartia_jobs.outbox.breaker import LONGEST_WAIT_S, Breaker, End
from smartia_jobs.outbox.claims import Claimant, Pending, claim
from smartia_jobs.outbox.due import Due
from smartia_jobs.outbox.recorder import Recorder
from smartia_jobs.outbox.records import Finished, fail_request_errors, release_claims
from smartia_jobs.outbox.sender import Sender
from smartia_jobs.outbox.source import Source
from smartia_jobs.outbox.workers import Gate, Workers
from smartia_jobs.report import Outcome, Result
from smartia_jobs.run import Run
from smartia_jobs.store.installation import installation_id
from smartia_jobs.store.states import State

logger = logging.getLogger(__name__)

#: Claims are made for the starts of the next half second, no further ahead.
HORIZON_S = 0.5
#: How long a turn waits for an answer before it looks at everything else: within the horizon, so
#: that no slot of the rate limiter is lost.
POLL_S = HORIZON_S / 2
#: How long to wait before a database that failed is tried again.
DATABASE_RETRY_S = 0.5
#: How long requests in flight may still answer after the run was asked to end.
SHUTDOWN_S = 8.0


class Dispatcher:
    """One run's sending of one kind of message; iterate over :meth:`outcomes` once."""

    def __init__(self, run: Run, source: Source, sender: Sender, page: Sequence[PersonDay]) -> None:
        """Prepare to send what is due from ``page`` on; nothing is claimed or sent yet."""
        self._run = run
        self._source = source
        self._sender = sender
        self._clock = run.clock
        gate = Gate()
        self._due = Due(run, source, sender, page)
        self._breaker = Breaker(sender.rate)
        self._workers = Workers(sender, run.clock, stop=run.stop, gate=gate)
        self._recorder = Recorder(run, source, gate)
        #: A heap of what waits for its next try: when, in monotonic seconds; order; what.
        self._delayed: list[tuple[float, int, Pending]] = []
        self._order = count()
        self._request_errors: list[Finished] = []
        self._accepted = 0
        #: Read with the first claim.
        self._installation = ""
        self._outcomes: deque[Outcome] = deque()

    @property
    def end(self) -> End | None:
        """Why the run ended before its work did; None when it did not."""
        return self._breaker.end

    @property
    def interactions_missing(self) -> int:
        """How many messages are on record that SmartIA's ``interactions`` do not have."""
        return self._recorder.interactions_missing

    def outcomes(self) -> Iterator[Outcome]:
        """Send what is due and yield what became of each appointment, once each.

        An outcome is yielded only after it was committed. From here on a signal asks the run
        to end and raises nothing.
        """
        self._run.stop.on_forced_exit = self._log_unrecorded
        self._run.stop.is_polled = True
        try:
            while not self._is_done():
                self._on_finished(self._workers.collect(self._patience_s()))
                self._take_turn()
                yield from self._drain()
        except InterruptedRunError:
            self._log_unrecorded()  # a second signal: nothing is waited for
            raise
        except Exception:
            self._finish()  # the database refuses, or a bug: what was posted is still recorded
            raise
        self._finish()
        yield from self._drain()
        yield from self._account_for_the_rest()

    def _log_unrecorded(self) -> None:
        """Log what would be lost if the process ended now; any thread may call it."""
        self._recorder.log_unrecorded(self._workers.uncollected)

    def _is_done(self) -> bool:
        if self._run.stop.requested:
            return True
        if self._workers.in_flight or self._recorder.waiting:
            return self._recorder.has_given_up
        if self._breaker.end is not None:
            return True
        limited = self._run.limit is not None and self._accepted >= self._run.limit
        return limited or (not self._delayed and self._due.exhausted)

    def _patience_s(self) -> float:
        """Return how long the next turn may wait for something to finish, in seconds."""
        if self._recorder.waiting:
            return 0.0
        if not self._room():  # nothing could be sent, not even a delayed message
            return POLL_S
        if not self._due.exhausted:
            return 0.0
        due_again_s = min((when_s for when_s, _, _ in self._delayed), default=float("inf"))
        return min(POLL_S, max(0.0, due_again_s - self._clock.monotonic()))

    def _on_finished(self, finished: Sequence[Finished]) -> None:
        """Tell the breaker what came back, and hand it to the recorder."""
        for one in finished:
            if one.is_bug:
                self._breaker.stop("a bug in smartia-jobs; see the log", ExitStatus.BUG)
            elif one.answer is not None and one.started_s is not None:
                now_s = self._clock.monotonic()
                self._breaker.on_answer(
                    one.answer,
                    template=one.claim.message.template,
                    started_s=one.started_s,
                    now_s=now_s,
                    at=one.finished_at,
                )
            if one.state in (State.SENT, State.UNKNOWN):
                self._accepted += 1
        self._recorder.take(finished)

    def _take_turn(self) -> None:
        """Record what has finished and claim for idle workers in one transaction; submit them."""
        if self._recorder.has_given_up:
            self._breaker.stop("the database cannot be reached", ExitStatus.UNAVAILABLE)
            return
        batch: list[Pending] = []
        try:
            if self._recorder.in_doubt:
                self._after_commit(self._recorder.write_one_by_one())
            self._add_due(batch)
            if not batch and not self._recorder.waiting:
                return
            with self._run.database.write() as connection:
                self._recorder.write(connection)
                claimant = Claimant.of(self._run, self._in_flight())
                claimed = claim(connection, self._source, self._sender, batch, claimant)
                if claimed.claims and not self._installation:
                    self._installation = installation_id(connection)
        except DBAPIError as error:
            for pending in batch:
                self._delay(pending, after_s=0.0)
            if not is_transient(error) and not self._recorder.waiting:
                raise
            self._recorder.on_failure(error)
            logger.warning("the database could not be written; trying again")
            self._clock.wait(threading.Event(), DATABASE_RETRY_S)
            return
        written = self._recorder.written()  # first, as it lets the workers post again
        if claimed.claims:
            self._breaker.claimed()
            self._workers.submit(claimed.claims, self._installation)
        self._after_commit(written)
        self._outcomes.extend(claimed.outcomes)
        self._recorder.write_interactions()

    def _add_due(self, batch: list[Pending]) -> None:
        """Add to ``batch`` what may be sent now: delayed messages first, then new ones."""
        room, now_s = self._room(), self._clock.monotonic()
        while len(batch) < room and self._delayed and self._delayed[0][0] <= now_s:
            batch.append(heappop(self._delayed)[2])
        while len(batch) < room and (due := self._due.next()) is not None:
            batch.append(due)
        self._outcomes.extend(self._due.skipped())

    def _room(self) -> int:
        """Return how many messages workers, rate limiter, breaker and limit allow to be claimed."""
        if self._run.stop.requested:
            return 0
        room = min(self._workers.idle, self._sender.rate.room(HORIZON_S))
        allowed = self._breaker.allowance(self._clock.monotonic(), self._workers.in_flight)
        if allowed is not None:
            room = min(room, allowed)
        if self._run.limit is not None:
            room = min(room, self._run.limit - self._accepted - self._workers.in_flight)
        return max(room, 0)

    def _in_flight(self) -> set[int]:
        """Return the rows that are being sent, or whose outcome is not recorded."""
        unrecorded = (*self._recorder.waiting, *self._recorder.refused)
        claims = (*self._workers.claims, *(one.claim for one in unrecorded))
        return {outbox_id for one in claims for outbox_id in one.outbox_ids}

    def _after_commit(self, written: Iterator[Finished] | Sequence[Finished]) -> None:
        """Report what was committed, or delay it until its next try."""
        for one in written:
            self._recorder.log(one)
            if one.state is not State.RETRY:
                self._report(one, _RESULTS[one.state])
            elif one.is_request_error:
                self._request_errors.append(one)  # reported when the run knows whose fault it was
            elif one.answer is None:
                self._delay(Pending(one.claim.visits, one.claim.attempts), after_s=0.0)
            else:
                attempts = one.claim.attempts + 1
                wait_s = self._sender.retry_wait_s(one.answer, attempts)
                if wait_s is None or wait_s > LONGEST_WAIT_S:
                    self._report(one, Result.RETRY)
                else:
                    self._delay(Pending(one.claim.visits, attempts), after_s=wait_s)

    def _delay(self, pending: Pending, *, after_s: float) -> None:
        due_s = self._clock.monotonic() + after_s
        heappush(self._delayed, (due_s, next(self._order), pending))

    def _report(self, one: Finished, result: Result) -> None:
        reason = one.answer.reason if one.answer and result is not Result.SENT else ""
        for place, visit in enumerate(one.claim.visits):
            messages = int(result is Result.SENT and place == 0)
            self._outcomes.append(Outcome(visit.id, result, reason, messages=messages))

    def _drain(self) -> Iterator[Outcome]:
        while self._outcomes:
            yield self._outcomes.popleft()

    # -- the end ----------------------------------------------------------------------------

    def _finish(self) -> None:
        """Wait a last time for requests in flight, record them, and log what cannot be recorded."""
        if self._recorder.has_given_up:
            self._breaker.stop("the database cannot be reached", ExitStatus.UNAVAILABLE)
        self._workers.shut_down()
        deadline_s = self._clock.monotonic() + SHUTDOWN_S
        while self._workers.in_flight or self._recorder.waiting:
            if self._clock.monotonic() >= deadline_s:
                break
            self._on_finished(self._workers.collect(POLL_S))
            self._try_to_record()
        self._on_finished(self._workers.collect(0.0))  # what came while recording
        if self._workers.in_flight:
            self._recorder.take(self._workers.abandon())
        else:
            self._workers.join_threads()
        self._try_to_record()
        self._recorder.write_interactions(last_try=True)
        unrecorded = (*self._recorder.waiting, *self._recorder.refused)
        if unrecorded:
            self._breaker.stop("some outcomes could not be recorded", ExitStatus.UNAVAILABLE)
            self._recorder.log_unrecorded()
            for one in unrecorded:
                self._report(one, Result.UNKNOWN)
        if self._recorder.was_in_doubt:
            self._release_orphans()
        self._judge_request_errors()

    def _try_to_record(self) -> None:
        """Commit what waits; what the database does not take keeps waiting."""
        try:
            if self._recorder.waiting and not self._recorder.in_doubt:
                with self._run.database.write() as connection:
                    self._recorder.write(connection)
                self._after_commit(self._recorder.written())
        except DBAPIError as error:
            self._recorder.on_failure(error)
            if is_transient(error):
                return
        try:
            self._after_commit(self._recorder.write_one_by_one())
        except DBAPIError as error:
            self._recorder.on_failure(error)

    def _release_orphans(self) -> None:
        """Release claims of ours that were committed although the database's answer got lost.

        What was posted is recorded by now, or known to be in flight: the rest never was.
        """
        try:
            with self._run.database.write() as connection:
                release_claims(
                    connection,
                    run_id=self._run.id,
                    in_flight=self._in_flight(),
                    at=self._clock.now(),
                )
        except DBAPIError:
            logger.warning("claims of this run may be left; they become unknown, although unsent")

    def _judge_request_errors(self) -> None:
        """Fail messages that WhatsApp could not read twice, once others prove the request good.

        Other messages of the same template prove it. Without that proof the run ends with 78
        and fails nobody. Nor does a run that ends early.
        """
        refused = self._request_errors
        own = [one for one in refused if self._breaker.was_read(one.claim.message.template)]
        doubtful = [one for one in refused if one not in own]
        failed: set[int] = set()
        if own and self._breaker.end is None and not self._run.stop.requested:
            try:
                with self._run.database.write() as connection:
                    at = self._clock.now()
                    failed = fail_request_errors(connection, own, run_id=self._run.id, at=at)
            except DBAPIError:
                logger.warning("request errors are left to the next run: the database is away")
        if doubtful and doubtful[0].answer is not None:
            self._breaker.stop(doubtful[0].answer.reason, ExitStatus.CONFIGURATION)
        for one in refused:
            reason = one.answer.reason if one.answer else ""
            for outbox_id, visit in zip(one.claim.outbox_ids, one.claim.visits, strict=True):
                result = Result.FAILED if outbox_id in failed else Result.RETRY
                self._outcomes.append(Outcome(visit.id, result, reason))

    def _account_for_the_rest(self) -> Iterator[Outcome]:
        """Account for what was never reached: left, or rightly skipped."""
        while self._delayed:
            pending = heappop(self._delayed)[2]
            result = Result.RETRY if pending.attempts else Result.LEFT
            yield from (Outcome(visit.id, result) for visit in pending.visits)
        # A process that must leave, or whose database is away, counts what it has in memory.
        quick = self._run.stop.requested or self._recorder.has_given_up
        try:
            yield from self._due.rest(quick=quick)
        except DBAPIError:
            logger.warning("the database is away; appointments not read yet are not counted")
            yield from self._due.rest(quick=True)


_RESULTS = {State.SENT: Result.SENT, State.FAILED: Result.FAILED, State.UNKNOWN: Result.UNKNOWN}
