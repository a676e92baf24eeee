"""A check as its tests run it: a clinic, a sandbox whose account is in order, and no waiting."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, time
from typing import Any

from smartia_jobs.catalogue.definition import shipped_definitions
from smartia_jobs.clock import ShiftedClock
from smartia_jobs.jobs.check import Checked, check
from smartia_jobs.jobs.checks.finding import Finding, Level
from smartia_jobs.jobs.no_show import mark_no_shows
from smartia_jobs.jobs.reminders import send_reminders
from smartia_jobs.kinds import DAY_AHEAD, HOURS_AHEAD
from smartia_jobs.sandbox import PHONE_NUMBER_ID, WABA_ID, Sandbox
from smartia_jobs.settings import QuietHours, Settings
from tests.support import Clinic

TOKEN = "EAAverysecret"
APP_SECRET = "0123456789abcdef"

#: A Monday, nine o'clock in São Paulo.
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

JOBS = {
    "24h": lambda run: send_reminders(run, DAY_AHEAD),
    "2h": lambda run: send_reminders(run, HOURS_AHEAD),
    "no_show": mark_no_shows,
}


class Patient(ShiftedClock):
    """A clock on which a wait is noted and takes no time."""

    def __init__(self, start_at: datetime) -> None:
        """Run from this moment on."""
        super().__init__(start_at)
        self.waits: list[float] = []

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Note it."""
        self.waits.append(seconds)
        return False


def wall(text: str) -> datetime:
    """Return a clinic wall time, such as ``2026-11-24T14:30``."""
    return datetime.fromisoformat(text)


def definitions(**changes: Any) -> list[dict[str, Any]]:
    """Return the shipped messages as they are submitted."""
    return [{**registered, **changes} for registered in shipped_definitions(clinic_name="Clínica")]


def online_settings(sandbox: Sandbox, **changes: Any) -> Settings:
    """Return settings for the sandbox's account."""
    settings = Settings(
        meta_access_token=TOKEN,
        meta_app_secret=APP_SECRET,
        meta_phone_number_id=PHONE_NUMBER_ID,
        meta_waba_id=WABA_ID,
        meta_api_url=sandbox.url,
        database_is_a_copy=True,
        quiet_hours=QuietHours(time(21), time(7)),
        clinic_name="Clínica Aurora",
    )
    return replace(settings, **changes)


def checked(
    clinic: Clinic, settings: Settings, *, online: bool | None = None, now: datetime = NOW
) -> Checked:
    """Check a clinic read-only."""
    settings = replace(settings, database_url=clinic.url)
    if clinic.dialect == "postgresql" and settings.stored_times is None:
        settings = replace(settings, stored_times="wall")
    return checked_as_it_is(settings, online=online, now=now)


def checked_as_it_is(
    settings: Settings, *, online: bool | None = None, now: datetime = NOW
) -> Checked:
    """Check with exactly these settings.

    Whatever is not ok has a next step, and a next step is something to do or empty: programs ask
    for its absence.
    """
    found = check(settings, Patient(now), JOBS, online=online)
    steps = [one.next_step.lower() for one in found.findings]
    assert [step for step in steps if step.startswith(("none", "nothing", "no "))] == []
    assert [one for one in found.findings if one.level is not Level.OK and not one.next_step] == []
    return found


def by_name(checked: Checked) -> Mapping[str, Finding]:
    """Return the findings by name; each name occurs once."""
    names = [finding.name for finding in checked.findings]
    assert len(names) == len(set(names)), names
    return {finding.name: finding for finding in checked.findings}


def not_ok(checked: Checked) -> dict[str, Level]:
    """Return the levels of all findings that are not ok."""
    return {f.name: f.level for f in checked.findings if f.level is not Level.OK}
