"""What the outbox must be given to send: it knows no HTTP, only these interfaces."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from smartia_jobs.appointment import Appointment

if TYPE_CHECKING:
    from smartia_jobs.message import Answer, CallbackData, Message, Phone, Unsendable


class RateLimiter(Protocol):
    """How fast this run may send."""

    @property
    def epoch(self) -> int:
        """Grows with every slow-down: a slot reserved in an older epoch is void."""
        ...

    def slot(self) -> float:
        """Reserve the next start, in the clock's monotonic seconds."""
        ...

    def room(self, horizon_s: float) -> int:
        """Return how many more starts fit into the next seconds; 0 while everyone waits."""
        ...

    def slow_down(self, started_at: float, wait_s: float | None = None) -> float:
        """Halve the rate and make everyone wait; return for how many seconds (0: known)."""
        ...

    def success(self) -> None:
        """Note that WhatsApp took a message, so that the rate may recover."""
        ...


class Sender(Protocol):
    """Addresses, writes and posts; its answers are values, never exceptions."""

    @property
    def rate(self) -> RateLimiter:
        """How fast this run may send."""
        ...

    @property
    def workers(self) -> int:
        """How many messages may be in flight at once."""
        ...

    def address(self, appointment: Appointment) -> "Phone | Unsendable":
        """Return where to send, or why nobody can be reached there."""
        ...

    def write(self, visits: Sequence[Appointment]) -> "Message":
        """Write the one message that tells of these visits, earliest first."""
        ...

    def send(self, phone: "Phone", message: "Message", *, callback: "CallbackData") -> "Answer":
        """Post it once. Called from worker threads."""
        ...

    def retry_wait_s(self, answer: "Answer", attempt: int) -> float | None:
        """Return how long this message waits before it is tried again; None: not in this run."""
        ...
