"""``smartia-jobs config show``: every setting, its value, and where it came from."""

import sys
from typing import TYPE_CHECKING

import typer

from smartia_jobs.cli.context import errors_as_status, gather_settings, print_json
from smartia_jobs.cli.options import EnvFile, Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smartia_jobs.jobs.config import InForce
    from smartia_jobs.settings.environment import Given

#: What a pipe gets.
_PLAIN_WIDTH = 80

app = typer.Typer(
    name="config",
    help="Look at the settings, which a file and the environment set.\n\n"
    "Example: smartia-jobs config show",
    no_args_is_help=True,
)


@app.callback()
def _group() -> None:
    # A group of one command would be that command itself.
    pass


@app.command()
def show(*, json: Json = False, env_file: EnvFile = None) -> None:
    """Show every setting, its value, and where that came from; secrets are masked.

    From is default, environment or the name of the settings file, which the
    environment outranks; with _FILE where it names a file that holds the secret.

    Example: smartia-jobs config show --env-file clinic.env
    """
    from smartia_jobs.jobs.config import in_force
    from smartia_jobs.settings.environment import understand

    with errors_as_status("config show", as_json=json):
        given = gather_settings(env_file)
        settings = in_force(given, understand(given))
        if json:
            file = str(given.file) if given.was_read else None
            body = {"settings": [one.as_json() for one in settings], "settings_file": file}
            print_json({"job": "config show", **body, "exit_code": 0})
        else:
            _print(given, settings)


def _print(given: "Given", settings: "Sequence[InForce]") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from smartia_jobs.jobs.checks.settings import which_file

    terminal = sys.stdout.isatty()
    console = Console(highlight=False, width=None if terminal else _PLAIN_WIDTH)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold", ratio=1)
    table.add_column("from", overflow="fold")
    for one in settings:
        is_default = one.origin == "default"
        style = "dim" if is_default else "bold"
        table.add_row(*map(Text, (one.name, one.value or "-", _from(one, given))), style=style)
    with console.capture() as captured:
        console.print(Text(which_file(given)))
        console.print(table)
    for line in captured.get().splitlines():
        typer.echo(line.rstrip())


def _from(one: "InForce", given: "Given") -> str:
    where = given.file.name if one.origin == "file" else str(one.origin)
    return where if one.variable == one.name else f"{where} (_FILE)"
