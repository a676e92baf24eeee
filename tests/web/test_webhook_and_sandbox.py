"""What the sandbox tells and what the webhook stores, over real ports, meet."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from smartia_jobs.catalogue.definition import definition
from smartia_jobs.catalogue.loading import load_catalogue
from smartia_jobs.errors import ConfigurationError
from smartia_jobs.sandbox import PHONE_NUMBER_ID, Sandbox, Scripted
from tests.support import Clinic, RunCli, StartCli

SECRET, TOKEN = "made-up-secret", "made-up-token"
OTHER_PHONE = "5541987654321"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    templates = [
        definition(template, clinic_name="Clínica Aurora", clinic_phone=None)
        for template in load_catalogue(None).templates.values()
    ]
    with Sandbox(templates=templates) as running:
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


def test_every_status_and_every_answer_is_stored_once(
    run_cli: RunCli, start_cli: StartCli, sandbox: Sandbox, clinic: Clinic, env: dict[str, str]
) -> None:
    run_cli("db", "upgrade", env=env)
    serving = start_cli("serve", "--port", "0", env=env)
    assert serving.stdout is not None
    [url] = re.findall(r"http://\S+", serving.stdout.readline())
    with pytest.raises(ConfigurationError, match="META_VERIFY_TOKEN"):
        sandbox.subscribe(f"{url}/webhook", app_secret=SECRET, verify_token="another")
    sandbox.subscribe(f"{url}/webhook", app_secret=SECRET, verify_token=TOKEN)
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
