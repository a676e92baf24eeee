"""The one connection to the database: opening it, and its short transactions."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import QueuePool

from smartia_jobs.database.redaction import raised, without_values
from smartia_jobs.database.session import BEGIN_READING, BEGIN_WRITING, read_with_care
from smartia_jobs.errors import ConfigurationError, InterruptedRunError, how_to_install
from smartia_jobs.settings import database_url

#: What PostgreSQL is reached by: the extra ``postgres``.
DRIVER = "psycopg[binary]>=3.2.2,<4"

#: One round trip each.
_BEGIN = {
    ("sqlite", "read"): "BEGIN",
    ("sqlite", "write"): "BEGIN IMMEDIATE",
    ("postgresql", "read"): BEGIN_READING,
    ("postgresql", "write"): BEGIN_WRITING,
}

_ONE_CONNECTION: dict[str, Any] = {"pool_size": 1, "max_overflow": 0}

#: How long SQLite waits for another writer before it is asked again, in milliseconds.
_LOOK_MS = 100


class Database:
    """One database, opened when it is first used, over at most one connection.

    Nothing is created or changed by opening it. Errors are SQLAlchemy's own, without the
    values of any row; :func:`explain` turns them into advice. Only the thread that runs the job
    uses it, and transactions do not nest.
    """

    def __init__(self, url: str, *, read_only: bool = False, busy_timeout_s: float = 5.0) -> None:
        """Prepare to open the database at ``url``.

        Args:
            url: as ``DATABASE_URL``.
            read_only: the database itself refuses every change.
            busy_timeout_s: how long one SQLite statement waits while another program writes;
                short, because a signal is only handled afterwards.

        Raises:
            ConfigurationError: the URL is not usable, or PostgreSQL's driver is not installed.
        """
        try:
            url = database_url.normalise(url)
        except ValueError as error:
            raise ConfigurationError(f"DATABASE_URL {error}.") from error
        if url.startswith("sqlite"):
            self.dialect = "sqlite"
            self._engine = _sqlite_engine(url, read_only, busy_timeout_s)
        else:
            self.dialect = "postgresql"
            self._engine = _postgresql_engine(url)
        self._read_only = read_only
        self._busy_timeout_s = busy_timeout_s

    def read(self) -> AbstractContextManager[Connection]:
        """Open one short transaction for reading."""
        return self._transaction("read")

    def write(self, *, patience_s: float | None = None) -> AbstractContextManager[Connection]:
        """Open one short transaction that commits at its end and rolls back on any error.

        On SQLite it holds the write lock from its beginning, so it never has to be given up
        half-way because another program wrote in between.

        Args:
            patience_s: how long it waits for other programs, instead of ``busy_timeout_s``.
        """
        mode = "read" if self._read_only and self.dialect == "postgresql" else "write"
        return self._transaction(mode, patience_s)

    @contextmanager
    def outside_transaction(self) -> Iterator[Connection]:
        """Lend the connection for a statement that refuses transactions; each commits itself.

        No time-out is set: ``CREATE INDEX CONCURRENTLY`` takes the time it takes.
        """
        with self._engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close the connection, which nobody may be using; a later use opens a new one."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, mode: str, patience_s: float | None = None) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            try:
                self._begin(connection, mode, patience_s)
                yield connection
            except InterruptedRunError:
                # In the middle of a statement, a ROLLBACK would be refused.
                connection.invalidate()
                raise
            try:
                connection.commit()
            except BaseException:
                # When somebody has been reading an SQLite file for too long, SQLAlchemy believes
                # that the transaction ended. SQLite does not: it would keep its lock.
                connection.invalidate()
                raise
            if patience_s is not None:
                connection.invalidate()  # its busy time-out would stay this long

    def _begin(self, connection: Connection, mode: str, patience_s: float | None) -> None:
        begin = _BEGIN[self.dialect, mode]
        if (self.dialect, mode) == ("sqlite", "write"):
            usual_s = self._busy_timeout_s
            _queue_for_sqlite(connection, begin, usual_s if patience_s is None else patience_s)
            return
        try:
            connection.exec_driver_sql(begin)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # The connection had died since its last use, and nothing is lost: a new one.
            connection.rollback()
            connection.exec_driver_sql(begin)


def _queue_for_sqlite(connection: Connection, begin: str, patience_s: float) -> None:
    """Begin to write, waiting ``patience_s`` for other writers, and as long for readers at the end.

    SQLite itself would check ever more rarely, and no signal is handled meanwhile: among seven
    busy writers it starves. Asked again every tenth of a second, it checks often enough.
    """
    # Not through SQLAlchemy, whose way to a statement takes longer than the rest of it. These
    # touch no file, so there is no error that it would have to translate.
    driver: Any = connection.connection.driver_connection
    give_up_s = time.monotonic() + patience_s
    driver.execute(f"PRAGMA busy_timeout = {min(round(patience_s * 1000), _LOOK_MS)}")
    try:
        while True:
            try:
                connection.exec_driver_sql(begin)
                return
            except DBAPIError as error:
                code = getattr(error.orig, "sqlite_errorcode", None)
                if code != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up_s:
                    raise
    finally:
        driver.execute(f"PRAGMA busy_timeout = {round(patience_s * 1000)}")


def _sqlite_engine(url: str, read_only: bool, busy_timeout_s: float) -> Engine:
    named = database_url.sqlite_path(url)
    # mode=rw: a mistyped path must not become an empty database that knows of no appointment.
    uri = f"{named.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"

    def connect() -> Any:
        try:
            # isolation_level None: the driver begins no transaction, `_BEGIN` does.
            connection = sqlite3.connect(
                uri, uri=True, timeout=busy_timeout_s, isolation_level=None
            )
            # One name written in another encoding must not cost all others their reminder.
            connection.text_factory = partial(str, encoding="utf-8", errors="replace")
            return connection
        except sqlite3.OperationalError as error:
            error.args = (_why_not_opened(named),)
            raise

    dialect, compiled = _shared_by_sqlite_files()
    pool = QueuePool(connect, **_ONE_CONNECTION, dialect=dialect)
    engine = Engine(pool, dialect, make_url("sqlite+pysqlite:///"), hide_parameters=True)
    return _discreet(engine).execution_options(compiled_cache=compiled)


@cache
def _shared_by_sqlite_files() -> tuple[Dialect, dict[Any, Any]]:
    """Return SQLAlchemy's dialect, which it has asked SQLite about, and what that compiled so far.

    Both are the same for every file, and to make them anew would cost each clinic of a fleet a
    sixth of its time. The dictionary grows no further than this program has statements.
    """
    engine = create_engine("sqlite+pysqlite://")
    engine.connect().close()
    engine.dispose()
    return engine.dialect, {}


def _why_not_opened(named: Path) -> str:
    """Return why SQLite could not open a file, which its own error does not say."""
    path = named.absolute()
    if os.path.isdir(path):
        return f"this is a directory: {path}"
    if os.path.exists(path):
        return f"this file cannot be opened (is this user allowed to read and write it?): {path}"
    if named.is_absolute():
        return f"there is no such file: {path}"
    return (
        f"there is no such file: {path}; DATABASE_URL gives a path from this folder, a whole one"
        " has four slashes: sqlite:////srv/smartia.db"
    )


def _postgresql_engine(url: str) -> Engine:
    # What the URL itself says outranks these.
    arguments: dict[str, Any] = {
        "connect_timeout": 10,
        "application_name": "smartia-jobs",
        # A network that swallows packets is noticed in half a minute, not in two hours.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    try:
        target = make_url(url)
        engine = create_engine(
            url,
            poolclass=QueuePool,
            **_ONE_CONNECTION,
            hide_parameters=True,
            connect_args={
                **{name: value for name, value in arguments.items() if name not in target.query},
                "client_encoding": "utf8",  # the URL's own would make bytes of texts
                "autocommit": True,  # `_BEGIN` begins, in the same round trip as the settings
                "prepare_threshold": None,  # PgBouncer may hand each transaction another server
            },
            use_native_hstore=False,
        )
        engine.dialect.create_connect_args(target)
        # Before SQLAlchemy itself asks the server anything.
        event.listen(engine, "connect", lambda one, _: read_with_care(one), insert=True)
        return _discreet(engine)
    except ArgumentError as error:
        raise ConfigurationError(f"DATABASE_URL cannot be understood: {error}.") from error
    except ImportError as error:
        raise ConfigurationError(
            "DATABASE_URL names a PostgreSQL server, but its driver psycopg cannot be loaded "
            f"({error}). Install it with: {how_to_install(DRIVER)}"
        ) from error


def _discreet(engine: Engine) -> Engine:
    event.listen(engine, "handle_error", _forget_row_values)
    return engine


def _forget_row_values(context: Any) -> None:
    """Remove from an error what quotes a row: DETAIL with name and phone, and every value."""
    original = context.original_exception
    diagnosis = getattr(original, "diag", None)
    if diagnosis is not None and diagnosis.message_primary:
        said = without_values(diagnosis)
    elif getattr(original, "sqlite_errorname", "") == "SQLITE_CONSTRAINT_TRIGGER":
        said = raised(str(original))
    else:
        return
    original.args = (said,)
    if context.sqlalchemy_exception is not None:
        context.sqlalchemy_exception.args = (f"({type(original).__name__}) {said}",)
