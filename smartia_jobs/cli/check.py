"""``smartia-jobs check``: everything a run depends on, looked at before patients find out."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartia_jobs.cli.context import (
    errors_as_status,
    gather_settings,
    listen_to_signals,
    print_json,
)
from smartia_jobs.cli.options import EnvFile, Json

if TYPE_CHECKING:
    from smartia_jobs.jobs.check import Checked
    from smartia_jobs.kinds import ReminderKind
    from smartia_jobs.report import Report
    from smartia_jobs.run import Run
    from smartia_jobs.settings import Settings

Online = Annotated[
    bool | None,
    typer.Option(
        "--online/--offline",
        help="Ask WhatsApp too, or not. The default is to ask if META_ACCESS_TOKEN is set.",
        show_default=False,
    ),
]


Details = Annotated[
    bool,
    typer.Option("--details", help="Show the details of what is ok as well."),
]


def check(
    *,
    online: Online = None,
    details: Details = False,
    json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Prove settings, database, times, token, number and templates right.

    Nothing is sent, created or upgraded; what is written on PostgreSQL, to try
    it, is rolled back. Each line is ok, a warning, a problem or unreachable,
    with what to do next. The exit status is 78 for any problem, else 69 if the
    database or WhatsApp gave no answer, else 0.

    Example: smartia-jobs check --offline

    Example: smartia-jobs check --json | jq '.findings[] | select(.level != "ok")'
    """
    with errors_as_status("check", as_json=json):
        checked = _checked(env_file, online)
        if json:
            print_json(checked.as_json())
        else:
            print_checked(checked, details=details)
        raise typer.Exit(int(checked.exit_status))


def print_checked(checked: "Checked", *, details: bool = False) -> None:
    """Print what was found for a person: a line for what is ok, more where there is more to do."""
    from smartia_jobs.cli.findings_table import named, print_findings

    title = f"check · {checked.now:%a %d %b %Y, %H:%M} · {checked.timezone}"
    closing = f"{named(checked.findings)}. Exit {int(checked.exit_status)}."
    print_findings(title, checked.findings, closing, brief=not details)


def _checked(env_file: Path | None, online: bool | None) -> "Checked":
    from smartia_jobs.clock import SystemClock
    from smartia_jobs.errors import ConfigurationError
    from smartia_jobs.jobs.check import Checked, check
    from smartia_jobs.jobs.checks.finding import failure
    from smartia_jobs.jobs.checks.settings import settings_file
    from smartia_jobs.launch import start_logs
    from smartia_jobs.run import Stop
    from smartia_jobs.settings.environment import understand

    clock, given = SystemClock(), gather_settings(env_file)
    file = settings_file(given)
    try:
        settings = understand(given)
    except ConfigurationError as error:
        # Whatever else is wrong cannot be looked at: where to look is a setting.
        return Checked(False, clock.now(), "UTC", (file, failure("settings", error)))
    start_logs(settings, "check", "check")
    stop = Stop()
    listen_to_signals(stop)
    checked = check(settings, clock, _jobs(settings), online=online, stop=stop)
    return replace(checked, findings=(file, *checked.findings))


def _jobs(settings: "Settings") -> "dict[str, Callable[[Run], Report]]":
    """Return each job by the kind of its message."""
    from functools import partial

    from smartia_jobs.catalogue.loading import load_catalogue
    from smartia_jobs.errors import ConfigurationError
    from smartia_jobs.jobs.no_show import mark_no_shows
    from smartia_jobs.jobs.reminders import send_reminders
    from smartia_jobs.kinds import INVITATION, REMINDERS

    kinds: Iterable[ReminderKind] = REMINDERS
    with suppress(ConfigurationError):  # the check looks at the catalogue, too, and says so
        kinds = load_catalogue(settings.messages_file).reminders.values()
    reminders = {kind.name: partial(send_reminders, kind=kind) for kind in kinds}
    return {**reminders, INVITATION: mark_no_shows}
