"""What became of our messages: taking in statuses, and what a run reports about them."""

from collections.abc import Callable
from datetime import datetime

from smartia_jobs.catalogue.loading import load_catalogue
from smartia_jobs.clinic.times import to_instant
from smartia_jobs.jobs.polling import poll_smartia
from smartia_jobs.kinds import INVITATION, ReminderKind
from smartia_jobs.outbox.statuses import Rules, apply_statuses
from smartia_jobs.phones import mask_phone
from smartia_jobs.report import Report
from smartia_jobs.run import Run
from smartia_jobs.settings import Settings
from smartia_jobs.store.states import State
from smartia_jobs.whatsapp.codes import explain_failure


def take_in_statuses(run: Run, report: Report) -> None:
    """Apply the statuses that arrived to their messages, and add up what became of these."""
    rules = Rules(explain_failure, _useful_until(run.settings))
    applied = apply_statuses(run, rules, unstored=poll_smartia(run))
    report.extra |= {
        "statuses": applied.statuses,
        "delivered": applied.moved[State.DELIVERED],
        "read": applied.moved[State.READ],
        "undelivered": applied.moved[State.UNDELIVERED],
        "settled": applied.settled,
        "reopened": applied.moved[State.RETRY],
    }
    report.ignored = {str(reason): count for reason, count in sorted(applied.ignored.items())}
    if run.dry_run:
        for move in applied.moves:
            report.decide(
                move.appointment_id,
                move.start,
                f"would_be_{move.state}",
                move.reason,
                phone=mask_phone(move.phone),
            )


def _useful_until(settings: Settings) -> Callable[[str, datetime], datetime]:
    """Return a function that says until when a message of a kind about a start is useful.

    The start is clinic wall time.
    """
    known: dict[str, ReminderKind] = {}

    def until(kind: str, start: datetime) -> datetime:
        start_at = to_instant(start, settings.clinic_timezone)
        if kind == INVITATION:
            return start_at + settings.reengage_within
        if not known:  # only now: most runs get no such failure
            known.update(load_catalogue(settings.messages_file).reminders)
        reminder = known.get(kind)
        return start_at if reminder is None else start_at - settings.times_of(reminder).latest

    return until
