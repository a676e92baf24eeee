"""One row for each local day, for a spreadsheet."""

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date

from smartia_jobs.clinic.statistics import StatusCounts
from smartia_jobs.clinic.times import to_wall
from smartia_jobs.jobs.metrics import Metrics
from smartia_jobs.outbox.statistics import Category, MessageCounts
from smartia_jobs.store.answered import Answered

#: Empty where there is nothing to divide by.
RATES = ("no_show_rate", "completion_rate", "no_show_rate_of_attended_or_missed")

#: What is told of each of Meta's categories.
_CHARGED = ("sent", "delivered")
_IN_ADVANCE = "cancelled_in_advance"


def to_csv(metrics: Metrics) -> str:
    """Return a heading and one row for each day of the period, days without visits included.

    The messages of each day stand behind its visits: kind by kind, then what did not arrive by
    Meta's reason, then what Meta charges them as. The last columns have the visits by what their
    patients had answered.

    Args:
        metrics: with the messages of each day.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    kinds = tuple(metrics.figures.messages)
    codes = sorted(
        {code for reasons in metrics.undelivered_by_day.values() for code in reasons},
        key=lambda code: (code is None, code),
    )
    messages = [f"{kind}_{name}" for kind in kinds for name in asdict(MessageCounts())]
    reasons = [f"undelivered_{'no_code' if code is None else code}" for code in codes]
    categories = tuple(metrics.figures.categories)
    charged = [f"{category}_{name}" for category in categories for name in _CHARGED]
    answers = [_IN_ADVANCE, *(f"answer_{answered}" for answered in Answered)]
    headings = [*asdict(StatusCounts()), *RATES, *messages, *reasons, *charged, *answers]
    rows.writerow(["date", *headings])
    for day, counts in metrics.by_day.items():
        rates = (getattr(counts, name) for name in RATES)
        undelivered = metrics.undelivered_by_day.get(day, {})
        rows.writerow(
            [
                day.isoformat(),
                *asdict(counts).values(),
                *rates,
                *_messages(metrics, day, kinds),
                *(undelivered.get(code, 0) for code in codes),
                *_categories(metrics, day, categories),
                *_answers(metrics, day),
            ]
        )
    return text.getvalue()


def _categories(
    metrics: Metrics, day: date, categories: tuple[Category, ...]
) -> Iterator[int | None]:
    of_day, none = metrics.categories_by_day.get(day, {}), _none(metrics)
    for category in categories:
        counts = of_day.get(category, none)
        yield from (getattr(counts, name) for name in _CHARGED)


def _answers(metrics: Metrics, day: date) -> Iterator[int | None]:
    """Yield the visits of a day by answer; empty cells while that is not known."""
    zone, since = metrics.figures.period.zone, metrics.answers_since
    if metrics.answers is None or since is None or day < to_wall(since, zone).date():
        yield from [None] * (1 + len(Answered))
        return
    yield metrics.in_advance_by_day.get(day, 0)
    of_day = [
        metrics.answered_by_day.get(said, {}).get(day, StatusCounts()).total for said in Answered
    ]
    # Visits of which none stands in a group: what had been said before them is not known.
    is_known = any(of_day) or not metrics.by_day[day].total
    yield from of_day if is_known else [None] * len(Answered)


def _messages(metrics: Metrics, day: date, kinds: tuple[str, ...]) -> Iterator[int | None]:
    """Yield what became of a day's messages, kind by kind; empty cells while it is not known."""
    of_day, none = metrics.messages_by_day.get(day, {}), _none(metrics)
    for kind in kinds:
        yield from asdict(of_day.get(kind, none)).values()


def _none(metrics: Metrics) -> MessageCounts:
    """Return the counts of no message, as known as those of the period."""
    heard = all(counts.delivered is not None for counts in metrics.figures.messages.values())
    return MessageCounts.none(heard=heard)
