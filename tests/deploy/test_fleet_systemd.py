"""The drop-ins that make the systemd units those of many clinics."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.fleet import SCHEDULES
from tests.deploy.program import DEPLOY, parse
from tests.deploy.test_systemd import FOLDER, PROGRAM, needs_systemd

DROP_INS = DEPLOY / "systemd-fleet"
TIMERS = ("72h", "24h", "2h", "no-show", "replies", "calls")


def _in_force(job: str, kind: str, directive: str) -> str:
    """Return the last value of a directive, in the order in which systemd reads: by file name.

    Source: systemd.unit(5), systemd 252: regardless of which of the directories they reside in.
    """
    drop_ins = [
        path
        for folder in (FOLDER, DROP_INS)
        for unit in (f"smartia-jobs@.{kind}.d", f"smartia-jobs@{job}.{kind}.d")
        for path in (folder / unit).glob("*.conf")
    ]
    by_name = {path.name: path for path in drop_ins}  # what is copied later replaces its namesake
    unit_file = FOLDER / f"smartia-jobs@{job if kind == 'timer' else ''}.{kind}"
    value = ""
    for path in [unit_file, *(by_name[name] for name in sorted(by_name))]:
        for found in re.findall(rf"^{directive}=(.*)$", path.read_text("utf-8"), re.M):
            value = found
    return value.replace("%i", job)


@pytest.mark.parametrize("job", TIMERS)
def test_each_unit_runs_its_job_for_all_clinics(job: str) -> None:
    program, *arguments = _in_force(job, "service", "ExecStart").split()

    assert program == PROGRAM
    assert parse(arguments) == f"fleet {job}"
    assert ("--at" in arguments) == (job in ("24h", "72h"))
    assert arguments[arguments.index("--clinics") + 1] == "/srv/smartia/clinics"


@pytest.mark.parametrize("path", sorted(DROP_INS.rglob("*.conf")), ids=lambda p: p.parent.name)
def test_a_drop_in_takes_the_place_of_what_one_clinic_had(path: Path) -> None:
    for directive in ("ExecStart", "OnCalendar"):
        values = re.findall(rf"^{directive}=(.*)$", path.read_text("utf-8"), re.M)
        assert values[:1] in ([], [""])  # else systemd would do both


@needs_systemd
def test_systemd_understands_the_units_with_their_drop_ins(tmp_path: Path) -> None:
    program = tmp_path / "smartia-jobs"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    units = tmp_path / "units"
    for folder in (FOLDER, DROP_INS):
        shutil.copytree(folder, units, dirs_exist_ok=True)
    for path in [*units.rglob("*.service"), *units.rglob("*.conf")]:
        path.write_text(path.read_text("utf-8").replace(PROGRAM, str(program)), encoding="utf-8")
    names = [
        units / f"smartia-jobs@{job}.{kind}" for job in TIMERS for kind in ("service", "timer")
    ]

    def verify() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *names],
            capture_output=True,
            text=True,
            env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{units}:"},
        )

    good = verify()
    wrong = units / "smartia-jobs@24h.timer.d" / "20-fleet.conf"
    wrong.write_text("[Timer]\nOnCalendar=hourly at nine\n")

    assert good.returncode == 0
    assert [line for line in good.stderr.splitlines() if "smartia" in line] == []
    assert "20-fleet.conf" in verify().stderr


@needs_systemd
@pytest.mark.parametrize(
    ("job", "drop_in"),
    [
        ("2h", "smartia-jobs@.service.d/10-fleet.conf"),
        ("24h", "smartia-jobs@24h.service.d/20-fleet.conf"),
        ("calls", "smartia-jobs@calls.service.d/page.conf"),
    ],
)
def test_systemd_itself_takes_the_command_of_the_drop_in(
    tmp_path: Path, job: str, drop_in: str
) -> None:
    units = tmp_path / "units"
    for folder in (FOLDER, DROP_INS):
        shutil.copytree(folder, units, dirs_exist_ok=True)
    # Of all programs that the unit and its drop-ins name, only that of this one exists.
    path = units / drop_in
    path.write_text(path.read_text("utf-8").replace(PROGRAM, "/bin/true"), encoding="utf-8")

    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", units / f"smartia-jobs@{job}.service"],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{units}:"},
    )

    assert not Path(PROGRAM).exists()
    assert [line for line in checked.stderr.splitlines() if "smartia" in line] == []


@needs_systemd
@pytest.mark.parametrize("job", ["24h", "72h"])
def test_the_daily_jobs_come_every_hour(job: str) -> None:
    when = _in_force(job, "timer", "OnCalendar")

    shown = subprocess.run(
        ["systemd-analyze", "calendar", "--iterations=3", when],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "TZ": "UTC"},
    )

    elapses = re.findall(r"(\d\d):(\d\d):00 UTC$", shown.stdout, re.M)
    minute = SCHEDULES[job].split()[0].rjust(2, "0")
    assert [at for _, at in elapses] == [minute] * 3
    assert len({hour for hour, _ in elapses}) == 3
