"""``smartia-jobs config show``: every setting, its value, and where it came from."""

import re
from pathlib import Path

import pytest

from smartia_jobs.settings.declarations import VARIABLES
from tests.support import RunCli
from tests.support.terminal import run_on_terminal

TOKEN, SECRET = "EAAverysecret", "0123456789abcdef"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A setting of each origin."""
    (tmp_path / ".env").write_text(
        "CLINIC_NAME=Clínica Aurora\nQUIET_HOURS=21:00-07:00\nSEND_RATE=5\nNO_SEND_DAYS=\n"
        "META_APP_SECRET_FILE=secret\n"
    )
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    return {
        "SEND_RATE": "10",
        "META_ACCESS_TOKEN_FILE": "token",
        "DATABASE_URL": f"postgresql://smartia:{SECRET}@db.example/smartia",
        "QUIET_HOURS": "",
    }


def test_each_setting_says_where_it_came_from(
    run_cli: RunCli, env: dict[str, str], tmp_path: Path
) -> None:
    result = run_cli("config", "show", "--json", env=env)

    assert result.exit_code == 0, result.stderr
    assert result.json.keys() == {"job", "exit_code", "settings_file", "settings"}
    assert result.json["settings_file"] == str(tmp_path / ".env")
    settings = {one.pop("name"): tuple(one.values()) for one in result.json["settings"]}
    assert list(settings) == [variable.name for variable in VARIABLES]
    assert settings["CLINIC_NAME"] == ("Clínica Aurora", "file", None)
    assert settings["SEND_RATE"] == ("10", "environment", None)
    assert settings["META_ACCESS_TOKEN"] == ("(set)", "environment", "META_ACCESS_TOKEN_FILE")
    assert settings["META_APP_SECRET"] == ("(set)", "file", "META_APP_SECRET_FILE")
    assert settings["CLINIC_COUNTRY"] == ("BR", "default", None)
    # What is empty in the environment is not set, whatever the file says.
    assert settings["QUIET_HOURS"] == settings["NO_SEND_DAYS"] == (None, "default", None)


def test_secrets_are_masked_in_every_form(run_cli: RunCli, env: dict[str, str]) -> None:
    env |= {"ONLY_TO": "+5511987654321"}

    shown = [run_cli("config", "show", *form, env=env) for form in ((), ("--json",))]

    for result in shown:
        told = result.stdout + result.stderr
        assert not [one for one in (TOKEN, SECRET, "98765") if one in told]
    (url,) = [one["value"] for one in shown[1].json["settings"] if one["name"] == "DATABASE_URL"]
    assert url == "postgresql+psycopg://smartia:***@db.example/smartia"


def test_a_pipe_and_a_terminal_of_80_columns_show_it_whole(
    run_cli: RunCli, env: dict[str, str], tmp_path: Path
) -> None:
    piped = run_cli("config", "show", env=env).stdout.splitlines()
    watched = run_on_terminal("config", "show", env=env, cwd=tmp_path, stdout_too=True)

    assert max(map(len, piped)) <= 80
    rows = {
        line.split()[0]: line.split() for line in piped if line.startswith(" ") and line.split()
    }
    assert rows["SEND_RATE"] == ["SEND_RATE", "10", "environment"]
    assert rows["CLINIC_NAME"] == ["CLINIC_NAME", "Clínica", "Aurora", ".env"]
    assert rows["META_APP_SECRET"] == ["META_APP_SECRET", "(set)", ".env", "(_FILE)"]
    assert {variable.name for variable in VARIABLES} <= rows.keys()
    assert all(variable.name in watched.screen for variable in VARIABLES)
    assert watched.exit_code == 0


def test_each_setting_that_the_environment_outranks_is_named_once(
    run_cli: RunCli, env: dict[str, str]
) -> None:
    env |= {"CLINIC_NAME": "Clínica Central"}

    result = run_cli("config", "show", env=env)

    told = re.findall(r"(\w+) in the environment outranks what", result.stderr)
    assert sorted(told) == ["CLINIC_NAME", "QUIET_HOURS", "SEND_RATE"]
    shown = " ".join(result.stdout.split())
    assert "the environment outranks it." in shown
    assert "outranks what" not in shown


def test_wrong_settings_are_told_as_by_every_command(run_cli: RunCli) -> None:
    result = run_cli("config", "show", env={"SEND_RATE": "fast"})

    assert result.exit_code == 78
    assert "SEND_RATE" in result.stderr
