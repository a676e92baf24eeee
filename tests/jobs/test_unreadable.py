"""Jobs over visits that they cannot understand: warned of, and an error when it is all there is."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest

from smartia_jobs.errors import ExitStatus
from smartia_jobs.jobs.no_show import mark_no_shows
from smartia_jobs.jobs.reminders import send_reminders
from smartia_jobs.kinds import DAY_AHEAD, HOURS_AHEAD
from smartia_jobs.sandbox.server import Sandbox
from tests.jobs.no_show_desk import TEMPLATES, Job, NoShowDesk
from tests.support import Clinic

HOUR = timedelta(hours=1)
JOBS: dict[str, tuple[Job, timedelta]] = {
    "24h": (partial(send_reminders, kind=DAY_AHEAD), -24 * HOUR),
    "2h": (partial(send_reminders, kind=HOURS_AHEAD), -2 * HOUR),
    "no-show": (mark_no_shows, 3 * HOUR),
}


@pytest.fixture
def desk(clinic: Clinic) -> Iterator[NoShowDesk]:
    with Sandbox(templates=TEMPLATES) as sandbox:
        yield NoShowDesk(clinic, sandbox)


@pytest.fixture
def sqlite_desk(sqlite_clinic: Clinic) -> Iterator[NoShowDesk]:
    with Sandbox(templates=TEMPLATES) as sandbox:
        yield NoShowDesk(sqlite_clinic, sandbox)


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(("job", "ago"), JOBS.values(), ids=JOBS)
def test_a_run_that_understands_no_status_is_an_error(
    sqlite_desk: NoShowDesk, job: Job, ago: timedelta, dry_run: bool
) -> None:
    for _ in range(5):
        sqlite_desk.visit(ago, "scheduled")

    report = sqlite_desk.perform(job, dry_run=dry_run)

    assert report.exit_status is ExitStatus.CONFIGURATION
    assert any("appointments.status of 5" in warning for warning in report.warnings)


@pytest.mark.parametrize(("job", "ago"), JOBS.values(), ids=JOBS)
def test_a_run_that_does_not_understand_a_large_part_warns(
    desk: NoShowDesk, job: Job, ago: timedelta
) -> None:
    for status in (None, None, "SCHEDULED", "SCHEDULED", "SCHEDULED"):
        desk.visit(ago, status)

    report = desk.perform(job)

    assert report.exit_status is ExitStatus.OK
    assert any("Of 5 visits" in one and "status of 2" in one for one in report.warnings)


@pytest.mark.parametrize(("job", "ago"), JOBS.values(), ids=JOBS)
def test_a_single_odd_row_makes_no_run_fail(desk: NoShowDesk, job: Job, ago: timedelta) -> None:
    desk.visit(ago, None)

    report = desk.perform(job)

    assert report.exit_status is ExitStatus.OK


def test_visits_whose_patients_are_gone_are_named_by_their_column(sqlite_desk: NoShowDesk) -> None:
    for _ in range(3):
        patient = sqlite_desk.clinic.add_patient()
        sqlite_desk.visit(-24 * HOUR, patient_id=patient)
        sqlite_desk.clinic.delete_patient(patient)

    report = sqlite_desk.perform(JOBS["24h"][0])

    assert report.exit_status is ExitStatus.CONFIGURATION
    assert any("appointments.patient_id of 3" in warning for warning in report.warnings)


def test_a_closed_week_with_a_few_odd_rows_is_no_error(sqlite_desk: NoShowDesk) -> None:
    for status in (*["COMPLETED"] * 20, "NO_SHOW", None, None):
        sqlite_desk.visit(3 * HOUR, status)

    report = sqlite_desk.perform(mark_no_shows)

    assert report.exit_status is ExitStatus.OK


@pytest.mark.parametrize("written", ["{:%d/%m/%Y %H:%M}", "{:%Y/%m/%d %H:%M}", "1795858200"])
@pytest.mark.parametrize(("job", "ago"), JOBS.values(), ids=JOBS)
def test_dates_in_another_form_are_counted_and_all_of_them_an_error(
    sqlite_desk: NoShowDesk, job: Job, ago: timedelta, written: str
) -> None:
    clinic = sqlite_desk.clinic
    for _ in range(3):
        clinic.add_appointment(clinic.add_patient(), written.format(sqlite_desk.now - ago))

    all_of_them = sqlite_desk.perform(job)
    sqlite_desk.visit(ago, "COMPLETED")
    some = sqlite_desk.perform(job)

    assert all_of_them.exit_status is ExitStatus.CONFIGURATION
    assert some.exit_status is ExitStatus.OK
    for report in (all_of_them, some):
        assert report.as_json()["unreadable_dates"] == 3
        assert any("appointment_date" in warning for warning in report.warnings)
