"""Adding a kind of reminder is two files: everything else follows, or a test of ours fails.

A copy of the program gets a made-up kind, ``6h``, in ``kinds.py`` and in the shipped catalogue, and
nowhere else.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from smartia_jobs.catalogue.definition import definition
from smartia_jobs.catalogue.loading import load_catalogue
from smartia_jobs.kinds import DAY_AHEAD, HOURS_AHEAD, KINDS, REMINDERS
from smartia_jobs.sandbox import PHONE_NUMBER_ID, WABA_ID, Sandbox
from tests.support import Clinic

ROOT = Path(__file__).parents[1]

KIND = '''\
MADE_UP = ReminderKind(
    "6h",
    ReminderTimes(6 * _HOUR, cadence=3 * _HOUR, latest=4 * _HOUR),
    help="""\\
    Remind patients about six hours ahead.

    Example: smartia-jobs 6h --dry-run
    """,
)

#: The reminders, farthest ahead first.
REMINDERS = (MADE_UP, '''

SECTION = """
[6h]
name = "smartia_lembrete_6h_v1"
language = "pt_BR"
category = "UTILITY"
body = "Olá, o seu horário está marcado: {{data}}, às {{hora}}. Até breve!"
"""

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, with the made-up kind in two files."""
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(
        ROOT / "smartia_jobs", copy / "smartia_jobs", ignore=shutil.ignore_patterns("__pycache__")
    )
    kinds = copy / "smartia_jobs" / "kinds.py"
    before = kinds.read_text("utf-8")
    after = before.replace("#: The reminders, farthest ahead first.\nREMINDERS = (", KIND)
    assert after != before
    kinds.write_text(after, "utf-8")
    catalogue = copy / "smartia_jobs" / "catalogue" / "default.pt_BR.toml"
    catalogue.write_text(catalogue.read_text("utf-8") + SECTION, "utf-8")
    return copy


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An account in which the made-up kind is the one that is still to be registered."""
    shipped = load_catalogue(None).templates.values()
    templates = [definition(one, clinic_name="Clínica", clinic_phone=None) for one in shipped]
    with Sandbox(templates=templates) as running:
        yield running


@pytest.fixture
def run(copy: Path, sqlite_clinic: Clinic, sandbox: Sandbox) -> Run:
    """Run the copy to its end; return the JSON it printed, or its text."""
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "80",
        "DATABASE_URL": sqlite_clinic.url,
        "META_ACCESS_TOKEN": "made-up-token",
        "META_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
        "META_WABA_ID": WABA_ID,
        "META_API_URL": sandbox.url,
        "DATABASE_IS_A_COPY": "1",
    }

    def run(*arguments: str, **more: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "smartia_jobs", *arguments],
            env={**env, **more},
            cwd=copy,
            capture_output=True,
            encoding="utf-8",
        )
        return json.loads(done.stdout) if "--json" in arguments else done.stdout + done.stderr

    return run


def approve(sandbox: Sandbox) -> None:
    sandbox.templates.change("smartia_lembrete_6h_v1", "pt_BR", status="APPROVED")


def book(clinic: Clinic, status: str = "SCHEDULED") -> int:
    now = datetime.now(ZoneInfo("America/Sao_Paulo")).replace(tzinfo=None, microsecond=0)
    return clinic.add_appointment(clinic.add_patient(), now + timedelta(hours=6), status)


def test_it_has_a_command_and_help(run: Run) -> None:
    assert "Remind patients about six hours ahead." in run("--help")
    assert "Example: smartia-jobs 6h --dry-run" in run("6h", "--help")


def test_it_has_settings_that_are_checked_like_the_others(run: Run) -> None:
    told = run("6h", "--dry-run", REMINDER_6H_LATEST_HOURS="5", REMINDER_6H_LEAD_HOUR="6")

    assert "REMINDER_6H_LATEST_HOURS is too long" in told
    assert "REMINDER_6H_LEAD_HOURS is 'x'" in run("6h", "--dry-run", REMINDER_6H_LEAD_HOURS="x")


def test_the_check_looks_at_it(run: Run, sqlite_clinic: Clinic) -> None:
    book(sqlite_clinic)

    found = {one["name"]: one for one in run("check", "--json")["findings"]}

    settings = {one["name"]: one["value"] for one in run("config", "show", "--json")["settings"]}
    assert {
        "REMINDER_6H_LEAD_HOURS": "6",
        "REMINDER_6H_EVERY_HOURS": "3",
        "REMINDER_6H_LATEST_HOURS": "4",
    }.items() <= settings.items()
    assert any("1 would be sent" in line for line in found["due_6h"]["details"])
    assert found["template_6h"]["next_step"] == "run: smartia-jobs templates submit 6h"
    assert "REMINDER_6H_LATEST_HOURS" in found["time_to_live"]["text"]


def test_its_template_is_registered_for_no_longer_than_it_is_of_use(
    run: Run, sandbox: Sandbox
) -> None:
    (submitted,) = run("templates", "submit", "6h", "--json")["templates"]

    approve(sandbox)
    standing = {one["kind"]: one for one in run("templates", "--json")["templates"]}
    assert submitted["result"] == "submitted"
    assert standing["6h"]["time_to_live_s"] == 4 * 3600
    assert "6h:" in run("templates", "preview")


def test_it_is_sent_once_and_counted_where_the_others_are(
    run: Run, sandbox: Sandbox, sqlite_clinic: Clinic
) -> None:
    run("templates", "submit", "6h")
    approve(sandbox)
    book(sqlite_clinic)

    first, again = run("6h", "--json"), run("6h", "--json")

    assert (first["job"], first["sent"], again["skipped"]) == ("6h", 1, {"already_sent": 1})
    assert run("metrics", "--json")["messages"]["6h"]["sent"] == 1
    assert "reminder 6h" in run("metrics")


def test_a_visit_of_which_it_reminded_too_is_compared_as_one_that_was_reminded(
    run: Run, sandbox: Sandbox, sqlite_clinic: Clinic
) -> None:
    run("templates", "submit", "6h")
    approve(sandbox)
    visit = book(sqlite_clinic)
    run("6h", "--json")
    sqlite_clinic.execute(
        "UPDATE smartia_outbox SET start = datetime(start, '-2 days') || '.000000',"
        " created_at = datetime(created_at, '-9 days') || '.000000'"
    )
    sqlite_clinic.execute(
        "UPDATE appointments SET status = 'COMPLETED', created_at = datetime('now', '-8 days'),"
        " appointment_date = (SELECT start FROM smartia_outbox)"
        f" WHERE id = {visit}"
    )

    effect = run("metrics", "--json")["effect"]

    compared = {one["reminded"]: one for one in effect if one["attended_or_missed"]}
    assert compared.keys() == {"one"}


def test_tests_of_ours_fail_until_it_stands_in_readme_and_reference(copy: Path) -> None:
    tests = copy / "tests"
    tests.mkdir(exist_ok=True)
    shutil.copy(ROOT / "tests" / "test_readme.py", tests)
    shutil.copy(ROOT / "README.md", copy)
    (copy / "docs").mkdir(exist_ok=True)
    shutil.copy(ROOT / "docs" / "reference.md", copy / "docs")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_readme.py"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(copy)},
        cwd=copy,
        capture_output=True,
        encoding="utf-8",
    )

    failed = set(re.findall(r"^FAILED \S+::(\w+)", done.stdout, re.MULTILINE))
    assert {
        "test_every_command_stands_in_the_readme_and_back",
        "test_every_variable_and_its_default_stands_in_the_reference_and_back",
        "test_every_kind_stands_where_the_reference_lists_them",
    } <= failed


def test_every_kind_has_a_name_of_its_own_and_they_stand_farthest_first() -> None:
    leads = [kind.times.lead for kind in REMINDERS]

    assert len(set(KINDS)) == len(KINDS)
    assert leads == sorted(leads, reverse=True)
    assert [kind.bridges_days for kind in (DAY_AHEAD, HOURS_AHEAD)] == [True, False]
