"""What was measured, beside what it should be: on the screen and in ``docs/benchmarks.md``."""

import platform
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_BEGIN, _END = "<!-- begin: written by make bench -->\n", "<!-- end -->\n"


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table.

    Attributes:
        what: what was compared with what.
        value: the ratio or share that has a target, or is only reported.
        detail: the figures it was made from.
        at_most: the target, where less is better.
        at_least: the target, where more is better.
    """

    what: str
    value: float
    detail: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None when there is none."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return None if self.at_least is None else self.value >= self.at_least

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return what, value, target, verdict and detail as they are shown."""
        target = "–"
        if self.at_most is not None:
            target = f"≤ {self.at_most:g}"
        elif self.at_least is not None:
            target = f"≥ {self.at_least:g}"
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        return self.what, f"{self.value:.3g}", target, verdict, self.detail


_HEADINGS = ("what", "measured", "target", "", "from")


def show(results: Sequence[Result]) -> None:
    """Print the table."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.ROUNDED, show_lines=True, title=_circumstances(), title_justify="left")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right" if heading in ("measured", "target") else "left")
    styles = {True: "green", False: "bold red", None: None}
    for result in results:
        table.add_row(*result.cells(), style=styles[result.met])
    Console(width=140).print(table)


def write(results: Sequence[Result], page: Path) -> None:
    """Put the table into the page, between its two marks; what people wrote stays."""
    lines = [f"{_circumstances()}.", "", *_rows(results)]
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    generated = "\n".join(lines) + "\n"
    page.write_text(f"{before}{_BEGIN}{generated}{_END}{after}", encoding="utf-8")


def _rows(results: Sequence[Result]) -> list[str]:
    rows = [_HEADINGS, ("---", "---:", "---:", "---", "---"), *(r.cells() for r in results)]
    return [f"| {' | '.join(cells)} |" for cells in rows]


def _circumstances() -> str:
    import os

    import sqlalchemy

    day = datetime.now(UTC).date()
    return (
        f"Measured on {day} with Python {platform.python_version()}, SQLAlchemy"
        f" {sqlalchemy.__version__}, SQLite {sqlite3.sqlite_version}, on {os.cpu_count()} cores"
        f" of a {platform.machine()} {platform.system()} (load at the end {os.getloadavg()[0]:.1f})"
    )
