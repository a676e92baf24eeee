"""Who is due for one kind of message: what the outbox, which knows no clinic, asks of one."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from smartia_jobs.appointment import Appointment, PersonDay
from smartia_jobs.report import Reason

if TYPE_CHECKING:
    from smartia_jobs.message import SentMessage

Pages = Callable[[Connection], Sequence[PersonDay] | None]
Reread = Callable[[Connection, Collection[int]], Mapping[int, Appointment]]
Refusal = Callable[[Appointment, datetime], Reason | None]
Vetoes = Callable[[Connection, Collection[Appointment]], Mapping[int, Reason]]
SendBefore = Callable[[Appointment, datetime], datetime]
WriteInteractions = Callable[[Connection, Sequence["SentMessage"]], None]


def no_vetoes(_: Connection, __: Collection[Appointment]) -> Mapping[int, Reason]:
    """Have no reason against any visit."""
    return {}


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of message, and the questions about whom it goes to.

    Attributes:
        kind: part of the outbox's key (``24h``, ``2h``, ``no_show``).
        next_page: the next due person-days, nearest first; None after the last.
        reread: visits as they are now, by id; one that is gone is not among them.
        refusals: why nothing is sent about a visit at a moment, asked in turn; None: it is due.
        send_before: the instant from which a visit's message must no longer be tried.
        write_interactions: remembers accepted messages where the clinic reads its dialogues.
        vetoes: reasons against these visits that come from other rows, by id.
        to_patient: the patient row is the recipient, whatever phone it has: a person is invited
            back once, not once at each of their numbers.
    """

    kind: str
    next_page: Pages
    reread: Reread
    refusals: tuple[Refusal, ...]
    send_before: SendBefore
    write_interactions: WriteInteractions
    vetoes: Vetoes = no_vetoes
    to_patient: bool = False

    def refusal(self, appointment: Appointment, now: datetime) -> Reason | None:
        """Return the first reason against this visit at ``now``; None when it is due."""
        reasons = (refusal(appointment, now) for refusal in self.refusals)
        return next((reason for reason in reasons if reason is not None), None)
