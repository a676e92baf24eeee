"""The check: settings, database, times, token, number and templates, before patients find out.

Nothing is written, created or upgraded; what is tried on PostgreSQL is rolled back. A check that
fails says why, and the others go on.
"""

from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from smartia_jobs.catalogue.loading import load_catalogue
from smartia_jobs.clock import Clock
from smartia_jobs.database import Database
from smartia_jobs.errors import ExitStatus
from smartia_jobs.jobs.checks import access, book, listening, times
from smartia_jobs.jobs.checks import database as database_checks
from smartia_jobs.jobs.checks.book import Jobs
from smartia_jobs.jobs.checks.finding import Finding, Findings, Level, exit_status
from smartia_jobs.jobs.checks.settings import (
    cloud_run,
    settings_fit,
    settings_in_force,
    time_to_live,
)
from smartia_jobs.run import Run, Stop
from smartia_jobs.settings import Settings


@dataclass(frozen=True, slots=True)
class Checked:
    """All that was found, and the status that sums it up.

    Attributes:
        online: whether Meta was to be asked.
        now: when, aware, in the clinic's zone.
        timezone: the clinic's.
        findings: in the order they were looked at.
    """

    online: bool
    now: datetime
    timezone: str
    findings: tuple[Finding, ...]

    @property
    def exit_status(self) -> ExitStatus:
        """1 for a bug, else 78 for any problem, else 69 for anything unreachable, else 0."""
        return exit_status(self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return the stable JSON object that docs/reference.md documents."""
        return {
            "job": "check",
            "online": self.online,
            "now": self.now.isoformat(),
            "timezone": self.timezone,
            "findings": [finding.as_json() for finding in self.findings],
            "exit_code": int(self.exit_status),
        }


def check(
    settings: Settings,
    clock: Clock,
    jobs: Jobs,
    *,
    online: bool | None = None,
    stop: Stop | None = None,
) -> Checked:
    """Look at everything a run depends on.

    Args:
        settings: as a run would have them.
        clock: the only clock.
        jobs: each job by the kind of its message, for a dry run.
        online: whether to ask Meta; None: if there is a token.
        stop: a signal's request to end.
    """
    now, found = clock.now(), Findings()
    asks = settings.meta_access_token is not None if online is None else online
    found.look("settings", lambda: settings_fit(settings, must_send=online is not False))
    found.look("settings_in_force", lambda: settings_in_force(settings))
    found.look(
        "time_to_live", lambda: time_to_live(settings, load_catalogue(settings.messages_file))
    )
    people, silent = None, False
    database = found.ask("database", lambda: Database(settings.database_url, read_only=True))
    if database is not None:
        with closing(database):
            run = Run("check", settings, clock, database, now, dry_run=True, stop=stop or Stop())
            people, silent = _look_at_database(run, jobs, found)
    if settings.cloud_run_job:
        found.look("cloud_run", lambda: cloud_run(settings, people))
    if asks:
        _look_at_whatsapp(settings, clock, found, now=now, people=people, silent=silent)
    elif online is False:
        found.all.append(Finding("whatsapp", Level.OK, "Not asked (--offline)."))
    else:
        text = "Not asked: there is no META_ACCESS_TOKEN."
        step = "set META_ACCESS_TOKEN (README: first reminder), or check with --offline"
        found.all.append(Finding("whatsapp", Level.WARNING, text, step))
    zone = settings.clinic_timezone
    return Checked(asks, now.astimezone(zone), zone.key, tuple(found.all))


def _look_at_database(run: Run, jobs: Jobs, found: Findings) -> tuple[int | None, bool]:
    """Look at the database, and return what WhatsApp's answers are judged by.

    Returns:
        how many patients are expected tomorrow (None: not known), and whether messages were
        accepted a while ago and no status of any ever came.
    """
    database = found.look("database", lambda: database_checks.reachable(run))
    if database is None:
        return None, False
    tables = found.look("smartia_tables", lambda: database_checks.smartia_tables(run))
    own = found.look("own_tables", lambda: database_checks.own_tables(run))
    silent = False
    if own is not None and own.level is Level.OK:
        when = found.ask("statuses", lambda: listening.arrivals(run))
        if when is not None:
            found.look("statuses", lambda: listening.statuses(run, when))
            silent = listening.is_silent(run, when)
        found.look("notices", lambda: listening.notices(run))
    if tables is None or tables.level is not Level.OK:
        return None, silent
    writable = database.level is Level.OK
    return _look_at_clinic(run, jobs, found, writable=writable), silent


def _look_at_clinic(run: Run, jobs: Jobs, found: Findings, *, writable: bool) -> int | None:
    """Look at SmartIA's rows; return how many patients are expected tomorrow."""
    found.look("smartia_hears", lambda: listening.smartia_hears(run))
    found.look("index", lambda: database_checks.index(run))
    if run.database.dialect == "postgresql":
        found.look("rights", lambda: access.rights(run))
        found.look("row_security", lambda: access.row_security(run))
        found.look("enum_labels", lambda: access.enum_labels(run))
    if writable:  # else it has been said that nothing can be written
        found.look("writing", lambda: access.writing(run))
    found.look("phones", lambda: book.phones(run))
    chosen = found.ask("time_zone", lambda: times.chosen_times(run))
    if chosen is None:
        return None
    found.look("time_zone", lambda: times.time_zone(run, chosen))
    if (stored := chosen.times) is None:
        return None
    found.look("hours", lambda: times.hours(run, chosen))
    found.look("unreadable_dates", lambda: book.unreadable_dates(run, stored))
    found.look("unreadable_statuses", lambda: book.unreadable_statuses(run, stored))
    found.look("moved_by_chat", lambda: book.moved_by_chat(run, stored))
    found.look("asked_to_cancel", lambda: book.asked_to_cancel(run, stored))
    dry = replace(run, dry_run=True, limit=None)
    for kind, job in jobs.items():
        name = f"due_{kind}"
        found.look(name, partial(book.due, dry, name, job))
    return found.ask("daily_limit", lambda: book.people_tomorrow(run, stored))


def _look_at_whatsapp(
    settings: Settings,
    clock: Clock,
    found: Findings,
    *,
    now: datetime,
    people: int | None,
    silent: bool,
) -> None:
    # Loads HTTP, which the checks of the database do not need.
    from smartia_jobs.jobs.checks.meta import ask_meta
    from smartia_jobs.whatsapp.management import Management

    management = found.ask("token", lambda: Management(settings, clock))
    if management is not None:
        with closing(management):
            ask_meta(settings, management, found, now=now, people=people, silent=silent)
