"""What a job reports, in the field names of SmartIA's API and script, which callers still read."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from smartia_jobs.errors import ExitStatus

#: What the old program called each job.
OLD_NAMES = {
    "24h": "24h_reminders",
    "2h": "2h_reminders",
    "no-show": "no_show_handler",
    "metrics": "metrics",
}

#: Names in the same style for the jobs that it did not have.
_NAMES = {**OLD_NAMES, "72h": "72h_reminders", "replies": "replies"}

_NOT_SENT = ("failed", "retry", "unknown")


def old_fields(
    command: str, report: Mapping[str, Any], exit_code: int, *, at: datetime
) -> dict[str, Any]:
    """Return a report in the old field names, with their old meaning.

    ``success`` tells the truth, unlike the old program: it is the exit status 0. A visit counts
    as failed when its message was not surely accepted in this run.

    Args:
        command: which job: ``24h``, ``2h``, ``72h``, ``no-show``, ``replies`` or ``metrics``.
        report: its JSON object; of a run that an error ended ``error`` is all that is read.
        exit_code: its exit status.
        at: the time of the answer; written as wall time without a zone, as the old program did.
    """
    fields: dict[str, Any] = {
        "job": _NAMES[command],
        "timestamp": at.replace(tzinfo=None).isoformat(),
    }
    if "error" in report:
        fields["error"] = report["error"]
    elif command == "metrics":
        fields |= _of_metrics(report)
    elif command == "no-show":
        fields |= {
            "no_shows_found": report["marked"],
            "processed": report["marked"],
            "reengagement_sent": report["sent"],
        }
    elif command != "replies":
        fields |= {
            "appointments_found": report["due"],
            "reminders_sent": report["sent"],
            "reminders_failed": sum(report[result] for result in _NOT_SENT),
        }
    return fields | {"success": exit_code == ExitStatus.OK}


def with_old_fields(
    command: str, report: Mapping[str, Any], exit_code: int, *, at: datetime
) -> dict[str, Any]:
    """Return a report with the old fields beside its own.

    A name that both have keeps its old meaning here; ours is in ``report`` then.
    """
    old = old_fields(command, report, exit_code, at=at)
    ours = {name: report[name] for name in old if name in report and report[name] != old[name]}
    return {**report, **old, **({"report": ours} if ours else {})}


def _of_metrics(report: Mapping[str, Any]) -> dict[str, Any]:
    visits, messages = report["appointments"], report["messages"]
    return {
        "period": f"last_{report['period']['days']}_days",
        "total_appointments": visits["total"],
        "no_shows": visits["no_show"],
        "completed": visits["completed"],
        "reminder_messages_sent": messages["24h"]["sent"] + messages["2h"]["sent"],
        "no_show_rate": _percent(report["no_show_rate"]),
        "completion_rate": _percent(report["completion_rate"]),
    }


def _percent(rate: float | None) -> float:
    return round(100 * rate, 2) if rate is not None else 0
