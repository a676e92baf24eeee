"""Where log lines go: standard error, for a person at a terminal or for machines."""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from smartia_jobs.logs.lines import JsonLines, TextLines

if TYPE_CHECKING:
    from rich.console import Console

#: Which handler is ours.
_NAME = "smartia_jobs"
#: What every line says from now on, however often the form is chosen (:func:`label_lines`).
_always: ContextVar[Mapping[str, str]] = ContextVar("labels", default=MappingProxyType({}))
#: Below WARNING they log addresses, statements and values.
_QUIET = ("urllib3", "requests", "sqlalchemy.engine", "sqlalchemy.pool", "alembic", "psycopg")


def label_lines(**labels: str) -> None:
    """Put these labels on every line: which clinic of many this process is for.

    It holds from the next :func:`configure_logs` on, and within this context.
    """
    _always.set(labels)


def configure_logs(
    log_format: str, level: str, *, terminal: bool, labels: Mapping[str, str] | None = None
) -> None:
    """Send this program's log lines to standard error, in place of an earlier call's.

    Other libraries log from WARNING on, whatever the level. On a terminal the lines that
    are written for machines, one a message and the counts at the end, need ``DEBUG``: a progress
    bar and the report show the same.

    Args:
        log_format: ``auto`` (text on a terminal, else JSON), ``text`` or ``json``.
        level: the least that this program logs (``INFO``).
        terminal: whether a person watches standard error.
        labels: what to find a run's lines by (job, run, task, attempt); JSON only.
    """
    if log_format == "json" or (log_format == "auto" and not terminal):
        handler: logging.Handler = logging.StreamHandler()
        handler.setFormatter(JsonLines({**(labels or {}), **_always.get()}))
    elif terminal:
        handler = _Terminal(TextLines(_always.get()))
        if level != "DEBUG":
            handler.addFilter(_is_for_a_person)
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(TextLines(_always.get()))
    handler.name = _NAME
    # Looked up for each line otherwise, although no line of ours has them: thread, process, and the
    # file and function that logged it (Python's "Logging HOWTO", Optimization).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    root = logging.getLogger()
    for earlier in [old for old in root.handlers if old.name == _NAME]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    logging.getLogger("smartia_jobs").setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def logs_are_json() -> bool:
    """Return whether log lines are JSON, so that nothing else may go to standard error."""
    return any(isinstance(one.formatter, JsonLines) for one in logging.getLogger().handlers)


def a_person_watches() -> bool:
    """Return whether standard error is a terminal that a person reads, not a machine's JSON."""
    return sys.stderr.isatty() and not logs_are_json()


def log_event(logger: logging.Logger, level: int, message: str, **fields: Any) -> None:
    """Log one line with structured fields: ids, counts and words, nothing personal."""
    logger.log(level, message, extra={"ctx": fields})


def tell(logger: logging.Logger, message: str, **fields: Any) -> None:
    """Say a line to a person at a terminal alone; a machine's log has other lines for the same."""
    if a_person_watches():
        logger.info(message, extra={"ctx": fields})


@cache
def stderr_console() -> "Console":
    """Return the one rich console on standard error, shared by log lines and progress bar."""
    from rich.console import Console

    class Terminal(Console):
        def on_broken_pipe(self) -> None:
            # Rich's own would end the process here, between an answer and its record.
            self.quiet = True

    return Terminal(stderr=True, highlight=False, markup=False, emoji=False)


@contextmanager
def hold_logs() -> Iterator[None]:
    """Make threads wait before they write a log line."""
    handlers = [one for one in logging.getLogger().handlers if one.name == _NAME]
    for handler in handlers:
        handler.acquire()
    try:
        yield
    finally:
        for handler in handlers:
            handler.release()


def _is_for_a_person(record: logging.LogRecord) -> bool:
    """Return whether a line says more than the progress bar and the report do."""
    fields = getattr(record, "ctx", {})
    return record.levelno > logging.INFO or not fields.keys() & {"action", "event"}


class _Terminal(logging.Handler):
    """Writes through rich, whose colours and progress bar share the terminal."""

    _STYLES = ((logging.ERROR, "bold red"), (logging.WARNING, "yellow"), (logging.INFO, "green"))

    def __init__(self, lines: TextLines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        from rich.text import Text

        time, level, words, pairs = self._lines.parts(record)
        style = next((style for least, style in self._STYLES if record.levelno >= least), "dim")
        line = Text.assemble((time, "dim"), " ", (level, style), " ", words)
        line.append(f" {pairs}" if pairs else "", "dim")
        line.append(self._lines.stack(record), "dim")
        try:
            stderr_console().print(line, soft_wrap=True)
        except OSError:
            self.handleError(record)  # nobody reads it; sending goes on without a log
