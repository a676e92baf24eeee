"""The options that several commands share, each described once."""

from pathlib import Path
from typing import Annotated

import typer

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
