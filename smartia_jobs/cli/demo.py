"""``smartia-jobs demo``: a made-up clinic's Monday through the real code; no account needed.

WhatsApp is the sandbox. What it posts goes over HTTP to a few lines that stand in for
``smartia-jobs serve``, whose libraries the demo does without: they read and store it by the
service's own code, but check no signature.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from smartia_jobs.cli.context import JobOptions, errors_as_status, perform, print_result, wrapped
from smartia_jobs.clock import ShiftedClock, SystemClock

if TYPE_CHECKING:
    import sqlite3

    from smartia_jobs.report import Report
    from smartia_jobs.run import Run
    from smartia_jobs.sandbox.exchange import Request
    from smartia_jobs.sandbox.server import Sandbox
    from smartia_jobs.settings import Settings

#: A Monday in São Paulo, whenever the demo is run: the reminders leave, patients answer, that is
#: acted on, and the visits of the afternoon come near.
_NINE = datetime.fromisoformat("2026-11-23T09:00-03:00")
_ANSWERS_AT = _NINE + timedelta(minutes=20)
_REPLIES_AT = _NINE + timedelta(minutes=25)
_TWO = _NINE + timedelta(hours=5)

#: Whose messages are shown: two visits on one day, no name, an ordinary reminder.
_SHOWN = """
    SELECT p.name, i.message_text FROM interactions i JOIN patients p ON p.id = i.patient_id
    WHERE i.type = 'OUTGOING' AND i.id > :after
    ORDER BY (i.message_text LIKE '% e %:%') DESC, (p.name IS NULL) DESC, i.id LIMIT :most
