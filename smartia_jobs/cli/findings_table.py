"""Findings for a person: a table on a terminal, plain lines in a pipe."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from smartia_jobs.cli.titled import print_titled
from smartia_jobs.jobs.checks.finding import Finding, Level

if TYPE_CHECKING:
    from rich.console import RenderableType

_COLOURS = {
    Level.OK: "green",
    Level.WARNING: "yellow",
    Level.PROBLEM: "bold red",
    Level.UNREACHABLE: "bold magenta",
}


def print_findings(
    title: str, findings: Sequence[Finding], closing: str, *, brief: bool = False
) -> None:
    """Print findings on standard output, with a line above and one below.

    Args:
        title: the line above.
        findings: in their order.
        closing: the line below.
        brief: what asks for nothing comes first, a line each without details.
    """
    if brief:
        quiet = [replace(one, details=()) for one in findings if not _asks(one)]
        findings = [*quiet, *(one for one in findings if _asks(one))]
    if sys.stdout.isatty():
        _print_table(title, findings, closing)
    else:
        sys.stdout.writelines(f"{line}\n" for line in (title, *_plain(findings), closing))


def _asks(finding: Finding) -> bool:
    """Whether a person has something to do, or to look at."""
    return finding.level is not Level.OK or bool(finding.next_step)


def named(findings: Sequence[Finding]) -> str:
    """Return how many findings there are of each level, and which are not ok."""
    parts = []
    for level in Level:
        titles = [finding.title for finding in findings if finding.level is level]
        if titles:
            which = f" ({', '.join(titles)})" if level is not Level.OK else ""
            parts.append(counted(one for one in findings if one.level is level) + which)
    return ", ".join(parts)


def counted(findings: Iterable[Finding]) -> str:
    """Return how many findings there are of each level, in words."""
    levels = [finding.level for finding in findings]
    counts = {level: levels.count(level) for level in Level}
    plural = {Level.WARNING: "warnings", Level.PROBLEM: "problems"}
    return ", ".join(
        f"{count} {plural.get(level, level) if count > 1 else level}"
        for level, count in counts.items()
        if count
    )


def _plain(findings: Iterable[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"{finding.level:<11} {finding.title}: {finding.text}"
        yield from (f"{'':<11}   {detail}" for detail in finding.details)
        if finding.next_step:
            yield f"{'':<11}   → {finding.next_step}"


def _print_table(title: str, findings: Iterable[Finding], closing: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=box.ROUNDED, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for finding in findings:
        if _asks(finding):
            table.add_section()
        table.add_row(
            Text(finding.level, style=_COLOURS[finding.level]),
            Text(finding.title),
            _cell(finding),
        )
    print_titled(console, title, table)
    console.print(Text(closing))


def _cell(finding: Finding) -> "RenderableType":
    from rich.text import Text

    cell = Text(finding.text)
    for detail in finding.details:
        cell.append(f"\n{detail}", style="dim")
    if finding.next_step:
        cell.append(f"\n→ {finding.next_step}", style=_COLOURS[finding.level])
    return cell
