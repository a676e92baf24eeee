"""Statements that each engine says in its own way."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import ARRAY, ColumnElement, Connection, Table, Text, bindparam, text

_Value = TypeVar("_Value", int, str)

#: Values in one IN list: engines bound how many a statement may have.
_CHUNK = 500


def chunks(values: Collection[_Value]) -> Iterator[list[_Value]]:
    """Yield values for the IN lists of as many statements, each value once, in order."""
    wanted = sorted(set(values))
    for first in range(0, len(wanted), _CHUNK):
        yield wanted[first : first + _CHUNK]


def any_of(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return whether a column has one of the values that a statement is given by this name.

    So a statement that runs for each message is built but once, which takes longer than all the
    rest of it.
    """
    return column.in_(bindparam(name, type_=column.type, expanding=True))


def insert_once(dialect: str, table: Table, *, key: Sequence[str]) -> Any:
    """Return an INSERT into ``table`` that leaves rows alone whose unique key is there already.

    Args:
        dialect: ``sqlite`` or ``postgresql``: each has a statement of its own, and loading the
            other's would cost a run a tenth of its time.
        table: one of our own.
        key: the columns of the unique key.
    """
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]
    return insert(table).on_conflict_do_nothing(index_elements=key)


def wait_for_no_lock(connection: Connection) -> None:
    """Let a statement of this transaction fail at once when another program holds a row it needs.

    SQLite locks no rows: there, a transaction that writes waits for nobody.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL lock_timeout = '10ms'")


def lock_names(connection: Connection, names: Collection[str]) -> None:
    """Let no other process hold one of these names until the transaction ends.

    For what no unique key can forbid. On SQLite a writing transaction excludes all others.
    """
    if connection.dialect.name == "postgresql" and names:
        lock = "SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) FROM unnest(:names) AS name"
        # Always in the same order, so that no two processes deadlock.
        values = bindparam("names", sorted(names), type_=ARRAY(Text))
        connection.execute(text(lock).bindparams(values))
