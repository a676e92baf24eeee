"""The Typer application: which commands there are, and what a wrong command line gets."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer

from smartia_jobs import __version__
from smartia_jobs.errors import ExitStatus
from smartia_jobs.kinds import REMINDERS

# Typer carries its own copy of click from some version on: the root of click's errors is
# reached through the one that Typer exports, whichever copy that is.
_ClickError: type[Exception] = typer.BadParameter.__mro__[2]

_REMINDERS = {kind.command: kind for kind in REMINDERS}

#: Where each command is, in the order of ``--help``: in ``app`` of its module, if it has commands
#: of its own, or in the function of its name.
_MODULES: Mapping[str, str] = {
    **dict.fromkeys(_REMINDERS, "reminders"),
    "remind": "reminders",
    "no-show": "no_show",
    "replies": "replies",
    "calls": "calls.command",
    "metrics": "metrics.command",
    "check": "check",
    "config": "config",
    "templates": "templates",
    "db": "db",
    "opt-out": "opt_out",
    "outbox": "outbox",
    "fleet": "fleet",
    "serve": "serve",
    "sandbox": "sandbox",
    "demo": "demo",
}


def application(names: Iterable[str] = _MODULES) -> typer.Typer:
    """Return the application with these commands, all unless they are named."""
    app = typer.Typer(
        name="smartia-jobs",
        help="Remind the patients of a SmartIA clinic over WhatsApp: once each, at the right time.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_options,
    )
    for name in names:
        module: Any = import_module(f"smartia_jobs.cli.{_MODULES[name]}")
        if (kind := _REMINDERS.get(name)) is not None:
            app.command(name, help=kind.help)(module.reminder_command(kind))
        elif hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            passes_on = {"ignore_unknown_options": True} if name == "fleet" else None
            app.command(name, context_settings=passes_on)(getattr(module, name.replace("-", "_")))
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"smartia-jobs {__version__}")
        raise typer.Exit


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
        status = command(arguments[0] if arguments else "").main(
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
def command(name: str) -> "typer.core.TyperGroup":
    """Return the program as one command, with that of this name alone, or all if none has it.

    To load and build every command takes a tenth of the time of a run with nothing due.
    """
    made = typer.main.get_command(application([name] if name in _MODULES else _MODULES))
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
