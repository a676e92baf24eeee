"""When a run may claim more and when it must end: pure, fed with answers and the time."""

from dataclasses import dataclass, field

from smartia_jobs.errors import ExitStatus
from smartia_jobs.message import Answer, Verdict

#: So many results without an answer from WhatsApp, in a row, are a stall.
STALL_AFTER = 3
#: How long a stalled run waits before one message goes alone, in seconds.
STALL_WAIT_S = 30.0
#: So many lone tries without an answer end the run.
STALL_TRIES = 3
#: So many refusals in a row of messages WhatsApp calls itself too busy for slow everyone down.
BUSY_AFTER = 5
#: Slow-downs may hold everyone this long in one run, together, in seconds.
PATIENCE_S = 300.0
#: A single wait longer than this is left to the next run, in seconds.
LONGEST_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class End:
    """Why the run ends early, and the status it implies."""

    why: str
    status: ExitStatus


@dataclass(slots=True)
class Brakes:
    """Keeps a fault that is not one patient's from being repeated for every patient.

    The first message goes alone: a dead token or a missing template costs one request. When
    WhatsApp falls silent nothing more is claimed, then one message at a time is tried.
    """

    end: End | None = None
    _proven: bool = False
    _silent: int = 0
    _busy: int = 0
    _tries: int = 0
    _stalled_until_s: float | None = None
    _trying: bool = False
    _waited_s: float = field(default=0.0)

    def heard(self, answer: Answer, now_s: float) -> None:
        """Learn from one answer.

        Args:
            answer: what came back from one request.
            now_s: the clock's monotonic seconds.
        """
        if answer.verdict is Verdict.STOP and answer.stop is not None:
            self.stop(answer.reason, answer.stop)
        if answer.from_graph:
            self._proven = True
            self._silent = self._tries = 0
            self._stalled_until_s = None
            self._trying = False
        elif self._stalled_until_s is None:
            self._silent += 1
            if self._silent >= STALL_AFTER:
                self._stalled_until_s = now_s + STALL_WAIT_S
        elif self._trying:
            self._trying = False
            self._tries += 1
            self._stalled_until_s = now_s + STALL_WAIT_S
            if self._tries >= STALL_TRIES:
                self.stop("WhatsApp does not answer; nothing more was sent", ExitStatus.UNAVAILABLE)
        busy = answer.verdict is Verdict.RETRY and answer.from_graph
        self._busy = self._busy + 1 if busy else 0

    @property
    def busy(self) -> bool:
        """Whether WhatsApp has called itself busy often enough to slow everyone down."""
        return self._busy >= BUSY_AFTER

    def waited(self, seconds: float) -> None:
        """Add a pause of everyone; the run ends when its patience is used up."""
        self._busy = 0
        self._waited_s += seconds
        if self._waited_s > PATIENCE_S:
            self.stop("WhatsApp keeps asking to slow down", ExitStatus.RETRY)

    def allowance(self, now_s: float, in_flight: int) -> int | None:
        """Return how many more messages may be claimed; None for no bound."""
        if self.end is not None:
            return 0
        if self._stalled_until_s is not None:
            return 1 if now_s >= self._stalled_until_s and in_flight == 0 else 0
        if not self._proven:
            return 1 if in_flight == 0 else 0
        return None

    def claimed(self) -> None:
        """Note that something was claimed: during a stall, that is the lone try."""
        self._trying = self._stalled_until_s is not None

    def resumes_in_s(self, now_s: float) -> float:
        """Return after how many seconds a stalled run tries again; 0 when it is not stalled."""
        return max(0.0, (self._stalled_until_s or now_s) - now_s)

    def stop(self, why: str, status: ExitStatus) -> None:
        """End the run; the first reason stays."""
        if self.end is None:
            self.end = End(why, status)
