"""The real program with its standard error, or both streams, on a terminal of its own."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class TerminalResult:
    """What a finished command left behind.

    Attributes:
        exit_code: its status.
        screen: every character the terminal was sent, control sequences included.
        stdout: standard output where it was a pipe.
    """

    exit_code: int
    screen: str
    stdout: str


def run_on_terminal(
    *arguments: str,
    env: Mapping[str, str],
    cwd: Path,
    stdout_too: bool = False,
    columns: int = 80,
    timeout_s: float = 60,
) -> TerminalResult:
    """Run the program of this source tree to its end, watched by a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-m", "smartia_jobs", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(_ROOT),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            **env,
        },
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=theirs if stdout_too else subprocess.PIPE,
        stderr=theirs,
        encoding="utf-8",
    ) as process:
        os.close(theirs)
        watchdog = threading.Timer(timeout_s, process.kill)
        watchdog.start()
        try:
            screen = _read_to_end(ours)
            stdout = process.stdout.read() if process.stdout else ""
            return TerminalResult(process.wait(), screen, stdout)
        finally:
            watchdog.cancel()
            os.close(ours)


def _read_to_end(terminal: int) -> str:
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux's way to say that nobody writes any more
            part = b""
        if not part:
            return b"".join(parts).decode("utf-8", "replace")
        parts.append(part)
