"""SIGTERM: away within ten seconds, whatever goes on, and nothing unknown that was answered."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.crash.site import Site, ended, log_lines
from tests.crash.test_kills import SEED

ROOT = Path(__file__).resolve().parents[2]
#: What schedulers give a process before they kill it.
GRACE_S = 10.0


def terminate(site: Site, after_messages: int, pause_s: float) -> None:
    """End a run by SIGTERM while it sends, and look at what it left."""
    before = len(site.sandbox.received)
    process = site.start()
    site.wait_for_messages(before + after_messages, process)
    time.sleep(pause_s)

    process.send_signal(signal.SIGTERM)

    asked_s = time.monotonic()
    result = ended(process)
    assert time.monotonic() - asked_s < GRACE_S
    assert result.exit_code == 143, result.stderr
    assert set(site.states()) <= {"sent", "retry"}
    assert site.states()["sent"] == site.accepted().total()


def test_a_terminated_run_has_written_down_every_answer(site: Site) -> None:
    chance = random.Random(SEED)  # noqa: S311 - no secret
    site.sandbox.latency_s = 0.2
    site.book(60)

    terminate(site, 1 + chance.randrange(10), chance.uniform(0, 0.3))

    site.sandbox.latency_s = 0.0
    assert site.run().exit_code == 0
    site.check()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEED, SEED + 10))
def test_runs_terminated_at_any_moment_have_written_down_every_answer(
    site: Site, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    site.sandbox.latency_s = chance.choice((0.02, 0.2, 1.0))
    site.book(150)

    terminate(site, 1 + chance.randrange(20), chance.uniform(0, 0.5))

    assert site.run().exit_code == 0
    site.check()


@pytest.mark.long
def test_an_answer_that_does_not_come_is_unknown_and_held(sqlite_site: Site) -> None:
    sqlite_site.book(1)
    sqlite_site.sandbox.latency_s = 25
    process = sqlite_site.start()
    sqlite_site.wait_for_messages(1, process)

    process.send_signal(signal.SIGTERM)

    asked_s = time.monotonic()
    assert ended(process).exit_code == 143
    assert time.monotonic() - asked_s < GRACE_S
    assert sqlite_site.states() == {"unknown": 1}


@pytest.mark.long
def test_a_database_that_stays_busy_holds_up_no_process_that_must_leave(
    sqlite_site: Site,
) -> None:
    sqlite_site.sandbox.latency_s = 0.3
    sqlite_site.book(40)
    process = sqlite_site.start(LOG_LEVEL="ERROR")
    sqlite_site.wait_for_messages(8, process)
    path = sqlite_site.clinic.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        process.send_signal(signal.SIGTERM)

        asked_s = time.monotonic()
        result = ended(process)
        assert time.monotonic() - asked_s < GRACE_S
    assert result.exit_code == 143
    unrecorded = {
        line["outbox_id"] for line in log_lines(result) if line.get("action") == "unrecorded"
    }
    claimed = sqlite_site.clinic.rows("SELECT id FROM smartia_outbox WHERE state = 'claimed'")
    assert {row["id"] for row in claimed} == unrecorded
    assert unrecorded
    sqlite_site.lapse()
    assert sqlite_site.run().exit_code == 0
    sqlite_site.check()


# A run as the command line performs it, but for how long it may stay after a signal.
IMPATIENT = """
from smartia_jobs.cli.context import read_settings
from smartia_jobs.cli.signals import listen
from smartia_jobs.clock import SystemClock
from smartia_jobs.database import Database
from smartia_jobs.jobs.reminders import send_reminders
from smartia_jobs.kinds import DAY_AHEAD
from smartia_jobs.launch import start_logs
from smartia_jobs.run import Run, Stop

settings, clock, stop = read_settings(None), SystemClock(), Stop()
start_logs(settings, "24h", "impatient")
listen(stop, leave_after_s=2.5)
database = Database(settings.database_url)
send_reminders(Run("impatient", settings, clock, database, now=clock.now(), stop=stop), DAY_AHEAD)
"""
LOCK = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "BEGIN; LOCK TABLE smartia_outbox"}


def test_a_process_that_must_leave_names_each_outcome_that_it_could_not_record(
    site: Site, tmp_path: Path
) -> None:
    site.sandbox.latency_s = 1.0
    site.book_a_day_twice()
    process = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **site.env},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        site.wait_for_messages(1, process)
        site.clinic.execute(LOCK[site.clinic.dialect])

        process.send_signal(signal.SIGTERM)

        result = ended(process)
    site.clinic.execute("ROLLBACK")
    assert result.exit_code == 143, result.stderr
    unrecorded = [line for line in log_lines(result) if line.get("action") == "unrecorded"]
    claimed = site.clinic.rows("SELECT id FROM smartia_outbox WHERE state = 'claimed'")
    assert len(claimed) == 2
    assert {line["outbox_id"] for line in unrecorded} == {row["id"] for row in claimed}
    assert {line["status"] for line in unrecorded} == {"sent"}


@pytest.mark.parametrize("after_s", [0.9])
def test_a_process_is_ended_while_it_waits_for_the_database_to_start(
    sqlite_site: Site, after_s: float
) -> None:
    sqlite_site.book(1)
    path = sqlite_site.clinic.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        process = sqlite_site.start()
        time.sleep(after_s)

        process.send_signal(signal.SIGTERM)

        asked_s = time.monotonic()
        result = ended(process)
        assert time.monotonic() - asked_s < GRACE_S
    assert result.exit_code == 143
    assert sqlite_site.sandbox.received == []
