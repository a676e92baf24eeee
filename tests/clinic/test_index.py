"""The indexes on SmartIA's tables: each built once, by whom it may be, in nobody's way."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Engine, event

from smartia_jobs.clinic.index import (
    INDEXES,
    IndexBuild,
    IndexState,
    SmartiaIndex,
    build_index,
    ensure_indexes,
    index_states,
    owner_statements,
)
from smartia_jobs.database import Database
from tests.support import Clinic

START = "2026-11-24 09:00:00"
APPOINTMENTS, CONVERSATIONS = INDEXES

#: What each index is for.
QUERIES = {
    APPOINTMENTS: (
        "SELECT id FROM appointments "
        "WHERE appointment_date BETWEEN '2026' AND '2027' AND status = 'SCHEDULED'"
    ),
    CONVERSATIONS: "SELECT max(id) FROM conversations WHERE patient_id = 1",
}


@pytest.fixture(params=INDEXES, ids=lambda index: index.table)
def index(request: pytest.FixtureRequest) -> SmartiaIndex:
    """Each of the indexes in turn."""
    found: SmartiaIndex = request.param
    return found


@pytest.fixture
def database(clinic: Clinic) -> Iterator[Database]:
    """The clinic's database as the program opens it; once on each engine."""
    opened = Database(clinic.url)
    yield opened
    opened.close()


def test_an_empty_smartia_has_none_of_the_indexes(database: Database) -> None:
    with database.read() as connection:
        found = index_states(connection)

    assert found == dict.fromkeys(INDEXES, IndexState.MISSING)


def test_both_indexes_are_asked_for_in_one_query(database: Database) -> None:
    with database.read() as connection, counted_queries() as queries:
        index_states(connection)

    assert len(queries) == 1


def test_a_job_builds_the_indexes_on_sqlite(sqlite_clinic: Clinic) -> None:
    with closing(Database(sqlite_clinic.url)) as database:
        first = ensure_indexes(database)
        second = ensure_indexes(database)
        with database.read() as connection:
            plans = {
                index: str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all())
                for index, query in QUERIES.items()
            }

    assert first == second == dict.fromkeys(INDEXES, IndexState.PRESENT)
    assert all(index.name in plan for index, plan in plans.items())


def test_a_job_builds_the_one_that_is_missing_on_sqlite(
    sqlite_clinic: Clinic, index: SmartiaIndex
) -> None:
    sqlite_clinic.execute(f"CREATE INDEX other ON {index.on}")

    with closing(Database(sqlite_clinic.url)) as database:
        ensure_indexes(database)

    made = sqlite_clinic.rows("SELECT name FROM sqlite_master WHERE name LIKE 'smartia_%'")
    assert [row["name"] for row in made] == [one.name for one in INDEXES if one != index]


def test_a_job_builds_nothing_on_postgresql(postgres_clinic: Clinic) -> None:
    with closing(Database(postgres_clinic.url)) as database:
        found = ensure_indexes(database)

        assert found == dict.fromkeys(INDEXES, IndexState.MISSING)
        with database.read() as connection:
            assert index_states(connection) == found


def test_an_upgrade_builds_an_index_once(clinic: Clinic, index: SmartiaIndex) -> None:
    first = build(clinic, index)
    second = build(clinic, index)

    assert (first, second) == (IndexBuild.BUILT, IndexBuild.PRESENT)
    with closing(Database(clinic.url)) as database, database.read() as connection:
        assert index_states(connection) == {
            one: IndexState.PRESENT if one == index else IndexState.MISSING for one in INDEXES
        }


@pytest.mark.parametrize(
    ("index", "other", "serves"),
    [
        (APPOINTMENTS, "appointments (appointment_date, status)", True),
        (APPOINTMENTS, "appointments (appointment_date, status, patient_id)", True),
        (APPOINTMENTS, "appointments (appointment_date DESC, status)", True),
        (APPOINTMENTS, "appointments (appointment_date)", False),
        (APPOINTMENTS, "appointments (status, appointment_date)", False),
        (
            APPOINTMENTS,
            "appointments (appointment_date, status) WHERE status = 'SCHEDULED'",
            False,
        ),
        (CONVERSATIONS, "conversations (patient_id)", True),
        (CONVERSATIONS, "conversations (patient_id, updated_at)", True),
        (CONVERSATIONS, "conversations (patient_id DESC)", True),
        (CONVERSATIONS, "conversations (state, patient_id)", False),
        (CONVERSATIONS, "conversations ((patient_id + 0))", False),
        (CONVERSATIONS, "conversations (patient_id) WHERE state = 'DONE'", False),
        (CONVERSATIONS, "appointments (patient_id)", False),
    ],
)
def test_any_index_that_begins_with_the_columns_serves(
    clinic: Clinic, database: Database, index: SmartiaIndex, other: str, serves: bool
) -> None:
    clinic.execute(f"CREATE INDEX other ON {other}")

    assert state(database, index) is (IndexState.PRESENT if serves else IndexState.MISSING)


def test_a_column_that_is_merely_carried_along_does_not_serve(postgres_clinic: Clinic) -> None:
    postgres_clinic.execute("CREATE INDEX ON appointments (appointment_date) INCLUDE (status)")

    with closing(Database(postgres_clinic.url)) as database:
        assert state(database, APPOINTMENTS) is IndexState.MISSING


