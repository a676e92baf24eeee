"""Our tables: what the migrations make, who makes them when many start, and with which rights."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Connection,
    Table,
    UniqueConstraint,
    delete,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from smartia_jobs.clinic import schema as clinic_schema
from smartia_jobs.clinic import tables as clinic_tables
from smartia_jobs.clinic.index import INDEXES, IndexState, ensure_indexes
from smartia_jobs.database import Database, insert_once, now_plus
from smartia_jobs.errors import ConfigurationError, ExitStatus
from smartia_jobs.store import schema, tables
from smartia_jobs.store.installation import installation_id
from tests.support import Clinic

Start = Callable[[str, str], subprocess.Popen[str]]

ROOT = Path(__file__).resolve().parents[2]

#: What the webhook writes.
INBOX = (tables.statuses, tables.answers, tables.notices)


@pytest.fixture
def database(clinic: Clinic) -> Iterator[Database]:
    """The clinic's database as the program opens it; once on each engine."""
    opened = Database(clinic.url)
    yield opened
    opened.close()


@pytest.fixture
def postgres(postgres_clinic: Clinic) -> Iterator[Database]:
    """The clinic on PostgreSQL as the program opens it."""
    opened = Database(postgres_clinic.url)
    yield opened
    opened.close()


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a Python program with a URL as its argument; it is killed if it outlives the test."""
    processes: list[subprocess.Popen[str]] = []

    def start_one(program: str, url: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, url]
        pipe = subprocess.PIPE
        processes.append(
            subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        )
        return processes[-1]

    yield start_one
    for process in processes:
        with process:
            process.kill()


# -- what the migrations make ---------------------------------------------------------------


def test_the_migrations_make_exactly_the_tables_of_the_metadata(database: Database) -> None:
    schema.ensure(database, auto_migrate=True)
    tables.draw_index()

    with database.write() as connection:
        migrated = describe(connection)
        differences = compare_metadata(
            MigrationContext.configure(
                connection,
                opts={"include_name": is_ours, "version_table": schema.VERSION_TABLE},
            ),
            tables.metadata,
        )
        tables.metadata.drop_all(connection)
        tables.metadata.create_all(connection)
        drawn = describe(connection)
    assert differences == []
    assert migrated == drawn
    assert len(migrated) == len(tables.metadata.tables)


def test_the_index_of_open_rows_holds_nothing_else(database: Database) -> None:
    schema.ensure(database, auto_migrate=True)

    with database.read() as connection:
        (index,) = [
            found
            for found in inspect(connection).get_indexes("smartia_outbox")
            if found["name"] == "smartia_outbox_open"
        ]
    condition = str(index["dialect_options"][f"{database.dialect}_where"])
    assert set(re.findall(r"'(\w+)'", condition)) == {"claimed", "retry", "unknown"}


def test_the_database_itself_refuses_a_second_row_of_the_same_telling(database: Database) -> None:
    schema.ensure(database, auto_migrate=True)
    other = {"patient_id": 2, "state": "retry", "run_id": "other"}
    with database.write() as connection:
        connection.execute(insert(tables.outbox).values(told()))

    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(insert(tables.outbox).values({**told(), **other}))

    with database.read() as connection:
        assert connection.execute(select(tables.outbox.c.run_id)).scalars().all() == ["run"]


@pytest.mark.parametrize("table", INBOX, ids=str)
def test_what_meta_says_twice_is_stored_once(database: Database, table: Table) -> None:
    schema.ensure(database, auto_migrate=True)
    row = filled(table)
    key = keys(table)

    for _ in range(2):
        with database.write() as connection:
            connection.execute(insert_once(database.dialect, table, key=key).values(row))

    with database.read() as connection:
        assert len(connection.execute(select(table)).all()) == 1


def test_an_answer_gets_one_word_back_and_most_rows_are_none(database: Database) -> None:
    schema.ensure(database, auto_migrate=True)
    word_back = {**told(), "answer_id": 7}
    with database.write() as connection:
        for turn in (1, 2):
            connection.execute(insert(tables.outbox).values({**told(), "turn": turn}))
        connection.execute(insert(tables.outbox).values({**word_back, "turn": 3}))

    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(insert(tables.outbox).values({**word_back, "turn": 4}))


def test_the_id_of_an_answer_never_comes_again(database: Database) -> None:
    schema.ensure(database, auto_migrate=True)
    made = insert(tables.answers).values(filled(tables.answers)).returning(tables.answers.c.id)
    with database.write() as connection:
        first = connection.execute(made).scalar_one()
        connection.execute(delete(tables.answers))

        assert connection.execute(made).scalar_one() > first


def test_a_database_is_one_installation_with_an_id_of_its_own(database: Database) -> None:
    schema.ensure(database, auto_migrate=True)
    with database.read() as connection:
        word = installation_id(connection)
    assert re.fullmatch(r"[0-9a-f]{8}", word)

    for number in (1, 2):
        with pytest.raises(IntegrityError), database.write() as connection:
            connection.execute(insert(tables.installation).values(id=number, word="two"))

    with database.read() as connection:
        assert installation_id(connection) == word


def test_an_opt_out_is_one_from_invitations_unless_it_says_all(database: Database) -> None:
    schema.ensure(database, auto_migrate=True)
    with database.write() as connection:
        connection.execute(insert(tables.opt_outs).values(filled(tables.opt_outs)))

    with database.read() as connection:
        assert connection.scalars(select(tables.opt_outs.c.scope)).all() == ["invitations"]


def told() -> dict[str, Any]:
    """Return one row of the outbox."""
    return filled(tables.outbox)


def filled(wanted: Table) -> dict[str, Any]:
    """Return one row of one of our tables."""
    (values,) = (dict(row) for table, row in ROWS if table is wanted)
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    instants = {c.name: now for c in wanted.columns if c.name.endswith("_at")}
    return {**instants, **values}


def keys(table: Table) -> list[str]:
    """Return the columns of the one unique constraint of a table."""
    (unique,) = (c for c in table.constraints if isinstance(c, UniqueConstraint))
    return unique.columns.keys()


def test_head_is_the_last_of_one_chain_of_numbered_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", "smartia_jobs.store:migrations")

    revisions = [found.revision for found in ScriptDirectory.from_config(config).walk_revisions()]

    assert revisions[::-1] == [f"{n:04d}" for n in range(1, len(revisions) + 1)]
    assert revisions[0] == schema.HEAD


def test_smartias_own_tables_are_left_as_they_were(clinic: Clinic, database: Database) -> None:
    with database.read() as connection:
        before = describe(connection, ours=False)

    schema.ensure(database, auto_migrate=True)

    with database.read() as connection:
        assert describe(connection, ours=False) == before
    assert len(before) == 4


# -- when they are made ---------------------------------------------------------------------


def test_an_empty_database_has_no_version_and_no_tables(database: Database) -> None:
    with database.read() as connection:
        assert schema.current_version(connection) is None
        assert not schema.tables_exist(connection)


def test_a_migrated_database_says_so(database: Database) -> None:
    schema.ensure(database, auto_migrate=True)

    with database.read() as connection:
        assert schema.current_version(connection) == schema.HEAD
        assert schema.tables_exist(connection)


def test_without_auto_migrate_missing_tables_end_the_run_and_name_the_command(
    database: Database,
) -> None:
    with pytest.raises(ConfigurationError, match="smartia-jobs db upgrade") as raised:
        schema.ensure(database, auto_migrate=False)

    assert raised.value.exit_status == ExitStatus.CONFIGURATION
    with database.read() as connection:
        assert not schema.tables_exist(connection)


def test_tables_that_are_up_to_date_take_no_write_lock(clinic: Clinic, database: Database) -> None:
    schema.ensure(database, auto_migrate=True)
    with closing(Database(clinic.url)) as other, other.write() as writer:
        writer.execute(update(tables.outbox).values(state="retry"))

        schema.ensure(database, auto_migrate=True)


def test_tables_of_a_newer_version_are_accepted(clinic: Clinic, database: Database) -> None:
    schema.ensure(database, auto_migrate=True)
    clinic.execute("UPDATE smartia_jobs_version SET version_num = '9999'")

    schema.ensure(database, auto_migrate=True)
    schema.upgrade(database)

    with database.read() as connection:
        assert schema.current_version(connection) == "9999"
        assert schema.tables_exist(connection)


def test_tables_of_an_older_version_are_not_read(clinic: Clinic, database: Database) -> None:
    schema.ensure(database, auto_migrate=True)
    clinic.execute("UPDATE smartia_jobs_version SET version_num = '0000'")

    with (
        database.read() as connection,
        pytest.raises(ConfigurationError, match=r"version 0000, .* db upgrade"),
    ):
        schema.tables_exist(connection)


def test_a_migration_that_fails_leaves_nothing_behind(clinic: Clinic, database: Database) -> None:
    clinic.execute("CREATE TABLE smartia_opt_outs (id INTEGER)")

    with pytest.raises(DBAPIError, match="already exists"):
        schema.ensure(database, auto_migrate=True)

    with database.read() as connection:
        assert list(describe(connection)) == ["smartia_opt_outs"]
        assert schema.current_version(connection) is None


def test_alembic_comes_only_to_work_and_leaves_the_logs_alone(sqlite_clinic: Clinic) -> None:
    program = """
