"""What the guide shows as the program's output is the program's output."""

from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from smartia_jobs.cli.check import _jobs, print_checked
from smartia_jobs.clock import ShiftedClock
from smartia_jobs.jobs.check import check
from smartia_jobs.jobs.checks.settings import settings_file
from smartia_jobs.sandbox.account import PHONE_NUMBER_ID, WABA_ID
from smartia_jobs.sandbox.clinic import make_clinic
from smartia_jobs.sandbox.server import Sandbox
from smartia_jobs.settings import QuietHours, Settings
from smartia_jobs.settings.environment import Given
from tests.jobs.check_desk import definitions

_GUIDE = (Path(__file__).parents[1] / "docs" / "guia.pt-BR.md").read_text("utf-8")
_SATURDAY = datetime.fromisoformat("2026-11-28T07:48-03:00")
_MONDAY_9 = datetime.fromisoformat("2026-11-30T09:00-03:00")


def shown_after(command: str) -> list[str]:
    """Return the lines that the guide shows of a command, without those it leaves out."""
    _, _, rest = _GUIDE.partition(f"```console\n{command}\n```\n\n```text\n")
    block, fence, _ = rest.partition("\n```")
    assert fence, command
    return [line for line in block.splitlines() if line != "…"]


def test_the_check_in_the_guide_is_what_check_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clinic = make_clinic(tmp_path / "smartia.db", monday_at=_MONDAY_9)
    file = settings_file(Given({}, tmp_path, Path("/srv/smartia/.env"), True, (), ()))
    with Sandbox(templates=definitions()) as sandbox:
        sandbox.clock_offset = _SATURDAY - datetime.now(UTC)
        settings = Settings(
            meta_access_token="any-token",
            meta_phone_number_id=PHONE_NUMBER_ID,
            meta_waba_id=WABA_ID,
            meta_api_url=sandbox.url,
            database_url=clinic.url,
            database_is_a_copy=True,
            clinic_name="Clínica Aurora",
            quiet_hours=QuietHours(time(21), time(7)),
        )
        checked = check(settings, ShiftedClock(_SATURDAY), _jobs(settings))

    print_checked(replace(checked, findings=(file, *checked.findings)))

    printed = capsys.readouterr().out.splitlines()
    shown = shown_after("smartia-jobs check")
    assert [line for line in printed if line in shown] == shown
