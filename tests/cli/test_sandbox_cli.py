"""The sandbox and whose database is sent from: a copy goes with it, and with it alone."""

import re
import signal
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import requests

from smartia_jobs.catalogue.definition import shipped_definitions
from smartia_jobs.sandbox.account import PHONE_NUMBER_ID
from smartia_jobs.sandbox.clinic import ZONE, make_clinic
from smartia_jobs.sandbox.server import Sandbox
from tests.sandbox.graph import wait_until
from tests.sandbox.receiver import APP_SECRET, VERIFY_TOKEN, Receiver, receiving
from tests.support import Clinic, RunCli, StartCli

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
JOBS = [["24h"], ["2h"], ["no-show"]]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(templates=shipped_definitions(clinic_name="Clínica Aurora")) as server:
        yield server


@pytest.fixture
def env(clinic: Clinic, sandbox: Sandbox) -> dict[str, str]:
    """A clinic with something to do for each job, which nobody has named as a copy."""
    now = datetime.now(ZoneInfo("America/Sao_Paulo")).replace(tzinfo=None, microsecond=0)
    for start in (now + DAY, now + 2 * HOUR, now - 3 * HOUR):
        clinic.add_appointment(clinic.add_patient(), start)
    return {
        "DATABASE_URL": clinic.url,
        "STORED_TIMES": clinic.stored_times,
        "META_ACCESS_TOKEN": "made-up-token",
        "META_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
        "META_API_URL": sandbox.url,
        "DATABASE_IS_A_COPY": "",
    }


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2", "[::1]"])
def test_a_job_refuses_to_send_from_the_clinics_own_database_to_this_machine_itself(
    run_cli: RunCli,
    env: dict[str, str],
    sandbox: Sandbox,
    clinic: Clinic,
    job: list[str],
    host: str,
) -> None:
    env["META_API_URL"] = sandbox.url.replace("127.0.0.1", host)

    result = run_cli(*job, "--json", env=env)

    assert result.exit_code == 78
    assert "DATABASE_IS_A_COPY" in result.json["error"]
    assert sandbox.received == []
    assert clinic.rows("SELECT id FROM interactions") == []
    assert {clinic.status(one) for one in (1, 2, 3)} == {"SCHEDULED"}


@pytest.mark.parametrize("job", JOBS)
def test_from_a_copy_the_sandbox_gets_messages(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox, job: list[str]
) -> None:
    result = run_cli(*job, "--json", env=env | {"DATABASE_IS_A_COPY": "1"})

    assert (result.exit_code, len(sandbox.received)) == (0, 1), result.stderr


@pytest.mark.parametrize("arguments", [["24h", "--dry-run"], ["no-show", "--no-message"]])
def test_what_sends_nothing_needs_no_copy(
    run_cli: RunCli, env: dict[str, str], arguments: list[str]
) -> None:
    result = run_cli(*arguments, "--json", env=env)

    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("job", JOBS)
def test_a_copy_writes_to_no_patient(run_cli: RunCli, env: dict[str, str], job: list[str]) -> None:
    env |= {"DATABASE_IS_A_COPY": "1", "META_API_URL": "https://whatsapp.invalid"}

    result = run_cli(*job, "--json", env=env)

    assert result.exit_code == 78
    assert "DATABASE_IS_A_COPY" in result.json["error"]


@pytest.mark.parametrize(
    ("copy", "url"), [("", "http://127.0.0.1:9"), ("1", "https://whatsapp.invalid")]
)
def test_the_check_warns_of_a_database_that_does_not_go_with_its_whatsapp(
    run_cli: RunCli, env: dict[str, str], copy: str, url: str
) -> None:
    env |= {"DATABASE_IS_A_COPY": copy, "META_API_URL": url}

    result = run_cli("check", "--offline", "--json", env=env)

    [found] = [one for one in result.json["findings"] if one["name"] == "settings"]
    assert found["level"] == "warning"
    assert "DATABASE_IS_A_COPY" in found["text"]
    assert "DATABASE_IS_A_COPY" in found["next_step"]


