"""A SmartIA clinic that a test fills and disturbs, as its own API or its receptionist would."""

import itertools
import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import psycopg
from psycopg.rows import dict_row

import smartia_jobs

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
#: Before every visit of every test, so that each was booked in time.
BOOKED_LONG_AGO = datetime(2015, 1, 5, 12, tzinfo=UTC)
SQLITE_SCHEMA = Path(smartia_jobs.__file__).parent / "sandbox" / "smartia_sqlite.sql"

#: Runs one statement with ``:name`` parameters; hands back its rows, or nothing.
_Run = Callable[[str, Mapping[str, Any]], list[dict[str, Any]]]


class Clinic:
    """One SmartIA database, written through a connection of its own in autocommit.

    It stands for everybody but the program under test: what it writes is committed at once,
    so a test can move a visit while a run is at work. Methods may be called from any thread.

    Attributes:
        url: the SQLAlchemy URL a test gives to the program.
        dialect: ``sqlite`` or ``postgresql``.
        stored_times: what a ``timestamptz`` holds, as ``STORED_TIMES`` would name it: the
            clinic's ``wall`` time labelled UTC (SmartIA's own booking), or the ``instant``.
        zone: the clinic's; matters for ``instant`` only.
    """

    def __init__(self, url: str) -> None:
        """Open the clinic's connection."""
        self.url = url
        self.dialect: Literal["sqlite", "postgresql"]
        self.stored_times: Literal["wall", "instant"] = "wall"
        self.zone = SAO_PAULO
        self._run: _Run
        self.close: Callable[[], None]
        if url.startswith("sqlite:///"):
            self.dialect = "sqlite"
            self._run, self.close = _open_sqlite(Path(url.removeprefix("sqlite:///")))
        else:
            self.dialect = "postgresql"
            self._run, self.close = _open_postgres(url)
        self._phones = (f"55119876{n:05d}" for n in itertools.count(50001))

    # -- what SmartIA writes ------------------------------------------------------------

    def add_patient(self, name: str | None = "Maria Souza", phone: str | None = None) -> int:
        """Register a patient and return the id; without a phone, with a valid one of their own."""
        return self._insert(
            "patients", name=name, phone_number=next(self._phones) if phone is None else phone
        )

    def add_appointment(
        self,
        patient_id: int,
        start: datetime | str,
        status: str | None = "SCHEDULED",
        duration: int | None = 60,
        *,
        created_at: datetime | None = BOOKED_LONG_AGO,
        conversation_id: int | None = None,
        title: str = "Consulta",
    ) -> int:
        """Book a visit and return its id.

        Args:
            patient_id: whose; on SQLite it need not exist, as nothing there checks it.
            start: naive clinic wall time; a text goes into the database as it is.
            status: member name, or None for NULL.
            duration: minutes, or None for NULL.
            created_at: aware; None lets the database say (its own present, not the test's).
            conversation_id: the chat it was booked in.
            title: as SmartIA requires one.
        """
        return self._insert(
            "appointments",
            patient_id=patient_id,
            conversation_id=conversation_id,
            title=title,
            appointment_date=self._stored(start),
            duration_minutes=duration,
            status=status,
            **self._written(created_at=created_at),
        )

    def add_conversation(
        self,
        patient_id: int,
        state: str | None = "DONE",
        *,
        intent: str | None = None,
        context_data: str | None = None,
        created_at: datetime | None = None,
        updated_at: datetime | None = None,
    ) -> int:
        """Open a chat with a patient and return its id; instants are aware."""
        return self._insert(
            "conversations",
            patient_id=patient_id,
            state=state,
            intent=intent,
            context_data=context_data,
            **self._written(created_at=created_at, updated_at=updated_at),
        )

    def add_interaction(
        self,
        conversation_id: int,
        text: str,
        *,
        type: Literal["INCOMING", "OUTGOING"] = "INCOMING",
        created_at: datetime | None = None,
    ) -> int:
        """Write one message of a chat and return its id."""
        patient_id = self.value(
            "SELECT patient_id FROM conversations WHERE id = :id", id=conversation_id
        )
        return self._insert(
            "interactions",
            conversation_id=conversation_id,
            patient_id=patient_id,
            type=type,
            message_text=text,
            message_type="text",
            **self._written(created_at=created_at),
        )

    # -- what the receptionist does -----------------------------------------------------

    def set_status(self, appointment_id: int, status: str | None) -> None:
        """Mark a visit: COMPLETED, CANCELLED, …, or None for NULL."""
        self.execute(
            "UPDATE appointments SET status = :status WHERE id = :id",
            status=status,
            id=appointment_id,
        )

    def move(self, appointment_id: int, start: datetime | str) -> None:
        """Move a visit to another clinic wall time."""
        self.execute(
            "UPDATE appointments SET appointment_date = :start WHERE id = :id",
            start=self._stored(start),
            id=appointment_id,
        )

    def set_phone(self, patient_id: int, phone: str) -> None:
        """Correct a patient's number."""
        self.execute(
            "UPDATE patients SET phone_number = :phone WHERE id = :id", phone=phone, id=patient_id
        )

    def delete_patient(self, patient_id: int) -> None:
        """Delete the patient's row and leave the visits behind, past any foreign key."""
        if self.dialect == "postgresql":
            self.execute("SET session_replication_role = replica")
        self.execute("DELETE FROM patients WHERE id = :id", id=patient_id)
        if self.dialect == "postgresql":
            self.execute("RESET session_replication_role")

    def delete_appointment(self, appointment_id: int) -> None:
        """Delete a visit."""
        self.execute("DELETE FROM appointments WHERE id = :id", id=appointment_id)

    # -- looking ------------------------------------------------------------------------

    def status(self, appointment_id: int) -> str | None:
        """Return a visit's status as it is stored."""
        status: str | None = self.value(
            "SELECT status FROM appointments WHERE id = :id", id=appointment_id
        )
        return status

    def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return the rows of a query with ``:name`` parameters, column to value."""
        return self._run(sql, parameters)

    def value(self, sql: str, **parameters: Any) -> Any:
        """Return the first column of a query's only row."""
        (row,) = self.rows(sql, **parameters)
        return next(iter(row.values()))

    def execute(self, sql: str, **parameters: Any) -> None:
        """Run and commit one statement with ``:name`` parameters."""
        self._run(sql, parameters)

    # -- how values are stored ----------------------------------------------------------

    def _insert(self, table: str, **values: Any) -> int:
        columns, names = ", ".join(values), ", ".join(f":{name}" for name in values)
        inserted: int = self.value(
            f"INSERT INTO {table} ({columns}) VALUES ({names}) RETURNING id", **values
        )
        return inserted

    def _stored(self, start: datetime | str) -> datetime | str:
        """Return a clinic wall time as the date column would hold it."""
        if isinstance(start, str):
            return start
        if start.tzinfo is not None:
            raise ValueError("a visit starts at the clinic's wall time, which is naive")
        if self.dialect == "sqlite":
            return _text(start)
        # Naive wall time becomes UTC in a timestamptz, as this session's zone is UTC.
        return start.replace(tzinfo=self.zone) if self.stored_times == "instant" else start

    def _written(self, **instants: datetime | None) -> dict[str, datetime | str]:
        """Return the given instants as SmartIA's clock columns hold them; None is left out."""
        return {
            column: _text(at.astimezone(UTC)) if self.dialect == "sqlite" else at
            for column, at in instants.items()
            if at is not None
        }


