"""Each fault of settings, database and WhatsApp, as the scheduler and a person see it."""

import signal
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from smartia_jobs.catalogue.definition import shipped_definitions
from smartia_jobs.sandbox.account import PHONE_NUMBER_ID
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.server import Sandbox
from tests.support import Clinic, RunCli, StartCli
from tests.support.terminal import TerminalWindow

_ZONE = ZoneInfo("America/Sao_Paulo")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(templates=shipped_definitions(clinic_name="Clínica Aurora")) as server:
        yield server


@pytest.fixture
def env(sqlite_clinic: Clinic, sandbox: Sandbox) -> dict[str, str]:
    return {
        "DATABASE_URL": sqlite_clinic.url,
        "META_ACCESS_TOKEN": "secret-token-1234",
        "META_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
        "META_API_URL": sandbox.url,
    }


def book(clinic: Clinic, patients: int) -> list[int]:
    """Book a visit for so many new patients, tomorrow at this hour."""
    tomorrow = (datetime.now(_ZONE) + timedelta(hours=24)).replace(tzinfo=None, microsecond=0)
    return [clinic.add_appointment(clinic.add_patient(), tomorrow) for _ in range(patients)]


def wait_for_messages(sandbox: Sandbox, number: int) -> None:
    """Wait until the sandbox was asked for so many messages."""
    for _ in range(600):
        if len(sandbox.received) >= number:
            return
        time.sleep(0.05)


def states(clinic: Clinic) -> list[str]:
    rows = clinic.rows("SELECT state FROM smartia_outbox ORDER BY id")
    return [row["state"] for row in rows]


@pytest.mark.parametrize("theirs_ahead", [timedelta(hours=26), timedelta(hours=-26)])
def test_a_wrong_clock_costs_one_message(
    run_cli: RunCli,
    env: dict[str, str],
    sandbox: Sandbox,
    sqlite_clinic: Clinic,
    theirs_ahead: timedelta,
) -> None:
    book(sqlite_clinic, 30)
    sandbox.clock_offset = theirs_ahead

    result = run_cli("24h", "--json", env=env)

    assert result.exit_code == 78
    assert "clock is 26 hours" in result.json["stopped"]
    assert (result.json["sent"], result.json["left"]) == (1, 29)
    assert len(sandbox.received) == 1


def test_the_job_sends_real_requests_and_tells_the_truth(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox, sqlite_clinic: Clinic
) -> None:
    book(sqlite_clinic, 3)

    first = run_cli("24h", "--json", env=env)

    assert first.exit_code == 0
    assert (first.json["due"], first.json["sent"], first.json["messages"]) == (3, 3, 3)
    assert len(sandbox.received) == 3
    second = run_cli("24h", "--json", env=env)
    assert second.json["skipped"] == {"already_sent": 3}
    assert len(sandbox.received) == 3


def test_without_token_and_number_nothing_is_claimed_and_both_are_named(
    run_cli: RunCli, env: dict[str, str], sqlite_clinic: Clinic
) -> None:
    book(sqlite_clinic, 1)
    del env["META_ACCESS_TOKEN"], env["META_PHONE_NUMBER_ID"]

    result = run_cli("24h", env=env)

    assert result.exit_code == 78
    assert "META_ACCESS_TOKEN" in result.stderr
    assert "META_PHONE_NUMBER_ID" in result.stderr
    tables = sqlite_clinic.rows("SELECT name FROM sqlite_master WHERE name LIKE 'smartia_%'")
    assert tables == []


def test_a_dry_run_needs_no_token_and_writes_nothing(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox, sqlite_clinic: Clinic
) -> None:
    (visit,) = book(sqlite_clinic, 1)
    before = Path(sqlite_clinic.url.removeprefix("sqlite:///")).read_bytes()
    del env["META_ACCESS_TOKEN"], env["META_PHONE_NUMBER_ID"]

    result = run_cli("24h", "--dry-run", "--json", env=env)

    assert result.exit_code == 0
    (decision,) = result.json["decisions"]
    assert (decision["appointment_id"], decision["decision"]) == (visit, "would_send")
    assert "****" in decision["phone"]
    assert sandbox.received == []
    assert Path(sqlite_clinic.url.removeprefix("sqlite:///")).read_bytes() == before


