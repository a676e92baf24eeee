"""The log of a whole run, as Cloud Logging takes it in."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from smartia_jobs.catalogue.definition import shipped_definitions
from smartia_jobs.sandbox.account import PHONE_NUMBER_ID
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.server import Sandbox
from tests.support import Clinic, RunCli

_ZONE = ZoneInfo("America/Sao_Paulo")
_LABELS = "logging.googleapis.com/labels"
#: Execution, task and attempt, and what no other process has.
_RUN_ID = r"smartia-jobs-24h-abcde/0/1/[0-9a-f]{8}"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(templates=shipped_definitions(clinic_name="Clínica Aurora")) as server:
        yield server


@pytest.fixture
def env(postgres_clinic: Clinic, sandbox: Sandbox) -> dict[str, str]:
    tomorrow = (datetime.now(_ZONE) + timedelta(hours=24)).replace(tzinfo=None, microsecond=0)
    for _ in range(3):
        postgres_clinic.add_appointment(postgres_clinic.add_patient(), tomorrow)
    return {
        "DATABASE_URL": postgres_clinic.url,
        "STORED_TIMES": "wall",
        "META_ACCESS_TOKEN": "made-up-token",
        "META_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
        "META_API_URL": sandbox.url,
        "CLOUD_RUN_JOB": "smartia-jobs-24h",
        "CLOUD_RUN_EXECUTION": "smartia-jobs-24h-abcde",
        "CLOUD_RUN_TASK_INDEX": "0",
        "CLOUD_RUN_TASK_COUNT": "1",
        "CLOUD_RUN_TASK_ATTEMPT": "1",
    }


def test_on_cloud_run_every_line_is_an_entry_that_says_whose_it_is(
    run_cli: RunCli, env: dict[str, str]
) -> None:
    result = run_cli("24h", "--json", env=env)

    (report,) = result.stdout.splitlines()  # one line, so one entry
    entries = [json.loads(line) for line in result.stderr.splitlines()]
    run_id = json.loads(report)["run_id"]
    assert re.fullmatch(_RUN_ID, run_id)
    assert {tuple(entry[_LABELS].items()) for entry in entries} == {
        (("job", "24h"), ("run_id", run_id), ("task", "0"), ("attempt", "1"))
    }
    for entry in entries:
        assert entry["severity"] in ("INFO", "WARNING")
        assert entry["message"]
        assert datetime.fromisoformat(entry["time"]).tzinfo is not None
    messages = [entry for entry in entries if entry.get("action") == "message"]
    assert len(messages) == json.loads(report)["messages"] == 3
    assert {"outbox_id", "kind", "status", "attempts", "duration_ms"} <= messages[0].keys()


def test_the_closing_line_carries_the_whole_report_and_the_exit_status(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox
) -> None:
    sandbox.script("*", Scripted(), Scripted(code=190, status=401), repeat_last=True)

    result = run_cli("24h", "--json", env=env)

    closing = json.loads(result.stderr.splitlines()[-1])
    assert result.exit_code == closing["exit_code"] == 77
    assert closing["event"] == "run_finished"
    assert closing["severity"] == "WARNING"
    assert {key: closing[key] for key in result.json} == result.json


def test_a_run_that_an_error_ends_says_so_in_its_last_line(
    run_cli: RunCli, env: dict[str, str]
) -> None:
    gone = re.sub(r"/smartia_\w+", "/nothing_there", env["DATABASE_URL"])

    result = run_cli("24h", "--json", env=env | {"DATABASE_URL": gone})

    closing = json.loads(result.stderr.splitlines()[-1])
    assert result.exit_code == closing["exit_code"] == 78
    assert (closing["event"], closing["severity"]) == ("run_failed", "ERROR")
    assert re.fullmatch(_RUN_ID, closing[_LABELS]["run_id"])


def test_the_weekly_numbers_are_one_entry(run_cli: RunCli, env: dict[str, str]) -> None:
    result = run_cli("metrics", "--json", env=env)

    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1
