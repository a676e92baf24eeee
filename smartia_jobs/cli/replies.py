"""``smartia-jobs replies``: what came back is taken in, and what of it is for a person."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smartia_jobs.cli.context import (
    JobOptions,
    errors_as_status,
    print_json,
    read_settings,
    run_job,
)
from smartia_jobs.cli.options import DryRun, EnvFile, Json, Now

if TYPE_CHECKING:
    from smartia_jobs.jobs.answered import Done
    from smartia_jobs.settings import Settings
    from smartia_jobs.store.unsettled import Unsettled

app = typer.Typer(
    name="replies",
    invoke_without_command=True,
)

Ids = Annotated[
    list[int],
    typer.Argument(
        metavar="ID…", min=1, max=2**63 - 1, help="As listed by smartia-jobs replies list."
    ),
]
ShowTexts = Annotated[
    bool,
    typer.Option("--show-texts", help="Show what patients wrote; on a terminal alone."),
]


@app.callback()
def replies(
    context: typer.Context,
    *,
    dry_run: DryRun = False,
    now: Now = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=1,
            metavar="N",
            help="Take in at most N statuses, and write back at most N times.",
            show_default=False,
        ),
    ] = None,
    show_texts: ShowTexts = False,
    json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Take in what came back: deliveries, answers, stops (every 5 to 10 minutes).

    What our webhook or SmartIA's has stored moves the messages of the outbox to
    delivered, read or undelivered. A patient who confirms is confirmed, one who
    taps "no" is cancelled (ON_CANCEL), one who wants no messages gets none, and
    whatever is not surely understood is listed for a person. Without a token
    nobody gets a word back; all else is done.

    Example: smartia-jobs replies --dry-run
    """
    if context.invoked_subcommand is not None:
        return
    if show_texts and not dry_run:
        raise typer.BadParameter("works only together with --dry-run", param_hint="--show-texts")
    _only_for_a_person(show_texts, json=json)
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
    run_job("replies", lambda run: take_in_replies(run, show_texts=show_texts), options)


@app.command("list")
def list_(*, show_texts: ShowTexts = False, json: Json = False, env_file: EnvFile = None) -> None:
    """List answers that are for a person. Phones are masked.

    listed: it was not surely understood, or changes nothing by itself.
    cancelled: the visit was cancelled, and its slot is free.
    undone: it was taken back, and the patient must be told.
    What the reception has dealt with in SmartIA is no longer listed, nor is
    what is more than a week old.

    Example: smartia-jobs replies list
    """
    _only_for_a_person(show_texts, json=json)
    from smartia_jobs.clock import SystemClock
    from smartia_jobs.jobs.answered import list_answers

    with errors_as_status("replies list", as_json=json):
        settings = read_settings(env_file)
        found = list_answers(settings, SystemClock())
        if json:
            rows = [_shown(one, settings) for one in found]
            print_json({"job": "replies list", "answers": rows, "exit_code": 0})
            return
        print_answers(found, settings, show_texts=show_texts)


@app.command()
def settle(ids: Ids, *, env_file: EnvFile = None) -> None:
    """Say that somebody has dealt with answers: they hold nothing back any more.

    Example: smartia-jobs replies settle 17 18
    """
    from smartia_jobs.jobs.answered import settle as settle_answers

    _decide("settle", settle_answers, ids, env_file, done="settled")


@app.command()
def undo(ids: Ids, *, env_file: EnvFile = None) -> None:
    """Take back what answers have done: visits get the status that they had.

    A visit that somebody has changed since stays as it is. The answer counts for
    nothing any more, so the next reminder may ask its patient again; it stays on
    the list until somebody has called them.

    Example: smartia-jobs replies undo 17
    """
    from smartia_jobs.jobs.answered import undo as undo_answers

    _decide("undo", undo_answers, ids, env_file, done="undone; tell the patient")


_WHY_NOT = {
    "unknown": "there is no such answer; see smartia-jobs replies list",
    "nothing_to_do": "there is nothing to do about it (any more); nothing was changed",
    "changed_since": "undone, but its visit was changed since, and stays as it is",
}


def _decide(
    command: str, decide: Any, ids: Sequence[int], env_file: Path | None, *, done: str
) -> None:
    from smartia_jobs.clock import SystemClock
    from smartia_jobs.errors import UsageError

    with errors_as_status(f"replies {command}"):
        made: Mapping[int, Done] = decide(read_settings(env_file), SystemClock(), ids)
        for answer_id, what in made.items():
            if what in ("done", "changed_since"):
                typer.echo(f"{answer_id}: {_WHY_NOT.get(what, done)}")
        wrong = [f"{one}: {_WHY_NOT[what]}" for one, what in made.items()
                 if what in ("unknown", "nothing_to_do")]  # fmt: skip
        if wrong:
            raise UsageError("\n".join(wrong))


def _only_for_a_person(show_texts: bool, *, json: bool) -> None:
    """Refuse to write what patients wrote anywhere but on a terminal: a pipe may end in a log."""
    if show_texts and (json or not sys.stdout.isatty()):
        raise typer.BadParameter(
            "works only on a terminal, and without --json: what patients write is about their"
            " health",
            param_hint="--show-texts",
        )


def _shown(one: "Unsettled", settings: "Settings") -> dict[str, Any]:
    from smartia_jobs.phones import mask_phone

    said_at = one.said_at.astimezone(settings.clinic_timezone)
    return {
        "id": one.id,
        "said_at": said_at.isoformat(timespec="minutes"),
        "meaning": one.meaning,
        "effect": one.effect,
        "why": one.why or "",
        "phone": mask_phone(one.phone or next((visit.phone for visit in one.told), None)),
        "visits": [
            {
                "appointment_id": visit.appointment_id,
                "start": visit.start.isoformat(timespec="minutes"),
            }
            for visit in one.told
        ],
    }


def print_answers(
    found: "Sequence[Unsettled]", settings: "Settings", *, show_texts: bool = False
) -> None:
    """Print answers for a person, within 80 columns: whose and when, then about what, and why."""
    for one in found:
        row = _shown(one, settings)
        said_at = row["said_at"][:16].replace("T", " ")
        typer.echo("{id:>6}  {effect:<9}  {phone}  answered ".format(**row) + said_at)
        for line in _indented(f"{_visits(row['visits'])}: {row['why'] or row['meaning']}"):
            typer.echo(line)
        for line in _indented(one.text or "") if show_texts else ():
            typer.echo(line)
    typer.echo(f"{len(found)} {'answer' if len(found) == 1 else 'answers'}")


def _indented(text: str) -> list[str]:
    """Return a text as lines; what would do something to the terminal is left out."""
    import textwrap

    printable = "".join(c if c.isprintable() else " " for c in text)
    indent = " " * 8
    return textwrap.wrap(
        printable, 80, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def _visits(visits: Sequence[Mapping[str, Any]]) -> str:
    told = (f"visit {one['appointment_id']} {one['start'].replace('T', ' ')}" for one in visits)
    return ", ".join(told) or "no visit"
