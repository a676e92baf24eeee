"""Jobs as child processes: at most one of each, told to end when the service ends."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from smartia_jobs.logs import log_event

logger = logging.getLogger(__name__)

#: What is told of a run that nobody waits for.
_FIGURES = frozenset(
    {"statuses", "answers", "confirmed", "cancelled", "listed", "opted_out", "written_back"}
)

#: The rest between two runs of a job that is started by what was heard.
_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Ended:
    """What a job left behind.

    Attributes:
        exit_code: its exit status; negative: the signal that killed it.
        output: what it printed.
    """

    exit_code: int
    output: str


class NotStarted(StrEnum):
    """Why a job was not started, in a sentence."""

    RUNNING = "this job is already running here; ask again when it has ended"
    ENDING = "the service is ending; ask again in a minute"


def _log_figures(command: str, output: str) -> None:
    """Say what came of a job that nobody waits for, where it did anything; its log has the rest."""
    try:
        report = json.loads(output)
    except ValueError:
        return  # it has said why in its log
    figures = {name: count for name, count in report.items() if name in _FIGURES and count}
    if figures:
        said = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in figures.items())
        log_event(logger, logging.INFO, f"{command}: {said}", event="http_job", **figures)


class Children:
    """The jobs that run here. Each is the program itself, as a scheduler would start it.

    A child has our environment and folder, and so our settings; no secret is in its arguments.
    Its log lines go where ours go.
    """

    def __init__(self, env_file: Path | None) -> None:
        """Begin without a child.

        Args:
            env_file: the settings' file, if one was named to the service.
        """
        self._shared = [] if env_file is None else [f"--env-file={env_file}"]
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._ending = False

    def run(self, command: str, options: Sequence[str]) -> Ended | NotStarted:
        """Run a job to its end; whoever asked may leave meanwhile."""
        with self._lock:
            if self._ending:
                return NotStarted.ENDING
            if command in self._running:
                return NotStarted.RUNNING
            child = self._start(command, options)
            self._running[command] = child
        try:
            output, _ = child.communicate()
        finally:
            with self._lock:
                del self._running[command]
        return Ended(child.returncode, output)

    def after(self, command: str) -> Callable[[], None]:
        """Return what starts a job without waiting for it, at most one at a time.

        Calls while it runs start it once more when it has ended, however many they were.
        """
        wanted = threading.Event()

        def repeat() -> None:
            while wanted.wait():
                wanted.clear()
                match self.run(command, ()):
                    case NotStarted.ENDING:
                        return
                    case Ended(output=output):
                        _log_figures(command, output)
                    case NotStarted.RUNNING:
                        wanted.set()  # somebody else's run, which may have looked already
                # Whatever came meanwhile goes into one run, a stream of posts into some.
                time.sleep(_PAUSE_S)

        threading.Thread(target=repeat, name=command, daemon=True).start()
        return wanted.set

    def end(self) -> None:
        """Start nothing more, and pass SIGTERM on: each job records what it knows and leaves."""
        with self._lock:
            self._ending = True
            for child in self._running.values():
                child.terminate()

    def wait(self, seconds: float) -> None:
        """Give the jobs that are told to end so long, all together, to record what they know."""
        deadline_s = time.monotonic() + seconds
        with self._lock:
            running = list(self._running.values())
        for child in running:
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, deadline_s - time.monotonic()))

    def _start(self, command: str, options: Sequence[str]) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "smartia_jobs", command, "--json", *self._shared, *options],
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
