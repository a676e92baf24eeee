"""A process for each clinic: whatever one does, the others are done, and its end is told."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are killed when the test has ended."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        with process:
            process.kill()


def start(
    started: list[subprocess.Popen[str]],
    *names: str,
    parallel: int = 4,
    limit_s: float = 60,
    room: int = 256,
) -> subprocess.Popen[str]:
    """Start the program, on a machine that has room for so many processes of clinics.

    So few files may be open that one which stays open is noticed.
    """
    program = [sys.executable, "-m", "tests.fleet.program", str(parallel), str(limit_s), *names]
    process = subprocess.Popen(
        ["sh", "-c", 'ulimit -n 20; exec "$@"', "sh", *program],
        env={**os.environ, "ROOM": str(room)},
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    started.append(process)
    return process


def ends(process: subprocess.Popen[str]) -> dict[str, dict[str, Any]]:
    """Wait for the fleet's end and return each clinic's by its name."""
    output, _ = process.communicate(timeout=60)
    told: Sequence[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
    return {one["name"]: one for one in told}


def test_whatever_one_clinic_does_the_others_are_done(started: list[subprocess.Popen[str]]) -> None:
    names = ["bug", "good-1", "killed", "status-78", "good-2", "loud", "good-3"]

    told = ends(start(started, *names, parallel=2))

    codes = {name: told[name]["exit_code"] for name in names}
    assert codes == {
        "bug": 1,
        "killed": -signal.SIGKILL,
        "status-78": 78,
        "loud": 0,
        **{f"good-{number}": 0 for number in (1, 2, 3)},
    }
    assert len(told["loud"]["output"]) == 3_000_000


def test_each_clinic_has_a_process_of_its_own_with_one_thread(
    started: list[subprocess.Popen[str]],
) -> None:
    told = ends(start(started, "good-1", "good-2", "good-3"))

    bodies = [json.loads(told[f"good-{number}"]["output"]) for number in (1, 2, 3)]
    assert [body["threads"] for body in bodies] == [1, 1, 1]
    assert len({body["pid"] for body in bodies}) == 3


def test_no_more_run_at_one_time_than_are_allowed(started: list[subprocess.Popen[str]]) -> None:
    names = [f"crowd-{number}" for number in range(12)]

    told = ends(start(started, *names, parallel=3))

    assert max(int(told[name]["output"]) for name in names) <= 3


def test_a_machine_without_room_for_so_many_runs_fewer_at_one_time(
    started: list[subprocess.Popen[str]],
) -> None:
    names = [f"crowd-{number}" for number in range(6)]

    told = ends(start(started, *names, room=1))

    assert [(told[name]["exit_code"], told[name]["output"]) for name in names] == [(0, "1")] * 6


def test_a_machine_without_room_for_one_is_told_of_each_clinic(
    started: list[subprocess.Popen[str]],
) -> None:
    told = ends(start(started, "good-1", "good-2", room=0))

    assert [told[name]["exit_code"] for name in ("good-1", "good-2")] == [69, 69]
    assert "Resource temporarily unavailable" in told["good-2"]["output"]


def test_a_clinic_that_takes_too_long_is_told_to_end_and_the_others_are_done(
    started: list[subprocess.Popen[str]],
) -> None:
    told = ends(start(started, "polite", "good", parallel=1, limit_s=0.5))

    assert (told["polite"]["exit_code"], told["polite"]["over_limit"]) == (143, True)
    assert (told["good"]["exit_code"], told["good"]["over_limit"]) == (0, False)


def test_one_that_does_not_end_when_told_to_is_killed(started: list[subprocess.Popen[str]]) -> None:
    told = ends(start(started, "hanging", "good", parallel=1, limit_s=0.5))

    assert (told["hanging"]["exit_code"], told["hanging"]["over_limit"]) == (-signal.SIGKILL, True)
    assert told["good"]["exit_code"] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_all_in_order_and_begins_no_other(
    started: list[subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = start(started, "polite-1", "polite-2", "good", parallel=2)
    assert process.stderr is not None
    assert [process.stderr.readline() for _ in range(2)] == ["waits\n", "waits\n"]

    if number == signal.SIGTERM:
        process.send_signal(number)
    else:  # a terminal tells every process
        os.killpg(process.pid, number)
    told = ends(process)

    assert {name: told[name]["exit_code"] for name in told if name} == {
        "polite-1": 143,
        "polite-2": 143,
    }
    assert told[""]["stopped"] == (130 if number == signal.SIGINT else 143)


def test_a_second_ctrl_c_waits_for_nobody_and_leaves_nobody_behind(
    started: list[subprocess.Popen[str]],
) -> None:
    process = start(started, "hanging")
    assert process.stderr is not None
    assert process.stderr.readline() == "hangs\n"
    (hanging,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()

    process.send_signal(signal.SIGINT)
    for _ in range(6000):
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)

    for _ in range(600):
        if not _is_running(hanging):
            break
        time.sleep(0.01)
    assert not _is_running(hanging)


def _is_running(pid: str) -> bool:
    """Whether it is neither gone nor dead and yet to be collected by whoever adopts it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
