"""A day on the command line, such as ``2026-03-31``."""

from datetime import date, datetime

import typer


def read_day(text: str) -> date:
    """Return the day that somebody typed.

    Raises:
        typer.BadParameter: saying how a day is written.
    """
    try:
        # Unlike date.fromisoformat it takes one form alone, in every version of Python.
        return datetime.strptime(text.strip(), "%Y-%m-%d").date()  # noqa: DTZ007 - a day
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day such as 2026-03-31") from None
