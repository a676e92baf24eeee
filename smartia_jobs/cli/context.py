"""From options to an exit status: read settings, launch the job, print, translate errors."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from smartia_jobs.cli import garbage
from smartia_jobs.cli.streams import forget_output, output_error
from smartia_jobs.clock import Clock, SystemClock
from smartia_jobs.errors import ConfigurationError, ExitStatus, SmartiaJobsError
from smartia_jobs.logs import a_person_watches, configure_logs, label_lines, logs_are_json
from smartia_jobs.run import Run, Stop

if TYPE_CHECKING:
    from smartia_jobs.report import Report
    from smartia_jobs.settings import Settings
    from smartia_jobs.settings.clinics import Clinic
    from smartia_jobs.settings.environment import Given

logger = logging.getLogger("smartia_jobs")

#: Which command this process runs, for its log lines.
_command: ContextVar[str] = ContextVar("command", default="")
#: Which clinic of many this process is for; None: there is but one.
_clinic: ContextVar["Clinic | None"] = ContextVar("clinic", default=None)
#: Whether a command is only rehearsed, in a process whose signals are not its own.
_rehearses: ContextVar[bool] = ContextVar("rehearses", default=False)

#: A clinic of many leaves this much earlier after a signal than a process of its own, so that
#: its end can be told before the whole fleet is killed.
_LEAVES_EARLIER_S = 0.5


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What the command line of a sending job said."""

    env_file: Path | None = None
    dry_run: bool = False
    now: str | None = None
    limit: int | None = None
    json: bool = False
    strict: bool = False
    #: Whether this run may send at all, and so needs a token.
    sends: bool = True
    #: Whether a person who waits sees how many visits are done.
    watched: bool = True


def become(clinic: "Clinic", *, rehearses: bool = False) -> None:
    """Let this process be for one clinic of many: its settings, its name on each line.

    Args:
        clinic: whose process it is.
        rehearses: only within this context, and it leaves the process's signals alone.
    """
    _clinic.set(clinic)
    _rehearses.set(rehearses)
    label_lines(clinic=clinic.name)


def run_job(command: str, job: "Callable[[Run], Report]", options: JobOptions) -> NoReturn:
    """Run a sending job as one process: its report on standard output, its status at the end."""
    refuse_now(options.now, dry_run=options.dry_run)
    with errors_as_status(command, as_json=options.json):
        given = gather_settings(options.env_file)
        with monitored(command, given, dry_run=options.dry_run) as settings:
            report = perform(command, job, options, settings=settings, clock=SystemClock())
            finish(report, as_json=options.json)


def refuse_now(now: str | None, *, dry_run: bool) -> None:
    """Refuse to send as if it were another time.

    Raises:
        typer.BadParameter: there is such a time, and no dry run.
    """
    if now is not None and not dry_run:
        raise typer.BadParameter("works only together with --dry-run", param_hint="--now")


def perform(
    command: str,
    job: "Callable[[Run], Report]",
    options: JobOptions,
    *,
    settings: "Settings",
    clock: Clock,
) -> "Report":
    """Launch a job as its command line says, with a bar for a person who waits."""
    from smartia_jobs.cli.progress import watched
    from smartia_jobs.launch import launch

    now = _moment(options.now, settings)
    stop = Stop()
    listen_to_signals(stop)
    unseen = options.dry_run or not options.watched or _clinic.get() is not None
    with nullcontext() if unseen else watched(command) as progress:
        return launch(
            command,
            job,
            settings,
            clock=clock,
            stop=stop,
            now=now,
            dry_run=options.dry_run,
            limit=options.limit,
            strict=options.strict,
            sends=options.sends,
            progress=progress,
        )


def read_settings(env_file: Path | None) -> "Settings":
    """Return the settings of this process's environment and working directory, or clinic."""
    from smartia_jobs.settings.environment import understand

    return understand(gather_settings(env_file))


