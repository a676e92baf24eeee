"""What the outbox sends with: where a message goes, what it says, and WhatsApp's client."""

import threading
from collections.abc import Sequence
from datetime import datetime
from math import ceil
from typing import TYPE_CHECKING

from smartia_jobs.appointment import Appointment
from smartia_jobs.catalogue.loading import MessageTemplate
from smartia_jobs.clock import Clock
from smartia_jobs.errors import ConfigurationError
from smartia_jobs.report import Reason
from smartia_jobs.settings import Settings
from smartia_jobs.whatsapp.pacing import Pacer

if TYPE_CHECKING:
    from smartia_jobs.message import Answer, CallbackData, Message, Phone, Unsendable
    from smartia_jobs.whatsapp.client import Client

#: With more threads than this, Meta's highest rate was reached later.
_MOST_WORKERS = 256
#: One and a half times what a request usually takes, in seconds.
_REQUEST_S = 0.75


class WhatsAppSender:
    """Fulfils :class:`smartia_jobs.outbox.sender.Sender`.

    The HTTP client is made with the first message: a run with nothing due never loads it.
    """

    def __init__(self, settings: Settings, template: MessageTemplate, clock: Clock) -> None:
        """Prepare to send one template by these settings."""
        self._settings = settings
        self.rate = Pacer(settings.send_rate, clock)
        self.workers = settings.send_workers or workers_for(settings.send_rate)
        self._template = template
        self._connecting = threading.Lock()
        self._client: Client | None = None

    def address(self, appointment: Appointment) -> "Phone | Unsendable":
        """Return where to send, or why nobody can be reached there."""
        from smartia_jobs.phones import parse_phone

        return parse_phone(appointment.phone, self._settings.clinic_country)

    def write(self, visits: Sequence[Appointment]) -> "Message":
        """Write the one message about these visits, earliest first."""
        from smartia_jobs.catalogue.contact import contact
        from smartia_jobs.catalogue.render import write_message

        return write_message(
            self._template,
            visits,
            clinic_name=self._settings.clinic_name,
            contact=contact(self._settings.clinic_phone, self._settings.clinic_country),
        )

    def send(self, phone: "Phone", message: "Message", *, callback: "CallbackData") -> "Answer":
        """Post it once. Called from worker threads."""
        client = self._client or self._connect()
        return client.send(phone, message, callback=callback)

    def retry_wait_s(self, answer: "Answer", attempt: int) -> float | None:
        """Return how long this message waits before it is tried again; None: not in this run."""
        from smartia_jobs.whatsapp.waiting import retry_wait_s

        return retry_wait_s(answer, attempt)

    def _connect(self) -> "Client":
        from smartia_jobs.whatsapp.client import Client

        with self._connecting:
            if self._client is None:
                self._client = Client(self._settings, workers=self.workers)
            return self._client


def workers_for(rate: float) -> int:
    """Return how many threads keep up ``rate`` messages a second."""
    return min(_MOST_WORKERS, max(1, ceil(rate * _REQUEST_S)))


class OnlyTo:
    """``ONLY_TO``: everybody else is skipped, for a first live run."""

    def __init__(self, settings: Settings) -> None:
        """Read the phones once.

        Raises:
            ConfigurationError: one of them cannot be a phone.
        """
        self._country = settings.clinic_country
        self._phones = {_canonical(raw, self._country) for raw in settings.only_to}
        if None in self._phones:
            raise ConfigurationError(
                "ONLY_TO holds something that cannot be a phone; write each number with its"
                " country and area code, such as +5511987654321, separated by commas."
            )

    def refusal(self, appointment: Appointment, _: datetime) -> Reason | None:
        """Return NOT_IN_ONLY_TO for everybody else; None when the setting is unset."""
        if not self._phones or self.has(_canonical(appointment.phone, self._country)):
            return None
        return Reason.NOT_IN_ONLY_TO

    def has(self, canonical: str | None) -> bool:
        """Whether a phone may be written to: every one, when the setting is unset."""
        return not self._phones or canonical in self._phones


def person(appointment: Appointment, country: str) -> str:
    """Return what identifies a person: the canonical phone, else the patient row."""
    return person_of(appointment.patient_id, appointment.phone, country=country)


def person_of(patient_id: int, stored_phone: str | None, *, country: str) -> str:
    """Return the same of a patient row."""
    return _canonical(stored_phone, country) or f"patient {patient_id}"


def _canonical(stored: str | None, country: str) -> str | None:
    """Return a phone as phones are compared; with nothing due there are none to be read."""
    from smartia_jobs.phones import canonical_phone

    return canonical_phone(stored, country)
