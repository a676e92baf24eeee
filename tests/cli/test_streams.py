"""Standard output that is closed, full, or read by somebody who leaves: never "a bug"."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import Clinic

_ROOT = Path(__file__).resolve().parents[2]


def run(command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a shell line in which ``$P`` is the program; its status is the program's own."""
    program = f'"{sys.executable}" -m smartia_jobs'
    return subprocess.run(
        ["bash", "-c", f"{command.replace('$P', program)}; exit ${{PIPESTATUS[0]}}"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", ["demo", "--help"])
def test_a_reader_who_leaves_is_no_error(command: str) -> None:
    result = run(f"$P {command} | head -1")

    assert result.returncode == 0
    assert result.stderr == ""


@pytest.mark.parametrize("command", ["--version", "check --offline", "templates preview"])
def test_a_full_disk_is_said_in_one_line(command: str) -> None:
    result = run(f"$P {command} >/dev/full")

    assert result.returncode == 78
    assert result.stderr.count("\n") == 1
    assert "standard output cannot be written" in result.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("reader", [">/dev/full", "| true"])
def test_the_status_of_a_failed_run_outlives_its_output(reader: str, unbuffered: str) -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"

    result = run(f"$P 24h --dry-run --json {reader}", DATABASE_URL=url, PYTHONUNBUFFERED=unbuffered)

    assert result.returncode == 69
    assert '"event":"run_failed"' in result.stderr
    assert "bug" not in result.stderr


@pytest.mark.parametrize(
    ("command", "status"),
    [("24h --no-such-option", 2), ("24h --dry-run", 78), ("--version", 0), ("demo", 0)],
)
@pytest.mark.parametrize("errors", ["2>/dev/full", "2>&-"])
def test_what_standard_error_does_not_take_changes_no_status(
    command: str, status: int, errors: str
) -> None:
    assert run(f"$P {command} {errors}", LOG_FORMAT="text").returncode == status


@pytest.mark.parametrize("reader", [">/dev/full", "| true", ">&-"])
def test_work_is_done_although_nobody_reads_of_it(reader: str, sqlite_clinic: Clinic) -> None:
    run(f"$P db upgrade {reader}", DATABASE_URL=sqlite_clinic.url, PYTHONUNBUFFERED="1")

    current = run("$P db current", DATABASE_URL=sqlite_clinic.url)
    assert "up to date" in current.stdout
    assert current.stdout.count(": present") == 2


def test_a_pipe_that_does_not_block_gets_everything() -> None:
    program = (
        "import os, sys, threading, time\n"
        "from smartia_jobs.cli.streams import output_error, prepare_streams\n"
        "os.set_blocking(1, False)\n"
        "prepare_streams()\n"
        "sys.stdout.write('x' * 1_000_000)\n"
        "assert output_error() is None\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        time.sleep(0.5)
        said = process.stdout.read()

    assert (process.returncode, len(said)) == (0, 1_000_000)


def test_a_file_that_may_not_grow_is_said_like_a_full_disk(tmp_path: Path) -> None:
    result = run(f"ulimit -f 0; $P templates preview >{tmp_path / 'out'}")

    assert result.returncode == 78
    assert result.stderr == "smartia-jobs: standard output cannot be written (File too large).\n"


def test_no_file_is_opened_under_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from smartia_jobs.cli.streams import prepare_streams\n"
        "prepare_streams()\n"
        f"opened = open({str(tmp_path / 'number')!r}, 'w')\n"
        "opened.write(str(opened.fileno()))\n"
    )

    subprocess.run(
        ["bash", "-c", '"$0" "$@" <&- >&- 2>&-', sys.executable, "-c", program], check=True
    )

    assert int((tmp_path / "number").read_text()) > 2


def test_a_closed_output_changes_nothing() -> None:
    result = run("$P templates preview >&-")

    assert (result.returncode, result.stderr) == (0, "")


def test_an_output_without_accents_shows_the_rest() -> None:
    result = run("$P demo", PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    assert result.returncode == 0
    assert "Ol?, Helena!" in result.stdout
