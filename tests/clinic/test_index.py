"""The index on SmartIA's appointments: built once, by whom it may be, in nobody's way."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from uuid import uuid4

import psycopg
import pytest

from smartia_jobs.clinic.index import (
    NAME,
    IndexBuild,
    IndexState,
    build_index,
    ensure_index,
    index_state,
    owner_statements,
)
from smartia_jobs.database import Database
from tests.support import Clinic

START = "2026-11-24 09:00:00"


@pytest.fixture
def database(clinic: Clinic) -> Iterator[Database]:
    """The clinic's database as the program opens it; once on each engine."""
    opened = Database(clinic.url)
    yield opened
    opened.close()


def test_an_empty_smartia_has_no_index(database: Database) -> None:
    assert state(database) is IndexState.MISSING


def test_a_job_builds_the_index_on_sqlite(sqlite_clinic: Clinic) -> None:
    with closing(Database(sqlite_clinic.url)) as database:
        first = ensure_index(database)
        second = ensure_index(database)
        with database.read() as connection:
            plan = connection.exec_driver_sql(
                "EXPLAIN QUERY PLAN SELECT id FROM appointments "
                "WHERE appointment_date BETWEEN '2026' AND '2027' AND status = 'SCHEDULED'"
            ).all()

    assert first is second is IndexState.PRESENT
    assert NAME in str(plan)


def test_a_job_builds_nothing_on_postgresql(postgres_clinic: Clinic) -> None:
    with closing(Database(postgres_clinic.url)) as database:
        found = ensure_index(database)

        assert found is state(database) is IndexState.MISSING


def test_an_upgrade_builds_the_index_once(clinic: Clinic) -> None:
    first = build(clinic)
    second = build(clinic)

    assert (first, second) == (IndexBuild.BUILT, IndexBuild.PRESENT)
    with closing(Database(clinic.url)) as database:
        assert state(database) is IndexState.PRESENT


@pytest.mark.parametrize(
    ("index", "serves"),
    [
        ("other ON appointments (appointment_date, status)", True),
        ("other ON appointments (appointment_date, status, patient_id)", True),
        ("other ON appointments (appointment_date DESC, status)", True),
        ("other ON appointments (appointment_date)", False),
        ("other ON appointments (status, appointment_date)", False),
        ("other ON appointments (appointment_date, status) WHERE status = 'SCHEDULED'", False),
    ],
)
def test_any_index_that_begins_with_both_columns_serves(
    clinic: Clinic, database: Database, index: str, serves: bool
) -> None:
    clinic.execute(f"CREATE INDEX {index}")

    assert state(database) is (IndexState.PRESENT if serves else IndexState.MISSING)


def test_an_index_left_invalid_is_built_anew(postgres_clinic: Clinic) -> None:
    leave_invalid(postgres_clinic)

    built = build(postgres_clinic)

    assert built is IndexBuild.REBUILT
    with closing(Database(postgres_clinic.url)) as database:
        assert state(database) is IndexState.PRESENT


def test_an_index_that_somebody_else_builds_is_left_alone(postgres_clinic: Clinic) -> None:
    (statement,) = owner_statements(IndexState.MISSING)
    with ThreadPoolExecutor() as threads:
        with unfinished_write(postgres_clinic):
            owner = threads.submit(run_in_psql, postgres_clinic, statement)
            wait_for_a_build(postgres_clinic)

            found = threads.submit(build, postgres_clinic).result(timeout=60)

        owner.result(timeout=60)
    assert found is IndexBuild.ELSEWHERE
    with closing(Database(postgres_clinic.url)) as database:
        assert state(database) is IndexState.PRESENT


def test_the_clinic_goes_on_working_while_the_index_is_built(postgres_clinic: Clinic) -> None:
    patient = postgres_clinic.add_patient()
    with ThreadPoolExecutor() as threads:
        with unfinished_write(postgres_clinic):
            upgrade = threads.submit(build, postgres_clinic)
            wait_for_a_build(postgres_clinic)

            postgres_clinic.add_appointment(patient, START)

            assert not upgrade.done()
        assert upgrade.result(timeout=60) is IndexBuild.BUILT


def test_of_eight_upgrades_at_once_one_builds_the_index(postgres_clinic: Clinic) -> None:
    barrier = threading.Barrier(8)

    def upgrade() -> IndexBuild:
        barrier.wait(timeout=60)
        return build(postgres_clinic)

    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(upgrade) for _ in range(8)]
        outcomes = [future.result(timeout=60) for future in futures]

    assert outcomes.count(IndexBuild.BUILT) == 1
    assert set(outcomes) <= {IndexBuild.BUILT, IndexBuild.PRESENT, IndexBuild.ELSEWHERE}
    with closing(Database(postgres_clinic.url)) as database:
        assert state(database) is IndexState.PRESENT


@pytest.mark.parametrize("left_invalid", [False, True])
def test_a_role_that_does_not_own_the_table_is_told_so(
    postgres_clinic: Clinic, left_invalid: bool
) -> None:
    if left_invalid:
        leave_invalid(postgres_clinic)
    role = f"jobs_{uuid4().hex}"
    postgres_clinic.execute(f"CREATE ROLE {role} LOGIN")

    built = build(postgres_clinic, role)

    postgres_clinic.execute(f"DROP ROLE {role}")
    assert built is IndexBuild.NOT_ALLOWED


@pytest.mark.parametrize("left_invalid", [False, True])
def test_the_statements_for_the_owner_do_it(postgres_clinic: Clinic, left_invalid: bool) -> None:
    if left_invalid:
        leave_invalid(postgres_clinic)
    with closing(Database(postgres_clinic.url)) as database:
        for statement in owner_statements(state(database)):
            run_in_psql(postgres_clinic, statement)

        assert state(database) is IndexState.PRESENT


def state(database: Database) -> IndexState:
    """Return what the program finds of the index."""
    with database.read() as connection:
        return index_state(connection)


def build(clinic: Clinic, role: str = "postgres") -> IndexBuild:
    """Do what ``db upgrade`` does for the index."""
    url = clinic.url.replace("postgres@", f"{role}@")
    with closing(Database(url)) as database, closing(Database(url)) as guard:
        return build_index(database, guard=guard)


def leave_invalid(clinic: Clinic) -> None:
    """Let a concurrent build of the index break off, so that PostgreSQL keeps it invalid."""
    patient = clinic.add_patient()
    for _ in range(2):
        clinic.add_appointment(patient, START)
    with pytest.raises(psycopg.errors.UniqueViolation):
        clinic.execute(
            f"CREATE UNIQUE INDEX CONCURRENTLY {NAME} ON appointments (appointment_date, status)"
        )
    with closing(Database(clinic.url)) as database:
        assert state(database) is IndexState.INVALID


@contextmanager
def unfinished_write(clinic: Clinic) -> Iterator[None]:
    """Hold a transaction open that has written an appointment: every build waits for it."""
    with psycopg.connect(clinic.url.replace("+psycopg", "")) as connection:
        connection.execute("LOCK appointments IN ROW EXCLUSIVE MODE")
        yield


def run_in_psql(clinic: Clinic, statement: str) -> None:
    """Run a statement on a connection of its own, outside any transaction."""
    url = clinic.url.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def wait_for_a_build(clinic: Clinic) -> None:
    """Return once some session has begun to build an index."""
    give_up_at = time.monotonic() + 60
    while not clinic.rows("SELECT pid FROM pg_stat_progress_create_index"):
        assert time.monotonic() < give_up_at, "nobody began to build an index"
        time.sleep(0.02)
