"""Standard output that is closed, full, or read by somebody who leaves: never "a bug"."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_a_closed_output_changes_nothing() -> None:
    result = run("$P templates preview >&-")

    assert (result.returncode, result.stderr) == (0, "")


def test_an_output_without_accents_shows_the_rest() -> None:
    result = run("$P demo", PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    assert result.returncode == 0
    assert "Ol?, Helena!" in result.stdout
