"""The real program with its standard error, or both streams, on a terminal of its own."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.program import surroundings


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
        env={"TERM": "xterm-256color", "LANG": "C.UTF-8", **surroundings(env)},
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


class TerminalWindow:
    """The program as a person starts it, in a window of its own that can be closed."""

    def __init__(self, *arguments: str, env: Mapping[str, str]) -> None:
        """Start the program of this source tree."""
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            # The first process of a session gets the terminal it opens.
            [sys.executable, "-c", _OPEN_TERMINAL, os.ttyname(theirs), *arguments],
            env={"TERM": "xterm", **surroundings(env)},
            start_new_session=True,
            text=True,
        )
        os.read(self._ours, 1)
        os.close(theirs)

    def read_until(self, expression: str, *, timeout_s: float = 60) -> str:
        """Read the screen until the expression is on what is new; return its group."""
        screen = ""
        while (found := re.search(expression, screen)) is None:
            ready, _, _ = select.select([self._ours], [], [], timeout_s)
            assert ready, screen
            screen += os.read(self._ours, 65536).decode("utf-8", "replace")
        return found[1]

    def close(self) -> None:
        """Close the window; whatever runs in it gets SIGHUP, and can write nowhere."""
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1

    def __enter__(self) -> Self:
        """Return the window."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing of it."""
        self.close()
        with self.process:
            self.process.kill()


_OPEN_TERMINAL = """
import os, sys
terminal = os.open(sys.argv[1], os.O_RDWR)
for number in range(3):
    os.dup2(terminal, number)
os.close(terminal)
os.write(1, b".")
os.execv(sys.executable, [sys.executable, "-m", "smartia_jobs", *sys.argv[2:]])
"""


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
