"""The numbers on a terminal, and the same without colours and bars in a pipe."""

from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.bar import Bar
from rich.console import Console, RenderableType
from rich.table import Table

from smartia_jobs.cli.metrics.wording import ENGLISH, english_reason, sentences
from smartia_jobs.clinic.effect import Group, LeadTime, Reminded
from smartia_jobs.clinic.statistics import StatusCounts, rate
from smartia_jobs.jobs.metrics import Metrics, Note
from smartia_jobs.kinds import english_label
from smartia_jobs.outbox.statistics import FailureReason

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
    Reminded.ONE: "one",
    Reminded.TWO_OR_MORE: "two or more",
    Reminded.CONFIRMED: "confirmed",
    Reminded.UNKNOWN: "unknown",
}
ASSOCIATION = (
    "Of the visits kept or missed since messages are on record, by the days between booking and"
    " visit;"
    " 95 % intervals. Compare within a row. This is association, not proof: patients who were"
    " reminded may differ in more than the reminder."
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
    yield _visits(metrics)
    yield _messages(metrics)
    yield from _reasons("failed", metrics.failure_reasons)
    if metrics.heard_since is not None:
        yield _deliveries(metrics)
        yield from _reasons("not delivered", metrics.undelivered_reasons)
    if metrics.reengagement.invited:
        invited, back = metrics.reengagement.invited, metrics.reengagement.booked_again
        yield f"Booked again within 30 days of an invitation: {_of(back, invited)}"
    if metrics.effect.groups:
        yield _effect(metrics.effect.groups)
        under = (Note.SMALL_GROUPS, Note.VISITS_WITHOUT_LEAD_TIME)
        yield from (notes.pop(note) for note in under if note in notes)
        yield ASSOCIATION
    weekdays = dict(zip(_WEEKDAYS, metrics.by_weekday, strict=True))
    yield _missed_by("weekday", weekdays, bars=bars)
    hours = {f"{hour:02d}:00": counts for hour, counts in metrics.by_hour.items()}
    yield _missed_by("hour", hours, bars=bars)
    yield from (f"Note: {note}" for note in notes.values())


def _table(title: str, *headings: str) -> Table:
    table = Table(
        title=f"\n{title}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        pad_edge=False,
    )  # fmt: skip
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    return table


def _visits(metrics: Metrics) -> Table:
    now, before = metrics.figures.appointments, metrics.previous.appointments
    table = _table("Visits", "", "this period", "the one before", "change")
    for status in _STATUSES:
        count, earlier = getattr(now, status), getattr(before, status)
        words = status.replace("no_show", "no-show")
        table.add_row(words, str(count), str(earlier), _change(count, earlier))
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
    return table


def _messages(metrics: Metrics) -> Table:
    headings = ("sent", "failed", "unknown", "before", "change")
    table = _table("Messages", "", *headings)
    for kind, counts in metrics.figures.messages.items():
        earlier = metrics.previous.messages[kind].sent
        numbers = (counts.sent, counts.failed, counts.unknown, earlier)
        table.add_row(english_label(kind), *map(str, numbers), _change(counts.sent, earlier))
    return table


def _deliveries(metrics: Metrics) -> Table:
    table = _table("Deliveries, of sent", "", "sent", "delivered", "read", "not delivered")
    for kind, counts in metrics.figures.messages.items():
        parts = (counts.delivered or 0, counts.read or 0, counts.undelivered or 0)
        cells = (_part(part, counts.sent) for part in parts)
        table.add_row(english_label(kind), str(counts.sent), *cells)
    return table


def _part(part: int, whole: int) -> str:
    return f"{part} ({_percent(part / whole)})" if whole else "-"


def _reasons(what: str, reasons: Sequence[FailureReason]) -> Iterable[RenderableType]:
    if not reasons:
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for found in reasons:
        table.add_row(str(found.messages), f"{what}: {english_reason(found)}")
    yield table


def _effect(groups: Iterable[Group]) -> Table:
    table = _table("No-show rate by reminders", "booked ahead", *_REMINDED.values())
    for lead_time, words in _LEAD_TIMES.items():
        row = [group for group in groups if group.lead_time is lead_time]
        table.add_row(words, *(_cell(group) for group in row))
    return table


def _cell(group: Group) -> str:
    if group.interval is None:
        return "-"
    low, high = (f"{100 * bound:.1f}" for bound in group.interval)
    star = "*" if group.is_small else ""
    return f"{_percent(group.no_show_rate)}{star}\n{low}-{high}\n({group.no_show}/{group.visits})"


def _missed_by(what: str, counted: Mapping[str, StatusCounts], *, bars: bool) -> Table:
    table = _table(f"No-shows by {what}, of kept or missed", what, "visits", "no-shows", "rate")
    if bars:
        table.add_column("", width=_BAR_WIDTH)
    rates = [counts.no_show_rate_of_attended_or_missed or 0 for counts in counted.values()]
    highest = max(rates, default=0) or 1
    for (label, counts), missed in zip(counted.items(), rates, strict=True):
        percent = _percent(counts.no_show_rate_of_attended_or_missed)
        row: list[RenderableType] = [label, str(counts.total), str(counts.no_show), percent]
        if bars:
            row.append(Bar(highest, 0, missed, width=_BAR_WIDTH, color="red"))
        table.add_row(*row)
    return table


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def _of(part: int, whole: int) -> str:
    return f"{_percent(rate(part, whole))} ({part}/{whole})" if whole else "-"


def _change(now: int, before: int) -> str:
    return f"{now - before:+d}" if now != before else "0"


def _points(now: tuple[int, int], before: tuple[int, int]) -> str:
    """Return the change of a rate in percentage points."""
    new, old = rate(*now), rate(*before)
    return "-" if new is None or old is None else f"{100 * (new - old):+.1f} pts"
