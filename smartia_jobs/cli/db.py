"""``smartia-jobs db upgrade`` and ``db current``: our tables, and the indexes on SmartIA's."""

from typing import TYPE_CHECKING

import typer

from smartia_jobs.cli.context import errors_as_status, read_settings
from smartia_jobs.cli.options import EnvFile

if TYPE_CHECKING:
    from smartia_jobs.jobs.tables import Built, Described, Upgraded

app = typer.Typer(
    name="db",
    help="Create and upgrade smartia-jobs' own tables, beside SmartIA's.\n\n"
    "Example: smartia-jobs db current",
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
    from smartia_jobs.jobs.tables import build_indexes, upgrade_tables

    with errors_as_status("db upgrade"):
        url = read_settings(env_file).database_url
        typer.echo(f"tables: {_changed(upgrade_tables(url))}")
        refused = []
        for built in build_indexes(url):
            typer.echo(f"index on {built.index.on}: {_BUILT[built.result]}")
            if built.owner_statements:
                refused.append(built)
        if refused:
            _print_for_owner(refused)


@app.command()
def current(*, env_file: EnvFile = None) -> None:
    """Show which version the tables have, and whether the indexes are there.

    Nothing is changed.

    Example: smartia-jobs db current
    """
    from smartia_jobs.jobs.tables import describe_tables

    with errors_as_status("db current"):
        described = describe_tables(read_settings(env_file).database_url)
        typer.echo(f"tables: {_standing(described)}")
        for index, state in described.indexes.items():
            typer.echo(f"index on {index.on}: {state}")


def _print_for_owner(refused: "list[Built]") -> None:
    typer.echo("Everything works without, only slower as rows add up.")
    tables = " and ".join(built.index.table for built in refused)
    typer.echo(f"Let the owner of {tables} run, outside any transaction:")
    for built in refused:
        for sql in built.owner_statements:
            typer.echo(f"  {sql};")


def _changed(done: "Upgraded") -> str:
    if done.before == done.after:
        return f"nothing to do, version {done.after}"
    if done.before is None:
        return f"created, version {done.after}"
    return f"upgraded, {done.before} to {done.after}"


def _standing(described: "Described") -> str:
    version, needed = described.version, described.needed
    if version == needed:
        return f"version {version}, up to date"
    if version is not None and version > needed:
        return f"version {version}, newer than this program needs ({needed})"
    found = "missing" if version is None else f"version {version}"
    return f"{found}; this program needs version {needed}"


#: By the name of what ``build_index`` returns.
_BUILT = {
    "present": "nothing to do",
    "built": "built",
    "rebuilt": "rebuilt; an earlier build was interrupted",
    "elsewhere": "another session is building an index; look again later",
    "not_allowed": "not built; this role does not own SmartIA's table",
}
