"""``smartia-jobs opt-out add``, ``remove`` and ``list``: who wants no more invitations."""

from typing import Annotated

import typer

from smartia_jobs.cli.context import errors_as_status, read_settings
from smartia_jobs.cli.options import EnvFile

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
    from smartia_jobs.store.opt_outs import Scope

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
    env_file: EnvFile = None,
) -> None:
    """Show the list, newest first: phone, what it gets no more, by whom, since when.

    Example: smartia-jobs opt-out list
    """
    from smartia_jobs.jobs.opt_outs import show_list

    with errors_as_status("opt-out list"):
        settings = read_settings(env_file)
        found = show_list(settings)
        for one in found:
            phone = one.phone if reveal else _masked(one.phone)
            since = one.since.astimezone(settings.clinic_timezone)
            typer.echo(f"{phone}  {one.scope:<11}  {one.source:<8}  {since:%Y-%m-%d %H:%M}")
        typer.echo(f"{len(found)} {'phone' if len(found) == 1 else 'phones'}")


def _masked(phone: str) -> str:
    from smartia_jobs.phones import mask_phone

    return mask_phone(phone)
