"""Parsing ``smartia-jobs calls``, and putting its list where it may be read."""

import logging
import sys
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smartia_jobs.cli.context import errors_as_status, gather_settings, json_text, monitored, put
from smartia_jobs.cli.options import EnvFile, Format, JsonFormat, chosen_format
from smartia_jobs.cli.output import refuse_database, refuse_settings

if TYPE_CHECKING:
    from smartia_jobs.cli.calls.lines import Shown
    from smartia_jobs.jobs.calls import CallList
    from smartia_jobs.settings import Settings

logger = logging.getLogger(__name__)


#: Days outside these years are typing mistakes.
_FIRST_YEAR, _LAST_YEAR = 1970, 8999


def calls(
    *,
    day: Annotated[
        str | None,
        typer.Option(
            "--day",
            metavar="DAY",
            help="Only visits of today, tomorrow or a date (YYYY-MM-DD).",
            show_default=False,
        ),
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="Show a table (the default), JSON, CSV, or a web page.",
            show_default=False,
        ),
    ] = None,
    json: JsonFormat = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Write to this file, which only you can read.",
            show_default=False,
        ),
    ] = None,
    show_phones: Annotated[
        bool, typer.Option("--show-phones", help="On a terminal: show the whole phone numbers.")
    ] = False,
    env_file: EnvFile = None,
) -> None:
    """List whom the reception should call, and why: the most urgent first.

    Without --day: the rest of today, tomorrow, and what is unsettled.
    Nothing is changed in the database. What the reception does in SmartIA
    (another status, another time) takes a line off the list.
    Names, texts and whole phone numbers go to a terminal or to --output;
    a pipe, which may be a log, gets none of them.

    Example: smartia-jobs calls --format html --output ligar.html
    """
    chosen = chosen_format(format, json=json)
    wanted = _day(day)
    with errors_as_status("calls", as_json=chosen is Format.JSON):
        given = gather_settings(env_file)
        with monitored("calls", given) as settings:
            if output is not None:
                refuse_database(output, settings.database_url)
                refuse_settings(output, given, settings)
            found = _look(settings, day=wanted)
            shown = _shown(found, settings, to_file=output is not None, show_phones=show_phones)
            text = render(shown, chosen, to_stdout=output is None)
            put(text, output, body=partial(_as_a_pipe_sees_it, found, settings))


def render(shown: "Shown", chosen: Format, *, to_stdout: bool) -> str:
    """Return the list in the chosen form.

    Args:
        shown: the lines, with as much of the persons as whoever reads may see.
        chosen: how.
        to_stdout: the text goes to standard output, whose width and colours then count.
    """
    match chosen:
        case Format.JSON:
            return json_text(shown.as_json(), to_stdout=to_stdout)
        case Format.CSV:
            from smartia_jobs.cli.calls.csv import to_csv

            return to_csv(shown)
        case Format.HTML:
            from smartia_jobs.cli.calls.html import to_html

            return to_html(shown)
        case Format.TABLE:
            from smartia_jobs.cli.calls.table import to_text

            return to_text(shown, terminal=to_stdout and sys.stdout.isatty())


def _look(settings: "Settings", *, day: str | date | None) -> "CallList":
    from smartia_jobs.clock import SystemClock
    from smartia_jobs.jobs.calls import list_calls, named_day
    from smartia_jobs.launch import run_that_reads

    with run_that_reads("calls", settings, SystemClock()) as run:
        return list_calls(run, day=named_day(day, run) if isinstance(day, str) else day)


def _shown(found: "CallList", settings: "Settings", *, to_file: bool, show_phones: bool) -> "Shown":
    """Return the list with as much of the persons as whoever reads may see."""
    from smartia_jobs.cli.calls.lines import Shown

    to_screen = not to_file and sys.stdout.isatty()
    if show_phones and not (to_file or to_screen):
        logger.warning(
            "--show-phones shows them on a terminal alone: standard output may be a log;"
            " --output FILE has them"
        )
    return Shown.of(
        found,
        settings,
        persons=to_file or to_screen,
        phones=to_file or (to_screen and show_phones),
    )


def _as_a_pipe_sees_it(found: "CallList", settings: "Settings") -> dict[str, Any]:
    from smartia_jobs.cli.calls.lines import Shown

    return Shown.of(found, settings, persons=False, phones=False).as_json()


def _day(text: str | None) -> str | date | None:
    """Return ``today``, ``tomorrow`` or the date that was typed."""
    if text is None or text in ("today", "tomorrow"):
        return text
    try:
        day = date.fromisoformat(text)
        if text == day.isoformat() and _FIRST_YEAR <= day.year <= _LAST_YEAR:
            return day
    except ValueError:
        pass
    raise typer.BadParameter(
        f"{text!r} is neither today, tomorrow nor a date such as 2026-11-23", param_hint="--day"
    )
