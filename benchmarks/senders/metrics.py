"""``metrics`` after start-up, and the rows it reads, read by the driver alone: processor time.

python metrics.py DATABASE_URL DAYS FILE
"""

import gc
import json
import resource
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from smartia_jobs.clinic.period import Period
from smartia_jobs.clock import SystemClock
from smartia_jobs.database import Database
from smartia_jobs.jobs.metrics import build_metrics
from smartia_jobs.run import Run
from smartia_jobs.settings import Settings

_ROUNDS = 7
_VISITS = (
    "SELECT id, status, appointment_date, created_at FROM appointments"
    " WHERE appointment_date BETWEEN {0} AND {0}"
)
_REMINDERS = (
    "SELECT appointment_id, start, kind, id, leader_id, template, state, appointment_status,"
    " created_at FROM smartia_outbox"
    " WHERE kind IN ('24h', '2h') AND start BETWEEN {0} AND {0}"
)
_ANSWERS = (
    "SELECT answers.outbox_id, meaning, effect, said_at, received_at, start, sent_at"
    " FROM smartia_answers AS answers JOIN smartia_outbox AS told ON told.id = answers.outbox_id"
    " WHERE start BETWEEN {0} AND {0}"
)

Query = Callable[[str], Iterable[tuple[Any, ...]]]


def main(url: str, days: int, out: Path) -> None:
    gc.set_threshold(5_000, 20, 20)  # as the program does
    clock = SystemClock()
    settings = Settings(database_url=url, stored_times="wall")
    with closing(Database(url, read_only=True)) as database:
        run = Run("bench", settings, clock, database, clock.now())
        period = build_metrics(run, days=days).figures.period
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with database.read() as connection:
            cursor: Any = connection.connection.cursor()
            names = cursor.execute(_TABLES[database.dialect]).fetchall()
        ours = [_REMINDERS, _ANSWERS] if ("smartia_outbox",) in names else []
        queries = [_VISITS, *ours]
        query = _sqlite(url, period) if url.startswith("sqlite") else _postgresql(url, period)
        measures: dict[str, Callable[[], object]] = {
            "metrics": lambda: build_metrics(run, days=days),
            "read": lambda: [_parse(query(sql)) for sql in queries],
            "counted": lambda: _count(query(_VISITS), period),
        }
        taken: dict[str, list[float]] = {name: [] for name in measures}
        for _ in range(_ROUNDS):  # in turns, so that a slow minute slows them all
            for name, measure in measures.items():
                began_s = time.process_time()
                measure()
                taken[name].append(time.process_time() - began_s)
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    out.write_text(json.dumps({**taken, "peak_mib": peak / unit}))


_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master",
    "postgresql": "SELECT relname FROM pg_class",
}


def _parse(rows: Iterable[tuple[Any, ...]]) -> None:
    """Read every row, and what in it is the text of a date."""
    for row in rows:
        for value in row:
            if isinstance(value, str) and len(value) > 15 and value[4] == "-":
                datetime.fromisoformat(value)


def _count(rows: Iterable[tuple[Any, ...]], period: Period) -> None:
    """Count visits by day, hour and status as a script would that somebody writes for it."""
    zone, before = period.zone, period.before
    now, earlier = Counter[Any](), Counter[Any]()
    for _, status, stored, _ in rows:
        start = datetime.fromisoformat(stored) if isinstance(stored, str) else stored
        start_at = start.replace(tzinfo=zone).astimezone(UTC)
        if period.from_at <= start_at < period.to_at:
            now[start.date(), start.hour, status] += 1
        elif before.from_at <= start_at < before.to_at:
            earlier[start.date(), start.hour, status] += 1


def _sqlite(url: str, period: Period) -> Query:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    bounds = [f"{at:%Y-%m-%d %H:%M}" for at in _bounds(period)]
    return lambda sql: connection.execute(sql.format("?"), bounds)


def _postgresql(url: str, period: Period) -> Query:
    native = url.replace("postgresql+psycopg://", "postgresql://")
    connection = psycopg.connect(native, options="-c timezone=UTC")
    bounds = _bounds(period)
    return lambda sql: connection.execute(sql.format("%s").encode(), bounds)


def _bounds(period: Period) -> list[datetime]:
    """Return where the rows begin and end, a little wider than the period and the one before."""
    wide = period.before.from_at - timedelta(hours=6), period.to_at + timedelta(hours=3)
    return [at.replace(tzinfo=None) for at in wide]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
