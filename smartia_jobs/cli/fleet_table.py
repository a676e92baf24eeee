"""What came of all clinics, for a person: the worst first, those with nothing to do in one line."""

import sys
from collections.abc import Iterator, Mapping, Sequence

from smartia_jobs.cli.titled import print_titled
from smartia_jobs.errors import ExitStatus
from smartia_jobs.fleet.report import ClinicEnd, FleetReport
from smartia_jobs.settings.clinics import named

#: Said in words instead: it only repeats the others.
_SUMS = frozenset({"due", "messages"})


def print_fleet(report: FleetReport) -> None:
    """Print a fleet's report on standard output: a table on a terminal, else plain lines."""
    if sys.stdout.isatty():
        _print_table(report)
    else:
        sys.stdout.writelines(f"{line}\n" for line in _plain(report))


def _title(report: FleetReport) -> str:
    dry = " (dry run)" if report.dry_run else ""
    part = f" · part {report.shard}" if report.shard.count > 1 else ""
    return f"fleet {report.job}{dry} · {_clinics(len(report.ends))}{part}"


def _shown(report: FleetReport) -> list[ClinicEnd]:
    return [
        end
        for end in report.worst_first
        if end.exit_status is not ExitStatus.OK or end.counts or _said(report, end)
    ]


def _row(report: FleetReport, end: ClinicEnd) -> tuple[str, str, str]:
    parts = (end.advice, _figures(end.counts))
    words = (". ".join(part for part in parts if part), *_said(report, end))
    return end.name, str(int(end.exit_status)), "\n".join(line for line in words if line)


def _said(report: FleetReport, end: ClinicEnd) -> Sequence[str]:
    """Return what a job says in words for a person; any other's lines are a file's."""
    said: Sequence[str] = end.figures.get("said", ())
    return said if report.job == "db upgrade" else ()


def _figures(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {count}" for name, count in counts.items() if name not in _SUMS
    )


def _notes(report: FleetReport) -> Iterator[str]:
    quiet = len(report.ends) - len(_shown(report))
    if quiet:
        yield f"Nothing to do at {_clinics(quiet)}."
    if report.not_now:
        yield f"Not their hour: {named(report.not_now)}."
    if report.left:
        yield f"Told to end before it was their turn: {named(report.left)}."
    yield from report.warnings
    if totals := _figures(report.totals):
        yield f"In all: {totals}."
    failed = sum(end.exit_status is not ExitStatus.OK for end in report.ends)
    wrong = f"{_clinics(failed)} with something wrong; " if failed else ""
    yield (
        f"Exit {int(report.exit_status)} after {report.duration_s:.1f} s; {wrong}".rstrip("; ")
        + "."
    )


def _clinics(count: int) -> str:
    return f"{count} {'clinic' if count == 1 else 'clinics'}"


def _plain(report: FleetReport) -> Iterator[str]:
    yield _title(report)
    for end in _shown(report):
        name, status, words = _row(report, end)
        first, *more = words.split("\n")
        yield f"{name:<20} {status:>3}  {first}".rstrip()
        yield from (f"{'':<24}  {line}" for line in more)
    yield from _notes(report)


def _print_table(report: FleetReport) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    # What is said of a clinic may quote its settings: brackets there are no colours.
    console = Console(highlight=False, markup=False, emoji=False)
    table = Table(box=box.ROUNDED)
    table.add_column("clinic", overflow="fold", max_width=24)
    table.add_column("exit", justify="right", no_wrap=True)
    table.add_column("what came of it", overflow="fold")
    for end in _shown(report):
        table.add_row(
            *_row(report, end), style="red" if end.exit_status is not ExitStatus.OK else None
        )
    if table.row_count:
        print_titled(console, _title(report), table)
    else:
        console.print(_title(report))
    for note in _notes(report):
        console.print(note)
