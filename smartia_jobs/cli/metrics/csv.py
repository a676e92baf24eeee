"""One row for each local day, for a spreadsheet."""

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date

from smartia_jobs.clinic.statistics import StatusCounts
from smartia_jobs.jobs.metrics import Metrics
from smartia_jobs.outbox.statistics import MessageCounts

#: Empty where there is nothing to divide by.
RATES = ("no_show_rate", "completion_rate", "no_show_rate_of_attended_or_missed")


def to_csv(metrics: Metrics) -> str:
    """Return a heading and one row for each day of the period, days without visits included.

    The messages of each day stand behind its visits: kind by kind, then what did not arrive by
    Meta's reason.

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
    rows.writerow(["date", *asdict(StatusCounts()), *RATES, *messages, *reasons])
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
            ]
        )
    return text.getvalue()


def _messages(metrics: Metrics, day: date, kinds: tuple[str, ...]) -> Iterator[int | None]:
    """Yield what became of a day's messages, kind by kind; empty cells while it is not known."""
    of_day, none = (
        metrics.messages_by_day.get(day, {}),
        MessageCounts.none(heard=metrics.heard_since is not None),
    )
    for kind in kinds:
        yield from asdict(of_day.get(kind, none)).values()