"""


@dataclass(frozen=True, slots=True)
class _Step:
    """One command of the demo: what it shows, what it runs and prints, and when.

    Attributes:
        why: what it shows.
        command: as somebody would type it.
        run: does it, and prints what the command prints.
        at: when.
        messages: how many of those that it sends are shown.
        answered: patients answer before it.
    """

    why: str
    command: str
    run: "Callable[[Settings, datetime], None]"
    at: datetime = _NINE
    messages: int = 0
    answered: bool = False


def demo() -> None:
    """Show a made-up clinic's day: real code, a local sandbox, no account needed.

    Reminders leave, patients confirm, cancel and ask, and it is acted on.
    It ignores the environment and .env, reaches no network but this machine,
    and leaves nothing behind.

    Example: smartia-jobs demo
    """
    import tempfile

    with errors_as_status("demo"), tempfile.TemporaryDirectory(prefix="smartia-demo-") as folder:
        _play(Path(folder))


def _play(folder: Path) -> None:
    from smartia_jobs.catalogue.definition import shipped_definitions
    from smartia_jobs.sandbox.account import PHONE_NUMBER_ID
    from smartia_jobs.sandbox.clinic import make_clinic
    from smartia_jobs.sandbox.server import Sandbox

    clinic = make_clinic(folder / "smartia.db", monday_at=_NINE)
    with Sandbox(templates=shipped_definitions(clinic_name="Clínica Aurora")) as sandbox:
        from smartia_jobs.settings import Settings

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
        with listening(sandbox, settings):
            _play_the_steps(folder, sandbox, settings)
        accepted = [(one["to"], one["text"]) for one in sandbox.received if one["accepted"]]
        twice = len(accepted) - len(set(accepted)) or "nobody"
        _say("", f"The sandbox accepted {len(accepted)} messages; {twice} got one twice.")
    _say(*_next_steps())


def _play_the_steps(folder: Path, sandbox: "Sandbox", settings: "Settings") -> None:
    from smartia_jobs.sandbox.scripts import Scripted
    from smartia_jobs.sandbox.story import BECOMES, PATIENTS

    for patient, statuses in BECOMES.items():
        sandbox.script(PATIENTS[patient], Scripted(statuses=statuses))
    for number, step in enumerate(_steps(), start=1):
        if step.answered:
            _let_patients_answer(sandbox)
        sandbox.clock_offset = step.at - SystemClock().now()  # it lives on that Monday too
        _say("", f"{number}. {step.why}", f"   $ smartia-jobs {step.command}")
        seen = _newest_interaction(folder)
        step.run(settings, step.at)
        for name, text in _interactions(folder, after=seen, most=step.messages):
            _show_message(name or "(no name in the database)", text)
        _wait_until_stored(sandbox)


def _let_patients_answer(sandbox: "Sandbox") -> None:
    from smartia_jobs.sandbox.story import ANSWERS, PATIENTS

    sandbox.clock_offset = _ANSWERS_AT - SystemClock().now()
    _say("", "WhatsApp tells what became of each message, and at 9:20 patients answer:")
    for answer in ANSWERS:
        person = sandbox.person(PATIENTS[answer.patient], name=answer.patient)
        if answer.taps:
            person.tap(answer.said)
        else:
            person.write(answer.said)
        _say(f"   {answer.patient} {'taps' if answer.taps else 'writes'}: {answer.said}")
    _wait_until_stored(sandbox)


def _wait_until_stored(sandbox: "Sandbox") -> None:
    if not sandbox.webhook.wait_until_idle(30) or sandbox.webhook.stats()["dropped"]:
        raise RuntimeError("what the sandbox posted was not stored")


@contextmanager
def listening(sandbox: "Sandbox", settings: "Settings") -> Iterator[None]:
    """Store what the sandbox posts, as ``smartia-jobs serve`` does."""
    from smartia_jobs.database import Database
    from smartia_jobs.inbox.payload import parse, read
    from smartia_jobs.sandbox.exchange import Reply
    from smartia_jobs.sandbox.listener import Listener
    from smartia_jobs.store.inbox import store_answers, store_statuses

    def store(request: "Request") -> Reply:
        at = SystemClock().now() + sandbox.clock_offset
        payload = parse(request.body)
        if payload is None:
            return Reply(400)
        post = read(payload, phone_number_id=settings.meta_phone_number_id, received_at=at)
        with closing(Database(settings.database_url)) as database, database.write() as connection:
            store_statuses(connection, post.statuses, received_at=at)
            store_answers(connection, post.answers, received_at=at)
        return Reply(200)

    listener = Listener(0, store)
    listener.start()
    try:
        url = f"http://127.0.0.1:{listener.server_address[1]}/webhook"
        sandbox.subscribe(url, app_secret="made-up-secret")  # noqa: S106 - nobody checks it
        yield
    finally:
        listener.close()


def _steps() -> Iterator[_Step]:
    from smartia_jobs.jobs.no_show import mark_no_shows
    from smartia_jobs.jobs.reminders import send_reminders
    from smartia_jobs.jobs.replies import take_in_replies
    from smartia_jobs.kinds import DAY_AHEAD, HOURS_AHEAD

    yield _Step(
        "What would be sent, and why not? Nothing is sent or written.",
        "24h --dry-run",
        _job("24h", lambda run: send_reminders(run, DAY_AHEAD), dry_run=True),
    )
    yield _Step(
        "Remind patients about a day ahead.",
        "24h",
        _job("24h", lambda run: send_reminders(run, DAY_AHEAD)),
        messages=2,
    )
    yield _Step(
        "The scheduler starts it twice? Nobody gets a second message.",
        "24h",
        _job("24h", lambda run: send_reminders(run, DAY_AHEAD)),
    )
    yield _Step(
        "Mark missed visits, and invite back those who did not come and have not booked again.",
        "no-show",
        _job("no-show", mark_no_shows),
        messages=1,
    )
    yield _Step(
        "Take in what came back, act on it, and answer in return.",
        "replies",
        _job("replies", take_in_replies),
        at=_REPLIES_AT,
        messages=9,
        answered=True,
    )
    yield _Step("What of it is for a person?", "replies list", _list_answers, at=_REPLIES_AT)
    yield _Step(
        "Remind about two hours ahead, but not who said no or wants no messages.",
        "2h",
        _job("2h", lambda run: send_reminders(run, HOURS_AHEAD)),
        at=_TWO,
        messages=1,
    )
    yield _Step(
        "The scheduler starts it every few minutes? Each answer is acted on once.",
        "replies",
        _job("replies", take_in_replies),
        at=_TWO + timedelta(minutes=5),
    )
    yield _Step(
        "What do the last 30 days say?",
        "metrics",
        _show_metrics,
        at=_TWO + timedelta(minutes=10),
    )


def _job(
    command: str, job: "Callable[[Run], Report]", *, dry_run: bool = False
) -> "Callable[[Settings, datetime], None]":
    def run(settings: "Settings", at: datetime) -> None:
        # The run begins at that very moment; the clock a little earlier, so that the visit at
        # 15:00 sharp is still six hours away when its turn comes.
        options = JobOptions(dry_run=dry_run, now=at.isoformat())
        clock = ShiftedClock(at - timedelta(seconds=10))
        print_result(perform(command, job, options, settings=settings, clock=clock))

    return run


def _list_answers(settings: "Settings", at: datetime) -> None:
    from smartia_jobs.cli.replies import print_answers
    from smartia_jobs.jobs.answered import list_answers

    print_answers(list_answers(settings, ShiftedClock(at)), settings)


def _show_metrics(settings: "Settings", at: datetime) -> None:
    from smartia_jobs.cli.metrics.table import to_text
    from smartia_jobs.jobs.metrics import build_metrics
    from smartia_jobs.launch import run_that_reads

    with run_that_reads("metrics", settings, ShiftedClock(at)) as run:
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
