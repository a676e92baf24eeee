"""Appointments and patients: what is due, and what the reception should look at."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta

from sqlalchemy import Connection

from smartia_jobs.appointment import AppointmentStatus
from smartia_jobs.clinic import findings
from smartia_jobs.clinic.findings import Matches, Page
from smartia_jobs.clinic.times import StoredTimes
from smartia_jobs.clinic.unreadable import unknown_statuses
from smartia_jobs.errors import ExitStatus
from smartia_jobs.jobs.checks.finding import Finding, Level
from smartia_jobs.jobs.checks.times import tomorrow
from smartia_jobs.message import Unsendable
from smartia_jobs.phones import parse_phone
from smartia_jobs.report import Report, Result
from smartia_jobs.run import Run

#: Each job by the kind of its message, for a dry run.
Jobs = Mapping[str, Callable[[Run], Report]]


def due(run: Run, name: str, job: Callable[[Run], Report]) -> Finding:
    """Say what a run of a job would do now; it is a dry run, so nothing is sent or written."""
    report = job(run)
    shows = f"smartia-jobs {report.job} --dry-run shows each decision"
    if report.stopped is not None:
        return Finding(name, Level.WARNING, f"A run now would stop: {report.stopped}.", shows)
    parts = [f"{report.results[Result.WOULD_SEND]} would be sent"]
    parts += [f"{count} {what.replace('_', ' ')}" for what, count in _others(report)]
    text = f"A run now looks at {report.due}: {', '.join(parts)}."
    is_problem = ExitStatus.CONFIGURATION in report.statuses
    level = Level.PROBLEM if is_problem else Level.WARNING
    if report.missed:
        text = f"{text} For {report.missed} it is too late already."
        step = "run the job more often, or look why it did not run"
        return Finding(name, level, text, step, tuple(report.warnings))
    if not report.warnings:
        return Finding(name, Level.OK, text)
    # What is wrong comes first.
    first, *others = report.warnings
    return Finding(name, level, first, shows, (*others, text))


def unreadable_dates(run: Run, times: StoredTimes) -> Finding:
    """Look for visits that nobody can be reminded of because their date is no date."""
    found = Matches()
    for rows in _pages(run, findings.open_dates):
        found = found.with_more([id_ for id_, stored in rows if times.read(stored) is None])
    if not found.count:
        return Finding("unreadable_dates", Level.OK, "Every open visit has a date.")
    text = f"Open visits whose date cannot be read, so without a reminder: {found.count}."
    step = "correct appointment_date of these appointments (YYYY-MM-DD HH:MM)"
    return Finding("unreadable_dates", Level.WARNING, text, step, _ids("appointments", found))


def unreadable_statuses(run: Run, times: StoredTimes) -> Finding:
    """Look for visits of the last week on that no job acts, as their status is not known."""
    name, since = "unreadable_statuses", run.now - timedelta(days=7)
    with run.database.read() as connection:
        found = unknown_statuses(connection, times, since)
    if not found:
        return Finding(name, Level.OK, "Every visit has a status.")
    text = f"Visits since a week ago whose status is none, so without a message: {found.total()}."
    known = ", ".join(AppointmentStatus)
    step = f"correct status of these appointments; the names are {known}, in capitals"
    named = sorted((_status_named(stored), visits) for stored, visits in found.items())
    details = tuple(f"{status}: {visits}" for status, visits in named[: findings.SHOWN])
    return Finding(name, Level.WARNING, text, step, details)


def _status_named(stored: str | None) -> str:
    """Return a status as it is stored; one that does not look like a status may hold anything."""
    if stored is None:
        return "no status"
    return repr(stored) if re.fullmatch(r"\s?[A-Za-z_-]{1,20}\s?", stored) else "another text"


def moved_by_chat(run: Run, times: StoredTimes) -> Finding:
    """Look for visits that a patient moved by chat, and that are still booked at the old time."""
    with run.database.read() as connection:
        found = findings.moved_by_chat(connection, times, run.now)
    if not found.count:
        return Finding("moved_by_chat", Level.OK, "No visit is booked twice.")
    text = f"Visits moved by chat and still booked at the old time, both reminded: {found.count}."
    pairs = ", ".join(f"{old} → {new}" for old, new in found.ids)
    more = "" if found.count == len(found.ids) else ", …"
    step = "ask the patients, and cancel the visits that are no longer meant"
    details = (f"appointments (old → new): {pairs}{more}",)
    return Finding("moved_by_chat", Level.WARNING, text, step, details)


def asked_to_cancel(run: Run, times: StoredTimes) -> Finding:
    """Look for visits that a patient cancelled by chat, and that are still booked."""
    with run.database.read() as connection:
        found = findings.asked_to_cancel(connection, times, run.now)
    if not found.count:
        return Finding("asked_to_cancel", Level.OK, "No open visit of a patient who cancelled.")
    text = f"Open visits of patients whose last chat asked to cancel: {found.count}."
    step = "ask the patients, and cancel the visits that are no longer meant"
    return Finding("asked_to_cancel", Level.WARNING, text, step, _ids("appointments", found))


def phones(run: Run) -> Finding:
    """Look for patients whose number cannot be a phone."""
    found, total = Matches(), 0
    for rows in _pages(run, findings.phones):
        total += len(rows)
        unusable = [id_ for id_, stored in rows if _is_unusable(stored, run)]
        found = found.with_more(unusable)
    if not found.count:
        return Finding("phones", Level.OK, f"All {total} patients have a usable number.")
    text = f"Patients without a usable number, who get no message: {found.count} of {total}."
    step = "correct phone_number of these patients (country and area code)"
    return Finding("phones", Level.WARNING, text, step, _ids("patients", found))


def people_tomorrow(run: Run, times: StoredTimes) -> int:
    """Return how many patients have an open visit on the next local day."""
    with run.database.read() as connection:
        return findings.people_expected(connection, times, *tomorrow(run))


def _others(report: Report) -> Iterator[tuple[str, int]]:
    if report.results[Result.FAILED]:
        yield "without a usable phone", report.results[Result.FAILED]
    yield from sorted(report.skipped.items())
    yield from ((name, count) for name, count in report.extra.items() if count)


def _pages(
    run: Run, question: Callable[[Connection, int], Page]
) -> Iterator[Sequence[tuple[int, object]]]:
    """Yield a question's pages, each read in a short transaction of its own."""
    after: int | None = 0
    while after is not None:
        with run.database.read() as connection:
            page = question(connection, after)
        yield page.rows
        after = page.next


def _is_unusable(stored: object, run: Run) -> bool:
    raw = None if stored is None else str(stored)
    return isinstance(parse_phone(raw, run.settings.clinic_country), Unsendable)


def _ids(what: str, found: Matches) -> tuple[str, ...]:
    more = "" if found.count == len(found.ids) else ", …"
    return (f"{what}: {', '.join(map(str, found.ids))}{more}",)
