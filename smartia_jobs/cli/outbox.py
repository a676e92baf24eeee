"""``smartia-jobs outbox``: what was told, what is held, and what a person decides about it."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smartia_jobs.cli.context import errors_as_status, print_json, read_settings
from smartia_jobs.cli.days import read_day
from smartia_jobs.cli.options import EnvFile, Json

if TYPE_CHECKING:
    from smartia_jobs.outbox.admin import Entry, Resolved
    from smartia_jobs.settings import Settings

app = typer.Typer(name="outbox", invoke_without_command=True)


class Shown(StrEnum):
    """The states that can be asked for."""

    UNKNOWN = "unknown"
    RETRY = "retry"
    FAILED = "failed"
    UNDELIVERED = "undelivered"
    SENT = "sent"
    EXPIRED = "expired"


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
        typer.Option(
            "--state",
            help="unknown, retry, failed, undelivered, sent or expired.",
            metavar="STATE",
        ),
    ] = None,
    phone: Annotated[
        str | None, typer.Option("--phone", help="All that this person was told.", metavar="PHONE")
    ] = None,
    visit: Annotated[
        int | None,
        typer.Option("--visit", help="All that was told of this appointment.", metavar="ID"),
    ] = None,
    day: Annotated[
        date | None,
        typer.Option(
            "--day",
            help="All that was told of visits on this day (YYYY-MM-DD).",
            parser=read_day,
            metavar="DATE",
        ),
    ] = None,
    json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Look at messages, and decide about those that are held.

    Without options: what is unknown, in retry, or undelivered of a visit ahead;
    else all that fits the options. Phones are masked.

    unknown: WhatsApp may have accepted it; a person decides, or ON_UNKNOWN=resend.
    A message whose run died counts from the end of its lease (two minutes) on.
    retry: surely not accepted; the next run sends it while it is useful.
    failed: WhatsApp refused this patient; tried again when the phone is changed.
    undelivered: accepted, but WhatsApp said later that it did not arrive, and why.
    sent: accepted, whatever became of it: also delivered, read and undelivered.
    expired: it was never sent, and lost its use.

    Example: smartia-jobs outbox --phone +5511987654321

    Example: smartia-jobs outbox --state undelivered
    """
    if context.invoked_subcommand is not None:
        return
    from smartia_jobs.clock import SystemClock
    from smartia_jobs.jobs.outbox import look_up
    from smartia_jobs.store.states import ACCEPTED, State

    with errors_as_status("outbox", as_json=json):
        settings = read_settings(env_file)
        states = () if state is None else ACCEPTED if state is Shown.SENT else (State(state),)
        found = look_up(
            settings, SystemClock(), states=states, phone=phone, appointment_id=visit, day=day
        )
        rows = [_shown(one, settings) for one in found.entries]
        if json:
            body = {"messages": rows, "being_sent": found.being_sent, "exit_code": 0}
            print_json({"job": "outbox", **body})
            return
        width = _width()
        for row in rows:
            for line in _lines(row, width):
                typer.echo(line)
        more = f"; {found.being_sent} more being sent at this moment: look again in some minutes"
        count = f"{len(rows)} {'visit' if len(rows) == 1 else 'visits'}"
        typer.echo(f"{count}{more if found.being_sent else ''}")
        if not rows and (state, phone, visit, day) == (None, None, None, None):
            typer.echo("Nothing is held; what was sent or failed: --state sent, --state failed.")


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
    until it is settled, as does what tells that a number is somebody else's.
    Answers that came longer ago go, too. Metrics no longer know what was
    forgotten.

    Example: smartia-jobs outbox purge --older-than 180d
    """
    from datetime import timedelta

    from smartia_jobs.clock import SystemClock
    from smartia_jobs.jobs import outbox
    from smartia_jobs.outbox.admin import SHORTEST_RETENTION

    number = older_than.removesuffix("d")
    least = SHORTEST_RETENTION.days
    if not (number.isascii() and number.isdigit() and least <= int(number) <= 36500):
        raise typer.BadParameter(
            f"{older_than!r} is no number of days such as 180d, from {least}d on",
            param_hint="--older-than",
        )
    with errors_as_status("outbox purge"):
        older = timedelta(days=int(number))
        deleted = outbox.purge(read_settings(env_file), SystemClock(), older_than=older)
        typer.echo(f"{deleted} rows were deleted")


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
    What they answered goes likewise, and what WhatsApp told of their messages.
    SmartIA keeps its own record of patient, visits and dialogue: remove it, or
    cancel the visits, there and first. A visit still booked is reminded again,
    and after erasing the opt-out also invited again.

    Example: smartia-jobs outbox erase +5511987654321
    """
    from smartia_jobs.clock import SystemClock
    from smartia_jobs.jobs import outbox

    with errors_as_status("outbox erase"):
        erased = outbox.erase(read_settings(env_file), SystemClock(), phone=phone)
        typer.echo(
            f"{erased.deleted} rows deleted, {erased.blanked} without phone now,"
            f" {erased.marks} status changes deleted, {erased.opt_outs} opt-outs removed,"
            f" {erased.answers} answers and {erased.statuses} delivery statuses erased"
        )


