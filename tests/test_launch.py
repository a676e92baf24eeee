"""Launching a run: what a job is given, what is refused before it starts, and the closing line."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from smartia_jobs.clock import ShiftedClock
from smartia_jobs.errors import ConfigurationError
from smartia_jobs.launch import launch, run_that_reads
from smartia_jobs.report import Report
from smartia_jobs.run import Run, Stop
from smartia_jobs.settings import Settings
from tests.support import Clinic

pytestmark = pytest.mark.usefixtures("logging_as_before")

NOW_AT = datetime.fromisoformat("2026-11-23T12:00Z")
MINUTE = timedelta(minutes=1)
#: Clinic wall time, the next day.
VISIT = datetime.fromisoformat("2026-11-24T09:00")


@pytest.fixture
def settings(clinic: Clinic) -> Settings:
    """A clinic that can send."""
    return replace(
        Settings(),
        database_url=clinic.url,
        meta_access_token="made-up-token",
        meta_phone_number_id="1",
    )


def start(
    settings: Settings, job: Callable[[Run], Report], *, speed: float = 0, **options: Any
) -> Report:
    """Launch a job at noon, by a clock that stands still unless it is given a speed."""
    clock = ShiftedClock(NOW_AT, speed=speed)
    return launch("24h", job, settings, clock=clock, stop=Stop(), **options)


def report_of(run: Run) -> Report:
    """Do nothing, and say so."""
    return Report(job="24h", run_id=run.id, now=run.now, timezone="UTC", dry_run=run.dry_run)


def write(run: Run) -> Report:
    """Delete every appointment: a job that forgot that it was asked for a dry run."""
    with run.database.write() as connection:
        connection.execute(text("DELETE FROM appointments"))
    return report_of(run)


def test_no_two_runs_have_the_same_name(settings: Settings) -> None:
    runs = {start(settings, report_of).run_id for _ in range(20)}

    assert len(runs) == 20
    assert {run_id.rpartition("-")[0] for run_id in runs} == {"20261123T120000Z"}


def test_nor_has_the_same_attempt_of_a_container_that_is_started_again(settings: Settings) -> None:
    in_cloud = replace(
        settings, cloud_run_execution="smartia-jobs-24h-abcde", task_index=2, task_attempt=1
    )

    runs = {start(in_cloud, report_of).run_id for _ in range(20)}

    assert len(runs) == 20
    assert {run_id.rpartition("/")[0] for run_id in runs} == {"smartia-jobs-24h-abcde/2/1"}


def test_a_run_begins_now_unless_another_time_is_asked_for(settings: Settings) -> None:
    now = start(settings, report_of)
    earlier = start(settings, report_of, now=NOW_AT - MINUTE)

    assert (now.now, earlier.now) == (NOW_AT, NOW_AT - MINUTE)
    assert earlier.run_id.startswith("20261123T120000Z-")


def test_nothing_can_be_written_through_the_database_of_a_dry_run(
    settings: Settings, clinic: Clinic
) -> None:
    visit = clinic.add_appointment(clinic.add_patient(), VISIT)

    with pytest.raises(DBAPIError, match=r"read-?only"):
        start(settings, write, dry_run=True)

    assert clinic.status(visit) == "SCHEDULED"


def test_nor_through_that_of_a_run_that_only_reads(settings: Settings, clinic: Clinic) -> None:
    visit = clinic.add_appointment(clinic.add_patient(), VISIT)

    with (
        run_that_reads("metrics", settings, ShiftedClock(NOW_AT)) as run,
        pytest.raises(DBAPIError, match=r"read-?only"),
    ):
        write(run)

    assert clinic.status(visit) == "SCHEDULED"
    assert (run.id, run.dry_run) == ("metrics", True)


def test_a_run_that_sends_is_not_begun_without_a_token(settings: Settings) -> None:
    begun: list[Run] = []
    poor = replace(settings, meta_access_token=None)

    def note(run: Run) -> Report:
        begun.append(run)
        return report_of(run)

    with pytest.raises(ConfigurationError, match="META_ACCESS_TOKEN is not set"):
        start(poor, note)
    assert begun == []
    start(poor, note, sends=False)
    start(poor, note, dry_run=True)
    assert len(begun) == 2


def test_no_connection_is_left_when_a_job_breaks_off(settings: Settings) -> None:
    begun: list[Run] = []

    def break_off(run: Run) -> Report:
        begun.append(run)
        with run.database.read() as connection:
            connection.execute(text("SELECT 1"))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        start(settings, break_off)

    assert len(begun) == 1  # and the clinic's fixture looks for connections


def test_the_closing_line_tells_how_long_the_job_took_and_how_it_ended(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    def take_a_while(run: Run) -> Report:
        run.clock.wait(run.stop.event, 90.0)
        return report_of(run)

    report = start(settings, take_a_while, speed=1000)

    (line,) = capsys.readouterr().err.splitlines()
    closing = json.loads(line)
    assert report.duration_s >= 90
    assert closing["event"] == "run_finished"
    assert {key: closing[key] for key in report.as_json()} == report.as_json()
