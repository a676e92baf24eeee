"""What the guide and its reference show as the program's output is the program's output.

The guide's story is told on a terminal, of a made-up clinic, on a Monday at nine. Runs get that
moment as their clock; what only looks at the database is the real program, started today.
"""

import io
import re
import shlex
import shutil
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from smartia_jobs.cli.check import _jobs, print_checked
from smartia_jobs.cli.context import JobOptions, perform, print_result
from smartia_jobs.cli.metrics.table import to_text
from smartia_jobs.clock import ShiftedClock
from smartia_jobs.jobs.check import check
from smartia_jobs.jobs.checks.settings import settings_file
from smartia_jobs.jobs.metrics import build_metrics
from smartia_jobs.jobs.no_show import mark_no_shows
from smartia_jobs.jobs.reminders import send_reminders
from smartia_jobs.kinds import DAY_AHEAD
from smartia_jobs.launch import run_that_reads
from smartia_jobs.report import Report
from smartia_jobs.run import Run
from smartia_jobs.sandbox.account import PHONE_NUMBER_ID, WABA_ID
from smartia_jobs.sandbox.clinic import make_clinic
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.server import Sandbox
from smartia_jobs.settings import QuietHours, Settings
from smartia_jobs.settings.environment import Given
from tests.jobs.check_desk import definitions
from tests.support.process import process_as_before
from tests.support.program import start
from tests.support.terminal import run_on_terminal

