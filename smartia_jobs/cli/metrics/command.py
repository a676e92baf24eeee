"""Parsing ``smartia-jobs metrics``, and putting its result where it was asked for."""

import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartia_jobs.cli.context import (
    errors_as_status,
    gather_settings,
    json_text,
    monitored,
    put,
)
from smartia_jobs.cli.days import read_day
from smartia_jobs.cli.options import EnvFile, Format, JsonFormat, chosen_format
from smartia_jobs.cli.output import refuse_database, refuse_settings

if TYPE_CHECKING:
    from smartia_jobs.jobs.metrics import Metrics
    from smartia_jobs.settings import Settings


#: The longest period that can be asked for: ten years.
MOST_DAYS = 3660

#: Earlier days are a slip of the keyboard, and calendars end somewhere.
_EARLIEST = date(1970, 1, 1)
_LATEST = date(9000, 1, 1)


def metrics(
    *,
    days: Annotated[
        int,
        typer.Option("--days", min=1, max=MOST_DAYS, metavar="N", help="Count the last N days."),
    ] = 30,
    until: Annotated[
        date | None,
        typer.Option(
            "--until",
            parser=read_day,
            metavar="DATE",
            help="End with this local day instead of now (YYYY-MM-DD).",
            show_default=False,
        ),
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="Show a table (the default), JSON, one CSV row per day, or a web page.",
            show_default=False,
        ),
    ] = None,
    json: JsonFormat = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Write to this file, which only you can read, instead of standard output.",
            show_default=False,
        ),
    ] = None,
    env_file: EnvFile = None,
) -> None:
    """Show what became of visits and messages, and whether reminders help.

    Nothing is changed in the database.

    Example: smartia-jobs metrics --days 90 --format html --output numeros.html
    """
    last_day = _last_day(until)
    chosen = chosen_format(format, json=json)
    with errors_as_status("metrics", as_json=chosen is Format.JSON):
        given = gather_settings(env_file)
        with monitored("metrics", given) as settings:
            if output is not None:
                refuse_database(output, settings.database_url)
                refuse_settings(output, given, settings)
            by_day = chosen is Format.CSV
            found = _measure(settings, days=days, until=last_day, by_day=by_day)
            text = render(found, chosen, to_terminal=output is None)
            put(text, output, body=found.as_json)


def render(metrics: "Metrics", chosen: Format, *, to_terminal: bool = False) -> str:
    """Return the metrics in the chosen form.

    Args:
        metrics: what to show.
        chosen: how.
        to_terminal: the text goes to standard output, whose width and colours then count.
    """
    match chosen:
        case Format.JSON:
            return json_text(metrics.as_json(), to_stdout=to_terminal)
        case Format.CSV:
            from smartia_jobs.cli.metrics.csv import to_csv

            return to_csv(metrics)
        case Format.HTML:
            from smartia_jobs.cli.metrics.html import to_html

            return to_html(metrics)
        case Format.TABLE:
            from smartia_jobs.cli.metrics.table import to_text

            return to_text(metrics, terminal=to_terminal and sys.stdout.isatty())


def _measure(settings: "Settings", *, days: int, until: date | None, by_day: bool) -> "Metrics":
    from smartia_jobs.clock import SystemClock
    from smartia_jobs.jobs.metrics import build_metrics
    from smartia_jobs.launch import run_that_reads

    with run_that_reads("metrics", settings, SystemClock()) as run:
        return build_metrics(run, days=days, until=until, messages_by_day=by_day)


def _last_day(until: date | None) -> date | None:
    if until is not None and until < _EARLIEST:
        raise typer.BadParameter(f"must not lie before {_EARLIEST}", param_hint="--until")
    # Later than now is cut to now; the calendar's last day would have no day after it.
    return min(until, _LATEST) if until is not None else None