def test_what_the_sandbox_prints_begins_with_a_copy_and_works(
    run_cli: RunCli, start_cli: StartCli, env: dict[str, str], clinic: Clinic
) -> None:
    process = start_cli("sandbox", "--port", "0")
    assert process.stdout is not None
    printed = ""
    while "curl" not in printed:
        printed += process.stdout.readline()
    told = dict(re.findall(r"\b([A-Z_]+)=(\S+)", printed))
    copied = {"DATABASE_URL": clinic.url, "STORED_TIMES": clinic.stored_times}

    result = run_cli("24h", "--json", env=told | copied)

    assert (result.exit_code, result.json["sent"]) == (0, 1), result.stderr


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook on this machine."""
    with receiving() as running:
        yield running


def printed_by(process: subprocess.Popen[str], last: str) -> str:
    """Return what a program printed up to a line with this in it."""
    assert process.stdout is not None
    printed = ""
    while last not in printed:
        line = process.stdout.readline()
        assert line, printed
        printed += line
    return printed


def test_the_sandbox_tells_a_webhook_what_becomes_of_a_jobs_messages_and_what_a_patient_taps(
    run_cli: RunCli, start_cli: StartCli, clinic: Clinic, receiver: Receiver, env: dict[str, str]
) -> None:
    secrets = {"META_APP_SECRET": APP_SECRET, "META_VERIFY_TOKEN": VERIFY_TOKEN}
    process = start_cli("sandbox", "--port", "0", "--webhook", receiver.url, env=secrets)
    printed = printed_by(process, '"does"')
    told = dict(re.findall(r"\b([A-Z_]+)=(\S+)", printed))
    database = {name: env[name] for name in ("DATABASE_URL", "STORED_TIMES")}
    phone = clinic.rows("SELECT phone_number FROM patients")[0]["phone_number"]

    result = run_cli("24h", "--json", env=told | database)
    person = {"phone": f"+{phone}", "does": "write", "text": "Vou sim"}
    requests.post(f"{told['META_API_URL']}/sandbox/people", json=person, timeout=30)
    wait_until(lambda: len(receiver.messages) == 1)

    assert result.json["sent"] == 1
    words = [status["status"] for status in receiver.statuses]
    assert words == ["sent", "delivered", "read"]
    assert receiver.statuses[0]["biz_opaque_callback_data"].endswith(":1:1")
    assert receiver.messages[0]["text"] == {"body": "Vou sim"}
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize(
    ("secrets", "named"),
    [
        ({"META_APP_SECRET": APP_SECRET, "META_VERIFY_TOKEN": "another"}, "META_VERIFY_TOKEN"),
        ({"META_VERIFY_TOKEN": VERIFY_TOKEN}, "META_APP_SECRET"),
    ],
)
def test_a_webhook_that_does_not_fit_is_told_at_the_start(
    run_cli: RunCli, receiver: Receiver, secrets: dict[str, str], named: str
) -> None:
    result = run_cli("sandbox", "--port", "0", "--webhook", receiver.url, env=secrets)

    assert result.exit_code == 78
    assert named in result.stderr
    assert APP_SECRET not in result.stderr


def test_secrets_may_be_arguments_and_without_a_token_no_handshake_is_played(
    start_cli: StartCli, receiver: Receiver
) -> None:
    process = start_cli(
        "sandbox", "--port", "0", "--webhook", receiver.url, "--app-secret", APP_SECRET
    )

    assert receiver.url in printed_by(process, '"does"')


def test_a_newcomer_tries_the_jobs_on_a_made_up_clinic_of_today(
    run_cli: RunCli, start_cli: StartCli, tmp_path: Path
) -> None:
    path = tmp_path / "my clinic.db"
    printed = printed_by(start_cli("sandbox", "--port", "0", "--clinic", str(path)), "messages")
    told = dict(re.findall(r"\b([A-Z_]+)=(\S+)", printed))

    first, again = (run_cli("24h", "--json", env=told) for _ in range(2))

    assert printed.count("  export ") == 3
    assert (first.exit_code, again.exit_code) == (0, 0), first.stderr
    assert first.json["sent"] >= 10
    assert again.json["sent"] == 0
    assert told["DATABASE_IS_A_COPY"] == "1"


def test_a_made_up_clinic_that_is_there_is_used_as_it_is(
    start_cli: StartCli, tmp_path: Path
) -> None:
    make_clinic(tmp_path / "clinic.db", monday_at=datetime(2026, 11, 23, 9, tzinfo=ZONE))
    before = (tmp_path / "clinic.db").read_bytes()

    process = start_cli("sandbox", "--port", "0", "--clinic", str(tmp_path / "clinic.db"))

    assert "2026-11-23" in printed_by(process, "messages")
    assert (tmp_path / "clinic.db").read_bytes() == before


def test_the_clinics_own_database_is_not_taken_for_a_made_up_one(
    run_cli: RunCli, tmp_path: Path
) -> None:
    path = tmp_path / "smartia.db"
    path.write_bytes(b"somebody's own")

    result = run_cli("sandbox", "--port", "0", "--clinic", str(path))

    assert result.exit_code == 78
    assert "new file" in result.stderr
    assert "DATABASE_IS_A_COPY" not in result.stdout
    assert path.read_bytes() == b"somebody's own"


@pytest.mark.parametrize(("stop", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_sandbox_ends_without_a_word(
    start_cli: StartCli, stop: signal.Signals, status: int
) -> None:
    process = start_cli("sandbox", "--port", "0")
    assert process.stdout is not None
    while "/sandbox/messages" not in process.stdout.readline():
        assert process.poll() is None

    process.send_signal(stop)

    _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (status, "")
