"""``smartia-jobs remind NAME``: a reminder that only the clinic's own catalogue knows."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from smartia_jobs.catalogue.definition import definition
from smartia_jobs.catalogue.loading import load_catalogue
from smartia_jobs.sandbox import PHONE_NUMBER_ID, WABA_ID, Sandbox
from tests.support import Clinic, RunCli

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

CATALOGUE = """\
[5d]
name = "clinica_lembrete_5d_v1"
language = "pt_BR"
category = "UTILITY"
body = "Olá, o seu horário está marcado: {{data}}, às {{hora}}. Até breve!"
lead_hours = 120
every_hours = 24
latest_hours = 60
only_unconfirmed = true
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    path = tmp_path / "mensagens.toml"
    path.write_text(CATALOGUE, encoding="utf-8")
    return path


@pytest.fixture
def sandbox(catalogue: Path) -> Iterator[Sandbox]:
    templates = load_catalogue(catalogue).templates.values()
    registered = [definition(one, clinic_name="Clínica", clinic_phone=None) for one in templates]
    with Sandbox(templates=registered) as running:
        yield running


@pytest.fixture
def env(sqlite_clinic: Clinic, sandbox: Sandbox, catalogue: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": sqlite_clinic.url,
        "META_ACCESS_TOKEN": "made-up-token",
        "META_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
        "META_WABA_ID": WABA_ID,
        "META_API_URL": sandbox.url,
        "MESSAGES_FILE": str(catalogue),
    }


def book(clinic: Clinic, ahead: timedelta, status: str = "SCHEDULED") -> int:
    start = datetime.now(ZoneInfo("America/Sao_Paulo")).replace(tzinfo=None, microsecond=0) + ahead
    return clinic.add_appointment(clinic.add_patient(), start, status)


def test_a_section_with_a_lead_is_a_reminder_that_is_sent_once(
    run_cli: RunCli, env: dict[str, str], sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    for ahead in (60 * HOUR + HOUR, 132 * HOUR - HOUR, 60 * HOUR - HOUR, 132 * HOUR + HOUR):
        book(sqlite_clinic, ahead)
    book(sqlite_clinic, 120 * HOUR, "CONFIRMED")

    first = run_cli("remind", "5d", "--json", env=env)
    again = run_cli("remind", "5d", "--json", env=env)

    assert first.exit_code == 0, first.stderr
    assert (first.json["job"], first.json["sent"]) == ("remind 5d", 2)
    assert first.json["skipped"] == {"confirmed": 1}
    assert again.json["skipped"] == {"already_sent": 2, "confirmed": 1}
    assert {one["template"] for one in sandbox.received} == {"clinica_lembrete_5d_v1"}
    rows = sqlite_clinic.rows("SELECT DISTINCT kind FROM smartia_outbox")
    assert [row["kind"] for row in rows] == ["5d"]


@pytest.mark.parametrize("days", ["", "sat,sun"])
def test_days_without_sending_are_bridged_by_a_daily_reminder_of_the_clinic_s_own(
    run_cli: RunCli, env: dict[str, str], sqlite_clinic: Clinic, days: str
) -> None:
    friday = datetime.fromisoformat("2026-11-27T09:00")
    sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), friday + 132 * HOUR + 2 * DAY)

    result = run_cli(
        "remind", "5d", "--dry-run", "--now", f"{friday:%Y-%m-%dT%H:%M}", "--json",
        env={**env, "NO_SEND_DAYS": days},
    )  # fmt: skip

    assert result.json["would_send"] == (1 if days else 0), result.stderr


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("6d", "There is no reminder '6d'; MESSAGES_FILE defines 5d."),
        ("24h", "24h is a command of its own; run: smartia-jobs 24h"),
        ("no_show", "There is no reminder 'no_show'; MESSAGES_FILE defines 5d."),
        ("5D", "may only have a-z, 0-9, _ and -"),
        ("Maria Souza", "may only have a-z, 0-9, _ and -"),
    ],
)
def test_a_name_that_is_no_reminder_is_wrong_usage(
    run_cli: RunCli, env: dict[str, str], name: str, advice: str
) -> None:
    result = run_cli("remind", name, env=env)

    assert result.exit_code == 2
    assert advice in result.stderr


def test_without_a_catalogue_of_one_s_own_there_is_no_further_reminder(
    run_cli: RunCli, env: dict[str, str]
) -> None:
    result = run_cli("remind", "5d", env={**env, "MESSAGES_FILE": ""})

    assert result.exit_code == 2
    assert "MESSAGES_FILE defines none" in result.stderr


def test_the_check_looks_at_a_reminder_of_the_clinic_s_own(
    run_cli: RunCli, env: dict[str, str], sqlite_clinic: Clinic
) -> None:
    book(sqlite_clinic, 120 * HOUR)

    found = {one["name"]: one for one in run_cli("check", "--json", env=env).json["findings"]}

    assert any("1 would be sent" in line for line in found["due_5d"]["details"])
    assert found["template_5d"]["level"] == "warning"  # it tries for longer than it is of use
    assert any("60 h" in line for line in found["template_5d"]["details"])
    told = [found["time_to_live"]["text"], *found["time_to_live"]["details"]]
    assert any("latest_hours of [5d] in MESSAGES_FILE" in line for line in told)


def test_a_check_of_a_broken_catalogue_still_looks_at_everything_else(
    run_cli: RunCli, env: dict[str, str], catalogue: Path
) -> None:
    catalogue.write_text(CATALOGUE.replace("lead_hours = 120", "lead_hours = 1"), "utf-8")

    result = run_cli("check", "--offline", "--json", env=env)

    found = {one["name"]: one for one in result.json["findings"]}
    assert result.exit_code == 78
    assert found["time_to_live"]["level"] == "problem"
    assert {"due_72h", "due_24h", "due_2h", "due_no_show"} <= found.keys()


def test_its_template_is_previewed_and_registered_like_any_other(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox
) -> None:
    previews = run_cli("templates", "preview", "5d", "--json", env=env).json["previews"]
    submitted = run_cli("templates", "submit", "5d", "--json", env=env).json["templates"]

    assert [one["kind"] for one in previews] == ["5d"]
    assert [(one["kind"], one["result"]) for one in submitted] == [("5d", "exists")]
