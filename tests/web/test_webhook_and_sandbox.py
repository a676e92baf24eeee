"""What the sandbox tells and what the webhook stores, over real ports, meet."""

import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from smartia_jobs.catalogue.definition import shipped_definitions
from smartia_jobs.errors import ConfigurationError
from smartia_jobs.sandbox import PHONE_NUMBER_ID, Sandbox, Scripted
from tests.support import Clinic, RunCli, StartCli

SECRET, TOKEN = "made-up-secret", "made-up-token"
OTHER_PHONE = "5541987654321"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(templates=shipped_definitions(clinic_name="Clínica Aurora")) as running:
        yield running


@pytest.fixture
def env(clinic: Clinic, sandbox: Sandbox) -> dict[str, str]:
    """A clinic with a visit tomorrow for each of two patients."""
    tomorrow = datetime.now(ZoneInfo("America/Sao_Paulo")).replace(tzinfo=None, microsecond=0)
    for phone in ("5511987654321", OTHER_PHONE):
        clinic.add_appointment(clinic.add_patient(phone=phone), tomorrow + timedelta(days=1))
    return {
        "DATABASE_URL": clinic.url,
        "STORED_TIMES": clinic.stored_times,
        "META_ACCESS_TOKEN": "made-up-token",
        "META_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
        "META_API_URL": sandbox.url,
        "META_APP_SECRET": SECRET,
        "META_VERIFY_TOKEN": TOKEN,
    }


def serve(
    run_cli: RunCli, start_cli: StartCli, env: dict[str, str]
) -> tuple[subprocess.Popen[str], str]:
    """Start the service on a database with our tables, and return its webhook's address."""
    run_cli("db", "upgrade", env=env)
    serving = start_cli("serve", "--port", "0", env=env)
    assert serving.stdout is not None
    [url] = re.findall(r"http://\S+", serving.stdout.readline())
    return serving, f"{url}/webhook"


def test_every_status_and_every_answer_is_stored_once(
    run_cli: RunCli, start_cli: StartCli, sandbox: Sandbox, clinic: Clinic, env: dict[str, str]
) -> None:
    serving, url = serve(run_cli, start_cli, env)
    with pytest.raises(ConfigurationError, match="META_VERIFY_TOKEN"):
        sandbox.subscribe(url, app_secret=SECRET, verify_token="another")
    sandbox.subscribe(url, app_secret=SECRET, verify_token=TOKEN)
    sandbox.script(f"+{OTHER_PHONE}", Scripted(statuses=("failed", "sent", "sent"), failure=131026))

    result = run_cli("24h", "--json", env=env)
    patient = sandbox.person("+5511987654321", ninth_digit=False, name="Mariana Conceição")
    written = [patient.quote("Não vou 👍"), patient.speak()]
    sandbox.notices.account()
    assert sandbox.webhook.wait_until_idle(30)
    sandbox.webhook.redeliver(10)
    assert sandbox.webhook.wait_until_idle(30)
    serving.terminate()
    serving.communicate(timeout=30)

    assert result.json["sent"] == 2, result.stderr
    statuses = clinic.rows("SELECT status, code FROM smartia_statuses")
    by_word = Counter((row["status"], row["code"]) for row in statuses)
    assert by_word == {
        ("sent", None): 2,
        ("delivered", None): 1,
        ("read", None): 1,
        ("failed", 131026): 1,
    }
    answers = clinic.rows("SELECT message_id, type, text, phone FROM smartia_answers ORDER BY id")
    assert [answer["message_id"] for answer in answers] == written
    assert [answer["type"] for answer in answers] == ["text", "audio"]
    assert (answers[0]["text"], answers[0]["phone"]) == ("Não vou 👍", "551187654321")
    assert clinic.value("SELECT event FROM smartia_notices") == "ACCOUNT_RESTRICTION"
    assert sandbox.webhook.stats()["dropped"] == 0


def test_a_tap_confirms_the_visit_and_the_patient_is_told_so_once(
    run_cli: RunCli, start_cli: StartCli, sandbox: Sandbox, clinic: Clinic, env: dict[str, str]
) -> None:
    serving, url = serve(run_cli, start_cli, env)
    sandbox.subscribe(url, app_secret=SECRET, verify_token=TOKEN)
    run_cli("24h", env=env)
    sandbox.person("+5511987654321").tap("Confirmar presença")
    assert sandbox.webhook.wait_until_idle(30)
    serving.terminate()  # and with it the run that it may have started by itself
    serving.communicate(timeout=30)

    runs = [run_cli("replies", "--json", env=env) for _ in range(2)]

    assert [run.exit_code for run in runs] == [0, 0], runs[0].stderr
    assert (runs[1].json["answers"], runs[1].json["written_back"]) == (0, 0)
    assert clinic.rows("SELECT status FROM appointments ORDER BY id") == [
        {"status": "CONFIRMED"},
        {"status": "SCHEDULED"},
    ]
    assert clinic.rows("SELECT state FROM smartia_outbox WHERE kind = '24h'") == [
        {"state": "read"},
        {"state": "read"},
    ]
    [word] = [one for one in sandbox.received if one["type"] == "text"]
    assert (word["accepted"], word["to"]) == (True, "+5511987654321")
    assert "confirmada" in (word["text"] or "")


def test_on_a_server_a_tap_changes_its_visit_with_nobody_running_a_job(
    run_cli: RunCli, start_cli: StartCli, sandbox: Sandbox, clinic: Clinic, env: dict[str, str]
) -> None:
    serving, url = serve(run_cli, start_cli, env)
    sandbox.subscribe(url, app_secret=SECRET, verify_token=TOKEN)
    run_cli("24h", env=env)

    sandbox.person("+5511987654321").tap("Confirmar presença")

    deadline_s = time.monotonic() + 60  # how long it takes is measured by benchmarks/
    while time.monotonic() < deadline_s:
        statuses = [
            row["status"] for row in clinic.rows("SELECT status FROM appointments ORDER BY id")
        ]
        if "CONFIRMED" in statuses:
            break
        time.sleep(0.05)
    serving.terminate()
    serving.communicate(timeout=30)
    assert statuses == ["CONFIRMED", "SCHEDULED"]