def create_sqlite(path: Path) -> None:
    """Create a SmartIA file without a row."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"BEGIN; {SQLITE_SCHEMA.read_text()} COMMIT;")


def _text(moment: datetime) -> str:
    """Return the text SQLAlchemy stores for a datetime on SQLite."""
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}"


def _open_sqlite(path: Path) -> tuple[_Run, Callable[[], None]]:
    # Durability is nothing to a test, and a run of the program waits for these commits.
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = OFF")
    connection.row_factory = sqlite3.Row

    def bound(value: Any) -> Any:
        # sqlite3 has a form of its own, and from Python 3.12 on a warning that it goes away.
        if isinstance(value, datetime):
            return _text(value.astimezone(UTC) if value.tzinfo else value)
        return value

    def run(sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        values = {name: bound(value) for name, value in parameters.items()}
        return [dict(row) for row in connection.execute(sql, values).fetchall()]

    return run, connection.close


def _open_postgres(url: str) -> tuple[_Run, Callable[[], None]]:
    # UTC, as SmartIA's own sessions usually are: the naive 14:30 it books is stored as 14:30Z.
    connection = psycopg.connect(
        url.replace("postgresql+psycopg://", "postgresql://"),
        autocommit=True,
        row_factory=dict_row,
        options="-c timezone=UTC",
    )

    def run(sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        native = re.sub(r"(?<!:):([a-z_]\w*)", r"%(\1)s", sql.replace("%", "%%"))
        with connection.cursor() as cursor:
            cursor.execute(native.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    return run, connection.close
