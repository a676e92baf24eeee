"""What the files in ``deploy/`` may say of the program: its commands, variables and statuses."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from smartia_jobs.cli.app import application
from smartia_jobs.settings import Settings
from smartia_jobs.settings.declarations import VARIABLES
from smartia_jobs.settings.environment import load_settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"

SECRET = {variable.name for variable in VARIABLES if variable.secret}
NAMES = {variable.name for variable in VARIABLES} | {f"{name}_FILE" for name in SECRET}


def parse(arguments: Sequence[str]) -> str:
    """Return the command or group that ``smartia-jobs ARGUMENTS`` runs, having parsed all of it.

    Of a fleet's the job comes behind, with its own options parsed, too: ``fleet db upgrade``.

    Raises:
        Exception: the program would refuse it as wrong usage.
    """
    command: Any = typer.main.get_command(application())
    words, rest = [], list(arguments)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        command, word = command.commands[rest[0]], rest.pop(0)
        words.append(word)
    context = command.make_context(" ".join(words), rest)
    if words == ["fleet"]:
        words.append(parse(context.params["job"]))
    return " ".join(words)


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Return the settings of a process with these variables, or fail with all that is wrong."""
    return load_settings(environment, env_file=None, directory=Path("/nonexistent"))