def gather_settings(env_file: Path | None) -> "Given":
    """Return what this process's environment and working directory say, still to be understood.

    In the process of one clinic of many it is what that clinic was given. From here on log lines
    have the form that the settings ask for, right or wrong as the others may be.
    """
    from smartia_jobs.settings.environment import gather, log_form

    if (clinic := _clinic.get()) is not None:
        given = clinic.given
    else:
        given = gather(os.environ, env_file=env_file, directory=_working_directory())
    log_format, level = log_form(given)
    _log_to_stderr(log_format, level, {"job": _command.get()})
    for warning in given.warnings:
        logger.warning(warning, extra={"ctx": {"event": "settings_warning"}})
    return given


def listen_to_signals(stop: Stop) -> None:
    """Let SIGTERM and Ctrl-C end the run in order."""
    if _rehearses.get():
        return
    from smartia_jobs.cli.signals import LEAVE_AFTER_S, listen

    earlier_s = 0.0 if _clinic.get() is None else _LEAVES_EARLIER_S
    listen(stop, leave_after_s=LEAVE_AFTER_S - earlier_s)


def finish(report: "Report", *, as_json: bool) -> NoReturn:
    """Print a report on standard output and exit with its status."""
    if as_json:
        print_json(report.as_json())
    else:
        print_result(report)
    exit_with(report.exit_status)


def exit_with(status: ExitStatus) -> NoReturn:
    """Exit with the status of a report that was printed.

    What was sent was sent: a reader who went away, or a full disk, changes nothing about it.
    """
    if output_error() is not None:
        logger.warning("the report could not be written to standard output")
        forget_output()
    raise typer.Exit(int(status))


def print_result(report: "Report") -> None:
    """Print a report for a person: a table on a terminal, plain lines in a pipe."""
    from smartia_jobs.cli.report_table import print_report

    print_report(report)


def wrapped(line: str) -> str:
    """Return a line as a terminal shows it best: broken between words; in a pipe as it is."""
    import shutil
    import textwrap

    if not sys.stderr.isatty():
        return line
    width = shutil.get_terminal_size().columns
    return textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)


def put(text: str, output: Path | None, *, body: Callable[[], dict[str, Any]]) -> None:
    """Put a result where it was asked for: into a file, else on standard output.

    That a file was written is said to a person who watches: what is printed in a pipe, cron mails.
    What a clinic of many prints is its JSON object, whatever form was asked for: its fleet reads
    that, counts, and shows it.

    Args:
        text: the result in the form that was asked for.
        output: the file; None: none was asked for.
        body: returns the JSON object as a pipe may see it.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    if output is not None:
        from smartia_jobs.cli.output import write_whole

        write_whole(output, text)
    if _clinic.get() is not None:
        print_json(body())
    elif output is None:
        sys.stdout.write(text)
    elif a_person_watches():
        typer.echo(wrapped(f"smartia-jobs {_command.get()}: {output} was written"), err=True)


def print_json(body: dict[str, Any]) -> None:
    """Print exactly one JSON object on standard output."""
    sys.stdout.write(json_text(body, to_stdout=True))


def json_text(body: dict[str, Any], *, to_stdout: bool) -> str:
    """Return one JSON object: for a person, or in a pipe on one line, which is one log entry.

    Where standard output is not UTF-8 other letters are escaped, and whoever reads gets them.

    Args:
        body: the object.
        to_stdout: it goes to standard output, whose encoding then counts.
    """
    indent = None if to_stdout and not sys.stdout.isatty() else 2
    escaped = to_stdout and sys.stdout.encoding.lower() not in ("utf-8", "utf8")
    return json.dumps(body, ensure_ascii=escaped, indent=indent) + "\n"


@contextmanager
def errors_as_status(command: str, *, as_json: bool = False) -> Iterator[None]:
    """Turn the end of a command by an error or a signal into advice and an exit status.

    Advice goes to standard error; with ``as_json`` standard output gets one JSON object.
    """
    garbage.work()
    _command.set(command)
    _log_to_stderr("auto", "INFO", {"job": command})
    try:
        listen_to_signals(Stop())
        yield
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:
        explained = _explained(error)
        if isinstance(explained, _BugError):
            logger.exception("this is a bug in smartia-jobs; please report it with these lines")
        _fail(command, explained, as_json=as_json)


@contextmanager
def monitored(command: str, given: "Given", *, dry_run: bool = False) -> Iterator["Settings"]:
    """Lend the settings of a run; tell ``PING_URL`` that it begins and how it ends.

    It is told of a run whose other settings are wrong, too; a dry run is nobody's news. A run that
    a second signal, or the machine, cuts off is missed there by its silence.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    from smartia_jobs.settings.environment import ping_url_of, understand

    try:
        settings = understand(given)
    except ConfigurationError:
        with _telling(command, None if dry_run else ping_url_of(given)):
            raise
    with _telling(command, None if dry_run else settings.ping_url):
        yield settings


