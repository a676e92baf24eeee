"""The drop-in for SmartIA's run_reminders.py, started by a copy of the old crontab's lines."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from smartia_jobs.catalogue.definition import shipped_definitions
from smartia_jobs.sandbox.account import PHONE_NUMBER_ID
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.server import Sandbox
from tests.support import Clinic

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = _ROOT / "deploy" / "run_reminders.py"

#: As SmartIA's own page on its jobs has them.
OLD_CRONTAB = """\
0 9 * * * cd /path/to/api && python run_reminders.py --job 24h
0 * * * * cd /path/to/api && python run_reminders.py --job 2h
0 * * * * cd /path/to/api && python run_reminders.py --job no-show
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(templates=shipped_definitions(clinic_name="Clínica Aurora")) as server:
        yield server


@pytest.fixture
def api(tmp_path: Path, smartia_sqlite: Path, sandbox: Sandbox) -> Path:
    """The old folder: the database, the four old settings in .env, and the new script."""
    folder = tmp_path / "api"
    folder.mkdir()
    shutil.copy(_SCRIPT, folder)
    smartia_sqlite.rename(folder / "smartia.db")
    (folder / ".env").write_text(
        "META_ACCESS_TOKEN=secret-token-1234\n"
        f"META_PHONE_NUMBER_ID={PHONE_NUMBER_ID}\n"
        f"META_API_URL={sandbox.url}\n"
        "DATABASE_IS_A_COPY=1\n"
        "DATABASE_URL=sqlite:///./smartia.db\n"
        "CLINIC_TIMEZONE=America/Sao_Paulo\n"
    )
    return folder


@pytest.fixture
def clinic(api: Path) -> Iterator[Clinic]:
    opened = Clinic(f"sqlite:///{api / 'smartia.db'}")
    yield opened
    opened.close()


