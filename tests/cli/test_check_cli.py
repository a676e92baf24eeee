"""``smartia-jobs check`` as a person, a pipe and a program see it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartia_jobs.cli.findings_table import counted
from smartia_jobs.jobs.checks.finding import Finding, Level, exit_status
from smartia_jobs.sandbox import PHONE_NUMBER_ID, WABA_ID, Sandbox, Scripted
from tests.jobs.check_desk import APP_SECRET, TOKEN, definitions
from tests.jobs.metrics_desk import Desk
from tests.support import Clinic, RunCli


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An account in order."""
    with Sandbox(templates=definitions()) as running:
        yield running


@pytest.fixture
def env(sqlite_clinic: Clinic, sandbox: Sandbox) -> dict[str, str]:
    """Settings in order."""
    return {
        "DATABASE_URL": sqlite_clinic.url,
        "META_ACCESS_TOKEN": TOKEN,
        "META_APP_SECRET": APP_SECRET,
        "META_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
        "META_WABA_ID": WABA_ID,
        "META_API_URL": sandbox.url,
        "CLINIC_NAME": "Clínica Aurora",
        "QUIET_HOURS": "21:00-07:00",
        "LOG_LEVEL": "DEBUG",
    }


def test_all_in_order_is_status_0_with_one_json_object(
    run_cli: RunCli, env: dict[str, str]
) -> None:
    result = run_cli("check", "--json", env=env)

    assert result.exit_code == 0, result.stdout
    assert result.json.keys() == {"job", "online", "now", "timezone", "findings", "exit_code"}
    assert (result.json["job"], result.json["online"], result.json["exit_code"]) == (
        "check",
        True,
        0,
    )
    keys = {"name", "level", "text", "next_step", "details"}
    assert all(finding.keys() == keys for finding in result.json["findings"])
    assert {f["level"] for f in result.json["findings"]} == {"ok", "warning"}


def test_the_check_leaves_the_database_byte_for_byte(run_cli: RunCli, env: dict[str, str]) -> None:
    path = Path(env["DATABASE_URL"].removeprefix("sqlite:///"))
    before = path.read_bytes()

    run_cli("check", env=env)

    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name]


def test_a_pipe_gets_plain_lines_with_what_to_do_next(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox
) -> None:
    sandbox.templates.change("smartia_lembrete_2h_v2", "pt_BR", status="PAUSED")

    result = run_cli("check", env=env)

    assert result.exit_code == 78
    lines = result.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("problem     template 2h:"))
    assert "PAUSED" in lines[at]
    assert lines[at + 2].strip().startswith("→ Meta paused it")
    assert lines[-1].endswith("1 problem (template 2h). Exit 78.")
    assert "\x1b" not in result.stdout


def test_what_is_ok_takes_a_line_and_what_is_not_is_named_at_the_end(
    run_cli: RunCli, env: dict[str, str]
) -> None:
    result = run_cli("check", env=env)

    _, *lines, last = result.stdout.splitlines()
    first_to_do = next(n for n, line in enumerate(lines) if not line.startswith("ok"))
    assert first_to_do >= 20
    assert len(lines) <= 40
    assert re.search(r"^\d+ ok, 3 warnings \(settings, own tables, index\)\. Exit 0\.$", last)
    assert re.search(
        r"settings in force: Not at .* \d+ of \d+; smartia-jobs config show", result.stdout
    )


def test_the_details_of_what_is_ok_can_be_asked_for(
    run_cli: RunCli, env: dict[str, str], sqlite_clinic: Clinic
) -> None:
    desk = Desk(sqlite_clinic)
    desk.add_notice("APPROVED")

    brief, whole = (run_cli("check", *how, env=env).stdout for how in ((), ("--details",)))

    assert brief.count("APPROVED") + 1 == whole.count("APPROVED")


@pytest.mark.parametrize("named", [".env", "clinic.env"])
def test_the_settings_file_that_was_read_is_named(
    run_cli: RunCli, env: dict[str, str], tmp_path: Path, named: str
) -> None:
    file = tmp_path / named
    file.write_text("QUIET_HOURS=18:00-10:00\nCLINIC_PHONE=+551133334444\n")

    result = run_cli("check", "--json", "--env-file", str(file), env=env)

    found = result.json["findings"][0]
    assert found["name"] == "settings_file"
    assert f"{file} was read" in found["text"]
    assert found["level"] == "warning"
    assert "QUIET_HOURS in the environment outranks" in found["text"]
    assert "QUIET_HOURS in the environment outranks" in result.stderr


def test_without_a_settings_file_it_says_so(run_cli: RunCli, env: dict[str, str]) -> None:
    result = run_cli("check", "--json", env=env)

    found = result.json["findings"][0]
    assert (found["name"], found["level"]) == ("settings_file", "ok")
    assert found["text"].startswith("None was read (")
    assert "/.env)" in found["text"]


