"""A desk whose database fails when a test says so, before a transaction or after its commit."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from itertools import count

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from smartia_jobs.database import Database
from smartia_jobs.run import Run, Stop
from tests.outbox.desk import Desk


class Fault(Enum):
    """When a transaction fails."""

    BEFORE = auto()
    #: The commit took place; only its answer was lost.
    AFTER = auto()


#: Given "read" or "write" and how many of these went before, the fault; None for none.
Faults = Callable[[str, int], Fault | None]


class FaultyDatabase(Database):
    """A real database that fails as told, once messages are being sent."""

    def __init__(self, url: str, faults: Faults, stop: Stop) -> None:
        """Wrap the database at ``url``."""
        super().__init__(url)
        self._faults = faults
        self._stop = stop
        self._counts = {"read": count(), "write": count()}

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Read, or fail."""
        with self._failing("read"), super().read() as connection:
            yield connection

    @contextmanager
    def write(self, *, patience_s: float | None = None) -> Iterator[Connection]:
        """Write, or fail before it or after the commit."""
        with self._failing("write"), super().write(patience_s=patience_s) as connection:
            yield connection

    @contextmanager
    def _failing(self, kind: str) -> Iterator[None]:
        sending = self._stop.is_polled  # what comes before the first claim has tests of its own
        fault = self._faults(kind, next(self._counts[kind])) if sending else None
        if fault is Fault.BEFORE:
            raise database_away()
        yield
        if fault is Fault.AFTER:
            raise database_away()


def database_away() -> OperationalError:
    """Return the error of a database that may be back in a moment."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return OperationalError("BEGIN", None, error)


@dataclass
class FaultyDesk(Desk):
    """A desk whose runs meet the faults of ``faults``."""

    faults: Faults = field(default=lambda _, __: None)

    @contextmanager
    def opened(
        self, *, limit: int | None = None, stop: Stop | None = None, dry_run: bool = False
    ) -> Iterator[Run]:
        """Open the database for one run, with its faults."""
        with super().opened(limit=limit, stop=stop, dry_run=dry_run) as run:
            database = FaultyDatabase(self.clinic.url, self.faults, run.stop)
            try:
                yield replace(run, database=database)
            finally:
                database.close()