import logging, sys
from smartia_jobs.database import Database
from smartia_jobs.store import schema
database = Database(sys.argv[1])
schema.ensure(database, auto_migrate=True)
print("alembic" in sys.modules, logging.root.handlers, logging.root.level)
"""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program, sqlite_clinic.url],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        for _ in range(2)
    ]

    assert [output.stdout for output in outputs] == ["True [] 30\n", "False [] 30\n"]
    assert [output.stderr for output in outputs] == ["", ""]


# -- many at once ---------------------------------------------------------------------------


def test_eight_processes_on_an_empty_database_all_find_it_migrated(
    clinic: Clinic, database: Database, start: Start
) -> None:
    program = """
import sys
import alembic.command
from smartia_jobs.clinic.index import ensure_indexes
from smartia_jobs.database import Database
from smartia_jobs.store import schema
database = Database(sys.argv[1])
with database.read() as connection:
    schema.current_version(connection)
print("ready", flush=True)
sys.stdin.readline()
schema.upgrade(database)
print(*ensure_indexes(database).values())
"""
    processes = [start(program, clinic.url) for _ in range(8)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=120) for process in processes]

    indexed = "present present" if clinic.dialect == "sqlite" else "missing missing"
    assert outputs == [(f"{indexed}\n", "")] * 8
    with database.read() as connection:
        assert schema.current_version(connection) == schema.HEAD
    assert clinic.value("SELECT count(*) FROM smartia_jobs_version") == 1


def test_a_killed_process_leaves_the_migration_to_the_next_one(
    postgres_clinic: Clinic, postgres: Database, start: Start
) -> None:
    program = """
