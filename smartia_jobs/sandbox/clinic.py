"""A made-up clinic in a new SmartIA file: its story, and nine weeks of history behind it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib import resources
from itertools import cycle
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from smartia_jobs.sandbox.story import CHATS, PATIENTS, STORY, Chat, Visit

#: Where the made-up clinic is.
ZONE = ZoneInfo("America/Sao_Paulo")

# The weeks before the story: each weekday these visits, booked as clinics are, some long
# ahead. Who books long ahead stays away more often (c: completed, n: no-show, x: cancelled,
# s: nobody marked it), which is why reminders are judged by lead time.
_HISTORY = timedelta(weeks=9)
_TIMES = ("08:00", "09:00", "10:00", "11:00", "14:00", "15:30", "17:00")
_LEADS = (0, 3, 14, 1, 40, 8, 0, 5, 21, 2, 10)
_OUTCOMES_FROM_LEAD = {
    0: "cccccccxcccncccc",
    1: "cccncccxcccccnccsc",
    7: "ccncccxcncccccx",
    30: "cnccxncccxnc",
}
_STATUSES = {"c": "COMPLETED", "n": "NO_SHOW", "x": "CANCELLED", "s": "SCHEDULED"}


@dataclass(frozen=True, slots=True)
class MadeUpClinic:
    """What was made: the SQLAlchemy URL of the file, and how much is in it."""

    url: str
    patients: int
    visits: int


def make_clinic(path: Path, *, monday_at: datetime) -> MadeUpClinic:
    """Write the made-up clinic into a new file; the same Monday always gives the same clinic.

    Args:
        path: of a file that does not exist yet.
        monday_at: when the story is told (aware): a Monday in America/Sao_Paulo, best at 9:00.

    Raises:
        ValueError: it is no Monday there.
        FileExistsError: something is at ``path``; it was not touched.
    """
    monday = monday_at.astimezone(ZONE).date()
    if monday_at.tzinfo is None or monday.weekday() != 0:
        raise ValueError("the clinic's story is told on a Monday in São Paulo, at an aware instant")
    return _write(path, monday)


def make_clinic_of_today(path: Path, *, now: datetime) -> MadeUpClinic:
    """Write the made-up clinic into a new file, as if today were its Monday.

    So the jobs have something to do at once, whatever day it is.

    Args:
        path: of a file that does not exist yet.
        now: an aware instant.

    Raises:
        FileExistsError: something is at ``path``; it was not touched.
    """
    return _write(path, now.astimezone(ZONE).date())


def told_on(path: Path) -> date | None:
    """Return the Monday of the made-up clinic in a file; None: it is no made-up clinic."""
    if not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            first = opened.execute("SELECT name, phone_number FROM patients WHERE id = 1")
            if first.fetchone() != next(iter(PATIENTS.items())):
                return None
            query = "SELECT min(appointment_date) FROM appointments WHERE id > ?"
            (friday,) = opened.execute(query, (sum(1 for _ in _history()),)).fetchone()
        return date.fromisoformat(str(friday)[:10]) - timedelta(days=STORY[0].day)
    except (sqlite3.DatabaseError, ValueError):
        return None


def make_empty(path: Path) -> None:
    """Write SmartIA's tables, without a row, into a new file.

    Raises:
        FileExistsError: something is at ``path``; it was not touched.
    """
    path.touch(exist_ok=False)
    schema = resources.files("smartia_jobs.sandbox").joinpath("smartia_sqlite.sql")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"BEGIN; {schema.read_text(encoding='utf-8')}; COMMIT")


def _write(path: Path, monday: date) -> MadeUpClinic:
    make_empty(path)
    visits = [*_history(), *STORY]
    with closing(sqlite3.connect(path)) as connection, connection:
        patients = _write_patients(connection, monday)
        chats = {
            chat.patient: _write_chat(connection, chat, patients[chat.patient], monday)
            for chat in CHATS
        }
        for visit in visits:
            chat_id = chats[visit.patient] if visit.by_chat else None
            _write_visit(connection, visit, patients[visit.patient], chat_id, monday)
    return MadeUpClinic(f"sqlite:///{path}", len(patients), len(visits))


def _history() -> Iterator[Visit]:
    """Yield the visits of the weekdays before the story, oldest first."""
    names, leads = cycle(PATIENTS), cycle(_LEADS)
    outcomes = {lead: cycle(codes) for lead, codes in _OUTCOMES_FROM_LEAD.items()}
    weekdays = [day for day in range(-_HISTORY.days, 0) if day % 7 < 5]
    for day in weekdays:
        for at in _TIMES:
            lead = next(leads)
            band = max(start for start in outcomes if start <= lead)
            yield Visit(next(names), day, at, lead, _STATUSES[next(outcomes[band])])


def _write_patients(connection: sqlite3.Connection, monday: date) -> dict[str, int]:
    """Write everybody, as if brought over when the clinic began with SmartIA."""
    began_at = _instant(monday - timedelta(days=130), "10:00")
    return {
        name: _insert(
            connection,
            "patients",
            name=name or None,
            phone_number=phone,
            created_at=_clock(began_at + timedelta(minutes=number)),
        )
        for number, (name, phone) in enumerate(PATIENTS.items())
    }


def _write_chat(connection: sqlite3.Connection, chat: Chat, patient: int, monday: date) -> int:
    began_at = _instant(monday + timedelta(days=chat.day), chat.at)
    chat_id = _insert(
        connection,
        "conversations",
        patient_id=patient,
        state=chat.state,
        intent=chat.intent,
        created_at=_clock(began_at),
        updated_at=_clock(began_at + timedelta(minutes=len(chat.said))),
    )
    for turn, text in enumerate(chat.said):
        _insert(
            connection,
            "interactions",
            conversation_id=chat_id,
            patient_id=patient,
            type="OUTGOING" if turn % 2 else "INCOMING",
            message_text=text,
            message_type="text",
            created_at=_clock(began_at + timedelta(minutes=turn)),
        )
    return chat_id


def _write_visit(
    connection: sqlite3.Connection, visit: Visit, patient: int, chat: int | None, monday: date
) -> None:
    day = monday + timedelta(days=visit.day)
    start_at = _instant(day, visit.at)
    if visit.lead:
        # In the evening, when patients have time to write; the minute only looks natural.
        minute = (start_at.hour * 7 + start_at.minute) % 60
        booked_at = _instant(day - timedelta(days=visit.lead), f"19:{minute:02}")
    else:
        booked_at = start_at - timedelta(minutes=90)
    changed_at = {
        "COMPLETED": start_at + timedelta(minutes=55),
        "NO_SHOW": start_at + timedelta(minutes=90),
        "CONFIRMED": booked_at + timedelta(minutes=15),
        "CANCELLED": booked_at + timedelta(minutes=30),
    }.get(visit.status or "", booked_at + timedelta(days=1) if visit.notes else None)
    _insert(
        connection,
        "appointments",
        patient_id=patient,
        conversation_id=chat,
        title="Consulta",
        appointment_date=f"{day} {visit.at}:00.000000",
        duration_minutes=visit.minutes,
        status=visit.status,
        created_at=_clock(booked_at),
        updated_at=_clock(changed_at) if changed_at else None,
        notes=visit.notes,
    )


def _instant(day: date, at: str) -> datetime:
    """Return the instant of a clinic wall time."""
    return datetime.combine(day, time.fromisoformat(at), ZONE).astimezone(UTC)


def _clock(at: datetime) -> str:
    """Return what SQLite's CURRENT_TIMESTAMP would have said at this instant."""
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _insert(connection: sqlite3.Connection, table: str, **values: Any) -> int:
    """Insert one row and return its id; names come from this module alone."""
    columns, places = ", ".join(values), ", ".join(f":{name}" for name in values)
    statement = f"INSERT INTO {table} ({columns}) VALUES ({places})"  # noqa: S608 - own names
    return int(connection.execute(statement, values).lastrowid or 0)
