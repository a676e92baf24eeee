"""The fixtures themselves: what they build is SmartIA's, and what they promise to clean up."""

import re
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from tests.support import Clinic, RunCli, StartCli
from tests.support.clinic_data import SAO_PAULO
from tests.support.postgres import create_database, drop_database, native

TUESDAY_AT_NINE = datetime(2026, 11, 24, 9, 0)  # noqa: DTZ001 - wall time is naive
BOOKED_AT = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)


def test_a_visit_is_stored_with_member_names_and_defaults(clinic: Clinic) -> None:
    patient = clinic.add_patient("Ana Lima", "5511987650000")
    visit = clinic.add_appointment(patient, TUESDAY_AT_NINE, "CONFIRMED", created_at=BOOKED_AT)

    (row,) = clinic.rows("SELECT * FROM appointments WHERE id = :id", id=visit)

    assert row["patient_id"] == patient
    assert row["status"] == "CONFIRMED"
    assert row["duration_minutes"] == 60
    assert row["updated_at"] is None


def test_sqlite_stores_dates_as_sqlalchemy_writes_them(sqlite_clinic: Clinic) -> None:
    patient = sqlite_clinic.add_patient()
    sqlite_clinic.add_appointment(patient, TUESDAY_AT_NINE, created_at=BOOKED_AT)

    (row,) = sqlite_clinic.rows("SELECT appointment_date, created_at FROM appointments")

    assert row["appointment_date"] == "2026-11-24 09:00:00.000000"
    assert row["created_at"] == "2026-11-20 15:00:00.000000"


def test_sqlite_takes_a_date_that_is_no_date(sqlite_clinic: Clinic) -> None:
    sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), "2026-11-24 soon", None, None)

    (row,) = sqlite_clinic.rows("SELECT * FROM appointments")

    assert row["appointment_date"] == "2026-11-24 soon"
    assert row["status"] is None
    assert row["duration_minutes"] is None


@pytest.mark.parametrize(("stored_times", "hour_utc"), [("wall", 9), ("instant", 12)])
def test_a_timestamptz_holds_what_the_clinic_says_it_holds(
    postgres_clinic: Clinic, stored_times: str, hour_utc: int
) -> None:
    postgres_clinic.stored_times = "instant" if stored_times == "instant" else "wall"
    postgres_clinic.add_appointment(postgres_clinic.add_patient(), TUESDAY_AT_NINE)

    stored = postgres_clinic.value("SELECT appointment_date FROM appointments")

    assert stored == datetime(2026, 11, 24, hour_utc, 0, tzinfo=UTC)


def test_a_plain_timestamp_holds_wall_time(plain_timestamp_clinic: Clinic) -> None:
    patient = plain_timestamp_clinic.add_patient()
    plain_timestamp_clinic.add_appointment(patient, TUESDAY_AT_NINE)

    stored = plain_timestamp_clinic.value("SELECT appointment_date FROM appointments")

    assert stored == TUESDAY_AT_NINE


def test_an_instant_is_bound_on_sqlite_as_sqlalchemy_writes_it(sqlite_clinic: Clinic) -> None:
    here = BOOKED_AT.astimezone(SAO_PAULO)

    written = [sqlite_clinic.value("SELECT :at", at=at) for at in (TUESDAY_AT_NINE, here)]

    assert written == ["2026-11-24 09:00:00.000000", "2026-11-20 15:00:00.000000"]


def test_the_servers_own_zone_is_not_utc(smartia_postgres: str) -> None:
    url = smartia_postgres.replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        zone = connection.execute("SHOW timezone").fetchone()

    assert zone == ("America/Sao_Paulo",)


def test_each_patient_gets_a_phone_of_their_own(clinic: Clinic) -> None:
    for _ in range(3):
        clinic.add_patient()

    phones = {row["phone_number"] for row in clinic.rows("SELECT phone_number FROM patients")}

    assert phones == {"5511987650001", "5511987650002", "5511987650003"}


def test_the_receptionist_moves_marks_and_corrects(clinic: Clinic) -> None:
    patient = clinic.add_patient()
    visit = clinic.add_appointment(patient, TUESDAY_AT_NINE)

    clinic.move(visit, TUESDAY_AT_NINE.replace(hour=11))
    clinic.set_status(visit, "COMPLETED")
    clinic.set_phone(patient, "(11) 98765-4321")

    (row,) = clinic.rows(
        "SELECT a.*, p.phone_number FROM appointments a JOIN patients p ON p.id = a.patient_id"
    )
    assert str(row["appointment_date"]).startswith("2026-11-24 11:00")
    assert clinic.status(visit) == row["status"] == "COMPLETED"
    assert row["phone_number"] == "(11) 98765-4321"


