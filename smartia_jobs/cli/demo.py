"""``smartia-jobs demo``: a made-up clinic's Monday through the real code; no account needed."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from smartia_jobs.cli.context import JobOptions, errors_as_status, perform, print_result, wrapped
from smartia_jobs.clock import ShiftedClock, SystemClock
from smartia_jobs.settings import Settings

if TYPE_CHECKING:
    import sqlite3

    from smartia_jobs.report import Report
    from smartia_jobs.run import Run

#: A Monday, nine o'clock in São Paulo, whenever the demo is run.
_MONDAY_9 = datetime.fromisoformat("2026-11-23T09:00-03:00")

#: Whose messages are shown: two visits on one day, no name, an ordinary reminder.
_SHOWN = """
    SELECT p.name, i.message_text FROM interactions i JOIN patients p ON p.id = i.patient_id
    WHERE i.message_type = 'template' AND i.id > :after
    ORDER BY (i.message_text LIKE '% e %:%') DESC, (p.name IS NULL) DESC, i.id LIMIT :most
"""


@dataclass(frozen=True, slots=True)
class _Step:
    """One command of the demo: what it shows, and what it runs."""

    why: str
    command: str
    job: "Callable[[Run], Report]"
    dry_run: bool = False
    messages: int = 0


def demo() -> None:
    """Show a made-up clinic's day: real code, a local sandbox, no account needed.

    It ignores the environment and .env, reaches no network but this machine,
    and leaves nothing behind.

    Example: smartia-jobs demo
    """
    import tempfile

    with errors_as_status("demo"), tempfile.TemporaryDirectory(prefix="smartia-demo-") as folder:
        _play(Path(folder))


def _play(folder: Path) -> None:
    from smartia_jobs.catalogue.definition import definition
    from smartia_jobs.catalogue.loading import load_catalogue
    from smartia_jobs.sandbox.account import PHONE_NUMBER_ID
    from smartia_jobs.sandbox.clinic import make_clinic
    from smartia_jobs.sandbox.server import Sandbox

    clinic = make_clinic(folder / "smartia.db", monday_at=_MONDAY_9)
    templates = [
        definition(template, clinic_name="Clínica Aurora", clinic_phone=None)
        for template in load_catalogue(None).templates.values()
    ]
    with Sandbox(templates=templates) as sandbox:
        sandbox.clock_offset = _MONDAY_9 - SystemClock().now()  # it lives on that Monday, too
        settings = Settings(
            meta_access_token="made-up-token",  # noqa: S106 - the sandbox takes any
            meta_phone_number_id=PHONE_NUMBER_ID,
            meta_api_url=sandbox.url,
            database_url=clinic.url,
            database_is_a_copy=True,
            clinic_name="Clínica Aurora",
            log_level="ERROR",
        )
        _say(
            f"A made-up clinic with {clinic.patients} patients and {clinic.visits} visits, on a"
            " Monday at 9:00.",
            f"WhatsApp is a sandbox on {sandbox.url}: no message leaves this machine.",
        )
        for number, step in enumerate(_steps(), start=1):
            _say("", f"{number}. {step.why}", f"   $ smartia-jobs {step.command}")
            seen = _newest_interaction(folder)
            # The run begins on the stroke of nine; the clock a moment earlier, so that the
            # visit at 15:00 sharp is still six hours away when its turn comes.
            options = JobOptions(dry_run=step.dry_run, now=_MONDAY_9.isoformat())
            clock = ShiftedClock(_MONDAY_9 - timedelta(seconds=10))
            command = step.command.split()[0]
            print_result(perform(command, step.job, options, settings=settings, clock=clock))
            for name, text in _interactions(folder, after=seen, most=step.messages):
                _show_message(name or "(no name in the database)", text)
        _show_metrics(settings, number=number + 1)
        accepted = sum(one["accepted"] for one in sandbox.received)
        _say("", f"The sandbox accepted {accepted} messages; nobody got one twice.")
    _say(*_next_steps())


def _steps() -> Iterator[_Step]:
    from smartia_jobs.jobs.no_show import mark_no_shows
    from smartia_jobs.jobs.reminders import send_reminders
    from smartia_jobs.kinds import DAY_AHEAD, HOURS_AHEAD

    yield _Step(
        "What would be sent, and why not? Nothing is sent or written.",
        "24h --dry-run",
        lambda run: send_reminders(run, DAY_AHEAD),
        dry_run=True,
    )
    yield _Step(
        "Remind patients about a day ahead.",
        "24h",
        lambda run: send_reminders(run, DAY_AHEAD),
        messages=3,
    )
    yield _Step(
        "The scheduler starts it twice? Nobody gets a second message.",
        "24h",
        lambda run: send_reminders(run, DAY_AHEAD),
    )
    yield _Step(
        "Remind patients about two hours ahead.",
        "2h",
        lambda run: send_reminders(run, HOURS_AHEAD),
        messages=1,
    )
    yield _Step(
        "Mark missed visits, and invite back those who did not come and have not booked again.",
        "no-show",
        mark_no_shows,
        messages=1,
    )


def _show_metrics(settings: Settings, *, number: int) -> None:
    from smartia_jobs.cli.metrics.table import to_text
    from smartia_jobs.jobs.metrics import build_metrics
    from smartia_jobs.launch import run_that_reads

    _say("", f"{number}. What do the last 30 days say?", "   $ smartia-jobs metrics")
    with run_that_reads("metrics", settings, ShiftedClock(_MONDAY_9)) as run:
        sys.stdout.write(to_text(build_metrics(run), terminal=sys.stdout.isatty()) + "\n")


def _next_steps() -> tuple[str, ...]:
    # As it was called: `make demo` has it in .venv/bin alone.
    program = sys.argv[0] if sys.argv[0].endswith("smartia-jobs") else "smartia-jobs"
    return (
        "",
        "On your own database (nothing is sent or written):",
        "   export DATABASE_URL=sqlite:////path/to/smartia.db",
        f"   {program} 24h --dry-run",
        "The README goes on from there: the WhatsApp account, then the first real reminder.",
    )


def _made_up_clinic(folder: Path) -> "closing[sqlite3.Connection]":
    import sqlite3

    return closing(sqlite3.connect(folder / "smartia.db"))


def _interactions(folder: Path, *, after: int, most: int) -> list[tuple[str | None, str]]:
    with _made_up_clinic(folder) as connection:
        return list(connection.execute(_SHOWN, {"after": after, "most": most}))


def _newest_interaction(folder: Path) -> int:
    with _made_up_clinic(folder) as connection:
        (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM interactions").fetchone()
    return int(newest)


def _show_message(name: str, text: str) -> None:
    if not sys.stdout.isatty():
        _say("", f"   To {name}:", *(f"   | {line}" for line in text.splitlines()))
        return
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    Console().print(Panel(Text(text), title=Text(name), width=64, border_style="green"))


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{wrapped(line)}\n" if line else "\n" for line in lines)
    sys.stdout.flush()
