"""The progress bar: for a person who waits, and for nobody else."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from smartia_jobs.catalogue.definition import shipped_definitions
from smartia_jobs.sandbox.account import PHONE_NUMBER_ID
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.server import Sandbox
from tests.support import Clinic, RunCli
from tests.support.terminal import run_on_terminal

_ZONE = ZoneInfo("America/Sao_Paulo")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_VISITS = 4


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(templates=shipped_definitions(clinic_name="Clínica Aurora")) as server:
        yield server


@pytest.fixture
def slow_run(sqlite_clinic: Clinic, sandbox: Sandbox) -> dict[str, str]:
    """The settings of a run of a few seconds: two messages at a time, the second refused."""
    tomorrow = (datetime.now(_ZONE) + timedelta(hours=24)).replace(tzinfo=None, microsecond=0)
    for _ in range(_VISITS):
        sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), tomorrow)
    sandbox.latency_s = 0.4
    sandbox.script("*", Scripted(), Scripted(code=131026))
    return {
        "DATABASE_URL": sqlite_clinic.url,
        "META_ACCESS_TOKEN": "made-up-token",
        "META_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
        "META_API_URL": sandbox.url,
        "SEND_WORKERS": "2",
    }


def drawn(screen: str) -> list[str]:
    """Return every state of the bar that was drawn, as a person read it."""
    plain = (_CONTROL.sub("", line) for line in re.split(r"\r\n?|\x1b\[2K|\x1b\[1A", screen))
    return [line.rstrip() for line in plain if re.search(r"\d+/(\d+|\?)", line)]


def test_a_run_of_seconds_shows_how_far_it_is_and_leaves_only_its_report(
    slow_run: dict[str, str], tmp_path: Path
) -> None:
    result = run_on_terminal("24h", env=slow_run, cwd=tmp_path, stdout_too=True)

    assert result.exit_code == 0
    # On a slow machine the bar appears before anybody has counted the visits.
    states = [state for state in drawn(result.screen) if " 0/? " not in state]
    assert len(states) > 2
    pattern = rf"24h \S+ +(\d+)/{_VISITS} (\d+) sent (\d+) failed [\d.]+/s [\d:-]+ left"
    read = [re.fullmatch(pattern, state) for state in states]
    assert all(read), states
    counts = [tuple(map(int, state.groups())) for state in read if state]
    assert counts == sorted(counts)
    assert all(done == sent + failed for done, sent, failed in counts)
    assert max(map(len, drawn(result.screen))) <= 80
    after = result.screen.rpartition(" left")[2]
    assert "\x1b[2K" in after
    assert "due" in after
    assert "action" not in result.screen


def test_standard_output_holds_the_result_alone(slow_run: dict[str, str], tmp_path: Path) -> None:
    result = run_on_terminal("24h", "--json", env=slow_run, cwd=tmp_path)

    assert drawn(result.screen)
    assert result.stdout.startswith("{")
    assert "\x1b" not in result.stdout


def test_log_lines_stay_readable_beside_the_bar(slow_run: dict[str, str], tmp_path: Path) -> None:
    result = run_on_terminal("24h", env=slow_run | {"LOG_LEVEL": "DEBUG"}, cwd=tmp_path)

    lines = [_CONTROL.sub("", line) for line in re.split(r"\r\n?", result.screen)]
    messages = [line for line in lines if "action=message" in line]
    assert drawn(result.screen)
    assert len(messages) == _VISITS
    assert all(re.match(r"\d\d:\d\d:\d\d INFO    message action", line) for line in messages), (
        messages
    )


@pytest.mark.parametrize(
    "setting", [{"LOG_FORMAT": "json"}, {"TERM": "dumb"}], ids=["json lines", "dumb terminal"]
)
def test_nothing_is_drawn_where_it_would_be_in_the_way(
    slow_run: dict[str, str], tmp_path: Path, setting: dict[str, str]
) -> None:
    result = run_on_terminal("24h", env=slow_run | setting, cwd=tmp_path)

    assert result.exit_code == 0
    assert drawn(result.screen) == []
    assert "\x1b" not in result.screen


def test_nothing_is_drawn_into_a_pipe(slow_run: dict[str, str], run_cli: RunCli) -> None:
    result = run_cli("24h", env=slow_run | {"LOG_FORMAT": "text", "FORCE_COLOR": "1"})

    assert result.exit_code == 0
    assert "\x1b" not in result.stderr
    assert drawn(result.stderr) == []


def test_a_run_within_a_second_draws_nothing(
    slow_run: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.latency_s = 0.0
    sandbox.script("*")

    result = run_on_terminal(
        "24h", "--limit", "1", env=slow_run | {"PYTHONPROFILEIMPORTTIME": "1"}, cwd=tmp_path
    )

    # On a machine so slow that it took longer, the bar was right to come.
    if not drawn(result.screen):
        assert "rich.progress" not in result.screen
    assert result.exit_code == 0


def test_the_terminal_is_given_back_when_the_run_is_stopped(
    slow_run: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.script("*", Scripted(code=190, status=401))
    sandbox.latency_s = 1.5

    result = run_on_terminal("24h", env=slow_run, cwd=tmp_path)

    assert result.exit_code == 77
    assert drawn(result.screen)
    assert result.screen.count("\x1b[?25l") == result.screen.count("\x1b[?25h") == 1


def test_the_bar_s_code_is_not_loaded_in_a_pipe(slow_run: dict[str, str], run_cli: RunCli) -> None:
    result = run_cli("24h", env=slow_run | {"PYTHONPROFILEIMPORTTIME": "1"})

    assert "rich" not in re.findall(r"\| +([\w.]+)$", result.stderr, re.MULTILINE)
