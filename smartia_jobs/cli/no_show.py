"""``smartia-jobs no-show``."""

from typing import Annotated, NoReturn

import typer

from smartia_jobs.cli.context import JobOptions, run_job
from smartia_jobs.cli.options import DryRun, EnvFile, Json, Limit, Now, Strict


def no_show(
    *,
    dry_run: DryRun = False,
    now: Now = None,
    limit: Limit = None,
    no_message: Annotated[
        bool, typer.Option("--no-message", help="Only mark in this run (for good: INVITATIONS=0).")
    ] = False,
    mark_all: Annotated[
        bool, typer.Option("--mark-all", help="Mark more visits than NO_SHOW_BRAKE allows.")
    ] = False,
    undo: Annotated[
        str | None,
        typer.Option(
            "--undo",
            metavar="RUN",
            help="Give back their status to the visits that the run with this run_id has marked.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    strict: Strict = False,
    env_file: EnvFile = None,
) -> NoReturn:
    """Mark missed visits, and invite their patients back (schedule it hourly).

    A visit is marked NO_SHOW an hour after its time, once; whoever reopens it
    is not fought. Patients who came, booked again or opted out get no message.

    Example: smartia-jobs no-show --dry-run
    """
    from smartia_jobs.jobs.no_show import mark_no_shows, undo_no_shows

    if undo is not None and (no_message or mark_all or limit is not None):
        raise typer.BadParameter(
            "cannot be combined with --no-message, --mark-all or --limit", param_hint="--undo"
        )
    sends = undo is None and not no_message
    options = JobOptions(env_file, dry_run, now, limit, json, strict, sends)
    if undo is None:
        run_job(
            "no-show",
            lambda run: mark_no_shows(run, mark_all=mark_all, invite=not no_message),
            options,
        )
    run_job("no-show", lambda run: undo_no_shows(run, undo), options)
