"""Sending one kind of message, and adding up what became of each visit."""

from collections.abc import Collection

from smartia_jobs.appointment import AppointmentStatus
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.rules.window import Window
from smartia_jobs.clinic.times import to_wall
from smartia_jobs.outbox.dispatcher import Dispatcher
from smartia_jobs.outbox.preview import preview
from smartia_jobs.outbox.recovery import foresee_missed, held_unknown, recover
from smartia_jobs.outbox.sender import Sender
from smartia_jobs.outbox.source import Source
from smartia_jobs.report import Reason, Report
from smartia_jobs.run import Run
from smartia_jobs.store.schema import tables_exist


def new_report(run: Run, job: str) -> Report:
    """Return the empty report of a run."""
    return Report(
        job=job,
        run_id=run.id,
        now=run.now.astimezone(run.settings.clinic_timezone),
        timezone=run.settings.clinic_timezone.key,
        dry_run=run.dry_run,
        strict=run.strict,
    )


def expect(
    run: Run,
    appointments: Appointments,
    window: Window,
    *,
    statuses: Collection[AppointmentStatus] | None = None,
) -> None:
    """Give a progress bar, if there is one, the number of visits to look at."""
    if run.progress is not None:
        with run.database.read() as connection:
            run.progress.expect(appointments.count(connection, window, statuses=statuses))


def send_due(run: Run, source: Source, sender: Sender, report: Report) -> None:
    """Send what is due, or only decide in a dry run, and add up the outcomes."""
    if run.dry_run:
        with run.database.read() as connection:
            known = tables_exist(connection)
        report.missed += foresee_missed(run, source) if known else 0
        report.held_unknown = _held(run, source)
        for outcome in preview(run, source, sender):
            report.add(outcome)
        return
    report.missed += recover(run, source)
    report.held_unknown = _held(run, source)
    dispatcher = Dispatcher(run, source, sender)
    for outcome in dispatcher.outcomes():
        report.add(outcome)
        if run.progress is not None:
            run.progress.show(report)
    # Due when the run began, but too late when their turn came.
    report.missed += report.skipped[Reason.TOO_LATE]
    report.interactions_missing = dispatcher.interactions_missing
    if report.interactions_missing:
        report.warnings.append(
            f"Sent and on record, but missing in SmartIA's dialogues: {report.interactions_missing}"
            " messages. The log says why; smartia-jobs check looks for the cause."
        )
    if dispatcher.end is not None:
        report.stop(dispatcher.end.why, dispatcher.end.status)
    if run.stop.status is not None:
        report.stop("interrupted; what was in flight is recorded", run.stop.status)


def _held(run: Run, source: Source) -> int:
    with run.database.read() as connection:
        if run.dry_run and not tables_exist(connection):
            return 0
        wall_now = to_wall(run.now, run.settings.clinic_timezone)
        return held_unknown(connection, source.kind, wall_now=wall_now)