def _decide(command: str, ids: Sequence[int], decision: str, env_file: Path | None) -> None:
    from smartia_jobs.clock import SystemClock
    from smartia_jobs.errors import UsageError
    from smartia_jobs.jobs import outbox
    from smartia_jobs.outbox.admin import Resolution

    with errors_as_status(f"outbox {command}"):
        done = outbox.decide(read_settings(env_file), SystemClock(), ids, Resolution(decision))
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


def _shown(one: "Entry", settings: "Settings") -> dict[str, Any]:
    from smartia_jobs.phones import mask_phone

    def local(moment: datetime | None) -> str | None:
        if moment is None:
            return None
        return moment.astimezone(settings.clinic_timezone).isoformat(timespec="minutes")

    return {
        "id": one.id,
        "kind": one.kind,
        "appointment_id": one.appointment_id,
        "turn": one.turn,
        "start": one.start.isoformat(timespec="minutes"),
        "phone": mask_phone(one.phone, settings.clinic_country),
        "state": str(one.state),
        "attempts": one.attempts,
        "since": local(one.since),
        "sent_at": local(one.sent_at),
        "delivered_at": local(one.delivered_at),
        "read_at": local(one.read_at),
        "error": one.error or "",
        "code": one.code,
    }


_TOGETHER = "\N{NO-BREAK SPACE}"


def _lines(row: dict[str, Any], width: int) -> Iterator[str]:
    """Yield one message for a person: what it is, then what became of it, within the width."""
    import textwrap

    yield "{id:>6}  {state:<11}  {kind:<7}  visit {appointment_id:<6}  {told}".format(
        **row, told=row["start"].replace("T", " ")
    )
    indent = " " * 8
    # What belongs together stays on one line.
    facts = ", ".join(fact.replace(" ", _TOGETHER) for fact in _facts(row))
    for text in (facts, _reason(row)):
        for line in textwrap.wrap(
            text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        ):
            yield line.replace(_TOGETHER, " ")


def _facts(row: dict[str, Any]) -> Iterator[str]:
    yield row["phone"]
    yield f"{row['attempts']} {'attempt' if row['attempts'] == 1 else 'attempts'}"
    moments = {"accepted": row["sent_at"], "delivered": row["delivered_at"], "read": row["read_at"]}
    if row["state"] not in ("sent", "delivered", "read"):
        moments["since"] = row["since"]
    yield from (f"{word} {at[:16].replace('T', ' ')}" for word, at in moments.items() if at)


def _reason(row: dict[str, Any]) -> str:
    code = f" (code {row['code']})" if row["code"] is not None else ""
    return f"{row['error'].rstrip('.')}{code}" if row["error"] else code.strip()


def _width() -> int:
    """Return how wide a line may be: as the terminal, and in a pipe as one of 80 columns."""
    import shutil
    import sys

    return max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else 80
