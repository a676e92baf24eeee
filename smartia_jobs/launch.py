"""From settings to a run and its exit status, for one clinic: its name, database, log lines, end.

Whoever launches a run hears the signals, watches it and prints its report.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from smartia_jobs.clock import Clock
from smartia_jobs.errors import ExitStatus
from smartia_jobs.logs import a_person_watches, configure_logs
from smartia_jobs.report import Report
from smartia_jobs.run import Progress, Run, Stop
from smartia_jobs.settings import Settings

if TYPE_CHECKING:
    from requests import PreparedRequest

logger = logging.getLogger("smartia_jobs")

#: For a monitor that does not answer a run waits no longer, at its begin and at its end.
PING_S = 5.0


def launch(
    command: str,
    job: Callable[[Run], Report],
    settings: Settings,
    *,
    clock: Clock,
    stop: Stop,
    now: datetime | None = None,
    dry_run: bool = False,
    limit: int | None = None,
    strict: bool = False,
    sends: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Call a job with everything it needs, and log the closing line of its run.

    Args:
        command: the job's, for the log lines.
        job: what the run does.
        settings: the clinic's, checked.
        clock: the run's only clock.
        stop: the wish to end.
        now: decide as if the run began then; None for when it does.
        dry_run: open the database so that nothing can be written.
        limit: send at most so many messages.
        strict: let one patient who is not reached change the exit status.
        sends: whether this run may send at all, and so needs a token.
        progress: who watches.

    Raises:
        ConfigurationError: what sending needs is not set.
    """
    from smartia_jobs.database import Database
    from smartia_jobs.settings.checks import require_sending

    began_at = clock.now()
    run_id = _run_id(settings, began_at)
    start_logs(settings, command, run_id)
    if sends and not dry_run:
        require_sending(settings)
    with closing(Database(settings.database_url, read_only=dry_run)) as database:
        began_s = clock.monotonic()
        report = job(
            Run(
                id=run_id,
                settings=settings,
                clock=clock,
                database=database,
                now=now or began_at,
                dry_run=dry_run,
                limit=limit,
                strict=strict,
                stop=stop,
                progress=progress,
            )
        )
    report.duration_s = clock.monotonic() - began_s
    _log_end(report)
    return report


@contextmanager
def run_that_reads(command: str, settings: Settings, clock: Clock) -> Iterator[Run]:
    """Open a run that writes nothing, and so is no claim's owner: its command names it."""
    from smartia_jobs.database import Database

    start_logs(settings, command, command)
    with closing(Database(settings.database_url, read_only=True)) as database:
        yield Run(command, settings, clock, database, clock.now(), dry_run=True)


def ping(url: str, *, job: str, clinic: str, end: str) -> None:
    """Tell a monitor that a run begins, or how it ended; a failure is a warning and no more.

    Nothing but the job, the clinic's short name and the status is sent.

    Args:
        url: ``PING_URL``, with its places still to be filled in.
        job: the command.
        clinic: the clinic's name in a fleet.
        end: ``start``, or the exit status.
    """
    names = {"job": job.replace(" ", "-"), "clinic": clinic}
    parts = urlsplit(url.format(**{name: quote(value) for name, value in names.items()}))
    asked = parts._replace(path=f"{parts.path.rstrip('/')}/{end}").geturl()
    told: list[str] = []
    # A server that trickles its answer would outlast every time-out of the connection.
    asking = threading.Thread(target=lambda: told.append(_ask(asked)), daemon=True)
    asking.start()
    asking.join(PING_S)
    failed = told[0] if told else f"no answer within {PING_S:.0f} s"
    if failed:
        logger.warning(
            "PING_URL did not take the news of this run: %s", failed, extra={"ctx": {"end": end}}
        )


def _ask(url: str) -> str:
    """Return why it failed, without the address, which is a secret; empty: it did not."""
    import requests

    try:
        own = requests.utils.get_auth_from_url(url)
        # Without an `auth` requests would send what ~/.netrc has for this host.
        auth = own if any(own) else _as_it_is
        with requests.get(
            url, auth=auth, timeout=PING_S, allow_redirects=False, stream=True
        ) as answer:
            return "" if answer.ok and not answer.is_redirect else f"HTTP {answer.status_code}"
    except (requests.RequestException, ValueError) as error:  # urllib3's own: a host it cannot use
        return type(error).__name__


def _as_it_is(request: "PreparedRequest") -> "PreparedRequest":
    return request


def start_logs(settings: Settings, command: str, run_id: str) -> None:
    """Send log lines to standard error in the form the settings ask for."""
    labels = {
        "job": command,
        "run_id": run_id,
        "task": str(settings.task_index),
        "attempt": str(settings.task_attempt),
    }
    terminal = sys.stderr.isatty()
    configure_logs(settings.log_format, settings.log_level, terminal=terminal, labels=labels)


def _log_end(report: Report) -> None:
    """Log the one closing line of a run, with all its counts and its exit status."""
    if a_person_watches():
        return  # the table says the same to a person
    for warning in report.warnings:
        logger.warning(warning, extra={"ctx": {"event": "run_warning"}})
    body = report.as_json()
    body.pop("decisions", None)
    level = logging.INFO if report.exit_status is ExitStatus.OK else logging.WARNING
    logger.log(level, "run finished", extra={"ctx": {"event": "run_finished", **body}})


def _run_id(settings: Settings, now: datetime) -> str:
    """Return a name that no other process has, nor had: it owns claims.

    A container that is started again has the execution, task and attempt of the one that died.
    """
    random = os.urandom(4).hex()
    if settings.cloud_run_execution:
        task = f"{settings.task_index}/{settings.task_attempt}"
        return f"{settings.cloud_run_execution}/{task}/{random}"
    return f"{now:%Y%m%dT%H%M%SZ}-{random}"
