"""The numbers of a period: what became of the visits, of the messages, and whether they help."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection

from smartia_jobs.clinic.effect import Comparison, Effect, Group, what_reminded
from smartia_jobs.clinic.period import Period
from smartia_jobs.clinic.statistics import (
    StatusCounts,
    Tally,
    Unreadable,
    count_rebooked,
    read_visits,
)
from smartia_jobs.clinic.times import WIDENING, StoredTimes, to_instant, to_wall
from smartia_jobs.clinic.unreadable import count_dates_out_of_reach
from smartia_jobs.jobs.opening import open_clinic
from smartia_jobs.kinds import INVITATION, KINDS
from smartia_jobs.outbox import statistics as outbox
from smartia_jobs.outbox.statistics import FailureReason, MessageCounts, Record
from smartia_jobs.run import Run
from smartia_jobs.store.schema import tables_exist
from smartia_jobs.store.states import State


class Note(StrEnum):
    """What a reader must know before trusting a figure; the codes of ``notes`` in the JSON."""

    #: ``--until`` lies ahead; the period ends now.
    UNTIL_IN_FUTURE = "until_in_future"
    #: Past visits are still open, so every rate is uncertain.
    UNRESOLVED_VISITS = "unresolved_visits"
    #: Some visits have a date that is none (31 November); they are in no count.
    UNREADABLE_DATES = "unreadable_dates"
    #: Open visits, of whatever day, have a date that no run can read; they are in no count.
    DATES_OUT_OF_REACH = "dates_out_of_reach"
    #: Our own tables do not exist: no message was ever sent from this database.
    NO_OUTBOX = "no_outbox"
    #: No message whose outcome is known is recorded before the end of the period.
    NO_MESSAGES_RECORDED = "no_messages_recorded"
    #: The oldest message on record is younger than the period (begun later, or purged).
    MESSAGES_INCOMPLETE = "messages_incomplete"
    #: The same for the period before.
    PREVIOUS_MESSAGES_INCOMPLETE = "previous_messages_incomplete"
    #: What became of accepted messages is not known: no status was ever heard.
    NO_STATUS_HEARD = "no_status_heard"
    #: It is known only of those since the first status was heard, which is within the period.
    STATUSES_INCOMPLETE = "statuses_incomplete"
    #: Some groups of the effect table are too small to say much.
    SMALL_GROUPS = "small_groups"
    #: Some visits stand in no lead time of the effect table.
    VISITS_WITHOUT_LEAD_TIME = "visits_without_lead_time"


@dataclass(frozen=True, slots=True)
class Reengagement:
    """Patients invited back in the period, and those who booked within 30 days of it."""

    invited: int = 0
    booked_again: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """What is counted for the period and, to compare, for the one before.

    Attributes:
        period: the one.
        appointments: its visits.
        messages: by kind; both periods have the same, those of the program first.
    """

    period: Period
    appointments: StatusCounts
    messages: Mapping[str, MessageCounts] = field(
        default_factory=lambda: dict.fromkeys(KINDS, MessageCounts())
    )

    def as_json(self) -> dict[str, Any]:
        """Return the JSON of these figures (documented in docs/reference.md)."""
        zone, visits = self.period.zone, self.appointments
        return {
            "period": {
                "from": self.period.from_at.astimezone(zone).isoformat(),
                "to": self.period.to_at.astimezone(zone).isoformat(),
                "days": self.period.days,
                "timezone": zone.key,
            },
            "appointments": asdict(visits),
            "no_show_rate": visits.no_show_rate,
            "completion_rate": visits.completion_rate,
            "no_show_rate_of_attended_or_missed": visits.no_show_rate_of_attended_or_missed,
            "attended_or_missed": visits.attended_or_missed,
            "unresolved": visits.unresolved,
            "messages": {kind: counts.as_json() for kind, counts in self.messages.items()},
        }


@dataclass(frozen=True, slots=True)
class Metrics:
    """The numbers of one period, ready to be shown.

    Attributes:
        figures: the period's own.
        previous: those of the period before.
        by_day: every local day of the period, in order, those without visits included.
        by_weekday: Monday first, all seven.
        by_hour: local hours that have visits, in order.
        messages_by_day: the messages first claimed on each local day of the period that has any,
            by kind; empty unless it was asked for.
        undelivered_by_day: likewise, by Meta's reason.
        unreadable: visits whose date seems to be of the period and is none; in no count.
        out_of_reach: open visits of whatever day whose date no run can read; in no count.
        effect: missed visits by reminders.
        reengagement: patients who came back.
        failure_reasons: the most frequent first.
        undelivered_reasons: likewise, of messages that WhatsApp had accepted.
        messages_since: when the oldest message on record was claimed, those aside that a purge
            keeps; None without any.
        heard_since: when the first status of a message came; None: none ever did.
        notes: what to know before trusting a figure.
    """

    figures: Figures
    previous: Figures
    by_day: Mapping[date, StatusCounts]
    by_weekday: tuple[StatusCounts, ...]
    by_hour: Mapping[int, StatusCounts]
    messages_by_day: Mapping[date, Mapping[str, MessageCounts]] = field(default_factory=dict)
    undelivered_by_day: Mapping[date, Mapping[int | None, int]] = field(default_factory=dict)
    unreadable: int = 0
    out_of_reach: int = 0
    effect: Effect = field(default_factory=Effect)
    reengagement: Reengagement = field(default_factory=Reengagement)
    failure_reasons: tuple[FailureReason, ...] = ()
    undelivered_reasons: tuple[FailureReason, ...] = ()
    messages_since: datetime | None = None
    heard_since: datetime | None = None
    notes: tuple[Note, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the stable JSON object (documented in docs/reference.md)."""
        zone = self.figures.period.zone
        since, heard = (
            at and at.astimezone(zone).isoformat() for at in (self.messages_since, self.heard_since)
        )
        return {
            **self.figures.as_json(),
            "effect": [_group_json(group) for group in self.effect.groups],
            "previous": self.previous.as_json(),
            "reengaged": asdict(self.reengagement),
            "failure_reasons": [asdict(reason) for reason in self.failure_reasons],
            "undelivered_reasons": [asdict(reason) for reason in self.undelivered_reasons],
            "by_weekday": [asdict(counts) for counts in self.by_weekday],
            "by_hour": {str(hour): asdict(counts) for hour, counts in self.by_hour.items()},
            "messages_since": since,
            "heard_since": heard,
            "notes": [str(note) for note in self.notes],
        }


