"""The old field names: what each means now, and that the README says so."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from smartia_jobs.web.old_fields import OLD_NAMES, old_fields, with_old_fields

_AT = datetime(2026, 11, 23, 9, tzinfo=UTC)
_COUNTS = dict.fromkeys(
    ("due", "sent", "failed", "retry", "unknown", "left", "marked", "left_open"), 0
)


def metrics_of(rate: float | None) -> dict[str, Any]:
    return {
        "period": {"days": 7},
        "appointments": {"total": 3, "no_show": 1, "completed": 2},
        "no_show_rate": rate,
        "completion_rate": rate,
        "messages": {"24h": {"sent": 4}, "2h": {"sent": 2}, "no_show": {"sent": 8}},
    }


def test_every_old_field_stands_in_the_readme_and_back() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| old field \|.*?\n\n", readme, re.MULTILINE | re.DOTALL)
    cells = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)

    fields = {"error"}
    for command in OLD_NAMES:
        report = metrics_of(None) if command == "metrics" else _COUNTS
        fields |= old_fields(command, report, 0, at=_AT).keys()

    assert set(re.findall(r"`(\w+)`", " ".join(cells))) == fields


def test_what_was_not_surely_accepted_counts_as_failed() -> None:
    report = _COUNTS | {"due": 10, "sent": 1, "failed": 2, "retry": 3, "unknown": 1, "left": 3}

    fields = old_fields("24h", report, 75, at=_AT)

    assert fields["reminders_failed"] == 6
    assert fields["success"] is False


def test_reminders_of_both_kinds_are_counted_and_invitations_are_not() -> None:
    fields = old_fields("metrics", metrics_of(None), 0, at=_AT)

    assert fields["reminder_messages_sent"] == 6
    assert fields["period"] == "last_7_days"


@pytest.mark.parametrize(
    ("rate", "percent"), [(None, 0), (0.125, 12.5), (1 / 3, 33.33), (1.0, 100)]
)
def test_a_rate_is_a_percentage_as_before(rate: float | None, percent: float) -> None:
    assert old_fields("metrics", metrics_of(rate), 0, at=_AT)["no_show_rate"] == percent


@pytest.mark.parametrize("command", OLD_NAMES)
def test_a_run_that_could_not_be_made_has_no_counts(command: str) -> None:
    report = {"job": command, "exit_code": 69, "error": "the database is away"}

    fields = old_fields(command, report, 69, at=_AT)

    assert fields == {
        "job": OLD_NAMES[command],
        "timestamp": "2026-11-23T09:00:00",
        "error": "the database is away",
        "success": False,
    }


def test_nothing_of_our_report_is_lost_beside_the_old_fields() -> None:
    report = metrics_of(0.5)

    body = with_old_fields("metrics", report, 0, at=_AT)

    assert {**body, **body["report"]}.items() >= report.items()
