"""The systemd units, as systemd itself reads them."""

import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from smartia_jobs.errors import ExitStatus
from smartia_jobs.outbox.breaker import PATIENCE_S
from smartia_jobs.outbox.dispatcher import SHUTDOWN_S
from tests.deploy.program import DEPLOY, NAMES, parse
from tests.deploy.statuses import FINAL

FOLDER = DEPLOY / "systemd"
README = (DEPLOY / "README.md").read_text("utf-8")
JOBS = ["72h", "24h", "2h", "no-show", "replies", "calls"]
PAGE = "smartia-jobs@calls.service.d/page.conf"
PROGRAM = "/srv/smartia/smartia-jobs/.venv/bin/smartia-jobs"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not installed"
)


def unit(name: str) -> RawConfigParser:
    """Read a unit; keys that stand there more than once are not used in ours."""
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(FOLDER / name, encoding="utf-8")
    return parser


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units beside a program that exists."""
    program = tmp_path / "smartia-jobs"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    units = tmp_path / "units"
    shutil.copytree(FOLDER, units)
    for path in [*units.glob("*.service"), *units.glob("*.service.d/*.conf")]:
        text = path.read_text("utf-8").replace(PROGRAM, str(program))
        path.write_text(text, encoding="utf-8")
    return units


@needs_systemd
def test_systemd_understands_every_unit(installed: Path) -> None:
    units = [f"smartia-jobs@{job}.{kind}" for job in JOBS for kind in ("service", "timer")]
    units += [f"smartia-jobs-failed@{job}.service" for job in [*JOBS, "serve"]]
    units.append("smartia-jobs-serve.service")

    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(installed / name for name in units)],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{installed}:"},
    )

    about_ours = [line for line in checked.stderr.splitlines() if "smartia" in line]
    assert (checked.returncode, about_ours) == (0, [])


@needs_systemd
def test_the_check_notices_a_mistake(installed: Path) -> None:
    service = installed / "smartia-jobs@.service"
    service.write_text(service.read_text("utf-8").replace("RestartSec=10min", "RestartSec=soon"))

    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", installed / "smartia-jobs@2h.service"],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{installed}:"},
    )

    assert "smartia-jobs@.service" in checked.stderr


@needs_systemd
@pytest.mark.parametrize("job", JOBS)
def test_a_timer_goes_off_when_cloud_run_s_trigger_does(job: str) -> None:
    when = unit(f"smartia-jobs@{job}.timer")["Timer"]["OnCalendar"]

    shown = subprocess.run(
        ["systemd-analyze", "calendar", "--iterations=3", when],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "TZ": "UTC"},
    )

    assert shown.returncode == 0, shown.stderr
    elapses = re.findall(r"\d\d:\d\d:00 UTC$", shown.stdout, re.M)
    expected = {
        "72h": "12:05:00",
        "24h": "12:00:00",
        "2h": "10:00",
        "no-show": "40:00",
        "replies": "5:00",
        "calls": ":00",
    }
    assert len(elapses) == 3
    assert all(elapse.endswith(f"{expected[job]} UTC") for elapse in elapses)


@needs_systemd
def test_the_line_that_is_left_off_repeats_a_day_ahead_until_seventeen() -> None:
    text = (FOLDER / "smartia-jobs@24h.timer").read_text("utf-8")
    (when,) = re.findall(r"^#OnCalendar=(.+)$", text, re.M)

    shown = subprocess.run(
        ["systemd-analyze", "calendar", "--iterations=8", when],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "TZ": "UTC"},
    )

    assert shown.returncode == 0, shown.stderr
    elapses = re.findall(r"(\d\d):00:00 UTC$", shown.stdout, re.M)
    assert {int(hour) for hour in elapses} == set(range(13, 21))  # 10 to 17 in São Paulo


def test_three_days_ahead_is_off_until_it_is_enabled() -> None:
    enabled = re.findall(r"^systemctl enable --now (.+)$", README, re.M)

    timers = [f"smartia-jobs@{job}.timer" for job in ("24h", "2h", "no-show", "replies")]
    assert enabled == [" ".join(timers), "smartia-jobs-serve.service"]
    assert "`systemctl enable --now smartia-jobs@72h.timer`" in README


@pytest.mark.parametrize("job", JOBS)
def test_a_timer_makes_up_for_what_the_machine_slept_through(job: str) -> None:
    timer = unit(f"smartia-jobs@{job}.timer")

    assert timer["Timer"]["Persistent"] == "true"
    assert timer["Install"]["WantedBy"] == "timers.target"


@pytest.mark.parametrize("job", JOBS)
def test_the_service_runs_the_command_it_is_named_for(job: str) -> None:
    command = unit("smartia-jobs@.service")["Service"]["ExecStart"].replace("%i", job).split()

    assert command[0] == PROGRAM
    assert parse(command[1:]) == job


def test_the_service_tries_again_only_where_that_helps() -> None:
    service = unit("smartia-jobs@.service")["Service"]

    prevented = {int(status) for status in service["RestartPreventExitStatus"].split()}
    assert service["Restart"] == "on-failure"
    assert prevented == FINAL | {int(ExitStatus.INTERRUPTED)}
    assert int(service["SuccessExitStatus"]) == ExitStatus.TERMINATED


def test_the_service_has_time_to_wait_for_whatsapp_and_to_stop() -> None:
    service = unit("smartia-jobs@.service")["Service"]

    assert int(service["TimeoutStartSec"].removesuffix("min")) * 60 > 2 * PATIENCE_S
    assert int(service["TimeoutStopSec"].removesuffix("s")) > SHUTDOWN_S


def test_an_hour_of_failures_does_not_use_up_the_next_hour_s_tries() -> None:
    service = unit("smartia-jobs@.service")
    window = int(service["Unit"]["StartLimitIntervalSec"].removesuffix("min"))
    rest = int(service["Service"]["RestartSec"].removesuffix("min"))
    allowed = int(service["Unit"]["StartLimitBurst"])

    starts = [hour * 60 + again * rest for hour in range(3) for again in range(allowed)]

    assert rest * allowed < window < 60  # a fourth try is refused
    for first in starts:
        assert len([start for start in starts if first <= start < first + window]) <= allowed


def test_the_units_name_only_variables_that_exist() -> None:
    text = (FOLDER / "smartia-jobs@.service").read_text("utf-8")

    assert set(re.findall(r"Environment=(\w+)=", text)) <= NAMES


def test_a_unit_sets_nothing_that_would_outrank_the_clinics_file() -> None:
    service = unit("smartia-jobs@.service")["Service"]

    # systemd.exec(5): what an EnvironmentFile= says overrides Environment=; PassEnvironment= and
    # the command line would override both.
    assert service["EnvironmentFile"] == "/etc/smartia/jobs.env"
    assert not {"PassEnvironment", "UnsetEnvironment"} & set(service)
    assert "env " not in service["ExecStart"]


@pytest.mark.parametrize("file", ["smartia-jobs@replies.service.d/often.conf", PAGE])
def test_a_job_that_starts_often_is_neither_limited_nor_tried_again(file: str) -> None:
    more = unit(file)

    assert more["Unit"]["StartLimitIntervalSec"] == "0"
    assert more["Service"]["Restart"] == "no"


def test_the_reception_s_page_is_written_where_the_service_may_write() -> None:
    text = (FOLDER / PAGE).read_text("utf-8")
    reset, command = re.findall(r"^ExecStart=(.*)$", text, re.M)
    words = command.split()
    output = Path(words[words.index("--output") + 1])

    assert reset == ""  # else systemd would run both
    assert words[0] == PROGRAM
    assert parse(words[1:]) == "calls"
    assert output.is_relative_to(unit("smartia-jobs@.service")["Service"]["ReadWritePaths"])
    assert str(output.parent) in README


@needs_systemd
def test_the_page_is_written_four_times_an_hour() -> None:
    shown = subprocess.run(
        [
            "systemd-analyze",
            "calendar",
            "--iterations=4",
            unit("smartia-jobs@calls.timer")["Timer"]["OnCalendar"],
        ],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "TZ": "UTC"},
    )

    minutes = re.findall(r":(\d\d):00 UTC$", shown.stdout, re.M)
    assert sorted(minutes) == ["00", "15", "30", "45"]


def test_the_service_of_http_listens_on_this_machine_alone_and_comes_back() -> None:
    service = unit("smartia-jobs-serve.service")["Service"]
    command = service["ExecStart"].split()

    assert command[0] == PROGRAM
    assert parse(command[1:]) == "serve"
    assert "--host" not in command
    assert service["Restart"] == "always"
    assert {int(status) for status in service["RestartPreventExitStatus"].split()} == {
        ExitStatus.USAGE,
        ExitStatus.CONFIGURATION,
    }
    assert int(service["TimeoutStopSec"].removesuffix("s")) > SHUTDOWN_S


def test_the_service_of_http_is_as_confined_as_a_job() -> None:
    job, service = (unit(f"smartia-jobs{name}.service")["Service"] for name in ("@", "-serve"))

    confined = {name for name in job if name.startswith(("Protect", "Private", "Restrict"))}
    confined |= {"NoNewPrivileges", "CapabilityBoundingSet", "SystemCallFilter", "ReadWritePaths"}
    confined -= {"RestartPreventExitStatus"}
    assert {name: service.get(name) for name in confined} == {name: job[name] for name in confined}
