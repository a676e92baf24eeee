"""What a job hands back: every appointment it looked at, accounted for, and the exit status."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from smartia_jobs.errors import PRECEDENCE, ExitStatus


class Result(StrEnum):
    """What became of one appointment in this run."""

    #: WhatsApp accepted its message.
    SENT = "sent"
    #: WhatsApp refused this patient, or the number cannot be a phone.
    FAILED = "failed"
    #: Surely not accepted; the next run tries again.
    RETRY = "retry"
    #: May have been accepted; held, and not sent again unless somebody decides so.
    UNKNOWN = "unknown"
    #: A dry run: this one would be sent.
    WOULD_SEND = "would_send"
    #: Released or never reached: the run stopped, or ``--limit`` was used up.
    LEFT = "left"
    #: Looked at and rightly not messaged; the reason is counted.
    SKIPPED = "skipped"


class Reason(StrEnum):
    """Why an appointment was skipped: the keys of ``skipped`` in the report."""

    ALREADY_SENT = "already_sent"
    #: The patient was told of this very time by another appointment that is the same visit.
    ALREADY_TOLD = "already_told"
    BEING_SENT_ELSEWHERE = "being_sent_elsewhere"
    HELD_UNKNOWN = "held_unknown"
    ALREADY_FAILED = "already_failed"
    QUIET_HOURS = "quiet_hours"
    NO_SEND_DAY = "no_send_day"
    SHORT_NOTICE = "short_notice"
    #: The patient has confirmed, and this kind of reminder only asks those who have not.
    CONFIRMED = "confirmed"
    #: Booked so near to the visit that this kind of reminder is not for it.
    BOOKED_LATELY = "booked_lately"
    #: The patient answered that they cannot come, or want another time.
    SAID_NO = "said_no"
    #: Somebody answered that the number is not the patient's.
    NUMBER_DISPUTED = "number_disputed"
    #: WhatsApp could not reach the phone within the last week.
    UNREACHABLE = "unreachable"
    NOT_IN_ONLY_TO = "not_in_only_to"
    NO_STATUS = "no_status"
    UNREADABLE_DATE = "unreadable_date"
    PATIENT_MISSING = "patient_missing"
    #: Cancelled, completed or deleted between reading and claiming.
    NO_LONGER_OPEN = "no_longer_open"
    #: Moved between reading and claiming; the next run reminds it at its new time.
    MOVED = "moved"
    #: Too little time was left when its turn came for the reminder to be of use.
    TOO_LATE = "too_late"
    #: The person asked for no messages, or for no invitations.
    OPTED_OUT = "opted_out"
    #: Re-engagement only.
    REBOOKED = "rebooked"
    SEEN_AFTER_ALL = "seen_after_all"
    #: The patient cancelled in SmartIA's chat, which leaves the visit in the book: no no-show.
    CANCELLED_BY_CHAT = "cancelled_by_chat"
    #: One invitation per person: an earlier no-show has it, or they were invited lately.
    ALREADY_INVITED = "already_invited"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one appointment, as a value that a report can add up.

    Attributes:
        appointment_id: whose.
        result: what became of it.
        reason: a :class:`Reason` for a skip, else a short sentence or empty.
        start: the clinic wall time, for a dry run's decisions.
        phone: masked, for a dry run's decisions.
        messages: requests accepted with this outcome: 1 for the leader of a group that was
            sent, 0 for its followers and for everything else.
        together_with: the appointment in whose message this visit is told; None: in its own. For
            a dry run's decisions.
    """

    appointment_id: int
    result: Result
    reason: str = ""
    start: datetime | None = None
    phone: str | None = None
    messages: int = 0
    together_with: int | None = None


#: What a person should follow up.
_UNREACHED = frozenset({Result.FAILED, Result.UNKNOWN})

#: How many of them are named; the outbox lists all.
MOST_NAMED = 10


