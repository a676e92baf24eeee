"""The indexes that we add to SmartIA's tables, by which visits and conversations are found.

Without them every query reads the whole table.
"""

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError

from smartia_jobs.database import Database


@dataclass(frozen=True, slots=True)
class SmartiaIndex:
    """An index that we may add; any that begins with its columns serves as well.

    Attributes:
        name: as we name it.
        table: SmartIA's.
        columns: what it begins with, in this order.
    """

    name: str
    table: str
    columns: tuple[str, ...]

    @property
    def on(self) -> str:
        """Table and columns, as a person and SQL read them."""
        return f"{self.table} ({', '.join(self.columns)})"


#: For due visits, and for the conversation that a message belongs to.
INDEXES = (
    SmartiaIndex(
        "smartia_appointments_date_status", "appointments", ("appointment_date", "status")
    ),
    SmartiaIndex("smartia_conversations_patient", "conversations", ("patient_id",)),
)

#: An arbitrary number, other than that of the migrations.
_BUILD_LOCK = 7_302_118_540_116_935_682

# Table, index, whether queries can use it, and column, for each column in its order, of all
# indexes that could serve.
_TABLES = ", ".join(f"('{index.table}')" for index in INDEXES)
_FIND = {
    "sqlite": (
        f"WITH wanted(name) AS (VALUES {_TABLES}) "  # noqa: S608 - constants
        "SELECT wanted.name, list.name, 1, found.name FROM wanted, "
        "pragma_index_list(wanted.name) AS list, pragma_index_info(list.name) AS found "
        "WHERE NOT list.partial ORDER BY list.name, found.seqno"
    ),
    "postgresql": (
        "SELECT wanted.name, relname, indisvalid, pg_get_indexdef(indexrelid, position, true) "  # noqa: S608 - constants
        f"FROM (VALUES {_TABLES}) AS wanted(name) "
        "JOIN pg_index ON indrelid = to_regclass(wanted.name) "
        "JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_am ON pg_am.oid = relam "
        "CROSS JOIN generate_series(1, indnkeyatts) AS position "
        "WHERE indpred IS NULL AND amname = 'btree' ORDER BY indexrelid, position"
    ),
}
# PostgreSQL hides which table another role's session works on (NULL): it could be this one.
_BEING_BUILT = (
    "SELECT count(*) FROM pg_stat_progress_create_index "
    "WHERE datname = current_database() "
    "AND (relid = to_regclass('{table}') OR relid IS NULL)"
)

_INSUFFICIENT_PRIVILEGE = "42501"


class IndexState(StrEnum):
    """What a database has of an index."""

    #: There, under our name or another.
    PRESENT = "present"
    #: Not there.
    MISSING = "missing"
    #: PostgreSQL: being built, or left by an interrupted build; not used by queries.
    INVALID = "invalid"


class IndexBuild(StrEnum):
    """What came of an attempt to build an index."""

    #: There was nothing to do.
    PRESENT = "present"
    #: It is there now.
    BUILT = "built"
    #: It had been left invalid; it was dropped and rebuilt.
    REBUILT = "rebuilt"
    #: Another session is building one; nothing was done.
    ELSEWHERE = "elsewhere"
    #: PostgreSQL: only the owner of SmartIA's table may (:func:`owner_statements`).
    NOT_ALLOWED = "not_allowed"


def index_states(connection: Connection) -> dict[SmartiaIndex, IndexState]:
    """Return what the database has of each of :data:`INDEXES`: one small query for all."""
    columns = defaultdict[tuple[str, str, bool], list[str]](list)
    for table, name, valid, column in connection.exec_driver_sql(_FIND[connection.dialect.name]):
        columns[table, name, bool(valid)].append(column)

    def state(index: SmartiaIndex) -> IndexState:
        serving = {
            name: valid
            for (table, name, valid), found in columns.items()
            if table == index.table and tuple(found[: len(index.columns)]) == index.columns
        }
        if any(serving.values()):
            return IndexState.PRESENT
        return IndexState.INVALID if index.name in serving else IndexState.MISSING

    return {index: state(index) for index in INDEXES}


def ensure_indexes(database: Database) -> dict[SmartiaIndex, IndexState]:
    """Build what is missing where that takes no more than a moment, which is on SQLite.

    On PostgreSQL only ``db upgrade`` builds: a scheduled job should neither wait for it nor own
    SmartIA's tables.

    Returns:
        what the database has now of each of :data:`INDEXES`.
    """
    with database.read() as connection:
        states = index_states(connection)
    missing = [index for index, state in states.items() if state is IndexState.MISSING]
    if missing and database.dialect == "sqlite":
        with database.write() as connection:
            for index in missing:
                connection.exec_driver_sql(_create(index))
        return dict.fromkeys(INDEXES, IndexState.PRESENT)
    return states


def owner_statements(index: SmartiaIndex, state: IndexState) -> list[str]:
    """Return the SQL by which the owner of SmartIA's table builds the index on PostgreSQL.

    Each statement refuses to run inside a transaction.
    """
    create = _create(index, "CONCURRENTLY ")
    if state is IndexState.INVALID:
        return [f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}", create]
    return [create]


def build_index(database: Database, index: SmartiaIndex, *, guard: Database) -> IndexBuild:
    """Build an index if it is not there, also on PostgreSQL, while the clinic goes on working.

    There it is built concurrently: the table can be read and written meanwhile, and it takes as
    long as it takes. An invalid index of an interrupted build is dropped and rebuilt; one that
    is being built is left alone.

    Args:
        database: the connection that builds.
        index: one of :data:`INDEXES`.
        guard: the same database over a second connection. PostgreSQL builds concurrently only
            outside any transaction; this one holds, in a transaction and so safely behind
            PgBouncer, the lock that ends with its holder.

    Raises:
        sqlalchemy.exc.DBAPIError: the build was interrupted, for instance by the role's
            statement time-out; the next build repairs what it left.
    """
    with database.read() as connection:
        # Also while another session builds the other index.
        if index_states(connection)[index] is IndexState.PRESENT:
            return IndexBuild.PRESENT
    if database.dialect == "sqlite":
        with database.write() as connection:
            connection.exec_driver_sql(_create(index))
        return IndexBuild.BUILT
    with guard.write() as lock:
        # Not waited for: the build would wait for the query that waits.
        if not lock.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({_BUILD_LOCK})").scalar():
            return IndexBuild.ELSEWHERE
        lock.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        with database.outside_transaction() as connection:
            return _build_concurrently(connection, index)


def _build_concurrently(connection: Connection, index: SmartiaIndex) -> IndexBuild:
    state = index_states(connection)[index]
    if state is IndexState.PRESENT:
        return IndexBuild.PRESENT
    if connection.exec_driver_sql(_BEING_BUILT.format(table=index.table)).scalar():
        return IndexBuild.ELSEWHERE
    try:
        for statement in owner_statements(index, state):
            connection.exec_driver_sql(statement)
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) == _INSUFFICIENT_PRIVILEGE:
            return IndexBuild.NOT_ALLOWED
        raise
    return IndexBuild.REBUILT if state is IndexState.INVALID else IndexBuild.BUILT


def _create(index: SmartiaIndex, how: str = "") -> str:
    return f"CREATE INDEX {how}IF NOT EXISTS {index.name} ON {index.on}"
