"""The clinic's side of an errand, put together from the questions asked of its database."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from smartia_jobs.appointment import Appointment
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.interactions import newest_conversations, write_interactions
from smartia_jobs.clinic.visit_days import VisitDay
from smartia_jobs.message import Conversations, SentMessage
from smartia_jobs.report import Reason

Pages = Callable[[Connection], Sequence[VisitDay] | None]
Refusal = Callable[[Appointment, datetime], Reason | None]
SendBefore = Callable[[Appointment, datetime], datetime]
Vetoes = Callable[[Connection, Collection[Appointment]], Mapping[int, Reason]]


def no_vetoes(_: Connection, __: Collection[Appointment]) -> Mapping[int, Reason]:
    """Leave the decision to the visit itself."""
    return {}


@dataclass(frozen=True, slots=True)
class ClinicCalendar:
    """Who is due and how things stand; fulfils :class:`smartia_jobs.outbox.errand.Calendar`.

    Attributes:
        appointments: the questions asked of ``appointments``.
        pages: the next due person-days.
        refusals: rules asked in turn; the first reason counts.
        until: from when a message must not be tried any more.
        ask_vetoes: reasons that only other rows can tell.
    """

    appointments: Appointments
    pages: Pages
    refusals: tuple[Refusal, ...]
    until: SendBefore
    ask_vetoes: Vetoes = no_vetoes

    def next_page(self, connection: Connection) -> Sequence[VisitDay] | None:
        """Return the next due person-days, nearest first; None after the last."""
        return self.pages(connection)

    def refusal(self, appointment: Appointment, now: datetime) -> Reason | None:
        """Return why nothing is sent about this visit at ``now``; None when it is due."""
        for refusal in self.refusals:
            if (reason := refusal(appointment, now)) is not None:
                return reason
        return None

    def send_before(self, appointment: Appointment, now: datetime) -> datetime:
        """Return the instant from which the message must not be tried any more."""
        return self.until(appointment, now)

    def reread(self, connection: Connection, ids: Collection[int]) -> Mapping[int, Appointment]:
        """Return the visits as they are now; one that is gone is not among them."""
        return self.appointments.by_id(connection, ids)

    def vetoes(
        self, connection: Connection, visits: Collection[Appointment]
    ) -> Mapping[int, Reason]:
        """Return reasons against these visits that only other rows can tell, by id."""
        return self.ask_vetoes(connection, visits)

    def conversations(self, connection: Connection, patient_ids: Collection[int]) -> Conversations:
        """Return where messages to these patients belong."""
        return newest_conversations(connection, patient_ids)

    def write_interactions(self, connection: Connection, sent: Sequence[SentMessage]) -> None:
        """Remember accepted messages where the clinic reads its dialogues."""
        write_interactions(connection, sent)
