"""``smartia-jobs replies``."""

from typing import Annotated, NoReturn

import typer

from smartia_jobs.cli.context import JobOptions, run_job
from smartia_jobs.cli.options import DryRun, EnvFile, Json, Now


def replies(
    *,
    dry_run: DryRun = False,
    now: Now = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=1, metavar="N", help="Take in at most N statuses.", show_default=False
        ),
    ] = None,
    json: Json = False,
    env_file: EnvFile = None,
) -> NoReturn:
    """Take in what came back: deliveries, failures, stops (every 5 to 10 minutes).

    What Meta's webhook or SmartIA has heard moves the messages of the outbox to
    delivered, read or undelivered. Sends nothing itself, and needs no token.

    Example: smartia-jobs replies --dry-run
    """
    from smartia_jobs.jobs.replies import take_in_replies

    options = JobOptions(
        env_file=env_file,
        dry_run=dry_run,
        now=now,
        limit=limit,
        json=json,
        sends=False,
        watched=False,
    )
    run_job("replies", take_in_replies, options)
