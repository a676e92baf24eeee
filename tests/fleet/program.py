"""A fleet of clinics that each misbehave as their name says, in a process with one thread.

``python -m tests.fleet.program PARALLEL LIMIT_S NAME…`` prints one JSON object for each clinic
that has ended, and a last one for the process itself.
"""

import errno
import json
import os
import signal
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

from smartia_jobs.cli.signals import listen
from smartia_jobs.clock import SystemClock
from smartia_jobs.fleet.processes import run_each
from smartia_jobs.run import Stop
from smartia_jobs.settings.clinics import Clinic
from smartia_jobs.settings.environment import Given


def work(clinic: Clinic) -> int:
    """Do what the name says; the part after a hyphen only keeps names apart."""
    match clinic.name.split("-")[0]:
        case "good":
            sys.stdout.write(f'{{"threads": {threading.active_count()}, "pid": {os.getpid()}}}')
            return 0
        case "status":
            return int(clinic.name.split("-")[1])
        case "bug":
            raise RuntimeError("Maria Souza")
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "loud":
            sys.stdout.write("x" * 3_000_000)
            return 0
        case "hanging":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            sys.stderr.write("hangs\n")
            sys.stderr.flush()
            time.sleep(60)
        case "polite":
            stop = Stop()
            stop.is_polled = True
            listen(stop)
            sys.stderr.write("waits\n")
            sys.stderr.flush()
            stop.event.wait(60)
            return int(stop.status or 0)
        case "crowd":
            sys.stdout.write(str(_children(os.getppid())))
            time.sleep(0.05)
            return 0
    raise AssertionError(clinic.name)


def _children(pid: int) -> int:
    return len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def _refuse_more_than(processes: int) -> None:
    """Let the system have no room for more processes than these, which it would not tell root."""

    def hook(event: str, _: object) -> None:
        if event == "os.fork" and _children(os.getpid()) >= processes:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    sys.addaudithook(hook)


def main(parallel: str, limit_s: str, *names: str) -> None:
    """Run the clinics of these names."""
    stop = Stop()
    stop.is_polled = True
    listen(stop)
    _refuse_more_than(int(os.environ["ROOM"]))
    clinics = [Clinic(name, Given({}, Path(), Path(), True, (), ())) for name in names]
    for ended in run_each(
        clinics,
        work,
        parallel=int(parallel),
        time_limit=timedelta(seconds=float(limit_s)),
        stop=stop,
        clock=SystemClock(),
    ):
        told = {"name": ended.name, "exit_code": ended.exit_code, "output": ended.output,
                "over_limit": ended.over_limit}  # fmt: skip
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
    sys.stdout.write(json.dumps({"name": "", "stopped": stop.status}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
