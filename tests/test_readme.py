"""README, reference and code say the same: commands, variables, exit statuses, JSON keys, links."""

import re
from datetime import UTC, datetime, timedelta
from operator import add
from pathlib import Path
from zoneinfo import ZoneInfo

import typer

from smartia_jobs.cli.app import application
from smartia_jobs.cli.outbox import _shown
from smartia_jobs.clinic.rules.hours import SendingHours
from smartia_jobs.clinic.rules.reminders import ReminderRule
from smartia_jobs.errors import ExitStatus
from smartia_jobs.kinds import DAY_AHEAD, DAYS_AHEAD, KINDS
from smartia_jobs.outbox.admin import Entry
from smartia_jobs.report import Report
from smartia_jobs.settings import Settings
from smartia_jobs.settings.declarations import VARIABLES
from smartia_jobs.settings.readers import DAYS
from smartia_jobs.store.states import State

_ROOT = Path(__file__).parents[1]
_README = (_ROOT / "README.md").read_text(encoding="utf-8")
_REFERENCE = (_ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
_VARIABLE = re.compile(r"^\| `([A-Z0-9_]+)` \| (.+?) \| (.+) \|$", re.MULTILINE)


def section(title: str, *, page: str = _REFERENCE) -> str:
    """Return the text below a heading, up to the next one of its rank or higher."""
    (rank,) = re.findall(rf"^(#+) {re.escape(title)}$", page, re.MULTILINE)
    _, _, rest = page.partition(f"{rank} {title}\n")
    return re.split(rf"^#{{1,{len(rank)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(table: str) -> list[str]:
    return re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)


def test_every_command_stands_in_the_readme_and_back() -> None:
    rows = [
        cell for cell in first_cells(section("Commands", page=_README)) if "smartia-jobs" in cell
    ]
    documented = {row.strip("`").removeprefix("smartia-jobs ") for row in rows}

    command = typer.main.get_command(application())

    assert documented == set(getattr(command, "commands", {}))


def test_every_variable_and_its_default_stands_in_the_reference_and_back() -> None:
    rows = _VARIABLE.findall(section("Settings"))

    documented = {name: (default.strip("`–"), meaning) for name, default, meaning in rows}

    assert documented == {v.name: (v.default, v.meaning) for v in VARIABLES}


def test_what_nearly_everybody_sets_stands_in_the_readme_as_in_the_reference() -> None:
    rows = _VARIABLE.findall(section("Settings", page=_README))

    assert 4 < len(rows) < 15
    assert set(rows) <= set(_VARIABLE.findall(section("Settings")))


def test_every_kind_stands_where_the_reference_lists_them() -> None:
    lists = {
        "due_": section("JSON of check and templates"),
        "template_": section("JSON of check and templates"),
        "": re.findall(r"^\| `messages` \| for (.+?):", section("The JSON"), re.MULTILINE)[0],
    }

    for prefix, text in lists.items():
        named = ", ".join(f"`{prefix}{kind}`" for kind in KINDS)
        assert named in text.replace(" and ", ", ")


def as_shown(text: str) -> datetime:
    """Return a moment of the example week, such as ``Mon 9:00``."""
    day, clock = text.split()
    monday = datetime(2026, 11, 23, tzinfo=ZoneInfo("America/Sao_Paulo"))
    hour, minute = clock.split(":")
    days = DAYS.index(day.lower())
    return monday + timedelta(days=days, hours=int(hour), minutes=int(minute))


def test_the_example_week_is_what_the_rule_says() -> None:
    rows = re.findall(r"^\| (\w{3} 9:00) \| (.+) \| (.+) \|$", _README, re.MULTILINE)
    hours = SendingHours(ZoneInfo("America/Sao_Paulo"), None, frozenset({5, 6}))
    nearer = ReminderRule(DAY_AHEAD.times, hours, bridges_days=True)
    farther = ReminderRule(DAYS_AHEAD.times, hours, bridges_days=True, followed_by=nearer)

    shown = [[as_shown(end) for end in f"{a} – {b}".split(" – ")] for _, a, b in rows]

    windows = [[rule.window(as_shown(run)) for rule in (farther, nearer)] for run, *_ in rows]
    assert [run for run, *_ in rows] == [
        f"{day} 9:00" for day in ("Mon", "Tue", "Wed", "Thu", "Fri")
    ]
    for ends, (far, near) in zip(shown, windows, strict=True):
        week_later = [timedelta(days=7) if end < near.from_at else timedelta(0) for end in ends]
        far_from, far_until, near_from, near_until = map(add, ends, week_later)
        assert (near.from_at, near.until_at) == (near_from, near_until)
        assert (far.from_at - timedelta.resolution, far.until_at) == (far_from, far_until)


def test_every_exit_status_stands_in_the_readme_and_back() -> None:
    cells = [
        cell for cell in first_cells(section("Exit statuses", page=_README)) if cell[0].isdigit()
    ]

    documented = {int(number) for cell in cells for number in cell.split(",")}

    assert documented == {int(status) for status in ExitStatus}


def test_every_json_key_of_a_sending_job_stands_in_the_reference() -> None:
    keys = first_cells(section("A sending job"))
    documented = set(re.findall(r"`(\w+)`", " ".join(keys)))
    moment = datetime(2026, 11, 23, 12, tzinfo=UTC)
    report = Report("no-show", "run", moment, "America/Sao_Paulo", dry_run=True)
    report.extra = {"marked": 0, "left_open": 0}

    assert set(report.as_json()) <= documented


def test_every_key_of_the_outbox_stands_in_the_reference_and_back() -> None:
    documented = set(re.findall(r"`(\w+)`", " ".join(first_cells(section("JSON of outbox")))))
    at = datetime(2026, 11, 23, 12, tzinfo=UTC)
    entry = Entry(
        id=1,
        kind="24h",
        appointment_id=2,
        turn=1,
        start=at,
        phone=None,
        state=State.SENT,
        attempts=1,
        since=at,
        sent_at=at,
        delivered_at=None,
        read_at=None,
        error=None,
        code=None,
    )

    assert set(_shown(entry, Settings())) == documented