def test_all_wrong_settings_are_named_at_once(run_cli: RunCli, env: dict[str, str]) -> None:
    wrong = {
        "CLINIC_TIMEZONE": "America/Sao_Paolo",
        "META_API_URL": "http://graph.facebook.com",
        "SEND_RATE": "0",
        "QUIET_HOURS": "25:00-07:00",
        "DATABASE_URL": "mysql://localhost/smartia",
    }

    result = run_cli("2h", env=env | wrong)

    assert result.exit_code == 78
    for name in wrong:
        assert name in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (None, "no such file"),
        (b"this is no database, only some text that is long enough", "not a"),
        (b"", "appointments"),
    ],
)
def test_a_database_that_is_none_is_named(
    run_cli: RunCli, env: dict[str, str], tmp_path: Path, content: bytes | None, named: str
) -> None:
    path = tmp_path / "other.db"
    if content is not None:
        path.write_bytes(content)

    result = run_cli("24h", env=env | {"DATABASE_URL": f"sqlite:///{path}"})

    assert result.exit_code == 78
    assert named in result.stderr
    assert path.exists() == (content is not None)


def test_a_missing_column_is_named(
    run_cli: RunCli, env: dict[str, str], sqlite_clinic: Clinic
) -> None:
    sqlite_clinic.execute("ALTER TABLE appointments DROP COLUMN duration_minutes")

    result = run_cli("24h", env=env)

    assert result.exit_code == 78
    assert "duration_minutes" in result.stderr


def test_an_unreachable_server_may_be_reached_later(run_cli: RunCli, env: dict[str, str]) -> None:
    url = "postgresql://someone:secret-word@127.0.0.1:1/smartia"

    result = run_cli("24h", "--json", env=env | {"DATABASE_URL": url})

    assert result.exit_code == 69
    assert result.json["exit_code"] == 69
    assert "secret-word" not in result.stdout + result.stderr


def test_a_database_that_stays_busy_ends_with_69_and_loses_nothing(
    run_cli: RunCli, env: dict[str, str], sqlite_clinic: Clinic
) -> None:
    book(sqlite_clinic, 1)
    run_cli("2h", env=env)  # our tables exist
    other = sqlite3.connect(sqlite_clinic.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    busy = run_cli("24h", env=env)
    other.execute("ROLLBACK")
    other.close()

    assert busy.exit_code == 69
    assert run_cli("24h", "--json", env=env).json["sent"] == 1


def test_sqlite_on_cloud_run_is_refused(run_cli: RunCli, env: dict[str, str]) -> None:
    result = run_cli("24h", env=env | {"CLOUD_RUN_JOB": "smartia-jobs-24h"})

    assert result.exit_code == 78
    assert "DATABASE_URL" in result.stderr


def test_odd_rows_are_skipped_with_their_reason_and_the_others_go_on(
    run_cli: RunCli, env: dict[str, str], sqlite_clinic: Clinic
) -> None:
    good, no_duration, no_status, gone, latin_name, blob_phone = book(sqlite_clinic, 6)
    of_visit = "(SELECT patient_id FROM appointments WHERE id = :id)"
    sqlite_clinic.execute(
        f"UPDATE patients SET name = CAST(x'4a6fe36f' AS TEXT) WHERE id = {of_visit}", id=latin_name
    )
    sqlite_clinic.execute(
        f"UPDATE patients SET phone_number = x'ff00' WHERE id = {of_visit}", id=blob_phone
    )
    sqlite_clinic.execute(
        "UPDATE appointments SET duration_minutes = NULL WHERE id = :id", id=no_duration
    )
    sqlite_clinic.set_status(no_status, None)
    day = (datetime.now(_ZONE) + timedelta(hours=24)).strftime("%Y-%m-%d")
    sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), f"{day} at noon-ish")
    # Last, because SQLite would give the next patient the same id.
    patient = sqlite_clinic.value("SELECT patient_id FROM appointments WHERE id = :id", id=gone)
    sqlite_clinic.delete_patient(patient)

    result = run_cli("24h", "--json", env=env)

    assert result.exit_code == 0
    assert (result.json["sent"], result.json["failed"]) == (3, 1)
    skipped = {"no_status": 1, "patient_missing": 1, "unreadable_date": 1}
    assert result.json["skipped"] == skipped
    assert good in {
        row["appointment_id"] for row in sqlite_clinic.rows("SELECT * FROM smartia_outbox")
    }


def test_a_dead_token_costs_one_request_and_the_next_run_sends_to_everyone(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox, sqlite_clinic: Clinic
) -> None:
    book(sqlite_clinic, 5)
    sandbox.script("*", Scripted(code=190, status=401))

    refused = run_cli("24h", "--json", env=env)

    assert refused.exit_code == 77
    assert refused.json["failed"] == 0
    assert len(sandbox.received) == 1
    assert run_cli("24h", "--json", env=env).json["sent"] == 5


