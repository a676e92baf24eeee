"""What the tests of `metrics` share: a run at a chosen moment, and tables to fill by hand."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, insert, select

from smartia_jobs.clock import ShiftedClock
from smartia_jobs.database import Database
from smartia_jobs.jobs.metrics import Metrics, build_metrics
from smartia_jobs.run import Run
from smartia_jobs.settings import Settings
from smartia_jobs.store import schema
from smartia_jobs.store.tables import answers, notices, outbox, status_changes, statuses
from tests.support import Clinic

#: Templates of the shipped catalogue: one asks whether the patient will come, the other does not.
ASKS, ASKS_NOT = "smartia_lembrete_24h_v2", "smartia_lembrete_2h_v2"

SAO_PAULO = ZoneInfo("America/Sao_Paulo")


def local(*parts: int, zone: ZoneInfo = SAO_PAULO) -> datetime:
    """Return the instant of a wall time."""
    return datetime(*parts, tzinfo=zone).astimezone(UTC)  # type: ignore[arg-type, misc]


def wall(*parts: int) -> datetime:
    """Return a clinic wall time, which is naive."""
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001


@contextmanager
def opened(clinic: Clinic, *, read_only: bool = False) -> Iterator[Database]:
    """Open the program's own connection to the clinic."""
    database = Database(clinic.url, read_only=read_only)
    try:
        yield database
    finally:
        database.close()


def settings_of(clinic: Clinic) -> Settings:
    """Return the settings that the clinic would have."""
    return Settings(
        database_url=clinic.url,
        stored_times=clinic.stored_times if clinic.dialect == "postgresql" else None,
        clinic_timezone=clinic.zone,
    )


def measure(
    clinic: Clinic,
    now: datetime,
    *,
    days: int = 30,
    until: date | None = None,
    messages_by_day: bool = False,
) -> Metrics:
    """Return the metrics as a run at ``now`` would find them."""
    with opened(clinic, read_only=True) as database:
        run = Run(
            id="test",
            settings=settings_of(clinic),
            clock=ShiftedClock(now, speed=0),
            database=database,
            now=now,
        )
        return build_metrics(run, days=days, until=until, messages_by_day=messages_by_day)


class Desk:
    """The outbox as earlier runs left it."""

    def __init__(self, clinic: Clinic) -> None:
        """Make our tables."""
        self.clinic = clinic
        with opened(clinic) as database:
            schema.upgrade(database)

    def add(self, **values: Any) -> int:
        """Write one row, by default a reminder that was sent; return its id."""
        with opened(self.clinic) as database, database.write() as connection:
            added: int = connection.execute(
                insert(outbox).returning(outbox.c.id), _row(values)
            ).scalar_one()
        return added

    def add_status(self, *, received_at: datetime) -> None:
        """Write one status that came in, of whatever message."""
        with opened(self.clinic) as database, database.write() as connection:
            heard = {"wamid": "wamid.1", "status": "sent", "said_at": received_at}
            connection.execute(insert(statuses), heard | {"received_at": received_at})

    def add_answer(
        self,
        outbox_id: int | None,
        meaning: str | None,
        effect: str | None,
        *,
        said_at: datetime,
        held: bool = False,
        **values: Any,
    ) -> int:
        """Write one answer as a run left it; return its id.

        Args:
            outbox_id: the row that leads the message it answers.
            meaning: what it was read as; None: by nobody yet.
            effect: what was done about it.
            said_at: when it was given, and came.
            held: it changed a visit, or held one back.
            values: of other columns.
        """
        with opened(self.clinic) as database, database.write() as connection:
            before = connection.execute(select(func.count()).select_from(answers)).scalar_one()
            told = {"outbox_id": outbox_id, "meaning": meaning, "effect": effect, **values}
            row = _answer(before, said_at, told)
            made = insert(answers).returning(answers.c.id)
            answer_id: int = connection.execute(made, row).scalar_one()
            if held:
                connection.execute(insert(status_changes), _change(answer_id, said_at))
        return answer_id

    def add_answers(self, rows: Sequence[tuple[datetime, bool, Mapping[str, Any]]]) -> None:
        """Write many at once: when each was said, whether it changed a visit, and its columns."""
        told = [_answer(n, at, {"id": n, **values}) for n, (at, _, values) in enumerate(rows, 1)]
        changes = [_change(n, at) for n, (at, held, _) in enumerate(rows, 1) if held]
        with opened(self.clinic) as database, database.write() as connection:
            if told:
                connection.execute(insert(answers), told)
            if changes:
                connection.execute(insert(status_changes), changes)

    def add_move(self, template: str, category: str, *, said_at: datetime) -> None:
        """Write that Meta has moved a template to another category."""
        told = {"field": "template_category_update", "subject": f"{template} pt-BR"}
        told |= {"event": category, "said_at": said_at, "received_at": said_at}  # type: ignore[dict-item]
        with opened(self.clinic) as database, database.write() as connection:
            connection.execute(insert(notices), told)

    def add_notice(self, event: str) -> None:
        """Write that Meta has just told something of a template."""
        now = datetime.now(UTC)
        told = {"field": "message_template_status_update", "subject": "a pt_BR", "event": event}
        with opened(self.clinic) as database, database.write() as connection:
            connection.execute(insert(notices), told | {"said_at": now, "received_at": now})

    def add_all(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write many rows at once."""
        with opened(self.clinic) as database, database.write() as connection:
            connection.execute(insert(outbox), [_row(values) for values in rows])


def _answer(number: int, said_at: datetime, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "message_id": f"wamid.answer.{number}",
        "source": "webhook",
        "phone": "5511987654321",
        "type": "button",
        "said_at": said_at,
        "received_at": said_at,
        "acted_at": None if values["effect"] is None else said_at,
        **values,
    }


def _change(answer_id: int, at: datetime) -> dict[str, Any]:
    return {
        "appointment_id": 1,
        "patient_id": 1,
        "start": wall(2026, 3, 2, 10),
        "stored_date": "2026-03-02 10:00",
        "before": "SCHEDULED",
        "after": "SCHEDULED",
        "why": "cancel",
        "answer_id": answer_id,
        "run_id": "earlier",
        "changed_at": at,
    }


def _row(values: Mapping[str, Any]) -> dict[str, Any]:
    created_at = values.get("created_at", local(2026, 3, 1, 9))
    return {
        "appointment_id": 1,
        "kind": "24h",
        "start": wall(2026, 3, 2, 10),
        "patient_id": 1,
        "phone": "+5511987654321",
        "state": "sent",
        "run_id": "earlier",
        "appointment_status": "SCHEDULED",
        "created_at": created_at,
        "updated_at": created_at,
        "sent_at": created_at if values.get("state", "sent") == "sent" else None,
        **values,
    }