@pytest.mark.parametrize("content", [None, "CLINIC_NAME=Clínica Aurora\n".encode("latin-1")])
def test_a_settings_file_that_cannot_be_read_is_not_ok(
    run_cli: RunCli, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "clinic.env"
    if content is not None:
        path.write_bytes(content)

    result = run_cli("check", "--json", "--env-file", str(path))

    file, settings = result.json["findings"]
    assert (file["name"], file["level"]) == ("settings_file", "problem")
    assert file["text"].startswith(f"{path} could not be read")
    assert settings["text"].startswith(f"{path}: ")


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a file has no mode")
@pytest.mark.parametrize(
    ("mode", "content", "level"),
    [
        (0o644, "META_ACCESS_TOKEN=EAAverysecret", "warning"),
        (0o604, "DATABASE_URL=postgresql://u:geheim@127.0.0.1:9/x", "warning"),
        (0o600, "META_ACCESS_TOKEN=EAAverysecret", "ok"),
        (0o640, "META_ACCESS_TOKEN=EAAverysecret", "ok"),
        (0o644, "META_ACCESS_TOKEN=", "ok"),
        (0o644, "DATABASE_URL=sqlite:///smartia.db", "ok"),
        (0o644, "META_ACCESS_TOKEN_FILE=token", "ok"),
    ],
)
def test_a_secret_in_a_settings_file_that_every_user_may_read_is_a_warning(
    run_cli: RunCli, tmp_path: Path, mode: int, content: str, level: str
) -> None:
    (tmp_path / "token").write_text("EAAverysecret")
    path = tmp_path / "clinic.env"
    path.write_text(f"{content}\n")
    path.chmod(mode)

    result = run_cli("check", "--offline", "--json", "--env-file", str(path))

    found = result.json["findings"][0]
    assert (found["name"], found["level"]) == ("settings_file", level)
    assert (f"chmod 600 {path}" in (found["next_step"] or "")) == (level == "warning")


def test_every_warning_of_the_settings_is_a_finding(run_cli: RunCli, env: dict[str, str]) -> None:
    env |= {"CLINIC_NAME": '"Clínica Aurora"', "LOGLEVEL": "info"}
    del env["LOG_LEVEL"]

    result = run_cli("check", "--offline", "--json", env=env)

    found = result.json["findings"][0]
    told = " ".join((found["text"], *found["details"]))
    assert found["level"] == "warning"
    assert "LOGLEVEL" in told
    assert "quotation marks" in told


def test_whatsapp_out_of_reach_is_status_69(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox
) -> None:
    # A quota that lasts longer than is worth waiting for.
    usage = '{"1": [{"type": "whatsapp", "estimated_time_to_regain_access": 45}]}'
    slow = Scripted(code=80008, headers={"X-Business-Use-Case-Usage": usage})
    sandbox.script("/debug_token", slow, repeat_last=True)

    result = run_cli("check", "--json", env=env)

    assert result.exit_code == 69
    assert run_cli("check", "--offline", env=env).exit_code == 0


def test_wrong_settings_are_a_finding_each_told(run_cli: RunCli) -> None:
    env = {"CLINIC_TIMEZONE": "Brasil", "SEND_RATE": "fast"}

    result = run_cli("check", "--json", env=env)

    assert result.exit_code == 78
    file, finding = result.json["findings"]
    assert (file["name"], file["level"]) == ("settings_file", "ok")
    assert (finding["name"], finding["level"]) == ("settings", "problem")
    told = finding["text"] + "".join(finding["details"])
    assert "CLINIC_TIMEZONE" in told
    assert "SEND_RATE" in told


@pytest.mark.parametrize("code", [None, 190, 100, 131000])
def test_secrets_appear_in_no_stream_in_no_form(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox, code: int | None
) -> None:
    if code is not None:
        sandbox.script(
            "/debug_token", Scripted(code=code, details=TOKEN), repeat_last=code != 131000
        )

    results = [run_cli("check", *options, env=env) for options in ((), ("--json",))]

    shown = "".join(result.stdout + result.stderr for result in results)
    for secret in (TOKEN, APP_SECRET, "appsecret_proof", "input_token"):
        assert secret not in shown


def test_the_exit_status_is_that_of_the_worst() -> None:
    def status(*levels: Level) -> int:
        return exit_status(Finding("x", level, "") for level in levels)

    assert status() == status(Level.OK, Level.WARNING) == 0
    assert status(Level.OK, Level.UNREACHABLE) == 69
    assert status(Level.UNREACHABLE, Level.PROBLEM) == 78


def test_findings_are_counted_in_words() -> None:
    findings = [Finding("x", level, "") for level in (Level.OK, Level.PROBLEM, Level.PROBLEM)]

    assert counted(findings) == "1 ok, 2 problems"
