"""``smartia-jobs opt-out add``, ``remove`` and ``list``: who wants no more invitations."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from smartia_jobs.cli.context import errors_as_status, read_settings
from smartia_jobs.cli.options import EnvFile

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from smartia_jobs.settings import Settings

app = typer.Typer(
    name="opt-out",
    help="Keep the list of phones that get no more invitations; reminders are still sent.",
    no_args_is_help=True,
)

PhoneNumber = Annotated[
    str, typer.Argument(metavar="PHONE", help="With its area code, however it is typed.")
]


@app.command()
def add(phone: PhoneNumber, *, env_file: EnvFile = None) -> None:
    """Invite nobody with this phone back after a missed visit.

    Reminders of booked visits are still sent. Who tells WhatsApp to stop such
    messages is put on the list by the job itself.

    Example: smartia-jobs opt-out add +5511987654321
    """
    from smartia_jobs.clock import SystemClock
    from smartia_jobs.store.opt_outs import add_opt_out

    with errors_as_status("opt-out add"):
        settings = read_settings(env_file)
        canonical = _canonical(phone, settings)
        with _own_tables(settings) as connection:
            added = add_opt_out(connection, canonical, at=SystemClock().now())
        typer.echo(f"{_masked(canonical)} {'was added' if added else 'was on the list already'}")


@app.command()
def remove(phone: PhoneNumber, *, env_file: EnvFile = None) -> None:
    """Take a phone off the list again.

    Example: smartia-jobs opt-out remove +5511987654321
    """
    from smartia_jobs.store.opt_outs import remove_opt_out

    with errors_as_status("opt-out remove"):
        settings = read_settings(env_file)
        canonical = _canonical(phone, settings)
        with _own_tables(settings) as connection:
            removed = remove_opt_out(connection, canonical)
        typer.echo(f"{_masked(canonical)} {'was removed' if removed else 'was not on the list'}")


@app.command("list")
def list_(
    *,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show the whole phone numbers.")] = False,
    env_file: EnvFile = None,
) -> None:
    """Show the list, newest first: phone, who put it there, since when.

    Example: smartia-jobs opt-out list
    """
    from smartia_jobs.database import Database
    from smartia_jobs.store.opt_outs import list_opt_outs
    from smartia_jobs.store.schema import tables_exist

    with errors_as_status("opt-out list"):
        settings = read_settings(env_file)
        with (
            closing(Database(settings.database_url, read_only=True)) as database,
            database.read() as connection,
        ):
            found = list_opt_outs(connection) if tables_exist(connection) else []
        for one in found:
            phone = one.phone if reveal else _masked(one.phone)
            since = one.since.astimezone(settings.clinic_timezone)
            typer.echo(f"{phone}  {one.source:<8}  {since:%Y-%m-%d %H:%M}")
        typer.echo(f"{len(found)} {'phone' if len(found) == 1 else 'phones'}")


def _canonical(typed: str, settings: "Settings") -> str:
    """Return a typed phone as phones are compared.

    Raises:
        UsageError: it cannot be a phone, and why.
    """
    from smartia_jobs.errors import UsageError
    from smartia_jobs.message import Unsendable
    from smartia_jobs.phones import parse_phone

    phone = parse_phone(typed, settings.clinic_country)
    if isinstance(phone, Unsendable):
        raise UsageError(phone.reason)
    return phone.canonical


def _masked(phone: str) -> str:
    from smartia_jobs.phones import mask_phone

    return mask_phone(phone)


@contextmanager
def _own_tables(settings: "Settings") -> "Iterator[Connection]":
    """Write to our own tables, made where they are missing, in a database that is SmartIA's."""
    from smartia_jobs.clinic.schema import problems
    from smartia_jobs.database import Database
    from smartia_jobs.errors import ConfigurationError
    from smartia_jobs.store.schema import ensure

    with closing(Database(settings.database_url)) as database:
        with database.read() as connection:
            wrong = problems(connection)
        if wrong:
            raise ConfigurationError(wrong)
        ensure(database, auto_migrate=settings.auto_migrate)
        with database.write() as connection:
            yield connection
