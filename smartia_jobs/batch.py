"""Many rows, or ids, in one parameter, so that a statement is the same whatever their number."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    FromClause,
    Text,
    any_,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
)
from sqlalchemy.types import TypeEngine

from smartia_jobs.column_types import UtcDateTime, utc, utc_text


class Batch:
    """Rows of one shape, for a statement that is always the same, whatever their number.

    A statement for each row, or a parameter for each value, costs the database, its driver and
    SQLAlchemy several times more than the rows themselves do.

    Attributes:
        table: what a statement selects from; its columns have the given names.
    """

    def __init__(self, dialect: str, **columns: TypeEngine[Any]) -> None:
        """Name and type the columns.

        Args:
            dialect: ``sqlite`` or ``postgresql``.
            columns: ``UtcDateTime`` for instants, ``DateTime`` for wall times, and whatever
                JSON has. SQLite cuts a text at a NUL, PostgreSQL refuses it.
        """
        on_sqlite = dialect == "sqlite"
        self.table = _sqlite(columns) if on_sqlite else _postgresql(columns)
        # SQLite finds a place in an array sooner than a name; PostgreSQL needs the names.
        self._places = tuple(columns) if on_sqlite else None
        self._moments: dict[str, Callable[[datetime], str | None]] = {}
        for name, kind in columns.items():
            if isinstance(kind, UtcDateTime):
                self._moments[name] = utc_text if on_sqlite else _instant_text
            elif isinstance(kind, DateTime):
                self._moments[name] = _wall_text

    @classmethod
    def of(cls, dialect: str, *columns: Column[Any]) -> "Batch":
        """Return rows of the names and types of a table's columns."""
        return cls(dialect, **{one.name: one.type for one in columns})

    def parameters(self, rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        """Return these rows, in their order, as the parameters of a statement.

        Raises:
            ValueError: an instant without a zone, or a wall time with one.
            TypeError: a value is none that JSON has.
        """
        return {"rows": json.dumps([self._written(row) for row in rows])}

    def _written(self, row: Mapping[str, Any]) -> dict[str, Any] | list[Any]:
        written = dict(row)
        for name, write in self._moments.items():
            if written[name] is not None:
                written[name] = write(written[name])
        return written if self._places is None else [written[name] for name in self._places]


def is_among(dialect: str, column: ColumnElement[int]) -> ColumnElement[bool]:
    """Return whether a column holds one of the ids that :func:`ids_parameter` hands over.

    ``IN`` with a list would be written anew for each number of them.
    """
    if dialect == "sqlite":
        return column.in_(select(func.json_each(bindparam("ids")).table_valued("value").c.value))
    # An array: PostgreSQL plans with its values, as long as nothing is prepared on the server
    # (`prepare_threshold` in database.py), and so knows whether to use an index.
    return column == any_(bindparam("ids", type_=ARRAY(BigInteger)))


def ids_parameter(dialect: str, these: Iterable[int]) -> dict[str, Any]:
    """Return ids as the parameter of :func:`is_among`."""
    ordered = sorted(these)
    return {"ids": json.dumps(ordered) if dialect == "sqlite" else ordered}


def _sqlite(columns: Mapping[str, TypeEngine[Any]]) -> FromClause:
    row = func.json_each(bindparam("rows")).table_valued("value", name="handed_over").c.value
    values = (
        func.json_extract(row, literal_column(f"'$[{place}]'"), type_=kind).label(name)
        for place, (name, kind) in enumerate(columns.items())
    )
    return select(*values).subquery("batch")


def _postgresql(columns: Mapping[str, TypeEngine[Any]]) -> FromClause:
    rows = cast(bindparam("rows", type_=Text), JSON)
    typed = (column(name, kind) for name, kind in columns.items())
    return (
        func.json_to_recordset(rows)
        .table_valued(*typed)
        .render_derived(name="batch", with_types=True)
    )


def _wall_text(moment: datetime) -> str:
    if moment.tzinfo is not None:
        raise ValueError("a wall time has no zone, this moment has one")
    return moment.isoformat(" ", "microseconds")


def _instant_text(moment: datetime) -> str:
    return utc(moment).isoformat(" ")
