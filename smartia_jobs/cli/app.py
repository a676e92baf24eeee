"""The Typer application: which commands there are, and what a wrong command line gets."""

import sys
from typing import Annotated

import typer

from smartia_jobs import __version__
from smartia_jobs.cli.reminders import day_ahead, hours_ahead

app = typer.Typer(
    name="smartia-jobs",
    help="Remind the patients of a SmartIA clinic over WhatsApp: once each, at the right time.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("24h")(day_ahead)
app.command("2h")(hours_ahead)


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        print_version()
        raise typer.Exit


def print_version() -> None:
    """Print the version on standard output."""
    sys.stdout.write(f"smartia-jobs {__version__}\n")


def main() -> int:
    """Run the command line; return the exit status."""
    import click

    arguments = sys.argv[1:]
    command = typer.main.get_command(app)
    try:
        status = command.main(arguments, prog_name="smartia-jobs", standalone_mode=False)
    except click.ClickException as error:
        return _usage(error, arguments)
    except click.Abort:
        return 130
    return status if isinstance(status, int) else 0


def _usage(error: "Exception", arguments: list[str]) -> int:
    import click

    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return 2
    message = error.format_message() if isinstance(error, click.ClickException) else str(error)
    if "--json" in arguments:
        from smartia_jobs.cli.context import print_json

        job = next((word for word in arguments if not word.startswith("-")), "")
        print_json({"job": job, "exit_code": 2, "error": message})
    context = error.ctx if isinstance(error, click.UsageError) else None
    where = context.command_path if context is not None else "smartia-jobs"
    typer.echo(f"{where}: {message}", err=True)
    typer.echo(f"Try '{where} --help'.", err=True)
    return 2
