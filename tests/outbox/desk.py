"""Running the outbox over a real clinic database with a sender of the test's choosing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count

from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.interactions import write_interactions
from smartia_jobs.clinic.rules.hours import SendingHours
from smartia_jobs.clinic.rules.reminders import ReminderRule
from smartia_jobs.clinic.times import Storage, StoredTimes
from smartia_jobs.clinic.visit_days import VisitDays
from smartia_jobs.clock import ShiftedClock
from smartia_jobs.database import Database
from smartia_jobs.jobs.sender import person
from smartia_jobs.jobs.sending import new_report, send_due
from smartia_jobs.outbox.source import Source
from smartia_jobs.report import Report
from smartia_jobs.run import Run, Stop
from smartia_jobs.settings import Settings
from smartia_jobs.store.schema import ensure
from tests.support import Clinic
from tests.support.fake_sender import FakeSender

_runs = count(1)

#: A Monday, nine o'clock in the clinic.
MONDAY_9 = datetime.fromisoformat("2026-11-23T09:00")


class _DeskClock(ShiftedClock):
    """Shows the desk's time, and what a test makes it lose."""

    def __init__(self, desk: "Desk", start_at: datetime) -> None:
        super().__init__(start_at, speed=desk.speed)
        self._desk = desk

    def now(self) -> datetime:
        return super().now() + self._desk.late


@dataclass
class Desk:
    """A clinic, and the runs of the 24h reminder over it."""

    clinic: Clinic
    settings: Settings = field(default_factory=Settings)
    workers: int = 4
    now: datetime = MONDAY_9
    speed: float = 1.0
    #: Set by a test while a run is under way: its wall clock then shows that much more.
    late: timedelta = timedelta(0)

    def run(
        self,
        sender: FakeSender,
        *,
        limit: int | None = None,
        stop: Stop | None = None,
        dry_run: bool = False,
        resend: bool = False,
    ) -> Report:
        """Run the job once, as one process would, and check that the numbers add up."""
        with self.opened(limit=limit, stop=stop, dry_run=dry_run) as run:
            if resend:
                run = replace(run, settings=replace(run.settings, on_unknown="resend"))
            if not dry_run:
                ensure(run.database, auto_migrate=True)
            report = new_report(run, "24h")
            sender.workers = self.workers
            send_due(run, self.source(run), sender, report)
        return report

    @contextmanager
    def opened(
        self, *, limit: int | None = None, stop: Stop | None = None, dry_run: bool = False
    ) -> Iterator[Run]:
        """Open the database for one run, and close it with nothing checked out."""
        database = Database(self.clinic.url, read_only=dry_run)
        now_at = self.now.replace(tzinfo=self.settings.clinic_timezone)
        try:
            yield Run(
                id=f"run-{next(_runs)}",
                settings=self.settings,
                clock=_DeskClock(self, now_at),
                database=database,
                now=ShiftedClock(now_at, speed=0).now(),
                limit=limit,
                dry_run=dry_run,
                stop=stop or Stop(),
            )
        finally:
            database.close()

    def source(self, run: Run) -> Source:
        """Return who is due for the 24h reminder."""
        storage = Storage.TEXT if self.clinic.dialect == "sqlite" else Storage.WALL_AS_UTC
        appointments = Appointments(StoredTimes(storage, self.settings.clinic_timezone))
        rule = ReminderRule(
            self.settings.reminders["24h"], SendingHours.of(self.settings), bridges_days=True
        )
        days = VisitDays(appointments, rule.window(run.now), partial(person, country="BR"))
        return Source(
            kind="24h",
            next_page=days.next_page,
            reread=appointments.by_id,
            refusals=(rule.refusal,),
            send_before=rule.send_before,
            write_interactions=write_interactions,
        )

    def book(self, *, hours: float = 24.0, patient_id: int | None = None) -> int:
        """Book a visit so many hours after now; a new patient unless one is given."""
        if patient_id is None:
            patient_id = self.clinic.add_patient()
        return self.clinic.add_appointment(patient_id, self.now + timedelta(hours=hours))

    def states(self) -> dict[int, str]:
        """Return appointment → state of its newest outbox row."""
        rows = self.clinic.rows("SELECT appointment_id, state FROM smartia_outbox ORDER BY id")
        return {row["appointment_id"]: row["state"] for row in rows}
