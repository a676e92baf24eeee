"""The database: whether it can be reached, and which tables are in it."""

import os

from sqlalchemy import Connection, inspect

from smartia_jobs.clinic.index import IndexState, index_states
from smartia_jobs.clinic.schema import problems
from smartia_jobs.jobs.checks.finding import Finding, Level
from smartia_jobs.run import Run
from smartia_jobs.settings.database_url import masked, sqlite_path
from smartia_jobs.store.schema import HEAD, VERSION_TABLE, current_version
from smartia_jobs.store.tables import metadata


def reachable(run: Run) -> Finding:
    """Open the database and query it; a SQLite file must be writable for the jobs.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: that failed.
    """
    with run.database.read() as connection:
        # Opening a SQLite file does not read it.
        connection.exec_driver_sql(
            "SELECT count(*) FROM sqlite_master"
            if connection.dialect.name == "sqlite"
            else "SELECT 1"
        ).scalar()
    url = run.settings.database_url
    if run.database.dialect == "sqlite":
        file = sqlite_path(url).absolute()
        # SQLite keeps its journal beside the file.
        closed = [str(path) for path in (file, file.parent) if not os.access(path, os.W_OK)]
        if closed:
            text = f"No job could write here: {' and '.join(closed)} cannot be written to."
            step = "let the account that runs the jobs write to the file and to its folder"
            return Finding("database", Level.PROBLEM, text, step)
    return Finding("database", Level.OK, f"Reached: {masked(url)}")


def smartia_tables(run: Run) -> Finding:
    """Look for every table and column of SmartIA's that this program uses."""
    with run.database.read() as connection:
        missing = problems(connection)
    if missing:
        step = "correct DATABASE_URL, or let SmartIA create its tables"
        return Finding("smartia_tables", Level.PROBLEM, missing[0], step, tuple(missing[1:]))
    return Finding("smartia_tables", Level.OK, "All tables and columns are there.")


def own_tables(run: Run) -> Finding:
    """Compare our tables and their version with what this program needs."""
    with run.database.read() as connection:
        version = current_version(connection)
        there = [name for name in metadata.tables if inspect(connection).has_table(name)]
        may_create = _may_create(connection)
    missing = [name for name in metadata.tables if name not in there]
    if version is not None and missing:
        text = f"Version {version} is noted, but {', '.join(missing)} cannot be found."
        return Finding("own_tables", Level.PROBLEM, text, _MEND)
    if version is None and there:
        text = f"{', '.join(there)} can be found, but no version ({VERSION_TABLE}) is noted."
        return Finding("own_tables", Level.PROBLEM, text, _MEND)
    if version is not None and version >= HEAD:
        newer = "" if version == HEAD else f", newer than this program needs ({HEAD})"
        return Finding("own_tables", Level.OK, f"Version {version}{newer}.")
    if version is None:
        text = "Not there yet: by this database nothing was ever sent."
    else:
        text = f"Version {version}; this program needs {HEAD}."
    if run.settings.auto_migrate and not may_create:
        text = f"{text} This role may not create tables."
        step = "run smartia-jobs db upgrade with a role that may, then grant (docs/postgresql.md)"
        return Finding("own_tables", Level.PROBLEM, text, step)
    if run.settings.auto_migrate:
        text += " The next real run of a job creates or upgrades them."
        return Finding("own_tables", Level.WARNING, text, _BY_ITSELF)
    return Finding("own_tables", Level.PROBLEM, text, "run: smartia-jobs db upgrade")


def _may_create(connection: Connection) -> bool:
    if connection.dialect.name == "sqlite":
        return True
    # NULL where no schema of the search path can be used.
    may = "SELECT has_schema_privilege(current_schema(), 'CREATE')"
    return bool(connection.exec_driver_sql(may).scalar())


_BY_ITSELF = "leave it to that run, or run: smartia-jobs db upgrade"
_MEND = (
    f"restore {', '.join(metadata.tables)} and {VERSION_TABLE} from one backup (PostgreSQL: first"
    " see that their schema is on the role's search_path); without a backup drop what is left of"
    " them and run: smartia-jobs db upgrade (what was sent is then forgotten, and visits of the"
    " coming days are reminded again)"
)


def index(run: Run) -> Finding:
    """Look for the indexes on SmartIA's tables."""
    with run.database.read() as connection:
        states, dialect = index_states(connection), connection.dialect.name
    wanting = [
        f"{index.on}: {_WANTING[state]}"
        for index, state in states.items()
        if state is not IndexState.PRESENT
    ]
    if not wanting:
        return Finding("index", Level.OK, f"On {' and '.join(index.on for index in states)}.")
    text = f"{'; '.join(wanting)}. Runs read the whole table."
    if dialect == "sqlite":
        text += " The next real run of a job builds what is missing."
        return Finding("index", Level.WARNING, text, _BY_ITSELF)
    return Finding("index", Level.WARNING, text, "run: smartia-jobs db upgrade")


_WANTING = {
    IndexState.MISSING: "not there",
    IndexState.INVALID: "left behind unusable by a build that broke off, or still being built",
}
