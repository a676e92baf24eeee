"""Running programs one after the other, and what each of them cost."""

import os
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

#: How often the memory of a process is looked at.
_LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took.

    Attributes:
        wall_s: from its start to its end.
        cpu_s: user and system time.
        peak_mib: the most memory it had at once.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float


class FailedError(Exception):
    """A program that is measured ended with an error: its figures would mean nothing."""


def run(
    command: Sequence[str | Path], *, folder: Path, env: Mapping[str, str] = {}, log: str = "log"
) -> Cost:
    """Run a program to its end; its log goes to a file, as a scheduler would have it.

    Raises:
        FailedError: it did not end with 0.
    """
    lines = folder / log
    with lines.open("wb") as stderr:
        began_s = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env={**environment(), **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        peak = 0.0
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            peak = max(peak, peak_mib(process.pid))
            time.sleep(_LOOK_S)
        _, status, usage = ended
        wall_s = time.perf_counter() - began_s
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        end = lines.read_text(errors="replace")[-2000:]
        raise FailedError(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{end}")
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, peak)


def peak_mib(pid: int) -> float:
    """Return the most memory that a running process has had at once; 0 where nothing tells it.

    What the system counts to a process's end begins with the memory of whoever started it.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)  # not of one that has just ended
    return int(found[1]) / 1024 if found else 0.0


def together(programs: Sequence[Callable[[], Cost]]) -> Cost:
    """Run programs at one time; return when the last ended, all their CPU, and the highest peak."""
    with ThreadPoolExecutor(len(programs)) as threads:
        costs = list(threads.map(lambda program: program(), programs))
    return Cost(
        wall_s=max(cost.wall_s for cost in costs),
        cpu_s=sum(cost.cpu_s for cost in costs),
        peak_mib=max(cost.peak_mib for cost in costs),
    )


def environment() -> dict[str, str]:
    """Return the machine's environment without what steers Python or this program."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def interleaved(rounds: int, **measures: Callable[[], T]) -> dict[str, list[T]]:
    """Take several measures in turns, so that a slow minute of the machine slows them all."""
    taken: dict[str, list[T]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            taken[name].append(measure())
    return taken


def ratio(these: Sequence[float], those: Sequence[float]) -> float:
    """Return the median of these, as a multiple of the median of those."""
    return statistics.median(these) / statistics.median(those)


def ratio_in_turns(these: Sequence[float], those: Sequence[float]) -> float:
    """Return the median of the ratios of each turn, where what slowed one slowed the other."""
    return statistics.median(this / that for this, that in zip(these, those, strict=True))


def milliseconds(seconds: Sequence[float]) -> str:
    """Return the median in milliseconds."""
    return f"{statistics.median(seconds) * 1000:.0f} ms"
