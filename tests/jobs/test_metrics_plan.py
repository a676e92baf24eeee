"""The database, not this program, does the counting, and finds the visits by the date's index."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event

from smartia_jobs.clinic.index import ensure_indexes
from tests.jobs.metrics_desk import Desk, local, measure, opened, wall
from tests.support import Clinic

NOW = local(2026, 3, 31, 15)


@contextmanager
def watched_queries() -> Iterator[list[tuple[str, Any]]]:
    """Collect the statements that are sent meanwhile, with their parameters."""
    seen: list[tuple[str, Any]] = []

    def see(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        seen.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", see)


@pytest.fixture
def busy_clinic(clinic: Clinic) -> Clinic:
    """A clinic with messages, 20 visits a day for 200 days, and the index on their date."""
    desk = Desk(clinic)
    patient = clinic.add_patient()
    for day in range(200):
        for hour in range(20):
            start = wall(2025, 10, 1) + timedelta(days=day, hours=hour)
            clinic.add_appointment(patient, start, "COMPLETED", created_at=local(2025, 9, 1))
    told = wall(2026, 3, 2, 10)
    desk.add_all([{"appointment_id": number, "start": told} for number in range(50)])
    with opened(clinic) as database:
        if clinic.dialect == "sqlite":
            ensure_indexes(database)
        else:
            clinic.execute("CREATE INDEX ON appointments (appointment_date, status)")
            clinic.execute("ANALYZE appointments")
    return clinic


def test_visits_of_the_period_are_found_by_the_index_on_their_date(busy_clinic: Clinic) -> None:
    with watched_queries() as queries:
        measure(busy_clinic, NOW, days=7)

    grouped = [query for query in queries if "appointment_date" in query[0] and "GROUP" in query[0]]
    assert len(grouped) == 4
    explain = "EXPLAIN QUERY PLAN" if busy_clinic.dialect == "sqlite" else "EXPLAIN"
    bounded = (
        r"appointments USING (COVERING )?INDEX \w+ \(appointment_date>\? AND appointment_date<\?\)"
        if busy_clinic.dialect == "sqlite"
        else r"Index Cond: \(\(appointment_date >= .* AND \(appointment_date < "
    )
    with opened(busy_clinic) as database, database.read() as connection:
        for sql, values in grouped:
            plan = connection.exec_driver_sql(f"{explain} {sql}", values)
            lines = "\n".join(str(row[-1]) for row in plan)
            assert re.search(bounded, lines), lines


def test_only_sums_are_read_however_many_visits_there_are(busy_clinic: Clinic) -> None:
    with watched_queries() as queries:
        measure(busy_clinic, NOW, days=7)

    with opened(busy_clinic) as database, database.read() as connection:
        read = [
            len(connection.exec_driver_sql(sql, values).all())
            for sql, values in queries
            if "FROM appointments" in sql
        ]
    assert max(read) <= 24  # the hours of a day; the period has 7 × 20 visits
