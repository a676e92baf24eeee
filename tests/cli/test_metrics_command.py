"""``smartia-jobs metrics`` as a process: streams, files and exit statuses."""

import csv
import json
import os
import pty
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from smartia_jobs.kinds import KINDS
from tests.jobs.metrics_desk import ASKS, Desk, local, wall
from tests.support import Clinic, RunCli
from tests.support import program as program_under_test
from tests.support.terminal import run_on_terminal

ROOT = Path(program_under_test.__file__).parents[2]
MARCH = ("--until", "2026-03-31", "--days", "31")


@pytest.fixture
def busy_clinic(sqlite_clinic: Clinic) -> Clinic:
    """A clinic on SQLite with visits of March 2026 and their reminders."""
    desk = Desk(sqlite_clinic)
    statuses = ["COMPLETED", "COMPLETED", "NO_SHOW", "CANCELLED", "SCHEDULED"]
    rows = []
    for number in range(60):
        start = wall(2026, 3, 2, 8) + timedelta(days=number % 28, hours=number % 9)
        appointment_id = sqlite_clinic.add_appointment(
            sqlite_clinic.add_patient(),
            start,
            statuses[number % 5],
            created_at=local(2026, 2, 20),
        )
        if number % 3:
            rows.append({"appointment_id": appointment_id, "start": start})
    desk.add_all(rows)
    return sqlite_clinic


def env_of(clinic: Clinic) -> dict[str, str]:
    """Return the settings a process needs for this clinic."""
    return {"DATABASE_URL": clinic.url, "STORED_TIMES": "wall"}


@pytest.fixture
def without_jinja(tmp_path: Path) -> dict[str, str]:
    """An environment in which the library of the page cannot be loaded."""
    missing = tmp_path / "missing" / "jinja2"
    missing.mkdir(parents=True)
    (missing / "__init__.py").write_text("raise ModuleNotFoundError(name='jinja2')\n")
    return {"PYTHONPATH": f"{missing.parent}{os.pathsep}{ROOT}"}


def test_an_empty_database_shows_zeros_and_dashes(run_cli: RunCli, clinic: Clinic) -> None:
    result = run_cli("metrics", env=env_of(clinic))

    assert result.exit_code == 0
    assert re.search(r"total +0 +0 +0\n", result.stdout)
    assert re.search(r"no-show of all +- +- +-\n", result.stdout)
    assert "no table of messages yet" in result.stdout.replace("\n", " ")


def test_nothing_is_written_to_the_database(run_cli: RunCli, sqlite_clinic: Clinic) -> None:
    before = sqlite_clinic.rows("SELECT name FROM sqlite_master")

    run_cli("metrics", env=env_of(sqlite_clinic))

    assert sqlite_clinic.rows("SELECT name FROM sqlite_master") == before


def test_json_is_one_object_with_the_documented_keys(run_cli: RunCli, busy_clinic: Clinic) -> None:
    result = run_cli("metrics", *MARCH, "--json", env=env_of(busy_clinic))

    figures = ["period", "appointments", "cancelled_in_advance", "no_show_rate", "completion_rate"]
    figures += ["no_show_rate_of_attended_or_missed", "attended_or_missed", "unresolved"]
    figures += ["messages", "messages_by_category"]
    assert list(result.json) == [
        *figures,
        "answers",
        "answer_effects",
        "by_answer",
        "effect",
        "previous",
        "reengaged",
        "failure_reasons",
        "undelivered_reasons",
        "by_weekday",
        "by_hour",
        "messages_since",
        "heard_since",
        "answers_since",
        "notes",
    ]
    assert list(result.json["previous"]) == figures
    assert result.json["appointments"]["total"] == 60
    assert result.json["messages"]["24h"]["sent"] == 40


def test_format_json_and_json_are_the_same(run_cli: RunCli, busy_clinic: Clinic) -> None:
    result = run_cli("metrics", *MARCH, "--format", "json", env=env_of(busy_clinic))

    assert result.json == run_cli("metrics", *MARCH, "--json", env=env_of(busy_clinic)).json


def test_csv_has_one_row_for_each_day(run_cli: RunCli, busy_clinic: Clinic) -> None:
    result = run_cli("metrics", *MARCH, "--format", "csv", env=env_of(busy_clinic))

    heading, *rows = result.stdout.splitlines()
    assert heading.startswith("date,total,scheduled,confirmed,completed,cancelled,no_show,unset,")
    assert [row[:10] for row in rows] == [f"2026-03-{day:02d}" for day in range(1, 32)]
    assert rows[0].startswith("2026-03-01,0,0,0,0,0,0,0,,,,")
    assert f"{heading},".count("_undelivered,") == len(KINDS)
    days = list(csv.DictReader(result.stdout.splitlines()))
    assert sum(int(day["24h_sent"]) for day in days) == 40
    assert {day["24h_delivered"] for day in days} == {""}
    assert sum(int(row.split(",")[1]) for row in rows) == 60