_DOCS = Path(__file__).parents[1] / "docs"
#: The way of a quarter of an hour, and what is looked up.
_PAGES = (_DOCS / "guia.pt-BR.md", _DOCS / "referencia.pt-BR.md")
_SATURDAY = datetime.fromisoformat("2026-11-28T07:48-03:00")
_MONDAY_9 = datetime.fromisoformat("2026-11-23T09:00-03:00")
_COLUMNS = 88
_FENCE = re.compile(r"```(?P<language>\w+)\n(?P<text>.*?)\n```", re.DOTALL)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: What differs from one run to the next, or is of the day on which it runs.
_OF_THE_DAY = (
    (re.compile(r"\b\d{8}T\d{6}Z-[0-9a-f]{8}\b"), "RUN"),
    (re.compile(r"\bafter \d+\.\d s\b"), "after 0 s"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d-03:00"), "NOW"),
    (re.compile(r"^ +\d+  failed", re.MULTILINE), "ID  failed"),  # how many were claimed before
)


def as_on_any_day(text: str) -> list[str]:
    """Return the lines of an output without what depends on the day, and without blank ones.

    On a busy machine a run takes long enough for its bar to appear, which no screen keeps.
    """
    for pattern, word in _OF_THE_DAY:
        text = pattern.sub(word, text)
    return [line.rstrip() for line in text.splitlines() if line.strip() and "━" not in line]


def shown() -> dict[str, list[list[str]]]:
    """Return, by the commands above it, each output on the pages, in order."""
    outputs = defaultdict[str, list[list[str]]](list)
    for page in _PAGES:
        command = ""
        for block in _FENCE.finditer(page.read_text("utf-8")):
            if block["language"] == "console":
                command = "\n".join(as_on_any_day(block["text"]))
            elif block["language"] == "text":
                outputs[command].append(as_on_any_day(block["text"]))
    return outputs


class _Screen(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Monday:
    """The made-up clinic at nine on its Monday, a WhatsApp beside it, and what is typed."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        """Make the clinic in a new folder."""
        self.sandbox = sandbox
        self._file = folder / "smartia.db"
        self.clinic = make_clinic(self._file, monday_at=_MONDAY_9)
        self.printed = defaultdict[str, list[list[str]]](list)
        self._env = {
            "META_ACCESS_TOKEN": "any-token",
            "META_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
            "META_WABA_ID": WABA_ID,
            "META_API_URL": sandbox.url,
            "DATABASE_URL": self.clinic.url,
            "CLINIC_NAME": "Clínica Aurora",
            "CLINIC_PHONE": "+551133334444",
        }

    def note(self, typed: str, text: str) -> None:
        """Remember what was printed."""
        self.printed["\n".join(as_on_any_day(typed))].append(
            as_on_any_day(_CONTROL.sub("", text.replace("\r", "")))
        )

    def type(self, *lines: str, as_typed: str | None = None, **env: str) -> None:
        """Run the real program, one command after the other."""
        printed = [
            run_on_terminal(
                *shlex.split(line)[1:],
                env={**self._env, **env},
                cwd=self._file.parent,
                stdout_too=True,
                columns=_COLUMNS,
            ).screen
            for line in lines
        ]
        self.note(as_typed or "\n".join(lines), "".join(printed))

    def run(
        self,
        typed: str,
        job: Callable[[Run], Report],
        *,
        dry_run: bool = False,
        only_to: frozenset[str] = frozenset(),
    ) -> Report:
        """Run a job as its command does, on the stroke of nine."""
        options = JobOptions(dry_run=dry_run, now=_MONDAY_9.isoformat())
        clock = ShiftedClock(_MONDAY_9 - timedelta(seconds=10))
        settings = replace(self._settings, only_to=only_to)
        self.sandbox.clock_offset = _MONDAY_9 - datetime.now(UTC)
        with redirect_stdout(_Screen()) as screen:
            report = perform(shlex.split(typed)[1], job, options, settings=settings, clock=clock)
            print_result(report)
        self.sandbox.clock_offset = timedelta(0)
        self.note(typed, screen.getvalue())
        return report

    def metrics(self) -> None:
        """Print the numbers of the last 30 days."""
        with run_that_reads("metrics", self._settings, ShiftedClock(_MONDAY_9)) as run:
            self.note("smartia-jobs metrics", to_text(build_metrics(run), terminal=True))

    @property
    def _settings(self) -> Settings:
        return Settings(
            meta_access_token="any-token",
            meta_phone_number_id=PHONE_NUMBER_ID,
            meta_api_url=self.sandbox.url,
            database_url=self.clinic.url,
            database_is_a_copy=True,
            clinic_name="Clínica Aurora",
            log_level="CRITICAL",
        )

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Let what is done here leave no trace in the clinic."""
        kept = shutil.copy(self._file, self._file.with_suffix(".kept"))
        yield
        shutil.move(kept, self._file)


def day_ahead(run: Run) -> Report:
    """Remind patients about a day ahead."""
    return send_reminders(run, DAY_AHEAD)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[list[str]]]:
    """What the program prints when somebody follows the guide from chapter to chapter."""
    folder = tmp_path_factory.mktemp("guide")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patched:
        stack.enter_context(process_as_before())
        patched.setenv("COLUMNS", str(_COLUMNS))
        patched.setenv("TERM", "xterm")
        new_account = stack.enter_context(Sandbox())
        sandbox = stack.enter_context(Sandbox(templates=definitions()))
        monday = Monday(folder, sandbox)
        monday.type("smartia-jobs demo")
        monday.note("smartia-jobs sandbox", _sandbox(folder))
        monday.type("smartia-jobs templates preview")
        monday.type("smartia-jobs templates submit", META_API_URL=new_account.url)
        monday.type("smartia-jobs templates", CLINIC_PHONE="")
        monday.note("smartia-jobs check", _check(folder))
        monday.run("smartia-jobs 24h --dry-run --now 2026-11-23T09:00", day_ahead, dry_run=True)
        monday.type("smartia-jobs templates preview 24h --send-to +5511999990020")
        with monday.undone():
            only_to = frozenset({"+5511999990020"})
            monday.run("ONLY_TO=+5511999990020 smartia-jobs 24h", day_ahead, only_to=only_to)
        with monday.undone():
            sandbox.script("*", Scripted(code=190))
            monday.run("smartia-jobs 24h", day_ahead)
        monday.type("smartia-jobs 24h", CLINIC_TIMEZONE="Brasilia", QUIET_HOURS="21h-7h")
        monday.run(
            "smartia-jobs no-show --dry-run --now 2026-11-23T09:00", mark_no_shows, dry_run=True
        )
        sandbox.script("+5511999990023", Scripted(cut=True))
        monday.run("smartia-jobs 24h --limit 100", day_ahead)
        monday.type("smartia-jobs outbox --state unknown")
        settled = "smartia-jobs outbox settle 2 --sent", "smartia-jobs outbox settle 2 --failed"
        for line in (*settled, "smartia-jobs outbox resend 2"):
            with monday.undone():
                monday.type(line, as_typed="\n".join((*settled, "smartia-jobs outbox resend 2")))
        monday.type("smartia-jobs outbox --state failed")
        run_id = monday.run("smartia-jobs no-show", mark_no_shows).run_id
        monday.metrics()
        monday.type(f"smartia-jobs no-show --undo {run_id}")
        monday.type(
            "smartia-jobs opt-out add '(11) 98765-4321'",
            "smartia-jobs opt-out list",
            "smartia-jobs opt-out remove 11987654321",
        )
        monday.type("smartia-jobs outbox erase '(11) 99999-0020'")
        monday.type("smartia-jobs outbox purge --older-than 180d")
        monday.type("smartia-jobs db upgrade", "smartia-jobs db current")
    return monday.printed


def _sandbox(folder: Path) -> str:
    with start(("sandbox", "--port", "0"), {}, folder) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or "curl" not in lines[-1]:
            line = process.stdout.readline()
            assert line, "the sandbox ended"
            lines.append(line)
        process.send_signal(signal.SIGINT)
        process.communicate()
    return "".join(lines)


def _check(folder: Path) -> str:
    clinic = make_clinic(folder / "of-monday.db", monday_at=_MONDAY_9 + timedelta(weeks=1))
    file = settings_file(Given({}, folder, Path("/srv/smartia/.env"), True, (), ()))
    with Sandbox(templates=definitions()) as sandbox:
        sandbox.clock_offset = _SATURDAY - datetime.now(UTC)
        settings = Settings(
            meta_access_token="any-token",
            meta_phone_number_id=PHONE_NUMBER_ID,
            meta_waba_id=WABA_ID,
            meta_api_url=sandbox.url,
            database_url=clinic.url,
            database_is_a_copy=True,
            clinic_name="Clínica Aurora",
            quiet_hours=QuietHours(time(21), time(7)),
        )
        checked = check(settings, ShiftedClock(_SATURDAY), _jobs(settings))
    with redirect_stdout(io.StringIO()) as screen:
        print_checked(replace(checked, findings=(file, *checked.findings)))
    return screen.getvalue()


@pytest.mark.parametrize("command", shown())
def test_what_the_guide_shows_is_what_the_program_prints(
    command: str, printed: Mapping[str, list[list[str]]]
) -> None:
    outputs = shown()[command]
    assert command in printed, "the guide shows an output that nobody has compared"

    of_the_command = printed[command]
    if len(outputs) == 1:  # commands that were tried apart, shown together
        of_the_command = [[line for lines in of_the_command for line in lines]]

    assert len(outputs) == len(of_the_command)
    for block, lines in zip(outputs, of_the_command, strict=True):
        assert _is_cut_from(block, lines), "\n".join(lines)


def test_the_output_in_the_readme_is_the_demos(
    printed: Mapping[str, list[list[str]]],
) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    (block,) = (block["text"] for block in _FENCE.finditer(readme) if block["language"] == "text")
    (demo,) = printed["smartia-jobs demo"]

    assert "\n".join(as_on_any_day(block)) in "\n".join(demo)


def _is_cut_from(block: list[str], lines: list[str]) -> bool:
    """Whether a block is these lines, but for what each ``…`` of it stands for."""
    pattern = "".join(r"(?:.*\n)*?" if line == "…" else f"{re.escape(line)}\n" for line in block)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)) is not None