@contextmanager
def _telling(command: str, url: str | None) -> Iterator[None]:
    if url is None:
        yield
        return
    from smartia_jobs.launch import ping

    clinic = _clinic.get()
    name = "clinic" if clinic is None else clinic.name
    tell = partial(ping, url, job=command, clinic=name)
    tell(end="start")
    try:
        yield
    except typer.Exit as end:
        tell(end=str(end.exit_code))
        raise
    except Exception as error:
        tell(end=str(int(_explained(error).exit_status)))
        raise
    else:
        tell(end="0")


class _BugError(SmartiaJobsError):
    """What nobody foresaw."""


def _explained(error: Exception) -> SmartiaJobsError:
    """Return an error as a person is told it, with its exit status."""
    if isinstance(error, SmartiaJobsError):
        return error
    from sqlalchemy.exc import SQLAlchemyError

    if isinstance(error, SQLAlchemyError):
        from smartia_jobs.database.errors import explain

        return explain(error)
    return _BugError(f"a bug in smartia-jobs ({type(error).__name__}); see the log")


def _fail(command: str, error: SmartiaJobsError, *, as_json: bool) -> NoReturn:
    status = int(error.exit_status)
    if as_json or _clinic.get() is not None:  # the fleet's table tells it, whatever the job prints
        print_json({"job": command, "exit_code": status, "error": str(error)})
    if logs_are_json():
        logger.error(str(error), extra={"ctx": {"event": "run_failed", "exit_code": status}})
    else:
        _advise(command, str(error).splitlines())
    raise typer.Exit(status)


def _advise(command: str, lines: list[str]) -> None:
    """Say on standard error what is wrong; of one clinic of many the fleet's table says it."""
    clinic = _clinic.get()
    if clinic is not None and a_person_watches():
        return
    where = "" if clinic is None else f" ({clinic.name})"
    for line in lines:
        typer.echo(wrapped(f"smartia-jobs {command}{where}: {line}"), err=True)


def log_as_environment_asks(command: str) -> None:
    """Give log lines the form that the environment alone asks for; of many clinics none decides."""
    from smartia_jobs.settings.environment import gather, log_form

    log_format, level = log_form(gather(os.environ, directory=Path(os.devnull)))
    _log_to_stderr(log_format, level, {"job": command})


def _log_to_stderr(log_format: str, level: str, labels: Mapping[str, str]) -> None:
    configure_logs(log_format, level, terminal=sys.stderr.isatty(), labels=labels)


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path()  # it was removed: there is no .env in it, and whole paths still work


def _moment(text: str | None, settings: "Settings") -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=settings.clinic_timezone)
        return moment.astimezone(UTC) if 1970 <= moment.year < 9000 else _no_moment(text)
    except ValueError:
        return _no_moment(text)


def _no_moment(text: str) -> NoReturn:
    raise typer.BadParameter(
        f"{text!r} is no ISO time such as 2026-11-23T09:00", param_hint="--now"
    ) from None