def build_metrics(
    run: Run, *, days: int = 30, until: date | None = None, messages_by_day: bool = False
) -> Metrics:
    """Count what became of a period's visits and messages, beside the period before.

    Each visit is read once and added up here, as the jobs read it: so a figure and a reminder
    mean the same by a local day. Rows are read as they come, however many there are.

    Args:
        run: its database is only read from.
        days: how many local days before its end the period begins; at least 1.
        until: the last local day that belongs to it; None, or a day to come, for up to now.
        messages_by_day: also count the messages of each day, which reads them one by one.

    Raises:
        ConfigurationError: the database is not SmartIA's, our own tables are too old to be
            read, or how SmartIA's times are stored was not said.
    """
    # As in a dry run: a report makes no table and no index.
    times = open_clinic(replace(run, dry_run=True)).times
    period = Period.last(days, run.now, times.zone, until=until)
    with run.database.read() as connection:
        has_messages = tables_exist(connection)
        record = outbox.record(connection) if has_messages else None
        comparison = _compare_reminders(connection, period, record)
        metrics = _count_visits(connection, times, period, comparison)
        notes = [Note.NO_OUTBOX]
        if has_messages:
            metrics = _count_messages(connection, times, metrics, record)
            if messages_by_day:
                metrics = _count_days(connection, metrics)
            notes = _notes_on_messages(metrics)
    return replace(metrics, notes=(*_notes_on_visits(metrics, until), *notes))


def _count_visits(
    connection: Connection, times: StoredTimes, period: Period, comparison: Comparison | None
) -> Metrics:
    earlier, now, before, unreadable = period.before, Tally(), Tally(), 0
    span, bookings = (earlier.from_at, period.to_at), comparison is not None
    for visit in read_visits(connection, times, *span, bookings=bookings):
        if isinstance(visit, Unreadable):
            unreadable += period.seems_to_hold(visit.stored_date)
        elif visit.start_at < period.from_at:
            before.add(visit)
        else:
            now.add(visit)
            if comparison is not None:
                comparison.add(visit)
    found = now.by_day()
    return Metrics(
        figures=Figures(period, now.total()),
        previous=Figures(earlier, before.total()),
        by_day={day: found.get(day, StatusCounts()) for day in period.local_days()},
        by_weekday=now.by_weekday(),
        by_hour=now.by_hour(),
        unreadable=unreadable,
        out_of_reach=count_dates_out_of_reach(connection),
        effect=comparison.effect() if comparison is not None else Effect(),
    )


def _compare_reminders(
    connection: Connection, period: Period, record: Record | None
) -> Comparison | None:
    """Return what to compare the period's visits by; None when there is nothing to compare.

    Visits from before messages are on record are left out: what they had is not known.
    """
    if record is None:
        return None
    known_at = max(period.from_at, record.since, to_instant(record.first_start, period.zone))
    if known_at >= period.to_at:
        return None
    reminders = outbox.reminders(
        connection,
        # Only to read few rows: where clocks go back, an earlier visit shows a later time.
        to_wall(known_at, period.zone) - WIDENING,
        to_wall(period.to_at, period.zone) + WIDENING,
    )
    return Comparison(period.zone, known_at, what_reminded(reminders))


