"""The one thing we add to a table of SmartIA's: an index by which due visits are found.

Without it every query that asks who is due reads all appointments there have ever been.
"""

from enum import StrEnum

from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError

from smartia_jobs.database import Database

NAME = "smartia_appointments_date_status"

_ON = f"IF NOT EXISTS {NAME} ON appointments (appointment_date, status)"
_CREATE = f"CREATE INDEX {_ON}"
_CREATE_CONCURRENTLY = f"CREATE INDEX CONCURRENTLY {_ON}"
_DROP_CONCURRENTLY = f"DROP INDEX CONCURRENTLY IF EXISTS {NAME}"

#: Any number that no other program would think of; not the migrations' own.
_BUILD_LOCK = 7_302_118_540_116_935_682

# Any index that begins with both columns serves as well, whoever made it and however named.
_SQLITE_FIND = (
    "SELECT 1 FROM pragma_index_list('appointments') AS list "
    "JOIN pragma_index_info(list.name) AS first ON first.seqno = 0 "
    "JOIN pragma_index_info(list.name) AS second ON second.seqno = 1 "
    "WHERE NOT list.partial AND first.name = 'appointment_date' AND second.name = 'status'"
)
_POSTGRESQL_FIND = (
    "SELECT relname, indisvalid FROM pg_index "
    "JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_am ON pg_am.oid = relam "
    "WHERE indrelid = to_regclass('appointments') AND indpred IS NULL AND amname = 'btree' "
    "AND pg_get_indexdef(indexrelid, 1, true) = 'appointment_date' "
    "AND pg_get_indexdef(indexrelid, 2, true) = 'status'"
)
# Which table another role's session works on is hidden from us (NULL): it could be this one.
_BEING_BUILT = (
    "SELECT count(*) FROM pg_stat_progress_create_index "
    "WHERE datname = current_database() "
    "AND (relid = to_regclass('appointments') OR relid IS NULL)"
)

_INSUFFICIENT_PRIVILEGE = "42501"


class IndexState(StrEnum):
    """What a database has of the index."""

    #: There, under our name or another.
    PRESENT = "present"
    #: Not there.
    MISSING = "missing"
    #: PostgreSQL: being built, or left behind by a build that broke off; not used by queries.
    INVALID = "invalid"


class IndexBuild(StrEnum):
    """What came of an attempt to build the index."""

    #: There was nothing to do.
    PRESENT = "present"
    #: It is there now.
    BUILT = "built"
    #: It had been left invalid; it was dropped and built anew.
    REBUILT = "rebuilt"
    #: Another session is building it; nothing was done.
    ELSEWHERE = "elsewhere"
    #: PostgreSQL: only the owner of SmartIA's table may (:func:`owner_statements`).
    NOT_ALLOWED = "not_allowed"


def index_state(connection: Connection) -> IndexState:
    """Return what the database has of the index: one small query."""
    if connection.dialect.name == "sqlite":
        serves = connection.exec_driver_sql(_SQLITE_FIND).first()
        return IndexState.PRESENT if serves else IndexState.MISSING
    found = connection.exec_driver_sql(_POSTGRESQL_FIND)
    valid = {str(row.relname): bool(row.indisvalid) for row in found}
    if any(valid.values()):
        return IndexState.PRESENT
    return IndexState.INVALID if NAME in valid else IndexState.MISSING


def ensure_index(database: Database) -> IndexState:
    """Build the index where that takes no more than a moment, which is on SQLite.

    On PostgreSQL only ``db upgrade`` builds it: a scheduled job should neither wait for it nor
    own SmartIA's tables.

    Returns:
        what the database has of it now.
    """
    with database.read() as connection:
        state = index_state(connection)
    if state is IndexState.MISSING and database.dialect == "sqlite":
        with database.write() as connection:
            connection.exec_driver_sql(_CREATE)
        return IndexState.PRESENT
    return state


def owner_statements(state: IndexState) -> list[str]:
    """Return the SQL by which the owner of SmartIA's table builds the index on PostgreSQL.

    Each statement refuses to run inside a transaction.
    """
    if state is IndexState.INVALID:
        return [_DROP_CONCURRENTLY, _CREATE_CONCURRENTLY]
    return [_CREATE_CONCURRENTLY]


def build_index(database: Database, *, guard: Database) -> IndexBuild:
    """Build the index if it is not there, also on PostgreSQL, while the clinic goes on working.

    There it is built concurrently: appointments can be read and written meanwhile, and it
    takes as long as it takes. An index left invalid by a build that broke off is dropped and
    built anew; one that is being built is left alone.

    Args:
        database: the connection that builds.
        guard: the same database over a second connection. PostgreSQL builds concurrently only
            outside any transaction; this one holds, in a transaction and so safely behind
            PgBouncer, the lock that ends with its holder.

    Raises:
        sqlalchemy.exc.DBAPIError: the build broke off, for instance on a statement time-out of
            the role; the next one repairs what it left.
    """
    if database.dialect == "sqlite":
        with database.read() as connection:
            state = index_state(connection)
        ensure_index(database)
        return IndexBuild.PRESENT if state is IndexState.PRESENT else IndexBuild.BUILT
    with guard.write() as lock:
        # Never waited for: the build waits for every older query, and so for one that waits.
        if not lock.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({_BUILD_LOCK})").scalar():
            return IndexBuild.ELSEWHERE
        lock.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        with database.outside_transaction() as connection:
            return _build_concurrently(connection)


def _build_concurrently(connection: Connection) -> IndexBuild:
    state = index_state(connection)
    if state is IndexState.PRESENT:
        return IndexBuild.PRESENT
    if connection.exec_driver_sql(_BEING_BUILT).scalar():
        return IndexBuild.ELSEWHERE
    try:
        for statement in owner_statements(state):
            connection.exec_driver_sql(statement)
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) == _INSUFFICIENT_PRIVILEGE:
            return IndexBuild.NOT_ALLOWED
        raise
    return IndexBuild.REBUILT if state is IndexState.INVALID else IndexBuild.BUILT
