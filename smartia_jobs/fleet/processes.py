"""A process for each clinic, some at a time, so that none can hold up or break another."""

import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import connection, get_context
from multiprocessing.context import ForkProcess
from tempfile import TemporaryFile
from typing import IO, NoReturn

from smartia_jobs.clock import Clock
from smartia_jobs.errors import ExitStatus
from smartia_jobs.run import Stop
from smartia_jobs.settings.clinics import Clinic

#: How often the wish to end and the time limits are looked at.
_LOOK_S = 0.1
#: A clinic that was told to end leaves within 8.5 s. What still hangs then is killed, and there is
#: time to say so before this process has to leave, 9 s after its own signal.
_KILLED_AFTER_S = 8.7


@dataclass(frozen=True, slots=True)
class Ended:
    """What the process of one clinic left behind.

    Attributes:
        name: the clinic's.
        exit_code: its exit status; negative: the signal that killed it.
        output: what it wrote to standard output.
        duration_s: how long it took.
        over_limit: it was ended because it took too long.
    """

    name: str
    exit_code: int
    output: str
    duration_s: float
    over_limit: bool


def run_each(
    clinics: Sequence[Clinic],
    work: Callable[[Clinic], int],
    *,
    parallel: int,
    time_limit: timedelta,
    stop: Stop,
    clock: Clock,
) -> Iterator[Ended]:
    """Yield how each clinic's process ended, in the order of their ends.

    Each is a fork of this one, which should have loaded everything, have one thread and no open
    connection. When this process is asked to end none is started any more, and those that run
    are told to end.

    Args:
        clinics: in the order in which they are started.
        work: what a clinic's process does; returns its exit status.
        parallel: how many run at one time, where the machine has room for them.
        time_limit: for one clinic; one that takes longer is told to end.
        stop: the wish to end.
        clock: measures how long.
    """
    waiting, running = deque(clinics), dict[int, _Child]()
    try:
        while running or (waiting and not stop.requested):
            while waiting and len(running) < parallel and not stop.requested:
                try:
                    child = _start(waiting[0], work, clock.monotonic())
                except OSError as error:
                    if running:
                        parallel = len(running)  # that is what the machine has room for
                        break
                    yield _not_started(waiting.popleft(), error)
                    continue
                waiting.popleft()
                running[child.process.sentinel] = child
            for sentinel in connection.wait(running, timeout=_LOOK_S):
                assert isinstance(sentinel, int)  # noqa: S101 (what was waited for)
                yield running.pop(sentinel).ended(clock.monotonic())
            for child in running.values():
                child.end_if_over(clock.monotonic(), time_limit, wanted=stop.requested)
    finally:
        # None is left behind by whoever waits no longer, as after a second Ctrl-C.
        for child in running.values():
            child.process.kill()


@dataclass(slots=True)
class _Child:
    name: str
    process: ForkProcess
    output: IO[bytes]
    began_s: float
    told_s: float | None = None
    over_limit: bool = False

    def end_if_over(self, now_s: float, time_limit: timedelta, *, wanted: bool) -> None:
        """Tell it to end when its time is over or all must end, and kill it when it does not."""
        if self.told_s is None:
            self.over_limit = now_s - self.began_s > time_limit.total_seconds()
            if self.over_limit or wanted:
                self.process.terminate()
                self.told_s = now_s
        elif now_s - self.told_s > _KILLED_AFTER_S:
            self.process.kill()

    def ended(self, now_s: float) -> Ended:
        """Collect what it left behind."""
        self.process.join()
        with self.output:
            self.output.seek(0)
            output = self.output.read().decode("utf-8", "replace")
        exit_code = self.process.exitcode
        self.process.close()
        if exit_code is None:
            raise RuntimeError("a process that has ended has no exit status")
        return Ended(self.name, exit_code, output, now_s - self.began_s, self.over_limit)


def _start(clinic: Clinic, work: Callable[[Clinic], int], now_s: float) -> _Child:
    """Start a clinic's process; what it prints goes into a file that has no name."""
    output = TemporaryFile()  # noqa: SIM115 (closed when the process has ended)
    process = get_context("fork").Process(target=_live, args=(clinic, work, output.fileno()))
    try:
        process.start()
    except OSError:
        output.close()
        raise
    return _Child(clinic.name, process, output, now_s)


def _not_started(clinic: Clinic, error: OSError) -> Ended:
    """Return the end of a clinic for which the machine has no room, not even alone."""
    why = (
        f"its process could not be started ({error.strerror}); give the machine more memory, "
        "processes or room for temporary files"
    )
    output = json.dumps({"error": why})
    return Ended(clinic.name, ExitStatus.UNAVAILABLE, output, 0.0, False)


def _live(clinic: Clinic, work: Callable[[Clinic], int], output: int) -> NoReturn:
    """Be a clinic's process.

    A terminal sends Ctrl-C and its end to all; the parent passes them on as one SIGTERM.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.dup2(output, 1)
    sys.exit(work(clinic))
