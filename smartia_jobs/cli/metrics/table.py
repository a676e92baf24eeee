"""The numbers on a terminal, and the same without colours and bars in a pipe."""

from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.bar import Bar
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from smartia_jobs.cli.metrics.wording import (
    ENGLISH,
    ENGLISH_IN_ADVANCE,
    duration,
    english_reason,
    in_advance,
    sentences,
)
from smartia_jobs.clinic.effect import Group, LeadTime
from smartia_jobs.clinic.statistics import StatusCounts, rate
from smartia_jobs.clinic.told import Reminded
from smartia_jobs.jobs.metrics import Metrics, Note
from smartia_jobs.kinds import english_label
from smartia_jobs.outbox.statistics import Category, FailureReason
from smartia_jobs.store.answered import Answered

#: What a pipe or a file gets.
_PLAIN_WIDTH = 80
_BAR_WIDTH = 30

_STATUSES = ("total", "completed", "no_show", "cancelled", "scheduled", "confirmed", "unset")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LEAD_TIMES = {
    LeadTime.SAME_DAY: "same day",
    LeadTime.UP_TO_A_WEEK: "1-6 days",
    LeadTime.UP_TO_A_MONTH: "7-29 days",
    LeadTime.LONGER: "30+ days",
}
_REMINDED = {
    Reminded.NONE: "no reminder",
    Reminded.ANY: "any reminder, of them:",
    Reminded.ONE: "  one",
    Reminded.TWO_OR_MORE: "  two or more",
    Reminded.CONFIRMED_BY_ANSWER: "  confirmed by answer",
    Reminded.SAID_NO: "  said no in advance",
    Reminded.CONFIRMED: "confirmed before",
    Reminded.UNKNOWN: "unknown",
}
_ANSWERED = {
    Answered.CONFIRMED: "confirmed",
    Answered.CANNOT_COME: "cannot come",
    Answered.ANOTHER_TIME: "wants another time",
    Answered.UNCLEAR: "unclear",
    Answered.OTHER: "something else",
    Answered.NONE: "no answer",
    Answered.NOT_ASKED: "not asked",
}
_CATEGORIES = {
    Category.UTILITY: "utility",
    Category.MARKETING: "marketing",
    Category.SERVICE: "service (words back)",
    Category.UNKNOWN: "unknown",
}
#: Kinds of message side by side: more are folded at 80 columns.
_SIDE_BY_SIDE = 3
ASSOCIATION = (
    "Of the visits kept or missed since messages are on record, by the days between booking and"
    " visit;"
    " 95 % intervals. Compare within a column. This is association, not proof: patients who were"
    " reminded may differ in more than the reminder."
)
#: Where who answered has rows of their own.
APART = (
    " Who said yes or no stands apart from who said neither: compare “no reminder” with “any"
    " reminder”."
)


CHARGES = (
    "Meta charges what is delivered, by its category: the one that the catalogue asks for, or that"
    " Meta has told of since. Words back are free texts: since October 2026 those beyond the first"
    " 1,000 of a month and number are charged, and SmartIA's own texts, which are not counted here,"
    " are among them."
)
BY_ANSWER = (
    "What a patient had said before the visit; who answered several times, by the last. Also this"
    " is association: who answers may differ from who does not."
)


def to_text(metrics: Metrics, *, terminal: bool) -> str:
    """Return the tables as text.

    Args:
        metrics: what to show.
        terminal: with the colours and the width of the terminal on standard output, and bars;
            else plain text, 80 columns wide.
    """
    console = (
        Console(highlight=False, markup=False)
        if terminal
        else Console(highlight=False, markup=False, width=_PLAIN_WIDTH, color_system=None)
    )
    # Blocks need more than ASCII; lines of tables find their own way.
    bars = terminal and not console.options.ascii_only
    with console.capture() as captured:
        for part in _parts(metrics, bars=bars):
            console.print(part)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _parts(metrics: Metrics, *, bars: bool) -> Iterable[RenderableType]:
    period, notes = metrics.figures.period, sentences(metrics, ENGLISH, date_form="%Y-%m-%d")
    begins, ends = (at.astimezone(period.zone) for at in (period.from_at, period.to_at))
    yield f"{begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} ({period.zone.key})"
    yield from _visits(metrics)
    yield from _answers(metrics)
    yield from _messages(metrics)
    yield from _reasons("failed", metrics.failure_reasons)
    yield from _deliveries(metrics)
    yield from _reasons("not delivered", metrics.undelivered_reasons)
    yield from _categories(metrics)
    if metrics.reengagement.invited:
        invited, back = metrics.reengagement.invited, metrics.reengagement.booked_again
        yield f"\nBooked again within 30 days of an invitation: {_of(back, invited)}"
    if metrics.effect.groups:
        yield from _effect(metrics.effect.groups)
        under = (Note.SMALL_GROUPS, Note.VISITS_WITHOUT_LEAD_TIME)
        told = [notes.pop(note) for note in under if note in notes]
        if any(group.visits for group in metrics.effect.groups):
            yield "\n" + "\n".join([*told, ASSOCIATION + APART * bool(metrics.answered)])
    yield from _by_answer(metrics.answered)
    weekdays = dict(zip(_WEEKDAYS, metrics.by_weekday, strict=True))
    yield from _missed_by("weekday", weekdays, bars=bars)
    hours = {f"{hour:02d}:00": counts for hour, counts in metrics.by_hour.items()}
    yield from _missed_by("hour", hours, bars=bars)
    if notes:
        yield ""
    yield from (f"Note: {note}" for note in notes.values())