def environment(api: Path) -> dict[str, str]:
    """What cron gives a job, with a python in the path that has this program."""
    python = api.parent / "bin" / "python"
    python.parent.mkdir(exist_ok=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return {"PATH": f"{python.parent}:/bin:/usr/bin", "PYTHONPATH": str(_ROOT), "TZ": "UTC"}


def cron(api: Path, line: str, more: str = "") -> subprocess.CompletedProcess[str]:
    """Run one line of the old crontab as cron does, in the old folder."""
    command = line.split(maxsplit=5)[5].replace("/path/to/api", str(api))
    return subprocess.run(
        ["/bin/sh", "-c", f"{command}{more}"],
        env=environment(api),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )


def local_now() -> datetime:
    return datetime.now(ZoneInfo("America/Sao_Paulo")).replace(tzinfo=None, microsecond=0)


def old_of(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: body[name] for name in ("job", *names, "success")}


def line_of(job: str) -> str:
    (line,) = (line for line in OLD_CRONTAB.splitlines() if line.endswith(f"--job {job}"))
    return line


@pytest.mark.parametrize(("job", "hours"), [("24h", 24), ("2h", 2)])
def test_an_old_line_sends_and_says_so_in_the_old_fields(
    api: Path, clinic: Clinic, sandbox: Sandbox, job: str, hours: int
) -> None:
    clinic.add_appointment(clinic.add_patient(), local_now() + timedelta(hours=hours))
    clinic.add_appointment(clinic.add_patient(phone="123"), local_now() + timedelta(hours=hours))

    done = cron(api, line_of(job))

    body = json.loads(done.stdout)
    assert done.returncode == 0
    assert old_of(body, "appointments_found", "reminders_sent", "reminders_failed") == {
        "job": f"{job}_reminders",
        "appointments_found": 2,
        "reminders_sent": 1,
        "reminders_failed": 1,
        "success": True,
    }
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is None
    assert (body["due"], body["exit_code"], body["report"]) == (2, 0, {"job": job})
    assert len(sandbox.received) == 1


def test_the_old_no_show_line_marks_and_invites(api: Path, clinic: Clinic) -> None:
    start = local_now() - timedelta(hours=3)
    clinic.add_appointment(clinic.add_patient(), start, "COMPLETED")
    missed = clinic.add_appointment(clinic.add_patient(), start)

    done = cron(api, line_of("no-show"))

    assert done.returncode == 0
    assert old_of(
        json.loads(done.stdout), "no_shows_found", "processed", "reengagement_sent"
    ) == {
        "job": "no_show_handler",
        "no_shows_found": 1,
        "processed": 1,
        "reengagement_sent": 1,
        "success": True,
    }  # fmt: skip
    assert clinic.status(missed) == "NO_SHOW"


def test_metrics_have_percentages_as_before_and_our_own_figures_beside_them(
    api: Path, clinic: Clinic
) -> None:
    start = local_now() - timedelta(days=1)
    for status in ("NO_SHOW", "COMPLETED", "COMPLETED"):
        clinic.add_appointment(clinic.add_patient(), start, status)

    done = cron(api, line_of("24h").replace("24h", "metrics"))

    body = json.loads(done.stdout)
    assert done.returncode == 0
    assert old_of(
        body, "period", "total_appointments", "no_shows", "completed",
        "reminder_messages_sent", "no_show_rate", "completion_rate",
    ) == {
        "job": "metrics",
        "period": "last_30_days",
        "total_appointments": 3,
        "no_shows": 1,
        "completed": 2,
        "reminder_messages_sent": 0,
        "no_show_rate": 33.33,
        "completion_rate": 66.67,
        "success": True,
    }  # fmt: skip
    assert body["report"]["no_show_rate"] == pytest.approx(1 / 3)
    assert body["report"]["period"]["days"] == 30
    assert body["appointments"]["total"] == 3


def test_text_is_that_of_the_old_script(api: Path) -> None:
    done = cron(api, line_of("24h"), " --output text")

    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "Job", "Timestamp", "Status", "appointments_found", "reminders_sent", "reminders_failed"
    ]  # fmt: skip
    assert (lines[0], lines[2]) == ("Job: 24h_reminders", "Status: SUCCESS")


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_run_that_failed_says_why_and_exits_with_our_status(api: Path, form: str) -> None:
    (api / ".env").write_text("DATABASE_URL=sqlite:///./smartia.db\n")

    done = cron(api, line_of("24h"), f" --output {form}")

    assert done.returncode == 78
    if form == "json":
        body = json.loads(done.stdout)
        assert body["success"] is False
        assert "META_ACCESS_TOKEN" in body["error"]
    else:
        assert "Status: FAILED\nError: META_ACCESS_TOKEN" in done.stdout


def test_a_wrong_option_is_wrong_usage(api: Path) -> None:
    assert cron(api, line_of("24h").replace("24h", "48h")).returncode == 2


def test_a_python_without_the_program_is_told_where_to_install_it(api: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "run_reminders.py", "--job", "24h"],
        cwd=api,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 78
    assert "smartia-jobs is not installed" in done.stderr


def test_sigterm_is_passed_on_and_what_is_in_flight_is_recorded(
    api: Path, clinic: Clinic, sandbox: Sandbox
) -> None:
    clinic.add_appointment(clinic.add_patient(), local_now() + timedelta(hours=24))
    sandbox.script("*", Scripted(delay_s=1.0))
    running = subprocess.Popen(
        [sys.executable, "run_reminders.py", "--job", "24h"],
        env=environment(api),
        cwd=api,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with running:
        for _ in range(600):
            if sandbox.received:
                break
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        output, _ = running.communicate(timeout=30)

    assert running.returncode == 143
    assert json.loads(output)["exit_code"] == 143
    assert [row["state"] for row in clinic.rows("SELECT state FROM smartia_outbox")] == ["sent"]


def test_old_callers_may_still_run_the_file_itself() -> None:
    assert os.access(_SCRIPT, os.X_OK)
