"""A sender with the real interface that answers as a test says, and remembers what it sent."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.message import Answer, CallbackData, Message, Phone, Unsendable, Verdict
from smartia_jobs.phones import parse_phone

#: Given the phone and how many requests went before, the answer.
Answers = Callable[[str, int], Answer]

ACCEPTED = Answer(Verdict.SENT, message_id="wamid.TEST")
REFUSED = Answer(Verdict.GIVE_UP, "not on WhatsApp", code=131026)
LOST = Answer(Verdict.UNKNOWN, "no answer in time", from_graph=False)
NOT_SENT = Answer(Verdict.RETRY, "could not connect", from_graph=False)
BUSY = Answer(Verdict.RETRY, "WhatsApp is busy", code=131016)


def always(answer: Answer) -> Answers:
    """Answer everything alike."""
    return lambda _, __: answer


def in_turn(*answers: Answer) -> Answers:
    """Answer the first requests so; the last answer repeats."""
    return lambda _, before: answers[min(before, len(answers) - 1)]


class FreeRate:
    """No limit on the rate, but slow-downs are counted and hold everyone as long as asked."""

    def __init__(self) -> None:
        """Begin at full speed."""
        self.epoch = 0
        self.slow_downs = 0

    def slot(self) -> float:
        """Start at once."""
        return 0.0

    def room(self, horizon_s: float) -> int:
        """Any number."""
        return 1000

    def slow_down(self, started_at: float, wait_s: float | None = None) -> float:
        """Count."""
        self.slow_downs += 1
        return 1.0

    def success(self) -> None:
        """Nothing to recover from."""


@dataclass(frozen=True, slots=True)
class Posted:
    """One request."""

    phone: str
    text: str
    callback_data: str


class FakeSender:
    """Fulfils the outbox's Sender; ``before_send`` runs in the worker, before the answer."""

    def __init__(
        self,
        answers: Answers | None = None,
        *,
        before_send: Callable[[str], None] | None = None,
        retry_wait_s: float | None = 0.0,
    ) -> None:
        """Answer as told; accept everything by default."""
        self.answers = answers or always(ACCEPTED)
        self.before_send = before_send
        self.rate = FreeRate()
        self.workers = 4
        self.posted: list[Posted] = []
        self._retry_wait_s = retry_wait_s
        self._lock = threading.Lock()

    def address(self, appointment: Appointment) -> Phone | Unsendable:
        """Parse the phone as the product does."""
        return parse_phone(appointment.phone, "BR")

    def write(self, visits: Sequence[Appointment]) -> Message:
        """Name the hours, so that a test can see which visits were told, and who confirmed."""
        hours = " e ".join(f"{visit.start:%H:%M}" for visit in visits)
        confirmed = all(visit.status is AppointmentStatus.CONFIRMED for visit in visits)
        template = "lembrete_confirmado" if confirmed else "lembrete"
        return Message("24h", template, "pt_BR", {"hora": hours}, named=True, text=hours)

    def send(self, phone: Phone, message: Message, *, callback: CallbackData) -> Answer:
        """Remember the request and answer it."""
        with self._lock:
            before = len(self.posted)
            self.posted.append(Posted(phone.wire, message.text, str(callback)))
        if self.before_send is not None:
            self.before_send(phone.wire)
        return self.answers(phone.wire, before)

    def retry_wait_s(self, answer: Answer, attempt: int) -> float | None:
        """Three tries, each after the wait the test chose; a throttle of everyone is none."""
        if answer.verdict is Verdict.SLOW_DOWN:
            return 0.0
        return self._retry_wait_s if attempt < 3 else None