@dataclass(slots=True)
class Report:
    """The sum of a run. ``due`` is what the results add up to, by construction."""

    job: str
    run_id: str
    now: datetime
    timezone: str
    #: From when to when a reminder job looked for visits, aware, both included.
    window: tuple[datetime, datetime] | None = None
    dry_run: bool = False
    strict: bool = False
    results: Counter[Result] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    #: Reminders that were due and can no longer be sent.
    missed: int = 0
    messages: int = 0
    held_unknown: int = 0
    #: Messages on record that SmartIA's ``interactions`` do not have.
    interactions_missing: int = 0
    #: Visits, of any day, whose date is written so that no run finds them.
    unreadable_dates: int = 0
    #: Why the run ended before its work did, in a sentence; None when it did not.
    stopped: str | None = None
    duration_s: float = 0.0
    #: Statuses that the run's end adds to those the counts imply.
    statuses: set[ExitStatus] = field(default_factory=set)
    #: A dry run's decisions, in the order of the visits.
    decisions: list[dict[str, Any]] = field(default_factory=list)
    #: Figures of one job alone (``marked``, ``left_open``), in the order they are shown.
    extra: dict[str, int] = field(default_factory=dict)
    #: ``replies`` only: statuses that are about no message of ours, by reason.
    ignored: Mapping[str, int] | None = None
    #: Whether a table for a person speaks of visits at all.
    about_visits: bool = True
    #: Warnings for a person: what to look at, in a sentence each.
    warnings: list[str] = field(default_factory=list)
    #: The first patients who were not reached, for a person to follow up.
    unreached: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one appointment; keep its decision in a dry run."""
        self.results[outcome.result] += 1
        self.messages += outcome.messages
        if outcome.result is Result.SKIPPED:
            self.skipped[outcome.reason] += 1
        if outcome.result in _UNREACHED and len(self.unreached) < MOST_NAMED:
            self.unreached.append(outcome)
        if self.dry_run:
            self.decide(
                outcome.appointment_id,
                outcome.start,
                outcome.result,
                outcome.reason or None,
                phone=outcome.phone,
                together_with=outcome.together_with,
            )

    def decide(
        self,
        appointment_id: int | None,
        start: datetime | None,
        decision: str,
        reason: str | None,
        *,
        phone: str | None,
        together_with: int | None = None,
        **more: object,
    ) -> None:
        """Keep one decision of a dry run; ``phone`` is masked, ``more`` are keys of one job."""
        self.decisions.append(
            {
                **more,
                "appointment_id": appointment_id,
                "start": start and start.isoformat(),
                "decision": str(decision),
                "reason": reason,
                "phone": phone,
                "together_with": together_with,
            }
        )

    def stop(self, why: str, status: ExitStatus) -> None:
        """Note that the run ended early; the first reason stays."""
        self.statuses.add(status)
        if self.stopped is None:
            self.stopped = why

    @property
    def due(self) -> int:
        """How many appointments were looked at."""
        return self.results.total()

    @property
    def exit_status(self) -> ExitStatus:
        """The one status that tells the scheduler the truth."""
        statuses = self.statuses | self._implied_statuses()
        return next((status for status in PRECEDENCE if status in statuses), ExitStatus.OK)

    def _implied_statuses(self) -> set[ExitStatus]:
        """Return what the counts say; those of a dry run are foreseen, not its own failures."""
        if self.dry_run:
            return set()
        implied: set[ExitStatus] = set()
        if self.results[Result.RETRY]:
            implied.add(ExitStatus.RETRY)
        unreached = self.results[Result.FAILED] + self.results[Result.UNKNOWN]
        tried = unreached + self.results[Result.SENT]
        many = tried >= 5 and unreached * 2 >= tried
        if many or (self.strict and unreached):
            implied.add(ExitStatus.UNREACHED)
        return implied

    def as_json(self) -> dict[str, Any]:
        """Return the stable JSON object that docs/reference.md documents."""
        counts: Mapping[str, int] = {
            str(result): self.results[result] for result in Result if result is not Result.SKIPPED
        }
        body: dict[str, Any] = {
            "job": self.job,
            "run_id": self.run_id,
            "dry_run": self.dry_run,
            "now": self.now.isoformat(),
            "timezone": self.timezone,
            "window": self.window
            and dict(zip(("from", "until"), (at.isoformat() for at in self.window), strict=True)),
            "due": self.due,
            **counts,
            "skipped": dict(sorted(self.skipped.items())),
            "missed": self.missed,
            "messages": self.messages,
            "held_unknown": self.held_unknown,
            "interactions_missing": self.interactions_missing,
            "unreadable_dates": self.unreadable_dates,
            **self.extra,
            **({} if self.ignored is None else {"ignored": dict(self.ignored)}),
            "stopped": self.stopped,
            "duration_s": round(self.duration_s, 3),
            "exit_code": int(self.exit_status),
        }
        if self.dry_run:
            body["decisions"] = self.decisions
        return body
