"""The job that takes in what came back: what became of our messages, and what patients answer."""

from smartia_jobs.jobs.answers import FIGURES, act_on_answers
from smartia_jobs.jobs.opening import open_clinic
from smartia_jobs.jobs.polling import KEEP_STATUSES
from smartia_jobs.jobs.preferences import take_in_preferences
from smartia_jobs.jobs.sending import new_report
from smartia_jobs.jobs.statuses import take_in_statuses
from smartia_jobs.outbox.recovery import recover_lost
from smartia_jobs.report import Report
from smartia_jobs.run import Run
from smartia_jobs.store.forwarded import forget as forget_forwarded
from smartia_jobs.store.listening import forget_statuses
from smartia_jobs.store.schema import tables_exist

COMMAND = "replies"

#: The figures of statuses, which it reports even when none came.
_FIGURES = ("statuses", "delivered", "read", "undelivered", "settled", "reopened")


def take_in_replies(run: Run, *, show_texts: bool = False) -> Report:
    """Take in what has arrived since the last run, each thing once.

    Args:
        run: what to work with.
        show_texts: let a dry run show what patients wrote, for a person at a terminal.

    Raises:
        ConfigurationError: a setting, the catalogue or the schema is wrong.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read or written.
    """
    report = new_report(run, COMMAND)
    report.about_visits = False
    report.extra = dict.fromkeys((*_FIGURES, *FIGURES), 0)
    report.ignored = {}
    appointments = open_clinic(run)
    with run.database.read() as connection:
        if not tables_exist(connection):  # a dry run, on a database that never sent anything
            return report
    if not run.dry_run:
        recover_lost(run)
    take_in_statuses(run, report)
    take_in_preferences(run)
    act_on_answers(run, appointments, report, show_texts=show_texts)
    if not run.dry_run:
        with run.database.write() as connection:
            forget_statuses(connection, before=run.now - KEEP_STATUSES)
            forget_forwarded(connection, before=run.now - KEEP_STATUSES)
    if run.stop.status is not None:
        report.stop("interrupted; the next run goes on", run.stop.status)
    return report
