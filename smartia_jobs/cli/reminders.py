"""``smartia-jobs 24h`` and its like, and ``remind`` for those of the clinic's own catalogue."""

from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from smartia_jobs.cli.context import JobOptions, run_job
from smartia_jobs.cli.options import DryRun, EnvFile, Json, Limit, Now, Strict
from smartia_jobs.kinds import ReminderKind, is_a_name


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


def remind(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A section of MESSAGES_FILE.")],
    *,
    dry_run: DryRun = False,
    now: Now = None,
    limit: Limit = None,
    json: Json = False,
    strict: Strict = False,
    env_file: EnvFile = None,
) -> NoReturn:
    """Send a further reminder, which your own catalogue defines.

    A section of MESSAGES_FILE that has lead_hours, every_hours and
    latest_hours is one. Schedule it as often as every_hours says.

    Example: smartia-jobs remind 5d --dry-run
    """
    if not is_a_name(name):
        raise typer.BadParameter(
            "may only have a-z, 0-9, _ and -, at most 20 characters", param_hint="NAME"
        )
    from smartia_jobs.jobs.reminders import own_reminder, send_reminders

    options = JobOptions(
        env_file=env_file, dry_run=dry_run, now=now, limit=limit, json=json, strict=strict
    )
    run_job(
        f"remind {name}", lambda run: send_reminders(run, own_reminder(run.settings, name)), options
    )
