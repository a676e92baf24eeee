"""The connection, its transactions, the column types and the advice, on both engines."""

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    cast,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.pool import QueuePool

from smartia_jobs.database import (
    Database,
    NativeEnum,
    UtcDateTime,
    now_plus,
)
from smartia_jobs.database.errors import explain, is_transient
from smartia_jobs.errors import (
    ConfigurationError,
    ExitStatus,
    InterruptedRunError,
    SmartiaJobsError,
    UnavailableError,
)
from smartia_jobs.settings import database_url

metadata = MetaData()
notes = Table(
    "notes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UtcDateTime),
)
appointments = Table(
    "appointments",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("status", NativeEnum("appointmentstatus")),
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A fresh SmartIA database with the table ``notes``, once on each engine."""
    if request.param == "sqlite":
        found = f"sqlite:///{request.getfixturevalue('smartia_sqlite')}"
    else:
        found = str(request.getfixturevalue("smartia_postgres"))
    database = Database(found)
    with database.write() as connection:
        metadata.create_all(connection)
    database.close()
    return found


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """The database, opened; nobody may be left with its connection."""
    opened = Database(url)
    yield opened
    pool = opened._engine.pool
    opened.close()
    assert isinstance(pool, QueuePool)
    assert pool.checkedout() == 0


def failure(opened: Database, statement: str = "SELECT count(*) FROM patients") -> SQLAlchemyError:
    """Return the error that using this database raises."""
    with pytest.raises(SQLAlchemyError) as raised, opened.read() as connection:
        connection.execute(text(statement))
    opened.close()
    return raised.value


def count_notes(connection: Connection) -> int:
    return len(connection.execute(select(notes)).all())


def backend(connection: Connection) -> int:
    return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


# Transactions


def test_a_write_is_there_for_the_next_transaction(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(notes).values(id=1))

    with database.read() as connection:
        assert count_notes(connection) == 1


def test_an_error_takes_back_everything_the_transaction_wrote(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        connection.execute(insert(notes).values(id=1))
        raise ZeroDivisionError

    with database.read() as connection:
        assert count_notes(connection) == 0


def test_the_outer_rollback_takes_a_savepoint_with_it(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        with connection.begin_nested():
            connection.execute(insert(notes).values(id=1))
        raise ZeroDivisionError

    with database.read() as connection:
        assert count_notes(connection) == 0


def test_a_savepoint_alone_can_be_taken_back(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(notes).values(id=1))
        with pytest.raises(ZeroDivisionError), connection.begin_nested():
            connection.execute(insert(notes).values(id=2))
            raise ZeroDivisionError

    with database.read() as connection:
        assert count_notes(connection) == 1


def test_creating_a_table_can_be_taken_back(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        connection.execute(text("CREATE TABLE half (id integer)"))
        raise ZeroDivisionError

    assert "half" in str(explain(failure(database, "SELECT * FROM half")))


def test_read_only_refuses_to_write(url: str) -> None:
    opened = Database(url, read_only=True)

    with pytest.raises(DBAPIError) as raised, opened.write() as connection:
        connection.execute(insert(notes).values(id=1))

    opened.close()
    assert type(explain(raised.value)) is ConfigurationError


def test_read_only_reads(url: str) -> None:
    opened = Database(url, read_only=True)

    with opened.read() as connection:
        found = count_notes(connection)

    opened.close()
    assert found == 0


def test_a_closed_database_opens_again_when_it_is_used(database: Database) -> None:
    database.close()

    with database.read() as connection:
        assert count_notes(connection) == 0


def test_a_statement_outside_a_transaction_commits_itself(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.outside_transaction() as connection:
        connection.execute(insert(notes).values(id=1))
        raise ZeroDivisionError

    with database.read() as connection:
        assert count_notes(connection) == 1


def test_transactions_follow_each_other_on_one_connection(database: Database) -> None:
    with database.read() as connection:
        first = connection.connection.driver_connection
    with database.write() as connection:
        second = connection.connection.driver_connection

    assert second is first


def test_nothing_is_held_between_transactions(database: Database, url: str) -> None:
    other = Database(url, busy_timeout_s=0.01)
    with database.write() as connection:
        connection.execute(insert(notes).values(id=1))
    with database.read() as connection:
        count_notes(connection)

    with other.write() as connection:
        if database.dialect == "postgresql":
            connection.execute(text("LOCK TABLE notes IN ACCESS EXCLUSIVE MODE NOWAIT"))
        connection.execute(insert(notes).values(id=2))

    other.close()


def test_a_signal_in_a_statement_is_what_is_raised(database: Database) -> None:
    slow = {
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
        " WHERE i < 3000000) SELECT count(*) FROM n",
        "postgresql": "SELECT pg_sleep(5)",
    }[database.dialect]

    def interrupt(*_: object) -> None:
        raise InterruptedRunError(ExitStatus.TERMINATED)

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(InterruptedRunError), database.read() as connection:
            connection.exec_driver_sql(slow)
            time.sleep(10)  # if the statement was faster than the signal
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    with database.write() as connection:
        connection.execute(insert(notes).values(id=1))


def test_a_connection_is_closed_with_its_database(url: str) -> None:
    opened = Database(url)
    with opened.read() as connection:
        driver: Any = connection.connection.driver_connection

    opened.close()

    with pytest.raises((sqlite3.ProgrammingError, psycopg.OperationalError)):
        driver.execute("SELECT 1")


def test_values_of_a_row_stay_out_of_errors(database: Database) -> None:
    row = {"phone": "5511987654321", "name": "Maria"}
    statement = text("INSERT INTO patients (phone_number, name) VALUES (:phone, :name)")
    with database.write() as connection:
        connection.execute(statement, row)

    with pytest.raises(DBAPIError) as raised, database.write() as connection:
        connection.execute(statement, row)

    said = f"{raised.value} {raised.value.orig} {explain(raised.value)}"
    assert "5511987654321" not in said
    assert "Maria" not in said
    assert type(explain(raised.value)) is ConfigurationError


# SQLite


@pytest.fixture
def busy_file(smartia_sqlite: Path) -> Iterator[Path]:
    """A SmartIA file that another connection is writing to."""
    with closing(sqlite3.connect(smartia_sqlite, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield smartia_sqlite


@contextmanager
def leaving_soon(file: Path, begin: str) -> Iterator[None]:
    """Another connection that begins so, looks at the patients, and ends a moment later."""
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute(begin)
        other.execute("SELECT count(*) FROM patients").fetchall()
        release = threading.Timer(0.3, other.execute, ["COMMIT"])
        release.start()
        yield
        release.join()


def test_a_file_that_stays_busy_is_unavailable(busy_file: Path) -> None:
    opened = Database(f"sqlite:///{busy_file}", busy_timeout_s=0.01)

    with pytest.raises(DBAPIError) as raised, opened.write():
        pass

    opened.close()
    assert type(explain(raised.value)) is UnavailableError
    assert is_transient(raised.value)


@pytest.mark.parametrize(
    ("code", "look_at"),
    [
        (sqlite3.SQLITE_BUSY, "the programs that have the file open"),
        (sqlite3.SQLITE_FULL, "its disk and memory"),
        (sqlite3.SQLITE_IOERR, "its disk and memory"),
    ],
)
def test_of_a_file_that_is_unavailable_nobody_looks_at_the_network(code: int, look_at: str) -> None:
    original = sqlite3.OperationalError("something")
    original.sqlite_errorcode = code

    error = explain(DBAPIError("SELECT 1", (), original))

    assert isinstance(error, UnavailableError)
    assert error.look_at == look_at


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("SELECT count(*) FROM sqlite_master", None),
        ("SELECT name FROM pragma_table_info('appointments')", None),
        (
            "WITH wanted(name) AS (VALUES ('a'), ('b')) SELECT 1 FROM wanted,"
            " pragma_table_info(wanted.name) AS found",
            None,
        ),
        ("WITH open_visits AS (SELECT id FROM patients) SELECT id FROM open_visits", "patients"),
        ("SELECT count(*) FROM appointments", "appointments"),
        ("UPDATE appointments SET status = 'x'", "appointments"),
    ],
)
def test_only_a_real_table_is_named(tmp_path: Path, statement: str, table: str | None) -> None:
    path = tmp_path / "note.db"
    path.write_text("Olá, isto não é um banco de dados. " * 50, encoding="utf-8")

    error = explain(failure(Database(f"sqlite:///{path}"), statement))

    named = f"; table {table}" if table else ""
    assert str(error).endswith(f"(file is not a database{named}).")


def test_a_busy_file_can_be_read(busy_file: Path) -> None:
    opened = Database(f"sqlite:///{busy_file}", busy_timeout_s=0.01)

    with opened.read() as connection:
        found = connection.execute(text("SELECT count(*) FROM patients")).scalar_one()

    opened.close()
    assert found == 0


def test_a_commit_that_fails_is_taken_back(smartia_sqlite: Path) -> None:
    opened = Database(f"sqlite:///{smartia_sqlite}", busy_timeout_s=0.01)
    insertion = text("INSERT INTO patients (phone_number) VALUES (:phone)")

    with closing(sqlite3.connect(smartia_sqlite, isolation_level=None)) as reader:
        reader.execute("BEGIN").execute("SELECT count(*) FROM patients").fetchall()
        with pytest.raises(DBAPIError) as raised, opened.write() as connection:
            connection.execute(insertion, {"phone": "1"})
    with opened.write() as connection:
        connection.execute(insertion, {"phone": "2"})
        phones = connection.execute(text("SELECT phone_number FROM patients")).scalars().all()

    opened.close()
    assert is_transient(raised.value)
    assert phones == ["2"]


@pytest.mark.parametrize("in_the_way", ["BEGIN IMMEDIATE", "BEGIN"], ids=["writer", "reader"])
def test_who_has_more_patience_waits_longer(smartia_sqlite: Path, in_the_way: str) -> None:
    opened = Database(f"sqlite:///{smartia_sqlite}", busy_timeout_s=0.01)

    with (
        leaving_soon(smartia_sqlite, in_the_way),
        opened.write(patience_s=10.0) as connection,
    ):
        connection.execute(text("INSERT INTO patients (phone_number) VALUES ('1')"))
    with opened.read() as connection:
        afterwards_ms = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
        patients = connection.execute(text("SELECT count(*) FROM patients")).scalar()

    opened.close()
    assert (afterwards_ms, patients) == (10, 1)


def test_a_busy_file_is_waited_for(smartia_sqlite: Path) -> None:
    opened = Database(f"sqlite:///{smartia_sqlite}")

    with leaving_soon(smartia_sqlite, "BEGIN IMMEDIATE"), opened.write() as connection:
        connection.execute(text("INSERT INTO patients (phone_number) VALUES ('1')"))

    opened.close()


def test_a_write_holds_the_lock_from_its_beginning(smartia_sqlite: Path) -> None:
    opened = Database(f"sqlite:///{smartia_sqlite}")

    with (
        opened.write(),
        closing(sqlite3.connect(smartia_sqlite, timeout=0)) as other,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        other.execute("INSERT INTO patients (phone_number) VALUES ('1')")

    opened.close()


def test_the_journal_mode_stays_as_smartia_left_it(smartia_sqlite: Path) -> None:
    with closing(sqlite3.connect(smartia_sqlite)) as other:
        other.execute("PRAGMA journal_mode = wal")
    opened = Database(f"sqlite:///{smartia_sqlite}")

    with opened.write() as connection:
        mode = connection.execute(text("PRAGMA journal_mode")).scalar_one()

    opened.close()
    assert mode == "wal"


@pytest.mark.parametrize("read_only", [True, False])
def test_a_missing_file_is_not_created(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "smartia.db"

    error = explain(failure(Database(f"sqlite:///{path}", read_only=read_only)))

    assert type(error) is ConfigurationError
    assert f"no such file: {path}" in str(error)
    assert not path.exists()


def test_a_missing_folder_is_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "smartia.db"

    error = explain(failure(Database(f"sqlite:///{path}")))

    assert type(error) is ConfigurationError
    assert f"no such file: {path}" in str(error)
    assert "slashes" not in str(error)


def test_a_whole_path_without_its_fourth_slash_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    error = explain(failure(Database("sqlite:///srv/smartia.db")))

    assert f"no such file: {tmp_path}/srv/smartia.db; " in str(error)
    assert "four slashes: sqlite:////srv/smartia.db" in str(error)


@pytest.mark.parametrize("read_only", [True, False])
def test_a_directory_is_not_a_database(tmp_path: Path, read_only: bool) -> None:
    error = explain(failure(Database(f"sqlite:///{tmp_path}", read_only=read_only)))

    assert type(error) is ConfigurationError
    assert "directory" in str(error)


def test_a_text_file_is_not_a_database(tmp_path: Path) -> None:
    path = tmp_path / "smartia.db"
    path.write_text("Olá, isto não é um banco de dados. " * 50, encoding="utf-8")

    error = explain(failure(Database(f"sqlite:///{path}")))

    assert type(error) is ConfigurationError
    assert "not an SQLite database" in str(error)


def test_an_empty_file_is_not_a_smartia_database(tmp_path: Path) -> None:
    path = tmp_path / "smartia.db"
    path.touch()

    error = explain(failure(Database(f"sqlite:///{path}")))

    assert type(error) is ConfigurationError
    assert "no such table: patients" in str(error)


def test_a_missing_column_is_named(smartia_sqlite: Path) -> None:
    error = explain(failure(Database(f"sqlite:///{smartia_sqlite}"), "SELECT shoe FROM patients"))

    assert type(error) is ConfigurationError
    assert "no such column: shoe" in str(error)


def test_a_damaged_file_needs_a_person(smartia_sqlite: Path) -> None:
    content = bytearray(smartia_sqlite.read_bytes())
    content[100:] = b"\xff" * (len(content) - 100)
    smartia_sqlite.write_bytes(content)

    error = explain(failure(Database(f"sqlite:///{smartia_sqlite}")))

    assert type(error) is ConfigurationError


@pytest.mark.parametrize(
    "name",
    ["com espaço.db", "50%.db", "100%25.db", "a#b.db", "clínica-ção.db", "x.db?y.db", "a&b=c.db"],
)
@pytest.mark.parametrize("relative", [True, False])
def test_a_file_of_any_name_opens(
    smartia_sqlite: Path, monkeypatch: pytest.MonkeyPatch, name: str, relative: bool
) -> None:
    path = smartia_sqlite.rename(smartia_sqlite.parent / name.replace("%25", "%"))
    monkeypatch.chdir(path.parent)
    opened = Database(f"sqlite:///{'.' if relative else path.parent}/{name}")

    with opened.write() as connection:
        found = connection.execute(text("SELECT count(*) FROM patients")).scalar_one()

    opened.close()
    assert found == 0
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_arguments_for_another_driver_are_passed_over(smartia_sqlite: Path) -> None:
    opened = Database(f"sqlite:///{smartia_sqlite}?check_same_thread=False&timeout=30")

    with opened.read() as connection:
        found = connection.execute(text("SELECT count(*) FROM patients")).scalar_one()

    opened.close()
    assert found == 0


# URLs


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite://", "memory"),
        ("sqlite:///", "memory"),
        ("sqlite:///:memory:", "memory"),
        ("sqlite:///file:x.db?uri=true", "plain path"),
        ("", "must begin"),
        ("smartia.db", "must begin"),
        ("mysql://u:geheim@h/d", "mysql"),
        ("postgresql+asyncpg://u:geheim@h/d", "own driver"),
        ("postgresql://u:ge@heim@h/d", "%40"),
        ("postgresql://u:geheim@h:54x/d", "5432"),
        ("postgresql://u:geheim@h", "name a database"),
        ("postgresql://u:geheim@h/d?row_factory=dict", "row_factory"),
        ("postgresql://u:geheim@h/d?port=1,2,3&host=a", "hosts and ports"),
    ],
)
def test_a_url_that_cannot_work_is_refused_with_the_reason(url: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected) as raised:
        Database(url)

    assert "DATABASE_URL" in str(raised.value)
    assert "heim" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql://h/d?sslmode=require", "postgresql+psycopg://h/d?sslmode=require"),
        ("postgresql+psycopg://u:a#b/c@[::1]:5/d", "postgresql+psycopg://u:a#b/c@[::1]:5/d"),
        (
            "postgresql://u:p@/d?host=/cloudsql/p:r:i",
            "postgresql+psycopg://u:p@/d?host=/cloudsql/p:r:i",
        ),
        ("sqlite+pysqlite:///a.db", "sqlite:///a.db"),
    ],
)
def test_a_usable_url_gets_the_driver_of_this_program(url: str, expected: str) -> None:
    assert database_url.normalise(url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:geheim@h:5/d", "postgresql://u:***@h:5/d"),
        ("postgresql://u:geh/ei#m@h/d?sslmode=a", "postgresql://u:***@h/d?sslmode=a"),
        (
            "postgresql://h/d?user=u&password=geheim&x=",
            "postgresql://h/d?user=u&password=***&x=***",
        ),
        ("postgresql://u@h/d?sslpassword=geheim", "postgresql://u@h/d?sslpassword=***"),
        ("postgresql://u@h/d?geheim", "postgresql://u@h/d?***"),
        ("postgresql://u:ge?heim@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("sqlite:///a@b:c.db", "sqlite:///a@b:c.db"),
        ("geheim", "…"),
    ],
)
def test_a_password_is_masked(url: str, expected: str) -> None:
    assert database_url.masked(url) == expected


# PostgreSQL


def test_a_dropped_connection_is_replaced_before_the_next_transaction(
    smartia_postgres: str,
) -> None:
    opened, killer = Database(smartia_postgres), Database(smartia_postgres)
    with opened.read() as connection:
        before = backend(connection)
    with killer.read() as connection:
        connection.execute(text(f"SELECT pg_terminate_backend({before}, 5000)"))

    with opened.write() as connection:
        after = backend(connection)

    opened.close()
    killer.close()
    assert after != before


def test_a_connection_lost_in_a_transaction_is_transient_and_the_next_one_works(
    smartia_postgres: str,
) -> None:
    opened, killer = Database(smartia_postgres), Database(smartia_postgres)

    with pytest.raises(DBAPIError) as raised, opened.write() as connection:
        pid = backend(connection)
        with killer.read() as other:
            other.execute(text(f"SELECT pg_terminate_backend({pid}, 5000)"))
        connection.execute(text("SELECT 1"))

    with opened.write() as connection:
        again = backend(connection)
    opened.close()
    killer.close()
    assert raised.value.connection_invalidated
    assert is_transient(raised.value)
    assert again != pid


def test_limits_live_in_the_transaction_and_nowhere_else(smartia_postgres: str) -> None:
    settings = ("lock_timeout", "statement_timeout", "TimeZone", "transaction_read_only")
    query = text("SELECT " + ", ".join(f"current_setting('{name}')" for name in settings))
    opened = Database(smartia_postgres)

    with opened.read() as connection:
        reading = tuple(connection.execute(query).one())
    with opened.write() as connection:
        writing = tuple(connection.execute(query).one())
    with opened.outside_transaction() as connection:
        outside = tuple(connection.execute(query).one())

    opened.close()
    assert reading == ("5s", "30s", "UTC", "on")
    assert writing == ("5s", "30s", "UTC", "off")
    assert outside == ("0", "0", "America/Sao_Paulo", "off")


#: What a database, a role or a pooler may have set, and what a transaction makes of it.
ODD_SETTINGS = {
    "TimeZone": ("America/Sao_Paulo", "UTC"),
    "datestyle": ("SQL, DMY", "ISO, YMD"),
    "extra_float_digits": ("-15", "1"),
    "quote_all_identifiers": ("on", "off"),
    "default_transaction_isolation": ("serializable", None),
    "default_transaction_deferrable": ("on", None),
    "default_transaction_read_only": ("on", None),
    "synchronous_commit": ("off", "on"),
    "lock_timeout": ("1ms", "5s"),
    "statement_timeout": ("2s", "30s"),
    "idle_in_transaction_session_timeout": ("1ms", "1min"),
}


def set_for_all(url: str, name: str, value: str) -> None:
    """Let every later session of the database begin with a setting."""
    with closing(Database(url)) as database, database.write() as connection:
        name_of_it = connection.exec_driver_sql("SELECT current_database()").scalar()
        connection.exec_driver_sql(f"ALTER DATABASE {name_of_it} SET {name} = '{value}'")


@pytest.mark.parametrize("name", ODD_SETTINGS)
def test_what_a_database_has_set_is_set_anew_in_each_transaction(
    smartia_postgres: str, name: str
) -> None:
    odd, expected = ODD_SETTINGS[name]
    set_for_all(smartia_postgres, name, odd)
    query = text(
        f"SELECT current_setting('{name}'), current_setting('transaction_isolation'),"
        " current_setting('transaction_read_only'), timestamptz '2026-07-01 12:00:00.5+00'"
    )

    with closing(Database(smartia_postgres)) as opened, opened.write() as connection:
        time.sleep(0.01)
        value, isolation, read_only, at = connection.execute(query).one()

    assert value == (expected or odd)
    assert (isolation, read_only) == ("read committed", "off")
    assert at == datetime(2026, 7, 1, 12, 0, 0, 500_000, tzinfo=UTC)


def test_no_limit_of_a_whole_transaction_is_left_where_the_server_knows_one(
    smartia_postgres: str,
) -> None:
    """PostgreSQL 17 brought it; before, the transaction begins as it always did."""
    with closing(Database(smartia_postgres)) as opened:
        with opened.outside_transaction() as connection:
            version = connection.exec_driver_sql("SHOW server_version_num").scalar_one()
        knows_it = int(version) >= 170000
        if knows_it:
            set_for_all(smartia_postgres, "transaction_timeout", "100ms")
            opened.close()
        with opened.write() as connection:
            time.sleep(0.2)
            found = connection.execute(
                text("SELECT current_setting('transaction_timeout', true)")
            ).scalar()

    assert found == ("0" if knows_it else None)


def test_a_stronger_promise_of_commits_stays(smartia_postgres: str) -> None:
    set_for_all(smartia_postgres, "synchronous_commit", "remote_apply")

    with closing(Database(smartia_postgres)) as opened, opened.write() as connection:
        found = connection.execute(text("SHOW synchronous_commit")).scalar()

    assert found == "remote_apply"


@pytest.mark.parametrize("encoding", ["latin1", "sql_ascii"])
def test_an_encoding_in_the_url_changes_no_text(smartia_postgres: str, encoding: str) -> None:
    url = f"{smartia_postgres}&client_encoding={encoding}"

    with closing(Database(url)) as opened, opened.read() as connection:
        found = connection.execute(text("SELECT U&'Jo\\00E3o \\2713', :name"), {"name": "ç✓"})
        assert tuple(found.one()) == ("João ✓", "ç✓")


def test_a_session_that_was_ended_for_idling_is_replaced(smartia_postgres: str) -> None:
    set_for_all(smartia_postgres, "idle_session_timeout", "1s")

    with closing(Database(smartia_postgres)) as opened:
        with opened.read() as connection:
            before = backend(connection)
        time.sleep(1.5)
        with opened.write() as connection:
            after = backend(connection)

    assert after != before


def test_what_python_cannot_hold_comes_as_text(smartia_postgres: str) -> None:
    query = text(
        "SELECT timestamptz 'infinity', timestamp '0044-03-15 12:00 BC',"
        " timestamptz '12000-01-01 10:00+00'"
    )

    with closing(Database(smartia_postgres)) as opened, opened.read() as connection:
        found = tuple(connection.execute(query).one())

    assert found == ("infinity", "0044-03-15 12:00:00 BC", "12000-01-01 10:00:00+00")


def test_a_lock_held_elsewhere_is_transient(smartia_postgres: str) -> None:
    holder, opened = Database(smartia_postgres), Database(smartia_postgres)

    with holder.write() as connection:
        connection.execute(text("LOCK TABLE patients"))
        with pytest.raises(DBAPIError) as raised, opened.write() as other:
            other.execute(text("SET LOCAL lock_timeout = '10ms'; SELECT count(*) FROM patients"))

    holder.close()
    opened.close()
    assert is_transient(raised.value)


def test_an_index_can_be_built_concurrently(smartia_postgres: str) -> None:
    opened = Database(smartia_postgres)

    with opened.outside_transaction() as connection:
        connection.execute(text("CREATE INDEX CONCURRENTLY some_index ON patients (name)"))

    opened.close()


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("SELECT * FROM nothing", ConfigurationError),
        ("SELECT shoe FROM patients", ConfigurationError),
        ("SELECT 'x'::nothing", ConfigurationError),
        ("SELEC 1", SmartiaJobsError),
        ("SELECT 1 / 0", ConfigurationError),
        ("SELECT 'a'::integer", ConfigurationError),
        ("SELECT phone_number + 1 FROM patients", ConfigurationError),
        ("DO $$BEGIN RAISE EXCEPTION 'closed'; END$$", ConfigurationError),
        ("SELECT repeat('a', 2000000000)", ConfigurationError),
        ("SELECT pg_sleep(10)", UnavailableError),
        ("DELETE FROM patients", ConfigurationError),
    ],
)
def test_a_refused_statement_is_explained(
    smartia_postgres: str, statement: str, kind: type[SmartiaJobsError]
) -> None:
    opened = Database(smartia_postgres)

    error = failure(opened, f"SET LOCAL statement_timeout = '50ms'; {statement}")

    assert type(explain(error)) is kind


def test_a_missing_right_is_explained(smartia_postgres: str) -> None:
    opened = Database(smartia_postgres)

    error = failure(opened, "SET LOCAL ROLE pg_monitor; SELECT * FROM patients")

    assert type(explain(error)) is ConfigurationError
    assert "patients" in str(explain(error))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (("postgres@", "nobody:geheim@"), ConfigurationError),
        (("/smartia_", "/nothing_"), ConfigurationError),
        (("host=/", "host=/nowhere/"), UnavailableError),
    ],
)
def test_a_refused_connection_is_explained_without_the_password(
    smartia_postgres: str, change: tuple[str, str], kind: type[SmartiaJobsError]
) -> None:
    wrong = smartia_postgres.replace(*change, 1)
    assert wrong != smartia_postgres

    error = explain(failure(Database(wrong)))

    assert type(error) is kind
    assert "DATABASE_URL" in str(error)
    assert "geheim" not in str(error)


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("pgbouncer=true", "does not know: pgbouncer"),
        ("schema=public&connection_limit=1", "does not know: schema"),
        ("statement_cache_size=0", "does not know: statement_cache_size"),
        ("sslmode=nonsense", "cannot use: invalid sslmode"),
        ("target_session_attrs=x", "cannot use: invalid target_session_attrs"),
        ("channel_binding=x", "cannot use: invalid channel_binding"),
        ("connect_timeout=abc", "cannot use: bad value for connect_timeout"),
        ("port=99999", "cannot use: invalid port number"),
        ("service=nothing", "cannot use: definition of service"),
        ("options=-c%20shoe%3D1", "shoe"),
    ],
)
def test_an_argument_of_the_url_that_cannot_be_used_is_named(
    smartia_postgres: str, argument: str, told: str
) -> None:
    error = explain(failure(Database(f"{smartia_postgres}&{argument}&password=geheim")))

    assert type(error) is ConfigurationError
    assert str(error).startswith("DATABASE_URL has an argument")
    assert told in str(error)
    assert "refuses the connection" not in str(error)
    assert "geheim" not in str(error)


def test_an_address_where_nobody_listens_is_unavailable() -> None:
    pytest.importorskip("psycopg")

    error = explain(failure(Database("postgresql://u:geheim@127.0.0.1:1/d")))

    assert type(error) is UnavailableError
    assert "geheim" not in str(error)


def test_a_missing_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(ConfigurationError, match=r"pip install .psycopg"):
        Database("postgresql://u@h/d")


# Column types


def test_an_instant_comes_back_in_utc(database: Database) -> None:
    lisbon = timezone(timedelta(hours=1))
    at = datetime(2026, 7, 1, 15, 30, 1, 123456, tzinfo=lisbon)
    with database.write() as connection:
        connection.execute(insert(notes), [{"id": 1, "at": at}, {"id": 2, "at": None}])

    with database.read() as connection:
        found = connection.execute(select(notes.c.at).order_by(notes.c.id)).scalars().all()

    assert found == [at, None]
    assert found[0] is not None
    assert found[0].tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23 12:00:00.000000",
        "2026-11-23 12:00:00",
        "2026-11-23T12:00:00",
        "2026-11-23 09:00:00-03:00",
        "2026-11-23 12:00:00.000000+00:00",
    ],
)
def test_an_instant_that_another_program_has_written_is_read(
    smartia_sqlite: Path, text: str
) -> None:
    with closing(Database(f"sqlite:///{smartia_sqlite}")) as database:
        with database.write() as connection:
            metadata.create_all(connection)
            connection.exec_driver_sql("INSERT INTO notes VALUES (1, ?)", (text,))

        with database.read() as connection:
            read = connection.execute(select(notes.c.at)).scalar_one()

    assert read == datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert read.utcoffset() == timedelta(0)


def test_instants_compare_as_instants(database: Database) -> None:
    at = datetime(2026, 7, 1, 12, tzinfo=UTC)
    with database.write() as connection:
        connection.execute(insert(notes).values(id=1, at=at + timedelta(microseconds=1)))

    with database.read() as connection:
        later = connection.execute(select(notes.c.id).where(notes.c.at > at)).all()
        earlier = connection.execute(select(notes.c.id).where(notes.c.at <= at)).all()

    assert len(later) == 1
    assert earlier == []


def test_a_naive_value_is_no_instant(database: Database) -> None:
    naive = datetime(2026, 7, 1, 12)  # noqa: DTZ001 - the point of the test

    with pytest.raises(StatementError, match="aware"), database.write() as connection:
        connection.execute(insert(notes).values(id=1, at=naive))


def test_the_database_clock_is_this_machine_clock(database: Database) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    with database.write() as connection:
        connection.execute(insert(notes).values(id=1, at=now_plus(connection, 0)))
        connection.execute(insert(notes).values(id=2, at=now_plus(database.dialect, -90.5)))
        connection.execute(insert(notes).values(id=3))
        connection.execute(
            update(notes).where(notes.c.id == 3).values(at=now_plus(connection, 3600))
        )
    after = datetime.now(UTC)

    with database.read() as connection:
        now, past, future = connection.execute(select(notes.c.at).order_by(notes.c.id)).scalars()

    assert before <= now <= after
    assert before <= past + timedelta(seconds=90.5) <= after
    assert before <= future - timedelta(hours=1) <= after


def test_sqlite_s_clock_writes_what_an_instant_writes(smartia_sqlite: Path) -> None:
    opened = Database(f"sqlite:///{smartia_sqlite}")

    with opened.read() as connection:
        written = connection.execute(select(cast(now_plus(connection, 0), String))).scalar_one()

    opened.close()
    assert datetime.strptime(written, "%Y-%m-%d %H:%M:%S.%f")  # noqa: DTZ007
    assert len(written) == len("2026-11-23 14:30:00.000000")


def test_the_database_clock_compares_with_instants(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(notes).values(id=1, at=datetime.now(UTC)))

    with database.read() as connection:
        query = select(notes.c.id).where(
            notes.c.at > now_plus(connection, -60), notes.c.at < now_plus(connection, 60)
        )
        found = connection.execute(query).scalars().all()
        returned = connection.execute(select(now_plus(connection, 0))).scalar_one()

    assert found == [1]
    assert returned.tzinfo is UTC


def test_enum_columns_take_and_give_plain_names(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("INSERT INTO patients (id, phone_number) VALUES (1, '1')"))
        for status in ("SCHEDULED", "CONFIRMED", "CANCELLED"):
            connection.execute(
                text(
                    "INSERT INTO appointments (patient_id, title, appointment_date, status)"
                    f" VALUES (1, 't', '2026-11-23 14:30:00.000000', '{status}')"
                )
            )

    column = appointments.c.status
    with database.write() as connection:
        connection.execute(
            update(appointments).where(column == "SCHEDULED").values(status="NO_SHOW")
        )
        found = connection.execute(
            select(column).where(column.in_(["NO_SHOW", "CONFIRMED"])).order_by(appointments.c.id)
        )

    assert found.scalars().all() == ["NO_SHOW", "CONFIRMED"]


def test_enum_columns_are_written_in_bulk(smartia_postgres: str) -> None:
    conversations = Table(
        "conversations",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("patient_id", Integer),
        Column("state", NativeEnum("conversationstate")),
    )
    opened = Database(smartia_postgres)

    with opened.write() as connection:
        connection.execute(text("INSERT INTO patients (id, phone_number) VALUES (1, '1')"))
        rows = [{"patient_id": 1, "state": "DONE"}, {"patient_id": 1, "state": "ASK_DATE"}]
        statement = postgresql_insert(conversations).returning(
            conversations.c.state, sort_by_parameter_order=True
        )
        found = connection.execute(statement, rows).scalars().all()

    opened.close()
    assert found == ["DONE", "ASK_DATE"]


def test_importing_it_brings_neither_the_orm_nor_a_driver() -> None:
    program = "import sys, smartia_jobs.database; print(*sys.modules)"

    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)

    assert {b"sqlalchemy.orm", b"psycopg"}.isdisjoint(found.stdout.split())
