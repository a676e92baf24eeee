"""Whether the jobs can do their work on this database: rights, hidden rows, writing."""

from collections.abc import Iterator
from contextlib import closing

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import DBAPIError

from smartia_jobs.catalogue.loading import load_catalogue
from smartia_jobs.clinic import access
from smartia_jobs.clinic.interactions import stored_utc
from smartia_jobs.clinic.tables import appointments, conversations, interactions, patients
from smartia_jobs.database import Database
from smartia_jobs.database.errors import is_transient, why
from smartia_jobs.jobs.checks.finding import Finding, Level
from smartia_jobs.run import Run
from smartia_jobs.store.schema import VERSION_TABLE
from smartia_jobs.store.tables import metadata as ours

_OURS: access.Needs = {
    VERSION_TABLE: {"SELECT": ("version_num",)},
    **{
        name: dict.fromkeys(("SELECT", "INSERT", "UPDATE"), table.columns.keys())
        for name, table in ours.tables.items()
    },
}
#: Tables into which the jobs insert rows.
_NUMBERED = ("conversations", "interactions", *ours.tables)


def rights(run: Run) -> Finding:
    """Compare what the role may do, column by column, with what the jobs do."""
    with run.database.read() as connection:
        lacking = access.lacking_rights(connection, {**access.NEEDS, **_OURS})
        numbering = access.sequences(connection, _NUMBERED)
        role = connection.exec_driver_sql("SELECT quote_ident(current_user)").scalar()
    lacking += [
        f"GRANT USAGE ON SEQUENCE {one.name} TO {role};" for one in numbering if not one.usable
    ]
    if lacking:
        text = f"The role {role} lacks rights that the jobs need."
        step = "let the owner of SmartIA's tables run these statements (docs/postgresql.md)"
        return Finding("rights", Level.PROBLEM, text, step, tuple(lacking))
    return Finding("rights", Level.OK, f"The role {role} may do all that the jobs do.")


def row_security(run: Run) -> Finding:
    """Find out whether row level security may hide rows from the jobs."""
    with run.database.read() as connection:
        hidden = access.hidden_rows(connection, (*access.NEEDS, *ours.tables))
    if not hidden:
        return Finding("row_security", Level.OK, "Every row can be seen.")
    step = (
        "give the role BYPASSRLS, or a policy FOR ALL USING (true) on these tables;"
        " if it hides what is not this clinic's, all is well"
    )
    wholly = ", ".join(one.table for one in hidden if one.wholly)
    if wholly:
        text = f"Row level security hides every row of {wholly} from this role."
        return Finding("row_security", Level.PROBLEM, text, step)
    text = f"Row level security may hide rows of {', '.join(one.table for one in hidden)}."
    return Finding("row_security", Level.WARNING, text, step)


def enum_labels(run: Run) -> Finding:
    """Compare the labels of SmartIA's enums with those that the jobs read and write."""
    with run.database.read() as connection:
        wrong = tuple(access.missing_labels(connection))
    if not wrong:
        return Finding("enum_labels", Level.OK, "SmartIA's enums have its labels.")
    step = "rename the labels as SmartIA has them: ALTER TYPE … RENAME VALUE … TO …"
    return Finding("enum_labels", Level.PROBLEM, wrong[0], step, wrong[1:])


def writing(run: Run) -> Finding:
    """Find out whether the database would take what the jobs write; on PostgreSQL by trying it.

    The trial is rolled back. It uses up numbers of two sequences, and triggers run.
    """
    with run.database.read() as connection:
        problems = list(_foreseen(connection))
        warnings = list(_read_only(connection))
    if run.database.dialect == "postgresql" and not problems:
        problems += _tried(run)
    if problems:
        step = "see that SmartIA's tables take what docs/postgresql.md lists"
        return Finding("writing", Level.PROBLEM, problems[0], step, tuple(problems[1:]))
    if warnings:
        step = "if it is meant, let no job run here"
        return Finding("writing", Level.WARNING, warnings[0], step)
    return Finding("writing", Level.OK, "SmartIA's tables take what the jobs write.")


def _foreseen(connection: Connection) -> Iterator[str]:
    for column in access.unfilled_columns(connection):
        yield (
            f"{column} must have a value and has no default: nothing that is sent would stand"
            " in the patients' dialogues. Give the column a default."
        )
    if connection.dialect.name == "sqlite":
        return
    if connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar():
        yield "This server is a replica, which can only be read: DATABASE_URL needs the primary."
        return
    for numbering in access.sequences(connection, _NUMBERED):
        if greatest := access.behind(connection, numbering):
            yield (
                f"{numbering.name} gives {numbering.table} the number {numbering.next} next, and"
                f" {greatest} is taken already. Run: SELECT setval('{numbering.name}', {greatest});"
            )


def _read_only(connection: Connection) -> Iterator[str]:
    if connection.dialect.name == "sqlite":
        return
    if connection.exec_driver_sql("SHOW default_transaction_read_only").scalar() == "on":
        yield "Database or role are set to be only read; the jobs write all the same."


def _tried(run: Run) -> Iterator[str]:
    """Write as the jobs do, in a transaction that is rolled back; yield what was refused.

    Raises:
        sqlalchemy.exc.DBAPIError: another program was in the way.
    """
    with closing(Database(run.settings.database_url)) as database, database.write() as connection:
        for trial in (_mark, _tell):
            try:
                with connection.begin_nested():
                    trial(connection, run)
            except DBAPIError as error:
                if is_transient(error):
                    raise
                yield f"A trial was refused: {why(error)}."
        connection.rollback()


def _mark(connection: Connection, run: Run) -> None:
    """Write the status of the newest visit that nobody is changing, without a change."""
    newest = select(appointments.c.id).order_by(appointments.c.id.desc()).limit(1)
    values = {"status": appointments.c.status, "updated_at": appointments.c.updated_at}
    id_ = connection.scalar(newest.with_for_update(skip_locked=True))
    connection.execute(update(appointments).where(appointments.c.id == id_).values(values))


def _tell(connection: Connection, run: Run) -> None:
    """Begin a dialogue with a patient, and write all texts of the catalogue into it."""
    patient_id = connection.scalar(select(patients.c.id).order_by(patients.c.id.desc()).limit(1))
    if patient_id is None:
        return
    at = stored_utc(connection, run.clock.now())
    begun = insert(conversations).returning(conversations.c.id)
    conversation_id = connection.scalar(
        begun, {"patient_id": patient_id, "state": "DONE", "created_at": at, "updated_at": at}
    )
    catalogue = load_catalogue(run.settings.messages_file)
    connection.execute(
        insert(interactions),
        {
            "conversation_id": conversation_id,
            "patient_id": patient_id,
            "type": "OUTGOING",
            "message_text": "\n".join(
                [
                    *(one.body for one in catalogue.templates.values()),
                    *catalogue.words_back.texts.values(),
                ]
            ),
            "message_type": "template",
            "provider_message_id": "wamid.trial",
            "created_at": at,
        },
    )
