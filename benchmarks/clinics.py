"""SmartIA databases of any size, filled in bulk."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg

from smartia_jobs.database import Database
from smartia_jobs.store.schema import upgrade

ZONE = ZoneInfo("America/Sao_Paulo")

#: Three patients of four have talked to the chatbot; the receptionist entered the others.
_PATIENTS = """
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
    INSERT INTO patients (id, phone_number, name)
    SELECT n, '55119' || (70000000 + n), 'Marina Souza' FROM numbers
"""
_CONVERSATIONS = """
    INSERT INTO conversations (patient_id, state) SELECT id, 'DONE' FROM patients WHERE id % 4 > 0
"""
#: Four years of the past, and one visit of a hundred later than any reminder; each at one of a
#: day's 44 quarters of an hour, as clinics book.
_OTHERS = """
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
    INSERT INTO appointments (patient_id, title, appointment_date, duration_minutes, status)
    SELECT 1 + n % :patients, 'Consulta', {moment}, 60, {status}
    FROM (SELECT n, CASE WHEN n % 100 > 0 THEN -1440 * (1 + n * 7 % 1389) + n / 7 % 44 * 15
          ELSE 4005 + n * 7 % 100000 / 15 * 15 END AS minutes FROM numbers) AS visits
"""
#: Forty days until yesterday, from 7 to 18 o'clock, booked up to two months ahead: the shape of
#: the public data of 110,527 visits in Vitória.
_BUSY = """
    WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count - 1)
    INSERT INTO appointments (patient_id, title, appointment_date, duration_minutes, status,
        created_at)
    SELECT 1 + n % :patients, 'Consulta',
        strftime('%Y-%m-%d %H:%M:00.000000', :midnight, '-' || (1 + n % 40) || ' days',
            (420 + n / 40 % 44 * 15) || ' minutes'),
        30, CASE n % 5 WHEN 0 THEN 'NO_SHOW' ELSE 'COMPLETED' END,
        strftime('%Y-%m-%d %H:%M:%S', :midnight, '-' || (1 + n % 40 + n * 7 % 61) || ' days',
            (36000 + n * 13 % 32400) || ' seconds')
    FROM numbers
"""
#: A reminder for each of them, that was delivered.
_REMINDED = """
    INSERT INTO smartia_outbox (appointment_id, kind, start, patient_id, phone, state, run_id,
        template, appointment_status, created_at, updated_at, sent_at, delivered_at)
    SELECT id, '24h', appointment_date, patient_id, '+5511970000001', 'delivered', 'earlier',
        'smartia_lembrete_24h_v2', 'SCHEDULED', sent, sent, sent, sent
    FROM (SELECT id, patient_id, appointment_date,
        strftime('%Y-%m-%d %H:%M:%S.000000', appointment_date, '-21 hours') AS sent
        FROM appointments)
"""
#: What three patients of five answer to it within the hour.
_ANSWERED = """
    INSERT INTO smartia_answers (message_id, source, phone, type, said_at, received_at, outbox_id,
        meaning, effect, acted_at)
    SELECT 'wamid.' || id, 'webhook', '5511970000001', 'button', at, at, id,
        CASE id % 10 WHEN 0 THEN 'cancel' WHEN 1 THEN 'unclear' ELSE 'confirm' END,
        CASE id % 10 WHEN 0 THEN 'cancelled' WHEN 1 THEN 'listed' ELSE 'confirmed' END, at
    FROM (SELECT id, strftime('%Y-%m-%d %H:%M:%S.000000', sent_at, (id % 60) || ' minutes') AS at
        FROM smartia_outbox WHERE id % 5 < 3)
