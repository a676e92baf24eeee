"""Signals at any moment: while the program loads, at its end, ignored, or blocked by its parent."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import Clinic

_ROOT = Path(__file__).resolve().parents[2]

#: Gives itself the signal when a module is about to be loaded.
_PROGRAM = """
import os, signal, sys

class Knock:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.{signal})

sys.meta_path.insert(0, Knock())
from smartia_jobs.cli import main
raise SystemExit(main())
"""

#: What is loaded by a job in this order, from its first line to its first question.
_MODULES = (
    "smartia_jobs.cli.streams",
    "smartia_jobs.cli.app",
    "typer",
    "smartia_jobs.settings.environment",
    "sqlalchemy",
    "sqlite3",
)


def start(
    program: str, *arguments: str, before: Callable[[], object] | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, in a process whose parent has prepared it."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **env},
        preexec_fn=before,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def dry_run(
    clinic: Clinic, module: str, number: signal.Signals, before: Callable[[], object] | None = None
) -> subprocess.CompletedProcess[str]:
    """Make a dry run that is given the signal when it loads this module."""
    program = _PROGRAM.format(module=module, signal=number.name)
    return start(program, "24h", "--dry-run", "--json", before=before, DATABASE_URL=clinic.url)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 143)]
)
@pytest.mark.parametrize("module", _MODULES)
def test_a_signal_while_the_program_loads_has_its_status(
    sqlite_clinic: Clinic, module: str, number: signal.Signals, status: int
) -> None:
    result = dry_run(sqlite_clinic, module, number)

    assert result.returncode == status
    assert "Interrupted; nothing was being sent." in result.stderr
    assert "Traceback" not in result.stderr
    assert f'"exit_code": {status}' in result.stdout
    assert result.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 143)]
)
@pytest.mark.parametrize(
    "module",
    ["sqlalchemy", "sqlalchemy.dialects.sqlite", "smartia_jobs.jobs.reminders", "requests"],
)
def test_a_signal_while_a_fleet_loads_begins_no_clinic(
    tmp_path: Path, module: str, number: signal.Signals, status: int
) -> None:
    for name in ("centro", "norte"):
        (tmp_path / f"{name}.env").write_text(f"DATABASE_URL=sqlite:///{tmp_path}/nowhere.db\n")
    program = _PROGRAM.format(module=module, signal=number.name)

    result = start(program, "fleet", "24h", "--json", "--clinics", str(tmp_path))

    body = json.loads(result.stdout)
    assert (result.returncode, body["exit_code"]) == (status, status)
    assert (body["clinics"], body["left"]) == ({}, ["centro", "norte"])
    assert "nobody" not in result.stderr


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("module", ["typer", "sqlite3"])
def test_what_was_ignored_stays_ignored(
    sqlite_clinic: Clinic, module: str, number: signal.Signals
) -> None:
    result = dry_run(
        sqlite_clinic, module, number, before=lambda: signal.signal(number, signal.SIG_IGN)
    )

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "before",
    [
        lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]),
    ],
    ids=["ignored", "blocked"],
)
def test_sigterm_is_heard_whatever_the_parent_did(
    sqlite_clinic: Clinic, before: Callable[[], object]
) -> None:
    result = dry_run(sqlite_clinic, "sqlite3", signal.SIGTERM, before=before)

    assert result.returncode == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_after_the_work_does_not_change_its_status(number: signal.Signals) -> None:
    program = (
        "import atexit, os, signal\n"
        f"atexit.register(os.kill, os.getpid(), signal.{number.name})\n"
        "from smartia_jobs.cli import main\n"
        "raise SystemExit(main())\n"
    )

    result = start(program, "--version")

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("smartia-jobs ")


def test_a_signal_while_the_interpreter_ends_does_not_change_its_status() -> None:
    program = (
        "import os, signal\n"
        "class Last:\n"
        "    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGTERM):\n"
        "        kill(pid, number)\n"
        "last = Last()\n"
        "from smartia_jobs.cli import main\n"
        "raise SystemExit(main())\n"
    )

    result = start(program, "--version")

    assert (result.returncode, result.stderr) == (0, "")


def test_a_signal_whose_exception_got_lost_ends_what_begins_next() -> None:
    program = (
        "import os, signal\n"
        "from smartia_jobs.cli.signals import listen\n"
        "from smartia_jobs.errors import InterruptedRunError\n"
        "from smartia_jobs.run import Stop\n"
        "class Careless:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGTERM)\n"
        "listen(Stop())\n"
        "careless = Careless()\n"
        "del careless\n"
        "try:\n"
        "    listen(Stop())\n"
        "except InterruptedRunError as error:\n"
        "    raise SystemExit(int(error.exit_status))\n"
    )

    assert start(program).returncode == 143
