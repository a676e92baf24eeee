"""What instants, SmartIA's enums and the database's own clock are in SQL, on both engines."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Dialect,
    String,
    literal_column,
)
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware UTC in and out.

    ``timestamptz`` on PostgreSQL; on SQLite the time in UTC as text with microseconds, which
    sorts and compares as the instants do.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Bring an aware instant to UTC; refuse a naive one."""
        return None if value is None else utc(value)

    def bind_processor(self, dialect: Dialect) -> Any:
        """Return what writes an instant: on SQLite in one step, as each row needs it."""
        return utc_text if dialect.name == "sqlite" else super().bind_processor(dialect)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Return what reads an instant: on SQLite in one step, for the same reason."""
        return _read_utc if dialect.name == "sqlite" else super().result_processor(dialect, coltype)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the instant in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def utc(instant: datetime) -> datetime:
    """Return an aware instant in UTC; refuse a naive one, which could mean anything."""
    if instant.tzinfo is None:
        raise ValueError("an instant must be aware, this one has no zone")
    return instant.astimezone(UTC)


def utc_text(instant: datetime | None) -> str | None:
    """Write an instant as SQLAlchemy's own DateTime does on SQLite: it has no offset there."""
    if instant is None:
        return None
    return utc(instant).isoformat(" ", "microseconds").removesuffix("+00:00")


def _read_utc(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(f"{text}+00:00")
    except ValueError:  # it has an offset, as other programs write
        return datetime.fromisoformat(text).astimezone(UTC)


class NativeEnum(TypeDecorator[str]):
    """One of SmartIA's enum columns: member names as plain text in and out.

    VARCHAR on SQLite, the named native type on PostgreSQL. SQLAlchemy's own String would cast
    each value to VARCHAR there, which PostgreSQL refuses to compare with an enum.
    """

    impl = String(20)
    cache_ok = True

    def __init__(self, name: str) -> None:
        """Name the type as SmartIA created it."""
        super().__init__()
        self.name = name

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type that the column has on this engine."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(_NamedType(self.name))
        return dialect.type_descriptor(String(20))


class _NamedType(UserDefinedType[str]):
    """A PostgreSQL type by its name; values go untyped, and the server takes them as that."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_options: Any) -> str:
        return self.name


def now_plus(source: Connection | str, seconds: float) -> ColumnElement[datetime]:
    """Return the SQL expression for the database's clock, ``seconds`` from now.

    Usable wherever a :class:`UtcDateTime` is, and comparable with one. It is the instant at
    which the statement began, so it is the same for all rows of one statement.

    Args:
        source: the connection it will run on, or its dialect (``sqlite``, ``postgresql``).
        seconds: negative for the past; to the millisecond.
    """
    dialect = source if isinstance(source, str) else source.dialect.name
    # Written out: a parameter would be handed over with each row of a statement.
    if dialect == "sqlite":
        # Milliseconds, filled up to the six digits that UtcDateTime writes.
        clock = f"(strftime('%Y-%m-%d %H:%M:%f', 'now', '{seconds:+.3f} seconds') || '000')"
    else:
        clock = f"(statement_timestamp() + interval '{seconds:.3f} seconds')"
    return literal_column(clock, UtcDateTime)