"""


@dataclass(frozen=True, slots=True)
class Clinic:
    """A database, and what is in it.

    Attributes:
        url: as ``DATABASE_URL``.
        due: visits that a reminder is due for, each of another patient.
    """

    url: str
    due: int


def sqlite_clinic(path: Path, *, due: int = 0, others: int = 0, journal: str = "delete") -> Clinic:
    """Write a SmartIA file whose next day has ``due`` visits."""
    schema = resources.files("smartia_jobs.sandbox").joinpath("smartia_sqlite.sql")
    moment = "strftime('%Y-%m-%d %H:%M:%f000', :now, minutes || ' minutes')"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(f"BEGIN; {schema.read_text()} COMMIT;")
        with connection:
            patients = max(due, others // 20, 1)
            connection.execute(_PATIENTS, {"count": patients})
            connection.execute(_CONVERSATIONS)
            if others:
                connection.execute(
                    _OTHERS.format(moment=moment, status=_status("minutes < 0")),
                    {
                        "count": others,
                        "patients": patients,
                        "now": f"{_quarter():%Y-%m-%d %H:%M:%S}",
                    },
                )
            connection.executemany(
                "INSERT INTO appointments (patient_id, title, appointment_date, duration_minutes,"
                " status) VALUES (?, 'Consulta', ?, 60, 'CONFIRMED')",
                ((n, f"{start:%Y-%m-%d %H:%M:%S.%f}") for n, start in _due(due)),
            )
    return Clinic(f"sqlite:///{path}", due)


def busy_clinic(path: Path, *, visits: int, reminded: bool, answered: bool = False) -> Clinic:
    """Write a SmartIA file whose last forty days have so many visits.

    Args:
        path: of the file.
        visits: how many.
        reminded: of each of them, or else of none.
        answered: and three of five answered.
    """
    clinic = sqlite_clinic(path, others=visits // 10)
    if reminded:
        with closing(Database(clinic.url)) as database:
            upgrade(database)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM appointments")
        values = {"count": visits, "patients": visits // 200, "midnight": f"{_now():%Y-%m-%d}"}
        connection.execute(_BUSY, values)
        connection.execute("CREATE INDEX by_date ON appointments (appointment_date, status)")
        if reminded:
            connection.execute(_REMINDED)
        if answered:
            connection.execute(_ANSWERED)
    return clinic


def postgresql_clinic(url: str, *, due: int = 0, others: int = 0) -> Clinic:
    """Fill a database that has SmartIA's empty tables; the program's indexes are built as well."""
    native = url.replace("postgresql+psycopg://", "postgresql://")
    moment = "cast(%(now)s AS timestamptz) + minutes * interval '1 minute'"
    with psycopg.connect(native, options="-c timezone=UTC") as connection:
        patients = max(due, others // 20, 1)
        connection.execute(_named(_PATIENTS), {"count": patients})
        connection.execute(_named(_CONVERSATIONS), {})
        if others:
            status = f"cast({_status('minutes < 0')} AS appointmentstatus)"
            connection.execute(
                _named(_OTHERS.format(moment=moment, status=status)),
                {"count": others, "patients": patients, "now": _quarter()},
            )
        with (
            connection.cursor() as cursor,
            cursor.copy(
                "COPY appointments (patient_id, title, appointment_date, duration_minutes, status)"
                " FROM STDIN"
            ) as rows,
        ):
            for number, start in _due(due):
                rows.write_row((number, "Consulta", start, 60, "CONFIRMED"))
        connection.commit()
        connection.autocommit = True
        connection.execute(
            "CREATE INDEX smartia_appointments_date_status ON appointments"
            " (appointment_date, status)"
        )
        connection.execute(
            "CREATE INDEX smartia_conversations_patient ON conversations (patient_id)"
        )
        connection.execute("VACUUM ANALYZE")
    return Clinic(url, due)


def _now() -> datetime:
    """Return the clinic's wall time, naive, as SmartIA stores it (``STORED_TIMES=wall``)."""
    return datetime.now(UTC).astimezone(ZONE).replace(tzinfo=None)


def _quarter() -> datetime:
    now = _now()
    return now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)


def _due(count: int) -> list[tuple[int, datetime]]:
    """Return patients and starts, spread over the window that a run now reminds."""
    first, span = _now() + timedelta(hours=10), timedelta(hours=24)
    return [
        (n, (first + span * n / count).replace(second=0, microsecond=0))
        for n in range(1, count + 1)
    ]


def _status(is_past: str) -> str:
    return (
        f"CASE WHEN {is_past} THEN CASE n % 7 WHEN 0 THEN 'NO_SHOW' WHEN 1 THEN 'CANCELLED'"
        " ELSE 'COMPLETED' END ELSE 'SCHEDULED' END"
    )


def _named(sql: str) -> bytes:
    """Return a statement with SQLite's ``:name`` as psycopg's ``%(name)s``."""
    for name in ("count", "patients", "now"):
        sql = sql.replace(f":{name}", f"%({name})s")
    return sql.replace(" % ", " %% ").encode()