def test_a_patient_can_vanish_from_under_a_visit(clinic: Clinic) -> None:
    patient = clinic.add_patient()
    visit = clinic.add_appointment(patient, TUESDAY_AT_NINE)

    clinic.delete_patient(patient)

    assert clinic.rows("SELECT id FROM patients") == []
    assert clinic.status(visit) == "SCHEDULED"


def test_a_visit_can_vanish(clinic: Clinic) -> None:
    visit = clinic.add_appointment(clinic.add_patient(), TUESDAY_AT_NINE)

    clinic.delete_appointment(visit)

    assert clinic.rows("SELECT id FROM appointments") == []


def test_a_chat_keeps_its_messages(clinic: Clinic) -> None:
    patient = clinic.add_patient()
    chat = clinic.add_conversation(patient, "ASK_DATE", intent="book", created_at=BOOKED_AT)
    clinic.add_interaction(chat, "Quero marcar às 14:30, 100%", created_at=BOOKED_AT)

    (row,) = clinic.rows(
        "SELECT i.*, c.state FROM interactions i JOIN conversations c ON c.id = i.conversation_id"
        " WHERE message_text LIKE 'Quero%14:30%'"
    )

    assert (row["patient_id"], row["state"], row["type"]) == (patient, "ASK_DATE", "INCOMING")


def test_an_aware_start_is_refused(sqlite_clinic: Clinic) -> None:
    with pytest.raises(ValueError, match="wall time"):
        sqlite_clinic.add_appointment(1, BOOKED_AT)


def test_postgres_refuses_a_status_smartia_does_not_know(postgres_clinic: Clinic) -> None:
    visit = postgres_clinic.add_appointment(postgres_clinic.add_patient(), TUESDAY_AT_NINE)

    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        postgres_clinic.set_status(visit, "completed")


def test_a_forgotten_connection_is_noticed(postgres_url: str) -> None:
    create_database(postgres_url, "forgetful")
    with psycopg.connect(native(postgres_url, "forgetful")):
        forgotten = drop_database(postgres_url, "forgetful", patience_s=0.1)

    assert forgotten == 1


def test_the_program_sees_nothing_of_the_developers_shell(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")  # no Python can start with it

    result = run_cli("--help")

    assert result.exit_code == 0, result.stderr
    assert "Usage" in result.stdout


def test_the_program_sees_the_variables_it_is_given(run_cli: RunCli) -> None:
    result = run_cli("--help", env={"PYTHONHOME": "/nowhere"})

    assert result.exit_code == 1
    assert "encodings" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("--version",), 0),
        (("--help",), 0),
        (("templates", "preview", "24h"), 0),
        (("24h", "--no-such-option"), 2),
        (("opt-out", "list"), 78),
    ],
)
def test_a_forked_run_leaves_what_a_run_from_nothing_leaves(
    run_cli: RunCli, arguments: tuple[str, ...], status: int
) -> None:
    from_nothing = run_cli(*arguments, env={"PYTHONHASHSEED": "0"})

    forked = run_cli(*arguments)

    assert forked.exit_code == from_nothing.exit_code == status
    assert forked.stdout == from_nothing.stdout
    at = re.compile('"time":"[^"]*"')
    assert at.sub("", forked.stderr) == at.sub("", from_nothing.stderr)


def test_runs_share_neither_variables_nor_folders(run_cli: RunCli, tmp_path: Path) -> None:
    given = run_cli("templates", "preview", "24h", env={"CLINIC_NAME": "Clínica Aurora"})
    (tmp_path / ".env").write_text("CLINIC_NAME=Clínica Ipê\n", "utf-8")

    found = run_cli("templates", "preview", "24h")

    assert ("Clínica Aurora" in given.stdout, "Clínica Ipê" in given.stdout) == (True, False)
    assert ("Clínica Aurora" in found.stdout, "Clínica Ipê" in found.stdout) == (False, True)


def test_a_run_is_ended_by_a_signal_and_what_it_printed_is_kept(start_cli: StartCli) -> None:
    process = start_cli("sandbox", "--port", "0")
    assert process.stdout is not None
    first_line = process.stdout.readline()
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.01)
    assert process.poll() is None

    process.kill()

    assert process.wait(timeout=60) == -signal.SIGKILL
    assert "http://127.0.0.1:" in first_line + process.communicate()[0]
