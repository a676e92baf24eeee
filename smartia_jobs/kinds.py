"""The kinds of message: each is declared here once, and the rest of the program follows.

A further reminder is one entry of :data:`REMINDERS` and a section of the shipped catalogue. Its
command, its settings, the limit of its time to live, what ``check`` and the statistics say of it
come from here; the tests then ask for its rows in the README. A clinic adds one of its own by a
section of its catalogue that says when it is due.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from smartia_jobs.timing import ReminderTimes

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Unit(StrEnum):
    """In which unit a reminder's latest moment is given."""

    HOURS = "HOURS"
    MINUTES = "MINUTES"


#: From how many to how many hours each time of a reminder may be.
LIMITS: Mapping[str, tuple[float, float]] = {
    "lead": (0.1, 336),
    "cadence": (0.01, 168),
    "latest": (0.01, 336),
}

#: What each time is called in a section of the clinic's catalogue.
KEYS: Mapping[str, str] = {
    "lead": "lead_hours",
    "cadence": "every_hours",
    "latest": "latest_hours",
}


@dataclass(frozen=True, slots=True)
class Conditions:
    """Which visits a kind of reminder leaves alone: keys of its section of the catalogue.

    Attributes:
        only_unconfirmed: visits that are CONFIRMED are.
        booked_days_ahead: visits booked fewer local days before they start are; 0: none is.
        followed_by: a kind nearer to the visit that takes over. Visits in its window are left to
            it, so what this kind does not reach is not ``missed``. Empty: none.
    """

    only_unconfirmed: bool = False
    booked_days_ahead: int = 0
    followed_by: str = ""


@dataclass(frozen=True, slots=True)
class ReminderKind:
    """One kind of reminder.

    Attributes:
        name: its section of the catalogue, and the ``kind`` of its outbox rows.
        times: its lead, cadence and latest moment, unless the clinic sets others.
        help: what ``--help`` of its command says, with an example.
        latest_in: the unit of the setting of its latest moment.
        conditions: which visits it leaves alone, unless the clinic's catalogue says otherwise.
        optional: a clinic may well do without it, so nothing is wrong while Meta has no template.
        own: the clinic's catalogue defines it, with its times.
    """

    name: str
    times: ReminderTimes
    help: str = ""
    latest_in: Unit = Unit.HOURS
    conditions: Conditions = Conditions()
    optional: bool = False
    own: bool = False

    @property
    def command(self) -> str:
        """What the scheduler calls."""
        return f"remind {self.name}" if self.own else self.name

    @property
    def bridges_days(self) -> bool:
        """Whether it reminds before days without sending, as no run makes up for them."""
        return self.times.cadence >= _DAY

    def setting(self, part: str) -> str:
        """Return what sets its ``lead``, ``cadence`` or ``latest``, for an operator."""
        if self.own:
            return f"{KEYS[part]} of [{self.name}] in MESSAGES_FILE"
        words = {"lead": "LEAD_HOURS", "cadence": "EVERY_HOURS"}
        return f"REMINDER_{self.name.upper()}_{words.get(part, f'LATEST_{self.latest_in}')}"


DAYS_AHEAD = ReminderKind(
    "72h",
    ReminderTimes(72 * _HOUR, cadence=24 * _HOUR, latest=24 * _HOUR),
    help="""\
    Ask patients who booked long ahead to confirm (schedule it daily at 9:00).

    Three days before the visit, at the clinic's time. Visits that are
    confirmed, or were booked less than a week ahead, are left to `24h`.

    Example: smartia-jobs 72h --dry-run
    """,
    conditions=Conditions(only_unconfirmed=True, booked_days_ahead=7, followed_by="24h"),
    optional=True,
)
DAY_AHEAD = ReminderKind(
    "24h",
    ReminderTimes(24 * _HOUR, cadence=24 * _HOUR, latest=6 * _HOUR),
    help="""\
    Remind patients about a day ahead (schedule it daily at 9:00 clinic time).

    Running it more often is harmless, and catches outages and late bookings.

    Example: smartia-jobs 24h --dry-run
    """,
)
HOURS_AHEAD = ReminderKind(
    "2h",
    ReminderTimes(2 * _HOUR, cadence=_HOUR, latest=45 * _MINUTE),
    help="""\
    Remind patients about two hours ahead (schedule it hourly).

    Example: smartia-jobs 2h --dry-run --now 2026-11-23T14:00
    """,
    latest_in=Unit.MINUTES,
)

#: The reminders, farthest ahead first.
REMINDERS = (DAYS_AHEAD, DAY_AHEAD, HOURS_AHEAD)

#: The invitation to come back after a no-show.
INVITATION = "no_show"

#: A short free text to a patient who answered: no template, and no reminder.
WORDS_BACK = "words_back"

#: Every kind of message, by the name that its section and its outbox rows carry.
KINDS = (*(kind.name for kind in REMINDERS), INVITATION)


def english_label(kind: str) -> str:
    """Return what a table calls messages of this kind, also of one that nobody defines now."""
    return {INVITATION: "re-engagement", WORDS_BACK: "word back"}.get(kind, f"reminder {kind}")


def portuguese_label(kind: str) -> str:
    """Return what the page for the clinic's owner calls them."""
    if kind == INVITATION:
        return "convite após falta"
    if kind == WORDS_BACK:
        return "retorno a uma resposta"
    if length := re.fullmatch("([0-9]+)([a-z])", kind):
        return f"lembrete de {length[1]}\N{NO-BREAK SPACE}{length[2]}"
    return f"lembrete {kind}"


def is_a_name(text: str) -> bool:
    """Whether a reminder of the clinic's own may have this name."""
    return re.fullmatch(r"[a-z0-9_-]{1,20}", text) is not None


def too_long(times: ReminderTimes) -> str | None:
    """Return which of its times leaves visits that no run would remind; None when none does.

    Returns:
        ``cadence`` when half of it reaches the lead, ``latest`` when it is longer than the lead
        less half of the cadence.
    """
    if longest_latest(times) <= timedelta(0):
        return "cadence"
    return "latest" if times.latest > longest_latest(times) else None


def longest_latest(times: ReminderTimes) -> timedelta:
    """Return how near to a visit the first run can be that finds it in its window."""
    return times.lead - times.cadence / 2
