"""A clinic whose reception asks whom to call, with an outbox and an inbox filled by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import Connection, insert

from smartia_jobs.clinic.times import to_instant
from smartia_jobs.clock import ShiftedClock
from smartia_jobs.database import Database
from smartia_jobs.jobs.calls import Call, CallList, list_calls
from smartia_jobs.phones import parse_phone
from smartia_jobs.run import Run
from smartia_jobs.settings import Settings
from smartia_jobs.store import schema
from smartia_jobs.store.tables import answers, opt_outs, outbox, status_changes
from tests.support import Clinic

#: A Wednesday, ten in the morning: the clinic's wall time.
WEDNESDAY_10 = datetime.fromisoformat("2026-11-25T10:00")
TODAY_16 = datetime.fromisoformat("2026-11-25T16:00")
TOMORROW_14 = datetime.fromisoformat("2026-11-26T14:00")
#: Lately, so that nobody is on the list for having booked long ago.
BOOKED = datetime(2026, 11, 10, 12, tzinfo=UTC)


@dataclass
class CallsDesk:
    """A clinic at a moment, and what was sent and heard until then.

    Attributes:
        clinic: to fill and to disturb.
        now: the clinic's wall time.
        settings: what the environment says, apart from where things are.
    """

    clinic: Clinic
    now: datetime = WEDNESDAY_10
    settings: Settings = field(default_factory=Settings)
    _ids: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        """Make our tables."""
        with _opened(self.clinic.url) as database:
            schema.upgrade(database)

    def visit(
        self,
        start: datetime = TOMORROW_14,
        status: str = "SCHEDULED",
        *,
        patient_id: int | None = None,
        name: str = "Maria Souza",
        phone: str | None = None,
        booked: datetime = BOOKED,
    ) -> int:
        """Book a visit, of a new patient unless one is given."""
        if patient_id is None:
            patient_id = self.clinic.add_patient(name, phone)
        return self.clinic.add_appointment(patient_id, start, status, created_at=booked)

    def remind(self, visit: int, state: str = "sent", **values: Any) -> int:
        """Write the reminder of a visit as it stands now; return its outbox id."""
        row = self._visit(visit)
        at = values.pop("at", self.at(timedelta(hours=-1)))
        with self._writing() as connection:
            made: int = connection.execute(
                insert(outbox)
                .values(
                    {
                        "appointment_id": visit,
                        "kind": "24h",
                        "turn": next(self._ids),
                        "start": row["start"],
                        "patient_id": row["patient_id"],
                        "phone": self.canonical(row["phone_number"]),
                        "state": state,
                        "run_id": "earlier",
                        "appointment_status": row["status"],
                        "created_at": at,
                        "updated_at": at,
                        "sent_at": at if state not in ("failed", "retry", "expired") else None,
                        **values,
                    }
                )
                .returning(outbox.c.id)
            ).scalar_one()
        return made

    def answer(
        self,
        outbox_id: int | None,
        meaning: str = "unclear",
        effect: str = "listed",
        *,
        text: str | None = None,
        at: datetime | None = None,
        holds: int | None = None,
        before: str | None = None,
        **values: Any,
    ) -> int:
        """Write one answer; ``holds`` notes that it left this visit as it stands now."""
        at = at or self.at(timedelta(minutes=-30))
        with self._writing() as connection:
            made: int = connection.execute(
                insert(answers)
                .values(
                    {
                        "message_id": f"wamid.{next(self._ids)}",
                        "source": "webhook",
                        "phone": None,
                        "type": "text",
                        "text": text,
                        "said_at": at,
                        "received_at": at,
                        "outbox_id": outbox_id,
                        "meaning": meaning,
                        "effect": effect,
                        "acted_at": at,
                        "run_id": "earlier",
                        **values,
                    }
                )
                .returning(answers.c.id)
            ).scalar_one()
            if holds is not None:
                row = self._visit(holds)
                connection.execute(
                    insert(status_changes).values(
                        appointment_id=holds,
                        patient_id=row["patient_id"],
                        start=row["start"],
                        stored_date=str(row["start"]),
                        before=before or row["status"],
                        after=row["status"],
                        why=meaning,
                        answer_id=made,
                        run_id="earlier",
                        changed_at=at,
                        undone_at=at if effect == "undone" else None,
                    )
                )
        return made

    def opt_out(self, phone: str, scope: str = "all") -> None:
        """Note that a canonical phone wants no more messages, or no invitations."""
        with self._writing() as connection:
            connection.execute(
                insert(opt_outs).values(
                    phone=phone, source="answer", scope=scope, created_at=self.at()
                )
            )

    def calls(self, day: date | None = None) -> CallList:
        """Return the list as a run at the desk's moment finds it."""
        settings = replace(
            self.settings,
            database_url=self.clinic.url,
            stored_times=self.clinic.stored_times if self.clinic.dialect == "postgresql" else None,
        )
        with _opened(self.clinic.url, read_only=True) as database:
            run = Run(
                id="test",
                settings=settings,
                clock=ShiftedClock(self.at(), speed=0),
                database=database,
                now=self.at(),
                dry_run=True,
            )
            return list_calls(run, day=day)

    def whys(self, day: date | None = None) -> list[list[str]]:
        """Return the reasons of each line, the most urgent first."""
        return [[str(one.why), *map(str, one.also)] for one in self.calls(day).calls]

    def only(self) -> Call:
        """Return the one line that there is."""
        (call,) = self.calls().calls
        return call

    def at(self, later: timedelta = timedelta(0)) -> datetime:
        """Return the desk's moment, or another by so much later."""
        return to_instant(self.now + later, self.settings.clinic_timezone)

    def canonical(self, stored: str | None) -> str | None:
        """Return a phone as the outbox keeps it."""
        phone = parse_phone(stored, "BR")
        return getattr(phone, "canonical", stored)

    def phone(self, visit: int) -> str:
        """Return the canonical phone of a visit's patient."""
        return self.canonical(self._visit(visit)["phone_number"]) or ""

    def _visit(self, visit: int) -> dict[str, Any]:
        (row,) = self.clinic.rows(
            "SELECT a.patient_id, a.status, a.appointment_date, p.phone_number"
            " FROM appointments a JOIN patients p ON p.id = a.patient_id WHERE a.id = :id",
            id=visit,
        )
        stored = row["appointment_date"]
        start = datetime.fromisoformat(stored) if isinstance(stored, str) else stored
        if start.tzinfo is not None:  # a wall time labelled UTC
            start = start.astimezone(UTC).replace(tzinfo=None)
        return {**row, "start": start}

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with _opened(self.clinic.url) as database, database.write() as connection:
            yield connection


@contextmanager
def _opened(url: str, *, read_only: bool = False) -> Iterator[Database]:
    database = Database(url, read_only=read_only)
    try:
        yield database
    finally:
        database.close()
