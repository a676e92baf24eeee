"""What a run cannot read: a warning that names the column, and an error when it is everything."""

from collections.abc import Mapping

from smartia_jobs.clinic.unreadable import any_date_within_reach, count_dates_out_of_reach
from smartia_jobs.errors import ExitStatus
from smartia_jobs.report import Reason, Report
from smartia_jobs.run import Run

_COLUMNS = {
    Reason.NO_STATUS: "appointments.status",
    Reason.UNREADABLE_DATE: "appointments.appointment_date",
    Reason.PATIENT_MISSING: "appointments.patient_id",
}

#: Less than this share are typing mistakes, and are only counted as skipped; from here on some
#: program writes rows in another form.
_LARGE_PART = 0.2
#: A single row is always a typing mistake.
_SEVERAL = 2


def note_dates_out_of_reach(run: Run, report: Report) -> None:
    """Count visits of any day that no run can find; it is an error when none can be found."""
    with run.database.read() as connection:
        count = count_dates_out_of_reach(connection)
        is_all = count >= _SEVERAL and not any_date_within_reach(connection)
    report.unreadable_dates = count
    if count:
        report.warnings.append(
            f"Visits that no run will ever find, as their appointments.appointment_date is not"
            f" written as YYYY-MM-DD HH:MM: {count}. See smartia-jobs check."
        )
    if is_all:
        report.statuses.add(ExitStatus.CONFIGURATION)


def note_unreadable(report: Report) -> None:
    """Judge what a reminder job skipped because it could not be read."""
    counts = {column: report.skipped[reason] for reason, column in _COLUMNS.items()}
    judge(report, counts, looked_at=report.due)


def judge(report: Report, counts: Mapping[str, int], *, looked_at: int) -> None:
    """Warn when a large part of the visits cannot be read; all of them are an error.

    Args:
        report: of the run.
        counts: column to the number of visits in which it cannot be read.
        looked_at: how many visits there were.
    """
    unreadable = sum(counts.values())
    if unreadable < max(_SEVERAL, _LARGE_PART * looked_at):
        return
    named = ", ".join(f"{column} of {count}" for column, count in counts.items() if count)
    report.warnings.append(
        f"Of {looked_at} visits that were looked at, {unreadable} cannot be understood ({named}),"
        " so nothing was done about them. See smartia-jobs check."
    )
    if unreadable >= looked_at:
        report.statuses.add(ExitStatus.CONFIGURATION)
