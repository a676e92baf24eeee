"""``smartia-jobs opt-out add``, ``remove``, ``list``: who wants no invitations, or no message."""

from typing import Annotated

import typer

from smartia_jobs.cli.context import errors_as_status, print_json, read_settings
from smartia_jobs.cli.options import EnvFile, Json

app = typer.Typer(
    name="opt-out",
    help="Keep the list of phones that get no more invitations, or no message at all.\n\n"
    "Example: smartia-jobs opt-out add +5511987654321",
    no_args_is_help=True,
)

PhoneNumber = Annotated[
    str, typer.Argument(metavar="PHONE", help="With its area code, however it is typed.")
]


@app.command()
def add(
    phone: PhoneNumber,
    *,
    all_: Annotated[bool, typer.Option("--all", help="No reminders either: no message.")] = False,
    env_file: EnvFile = None,
) -> None:
    """Invite nobody with this phone back after a missed visit.

    Reminders of booked visits are still sent, unless --all is given. Who tells
    WhatsApp to stop such messages, or writes SAIR, is put on the list by the
    jobs themselves.

    Example: smartia-jobs opt-out add +5511987654321 --all
    """
    from smartia_jobs.clock import SystemClock
    from smartia_jobs.jobs.opt_outs import put_on_list
    from smartia_jobs.message import Scope

    with errors_as_status("opt-out add"):
        scope = Scope.ALL if all_ else Scope.INVITATIONS
        change = put_on_list(read_settings(env_file), SystemClock(), phone=phone, scope=scope)
        said = "was added" if change.made else "was on the list already"
        typer.echo(f"{_masked(change.phone)} {said}")


@app.command()
def remove(phone: PhoneNumber, *, env_file: EnvFile = None) -> None:
    """Take a phone off the list again.

    Example: smartia-jobs opt-out remove +5511987654321
    """
    from smartia_jobs.jobs.opt_outs import take_off_list

    with errors_as_status("opt-out remove"):
        change = take_off_list(read_settings(env_file), phone=phone)
        said = "was removed" if change.made else "was not on the list"
        typer.echo(f"{_masked(change.phone)} {said}")


@app.command("list")
def list_(
    *,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show the whole phone numbers.")] = False,
    json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Show the list, newest first: phone, what it gets no more, who said so, since when.

    invitations: reminders of booked visits are still sent. all: no message at all.

    Example: smartia-jobs opt-out list
    """
    from smartia_jobs.jobs.opt_outs import show_list

    with errors_as_status("opt-out list", as_json=json):
        settings = read_settings(env_file)
        rows = [
            {
                "phone": one.phone if reveal else _masked(one.phone),
                "scope": str(one.scope),
                "source": one.source,
                "since": one.since.astimezone(settings.clinic_timezone).isoformat(
                    timespec="minutes"
                ),
            }
            for one in show_list(settings)
        ]
        if json:
            print_json({"job": "opt-out list", "opt_outs": rows, "exit_code": 0})
            return
        for row in rows:
            typer.echo("{phone}  {scope:<11}  {source:<8}  {since}".format(**row))
        typer.echo(f"{len(rows)} {'phone' if len(rows) == 1 else 'phones'}")


def _masked(phone: str) -> str:
    from smartia_jobs.phones import mask_phone

    return mask_phone(phone)