def _titled(title: str, table: Table) -> Iterable[RenderableType]:
    """Yield a table below its title, both from the same column on."""
    yield Text(f"\n{title}\n", style="bold")
    yield table


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    return table


def _visits(metrics: Metrics) -> Iterable[RenderableType]:
    now, before = metrics.figures.appointments, metrics.previous.appointments
    table = _table("", "this period", "the one before", "change")
    for status in _STATUSES:
        count, earlier = getattr(now, status), getattr(before, status)
        words = status.replace("no_show", "no-show")
        table.add_row(words, str(count), str(earlier), _change(count, earlier))
        said_no = (metrics.figures.cancelled_in_advance, metrics.previous.cancelled_in_advance)
        if status == "cancelled" and said_no[0] is not None:
            table.add_row("  in advance", *map(_number, said_no), _change(*said_no))
    table.add_row(
        "unresolved (over, open)",
        str(now.unresolved),
        str(before.unresolved),
        _change(now.unresolved, before.unresolved),
        end_section=True,
    )
    for words, part, whole in (
        ("no-show of all", "no_show", "total"),
        ("no-show of kept or missed", "no_show", "attended_or_missed"),
        ("completed of all", "completed", "total"),
    ):
        parts = [(getattr(counts, part), getattr(counts, whole)) for counts in (now, before)]
        table.add_row(words, *(_of(*pair) for pair in parts), _points(*parts))
    yield from _titled("Visits", table)
    if sentence := in_advance(metrics, ENGLISH_IN_ADVANCE):
        yield f"\n{sentence}"


def _answers(metrics: Metrics) -> Iterable[RenderableType]:
    kinds = tuple((metrics.answers or {}).items())
    for first in range(0, len(kinds), _SIDE_BY_SIDE):
        side_by_side = kinds[first : first + _SIDE_BY_SIDE]
        table = _table("", *(english_label(kind) for kind, _ in side_by_side))
        table.add_row("asked", *(str(counts.asked) for _, counts in side_by_side))
        for answered, words in _ANSWERED.items():
            if answered is not Answered.NOT_ASKED:
                parts = ((getattr(counts, answered), counts.asked) for _, counts in side_by_side)
                table.add_row(words, *(_part(*pair) for pair in parts))
        parts = ((counts.pending, counts.asked) for _, counts in side_by_side)
        table.add_row("none yet, visit ahead", *(_part(*pair) for pair in parts))
        waits = (duration(counts.median_wait) or "-" for _, counts in side_by_side)
        table.add_row("until the first answer (median)", *waits)
        yield from _titled("Answers to messages that asked", table)
    if metrics.answers is not None and metrics.answer_effects:
        total = sum(metrics.answer_effects.values())
        done = (f"{name.replace('_', ' ')} {n}" for name, n in metrics.answer_effects.items())
        yield f"\nDone about the answers that came, {total} in all: {', '.join(done)}."


def _messages(metrics: Metrics) -> Iterable[RenderableType]:
    table = _table("", "sent", "failed", "unknown", "before", "change")
    for kind, counts in metrics.figures.messages.items():
        earlier = metrics.previous.messages[kind].sent
        numbers = (counts.sent, counts.failed, counts.unknown, earlier)
        table.add_row(english_label(kind), *map(str, numbers), _change(counts.sent, earlier))
    yield from _titled("Messages", table)


