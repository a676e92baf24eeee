"""``smartia-jobs 24h`` and ``smartia-jobs 2h``."""

from typing import NoReturn

from smartia_jobs.cli.context import JobOptions, run_job
from smartia_jobs.cli.options import DryRun, EnvFile, Json, Limit, Now, Strict


def day_ahead(
    *,
    dry_run: DryRun = False,
    now: Now = None,
    limit: Limit = None,
    json: Json = False,
    strict: Strict = False,
    env_file: EnvFile = None,
) -> NoReturn:
    """Remind patients about a day ahead (schedule it daily at 9:00 clinic time).

    Running it more often is harmless, and catches outages and late bookings.

    Example: smartia-jobs 24h --dry-run
    """
    from smartia_jobs.jobs.reminders import DAY_AHEAD, send_reminders

    options = JobOptions(
        env_file=env_file, dry_run=dry_run, now=now, limit=limit, json=json, strict=strict
    )
    run_job("24h", lambda run: send_reminders(run, DAY_AHEAD), options)


def hours_ahead(
    *,
    dry_run: DryRun = False,
    now: Now = None,
    limit: Limit = None,
    json: Json = False,
    strict: Strict = False,
    env_file: EnvFile = None,
) -> NoReturn:
    """Remind patients about two hours ahead (schedule it hourly).

    Example: smartia-jobs 2h --dry-run --now 2026-11-23T14:00
    """
    from smartia_jobs.jobs.reminders import HOURS_AHEAD, send_reminders

    options = JobOptions(
        env_file=env_file, dry_run=dry_run, now=now, limit=limit, json=json, strict=strict
    )
    run_job("2h", lambda run: send_reminders(run, HOURS_AHEAD), options)
