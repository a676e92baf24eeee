"""What keeps this program from reading or writing SmartIA's tables, by PostgreSQL's catalogue."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from smartia_jobs.appointment import AppointmentStatus
from smartia_jobs.clinic.tables import metadata

#: A right, and the columns of a table on which it is needed.
Needs = Mapping[str, Mapping[str, Collection[str]]]

_WRITTEN = {
    "conversations": ("patient_id", "state", "created_at", "updated_at"),
    "interactions": (
        "conversation_id",
        "patient_id",
        "type",
        "message_text",
        "message_type",
        "provider_message_id",
        "created_at",
    ),
}

#: What the jobs do with SmartIA's tables; docs/postgresql.md grants no more.
NEEDS: Needs = {
    "appointments": {
        "SELECT": metadata.tables["appointments"].columns.keys(),
        "UPDATE": ("status", "updated_at"),
    },
    "patients": {"SELECT": metadata.tables["patients"].columns.keys()},
    "conversations": {
        "SELECT": metadata.tables["conversations"].columns.keys(),
        "INSERT": _WRITTEN["conversations"],
    },
    "interactions": {
        # What SmartIA's own webhook has stored is read too.
        "SELECT": metadata.tables["interactions"].columns.keys(),
        "INSERT": _WRITTEN["interactions"],
    },
}

#: The members of SmartIA's enums that statements of this program name.
_MEMBERS = {
    ("appointments", "status"): tuple(AppointmentStatus),
    ("conversations", "state"): ("DONE",),
    ("interactions", "type"): ("OUTGOING",),
}


@dataclass(frozen=True, slots=True)
class Hidden:
    """A table whose rows PostgreSQL may hide from this role.

    Attributes:
        table: its name.
        wholly: no policy shows this role any row.
    """

    table: str
    wholly: bool


# A policy that shows every row hides none, unless a restrictive one does. Policies for writing
# are not looked at: what they refuse is an error, not silence.
_HIDDEN = """
SELECT wanted.name, NOT coalesce(bool_or(polpermissive), false) AS wholly
FROM unnest(CAST(%(tables)s AS text[])) AS wanted(name)
JOIN pg_class ON pg_class.oid = to_regclass(wanted.name) AND relrowsecurity
LEFT JOIN pg_policy ON polrelid = pg_class.oid AND polcmd IN ('r', '*')
  AND EXISTS (SELECT FROM unnest(polroles) AS of(role)
              WHERE CASE role WHEN 0 THEN true ELSE pg_has_role(role, 'USAGE') END)
WHERE row_security_active(pg_class.oid)
GROUP BY wanted.name
HAVING NOT coalesce(bool_or(polpermissive AND pg_get_expr(polqual, polrelid) = 'true'), false)
  OR bool_or(NOT polpermissive)
ORDER BY wanted.name
"""


def hidden_rows(connection: Connection, tables: Collection[str]) -> list[Hidden]:
    """Return the tables whose rows row level security may hide: one small query.

    A hidden visit is never due and in no figure, and nothing fails. Only a policy that is true for
    every row hides none.
    """
    if connection.dialect.name == "sqlite":
        return []
    rows = connection.exec_driver_sql(_HIDDEN, {"tables": list(tables)})
    return [Hidden(row.name, row.wholly) for row in rows]


# Another check reports a column that is missing.
_LACKING = """
SELECT needed.name, needed.privilege, needed.attribute
FROM unnest(CAST(%(tables)s AS text[]), CAST(%(privileges)s AS text[]), CAST(%(columns)s AS text[]))
  AS needed(name, privilege, attribute)
JOIN pg_attribute ON attrelid = to_regclass(needed.name) AND attname = needed.attribute
WHERE NOT has_column_privilege(attrelid, attnum, needed.privilege)
"""


def lacking_rights(connection: Connection, needs: Needs) -> list[str]:
    """Return the GRANTs that this role lacks on columns, as SQL for the tables' owner."""
    flat = [
        (table, privilege, column)
        for table, rights in needs.items()
        for privilege, columns in rights.items()
        for column in columns
    ]
    tables, privileges, columns = (list(part) for part in zip(*flat, strict=True))
    values = {"tables": tables, "privileges": privileges, "columns": columns}
    lacking: dict[tuple[str, str], list[str]] = {}
    for row in connection.exec_driver_sql(_LACKING, values):
        lacking.setdefault((row.name, row.privilege), []).append(row.attribute)
    role = connection.exec_driver_sql("SELECT quote_ident(current_user)").scalar()
    return [
        f"GRANT {privilege} ({', '.join(columns)}) ON {table} TO {role};"
        for (table, privilege), columns in lacking.items()
    ]