import sys
from smartia_jobs.database import Database
from smartia_jobs.store import schema
schema.upgrade(Database(sys.argv[1]))
"""
    with psycopg.connect(postgres_clinic.url.replace("+psycopg", "")) as other:
        # Half-way through, the migration waits for this table, and holds its lock.
        other.execute("CREATE TABLE smartia_opt_outs (id INTEGER)")
        with start(program, postgres_clinic.url) as process:
            wait_for_a_blocked_query(postgres_clinic)
            process.kill()
        other.rollback()

    schema.ensure(postgres, auto_migrate=True)

    with postgres.read() as connection:
        assert schema.current_version(connection) == schema.HEAD


# -- with few rights ------------------------------------------------------------------------


@pytest.fixture
def role(postgres_clinic: Clinic) -> Iterator[str]:
    """A role made by the first statements of docs/postgresql.md, with no other right."""
    name = f"jobs_{uuid4().hex}"
    postgres_clinic.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    for statement in documented(0, name):
        postgres_clinic.execute(statement)
    yield name
    postgres_clinic.execute(f"DROP OWNED BY {name} CASCADE")
    postgres_clinic.execute(f"DROP ROLE {name}")


@pytest.fixture
def as_role(postgres_clinic: Clinic, role: str) -> Iterator[Database]:
    """The database as that role opens it."""
    opened = Database(postgres_clinic.url.replace("postgres@", f"{role}@"))
    yield opened
    opened.close()


def test_a_role_that_may_not_create_tables_is_told_what_to_do(as_role: Database) -> None:
    with pytest.raises(ConfigurationError, match=r"db upgrade.*docs/postgresql\.md"):
        schema.ensure(as_role, auto_migrate=True)


def test_a_role_may_create_our_tables_with_the_documented_grant(
    postgres_clinic: Clinic, role: str, as_role: Database
) -> None:
    for statement in documented(1, role):
        postgres_clinic.execute(statement)

    schema.ensure(as_role, auto_migrate=True)

    use_everything(postgres_clinic, as_role)


def test_a_role_may_use_the_tables_of_the_owner_with_the_documented_grants(
    postgres_clinic: Clinic, postgres: Database, role: str, as_role: Database
) -> None:
    schema.upgrade(postgres)
    for statement in documented(2, role):
        postgres_clinic.execute(statement)

    schema.ensure(as_role, auto_migrate=False)

    use_everything(postgres_clinic, as_role)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT email FROM patients",
        "SELECT title FROM appointments",
        "UPDATE interactions SET message_text = ''",
        "UPDATE appointments SET appointment_date = now()",
        "UPDATE patients SET name = ''",
        "DELETE FROM appointments",
        "CREATE TABLE anything (id integer)",
    ],
)
def test_the_documented_grants_allow_nothing_else(as_role: Database, statement: str) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"), as_role.write() as connection:
        connection.exec_driver_sql(statement)


@pytest.fixture
def as_webhook(postgres_clinic: Clinic, postgres: Database) -> Iterator[Database]:
    """Our tables as the documented role of the webhook opens them."""
    schema.upgrade(postgres)
    name = f"webhook_{uuid4().hex}"
    postgres_clinic.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    for statement in documented(3, name):
        postgres_clinic.execute(statement)
    with closing(Database(postgres_clinic.url.replace("postgres@", f"{name}@"))) as opened:
        yield opened
    postgres_clinic.execute(f"DROP OWNED BY {name} CASCADE")
    postgres_clinic.execute(f"DROP ROLE {name}")


def test_the_webhooks_role_stores_what_is_heard_with_the_documented_grants(
    as_webhook: Database,
) -> None:
    with as_webhook.read() as connection:
        assert schema.tables_exist(connection)
        assert installation_id(connection)

    with as_webhook.write() as connection:
        for table in INBOX:
            row = filled(table)
            once = insert_once("postgresql", table, key=keys(table)).values(row)
            made = [connection.execute(once.returning(table.c.id)).all() for _ in range(2)]
            assert [len(rows) for rows in made] == [1, 0]
            assert len(connection.execute(select(table)).all()) == 1


@pytest.mark.parametrize(
    "statement",
    [
        *(f"SELECT id FROM {table}" for table in clinic_tables.metadata.tables),
        *(
            f"SELECT id FROM {table}"
            for table in ("smartia_outbox", "smartia_status_changes", "smartia_opt_outs")
        ),
        *(f"UPDATE {table} SET received_at = now()" for table in INBOX),
        *(f"DELETE FROM {table}" for table in INBOX),
        "UPDATE smartia_installation SET word = 'other'",
        "INSERT INTO smartia_installation (id, word) VALUES (1, 'other')",
        "CREATE TABLE anything (id integer)",
    ],
)
def test_the_webhooks_role_may_do_nothing_else(as_webhook: Database, statement: str) -> None:
    denied = pytest.raises(ProgrammingError, match="permission denied")
    with denied, as_webhook.write() as connection:
        connection.exec_driver_sql(statement)


def use_everything(clinic: Clinic, database: Database) -> None:
    """Do with each table what the jobs do with it."""
    patient = clinic.add_patient()
    visit = clinic.add_appointment(patient, "2026-11-24 09:00")
    with database.read() as connection:
        assert clinic_schema.problems(connection) == []
        assert clinic_schema.date_storage(connection) is clinic_schema.DateStorage.TIMESTAMPTZ
        for name in ("patients", "appointments", "conversations"):
            connection.execute(select(clinic_tables.metadata.tables[name])).all()
    assert ensure_indexes(database) == dict.fromkeys(INDEXES, IndexState.MISSING)
    with database.write() as connection:
        now = now_plus(connection, 0)
        chat = connection.execute(
            insert(clinic_tables.conversations)
            .values(patient_id=patient, state="DONE", created_at=now, updated_at=now)
            .returning(clinic_tables.conversations.c.id)
        ).scalar_one()
        values = {"conversation_id": chat, "patient_id": patient, "type": "OUTGOING"}
        connection.execute(insert(clinic_tables.interactions), [values])
        appointments = clinic_tables.appointments
        connection.execute(
            update(appointments)
            .where(appointments.c.id == visit, appointments.c.status == "SCHEDULED")
            .values(status="NO_SHOW", updated_at=now)
        )
        for table, row in ROWS:
            instants = {c.name: now for c in table.columns if c.name.endswith("_at")}
            made = insert(table).values({**instants, **row}).returning(table.c.id)
            is_it = table.c.id == connection.execute(made).scalar_one()
            connection.execute(update(table).where(is_it).values(row))
            connection.execute(delete(table).where(is_it))
        assert installation_id(connection)
        connection.execute(update(tables.installation).values(interactions_seen=1))


_WALL_TIME = datetime(2026, 11, 24, 9, 0)  # noqa: DTZ001 - wall time is naive
_VISIT = {"appointment_id": 1, "start": _WALL_TIME, "run_id": "run"}
ROWS: list[tuple[Table, dict[str, Any]]] = [
    (tables.outbox, {**_VISIT, "kind": "24h", "patient_id": 1, "state": "claimed"}),
    (
        tables.status_changes,
        {
            **_VISIT,
            "patient_id": 1,
            "stored_date": "2026-11-25 15:00",
            "before": "SCHEDULED",
            "after": "NO_SHOW",
            "why": "no_show",
            "answer_id": 0,
        },
    ),
    (tables.opt_outs, {"phone": "+5511987654321", "source": "person"}),
    (tables.statuses, {"wamid": "wamid.OUT1", "status": "delivered", "callback": "word:1:1"}),
    (tables.answers, {"message_id": "wamid.IN1", "source": "webhook", "type": "button"}),
    (tables.forwarded, {"mark": "0" * 64}),
    (tables.notices, {"field": "account_update", "event": "ACCOUNT_RESTRICTION", "subject": ""}),
]


def documented(block: int, role: str) -> list[str]:
    """Return the statements of one of the SQL blocks in docs/postgresql.md, for this role."""
    text = (ROOT / "docs" / "postgresql.md").read_text(encoding="utf-8")
    sql = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)[block]
    named = re.compile(r"\bsmartia_(jobs|webhook)\b")
    return [named.sub(role, statement) for statement in sql.split(";\n")[:-1]]


def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    """Leave SmartIA's tables out of a comparison."""
    return kind != "table" or str(name).startswith("smartia_")


def describe(connection: Connection, *, ours: bool = True) -> dict[str, Any]:
    """Return all that the database tells about our tables, or about those of SmartIA."""
    found, never_again = inspect(connection), set()
    if connection.dialect.name == "sqlite":
        ids = "SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'"
        never_again = set(connection.exec_driver_sql(ids).scalars())
    return {
        name: {
            "columns": [{**c, "type": str(c["type"])} for c in found.get_columns(name)],
            "indexes": [
                {**i, "dialect_options": {k: str(v) for k, v in i["dialect_options"].items()}}
                for i in found.get_indexes(name)
            ],
            "primary key": found.get_pk_constraint(name),
            "ids never come again": name in never_again,
            "unique": sorted(found.get_unique_constraints(name), key=str),
            "foreign keys": sorted(found.get_foreign_keys(name), key=str),
        }
        for name in found.get_table_names()
        if name.startswith("smartia_") == ours and name != schema.VERSION_TABLE
    }


def wait_for_a_blocked_query(clinic: Clinic) -> None:
    """Return once some session on this database waits for a lock."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    give_up_at = time.monotonic() + 60
    while not clinic.value(waiting):
        assert time.monotonic() < give_up_at, "nobody ever waited for a lock"
        time.sleep(0.02)
