"""``smartia-jobs outbox``: what is held, and what a person decides about it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smartia_jobs.cli.context import errors_as_status, print_json, read_settings
from smartia_jobs.cli.options import EnvFile, Json

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from smartia_jobs.database import Database
    from smartia_jobs.outbox.admin import Held, Resolved
    from smartia_jobs.settings import Settings

app = typer.Typer(
    name="outbox",
    help="Look at messages that are held, and decide about them.",
    invoke_without_command=True,
)


class Shown(StrEnum):
    """The states that can be asked for."""

    UNKNOWN = "unknown"
    RETRY = "retry"
    FAILED = "failed"


Ids = Annotated[
    list[int],
    # What a database can hold at most: anything longer is a slip of the hand.
    typer.Argument(metavar="ID…", min=1, max=2**63 - 1, help="As listed by smartia-jobs outbox."),
]


@app.callback()
def list_(
    context: typer.Context,
    *,
    state: Annotated[
        Shown | None,
        typer.Option("--state", help="Only these; without it, unknown and retry.", metavar="STATE"),
    ] = None,
    json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """List messages that are held: unknown, retry or failed. Phones are masked.

    unknown: WhatsApp may have accepted it; a person decides, or ON_UNKNOWN=resend.
    A message whose run died counts from the end of its lease (two minutes) on.
    retry: surely not accepted; the next run sends it while it is useful.
    failed: this patient could not be reached; tried again when the phone is changed.

    Example: smartia-jobs outbox --state unknown
    """
    if context.invoked_subcommand is not None:
        return
    from smartia_jobs.database import Database
    from smartia_jobs.outbox.admin import HELD, being_sent, held
    from smartia_jobs.store.schema import tables_exist
    from smartia_jobs.store.states import State

    with errors_as_status("outbox", as_json=json):
        settings = read_settings(env_file)
        states = HELD if state is None else (State(state),)
        with (
            closing(Database(settings.database_url, read_only=True)) as database,
            database.read() as connection,
        ):
            known = tables_exist(connection)
            found = held(connection, states) if known else []
            sending = being_sent(connection) if known else 0
        rows = [_shown(one, settings) for one in found]
        if json:
            print_json({"job": "outbox", "messages": rows, "being_sent": sending, "exit_code": 0})
            return
        for row in rows:
            typer.echo(
                "{id:>6}  {state:<8} {kind:<8} appointment {appointment_id:<7} {start}  {phone}"
                "  attempts {attempts}  since {since}  {error}".format(**row)
            )
        more = f"; {sending} more being sent at this moment: look again in some minutes"
        typer.echo(
            f"{len(rows)} {'visit' if len(rows) == 1 else 'visits'}{more if sending else ''}"
        )


@app.command()
def resend(ids: Ids, *, env_file: EnvFile = None) -> None:
    """Let the next run send unknown messages again, while they are useful.

    If WhatsApp had accepted one after all, the patient gets it twice.

    Example: smartia-jobs outbox resend 17 18
    """
    _decide("resend", ids, "resend", env_file)


@app.command()
def settle(
    ids: Ids,
    *,
    sent: Annotated[bool, typer.Option("--sent", help="The patient has it.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="The patient does not have it.")] = False,
    env_file: EnvFile = None,
) -> None:
    """Close unknown messages: nothing is sent about them any more.

    Example: smartia-jobs outbox settle 17 18 --sent
    """
    if sent == failed:
        raise typer.BadParameter("say either --sent or --failed", param_hint="--sent / --failed")
    _decide("settle", ids, "sent" if sent else "failed", env_file)


@app.command()
def purge(
    *,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="DAYS", help="Such as 180d; at least 31d.")
    ],
    env_file: EnvFile = None,
) -> None:
    """Forget messages of visits that began longer ago; without this all are kept.

    Only what is final goes: sent, failed and expired. What is unknown stays
    until it is settled. Metrics no longer know what was forgotten.

    Example: smartia-jobs outbox purge --older-than 180d
    """
    from datetime import timedelta

    from smartia_jobs.outbox.admin import SHORTEST_RETENTION
    from smartia_jobs.outbox.admin import purge as purge_rows

    number = older_than.removesuffix("d")
    least = SHORTEST_RETENTION.days
    if not (number.isascii() and number.isdigit() and least <= int(number) <= 36500):
        raise typer.BadParameter(
            f"{older_than!r} is no number of days such as 180d, from {least}d on",
            param_hint="--older-than",
        )
    with errors_as_status("outbox purge"), _opened(env_file) as (settings, database):
        before = _wall_now(settings) - timedelta(days=int(number))
        typer.echo(f"{sum(purge_rows(database, before_wall=before))} rows were deleted")


@app.command()
def erase(
    phone: Annotated[str, typer.Argument(metavar="PHONE", help="With its area code.")],
    *,
    env_file: EnvFile = None,
) -> None:
    """Remove one person from smartia-jobs' own tables, the phone's opt-out included.

    What was sent to them under another phone goes too. Rows of visits more than
    31 days past (NO_SHOW_LOOKBACK_DAYS, if longer) are deleted; of later ones
    the phone and WhatsApp's ids, and the row stays so that nothing is sent twice.
    SmartIA keeps its own record of patient, visits and dialogue: remove it, or
    cancel the visits, there and first. A visit still booked is reminded again,
    and after erasing the opt-out also invited again.

    Example: smartia-jobs outbox erase +5511987654321
    """
    from smartia_jobs.outbox.admin import SHORTEST_RETENTION, patients_told
    from smartia_jobs.outbox.admin import erase as erase_rows

    with errors_as_status("outbox erase"), _opened(env_file) as (settings, database):
        matches = _matcher(phone, settings)
        retention = max(SHORTEST_RETENTION, settings.no_show_lookback)
        with database.write() as connection:
            told = patients_told(connection, matches)
            patients, visits = _in_smartia(connection, matches, told)
            erased = erase_rows(
                connection,
                matches,
                patient_ids=patients,
                appointment_ids=visits,
                before_wall=_wall_now(settings) - retention,
            )
        typer.echo(
            f"{erased.deleted} rows deleted, {erased.blanked} without phone now,"
            f" {erased.marks} marks deleted, {erased.opt_outs} opt-outs removed"
        )


def _decide(command: str, ids: Sequence[int], decision: str, env_file: Path | None) -> None:
    from smartia_jobs.clock import SystemClock
    from smartia_jobs.errors import UsageError
    from smartia_jobs.outbox.admin import Decision, resolve

    with errors_as_status(f"outbox {command}"):
        with _opened(env_file) as (_, database), database.write() as connection:
            wanted = list(dict.fromkeys(ids))
            done = resolve(connection, wanted, Decision(decision), at=SystemClock().now())
        for one in done:
            if one.visits:
                more = f" ({one.visits} visits, told in one message)" if one.visits > 1 else ""
                typer.echo(f"{one.id}: {_DONE[decision]}{more}")
        wrong = [_why_not(one) for one in done if not one.visits]
        if wrong:
            raise UsageError("\n".join(wrong))


_DONE = {
    "resend": "the next run sends it, if it is still useful then",
    "sent": "counts as sent",
    "failed": "counts as failed",
}


def _why_not(one: "Resolved") -> str:
    if one.found is None:
        return f"{one.id}: there is no such message; see smartia-jobs outbox"
    if one.found == "claimed":
        return f"{one.id}: is being sent at this moment; look again in some minutes"
    return f"{one.id}: is {one.found}, not unknown; nothing was changed"


def _shown(one: "Held", settings: "Settings") -> dict[str, Any]:
    from smartia_jobs.phones import mask_phone

    since = one.since.astimezone(settings.clinic_timezone)
    return {
        "id": one.id,
        "kind": one.kind,
        "appointment_id": one.appointment_id,
        "start": one.start.isoformat(timespec="minutes"),
        "phone": mask_phone(one.phone),
        "state": str(one.state),
        "attempts": one.attempts,
        "since": since.isoformat(timespec="minutes"),
        "error": one.error or "",
    }


def _wall_now(settings: "Settings") -> "datetime":
    from smartia_jobs.clinic.times import to_wall
    from smartia_jobs.clock import SystemClock

    return to_wall(SystemClock().now(), settings.clinic_timezone)


def _matcher(typed: str, settings: "Settings") -> Callable[[str], bool]:
    """Return whether a stored text is the typed phone: as one person's, or digit by digit.

    Raises:
        UsageError: what was typed holds no digits.
    """
    from smartia_jobs.errors import UsageError
    from smartia_jobs.message import Unsendable
    from smartia_jobs.phones import parse_phone

    def digits(text: str) -> str:
        return "".join(c for c in text if c.isdecimal())

    def person(text: str) -> str | None:
        phone = parse_phone(text, settings.clinic_country)
        return None if isinstance(phone, Unsendable) else phone.canonical

    wanted, wanted_digits = person(typed), digits(typed)
    if not wanted_digits:
        raise UsageError("PHONE holds no digits")
    return lambda text: (
        text == wanted
        or digits(text) == wanted_digits
        or (wanted is not None and person(text) == wanted)
    )


def _in_smartia(
    connection: "Connection", is_theirs: Callable[[str], bool], told: set[int]
) -> tuple[set[int], set[int]]:
    """Return who they are, by our rows and by SmartIA's own, and which visits are theirs."""
    from smartia_jobs.clinic.patients import patients_with_phone, visits_of
    from smartia_jobs.clinic.schema import problems

    if problems(connection):  # SmartIA's own record is gone: ours is all there is
        return told, set()
    patients = told | patients_with_phone(connection, is_theirs)
    return patients, visits_of(connection, patients)


@contextmanager
def _opened(env_file: Path | None) -> Iterator[tuple["Settings", "Database"]]:
    """Open the database for writing, with our tables in it.

    Raises:
        ConfigurationError: it has none, so there is nothing to decide about.
    """
    from smartia_jobs.database import Database
    from smartia_jobs.errors import ConfigurationError
    from smartia_jobs.store.schema import tables_exist

    settings = read_settings(env_file)
    with closing(Database(settings.database_url)) as database:
        with database.read() as connection:
            known = tables_exist(connection)
        if not known:
            raise ConfigurationError(
                "this database has no smartia-jobs tables yet; nothing was ever sent from it"
            )
        yield settings, database
