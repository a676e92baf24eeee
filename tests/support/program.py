"""The real program as a process of its own, in an environment that holds only what is given."""

import atexit
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Protocol

_ROOT = Path(__file__).resolve().parents[2]
_WARM = Path(__file__).with_name("warm.py")

#: What the interpreter and the libraries look at when they start or are loaded.
_READ_AT_START = ("PYTHON", "LANG", "LC_", "TZ", "PSYCOPG_", "TYPER_")


@dataclass(frozen=True, slots=True)
class CliResult:
    """What a finished command left behind."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON value it must be."""
        return json.loads(self.stdout)


class RunCli(Protocol):
    """The ``run_cli`` fixture: run the program to its end."""

    def __call__(
        self, *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 60
    ) -> CliResult:
        """Run ``smartia-jobs ARGUMENTS`` with only these variables (and PATH)."""
        ...


class StartCli(Protocol):
    """The ``start_cli`` fixture: start the program and go on; it is ended with the test."""

    def __call__(
        self, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start ``smartia-jobs ARGUMENTS`` with only these variables (and PATH)."""
        ...


def surroundings(env: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a process that is given these variables.

    Beside a sandbox the database is named as a copy: those of the tests are nobody's.
    """
    sandbox = "://127.0.0.1:" in env.get("META_API_URL", "")
    copy = {"DATABASE_IS_A_COPY": "1"} if sandbox else {}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **copy, **env}


def start(arguments: tuple[str, ...], env: Mapping[str, str], cwd: Path) -> subprocess.Popen[str]:
    """Start the program of this source tree, whatever is installed.

    On Linux it is forked from an interpreter that has loaded it, unless one of the variables is
    for the start of an interpreter.
    """
    if sys.platform == "linux" and not any(name.startswith(_READ_AT_START) for name in env):
        return _Forked(arguments, surroundings(env), cwd)
    return subprocess.Popen(
        [sys.executable, "-m", "smartia_jobs", *arguments],
        env=surroundings(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


class _Forked(subprocess.Popen[str]):
    """A process that another one has forked and waits for, and tells of its end."""

    stdin = None
    stdout: IO[str]
    stderr: IO[str]

    def __init__(
        self, arguments: Sequence[str], variables: Mapping[str, str], folder: Path
    ) -> None:
        """Start ``smartia-jobs ARGUMENTS`` with these variables, in this folder."""
        self.args = ["smartia-jobs", *arguments]
        self.returncode: Any = None
        self._ending = threading.Lock()
        self._readers: list[threading.Thread] = []
        self._read = {"stdout": "", "stderr": ""}
        self._told, telling = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stdout, stdout_end = os.pipe()
        stderr, stderr_end = os.pipe()
        self.stdout = os.fdopen(stdout, encoding="utf-8")
        self.stderr = os.fdopen(stderr, encoding="utf-8")
        with telling:
            request = json.dumps([arguments, variables, str(folder)]).encode()
            ends = [stdout_end, stderr_end, telling.fileno()]
            socket.send_fds(_warm_interpreter(), [request], ends)
        os.close(stdout_end)
        os.close(stderr_end)
        self.pid = int(self._told.recv(20))

    def poll(self) -> int | None:
        """Return the exit status, or None while the process runs."""
        return self._ended_within(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the exit status."""
        status = self._ended_within(timeout)
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return status

    def communicate(
        self, input: str | None = None, timeout: float | None = None
    ) -> tuple[str, str]:
        """Read both streams to their end; wait for that of the process."""
        assert input is None
        give_up_at = None if timeout is None else time.monotonic() + timeout
        if not self._readers:
            self._readers = [
                threading.Thread(target=self._read_to_end, args=[name], daemon=True)
                for name in self._read
            ]
            for reader in self._readers:
                reader.start()
        for reader in self._readers:
            reader.join(None if give_up_at is None else max(0, give_up_at - time.monotonic()))
            if reader.is_alive():
                assert timeout is not None
                raise subprocess.TimeoutExpired(self.args, timeout)
        self.wait(None if give_up_at is None else max(0, give_up_at - time.monotonic()))
        return self._read["stdout"], self._read["stderr"]

    def send_signal(self, sig: int) -> None:
        """Send a signal to the process, if it has not ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended, and that is about to be told
                os.kill(self.pid, sig)

    def __del__(self) -> None:
        """Nothing is to be reaped: another process is the parent."""

    def _read_to_end(self, name: str) -> None:
        with getattr(self, name) as stream:
            self._read[name] = stream.read()

    def _ended_within(self, timeout_s: float | None) -> int | None:
        with self._ending:
            if self.returncode is None and select.select([self._told], [], [], timeout_s)[0]:
                self.returncode = int(self._told.recv(20))
                self._told.close()
            status: int | None = self.returncode
            return status


@cache
def _warm_interpreter() -> socket.socket:
    """Start the interpreter of all runs of this process; return where to ask it for one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        interpreter = subprocess.Popen(
            [sys.executable, _WARM, str(theirs.fileno())],
            env=surroundings({}),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    @atexit.register
    def end() -> None:
        ours.close()
        interpreter.wait()

    return ours