def test_an_index_left_invalid_is_built_anew(postgres_clinic: Clinic, index: SmartiaIndex) -> None:
    leave_invalid(postgres_clinic, index)

    built = build(postgres_clinic, index)

    assert built is IndexBuild.REBUILT
    with closing(Database(postgres_clinic.url)) as database:
        assert state(database, index) is IndexState.PRESENT


def test_an_index_that_somebody_else_builds_is_left_alone(
    postgres_clinic: Clinic, index: SmartiaIndex
) -> None:
    (statement,) = owner_statements(index, IndexState.MISSING)
    with ThreadPoolExecutor() as threads:
        with unfinished_write(postgres_clinic, index):
            owner = threads.submit(run_in_psql, postgres_clinic, statement)
            wait_for_a_build(postgres_clinic)

            found = threads.submit(build, postgres_clinic, index).result(timeout=60)

        owner.result(timeout=60)
    assert found is IndexBuild.ELSEWHERE
    with closing(Database(postgres_clinic.url)) as database:
        assert state(database, index) is IndexState.PRESENT


def test_the_clinic_goes_on_working_while_an_index_is_built(
    postgres_clinic: Clinic, index: SmartiaIndex
) -> None:
    patient = postgres_clinic.add_patient()
    with ThreadPoolExecutor() as threads:
        with unfinished_write(postgres_clinic, index):
            upgrade = threads.submit(build, postgres_clinic, index)
            wait_for_a_build(postgres_clinic)

            postgres_clinic.add_appointment(patient, START)
            postgres_clinic.add_conversation(patient)

            assert not upgrade.done()
        assert upgrade.result(timeout=60) is IndexBuild.BUILT


def test_of_eight_upgrades_at_once_one_builds_the_index(
    postgres_clinic: Clinic, index: SmartiaIndex
) -> None:
    barrier = threading.Barrier(8)

    def upgrade() -> IndexBuild:
        barrier.wait(timeout=60)
        return build(postgres_clinic, index)

    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(upgrade) for _ in range(8)]
        outcomes = [future.result(timeout=60) for future in futures]

    assert outcomes.count(IndexBuild.BUILT) == 1
    assert set(outcomes) <= {IndexBuild.BUILT, IndexBuild.PRESENT, IndexBuild.ELSEWHERE}
    with closing(Database(postgres_clinic.url)) as database:
        assert state(database, index) is IndexState.PRESENT


@pytest.mark.parametrize("left_invalid", [False, True])
def test_a_role_that_does_not_own_the_table_is_told_so(
    postgres_clinic: Clinic, index: SmartiaIndex, left_invalid: bool
) -> None:
    if left_invalid:
        leave_invalid(postgres_clinic, index)
    role = f"jobs_{uuid4().hex}"
    postgres_clinic.execute(f"CREATE ROLE {role} LOGIN")

    built = build(postgres_clinic, index, role)

    postgres_clinic.execute(f"DROP ROLE {role}")
    assert built is IndexBuild.NOT_ALLOWED


@pytest.mark.parametrize("left_invalid", [False, True])
def test_the_statements_for_the_owner_do_it(
    postgres_clinic: Clinic, index: SmartiaIndex, left_invalid: bool
) -> None:
    if left_invalid:
        leave_invalid(postgres_clinic, index)
    with closing(Database(postgres_clinic.url)) as database:
        for statement in owner_statements(index, state(database, index)):
            run_in_psql(postgres_clinic, statement)

        assert state(database, index) is IndexState.PRESENT


def test_one_index_is_not_reported_as_being_built_while_another_is(
    postgres_clinic: Clinic,
) -> None:
    build(postgres_clinic, APPOINTMENTS)
    with ThreadPoolExecutor() as threads:
        with unfinished_write(postgres_clinic, CONVERSATIONS):
            other = threads.submit(build, postgres_clinic, CONVERSATIONS)
            wait_for_a_build(postgres_clinic)

            found = threads.submit(build, postgres_clinic, APPOINTMENTS).result(timeout=60)

        other.result(timeout=60)
    assert found is IndexBuild.PRESENT


def state(database: Database, index: SmartiaIndex) -> IndexState:
    """Return what the program finds of an index."""
    with database.read() as connection:
        return index_states(connection)[index]


def build(clinic: Clinic, index: SmartiaIndex, role: str = "postgres") -> IndexBuild:
    """Do what ``db upgrade`` does for an index."""
    url = clinic.url.replace("postgres@", f"{role}@")
    with closing(Database(url)) as database, closing(Database(url)) as guard:
        return build_index(database, index, guard=guard)


def leave_invalid(clinic: Clinic, index: SmartiaIndex) -> None:
    """Let a concurrent build of the index break off, so that PostgreSQL keeps it invalid."""
    patient = clinic.add_patient()
    for _ in range(2):
        clinic.add_appointment(patient, START)
        clinic.add_conversation(patient)
    with pytest.raises(psycopg.errors.UniqueViolation):
        clinic.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {index.name} ON {index.on}")
    with closing(Database(clinic.url)) as database:
        assert state(database, index) is IndexState.INVALID


@contextmanager
def unfinished_write(clinic: Clinic, index: SmartiaIndex) -> Iterator[None]:
    """Hold a transaction open that has written to the table: every build on it waits."""
    with psycopg.connect(clinic.url.replace("+psycopg", "")) as connection:
        connection.execute(f"LOCK {index.table} IN ROW EXCLUSIVE MODE".encode())
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


@contextmanager
def counted_queries() -> Iterator[list[str]]:
    """Collect the statements that are sent to the database."""
    seen: list[str] = []

    def see(_c: object, _k: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", see)
