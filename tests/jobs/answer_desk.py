"""A clinic whose patients were told of visits, answer, and are heard, at a moment of the test's."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import insert

from smartia_jobs.clinic.index import ensure_indexes
from smartia_jobs.clock import ShiftedClock
from smartia_jobs.database import Database
from smartia_jobs.jobs.answers import act_on_answers
from smartia_jobs.jobs.opening import open_clinic
from smartia_jobs.jobs.reminders import send_reminders
from smartia_jobs.jobs.sending import new_report
from smartia_jobs.kinds import DAY_AHEAD
from smartia_jobs.message import Phone
from smartia_jobs.phones import parse_phone
from smartia_jobs.report import Report
from smartia_jobs.run import Run
from smartia_jobs.sandbox.account import PHONE_NUMBER_ID
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.server import Sandbox
from smartia_jobs.settings import Settings
from smartia_jobs.store.installation import installation_id
from smartia_jobs.store.schema import ensure
from smartia_jobs.store.tables import answers, outbox
from tests.support import Clinic

#: A Monday, ten o'clock in the clinic.
MONDAY_10 = datetime.fromisoformat("2026-11-23T10:00")

#: WhatsApp takes free text, as it does within 24 hours of what a patient wrote.
TAKEN = Scripted(
    status=200,
    body=json.dumps({"messages": [{"id": "wamid.WORD"}]}),
    content_type="application/json",
    accepted=True,
)

_runs = count(1)
_answers = count(1)


@dataclass
class AnswerDesk:
    """A clinic, its messages, and runs that act on what came back.

    Attributes:
        clinic: to fill and to disturb.
        sandbox: takes the words back.
        now: the clinic's wall time.
        settings: what the environment says, apart from where things are.
    """

    clinic: Clinic
    sandbox: Sandbox
    now: datetime = MONDAY_10
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        """Make our tables, as an earlier run would have."""
        self.sandbox.script("POST /messages", TAKEN, repeat_last=True)
        self.settings = replace(
            self.settings,
            database_url=self.clinic.url,
            stored_times=self.clinic.stored_times if self.clinic.dialect != "sqlite" else None,
            meta_access_token="made-up-token",
            meta_phone_number_id=PHONE_NUMBER_ID,
            meta_api_url=self.sandbox.url,
            database_is_a_copy=True,
        )
        with closing(Database(self.clinic.url)) as database:
            ensure(database, auto_migrate=True)
            ensure_indexes(database)
            with database.read() as connection:
                self.installation = installation_id(connection)

    def setting(self, **changes: Any) -> None:
        """Change settings."""
        self.settings = replace(self.settings, **changes)

    # -- what came before -------------------------------------------------------------------

    def book(
        self, *, hours: float = 28, patient: int | None = None, status: str | None = "SCHEDULED"
    ) -> int:
        """Book a visit so many hours after now; a new patient unless one is given."""
        if patient is None:
            patient = self.clinic.add_patient()
        return self.clinic.add_appointment(patient, self.now + timedelta(hours=hours), status)

    def tell(
        self,
        *visits: int,
        kind: str = "24h",
        state: str = "sent",
        ago: timedelta = timedelta(hours=1),
    ) -> int:
        """Tell a patient of visits as they are now, in one message; return the leading row."""
        leader: int | None = None
        at = self.instant() - ago
        template = f"smartia_lembrete_{kind}"
        with closing(Database(self.clinic.url)) as database, database.write() as connection:
            for visit in visits:
                row = self.visit(visit)
                made = connection.execute(
                    insert(outbox)
                    .values(
                        appointment_id=visit,
                        kind=kind,
                        turn=1,
                        start=self._start(row["appointment_date"]),
                        leader_id=leader,
                        patient_id=row["patient_id"],
                        phone=self.canonical(row["phone_number"]),
                        state=state,
                        run_id="an earlier run",
                        appointment_status=row["status"],
                        template=template,
                        message_id=None
                        if state in ("claimed", "unknown")
                        else f"wamid.OUT{visit}{kind}",
                        created_at=at,
                        claimed_at=at,
                        updated_at=at,
                        sent_at=None if state in ("claimed", "unknown") else at,
                    )
                    .returning(outbox.c.id)
                ).scalar_one()
                leader = leader or made
        assert leader is not None
        return leader

    # -- what patients do -------------------------------------------------------------------

    def tap(self, row: int, means: str, *, minute: float = 0, **more: Any) -> int:
        """Tap a button of a message, so many minutes after now; return the answer."""
        told = self.row(row)
        values = {
            "type": "button",
            "text": means,
            "payload": f"{means}:{self.installation}:{row}",
            "phone": told["phone"].removeprefix("+"),
            "context_id": told["message_id"] or f"wamid.LATE{row}",
        }
        return self.answer(minute=minute, **values | more)

    def write(self, row: int, text: str | None, *, minute: float = 0, **more: Any) -> int:
        """Write a text to the clinic, from the phone that was told; return the answer."""
        phone = self.row(row)["phone"].removeprefix("+")
        return self.answer(minute=minute, **{"type": "text", "text": text, "phone": phone} | more)

    def answer(self, *, minute: float = 0, arrives: float | None = None, **values: Any) -> int:
        """Let something come in; return its id."""
        said_at = self.instant() + timedelta(minutes=minute)
        arrived_at = self.instant() + timedelta(minutes=minute if arrives is None else arrives)
        base = {
            "message_id": f"wamid.IN{next(_answers)}",
            "source": "webhook",
            "type": "text",
            "said_at": said_at,
            "received_at": arrived_at,
        }
        with closing(Database(self.clinic.url)) as database, database.write() as connection:
            made = insert(answers).values(base | values).returning(answers.c.id)
            answer_id: int = connection.execute(made).scalar_one()
        return answer_id

    # -- runs -------------------------------------------------------------------------------

    def act(
        self,
        *,
        minute: float = 1,
        dry_run: bool = False,
        show_texts: bool = False,
        database: Database | None = None,
    ) -> Report:
        """Act on what came in, so many minutes after now, as one process would."""

        def job(run: Run) -> Report:
            report = new_report(run, "replies")
            act_on_answers(run, open_clinic(run), report, show_texts=show_texts)
            return report

        report = self.perform(job, minute=minute, dry_run=dry_run, database=database)
        counted = dict(report.extra)
        total = counted.pop("answers")
        counted.pop("written_back")
        assert total == sum(counted.values()) + sum((report.ignored or {}).values())
        return report

    def remind(self, *, minute: float = 0) -> Report:
        """Run the reminder of a day ahead."""
        return self.perform(lambda run: send_reminders(run, DAY_AHEAD), minute=minute)

    def perform(
        self,
        job: Callable[[Run], Report],
        *,
        minute: float,
        dry_run: bool = False,
        database: Database | None = None,
    ) -> Report:
        """Run any job."""
        now_at = self.instant() + timedelta(minutes=minute)
        self.sandbox.clock_offset = now_at - datetime.now(UTC)
        with closing(database or Database(self.clinic.url, read_only=dry_run)) as opened:
            return job(
                Run(
                    id=f"run-{next(_runs)}",
                    settings=self.settings,
                    clock=ShiftedClock(now_at),
                    database=opened,
                    now=now_at,
                    dry_run=dry_run,
                )
            )

    # -- what they left ---------------------------------------------------------------------

    def instant(self) -> datetime:
        """Return the desk's time as an instant."""
        return self.now.replace(tzinfo=self.settings.clinic_timezone).astimezone(UTC)

    def visit(self, visit: int) -> dict[str, Any]:
        """Return a visit with its patient."""
        (row,) = self.clinic.rows(
            "SELECT a.*, p.phone_number FROM appointments a JOIN patients p ON p.id = a.patient_id"
            " WHERE a.id = :id",
            id=visit,
        )
        return row

    def row(self, row: int) -> dict[str, Any]:
        """Return a row of the outbox."""
        (found,) = self.clinic.rows("SELECT * FROM smartia_outbox WHERE id = :id", id=row)
        return found

    def effect(self, answer: int) -> str | None:
        """Return what became of an answer."""
        effect: str | None = self.clinic.value(
            "SELECT effect FROM smartia_answers WHERE id = :id", id=answer
        )
        return effect

    def words(self) -> list[tuple[int, str, str]]:
        """Return answer, word and state of each word back."""
        rows = self.clinic.rows(
            "SELECT * FROM smartia_outbox WHERE answer_id IS NOT NULL ORDER BY id"
        )
        return [(row["answer_id"], row["template"], row["state"]) for row in rows]

    def posted(self) -> int:
        """Return how many messages WhatsApp took."""
        return sum(one["accepted"] for one in self.sandbox.received)

    def canonical(self, phone: str) -> str:
        """Return a phone as rows keep it."""
        parsed = parse_phone(phone, "BR")
        assert isinstance(parsed, Phone)
        return parsed.canonical

    def _start(self, stored: Any) -> datetime:
        start: datetime = datetime.fromisoformat(stored) if isinstance(stored, str) else stored
        return start.replace(tzinfo=None, second=0, microsecond=0)
