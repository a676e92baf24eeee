"""The Typer application: which commands there are, and what a wrong command line gets."""

from functools import cache
from typing import Annotated

import typer

from smartia_jobs import __version__
from smartia_jobs.cli.calls.command import calls
from smartia_jobs.cli.check import check
from smartia_jobs.cli.config import app as config
from smartia_jobs.cli.db import app as db
from smartia_jobs.cli.demo import demo
from smartia_jobs.cli.fleet import fleet
from smartia_jobs.cli.metrics.command import metrics
from smartia_jobs.cli.no_show import no_show
from smartia_jobs.cli.opt_out import app as opt_out
from smartia_jobs.cli.outbox import app as outbox
from smartia_jobs.cli.reminders import remind, reminder_command
from smartia_jobs.cli.replies import app as replies
from smartia_jobs.cli.sandbox import sandbox
from smartia_jobs.cli.serve import serve
from smartia_jobs.cli.templates import app as templates
from smartia_jobs.errors import ExitStatus
from smartia_jobs.kinds import REMINDERS

# Typer carries its own copy of click from some version on: the root of click's errors is
# reached through the one that Typer exports, whichever copy that is.
_ClickError: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="smartia-jobs",
    help="Remind the patients of a SmartIA clinic over WhatsApp: once each, at the right time.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _kind in REMINDERS:
    app.command(_kind.command, help=_kind.help)(reminder_command(_kind))
app.command("remind")(remind)
app.command("no-show")(no_show)
app.add_typer(replies)
app.command("calls")(calls)
app.command("metrics")(metrics)
app.command("check")(check)
app.add_typer(config)
app.add_typer(templates)
app.add_typer(db)
app.add_typer(opt_out)
app.add_typer(outbox)
app.command("fleet", context_settings={"ignore_unknown_options": True})(fleet)
app.command("serve")(serve)
app.command("sandbox")(sandbox)
app.command("demo")(demo)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"smartia-jobs {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", is_eager=True, callback=_version
        ),
    ] = False,
) -> None:
    # Stands for the program itself; the commands do the work.
    del version


def main(arguments: list[str]) -> int:
    """Run a command line; return the exit status."""
    try:
        status = command().main(
            arguments or ["--help"], prog_name="smartia-jobs", standalone_mode=False
        )
    except _ClickError as error:
        return _refuse(error, arguments)
    except typer.Abort:
        return int(ExitStatus.INTERRUPTED)
    if not arguments:
        return int(ExitStatus.USAGE)
    return status if isinstance(status, int) else 0


@cache
def command() -> "typer.core.TyperGroup":
    """Return the whole program as one command, made once."""
    made = typer.main.get_command(app)
    assert isinstance(made, typer.core.TyperGroup)  # noqa: S101 (it has commands)
    return made


def _refuse(error: Exception, arguments: list[str]) -> int:
    """Say what is wrong with the command line, in one line and where to look."""
    message = str(getattr(error, "format_message", error.__str__)())
    if "--json" in arguments:
        from smartia_jobs.cli.context import print_json

        job = next((word for word in arguments if not word.startswith("-")), "")
        print_json({"job": job, "exit_code": int(ExitStatus.USAGE), "error": message})
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "smartia-jobs"
    if message:
        ended = message if message.endswith((".", "?", "!")) else f"{message}."
        typer.echo(f"{where}: {ended} Try '{where} --help'.", err=True)
    return int(ExitStatus.USAGE)
