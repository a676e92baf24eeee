"""Sending one kind of message, and adding up what became of each visit."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from smartia_jobs.appointment import AppointmentStatus, PersonDay
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.rules.window import Window
from smartia_jobs.clinic.times import to_wall
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
        _foresee(run, source, sender, report)
        return
    report.missed += recover(run, source)
    with run.database.read() as connection:
        report.held_unknown = _held(connection, run, source)
        page = _first_page(connection, source)
    if page is not None:
        _dispatch(run, source, sender, page, report)
    if run.stop.status is not None:
        report.stop("interrupted; what was in flight is recorded", run.stop.status)


def _dispatch(
    run: Run, source: Source, sender: Sender, page: Sequence[PersonDay], report: Report
) -> None:
    """Send what is due, from its first page on; with nothing due none of this is loaded."""
    from smartia_jobs.outbox.dispatcher import Dispatcher

    dispatcher = Dispatcher(run, source, sender, page)
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


def _foresee(run: Run, source: Source, sender: Sender, report: Report) -> None:
    """Add up what a run at this moment would do."""
    from smartia_jobs.outbox.preview import preview

    with run.database.read() as connection:
        known = tables_exist(connection)
        report.held_unknown = _held(connection, run, source) if known else 0
    if known:
        report.missed += foresee_missed(run, source)
    for outcome in preview(run, source, sender):
        report.add(outcome)


def _held(connection: Connection, run: Run, source: Source) -> int:
    wall_now = to_wall(run.now, run.settings.clinic_timezone)
    return held_unknown(connection, source.kind, wall_now=wall_now)


def _first_page(connection: Connection, source: Source) -> Sequence[PersonDay] | None:
    """Return the nearest person-days that are due; None when there are none."""
    while (page := source.next_page(connection)) is not None:
        if page:
            return page
    return None
