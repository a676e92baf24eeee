"""What a person does with the outbox: look something up, decide, purge, erase."""

from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection

from smartia_jobs.clinic.patients import patients_with_phone, visits_of
from smartia_jobs.clinic.schema import problems, require_smartia
from smartia_jobs.clinic.times import to_wall
from smartia_jobs.clock import Clock
from smartia_jobs.database import Database
from smartia_jobs.errors import UsageError
from smartia_jobs.jobs.opening import our_tables
from smartia_jobs.message import Unsendable
from smartia_jobs.outbox import admin
from smartia_jobs.outbox.admin import Entry, Erased, Resolution, Resolved
from smartia_jobs.phones import canonical_phone, parse_phone
from smartia_jobs.settings import Settings
from smartia_jobs.store.schema import tables_exist
from smartia_jobs.store.states import State


@dataclass(frozen=True, slots=True)
class Listing:
    """What was found.

    Attributes:
        entries: rows of the outbox, the next visit first.
        being_sent: how many visits' messages are being sent at this moment.
    """

    entries: Sequence[Entry] = ()
    being_sent: int = 0


def look_up(
    settings: Settings,
    clock: Clock,
    *,
    states: Collection[State] = (),
    phone: str | None = None,
    appointment_id: int | None = None,
    day: date | None = None,
) -> Listing:
    """Return the outbox's rows that fit all that is asked.

    When nothing is asked: what is held, and what did not arrive of visits still ahead.

    Args:
        settings: which database, and the country of phones without one.
        clock: for what is still ahead.
        states: only rows in one of these; empty for all, if anything else is asked.
        phone: as a person types it.
        appointment_id: only about this visit.
        day: only about visits of this local day.

    Raises:
        UsageError: the phone cannot be one, and nobody is recorded with just that text.
        ConfigurationError: the database is not SmartIA's.
    """
    is_theirs = None if phone is None else _matcher(phone, settings)
    asked = phone is not None or appointment_id is not None or day is not None
    wanted = states or (tuple(State) if asked else admin.UNFINISHED)
    ahead = None if states or asked else _wall_now(settings, clock)
    with (
        closing(Database(settings.database_url, read_only=True)) as database,
        database.read() as connection,
    ):
        if not tables_exist(connection):
            require_smartia(connection)
            _refuse_incomplete(phone, settings)
            return Listing()
        entries = admin.entries(
            connection,
            wanted,
            is_theirs=is_theirs,
            appointment_id=appointment_id,
            day=day,
            undelivered_from=ahead,
        )
        if not entries:
            _refuse_incomplete(phone, settings)
        return Listing(entries, admin.being_sent(connection))


def decide(
    settings: Settings, clock: Clock, ids: Sequence[int], resolution: Resolution
) -> list[Resolved]:
    """Apply a person's decision to unknown messages; each id once, in the order given.

    Raises:
        ConfigurationError: the database has no tables of ours.
    """
    with our_tables(settings) as database, database.write() as connection:
        return admin.resolve(connection, list(dict.fromkeys(ids)), resolution, at=clock.now())


def purge(settings: Settings, clock: Clock, *, older_than: timedelta) -> int:
    """Forget final rows of visits that began, and answers that came, longer ago; return how many.

    Raises:
        ConfigurationError: the database has no tables of ours.
    """
    with our_tables(settings) as database:
        before = _wall_now(settings, clock) - older_than
        before_at = clock.now() - older_than
        return sum(admin.purge(database, before_wall=before, before_at=before_at))


def erase(settings: Settings, clock: Clock, *, phone: str) -> Erased:
    """Remove one person from our own tables, under any phone they had.

    Raises:
        UsageError: the phone cannot be one, and nobody is recorded with just that text.
        ConfigurationError: the database has no tables of ours.
        UnavailableError: a message to them is being sent at this moment; nothing was changed.
    """
    with our_tables(settings) as database:
        is_theirs = _matcher(phone, settings)
        retention = max(admin.SHORTEST_RETENTION, settings.no_show_lookback)
        with database.write() as connection:
            told = admin.patients_told(connection, is_theirs)
            patients, visits = _in_smartia(connection, is_theirs, told)
            if not patients:
                _refuse_incomplete(phone, settings)
            return admin.erase(
                connection,
                is_theirs,
                patient_ids=patients,
                appointment_ids=visits,
                before_wall=_wall_now(settings, clock) - retention,
                before_at=clock.now() - retention,
            )


def _refuse_incomplete(typed: str | None, settings: Settings) -> None:
    """Refuse what cannot be a phone, after nobody was found by it.

    A number that is stored just as incompletely as it was typed does find somebody.

    Raises:
        UsageError: saying what is missing.
    """
    phone = None if typed is None else parse_phone(typed, settings.clinic_country)
    if isinstance(phone, Unsendable):
        raise UsageError(f"{phone.reason} Nobody is recorded with it as it was typed.")


def _matcher(typed: str, settings: Settings) -> Callable[[str], bool]:
    """Return whether a stored text is the typed phone: as one person's, or digit by digit."""

    def digits(text: str) -> str:
        return "".join(c for c in text if c.isdecimal())

    country = settings.clinic_country
    wanted, wanted_digits = canonical_phone(typed, country), digits(typed)
    if not wanted_digits:
        raise UsageError("PHONE holds no digits: write it with its area code.")
    return lambda text: (
        text == wanted
        or digits(text) == wanted_digits
        or (wanted is not None and canonical_phone(text, country) == wanted)
    )


def _in_smartia(
    connection: Connection, is_theirs: Callable[[str], bool], told: set[int]
) -> tuple[set[int], set[int]]:
    """Return the ids of the person's patient rows, and those of their visits."""
    if problems(connection):  # SmartIA's tables are gone: ours are all there is
        return told, set()
    patients = told | patients_with_phone(connection, is_theirs)
    return patients, visits_of(connection, patients)


def _wall_now(settings: Settings, clock: Clock) -> datetime:
    return to_wall(clock.now(), settings.clinic_timezone)
