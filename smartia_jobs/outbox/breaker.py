"""The circuit breaker: when a run may claim more, when it slows down, and when it must end."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from smartia_jobs.errors import ExitStatus
from smartia_jobs.message import Answer, Verdict
from smartia_jobs.outbox.sender import RateLimiter

#: A stall: this many results in a row without an answer from WhatsApp.
STALL_AFTER = 3
#: How long a stalled run waits before one message goes alone, in seconds.
STALL_WAIT_S = 30.0
#: This many single tries without an answer end the run.
STALL_TRIES = 3
#: After this many refusals in a row by a WhatsApp that is too busy, everyone slows down.
BUSY_AFTER = 5
#: After this many equal request errors in a row the request is at fault, not these patients.
EQUAL_ERRORS = 5
#: All slow-downs of one run may last this long together, in seconds.
PATIENCE_S = 300.0
#: Further apart than this the two clocks cannot both be right about which visits are still ahead.
CLOCKS_APART = timedelta(minutes=10)
#: A single wait longer than this is left to the next run, in seconds.
LONGEST_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class End:
    """Why the run ends early, and the status it implies."""

    why: str
    status: ExitStatus


class Breaker:
    """Keeps a fault that is not one patient's from being repeated for every patient.

    The first message goes alone: a dead token or a missing template costs one request. When
    WhatsApp falls silent nothing more is claimed, then one message at a time is tried.

    Attributes:
        end: why the run ends before its work does; None when it does not.
    """

    def __init__(self, rate: RateLimiter) -> None:
        """Begin without a proof that WhatsApp answers at all."""
        self.end: End | None = None
        self._rate = rate
        self._answers = False
        self._silent = self._tries = self._busy = 0
        #: Templates of which WhatsApp could read a request.
        self._was_read: set[str] = set()
        #: By template: the code of its last request error, and how many of that in a row.
        self._errors: dict[str, tuple[int | None, int]] = {}
        self._stalled_until_s: float | None = None
        self._trying = False
        self._waited_s = 0.0

    def on_answer(
        self,
        answer: Answer,
        *,
        template: str,
        started_s: float,
        now_s: float,
        at: datetime | None = None,
    ) -> None:
        """Learn from one answer.

        Args:
            answer: what came back from one request.
            template: the name at Meta of what was to be sent.
            started_s: when that request started, on the clock's monotonic seconds.
            now_s: the same clock now.
            at: when the answer came, by the run's wall clock; None compares no clocks.
        """
        self._note_silence(answer, now_s)
        is_busy = False
        match answer.verdict:
            case Verdict.SENT:
                self._request_was_read(template)
                self._rate.success()
            case Verdict.GIVE_UP:
                self._request_was_read(template)
            case Verdict.BAD_REQUEST:
                self._count_error(answer, template)
            case Verdict.RETRY:
                is_busy = answer.from_graph
            case Verdict.SLOW_DOWN:
                if answer.wait_s is not None and answer.wait_s > LONGEST_WAIT_S:
                    self.stop("WhatsApp asks for a long wait", ExitStatus.RETRY)
                self._wait(self._rate.slow_down(started_s, answer.wait_s))
            case Verdict.STOP:
                self.stop(answer.reason, answer.stop or ExitStatus.REFUSED)
            case Verdict.SLOW_DOWN_RECIPIENT | Verdict.UNKNOWN:
                pass
            case _:
                assert_never(answer.verdict)
        self._busy = self._busy + 1 if is_busy else 0
        if self._busy >= BUSY_AFTER:
            self._busy = 0
            self._wait(self._rate.slow_down(now_s))
        if at is not None and answer.from_graph and answer.answered_at is not None:
            self._compare_clocks(at - answer.answered_at)

    def was_read(self, template: str) -> bool:
        """Whether WhatsApp could read a request of this template.

        It took such a message, or refused one for its patient's sake. Of another template that
        shows nothing.
        """
        return template in self._was_read

    def allowance(self, now_s: float, in_flight: int) -> int | None:
        """Return how many more messages may be claimed; None for no bound."""
        if self.end is not None:
            return 0
        if self._stalled_until_s is not None:
            return 1 if now_s >= self._stalled_until_s and in_flight == 0 else 0
        if not self._answers:
            return 1 if in_flight == 0 else 0
        return None

    def claimed(self) -> None:
        """Note that something was claimed: during a stall, that is the single try."""
        self._trying = self._stalled_until_s is not None

    def stop(self, why: str, status: ExitStatus) -> None:
        """End the run; the first reason stays."""
        if self.end is None:
            self.end = End(why, status)

    def _compare_clocks(self, ahead: timedelta) -> None:
        """End the run when this machine's clock is wrong, and with it what is still ahead."""
        if abs(ahead) > CLOCKS_APART:
            self.stop(
                f"this machine's clock is {_in_words(abs(ahead))}"
                f" {'ahead of' if ahead > timedelta() else 'behind'} WhatsApp's, so visits that are"
                " over could be reminded; let the machine set it by the network (NTP)",
                ExitStatus.CONFIGURATION,
            )

    def _note_silence(self, answer: Answer, now_s: float) -> None:
        if answer.from_graph:
            self._answers = True
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

    def _request_was_read(self, template: str) -> None:
        self._was_read.add(template)
        self._errors.pop(template, None)

    def _count_error(self, answer: Answer, template: str) -> None:
        code, in_a_row = self._errors.get(template, (None, 0))
        in_a_row = in_a_row + 1 if answer.code == code else 1
        self._errors[template] = answer.code, in_a_row
        if in_a_row >= EQUAL_ERRORS:
            self.stop(answer.reason, ExitStatus.CONFIGURATION)

    def _wait(self, seconds: float) -> None:
        """Add a pause of everyone; the run ends when its patience is used up."""
        self._waited_s += seconds
        if self._waited_s > PATIENCE_S:
            self.stop("WhatsApp keeps asking to slow down", ExitStatus.RETRY)


def _in_words(duration: timedelta) -> str:
    minutes = round(duration / timedelta(minutes=1))
    return f"{minutes} minutes" if minutes < 120 else f"{round(minutes / 60)} hours"
