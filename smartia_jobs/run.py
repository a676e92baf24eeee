"""One run of one job: everything that a job is given."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from smartia_jobs.clock import Clock
from smartia_jobs.errors import ExitStatus

if TYPE_CHECKING:
    from smartia_jobs.database import Database
    from smartia_jobs.report import Report
    from smartia_jobs.settings import Settings


class Stop:
    """A request to end: set by a signal, seen by everything that waits.

    The signal handler only calls :meth:`request`; nothing is raised inside the sending loop,
    so no outcome can be lost between an answer and its commit.
    """

    def __init__(self) -> None:
        """Begin without a request."""
        self.event = threading.Event()
        self.status: ExitStatus | None = None
        #: Whether a loop checks the event, so that a signal only sets it; else a signal raises.
        self.is_polled = False
        #: Called when the process must end before the loop is done: logs what would be lost.
        self.on_forced_exit: Callable[[], None] = lambda: None

    def request(self, status: ExitStatus) -> None:
        """Ask the run to end with this status; the first request counts."""
        if self.status is None:
            self.status = status
        self.event.set()

    @property
    def requested(self) -> bool:
        """Whether the run was asked to end."""
        return self.event.is_set()


class Progress(Protocol):
    """Watches a run: how much there is to do, then how much is done."""

    def expect(self, visits: int) -> None:
        """Note about how many visits will be looked at."""
        ...

    def show(self, report: "Report") -> None:
        """Note what became of them so far; called after each, so it must be quick."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """What one execution of one job works with.

    Attributes:
        id: unique per process and attempt; the owner's name on claims.
        settings: the checked settings.
        clock: the only clock.
        database: opened lazily, one connection.
        now: the instant the run began (aware UTC), or the one ``--now`` asked for.
        dry_run: decide and show; send and write nothing.
        limit: at most this many messages; None for no limit.
        strict: any failed or unknown patient makes the run end with 65.
        stop: the request to end.
        progress: what watches it; None: nothing.
    """

    id: str
    settings: "Settings"
    clock: Clock
    database: "Database"
    now: datetime
    dry_run: bool = False
    limit: int | None = None
    strict: bool = False
    stop: Stop = field(default_factory=Stop)
    progress: Progress | None = None
