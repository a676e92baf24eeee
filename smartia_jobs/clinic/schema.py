"""Whether a database holds SmartIA's tables as this program knows them, asked at each start.

The catalogue is read directly: SQLAlchemy's reflection takes many queries, and PostgreSQL's
``information_schema`` hides the columns on which this role has no right.
"""

from enum import StrEnum

from sqlalchemy import Connection

from smartia_jobs.clinic.tables import metadata
from smartia_jobs.errors import ConfigurationError


class DateStorage(StrEnum):
    """How ``appointments.appointment_date`` is stored."""

    #: SQLite: text.
    TEXT = "text"
    #: PostgreSQL's ``timestamp``, which knows no zone.
    TIMESTAMP = "timestamp without time zone"
    #: PostgreSQL's ``timestamptz``.
    TIMESTAMPTZ = "timestamp with time zone"


_NAMES = ", ".join(f"('{name}')" for name in metadata.tables)

# Table and column of all that exist. On PostgreSQL the tables that the search path finds,
# which are those the program's own queries will find.
_COLUMNS = {
    "sqlite": (
        f"WITH wanted(name) AS (VALUES {_NAMES}) "  # noqa: S608 - constants
        "SELECT wanted.name, found.name FROM wanted, pragma_table_info(wanted.name) AS found"
    ),
    "postgresql": (
        "SELECT wanted.name, found.attname "  # noqa: S608 - constants
        f"FROM (VALUES {_NAMES}) AS wanted(name) "
        "JOIN pg_attribute AS found ON found.attrelid = to_regclass(wanted.name) "
        "WHERE found.attnum > 0 AND NOT found.attisdropped"
    ),
}

_DATE_TYPE = (
    "SELECT format_type(atttypid, NULL) FROM pg_attribute "
    "WHERE attrelid = to_regclass('appointments') AND attname = 'appointment_date'"
)


def problems(connection: Connection) -> list[str]:
    """Return what is missing of SmartIA's tables, one line each.

    Only the columns that this program reads or writes count; SmartIA may have more.
    """
    rows = connection.exec_driver_sql(_COLUMNS[connection.dialect.name])
    found = {(table, column) for table, column in rows}
    tables = {table for table, _ in found}
    if not tables:
        return [
            "DATABASE_URL names a database without SmartIA's tables "
            f"({', '.join(metadata.tables)})."
        ]
    missing = [
        f"SmartIA's table {name} is missing from this database."
        for name in metadata.tables
        if name not in tables
    ]
    for table in metadata.tables.values():
        columns = [c.name for c in table.columns if (table.name, c.name) not in found]
        if columns and table.name in tables:
            missing.append(f"SmartIA's table {table.name} has no column {', '.join(columns)}.")
    return missing


def require_smartia(connection: Connection) -> None:
    """Make sure that this database is SmartIA's.

    Raises:
        ConfigurationError: with each of :func:`problems`. Most likely another database was meant.
    """
    if wrong := problems(connection):
        raise ConfigurationError(wrong)


def date_storage(connection: Connection) -> DateStorage:
    """Return how appointment dates are stored.

    Raises:
        ConfigurationError: on PostgreSQL the column is missing or of another type.
    """
    if connection.dialect.name == "sqlite":
        return DateStorage.TEXT
    found = connection.exec_driver_sql(_DATE_TYPE).scalar()
    try:
        return DateStorage(str(found))
    except ValueError:
        raise ConfigurationError(
            "appointments.appointment_date must be a timestamp, with or without time zone; "
            f"in this database it is {found or 'missing'}."
        ) from None