def _deliveries(metrics: Metrics) -> Iterable[RenderableType]:
    if any(counts.delivered is None for counts in metrics.figures.messages.values()):
        return
    table = _table("", "sent", "delivered", "read", "not delivered")
    for kind, counts in metrics.figures.messages.items():
        parts = (counts.delivered or 0, counts.read or 0, counts.undelivered or 0)
        cells = (_part(part, counts.sent) for part in parts)
        table.add_row(english_label(kind), str(counts.sent), *cells)
    yield from _titled("Deliveries, of sent", table)


def _categories(metrics: Metrics) -> Iterable[RenderableType]:
    if not any(counts.sent for counts in metrics.figures.categories.values()):
        return
    table = _table("", "sent", "delivered", "before", "change")
    for category, counts in metrics.figures.categories.items():
        earlier = metrics.previous.categories[category].sent
        numbers = (counts.sent, counts.delivered, earlier)
        change = _change(counts.sent, earlier)
        table.add_row(_CATEGORIES[category], *map(_number, numbers), change)
    yield from _titled("Messages by category", table)
    yield f"\n{CHARGES}"


def _part(part: int, whole: int) -> str:
    return f"{part} ({_percent(part / whole)})" if whole else "-"


def _reasons(what: str, reasons: Sequence[FailureReason]) -> Iterable[RenderableType]:
    if not reasons:
        return
    yield ""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for found in reasons:
        table.add_row(str(found.messages), f"{what}: {english_reason(found)}")
    yield table


def _effect(groups: Sequence[Group]) -> Iterable[RenderableType]:
    table = _table("booked ahead:", *_LEAD_TIMES.values())
    is_apart = any(group.reminded is Reminded.ANY for group in groups)
    for reminded, words in _REMINDED.items():
        row = [group for group in groups if group.reminded is reminded]
        if any(group.visits for group in row):
            words = words if is_apart else words.strip()
            table.add_row(words, *(_cell(group) for group in row))
    if table.row_count:
        yield from _titled("No-show rate by reminders", table)
    else:
        yield "\nNo-show rate by reminders: no visit was kept or missed that can be compared."


def _cell(group: Group) -> str:
    if group.interval is None:
        return "-"
    low, high = (f"{100 * bound:.1f}" for bound in group.interval)
    star = "*" if group.is_small else ""
    return f"{_percent(group.no_show_rate)}{star}\n{low}-{high}\n({group.no_show}/{group.visits})"


def _by_answer(answered: Mapping[Answered, StatusCounts]) -> Iterable[RenderableType]:
    if not any(n.total for said, n in answered.items() if said is not Answered.NOT_ASKED):
        return
    headings = ("visits", "cancelled", "kept or missed", "no-shows", "rate")
    table = _table("", *headings)
    for said, counts in answered.items():
        if not counts.total:
            continue
        numbers = (counts.total, counts.cancelled, counts.attended_or_missed, counts.no_show)
        rate_ = _percent(counts.no_show_rate_of_attended_or_missed)
        table.add_row(_ANSWERED[said], *map(str, numbers), rate_)
    yield from _titled("No-shows by answer", table)
    yield f"\n{BY_ANSWER}"


def _missed_by(
    what: str, counted: Mapping[str, StatusCounts], *, bars: bool
) -> Iterable[RenderableType]:
    table = _table(what, "kept or missed", "no-shows", "rate")
    if bars:
        table.add_column("", width=_BAR_WIDTH)
    rates = [counts.no_show_rate_of_attended_or_missed or 0 for counts in counted.values()]
    highest = max(rates, default=0) or 1
    for (label, counts), missed in zip(counted.items(), rates, strict=True):
        percent = _percent(counts.no_show_rate_of_attended_or_missed)
        numbers = (str(counts.attended_or_missed), str(counts.no_show), percent)
        row: list[RenderableType] = [label, *numbers]
        if bars:
            row.append(Bar(highest, 0, missed, width=_BAR_WIDTH, color="red"))
        table.add_row(*row)
    if counted:
        yield from _titled(f"No-shows by {what}", table)


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def _of(part: int, whole: int) -> str:
    return f"{_percent(rate(part, whole))} ({part}/{whole})" if whole else "-"


def _number(number: int | None) -> str:
    return "-" if number is None else str(number)


def _change(now: int | None, before: int | None) -> str:
    if now is None or before is None:
        return "-"
    return f"{now - before:+d}" if now != before else "0"


def _points(now: tuple[int, int], before: tuple[int, int]) -> str:
    """Return the change of a rate in percentage points."""
    new, old = rate(*now), rate(*before)
    return "-" if new is None or old is None else f"{100 * (new - old):+.1f} pts"
