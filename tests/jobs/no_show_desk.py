"""The no-show job over a real clinic and the sandbox, at a moment of the test's choosing."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import Connection

from smartia_jobs.catalogue.definition import shipped_definitions
from smartia_jobs.clinic.index import ensure_indexes
from smartia_jobs.clock import ShiftedClock
from smartia_jobs.database import Database
from smartia_jobs.jobs.no_show import mark_no_shows, undo_no_shows
from smartia_jobs.report import Report
from smartia_jobs.run import Run
from smartia_jobs.sandbox.account import PHONE_NUMBER_ID
from smartia_jobs.sandbox.received import Received
from smartia_jobs.sandbox.server import Sandbox
from smartia_jobs.settings import Settings
from smartia_jobs.store.schema import ensure
from tests.support import Clinic

#: A Wednesday, six in the evening: the clinic's wall time.
WEDNESDAY_18 = datetime.fromisoformat("2026-11-25T18:00")

TEMPLATES = shipped_definitions(clinic_name="Clínica Aurora")

_runs = count(1)

Job = Callable[[Run], Report]


@dataclass
class NoShowDesk:
    """A clinic, a sandbox, and runs of the job over them.

    Attributes:
        clinic: to fill and to disturb.
        sandbox: what WhatsApp received.
        now: the clinic's wall time.
        settings: what the environment says, apart from where things are.
    """

    clinic: Clinic
    sandbox: Sandbox
    now: datetime = WEDNESDAY_18
    settings: Settings = field(default_factory=Settings)

    def setting(self, **changes: Any) -> None:
        """Change settings."""
        self.settings = replace(self.settings, **changes)

    def visit(
        self,
        ago: timedelta | str,
        status: str | None = "SCHEDULED",
        *,
        patient_id: int | None = None,
        duration: int | None = 60,
    ) -> int:
        """Book a visit that began so long ago, or at a wall time; a new patient unless given."""
        if patient_id is None:
            patient_id = self.clinic.add_patient()
        start = datetime.fromisoformat(ago) if isinstance(ago, str) else self.now - ago
        return self.clinic.add_appointment(patient_id, start, status, duration)

    def run(
        self,
        *,
        mark_all: bool = False,
        invite: bool = True,
        dry_run: bool = False,
        database: Database | None = None,
        limit: int | None = None,
    ) -> Report:
        """Run the job once, as one process would, and check that the numbers add up."""
        report = self.perform(
            lambda run: mark_no_shows(run, mark_all=mark_all, invite=invite),
            dry_run=dry_run,
            database=database,
            limit=limit,
        )
        body = report.as_json()
        counted = ("sent", "failed", "retry", "unknown", "would_send", "left")
        assert body["due"] == sum(body[one] for one in counted) + sum(body["skipped"].values())
        return report

    def undo(self, run_id: str, *, dry_run: bool = False) -> Report:
        """Undo what one run has marked."""
        return self.perform(lambda run: undo_no_shows(run, run_id), dry_run=dry_run)

    def perform(
        self,
        job: Job,
        *,
        dry_run: bool = False,
        database: Database | None = None,
        limit: int | None = None,
    ) -> Report:
        """Run any job at this moment."""
        settings = replace(
            self.settings,
            database_url=self.clinic.url,
            stored_times=self.clinic.stored_times if self.clinic.dialect != "sqlite" else None,
            meta_access_token="made-up-token",
            meta_phone_number_id=PHONE_NUMBER_ID,
            meta_api_url=self.sandbox.url,
        )
        now_at = self.now.replace(tzinfo=settings.clinic_timezone)
        self.sandbox.clock_offset = now_at - datetime.now(UTC)
        with closing(database or Database(self.clinic.url, read_only=dry_run)) as opened:
            return job(
                Run(
                    id=f"run-{next(_runs)}",
                    settings=settings,
                    clock=ShiftedClock(now_at),
                    database=opened,
                    now=now_at.astimezone(UTC),
                    dry_run=dry_run,
                    limit=limit,
                )
            )

    def make_tables(self) -> None:
        """Make our own tables and the indexes, as an earlier run would have."""
        with closing(Database(self.clinic.url)) as database:
            ensure(database, auto_migrate=True)
            ensure_indexes(database)

    def statuses(self, ids: list[int]) -> list[str | None]:
        """Return what the clinic shows for these visits."""
        return [self.clinic.status(appointment_id) for appointment_id in ids]

    def marks(self) -> list[dict[str, Any]]:
        """Return our memory of what was marked, in that order."""
        return self.clinic.rows("SELECT * FROM smartia_status_changes ORDER BY id")

    def outbox(self) -> dict[int, str]:
        """Return appointment → state of its invitation."""
        rows = self.clinic.rows("SELECT * FROM smartia_outbox WHERE kind = 'no_show'")
        return {row["appointment_id"]: row["state"] for row in rows}

    @property
    def accepted(self) -> list[Received]:
        """What patients were sent."""
        return [message for message in self.sandbox.received if message["accepted"]]


class DisturbedDatabase(Database):
    """A database in which something happens right before the job's n-th writing transaction."""

    def __init__(self, url: str, disturb: Callable[[], None], *, before_write: int = 1) -> None:
        """Wait for that moment; tables and indexes must exist, as making them writes too."""
        super().__init__(url)
        self._disturb = disturb
        self._writes_left = before_write

    @contextmanager
    def write(self, *, patience_s: float | None = None) -> Iterator[Connection]:
        """Open one short transaction, disturbed where it was asked for."""
        self._writes_left -= 1
        if self._writes_left == 0:
            self._disturb()
        with super().write(patience_s=patience_s) as connection:
            yield connection
