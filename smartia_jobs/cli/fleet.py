"""``smartia-jobs fleet``: any job for all clinics of a folder in one go."""

import os
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartia_jobs.cli.context import (
    become,
    errors_as_status,
    exit_with,
    listen_to_signals,
    log_as_environment_asks,
    print_json,
    refuse_now,
)
from smartia_jobs.cli.options import Format, Json
from smartia_jobs.cli.streams import status_of_output
from smartia_jobs.errors import InterruptedRunError
from smartia_jobs.kinds import REMINDERS
from smartia_jobs.run import Stop

if TYPE_CHECKING:
    from smartia_jobs.fleet.choice import Shard
    from smartia_jobs.settings.clinics import Clinic

#: What a fleet can do, by its first word.
JOBS = (
    *(kind.command for kind in REMINDERS),
    *("remind", "no-show", "replies", "calls", "metrics", "check", "db"),
)
#: Where a clinic's name is put into the job's options.
_CLINIC = "{clinic}"


def fleet(
    job: Annotated[
        list[str],
        typer.Argument(
            metavar="JOB…",
            help=f"{', '.join(JOBS[:-1])} or db upgrade, and its own options.",
        ),
    ],
    *,
    clinics: Annotated[
        Path,
        typer.Option(
            "--clinics", metavar="DIR", help="The folder with a settings file NAME.env for each."
        ),
    ],
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, max=256, metavar="N", help="Clinics at one time.")
    ] = 4,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Only the part I (from 0) of N; usual: what Cloud Run or Kubernetes says.",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        int | None,
        typer.Option(
            "--at",
            min=0,
            max=23,
            metavar="HOUR",
            help="Only clinics where this hour has begun, not more than three hours ago.",
            show_default=False,
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="NAME", help="Only this clinic; may be given several times."
        ),
    ] = None,
    time_limit: Annotated[
        int,
        typer.Option(
            "--time-limit", min=1, metavar="S", help="End a clinic that takes longer (seconds)."
        ),
    ] = 600,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be done; send, write nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Run a job for many clinics: one settings file each, one process each.

    A clinic's file outranks the environment, and no clinic touches another: one
    with a wrong setting, a dead token or a database that hangs is named, and
    the others are done. The exit status is 69 or 75 if running again would help
    any of them, else that of the worst.

    Example: smartia-jobs fleet 24h --clinics /srv/clinics --at 9

    Example: smartia-jobs fleet no-show --clinics /srv/clinics --dry-run

    Example: smartia-jobs fleet calls --clinics /srv/clinics --format html
    --output '/srv/calls/{clinic}.html'
    """
    words = [*job, *(["--dry-run"] if dry_run else [])]
    _refuse_what_no_clinic_takes(words)
    part = _shard(shard)
    with errors_as_status("fleet", as_json=json):
        log_as_environment_asks("fleet")
        from smartia_jobs.clock import SystemClock
        from smartia_jobs.fleet.choice import choose, shard_of
        from smartia_jobs.fleet.report import FleetReport
        from smartia_jobs.fleet.run import run_fleet
        from smartia_jobs.fleet.warm_up import warm_up
        from smartia_jobs.settings.clinics import read_clinics

        clock = SystemClock()
        folder = read_clinics(clinics, os.environ)
        part = part or shard_of(os.environ)
        chosen = choose(folder.all, shard=part, only=only or (), at=at, now=clock.now())
        # About the folder as a whole: `serve` starts a run for one clinic after each post.
        warnings = () if only else folder.warnings
        stop = Stop()
        # From here on a signal only says so: an exception could be lost in what is being loaded.
        stop.is_polled = True
        listen_to_signals(stop)
        if len(chosen.now) > 1:
            rehearsal = partial(_work, _rehearsal(words), rehearses=True)
            warm_up(chosen.now, rehearsal, migrates=words[0] == "db")
            log_as_environment_asks("fleet")
        report = run_fleet(
            FleetReport(_named(words), dry_run, part, chosen.not_now, warnings),
            chosen.now,
            partial(_work, words),
            parallel=parallel,
            time_limit=timedelta(seconds=time_limit),
            stop=stop,
            clock=clock,
        )
        if json:
            print_json(report.as_json())
        else:
            from smartia_jobs.cli.fleet_table import print_fleet

            print_fleet(report)
        exit_with(report.exit_status)


def _work(words: Sequence[str], clinic: "Clinic", *, rehearses: bool = False) -> int:
    """Be the process of one clinic: do what its own command line would do."""
    from smartia_jobs.cli.app import main

    become(clinic, rehearses=rehearses)
    form = ["--json"] if _prints_json(words) else []
    try:
        return status_of_output(main([word.replace(_CLINIC, clinic.name) for word in words] + form))
    except InterruptedRunError as error:  # when the command had already said all it had to say
        return int(error.exit_status)


def _prints_json(words: Sequence[str]) -> bool:
    return words[0] != "db" and not any(
        word.split("=")[0] in ("--json", "--format", "--output") for word in words
    )


def _rehearsal(words: Sequence[str]) -> list[str]:
    """Return the command line that loads what the job needs, and asks nobody anything."""
    if words[0] in ("remind", "check"):  # the one needs a catalogue, the other asks WhatsApp
        return [REMINDERS[0].command]
    return list(words[:2] if words[0] == "db" else words[:1])


def _named(words: Sequence[str]) -> str:
    """Return the job as a person calls it."""
    return " ".join(words[:2] if words[0] in ("remind", "db") else words[:1])


def _refuse_what_no_clinic_takes(words: Sequence[str]) -> None:
    """Refuse what each clinic would refuse, once.

    Raises:
        typer.BadParameter: or another of its errors: that is no job, or not its options.
    """
    if words[0] not in JOBS or (words[0] == "db" and list(words[1:2]) != ["upgrade"]):
        raise typer.BadParameter(
            f"{words[0]!r} is not one of {', '.join(JOBS[:-1])} or db upgrade", param_hint="JOB"
        )
    if any(word.split("=")[0] == "--env-file" for word in words):
        raise typer.BadParameter(
            "a clinic's settings come from its file in --clinics", param_hint="--env-file"
        )
    from smartia_jobs.cli.app import command

    program = command(words[0])
    with program.make_context("smartia-jobs fleet", list(words[:1])) as context:
        one = program.get_command(context, words[0])
        if one is None:
            return
        with one.make_context(words[0], list(words[1:]), parent=context) as its_own:
            given = its_own.params
            refuse_now(given.get("now"), dry_run=given.get("dry_run", False))
            output, form = given.get("output"), given.get("format")
    if output is None and form in (Format.CSV, Format.HTML):
        raise typer.BadParameter(
            f"nobody would see what each clinic prints; add --output 'DIR/{_CLINIC}.{form}'",
            param_hint="--format",
        )
    if output is not None and _CLINIC not in str(output):
        raise typer.BadParameter(
            f"all clinics would write to {output}, one over the other; put {_CLINIC} into it",
            param_hint="--output",
        )


def _shard(text: str | None) -> "Shard | None":
    if text is None:
        return None
    from smartia_jobs.fleet.choice import shard_from

    try:
        return shard_from(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--shard") from None
