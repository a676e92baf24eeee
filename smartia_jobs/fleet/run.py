"""A fleet's run: a process for each clinic whose turn it is, and what came of them."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

from smartia_jobs.clock import Clock
from smartia_jobs.errors import ExitStatus
from smartia_jobs.fleet.processes import run_each
from smartia_jobs.fleet.report import FleetReport, end_of
from smartia_jobs.logs import a_person_watches, log_event
from smartia_jobs.run import Stop
from smartia_jobs.settings.clinics import Clinic

logger = logging.getLogger(__name__)


def run_fleet(
    report: FleetReport,
    clinics: Sequence[Clinic],
    work: Callable[[Clinic], int],
    *,
    parallel: int,
    time_limit: timedelta,
    stop: Stop,
    clock: Clock,
) -> FleetReport:
    """Do the work for each clinic, and return the report with what came of them.

    Args:
        report: of this run, still without any clinic.
        clinics: in the order in which they are begun.
        work: what a clinic's process does; returns its exit status.
        parallel: how many run at one time.
        time_limit: for one clinic.
        stop: the wish to end, which is polled.
        clock: measures how long.
    """
    began_s = clock.monotonic()
    for ended in run_each(
        clinics, work, parallel=parallel, time_limit=time_limit, stop=stop, clock=clock
    ):
        report.ends.append(end_of(ended, time_limit=time_limit))
    begun = {end.name for end in report.ends}
    report.left = tuple(clinic.name for clinic in clinics if clinic.name not in begun)
    report.stopped = stop.status
    report.duration_s = clock.monotonic() - began_s
    if not a_person_watches():  # the table says the same to them
        _log(report)
    return report


def _log(report: FleetReport) -> None:
    """Log what is to be looked at, each clinic that failed, and the one closing line."""
    for warning in report.warnings:
        log_event(logger, logging.WARNING, warning, event="fleet_warning")
    for end in report.worst_first:
        if end.exit_status is not ExitStatus.OK:
            log_event(
                logger,
                logging.WARNING,
                f"clinic {end.name}: {end.advice}",
                event="clinic_failed",
                clinic=end.name,
                exit_code=int(end.exit_status),
            )
    statuses = Counter(int(end.exit_status) for end in report.ends)
    log_event(
        logger,
        logging.INFO if report.exit_status is ExitStatus.OK else logging.WARNING,
        "fleet finished",
        event="fleet_finished",
        shard=str(report.shard),
        clinics=len(report.ends),
        by_exit_code={str(status): count for status, count in sorted(statuses.items())},
        left=len(report.left),
        not_now=len(report.not_now),
        totals=report.totals,
        duration_s=round(report.duration_s, 3),
        exit_code=int(report.exit_status),
    )
