"""One run of one job: everything a job is given, so that it need not reach for anything."""

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
    """The wish to end: set by a signal, seen by everything that waits.

    The signal handler only calls :meth:`request`; nothing is raised inside the sending loop,
    so no outcome can be lost between an answer and its commit.
    """

    def __init__(self) -> None:
        """Begin without a wish to end."""
        self.event = threading.Event()
        self.status: ExitStatus | None = None
        #: Whether somebody looks at the event by itself; a signal raises until then.
        self.is_polled = False
        #: Says what would be lost, should the process have to leave before it is done.
        self.on_forced_exit: Callable[[], None] = lambda: None

    def request(self, status: ExitStatus) -> None:
        """Ask the run to end with this status; the first wish counts."""
        if self.status is None:
            self.status = status
        self.event.set()

    @property
    def requested(self) -> bool:
        """Whether the run was asked to end."""
        return self.event.is_set()


class Progress(Protocol):
    """Who watches a run: told how much there is to do, then how far it has come."""

    def expect(self, visits: int) -> None:
        """Learn about how many visits will be looked at."""
        ...

    def show(self, report: "Report") -> None:
        """Learn what became of them so far; called after each, so it must be quick."""
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
        stop: the wish to end.
        progress: who watches; None when nobody does.
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
