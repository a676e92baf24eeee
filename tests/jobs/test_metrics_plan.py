"""Each visit is read once, and found by the index on its date."""

import re
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event

from smartia_jobs.clinic.index import ensure_indexes
from smartia_jobs.clinic.statistics import read_visits
from smartia_jobs.clinic.times import Storage, StoredTimes
from tests.jobs.metrics_desk import ASKS, SAO_PAULO, Desk, local, measure, opened, wall
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
    """A clinic with messages, answers, 20 visits a day for 200 days, the index on their date."""
    desk = Desk(clinic)
    patient = clinic.add_patient()
    for day in range(200):
        for hour in range(20):
            start = wall(2025, 10, 1) + timedelta(days=day, hours=hour)
            clinic.add_appointment(patient, start, "COMPLETED", created_at=local(2025, 9, 1))
    told = wall(2026, 3, 2, 10)
    desk.add_all(
        [{"appointment_id": number, "start": told, "template": ASKS} for number in range(50)]
    )
    answered = {"meaning": "confirm", "effect": "confirmed"}
    desk.add_answers([(local(2026, 3, 1), False, answered | {"outbox_id": 1}) for _ in range(50)])
    with opened(clinic) as database:
        if clinic.dialect == "sqlite":
            ensure_indexes(database)
        else:
            clinic.execute("CREATE INDEX ON appointments (appointment_date, status)")
            clinic.execute("ANALYZE appointments")
    return clinic


def reads_of_visits(queries: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return the statements that read SmartIA's appointments, not those that only count them."""
    return [
        query
        for query in queries
        if "FROM appointments" in query[0] and not query[0].startswith("SELECT count(")
    ]


def test_visits_of_the_period_are_found_by_the_index_on_their_date(busy_clinic: Clinic) -> None:
    with watched_queries() as queries:
        measure(busy_clinic, NOW, days=7)

    ((sql, values),) = reads_of_visits(queries)
    explain = "EXPLAIN QUERY PLAN" if busy_clinic.dialect == "sqlite" else "EXPLAIN"
    bounded = (
        r"SEARCH appointments USING INDEX \w+ \(appointment_date>\? AND appointment_date<\?\)"
        if busy_clinic.dialect == "sqlite"
        else r"Index Cond: \(\(appointment_date >= .* AND \(appointment_date <= "
    )
    with opened(busy_clinic) as database, database.read() as connection:
        plan = connection.exec_driver_sql(f"{explain} {sql}", values)
        lines = "\n".join(str(row[-1]) for row in plan)
    assert re.search(bounded, lines), lines


def test_only_visits_of_the_period_and_the_one_before_are_read(busy_clinic: Clinic) -> None:
    with watched_queries() as queries:
        measure(busy_clinic, NOW, days=7)

    ((sql, values),) = reads_of_visits(queries)
    with opened(busy_clinic) as database, database.read() as connection:
        read = len(connection.exec_driver_sql(sql, values).all())
    assert 2 * 7 * 20 <= read <= 2 * 9 * 20


def test_the_number_of_questions_does_not_grow_with_the_visits(busy_clinic: Clinic) -> None:
    with watched_queries() as few:
        measure(busy_clinic, NOW, days=1)
    with watched_queries() as many:
        measure(busy_clinic, NOW, days=150)

    assert len(many) == len(few)


def test_visits_are_not_all_held_at_once(clinic: Clinic) -> None:
    patient, start = clinic.add_patient(), wall(2026, 3, 10, 9)
    for _ in range(5000):
        clinic.add_appointment(patient, start)
    times = StoredTimes(
        Storage.TEXT if clinic.dialect == "sqlite" else Storage.WALL_AS_UTC, SAO_PAULO
    )

    with opened(clinic) as database, database.read() as connection:
        tracemalloc.start()
        read = sum(1 for _ in read_visits(connection, times, local(2026, 3, 1), NOW))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert read == 5000
    assert peak < 1_000_000  # each row has some 500 bytes


def test_postgresql_hands_visits_over_as_they_are_counted(postgres_clinic: Clinic) -> None:
    times = StoredTimes(Storage.WALL_AS_UTC, SAO_PAULO)
    for _ in range(2):
        postgres_clinic.add_appointment(postgres_clinic.add_patient(), wall(2026, 3, 10, 9))

    with opened(postgres_clinic) as database, database.read() as connection:
        visits = read_visits(connection, times, local(2026, 3, 1), NOW)
        next(visits)
        cursors = connection.exec_driver_sql("SELECT count(*) FROM pg_cursors").scalar_one()
        rest = len(list(visits))

    assert (cursors, rest) == (1, 1)
