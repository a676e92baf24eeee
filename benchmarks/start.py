"""How long a start takes, and whether it stays as short when the clinic has a million visits."""

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.clinics import Clinic, busy_clinic, postgresql_clinic, sqlite_clinic
from benchmarks.measure import interleaved, milliseconds, ratio, ratio_in_turns, run
from benchmarks.results import Result

PROGRAM = [sys.executable, "-m", "smartia_jobs"]
_SENDERS = Path(__file__).with_name("senders")
_TYPER = "import typer"
_WITH_ORM = "import typer, sqlalchemy.orm, sqlalchemy.dialects.sqlite.pysqlite"


def settings(clinic: Clinic) -> dict[str, str]:
    """Return the environment of a run on this clinic."""
    return {
        "DATABASE_URL": clinic.url,
        "STORED_TIMES": "wall",
        "META_ACCESS_TOKEN": "made-up",
        "META_PHONE_NUMBER_ID": "1",
    }


def starts(folder: Path, *, rounds: int) -> Iterator[Result]:
    """Compare what everybody waits for with its floor: the import of the libraries it needs.

    By processor time: it is all that a start takes, and other work on the machine adds less to it.
    """
    nothing_due = sqlite_clinic(folder / "start.db", others=1000)
    commands = {
        "typer": [sys.executable, "-c", _TYPER],
        "version": [*PROGRAM, "--version"],
        "help": [*PROGRAM, "--help"],
        "orm": [sys.executable, "-c", _WITH_ORM],
        "job": [*PROGRAM, "24h"],
    }

    def cpu_s(name: str) -> float:
        return run(commands[name], folder=folder, env=settings(nothing_due)).cpu_s

    measures = {name: partial(cpu_s, name) for name in commands}
    interleaved(1, **measures)  # makes our tables and the bytecode
    taken = interleaved(rounds, **measures)
    for what, name, floor, at_most in (
        ("`--version` / `import typer`", "version", "typer", 0.5),
        ("`--help` / `import typer`", "help", "typer", 2.4),
        ("nothing due, SQLite / `import typer, sqlalchemy.orm`", "job", "orm", 0.9),
    ):
        yield Result(
            what,
            ratio_in_turns(taken[name], taken[floor]),
            f"{milliseconds(taken[name])} / {milliseconds(taken[floor])} of processor time",
            at_most=at_most,
        )


def scale(folder: Path, postgresql: str, *, many: int, rounds: int) -> Iterator[Result]:
    """Compare a run with nothing due on very many visits with one on a thousand."""
    clinics = {
        "SQLite": (
            sqlite_clinic(folder / "few.db", others=1000),
            sqlite_clinic(folder / "many.db", others=many),
        ),
        "PostgreSQL": (
            postgresql_clinic(postgresql.format(database="few"), others=1000),
            postgresql_clinic(postgresql.format(database="many"), others=many),
        ),
    }
    for engine, (few, much) in clinics.items():
        for command in (["24h"], ["no-show", "--no-message"]):
            yield _scale_of(folder, engine, few, much, many=many, rounds=rounds, command=command)
        yield _metrics(folder, engine, much, many=many)


def _scale_of(
    folder: Path,
    engine: str,
    few: Clinic,
    much: Clinic,
    *,
    many: int,
    rounds: int,
    command: list[str],
) -> Result:
    job = [*PROGRAM, *command]
    for clinic in (few, much):
        run(job, folder=folder, env=settings(clinic))
    taken = interleaved(
        rounds,
        few=lambda: run(job, folder=folder, env=settings(few)).wall_s,
        much=lambda: run(job, folder=folder, env=settings(much)).wall_s,
    )
    return Result(
        f"`{command[0]}` with nothing due, {engine}: {many:,} visits / 1,000",
        ratio(taken["much"], taken["few"]),
        f"{milliseconds(taken['much'])} / {milliseconds(taken['few'])}",
        at_most=1.15,
    )


def metrics(folder: Path, *, visits: int) -> Iterator[Result]:
    """Compare the metrics of very many visits with reading and parsing their rows."""
    for number, (each, reminded, answered) in enumerate(
        (
            ("no message on record", False, False),
            ("a reminder on record for each", True, False),
            ("and an answer to three of five", True, True),
        )
    ):
        clinic = busy_clinic(
            folder / f"busy{number}.db", visits=visits, reminded=reminded, answered=answered
        )
        taken = _metrics_of(folder, clinic, days=40)
        yield Result(
            f"`metrics`, SQLite, {visits:,} visits in the period, {each} / its rows read and"
            " parsed in bare Python",
            ratio(taken["metrics"], taken["read"]),
            f"{milliseconds(taken['metrics'])} / {milliseconds(taken['read'])}; at most"
            f" {taken['peak_mib']:.0f} MiB",
            at_most=4,
        )


def _metrics(folder: Path, engine: str, clinic: Clinic, *, many: int) -> Result:
    """Compare the metrics of a few days of very many with a script that counts their rows."""
    taken = _metrics_of(folder, clinic, days=8)
    return Result(
        f"`metrics --days 8`, {engine}, {many:,} visits / its rows read and counted by a script",
        ratio(taken["metrics"], taken["counted"]),
        f"{milliseconds(taken['metrics'])} / {milliseconds(taken['counted'])}",
        at_most=1.3 if engine == "SQLite" else None,
    )


def _metrics_of(folder: Path, clinic: Clinic, *, days: int) -> dict[str, Any]:
    out = folder / "metrics.json"
    sender = [sys.executable, _SENDERS / "metrics.py", clinic.url, str(days), out]
    run(sender, folder=folder)
    taken: dict[str, Any] = json.loads(out.read_text())
    return taken
