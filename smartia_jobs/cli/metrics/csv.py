"""One row for each local day, for a spreadsheet."""

import csv
import io
from dataclasses import asdict

from smartia_jobs.clinic.statistics import StatusCounts
from smartia_jobs.jobs.metrics import Metrics

#: Empty where there is nothing to divide by.
RATES = ("no_show_rate", "completion_rate", "no_show_rate_of_attended_or_missed")


def to_csv(metrics: Metrics) -> str:
    """Return a heading and one row for each day of the period, days without visits included."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["date", *asdict(StatusCounts()), *RATES])
    for day, counts in metrics.by_day.items():
        rates = (getattr(counts, name) for name in RATES)
        rows.writerow([day.isoformat(), *asdict(counts).values(), *rates])
    return text.getvalue()