@dataclass(frozen=True, slots=True)
class Sequence:
    """The sequence that numbers the rows of a table.

    Attributes:
        table: whose ids it gives out.
        name: its own name, quoted where it must be.
        usable: this role may take the next number.
        next: the number it gives out next; None when that cannot be seen.
    """

    table: str
    name: str
    usable: bool
    next: int | None


# An identity column needs no right to take its numbers. Only a role that may read a sequence sees
# its last number.
_SEQUENCES = """
SELECT wanted.name, pg_class.oid::regclass::text AS sequence,
  attidentity <> '' OR has_sequence_privilege(pg_class.oid, 'USAGE')
    OR has_sequence_privilege(pg_class.oid, 'UPDATE') AS usable,
  CASE WHEN has_sequence_privilege(pg_class.oid, 'USAGE')
    OR has_sequence_privilege(pg_class.oid, 'SELECT')
  THEN coalesce(pg_sequence_last_value(pg_class.oid) + seqincrement, seqstart) END AS next
FROM unnest(CAST(%(tables)s AS text[])) AS wanted(name)
JOIN pg_attribute ON attrelid = to_regclass(wanted.name) AND attname = 'id'
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
JOIN pg_depend ON refclassid = 'pg_class'::regclass AND (
  (classid = 'pg_attrdef'::regclass AND objid = pg_attrdef.oid)
  OR (attidentity <> '' AND classid = 'pg_class'::regclass AND deptype = 'i'
      AND refobjid = attrelid AND refobjsubid = attnum))
JOIN pg_class ON relkind = 'S'
  AND pg_class.oid = CASE WHEN classid = 'pg_attrdef'::regclass THEN refobjid ELSE objid END
JOIN pg_sequence ON seqrelid = pg_class.oid
"""


def sequences(connection: Connection, tables: Collection[str]) -> list[Sequence]:
    """Return what numbers the rows of these tables on PostgreSQL."""
    rows = connection.exec_driver_sql(_SEQUENCES, {"tables": list(tables)})
    return [Sequence(row.name, row.sequence, row.usable, row.next) for row in rows]


def behind(connection: Connection, numbering: Sequence) -> int | None:
    """Return a table's greatest id where its sequence is still behind it, else None.

    That happens after rows were copied from another database: the next ids are taken already.
    """
    if numbering.next is None:
        return None
    query = f"SELECT max(id) FROM {numbering.table}"  # noqa: S608 - a name of ours
    greatest: int | None = connection.exec_driver_sql(query).scalar()
    return greatest if greatest is not None and greatest >= numbering.next else None


_DEMANDED = {
    "sqlite": (
        "SELECT name FROM pragma_table_info(:table)"
        ' WHERE "notnull" AND dflt_value IS NULL AND NOT pk ORDER BY cid'
    ),
    "postgresql": (
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%(table)s) AND attnum > 0"
        " AND NOT attisdropped AND attnotnull AND NOT atthasdef AND attidentity = ''"
        " ORDER BY attnum"
    ),
}


def unfilled_columns(connection: Connection) -> list[str]:
    """Return the columns of a dialogue that must have a value and that this program leaves out."""
    demanded = _DEMANDED[connection.dialect.name]
    return [
        f"{table}.{column}"
        for table, written in _WRITTEN.items()
        for (column,) in connection.exec_driver_sql(demanded, {"table": table})
        if column not in written and column != "id"
    ]


_LABELS = (
    "SELECT typname, array_agg(enumlabel::text) AS labels FROM pg_attribute"
    " JOIN pg_type ON pg_type.oid = atttypid JOIN pg_enum ON enumtypid = atttypid"
    " WHERE attrelid = to_regclass(%(table)s) AND attname = %(column)s GROUP BY typname"
)


def missing_labels(connection: Connection) -> Iterator[str]:
    """Yield for each of SmartIA's enums on PostgreSQL which labels it lacks, and which it has."""
    for (table, column), members in _MEMBERS.items():
        found = connection.exec_driver_sql(_LABELS, {"table": table, "column": column}).first()
        if found is None:
            continue  # a column of text takes every label
        missing = [str(member) for member in members if member not in found.labels]
        if missing:
            yield (
                f"{table}.{column} ({found.typname}) lacks {', '.join(missing)};"
                f" it has {', '.join(found.labels)}."
            )
