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
from typing import Any

from smartia_jobs.logs import log_event, tell

logger = logging.getLogger(__name__)

#: What is logged of a run that nobody waits for.
_FIGURES = frozenset(
    {"statuses", "answers", "confirmed", "cancelled", "listed", "opted_out", "written_back"}
)

#: The pause between two runs of a job that a stored post starts.
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


def _log_figures(command: str, clinic: str, output: str) -> None:
    """Say what came of a job that nobody waits for, where it did anything; its log has the rest."""
    try:
        report = json.loads(output)
    except ValueError:
        return  # it has said why in its log
    if clinic:
        report = report.get("clinics", {}).get(clinic, {})
    figures = {name: count for name, count in report.items() if name in _FIGURES and count}
    if figures:
        said = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in figures.items())
        _log(logging.INFO, f"{command}: {said}", clinic, **figures)
        tell(logger, f"{command}: {said}", **_whose(clinic))


def _log(level: int, what: str, clinic: str, **fields: Any) -> None:
    log_event(logger, level, what, event="http_job", **_whose(clinic), **fields)


def _whose(clinic: str) -> dict[str, str]:
    return {"clinic": clinic} if clinic else {}


class _Turns:
    """Which clinics asked for a run, the first one first; a clinic that has its turn waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._asked: dict[str, None] = {}
        self._taken: set[str] = set()

    def ask(self, clinic: str) -> None:
        """Note that a clinic wants a run; once, however often it is asked."""
        with self._changed:
            self._asked[clinic] = None
            self._changed.notify_all()

    def take(self) -> str:
        """Wait for the next clinic, which has its turn until it is given back."""
        with self._changed:
            self._changed.wait_for(lambda: self._asked.keys() - self._taken)
            clinic = next(one for one in self._asked if one not in self._taken)
            del self._asked[clinic]
            self._taken.add(clinic)
            return clinic

    def give_back(self, clinic: str) -> None:
        """End a clinic's turn."""
        with self._changed:
            self._taken.remove(clinic)
            self._changed.notify_all()


class Children:
    """The jobs that run here. Each is the program itself, as a scheduler would start it.

    A child has our environment and folder, and so our settings; no secret is in its arguments.
    Its log lines go where ours go.
    """

    def __init__(self, env_file: Path | None = None, *, clinics: Path | None = None) -> None:
        """Begin without a child.

        Args:
            env_file: the settings' file, if one was named to the service.
            clinics: the folder with a settings file for each clinic, where there are many.
        """
        self._shared = [] if env_file is None else [f"--env-file={env_file}"]
        self._clinics = clinics
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str], subprocess.Popen[str]] = {}
        self._ending = False

    def run(self, command: str, options: Sequence[str], *, clinic: str = "") -> Ended | NotStarted:
        """Run a job to its end, for one of many clinics or the only one.

        Whoever asked may leave meanwhile.
        """
        job = (command, clinic)
        with self._lock:
            if self._ending:
                return NotStarted.ENDING
            if job in self._running:
                return NotStarted.RUNNING
            child = self._start(command, options, clinic)
            self._running[job] = child
        try:
            output, _ = child.communicate()
        finally:
            with self._lock:
                del self._running[job]
        return Ended(child.returncode, output)

    def after(self, command: str, *, at_once: int = 1) -> Callable[[str], None]:
        """Return what starts a job for a clinic without waiting for it, one at a time for each.

        Calls while it runs start it once more when it has ended, however many they were.

        Args:
            command: the job's.
            at_once: for how many clinics at a time; the others wait for their turn.
        """
        turns = _Turns()

        def repeat() -> None:
            while True:
                clinic = turns.take()
                try:
                    match self.run(command, (), clinic=clinic):
                        case NotStarted.ENDING:
                            return
                        case Ended(output=output):
                            _log_figures(command, clinic, output)
                        case NotStarted.RUNNING:
                            turns.ask(clinic)  # somebody else's run, which may have looked already
                except OSError as error:  # no memory, no process: the scheduled run acts on it
                    _log(logging.ERROR, f"{command} cannot be started ({error.strerror})", clinic)
                # Whatever came meanwhile goes into one run, a stream of posts into some.
                time.sleep(_PAUSE_S)
                turns.give_back(clinic)

        for _ in range(at_once):
            threading.Thread(target=repeat, name=command, daemon=True).start()
        return turns.ask

    def end(self) -> None:
        """Start nothing more, and pass SIGTERM on: each job records what it knows and leaves."""
        with self._lock:
            self._ending = True
            for child in self._running.values():
                child.terminate()

    def wait(self, seconds: float) -> None:
        """Wait this long in all for the jobs that are ending to record what they know."""
        deadline_s = time.monotonic() + seconds
        with self._lock:
            running = list(self._running.values())
        for child in running:
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, deadline_s - time.monotonic()))

    def _start(self, command: str, options: Sequence[str], clinic: str) -> "subprocess.Popen[str]":
        words = [command, "--json", *self._shared, *options]
        if clinic:
            # Only a fleet lets the clinic's file outrank the environment, which is all clinics'.
            words = ["fleet", *words, f"--clinics={self._clinics}", f"--only={clinic}"]
        return subprocess.Popen(
            [sys.executable, "-m", "smartia_jobs", *words],
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