def test_a_pipe_gets_plain_text_of_80_columns(run_cli: RunCli, busy_clinic: Clinic) -> None:
    env = {**env_of(busy_clinic), "COLUMNS": "300", "FORCE_COLOR": "1"}

    result = run_cli("metrics", *MARCH, env=env)

    assert "\x1b" not in result.stdout
    assert "…" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_terminal_of_80_columns_gets_colours_and_bars(busy_clinic: Clinic) -> None:
    ours, theirs = pty.openpty()
    env = {**env_of(busy_clinic), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    env |= {"TERM": "xterm-256color", "COLUMNS": "80", "LANG": "C.UTF-8"}

    with subprocess.Popen(
        [sys.executable, "-m", "smartia_jobs", "metrics", *MARCH], env=env, stdout=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
    os.close(ours)

    text = shown.decode()
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in text.splitlines()]
    assert process.returncode == 0
    assert "\x1b[" in text
    assert any("██" in line for line in lines)
    assert max(map(len, lines)) <= 80


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the other side has gone
        return b""


def test_a_reader_that_goes_away_is_no_error(busy_clinic: Clinic) -> None:
    env = {**env_of(busy_clinic), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    ours, theirs = os.pipe()
    os.close(ours)

    process = subprocess.run(
        [sys.executable, "-m", "smartia_jobs", "metrics", *MARCH, "--json"],
        env=env,
        stdout=theirs,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(theirs)

    assert (process.returncode, process.stderr) == (0, b"")


def test_the_csv_tells_what_became_of_each_day_s_messages(
    run_cli: RunCli, sqlite_clinic: Clinic
) -> None:
    desk, at = Desk(sqlite_clinic), local(2026, 3, 5, 9)
    states = [("read", None), ("undelivered", 131026), ("undelivered", None), ("sent", None)]
    for number, (state, code) in enumerate(states):
        seen = at if state == "read" else None
        desk.add(
            appointment_id=number, state=state, created_at=at, error_code=code,
            delivered_at=seen, read_at=seen,
        )  # fmt: skip

    result = run_cli("metrics", *MARCH, "--format", "csv", env=env_of(sqlite_clinic))

    days = {day["date"]: day for day in csv.DictReader(result.stdout.splitlines())}
    told = {
        name: days["2026-03-05"][name]
        for name in ("24h_sent", "24h_delivered", "24h_read", "24h_undelivered")
    }
    reasons = {"undelivered_131026": "1", "undelivered_no_code": "1"}
    assert list(told.values()) == ["4", "1", "1", "2"]
    assert days["2026-03-05"].items() >= reasons.items()
    assert (days["2026-03-04"]["24h_sent"], days["2026-03-04"]["undelivered_131026"]) == ("0", "0")


def test_the_csv_tells_what_was_answered_and_is_charged_each_day(
    run_cli: RunCli, sqlite_clinic: Clinic
) -> None:
    desk, at, start = Desk(sqlite_clinic), local(2026, 3, 5, 9), wall(2026, 3, 6, 10)
    answers = [
        ("confirm", "COMPLETED"),
        ("cancel", "CANCELLED"),
        ("cancel", "NO_SHOW"),
        ("", "NO_SHOW"),
    ]
    for meaning, status in answers:
        visit = sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), start, status)
        row = desk.add(appointment_id=visit, start=start, created_at=at, template=ASKS)
        if meaning:
            desk.add_answer(row, meaning, "repeated", said_at=at)

    result = run_cli("metrics", *MARCH, "--format", "csv", env=env_of(sqlite_clinic))

    days = {day["date"]: day for day in csv.DictReader(result.stdout.splitlines())}
    names = ("cancelled_in_advance", "answer_confirmed", "answer_cannot_come", "answer_none")
    assert [days["2026-03-06"][name] for name in names] == ["1", "1", "2", "1"]
    assert [days["2026-03-07"][name] for name in names] == ["0", "0", "0", "0"]
    assert [days["2026-03-04"][name] for name in names] == ["", "", "", ""]  # nobody heard
    sent = ("utility_sent", "utility_delivered", "service_sent")
    assert [days["2026-03-05"][name] for name in sent] == ["4", "", "0"]


@pytest.mark.parametrize("how", [".env", "--env-file", "secret", "messages", "another's"])
def test_output_overwrites_no_settings(
    run_cli: RunCli, sqlite_clinic: Clinic, tmp_path: Path, how: str
) -> None:
    env, options = env_of(sqlite_clinic), []
    file = tmp_path / {".env": ".env", "messages": "messages.toml"}.get(how, "file.txt")
    text = "CLINIC_NAME=Aurora\n"
    if how == "--env-file":
        options = ["--env-file", str(file)]
    elif how == "secret":
        text, env["META_ACCESS_TOKEN_FILE"] = "EAAsecret\n", file.name
    elif how == "messages":
        text, env["MESSAGES_FILE"] = "", file.name
    elif how == "another's":
        text = "# of another clinic\nexport DATABASE_URL = sqlite:///other.db\n"
    file.write_text(text)

    result = run_cli("metrics", "--json", "--output", file.name, *options, env=env)

    assert result.exit_code == 78
    assert f"--output {file.name} " in result.json["error"]
    assert "nothing was written" in result.json["error"]
    assert file.read_text() == text


def test_a_settings_file_that_is_not_there_is_not_made_either(
    run_cli: RunCli, sqlite_clinic: Clinic, tmp_path: Path
) -> None:
    result = run_cli("metrics", "--output", ".env", env=env_of(sqlite_clinic))

    assert result.exit_code == 78
    assert not (tmp_path / ".env").exists()


@pytest.mark.parametrize("command", ["metrics", "calls"])
def test_what_was_written_is_said_to_a_terminal_and_not_to_cron(
    run_cli: RunCli, sqlite_clinic: Clinic, tmp_path: Path, command: str
) -> None:
    arguments, env = (command, "--output", "numbers.txt"), env_of(sqlite_clinic)

    watched = run_on_terminal(*arguments, env=env, cwd=tmp_path)
    by_cron = [run_cli(*arguments, env=env | {"LOG_FORMAT": form}) for form in ("text", "json")]

    assert watched.screen == f"smartia-jobs {command}: numbers.txt was written\r\n"
    assert [(one.exit_code, one.stdout + one.stderr) for one in by_cron] == [(0, "")] * 2


def test_output_writes_the_file_and_nothing_else(
    run_cli: RunCli, busy_clinic: Clinic, tmp_path: Path
) -> None:
    target = tmp_path / "numbers.json"

    result = run_cli("metrics", *MARCH, "--json", "--output", str(target), env=env_of(busy_clinic))

    assert (result.exit_code, result.stdout) == (0, "")
    assert json.loads(target.read_text())["appointments"]["total"] == 60


def test_the_file_is_for_this_user_alone_and_never_half_written(
    run_cli: RunCli, busy_clinic: Clinic, tmp_path: Path
) -> None:
    target = tmp_path / "numbers.html"
    target.write_text("the old page")
    target.chmod(0o644)
    before = target.stat().st_ino

    run_cli("metrics", "--format", "html", "--output", str(target), env=env_of(busy_clinic))

    assert target.stat().st_mode & 0o777 == 0o600
    assert target.stat().st_ino != before  # a new file took the place of the old one
    assert target.read_text().endswith("</html>\n")


@pytest.mark.parametrize(
    ("output", "why"),
    [("missing/numbers.csv", "cannot be written: there is no folder"), (".", "is no file")],
)
def test_an_output_that_cannot_be_written_is_78_in_one_line(
    run_cli: RunCli, sqlite_clinic: Clinic, output: str, why: str
) -> None:
    result = run_cli("metrics", "--format", "csv", "--output", output, env=env_of(sqlite_clinic))

    assert (result.exit_code, result.stdout) == (78, "")
    assert result.stderr.count("\n") == 1
    assert f"--output {output} {why}" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--days", "0"),
        ("--days", "99999999"),
        ("--days", "many"),
        ("--until", "2026-02-30"),
        ("--until", "yesterday"),
        ("--until", "0001-01-01"),
        ("--format", "pdf"),
        ("--format", "csv", "--json"),
    ],
)
def test_a_wrong_command_line_is_2(
    run_cli: RunCli, sqlite_clinic: Clinic, arguments: tuple[str, ...]
) -> None:
    result = run_cli("metrics", *arguments, env=env_of(sqlite_clinic))

    assert result.exit_code == 2
    assert arguments[0] in result.stderr or "--json" in result.stderr


def test_the_page_is_complete(run_cli: RunCli, busy_clinic: Clinic) -> None:
    result = run_cli("metrics", *MARCH, "--format", "html", env=env_of(busy_clinic))

    assert result.exit_code == 0
    assert result.stdout.startswith("<!DOCTYPE html>")
    assert result.stdout.endswith("</html>\n")
    assert "01/03/2026 a 31/03/2026 (America/Sao_Paulo)" in result.stdout


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_the_other_formats_do_not_load_what_makes_the_page(
    run_cli: RunCli, sqlite_clinic: Clinic, without_jinja: dict[str, str], form: str
) -> None:
    result = run_cli("metrics", "--format", form, env={**env_of(sqlite_clinic), **without_jinja})

    assert result.exit_code == 0