def _count_messages(
    connection: Connection, times: StoredTimes, metrics: Metrics, record: Record | None
) -> Metrics:
    period, before = metrics.figures.period, metrics.previous.period
    heard_since = record.heard_since if record else None
    heard = heard_since is not None
    found, found_before = (
        outbox.count_messages(connection, span.from_at, span.to_at, heard=heard)
        for span in (period, before)
    )
    none = MessageCounts.none(heard=heard)
    every_kind = dict.fromkeys((*KINDS, *sorted(found | found_before)), none)
    messages, previous_messages = every_kind | found, every_kind | found_before
    span = (period.from_at, period.to_at)
    failures, undelivered = (
        tuple(outbox.top_reasons(connection, state, *span)) if any(numbers) else ()
        for state, numbers in (
            (State.FAILED, (counts.failed for counts in messages.values())),
            (State.UNDELIVERED, (counts.undelivered for counts in messages.values())),
        )
    )
    reengaged = messages[INVITATION].sent > 0
    return replace(
        metrics,
        figures=replace(metrics.figures, messages=messages),
        previous=replace(metrics.previous, messages=previous_messages),
        reengagement=_count_reengaged(connection, times, period) if reengaged else Reengagement(),
        failure_reasons=failures,
        undelivered_reasons=undelivered,
        messages_since=record.since if record else None,
        heard_since=heard_since,
    )


def _count_days(connection: Connection, metrics: Metrics) -> Metrics:
    """Add the messages of each day up, as they are read."""
    period, heard = metrics.figures.period, metrics.heard_since is not None
    messages: dict[date, dict[str, MessageCounts]] = {}
    undelivered: dict[date, Counter[int | None]] = {}
    for one in outbox.read_messages(connection, period.from_at, period.to_at, heard=heard):
        day = to_wall(one.claimed_at, period.zone).date()
        of_day = messages.setdefault(day, {})
        of_day[one.kind] = of_day.get(one.kind, MessageCounts.none(heard=heard)) + one.counts
        if one.counts.undelivered:
            undelivered.setdefault(day, Counter())[one.code] += 1
    return replace(metrics, messages_by_day=messages, undelivered_by_day=undelivered)


def _count_reengaged(connection: Connection, times: StoredTimes, period: Period) -> Reengagement:
    span = (period.from_at, period.to_at)
    invitations = outbox.accepted_invitations(*span)
    return Reengagement(
        invited=outbox.count_invited(connection, *span),
        booked_again=count_rebooked(connection, times, period, invitations),
    )


def _notes_on_visits(metrics: Metrics, until: date | None) -> list[Note]:
    period, notes = metrics.figures.period, []
    if until is not None and until > to_wall(period.to_at, period.zone).date():
        notes.append(Note.UNTIL_IN_FUTURE)
    if metrics.figures.appointments.unresolved:
        notes.append(Note.UNRESOLVED_VISITS)
    if metrics.unreadable:
        notes.append(Note.UNREADABLE_DATES)
    if metrics.out_of_reach:
        notes.append(Note.DATES_OUT_OF_REACH)
    return notes


def _notes_on_messages(metrics: Metrics) -> list[Note]:
    since, period = metrics.messages_since, metrics.figures.period
    if since is None or since >= period.to_at:
        return [Note.NO_MESSAGES_RECORDED]
    notes = []
    if since > period.from_at:
        notes.append(Note.MESSAGES_INCOMPLETE)
    elif since > metrics.previous.period.from_at:
        notes.append(Note.PREVIOUS_MESSAGES_INCOMPLETE)
    if metrics.heard_since is None:
        notes.append(Note.NO_STATUS_HEARD)
    elif _day(metrics.heard_since, period) > _day(max(period.from_at, since), period):
        notes.append(Note.STATUSES_INCOMPLETE)
    if any(group.is_small for group in metrics.effect.groups):
        notes.append(Note.SMALL_GROUPS)
    if metrics.effect.left_out:
        notes.append(Note.VISITS_WITHOUT_LEAD_TIME)
    return notes


def _day(at: datetime, period: Period) -> date:
    return to_wall(at, period.zone).date()


def _group_json(group: Group) -> dict[str, Any]:
    low, high = group.interval or (None, None)
    return {
        "lead_time": str(group.lead_time),
        "reminded": str(group.reminded),
        "attended_or_missed": group.visits,
        "no_show": group.no_show,
        "no_show_rate": group.no_show_rate,
        "low": low,
        "high": high,
        "small": group.is_small,
    }
