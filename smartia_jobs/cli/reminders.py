"""``smartia-jobs 24h`` and its like: a command for each kind of reminder."""

from collections.abc import Callable
from typing import NoReturn

from smartia_jobs.cli.context import JobOptions, run_job
from smartia_jobs.cli.options import DryRun, EnvFile, Json, Limit, Now, Strict
from smartia_jobs.kinds import ReminderKind


def reminder_command(kind: ReminderKind) -> Callable[..., NoReturn]:
    """Return the command that sends one kind of reminder."""

    def command(
        *,
        dry_run: DryRun = False,
        now: Now = None,
        limit: Limit = None,
        json: Json = False,
        strict: Strict = False,
        env_file: EnvFile = None,
    ) -> NoReturn:
        from smartia_jobs.jobs.reminders import send_reminders

        options = JobOptions(
            env_file=env_file, dry_run=dry_run, now=now, limit=limit, json=json, strict=strict
        )
        run_job(kind.command, lambda run: send_reminders(run, kind), options)

    return command
