"""The threads that post: each takes a claim, waits for its slot, checks once more, sends."""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from smartia_jobs.clock import Clock
from smartia_jobs.message import Answer, CallbackData, Verdict
from smartia_jobs.outbox.claims import Claim
from smartia_jobs.outbox.records import Finished, state_after
from smartia_jobs.outbox.sender import Sender
from smartia_jobs.run import Stop
from smartia_jobs.store.states import State

logger = logging.getLogger(__name__)

#: No POST starts on a claim older than this. Claims are made half a second ahead of their slots,
#: so only a process that was held up has one this old. Thus each request ends well before its
#: lease (120 s), although a slow name server and several addresses may add to the time-outs for
#: connecting (5 s) and for the answer (30 s).
OLDEST_CLAIM_S = 20.0


@dataclass(slots=True)
class Gate:
    """Closed while an outcome waits too long for the database; nothing is posted then."""

    closed: bool = False


@dataclass(frozen=True, slots=True)
class _Task:
    claim: Claim
    callback: CallbackData
    slot_s: float
    epoch: int


class Workers:
    """A fixed number of threads with claims going in and finished ones coming out.

    The threads are daemons, and none that still reads an answer is waited for: a process that
    must leave does so.
    """

    def __init__(self, sender: Sender, clock: Clock, *, stop: Stop, gate: Gate) -> None:
        """Prepare; a thread is started when there is a claim for it."""
        self._count = sender.workers
        self._sender = sender
        self._clock = clock
        self._stop = stop
        self._gate = gate
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._finished: deque[Finished] = deque()
        self._any_finished = threading.Event()
        self._threads: list[threading.Thread] = []
        self._out: dict[int, Claim] = {}

    @property
    def claims(self) -> Collection[Claim]:
        """The claims that are out and not yet collected."""
        return self._out.values()

    @property
    def in_flight(self) -> int:
        """How many claims are out and not yet collected."""
        return len(self._out)

    @property
    def idle(self) -> int:
        """How many workers could take a claim now."""
        return self._count - len(self._out)

    @property
    def uncollected(self) -> list[Finished]:
        """What has finished and was not collected; any thread may look."""
        return list(self._finished)

    def submit(self, claims: Sequence[Claim], installation: str) -> None:
        """Hand claims to the workers; each gets the next slot of the rate limiter.

        Args:
            claims: made just now.
            installation: the id of the database they were made in.
        """
        epoch = self._sender.rate.epoch
        for claim in claims:
            self._out[claim.outbox_ids[0]] = claim
            if len(self._threads) < min(self._count, len(self._out)):
                self._start_thread()
            callback = CallbackData(installation, claim.outbox_ids[0], claim.number)
            self._tasks.put(_Task(claim, callback, self._sender.rate.slot(), epoch))

    def collect(self, timeout_s: float) -> list[Finished]:
        """Return what has finished, waiting up to ``timeout_s`` for the first."""
        if not self._finished:
            self._clock.wait(self._any_finished, timeout_s)
        self._any_finished.clear()
        finished: list[Finished] = []
        while self._finished:
            one = self._finished.popleft()
            if self._out.pop(one.claim.outbox_ids[0], None) is not None:
                finished.append(one)
        return finished

    def abandon(self) -> list[Finished]:
        """Give up waiting: what is still in flight may have reached WhatsApp."""
        lost = Answer(Verdict.UNKNOWN, "the run ended before the answer came", from_graph=False)
        now, now_s = self._clock.now(), self._clock.monotonic()
        finished = [
            Finished(claim, lost, State.UNKNOWN, now, now_s, started_s=now_s)
            for claim in self._out.values()
        ]
        self._out.clear()
        return finished

    def shut_down(self) -> None:
        """Let the idle threads end."""
        for _ in self._threads:
            self._tasks.put(None)

    def join_threads(self) -> None:
        """Wait until the threads have ended; only when nothing is in flight.

        A thread that still runs while the interpreter shuts down can crash it.
        """
        for thread in self._threads:
            thread.join()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run_loop, name="post", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                raise
            # The machine allows no more threads: the existing ones do the work.
            self._count = len(self._threads)
            logger.warning("no more than %d workers could be started", self._count)
        else:
            self._threads.append(thread)

    def _run_loop(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._finished.append(self._deliver(task))
            self._any_finished.set()

    def _deliver(self, task: _Task) -> Finished:
        """Send one claim or give it back; a bug in here loses no claim."""
        claim, clock = task.claim, self._clock
        started_s: float | None = None
        try:
            if (wait_s := task.slot_s - clock.monotonic()) > 0:
                clock.wait(self._stop.event, wait_s)
            if self._must_give_back(task):
                return Finished(claim, None, State.RETRY, clock.now(), clock.monotonic())
            started_s = clock.monotonic()
            answer = self._sender.send(claim.phone, claim.message, callback=task.callback)
            state = state_after(answer.verdict)
            return Finished(claim, answer, state, clock.now(), clock.monotonic(), started_s)
        except Exception:
            logger.exception("this is a bug in smartia-jobs; please report it with these lines")
            return _after_bug(claim, started_s)

    def _must_give_back(self, task: _Task) -> bool:
        """Whether the claim must be given back; asked right before the request."""
        clock = self._clock
        return (
            self._stop.requested
            or self._gate.closed
            or self._sender.rate.epoch != task.epoch
            or clock.monotonic() - task.claim.claimed_s > OLDEST_CLAIM_S
            or clock.now() >= task.claim.send_before
        )


def _after_bug(claim: Claim, started_s: float | None) -> Finished:
    """Return what becomes of a claim whose worker met a bug: unknown if its request had begun.

    The machine's clocks, because the run's may be what failed.
    """
    now, now_s = datetime.now(UTC), time.monotonic()
    if started_s is None:
        return Finished(claim, None, State.RETRY, now, now_s, is_bug=True)
    answer = Answer(Verdict.UNKNOWN, "an error in this program", from_graph=False)
    return Finished(claim, answer, State.UNKNOWN, now, now_s, started_s, is_bug=True)
