"""The options that several commands share, each described once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How a result that people read, keep or compute with is shown."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    HTML = "html"


EnvFile = Annotated[
    Path | None,
    typer.Option(
        "--env-file",
        metavar="PATH",
        help="Read settings from this file instead of ./.env; the environment outranks it.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show the decision for each appointment; send, write nothing."),
]
Now = Annotated[
    str | None,
    typer.Option(
        "--now",
        metavar="TIME",
        help="With --dry-run: decide as a run at this ISO time (clinic time if no offset).",
        show_default=False,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", min=1, metavar="N", help="Send at most N messages.", show_default=False
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit 65 when a single patient could not be reached.")
]
JsonFormat = Annotated[bool, typer.Option("--json", help="The same as --format json.")]


def chosen_format(format: Format | None, *, json: bool) -> Format:
    """Return what ``--format`` and ``--json`` ask for together: a table unless either was given.

    Raises:
        typer.BadParameter: they contradict each other.
    """
    if json and format not in (None, Format.JSON):
        raise typer.BadParameter(f"contradicts --format {format}", param_hint="--json")
    return Format.JSON if json else format or Format.TABLE