def test_a_missing_template_costs_one_request(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox, sqlite_clinic: Clinic
) -> None:
    book(sqlite_clinic, 5)
    sandbox.script("*", Scripted(code=132001), repeat_last=True)

    result = run_cli("24h", "--json", env=env)

    assert result.exit_code == 78
    assert (result.json["failed"], len(sandbox.received)) == (0, 1)


@pytest.mark.parametrize(
    "answer", [Scripted(body="{half", status=200), Scripted(cut=True, accepted=True)]
)
def test_an_answer_that_cannot_be_read_is_unknown_and_shown(
    run_cli: RunCli,
    env: dict[str, str],
    sandbox: Sandbox,
    sqlite_clinic: Clinic,
    answer: Scripted,
) -> None:
    book(sqlite_clinic, 1)
    sandbox.script("*", answer)

    result = run_cli("24h", env=env)

    assert result.exit_code == 0
    assert "unknown" in result.stdout
    assert states(sqlite_clinic) == ["unknown"]
    again = run_cli("24h", "--json", env=env)
    assert again.json["held_unknown"] == 1
    assert len(sandbox.received) == 1


def test_nineteen_of_twenty_refused_is_no_success(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox, sqlite_clinic: Clinic
) -> None:
    book(sqlite_clinic, 20)
    sandbox.script("*", Scripted(), Scripted(code=131026), repeat_last=True)

    result = run_cli("24h", "--json", env=env)

    assert result.exit_code == 65
    assert (result.json["failed"], result.json["sent"]) == (19, 1)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_a_signal_ends_the_run_with_its_state_recorded(
    start_cli: StartCli,
    run_cli: RunCli,
    env: dict[str, str],
    sandbox: Sandbox,
    sqlite_clinic: Clinic,
    number: signal.Signals,
    status: int,
) -> None:
    book(sqlite_clinic, 200)
    program = start_cli("24h", env=env)
    wait_for_messages(sandbox, 5)

    program.send_signal(number)

    assert program.wait(20) == status
    assert set(states(sqlite_clinic)) <= {"sent", "retry"}
    assert states(sqlite_clinic).count("sent") == len(sandbox.received)
    rest = run_cli("24h", "--json", env=env | {"SEND_RATE": "200"})
    assert rest.json["skipped"]["already_sent"] + rest.json["sent"] == 200
    assert len(sandbox.received) == 200


def test_a_terminal_that_is_closed_ends_the_run_with_its_state_recorded(
    env: dict[str, str], sandbox: Sandbox, sqlite_clinic: Clinic
) -> None:
    book(sqlite_clinic, 60)
    with TerminalWindow("24h", env=env) as window:
        wait_for_messages(sandbox, 8)

        window.close()

        assert window.process.wait(20) == 143
    assert set(states(sqlite_clinic)) <= {"sent", "retry"}
    assert states(sqlite_clinic).count("sent") == len(sandbox.received)


def test_a_second_ctrl_c_says_that_a_message_may_be_in_flight(
    start_cli: StartCli, env: dict[str, str], sandbox: Sandbox, sqlite_clinic: Clinic
) -> None:
    book(sqlite_clinic, 1)
    sandbox.latency_s = 15
    program = start_cli("24h", env=env | {"LOG_FORMAT": "text"})
    wait_for_messages(sandbox, 1)

    program.send_signal(signal.SIGINT)
    time.sleep(0.5)
    program.send_signal(signal.SIGINT)

    _, said = program.communicate(timeout=10)
    assert program.returncode == 130
    assert "one that is in flight becomes unknown when its lease ends" in said
    assert "see smartia-jobs outbox" in said
    assert "nothing was being sent" not in said
    assert states(sqlite_clinic) == ["claimed"]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ((), 2),
        (("24h", "--no-such-option"), 2),
        (("no-such-command",), 2),
        (("24h", "--now", "2026-11-23T09:00"), 2),
        (("24h", "--dry-run", "--now", "yesterday"), 2),
        (("24h", "--limit", "0"), 2),
        (("--help",), 0),
        (("--version",), 0),
        (("24h", "--help"), 0),
        (("24h", "--dry-run"), 0),
        (("2h", "--dry-run"), 0),
    ],
)
def test_usage_has_its_own_status_and_never_a_traceback(
    run_cli: RunCli, env: dict[str, str], arguments: tuple[str, ...], status: int
) -> None:
    result = run_cli(*arguments, env=env)

    assert result.exit_code == status
    assert "Traceback" not in result.stderr
    assert bool(result.stdout) == (status == 0 or arguments == ())


def test_a_wrong_option_is_one_json_object_too(run_cli: RunCli) -> None:
    result = run_cli("24h", "--json", "--no-such-option")

    assert result.exit_code == 2
    assert result.json.keys() == {"job", "exit_code", "error"}
