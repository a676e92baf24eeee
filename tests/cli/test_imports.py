"""What a start loads: nearly all of its time, and one careless import line brings it back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import Clinic

_ROOT = Path(__file__).resolve().parents[2]

_PROGRAM = """
import json, pathlib, sys
from smartia_jobs.cli import main
status = main()
pathlib.Path("modules.json").write_text(json.dumps(sorted(sys.modules)))
raise SystemExit(status)
"""

#: Rich loads attrs where another program has installed it; compiled modules leave a trace.
_NOT_OURS = {"attr", "cython_runtime"}

TYPER = {"annotated_doc", "shellingham", "typer"}
RICH = {"markdown_it", "mdurl", "pygments", "rich"}
DATABASE = {"sqlalchemy", "typing_extensions"}


class Start:
    """What one start of the program has loaded."""

    def __init__(self, modules: list[str]) -> None:
        self.modules = set(modules)

    @property
    def libraries(self) -> set[str]:
        """Packages from outside, by the name they are imported by."""
        names = {name.partition(".")[0] for name in self.modules}
        foreign = {name for name in names - sys.stdlib_module_names if not name.startswith("_")}
        return foreign - _NOT_OURS - {"smartia_jobs"}

    @property
    def own(self) -> set[str]:
        """The program's own modules, without the package's name."""
        return {
            name.removeprefix("smartia_jobs.")
            for name in self.modules
            if name.startswith("smartia_jobs.")
        }

    def below(self, package: str) -> set[str]:
        """The package and what belongs to it."""
        return {name for name in self.modules if name == package or name.startswith(f"{package}.")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the program is started; ``.env`` is looked for here."""
    return tmp_path


def start(folder: Path, *arguments: str, **env: str) -> Start:
    """Run the program to its end and return what it has loaded."""
    subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **env},
        check=True,
        capture_output=True,
    )
    return Start(json.loads((folder / "modules.json").read_text()))


def start_job(folder: Path, clinic: Clinic, job: str) -> Start:
    """Run a job for which nothing is due, a second time: the first one makes our tables."""
    start(folder, job, **settings(clinic))
    return start(folder, job, **settings(clinic))


def settings(clinic: Clinic) -> dict[str, str]:
    """Return the environment of a job on this clinic."""
    return {
        "DATABASE_URL": clinic.url,
        "STORED_TIMES": "wall",
        "META_ACCESS_TOKEN": "made-up",
        "META_PHONE_NUMBER_ID": "1",
    }


def test_the_version_is_told_without_loading_anything(folder: Path) -> None:
    started = start(folder, "--version")

    assert started.libraries == set()
    assert started.own == {"cli", "cli.signals", "cli.streams", "errors"}


@pytest.mark.parametrize("arguments", [("--help",), ("24h", "--help"), ("no-show", "--help")])
def test_help_loads_what_prints_it_and_no_job(folder: Path, arguments: tuple[str, ...]) -> None:
    started = start(folder, *arguments)

    assert started.libraries == TYPER | RICH
    # Neither settings nor a report: those are a job's.
    assert {name.partition(".")[0] for name in started.own} == {
        "cli", "clock", "errors", "kinds", "logs", "run", "timing",
    }  # fmt: skip
    assert not started.modules & {"asyncio", "hashlib", "sqlite3", "ssl", "tempfile"}


@pytest.mark.parametrize("job", ["24h", "2h", "no-show"])
def test_with_nothing_due_a_job_loads_the_database_alone(
    folder: Path, clinic: Clinic, job: str
) -> None:
    started = start_job(folder, clinic, job)

    driver = {"psycopg", "psycopg_binary"} if clinic.dialect == "postgresql" else set()
    assert started.libraries == TYPER | DATABASE | driver
    assert not started.below("sqlalchemy.orm")
    assert not started.own & {
        "catalogue.render",
        "database.errors",
        "outbox.claims",
        "outbox.dispatcher",
        "sandbox",
        "store.migrations",
        "whatsapp.client",
        "whatsapp.connections",
        "whatsapp.transport",
        "whatsapp.waiting",
    }


@pytest.mark.parametrize("job", ["24h", "no-show"])
def test_a_command_loads_no_other(folder: Path, sqlite_clinic: Clinic, job: str) -> None:
    started = start_job(folder, sqlite_clinic, job)

    module = {"24h": "cli.reminders", "no-show": "cli.no_show"}[job]
    assert {"cli.reminders", "cli.no_show", "cli.demo", "cli.outbox"} & started.own == {module}


@pytest.mark.parametrize("arguments", [("24h", "--dry-run"), ("metrics",), ("config", "show")])
def test_garbage_is_looked_for_as_soon_as_a_command_works(
    folder: Path, sqlite_clinic: Clinic, arguments: tuple[str, ...]
) -> None:
    program = "import gc; from smartia_jobs.cli import main; main(); print(gc.isenabled())"

    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **settings(sqlite_clinic)},
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout.endswith("True\n")


def test_sqlite_does_not_load_postgresqls_dialect(folder: Path, sqlite_clinic: Clinic) -> None:
    started = start_job(folder, sqlite_clinic, "24h")

    assert not started.below("sqlalchemy.dialects.postgresql")
