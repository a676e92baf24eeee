"""The numbers of a period: what became of the visits, of the messages, and whether they help."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from functools import cache, partial
from typing import Any, TypeVar

from sqlalchemy import Connection

from smartia_jobs.appointment import AppointmentStatus
from smartia_jobs.catalogue.loading import MessageTemplate, load_catalogue
from smartia_jobs.clinic.effect import Comparison, Effect, Group
from smartia_jobs.clinic.period import Period, midnight
from smartia_jobs.clinic.statistics import (
    StatusCounts,
    Tally,
    Unreadable,
    count_rebooked,
    read_visits,
)
from smartia_jobs.clinic.times import WIDENING, StoredTimes, to_instant, to_wall
from smartia_jobs.clinic.told import AnswerCounts, Told
from smartia_jobs.clinic.unreadable import count_dates_out_of_reach
from smartia_jobs.jobs.opening import open_clinic
from smartia_jobs.kinds import INVITATION, KINDS, WORDS_BACK
from smartia_jobs.outbox import statistics as outbox
from smartia_jobs.outbox.statistics import (
    Category,
    Counted,
    FailureReason,
    MessageCounts,
    Record,
)
from smartia_jobs.run import Run
from smartia_jobs.store.answered import (
    Answered,
    Span,
    answers_since,
    count_effects,
    count_waiting,
    read_answers,
    read_reminders,
)
from smartia_jobs.store.listening import category_moves
from smartia_jobs.store.schema import tables_exist
from smartia_jobs.store.states import State

Named = TypeVar("Named", bound=str)


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
    #: What was answered is not known: no answer of a patient's was ever heard.
    NO_ANSWER_HEARD = "no_answer_heard"
    #: It is known only since the first answer was heard, which is within the period.
    ANSWERS_INCOMPLETE = "answers_incomplete"
    #: The same for the period before.
    PREVIOUS_ANSWERS_INCOMPLETE = "previous_answers_incomplete"
    #: Answers have come that no run has read.
    ANSWERS_WAITING = "answers_waiting"
    #: The catalogue has the templates of some messages no longer: whether they asked, and what Meta
    #: charges them as, is not known.
    TEMPLATES_UNKNOWN = "templates_unknown"
    #: Some groups of the effect table are too small to say much.
    SMALL_GROUPS = "small_groups"
    #: Some visits stand in no lead time of the effect table.
    VISITS_WITHOUT_LEAD_TIME = "visits_without_lead_time"


@dataclass(frozen=True, slots=True)
class Reengagement:
    """Patients invited back in the period, and those who booked within 30 days of it."""

    invited: int = 0
    booked_again: int = 0


#: Those that are always shown; others where there are any.
_CATEGORIES = (Category.UTILITY, Category.MARKETING, Category.SERVICE)


@dataclass(frozen=True, slots=True)
class Figures:
    """What is counted for the period and, to compare, for the one before.

    Attributes:
        period: the one.
        appointments: its visits.
        messages: by kind; both periods have the same, those of the program first.
        categories: the same messages by what Meta charges them as; both periods have the same.
        cancelled_in_advance: cancelled visits whose patients had said no before them: their time
            could be given to somebody else, which is what asking is for. None: not known.
    """

    period: Period
    appointments: StatusCounts
    messages: Mapping[str, MessageCounts] = field(
        default_factory=lambda: dict.fromkeys(KINDS, MessageCounts())
    )
    categories: Mapping[Category, MessageCounts] = field(
        default_factory=lambda: dict.fromkeys(_CATEGORIES, MessageCounts())
    )
    cancelled_in_advance: int | None = None

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
            "cancelled_in_advance": self.cancelled_in_advance,
            "no_show_rate": visits.no_show_rate,
            "completion_rate": visits.completion_rate,
            "no_show_rate_of_attended_or_missed": visits.no_show_rate_of_attended_or_missed,
            "attended_or_missed": visits.attended_or_missed,
            "unresolved": visits.unresolved,
            "messages": {kind: counts.as_json() for kind, counts in self.messages.items()},
            "messages_by_category": {
                str(category): {"sent": counts.sent, "delivered": counts.delivered}
                for category, counts in self.categories.items()
            },
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
        categories_by_day: likewise, by category.
        undelivered_by_day: likewise, by Meta's reason.
        answered: the visits by what their patients had answered before them, those left out of
            which that is not known; empty when it is known of none.
        answered_by_day: the same by local day, those that have any.
        in_advance_by_day: the visits cancelled in advance by local day, those that have any.
        answers: what was answered to messages of the period that asked, by kind; None: not known.
        answer_effects: what was done about the answers that came in the period, as the words of
            :class:`smartia_jobs.store.effects.Effect`.
        answers_waiting: answers that no run has read.
        unreadable: visits whose date seems to be of the period and is none; in no count.
        out_of_reach: open visits of whatever day whose date no run can read; in no count.
        effect: missed visits by reminders.
        reengagement: patients who came back.
        failure_reasons: the most frequent first.
        undelivered_reasons: likewise, of messages that WhatsApp had accepted.
        messages_since: when the oldest message on record was claimed, those aside that a purge
            keeps; None without any.
        heard_since: when the first status of a message came; None: none ever did.
        answers_since: when the first answer on record came; None: none ever did.
        notes: what to know before trusting a figure.
    """

    figures: Figures
    previous: Figures
    by_day: Mapping[date, StatusCounts]
    by_weekday: tuple[StatusCounts, ...]
    by_hour: Mapping[int, StatusCounts]
    messages_by_day: Mapping[date, Mapping[str, MessageCounts]] = field(default_factory=dict)
    categories_by_day: Mapping[date, Mapping[Category, MessageCounts]] = field(default_factory=dict)
    undelivered_by_day: Mapping[date, Mapping[int | None, int]] = field(default_factory=dict)
    answered: Mapping[Answered, StatusCounts] = field(default_factory=dict)
    answered_by_day: Mapping[Answered, Mapping[date, StatusCounts]] = field(default_factory=dict)
    in_advance_by_day: Mapping[date, int] = field(default_factory=dict)
    answers: Mapping[str, AnswerCounts] | None = None
    answer_effects: Mapping[str, int] = field(default_factory=dict)
    answers_waiting: int = 0
    unreadable: int = 0
    out_of_reach: int = 0
    effect: Effect = field(default_factory=Effect)
    reengagement: Reengagement = field(default_factory=Reengagement)
    failure_reasons: tuple[FailureReason, ...] = ()
    undelivered_reasons: tuple[FailureReason, ...] = ()
    messages_since: datetime | None = None
    heard_since: datetime | None = None
    answers_since: datetime | None = None
    notes: tuple[Note, ...] = ()

    @property
    def templates_unknown(self) -> int:
        """Messages of the period by templates that the catalogue has no longer."""
        unknown = self.figures.categories.get(Category.UNKNOWN)
        return unknown.sent if unknown else 0

    def as_json(self) -> dict[str, Any]:
        """Return the stable JSON object (documented in docs/reference.md)."""
        zone = self.figures.period.zone
        since, heard, answers = (
            at and at.astimezone(zone).isoformat()
            for at in (self.messages_since, self.heard_since, self.answers_since)
        )
        return {
            **self.figures.as_json(),
            "answers": None
            if self.answers is None
            else {kind: counts.as_json() for kind, counts in self.answers.items()},
            "answer_effects": None if self.answers is None else dict(self.answer_effects),
            "by_answer": {
                str(said): {
                    **asdict(counts),
                    "no_show_rate_of_attended_or_missed": counts.no_show_rate_of_attended_or_missed,
                }
                for said, counts in self.answered.items()
            }
            or None,
            "effect": [_group_json(group) for group in self.effect.groups],
            "previous": self.previous.as_json(),
            "reengaged": asdict(self.reengagement),
            "failure_reasons": [asdict(reason) for reason in self.failure_reasons],
            "undelivered_reasons": [asdict(reason) for reason in self.undelivered_reasons],
            "by_weekday": [asdict(counts) for counts in self.by_weekday],
            "by_hour": {str(hour): asdict(counts) for hour, counts in self.by_hour.items()},
            "messages_since": since,
            "heard_since": heard,
            "answers_since": answers,
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
        if not has_messages:
            metrics = _count_visits(connection, times, period)
            return replace(metrics, notes=(*_notes_on_visits(metrics, until), Note.NO_OUTBOX))
        templates = load_catalogue(run.settings.messages_file).templates.values()
        record, since = outbox.record(connection), answers_since(connection)
        comparison = _compare(connection, period, record, since, templates)
        metrics = _count_visits(connection, times, period, comparison, since)
        metrics = _count_answers(connection, metrics, comparison, since, now=run.now)
        metrics = _count_messages(connection, times, metrics, record, templates)
        if messages_by_day:
            metrics = _count_days(connection, metrics, templates)
    notes = (*_notes_on_visits(metrics, until), *_notes_on_messages(metrics))
    return replace(metrics, notes=notes)


def _count_visits(
    connection: Connection,
    times: StoredTimes,
    period: Period,
    comparison: Comparison | None = None,
    since: datetime | None = None,
) -> Metrics:
    """Count the visits of the period and of the one before, each read once.

    Args:
        connection: a reading transaction.
        times: how SmartIA's dates are stored.
        period: the one.
        comparison: is told each visit of the period; None: nothing is known to compare it by.
        since: when the first answer came; None: none ever did.
    """
    earlier, now, before, unreadable = period.before, Tally(), Tally(), 0
    in_advance: dict[bool, Counter[date]] = {True: Counter(), False: Counter()}
    span, bookings = (earlier.from_at, period.to_at), comparison is not None
    for visit in read_visits(connection, times, *span, bookings=bookings):
        if isinstance(visit, Unreadable):
            unreadable += period.seems_to_hold(visit.stored_date)
            continue
        is_earlier = visit.start_at < period.from_at
        is_cancelled = visit.status == AppointmentStatus.CANCELLED
        if is_cancelled and comparison is not None and comparison.said_no(visit):
            in_advance[is_earlier][visit.hour.date()] += 1
        if is_earlier:
            before.add(visit.hour, visit.status)
        else:
            now.add(visit.hour, visit.status)
            if comparison is not None:
                comparison.add(visit)
    found = now.by_day()
    figures, previous = (
        Figures(
            span,
            visits.total(),
            cancelled_in_advance=said_no.total() if _heard_from(since, span) else None,
        )
        for span, visits, said_no in (
            (period, now, in_advance[False]),
            (earlier, before, in_advance[True]),
        )
    )
    return Metrics(
        figures=figures,
        previous=previous,
        by_day={day: found.get(day, StatusCounts()) for day in period.local_days()},
        by_weekday=now.by_weekday(),
        by_hour=now.by_hour(),
        in_advance_by_day=in_advance[False],
        unreadable=unreadable,
        out_of_reach=count_dates_out_of_reach(connection),
        effect=comparison.effect() if comparison is not None else Effect(),
    )


def _compare(
    connection: Connection,
    period: Period,
    record: Record | None,
    since: datetime | None,
    templates: Collection[MessageTemplate],
) -> Comparison | None:
    """Return what the period's visits had; None when nothing is known, of answers neither.

    What was answered is known as soon as an answer was heard. Visits are compared from the first on
    that a message on record told of: what earlier ones had is not known.
    """
    zone, day = period.zone, _heard_from(since, period)
    known_at = _known_at(record, period)
    if known_at is None and day is None:
        return None
    heard_from = None if day is None else midnight(day, zone)
    begins_at = cache(partial(to_instant, zone=zone))
    # Only to read few rows: where clocks go back, an earlier visit shows a later time.
    walls = (
        to_wall(period.before.from_at, zone) - WIDENING,
        to_wall(period.to_at, zone) + WIDENING,
    )
    span = Span(*walls, period.from_at, period.to_at)
    answers = read_answers(connection, span, begins_at=begins_at) if heard_from else {}
    told = Told({template.name: template.asks for template in templates}, answers)
    told.add(read_reminders(connection, span, heard_from=heard_from))
    return Comparison(zone, known_at, told, heard_from=day)


def _known_at(record: Record | None, period: Period) -> datetime | None:
    """Return since when it is known what visits of the period had; None: of none of them."""
    if record is None:
        return None
    known_at = max(record.since, to_instant(record.first_start, period.zone))
    return max(period.from_at, known_at) if known_at < period.to_at else None


def _heard_from(since: datetime | None, period: Period) -> date | None:
    """Return since when what was answered is known: the day of the first answer; None: not yet."""
    return None if since is None or since >= period.to_at else _day(since, period)


def _count_answers(
    connection: Connection,
    metrics: Metrics,
    comparison: Comparison | None,
    since: datetime | None,
    *,
    now: datetime,
) -> Metrics:
    """Add what was answered, where it is known; what is not becomes no 0."""
    period = metrics.figures.period
    metrics = replace(metrics, answers_since=since, answers_waiting=count_waiting(connection))
    if comparison is None or _heard_from(since, period) is None:
        return metrics
    answered = comparison.answered()
    effects = count_effects(connection, period.from_at, period.to_at)
    return replace(
        metrics,
        answered={said: tally.total() for said, tally in answered.items()},
        answered_by_day={said: tally.by_day() for said, tally in answered.items()},
        answers=comparison.told.answers(lambda start: to_instant(start, period.zone) <= now),
        answer_effects={str(effect): number for effect, number in effects.items()},
    )


def _count_messages(
    connection: Connection,
    times: StoredTimes,
    metrics: Metrics,
    record: Record | None,
    templates: Collection[MessageTemplate],
) -> Metrics:
    period, before = metrics.figures.period, metrics.previous.period
    heard_since, moves = record.heard_since if record else None, category_moves(connection)
    known = {one.name: one.category for one in templates}
    heard, heard_before = (_is_heard(heard_since, span) for span in (period, before))
    found, found_before = (
        outbox.count_messages(connection, span.from_at, span.to_at, heard=is_heard, moves=moves)
        for span, is_heard in ((period, heard), (before, heard_before))
    )
    kinds = (*KINDS, *sorted({one.kind for one in (*found, *found_before)}))
    # What was not sent stands in no category: nobody is charged for it.
    charged = {_category(one, known) for one in (*found, *found_before) if one.counts.sent}
    figures, previous = (
        replace(
            of_period,
            messages=_add_up(kinds, none, ((one.kind, one.counts) for one in counted)),
            categories=_add_up(
                (*_CATEGORIES, *sorted(charged)),
                none,
                ((_category(one, known), one.counts) for one in counted if one.counts.sent),
            ),
        )
        for of_period, counted, none in (
            (metrics.figures, found, MessageCounts.none(heard=heard)),
            (metrics.previous, found_before, MessageCounts.none(heard=heard_before)),
        )
    )
    span = (period.from_at, period.to_at)
    failures, undelivered = (
        tuple(outbox.top_reasons(connection, state, *span)) if any(numbers) else ()
        for state, numbers in (
            (State.FAILED, (counts.failed for counts in figures.messages.values())),
            (State.UNDELIVERED, (counts.undelivered for counts in figures.messages.values())),
        )
    )
    reengaged = figures.messages[INVITATION].sent > 0
    return replace(
        metrics,
        figures=figures,
        previous=previous,
        reengagement=_count_reengaged(connection, times, period) if reengaged else Reengagement(),
        failure_reasons=failures,
        undelivered_reasons=undelivered,
        messages_since=record.since if record else None,
        heard_since=heard_since,
    )


def _is_heard(heard_since: datetime | None, period: Period) -> bool:
    """Return whether anything is known of what became of the messages of a period."""
    return heard_since is not None and heard_since < period.to_at


def _add_up(
    names: Iterable[Named], none: MessageCounts, counted: Iterable[tuple[Named, MessageCounts]]
) -> dict[Named, MessageCounts]:
    """Return the counts under each of these names added up."""
    summed = dict.fromkeys(names, none)
    for name, counts in counted:
        summed[name] += counts
    return summed


def _category(counted: Counted, known: Mapping[str, str]) -> Category:
    """Return what Meta charges messages as: as it was told, else as the catalogue asks for.

    Args:
        counted: the messages.
        known: the category of each template of the catalogue, by its name at Meta.
    """
    if counted.kind == WORDS_BACK:
        return Category.SERVICE
    return Category.of(counted.moved_to or known.get(counted.template or ""))


def _count_days(
    connection: Connection, metrics: Metrics, templates: Collection[MessageTemplate]
) -> Metrics:
    """Add the messages of each day up, as they are read."""
    period = metrics.figures.period
    heard = _is_heard(metrics.heard_since, period)
    moves, none = category_moves(connection), MessageCounts.none(heard=heard)
    known = {one.name: one.category for one in templates}
    messages: dict[date, dict[str, MessageCounts]] = {}
    categories: dict[date, dict[Category, MessageCounts]] = {}
    undelivered: dict[date, Counter[int | None]] = {}
    span = (period.from_at, period.to_at)
    for one in outbox.read_messages(connection, *span, heard=heard, moves=moves):
        day, counts = to_wall(one.claimed_at, period.zone).date(), one.counted.counts
        of_day = messages.setdefault(day, {})
        of_day[one.counted.kind] = of_day.get(one.counted.kind, none) + counts
        if counts.sent:
            charged, category = categories.setdefault(day, {}), _category(one.counted, known)
            charged[category] = charged.get(category, none) + counts
        if counts.undelivered:
            undelivered.setdefault(day, Counter())[one.code] += 1
    return replace(
        metrics,
        messages_by_day=messages,
        categories_by_day=categories,
        undelivered_by_day=undelivered,
    )


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
        answers = [] if metrics.answers is None else _notes_on_answers(metrics, period.from_at)
        return [Note.NO_MESSAGES_RECORDED, *answers]
    begun_at, notes = max(period.from_at, since), []
    if since > period.from_at:
        notes.append(Note.MESSAGES_INCOMPLETE)
    elif since > metrics.previous.period.from_at:
        notes.append(Note.PREVIOUS_MESSAGES_INCOMPLETE)
    if metrics.heard_since is None:
        notes.append(Note.NO_STATUS_HEARD)
    elif _day(metrics.heard_since, period) > _day(begun_at, period):
        notes.append(Note.STATUSES_INCOMPLETE)
    notes += _notes_on_answers(metrics, begun_at)
    if metrics.templates_unknown:
        notes.append(Note.TEMPLATES_UNKNOWN)
    if any(group.is_small for group in metrics.effect.groups):
        notes.append(Note.SMALL_GROUPS)
    if metrics.effect.left_out:
        notes.append(Note.VISITS_WITHOUT_LEAD_TIME)
    return notes


def _notes_on_answers(metrics: Metrics, begun_at: datetime) -> list[Note]:
    """Return what to know of the answers of a period that begins, or whose messages do, then."""
    since, period, notes = metrics.answers_since, metrics.figures.period, []
    if since is None:
        notes.append(Note.NO_ANSWER_HEARD)
    elif _day(since, period) > _day(begun_at, period):
        notes.append(Note.ANSWERS_INCOMPLETE)
    elif since > metrics.previous.period.from_at:
        notes.append(Note.PREVIOUS_ANSWERS_INCOMPLETE)
    if metrics.answers_waiting:
        notes.append(Note.ANSWERS_WAITING)
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
