"""What the outbox must be told to send one kind of message; it knows no HTTP and no SmartIA."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from smartia_jobs.appointment import Appointment
from smartia_jobs.message import Answer, Conversations, Message, Phone, SentMessage, Unsendable
from smartia_jobs.report import Reason


class Calendar(Protocol):
    """The clinic's side: who is due, how things stand now, where to write what was sent."""

    def next_page(self, connection: Connection) -> Sequence[tuple[Appointment, ...]] | None:
        """Return the next due person-days, nearest first; None after the last."""
        ...

    def refusal(self, appointment: Appointment, now: datetime) -> Reason | None:
        """Return why nothing is sent about this visit at ``now``; None when it is due."""
        ...

    def send_before(self, appointment: Appointment, now: datetime) -> datetime:
        """Return the instant from which the message must not be tried any more."""
        ...

    def reread(self, connection: Connection, ids: Collection[int]) -> Mapping[int, Appointment]:
        """Return the visits as they are now; one that is gone is not among them."""
        ...

    def vetoes(
        self, connection: Connection, visits: Collection[Appointment]
    ) -> Mapping[int, Reason]:
        """Return reasons against these visits that only other rows can tell, by id."""
        ...

    def conversations(self, connection: Connection, patient_ids: Collection[int]) -> Conversations:
        """Return where messages to these patients belong."""
        ...

    def write_interactions(self, connection: Connection, sent: Sequence[SentMessage]) -> None:
        """Remember accepted messages where the clinic reads its dialogues."""
        ...


class Pace(Protocol):
    """How fast this run may send."""

    @property
    def epoch(self) -> int:
        """Grows with every slow-down, so that a slot reserved before it is given back."""
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

    def pause_left(self) -> float:
        """Return for how many seconds everyone still waits."""
        ...


class Courier(Protocol):
    """The sending side: addresses, writes and posts; its answers are values, never exceptions."""

    @property
    def pace(self) -> Pace:
        """How fast this run may send."""
        ...

    def address(self, appointment: Appointment) -> Phone | Unsendable:
        """Return where to send, or why nobody can be reached there."""
        ...

    def prepare(self, visits: Sequence[Appointment]) -> None:
        """Do ahead what addressing and writing to these visits' patient will take."""
        ...

    def write(self, visits: Sequence[Appointment]) -> Message:
        """Write the one message that tells of these visits, earliest first."""
        ...

    def send(self, phone: Phone, message: Message, *, callback_data: str) -> Answer:
        """Post it once. Called from worker threads."""
        ...

    def retry_wait_s(self, answer: Answer, attempt: int) -> float | None:
        """Return how long this message waits before it is tried again; None: not in this run."""
        ...

    def mask(self, phone: str | None) -> str:
        """Return a phone as a screen may show it."""
        ...


@dataclass(frozen=True, slots=True)
class Errand:
    """One kind of message, from whom it is due to how it leaves.

    Attributes:
        kind: part of the outbox key (``24h``, ``2h``, ``no_show``).
        template: the template's name at Meta.
        workers: how many messages may be in flight at once.
        resend_unknown: send a message of an earlier run that may not have arrived once more.
        calendar: the clinic's side.
        courier: the sending side.
    """

    kind: str
    template: str
    workers: int
    calendar: Calendar
    courier: Courier
    resend_unknown: bool = False
