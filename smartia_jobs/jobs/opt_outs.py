"""The list of those who want no more invitations, or messages: put on it, taken off, shown."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from smartia_jobs.clinic.schema import require_smartia
from smartia_jobs.clock import Clock
from smartia_jobs.database import Database
from smartia_jobs.errors import UsageError
from smartia_jobs.message import Scope, Unsendable
from smartia_jobs.phones import parse_phone
from smartia_jobs.settings import Settings
from smartia_jobs.store.opt_outs import OptOut, add_opt_out, list_opt_outs, remove_opt_out
from smartia_jobs.store.schema import ensure, tables_exist


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one phone.

    Attributes:
        phone: canonical E.164.
        made: False when there was nothing to change.
    """

    phone: str
    made: bool


def put_on_list(
    settings: Settings, clock: Clock, *, phone: str, scope: Scope = Scope.INVITATIONS
) -> Change:
    """Put a phone on the list.

    Args:
        settings: where the list is, and the country of phones without one.
        clock: for when it was added.
        phone: as a person types it.
        scope: which messages it no longer gets.

    Raises:
        UsageError: it cannot be a phone, and why.
        ConfigurationError: the database is not SmartIA's.
    """
    canonical = _canonical(phone, settings)
    with _own_tables(settings) as connection:
        made = add_opt_out(connection, canonical, scope=scope, at=clock.now())
        return Change(canonical, made)


def take_off_list(settings: Settings, *, phone: str) -> Change:
    """Take a phone off the list; arguments and errors are those of :func:`put_on_list`."""
    canonical = _canonical(phone, settings)
    with _own_tables(settings) as connection:
        return Change(canonical, remove_opt_out(connection, canonical))


def show_list(settings: Settings) -> list[OptOut]:
    """Return the list, the newest first; no table is created for it.

    Raises:
        ConfigurationError: the database is not SmartIA's.
    """
    with (
        closing(Database(settings.database_url, read_only=True)) as database,
        database.read() as connection,
    ):
        if tables_exist(connection):
            return list_opt_outs(connection)
        require_smartia(connection)
        return []


def _canonical(typed: str, settings: Settings) -> str:
    """Return a typed phone as phones are compared."""
    phone = parse_phone(typed, settings.clinic_country)
    if isinstance(phone, Unsendable):
        raise UsageError(phone.reason)
    return phone.canonical


@contextmanager
def _own_tables(settings: Settings) -> Iterator[Connection]:
    """Write to our own tables, created if they are missing, in a database that is SmartIA's."""
    with closing(Database(settings.database_url)) as database:
        with database.read() as connection:
            require_smartia(connection)
        ensure(database, auto_migrate=settings.auto_migrate)
        with database.write() as connection:
            yield connection
