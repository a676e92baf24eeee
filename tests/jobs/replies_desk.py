"""The job that takes in what came back, beside a desk that reminds, over a real clinic."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeVar

from sqlalchemy import insert

from smartia_jobs.clock import ShiftedClock
from smartia_jobs.database import Database
from smartia_jobs.jobs.polling import poll_smartia
from smartia_jobs.jobs.replies import take_in_replies
from smartia_jobs.report import Report
from smartia_jobs.run import Run
from smartia_jobs.store.tables import statuses
from tests.jobs.test_reminders import ReminderDesk

T = TypeVar("T")
_runs = count(1)


@dataclass
class RepliesDesk(ReminderDesk):
    """A reminder desk that hears what became of its messages."""

    @property
    def now_at(self) -> datetime:
        """The moment, aware."""
        return self.now.replace(tzinfo=self.settings.clinic_timezone)

    def hear(self, status: str, code: int | None = None, *, message: int = -1) -> None:
        """Store a status of a message that the sandbox received, as the webhook does it."""
        received = self.sandbox.received[message]
        with closing(Database(self.clinic.url)) as database, database.write() as connection:
            connection.execute(
                insert(statuses).values(
                    wamid=received["wamid"] or "wamid.LOST",
                    status=status,
                    said_at=self.now_at.astimezone(UTC),
                    received_at=self.now_at.astimezone(UTC),
                    callback=received["callback_data"],
                    code=code,
                )
            )

    def replies(self, *, dry_run: bool = False) -> Report:
        """Run the job once, as one process would, without a token."""
        return self._do(take_in_replies, dry_run=dry_run)

    def listen(self) -> None:
        """Only store what SmartIA has heard; nothing is acted on yet."""
        self._do(poll_smartia)

    def _do(self, job: Callable[[Run], T], *, dry_run: bool = False) -> T:
        settings = replace(
            self.settings,
            database_url=self.clinic.url,
            stored_times=self.clinic.stored_times if self.clinic.dialect != "sqlite" else None,
        )
        with closing(Database(self.clinic.url, read_only=dry_run)) as database:
            return job(
                Run(
                    id=f"replies-{next(_runs)}",
                    settings=settings,
                    clock=ShiftedClock(self.now_at),
                    database=database,
                    now=self.now_at.astimezone(UTC),
                    dry_run=dry_run,
                )
            )

    def rows(self) -> list[dict[str, Any]]:
        """Return the outbox, oldest first."""
        return self.clinic.rows("SELECT * FROM smartia_outbox ORDER BY id")


def figures(report: Report) -> dict[str, Any]:
    """Return what a report says of statuses, without what is 0."""
    found = {**report.extra, **{f"ignored {name}": n for name, n in (report.ignored or {}).items()}}
    return {name: count for name, count in found.items() if count}
