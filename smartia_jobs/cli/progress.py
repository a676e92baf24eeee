"""A progress bar on the terminal, for a person who waits for a run of more than a second."""

import threading
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from smartia_jobs.logs import a_person_watches, hold_logs, stderr_console
from smartia_jobs.report import Report, Result

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from smartia_jobs.run import Progress

#: A shorter run shows no bar, and does not even load what would draw it.
PATIENCE_S = 1.0


def watched(job: str) -> "AbstractContextManager[Progress | None]":
    """Return a bar when a person watches standard error; never in a pipe or beside JSON."""
    return ProgressBar(job) if a_person_watches() else nullcontext()


class ProgressBar:
    """Fulfils :class:`smartia_jobs.run.Progress`, and leaves no trace on the screen.

    It appears a second after ``with`` began, also when nothing has come back by then, and is
    drawn by a thread of its own: a network that hangs does not stop its clock.
    """

    def __init__(self, job: str, *, patience_s: float = PATIENCE_S) -> None:
        """Prepare the bar of one run."""
        self._job = job
        self._visits: int | None = None
        self._report: Report | None = None
        self._bar: Bar | None = None
        self._over = False
        self._began_s = 0.0
        self._lock = threading.Lock()
        self._appear = threading.Timer(patience_s, self._start)
        self._appear.daemon = True

    def __enter__(self) -> Self:
        """Begin to wait for the second."""
        self._began_s = time.monotonic()
        self._appear.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        self._appear.cancel()
        with self._lock:
            self._over = True
        if self._bar is not None:
            with hold_logs(), suppress(OSError):  # the terminal is gone, and the bar with it
                self._bar.stop()

    def expect(self, visits: int) -> None:
        """Set the bar's length."""
        self._visits = visits

    def show(self, report: Report) -> None:
        """Move it on."""
        self._report = report
        if self._bar is not None:
            self._move(self._bar)

    def _move(self, bar: "Bar") -> None:
        (task,) = bar.tasks
        report = self._report
        if report is not None:
            bar.update(
                task.id,
                total=self._visits and max(self._visits, report.due),
                completed=report.due,
                sent=report.results[Result.SENT],
                failed=report.results[Result.FAILED],
                rate=report.messages / (time.monotonic() - self._began_s),
            )

    def _start(self) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("[green]{task.fields[sent]} sent[/]"),
            TextColumn("[red]{task.fields[failed]} failed[/]"),
            TextColumn("{task.fields[rate]:.1f}/s"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=stderr_console(),
            transient=True,
            # Standard output is the result's, and log lines go through this same console.
            redirect_stdout=False,
            redirect_stderr=False,
            expand=True,
        )
        bar.add_task(self._job, total=self._visits, sent=0, failed=0, rate=0.0)
        with self._lock:
            if self._over or not bar.console.is_interactive:
                return
            self._move(bar)
            with hold_logs():  # a line in the middle of the first drawing would end up beside it
                bar.start()
            self._bar = bar
