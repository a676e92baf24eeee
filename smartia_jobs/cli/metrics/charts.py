"""The charts of the page, drawn by Matplotlib as SVG that needs no script and no network."""

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from html import escape
from typing import TYPE_CHECKING

from smartia_jobs.clinic.effect import Group
from smartia_jobs.clinic.statistics import StatusCounts
from smartia_jobs.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Told apart in print and by the colour-blind; the page uses the same.
KEPT, MISSED, CANCELLED, OPEN = "#0f766e", "#d9480f", "#b6bcc4", "#e3c567"
_REMINDED_COLOURS = ("#8a939e", "#5aa9a3", KEPT, "#31528f", CANCELLED)
_INK, _GRID = "#334155", "#e2e8f0"

#: Inches; with letters of 9.5 points it stays readable when a phone shows it 340 pixels wide.
_WIDTH = 4.2

#: More days than this are drawn as weeks.
MOST_DAYS = 92


def require_plotting() -> None:
    """Make sure that charts can be drawn.

    Raises:
        ConfigurationError: the plotting library is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "The HTML report needs the plotting library, which is not installed. "
            "Install it with: pip install 'smartia-jobs[report]'"
        ) from error


def visits_over_time(by_day: Mapping[date, StatusCounts], words: Sequence[str], title: str) -> str:
    """Draw what became of the visits of each day, or of each week of a long period.

    Args:
        by_day: every day of the period, in order.
        words: kept, missed, cancelled, neither.
        title: what a screen reader says of the chart.
    """
    from matplotlib.ticker import MaxNLocator

    bars = _by_week(by_day) if len(by_day) > MOST_DAYS else dict(by_day)
    days = list(bars)
    with _figure(2.6) as (figure, axes):
        floor = [0] * len(days)
        for word, colour, counted in (
            (words[0], KEPT, [counts.completed for counts in bars.values()]),
            (words[1], MISSED, [counts.no_show for counts in bars.values()]),
            (words[2], CANCELLED, [counts.cancelled for counts in bars.values()]),
            (words[3], OPEN, [counts.unresolved + counts.unset for counts in bars.values()]),
        ):
            axes.bar(range(len(days)), counted, bottom=floor, color=colour, label=word, width=0.8)
            floor = [low + count for low, count in zip(floor, counted, strict=True)]
        step = max(1, -(-len(days) // 6))
        shown = range(0, len(days), step)
        form = "%d/%m" if len(by_day) <= 366 else "%m/%Y"
        axes.set_xticks(shown, [days[number].strftime(form) for number in shown])
        axes.set_ylim(0, max(*floor, 1) * 1.05)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        _legend(axes, columns=4)
        return _svg(figure, title)


def missed_by(counted: Mapping[str, StatusCounts], title: str) -> str:
    """Draw the share of visits missed, of those kept or missed, in each group.

    Args:
        counted: label to counts, top to bottom.
        title: what a screen reader says of the chart.
    """
    rates = [100 * (c.no_show_rate_of_attended_or_missed or 0) for c in counted.values()]
    with _figure(0.5 + 0.26 * len(counted), grid="x") as (figure, axes):
        axes.barh(range(len(rates)), rates, color=MISSED, height=0.7)
        for row, (share, counts) in enumerate(zip(rates, counted.values(), strict=True)):
            if counts.attended_or_missed:
                axes.annotate(
                    f"{counts.no_show}/{counts.attended_or_missed}",
                    (share, row),
                    xytext=(3, 0),
                    textcoords="offset points",
                    va="center",
                )
        axes.set_yticks(range(len(rates)), list(counted))
        axes.invert_yaxis()
        axes.set_xlim(0, max(*rates, 1.0) * 1.2)
        axes.xaxis.set_major_formatter("{x:.0f} %")
        return _svg(figure, title)


def effect_of_reminders(
    rows: Mapping[str, Sequence[Group]], words: Sequence[str], title: str
) -> str:
    """Draw each group's no-show rate with its interval, lead time by lead time.

    Args:
        rows: label of a lead time to its groups, in the order of ``words``.
        words: the numbers of reminders.
        title: what a screen reader says of the chart.
    """
    with _figure(0.9 + 0.62 * len(rows), grid="x") as (figure, axes):
        for number, (word, colour) in enumerate(zip(words, _REMINDED_COLOURS, strict=True)):
            drawn = [
                (row + 0.14 * (number - 2), group.no_show_rate, group.interval)
                for row, groups in enumerate(rows.values())
                for group in [groups[number]]
            ]
            points = [(at, r, span) for at, r, span in drawn if r is not None and span is not None]
            axes.errorbar(
                [100 * r for _, r, _ in points],
                [at for at, _, _ in points],
                xerr=[
                    [100 * max(r - low, 0.0) for _, r, (low, _) in points],
                    [100 * max(high - r, 0.0) for _, r, (_, high) in points],
                ],
                fmt="o",
                markersize=4,
                color=colour,
                linewidth=1.4,
                label=word,
            )
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        spans = (group.interval for groups in rows.values() for group in groups)
        highest = max((high for _, high in filter(None, spans)), default=1.0)
        axes.set_xlim(0, min(105 * highest, 100))
        axes.xaxis.set_major_formatter("{x:.0f} %")
        _legend(axes, columns=4)
        return _svg(figure, title)


def _by_week(by_day: Mapping[date, StatusCounts]) -> dict[date, StatusCounts]:
    weeks: dict[date, StatusCounts] = {}
    for day, counts in by_day.items():
        monday = day - timedelta(days=day.weekday())
        weeks[monday] = weeks.get(monday, StatusCounts()) + counts
    return weeks


@contextmanager
def _figure(height: float, *, grid: str = "y") -> "Iterator[tuple[Figure, Axes]]":
    """Make a figure of a phone's width; its letters stay text, in the page's own typeface."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(
        {
            "svg.fonttype": "none",
            "font.size": 9.5,
            "text.color": _INK,
            "axes.edgecolor": _GRID,
            "axes.labelcolor": _INK,
            "axes.axisbelow": True,
            "xtick.color": _INK,
            "ytick.color": _INK,
            "xtick.major.size": 0,
            "ytick.major.size": 0,
        }
    ):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.grid(axis="x" if grid == "x" else "y", color=_GRID, linewidth=0.8)
        yield figure, axes


def _legend(axes: "Axes", *, columns: int) -> None:
    axes.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=columns,
        frameon=False,
        handlelength=0.9,
        columnspacing=0.9,
        handletextpad=0.4,
    )


def _svg(figure: "Figure", title: str) -> str:
    """Return the figure as an SVG element that a page can hold beside others."""
    from matplotlib import rc_context

    nothing: Iterable[str] = ("Creator", "Date", "Format", "Type")
    text = io.StringIO()
    with rc_context({"svg.hashsalt": title}):  # the same numbers give the same page
        figure.savefig(text, format="svg", transparent=True, metadata=dict.fromkeys(nothing))
    drawing = text.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    # Every drawing numbers its groups from one; ids must be unique in a page.
    drawing = re.sub(r'<g id="[^"]*"', "<g", drawing)
    return drawing.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)
