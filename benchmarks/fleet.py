"""What an idle clinic costs in a fleet, and how long a fleet's morning takes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clinics import sqlite_clinic
from benchmarks.measure import run
from benchmarks.results import Result
from benchmarks.sending import POSTGRESQL, SQLITE, Post
from benchmarks.start import PROGRAM, settings
from tests.support.postgres import create_database

_SENDERS = Path(__file__).with_name("senders")


def idle(folder: Path, postgresql: str, *, quick: bool) -> Iterator[Result]:
    """Compare clinics that have nothing to do in one fleet with a process for each."""
    count = 20 if quick else 200
    for engine in (SQLITE, POSTGRESQL):
        clinics = folder / f"idle-{engine}"
        clinics.mkdir()
        empty = sqlite_clinic(folder / f"idle-{engine}.db")
        for number in range(count):
            if engine == SQLITE:
                path = shutil.copy(folder / f"idle-{engine}.db", clinics.with_suffix(f".{number}"))
                url = f"sqlite:///{path}"
            else:
                create_database(postgresql, f"idle{number}")
                url = postgresql.format(database=f"idle{number}")
            _write(clinics / f"c{number}.env", {**settings(empty), "DATABASE_URL": url}, number)
        fleet = [*PROGRAM, "fleet", "24h", "--clinics", clinics, "--json"]
        run([*PROGRAM, "fleet", "db", "upgrade", "--clinics", clinics], folder=folder)
        together = run(fleet, folder=folder)
        alone = sum(
            run([*PROGRAM, "24h", "--env-file", file, "--json"], folder=folder).cpu_s
            for file in sorted(clinics.iterdir())
        )
        yield Result(
            f"an idle clinic of {count} in a fleet, {engine}: CPU / that of a process of its own",
            together.cpu_s / alone,
            f"{together.cpu_s / count * 1000:.0f} ms / {alone / count * 1000:.0f} ms",
            at_most=0.125,
        )


def morning(post: Post, *, quick: bool) -> Iterator[Result]:
    """Let very many clinics remind forty patients each, 16 clinics at one time."""
    count, due = (8, 10) if quick else (500, 40)
    folder = post.folder / "morning"
    folder.mkdir()
    databases = [folder / f"c{number}.db" for number in range(count)]
    first = sqlite_clinic(databases[0], due=due)
    run([*PROGRAM, "db", "upgrade"], folder=post.folder, env=settings(first))
    for path in databases[1:]:
        shutil.copy(databases[0], path)
    clinics = folder / "clinics"
    clinics.mkdir()

    def command(url: str) -> list[str | Path]:
        for number, path in enumerate(databases):
            own = {**settings(first), "DATABASE_URL": f"sqlite:///{path}", "META_API_URL": url}
            _write(clinics / f"c{number}.env", own, number)
        program = [_SENDERS / "smartia.py", post.bundle, "capped"]
        return [*program, "fleet", "24h", "--clinics", clinics, "--parallel", "16", "--json"]

    sent = post.measure(command, 200, told=False)
    yield Result(
        f"a fleet's morning: {count} clinics with {due} messages each at 20/s, 200 ms,"
        " `--parallel 16`: messages a second",
        sent.rate,
        f"{len(sent.arrived):,} in {sent.cost.wall_s:.0f} s; {sent.cpu_ms:.1f} ms CPU a message",
    )


def _write(path: Path, values: dict[str, str], number: int) -> None:
    lines = {**values, "META_PHONE_NUMBER_ID": str(number + 1)}
    path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
