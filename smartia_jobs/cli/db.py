"""``smartia-jobs db upgrade`` and ``db current``: our tables, and the indexes on SmartIA's."""

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import typer

from smartia_jobs.cli.context import errors_as_status, read_settings
from smartia_jobs.cli.options import EnvFile

if TYPE_CHECKING:
    from smartia_jobs.database import Database

app = typer.Typer(
    name="db",
    help="Create and upgrade smartia-jobs' own tables, beside SmartIA's.",
    no_args_is_help=True,
)


@app.command()
def upgrade(*, env_file: EnvFile = None) -> None:
    """Create or upgrade smartia-jobs' tables, and the indexes on SmartIA's.

    Running it again is harmless. On PostgreSQL the indexes are built while the
    clinic goes on working, and building them takes the owner of SmartIA's
    tables: for any other role this prints the SQL for the owner.

    Example: smartia-jobs db upgrade --env-file owner.env
    """
    from smartia_jobs.database import Database

    with errors_as_status("db upgrade"):
        url = read_settings(env_file).database_url
        with closing(Database(url)) as database, closing(Database(url)) as guard:
            for line in upgrade_database(database, guard=guard):
                typer.echo(line)


@app.command()
def current(*, env_file: EnvFile = None) -> None:
    """Show which version the tables have, and whether the indexes are there.

    Nothing is changed.

    Example: smartia-jobs db current
    """
    from smartia_jobs.database import Database

    with errors_as_status("db current"):
        url = read_settings(env_file).database_url
        with closing(Database(url, read_only=True)) as database:
            for line in describe_database(database):
                typer.echo(line)


def upgrade_database(database: "Database", *, guard: "Database") -> Iterator[str]:
    """Create or upgrade our tables, build the indexes, and say in lines what was done.

    Args:
        database: open for writing.
        guard: the same database over a second connection (see ``build_index``).

    Raises:
        ConfigurationError: this is no SmartIA database, or the role may not create tables.
    """
    from smartia_jobs.clinic.index import (
        INDEXES,
        IndexBuild,
        build_index,
        index_states,
        owner_statements,
    )
    from smartia_jobs.clinic.schema import problems
    from smartia_jobs.errors import ConfigurationError
    from smartia_jobs.store.schema import current_version, ensure

    with database.read() as connection:
        wrong = problems(connection)
        before = current_version(connection)
    if wrong:
        # Most likely another database was meant; ours must not be left in this one.
        raise ConfigurationError(wrong)
    ensure(database, auto_migrate=True)
    with database.read() as connection:
        after = current_version(connection)
    yield f"tables: {_changed(before, after)}"

    refused = []
    for index in INDEXES:
        built = build_index(database, index, guard=guard)
        yield f"index on {index.on}: {_BUILT[built]}"
        if built is IndexBuild.NOT_ALLOWED:
            refused.append(index)
    if refused:
        yield "Everything works without, only slower as rows add up."
        tables = " and ".join(index.table for index in refused)
        yield f"Let the owner of {tables} run, outside any transaction:"
        with database.read() as connection:
            states = index_states(connection)
        for index in refused:
            yield from (f"  {sql};" for sql in owner_statements(index, states[index]))


def describe_database(database: "Database") -> Iterator[str]:
    """Say in lines which version our tables have, and whether the indexes are there."""
    from smartia_jobs.clinic.index import index_states
    from smartia_jobs.store.schema import HEAD, current_version

    with database.read() as connection:
        version = current_version(connection)
        states = index_states(connection)
    if version == HEAD:
        yield f"tables: version {version}, up to date"
    elif version is not None and version > HEAD:
        yield f"tables: version {version}, newer than this program needs ({HEAD})"
    else:
        found = "missing" if version is None else f"version {version}"
        yield f"tables: {found}; this program needs version {HEAD}"
    yield from (f"index on {index.on}: {state}" for index, state in states.items())


def _changed(before: str | None, after: str | None) -> str:
    if before == after:
        return f"nothing to do, version {after}"
    return f"created, version {after}" if before is None else f"upgraded, {before} to {after}"


#: By the name of what ``build_index`` returns.
_BUILT = {
    "present": "nothing to do",
    "built": "built",
    "rebuilt": "built anew; an earlier build had broken off",
    "elsewhere": "another session is building an index; look again later",
    "not_allowed": "not built; this role does not own SmartIA's table",
}
