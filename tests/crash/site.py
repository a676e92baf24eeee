"""The real program, many times over, against one clinic and one WhatsApp: what it left behind."""

import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from smartia_jobs.sandbox.account import PHONE_NUMBER_ID
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.server import Sandbox
from tests.support import Clinic, CliResult, StartCli
from tests.support.clinic_data import SAO_PAULO

#: Requests in flight at once, and so the most that one death can leave unknown.
WORKERS = 6


@dataclass
class Site:
    """A clinic, a WhatsApp, and processes that come and go."""

    clinic: Clinic
    sandbox: Sandbox
    start_cli: StartCli
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """The environment of every process."""
        return {
            "DATABASE_URL": self.clinic.url,
            "STORED_TIMES": self.clinic.stored_times,
            "META_ACCESS_TOKEN": "any-token",
            "META_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
            "META_API_URL": self.sandbox.url,
            "SEND_RATE": "100",
            "SEND_WORKERS": str(WORKERS),
            # A pipe that nobody reads while the process lives must not fill up.
            "LOG_LEVEL": "WARNING",
            "LOG_FORMAT": "json",
            **self.variables,
        }

    # -- who is due -----------------------------------------------------------------------

    def book(self, patients: int, *, hours: float = 24.0) -> list[int]:
        """Book a visit for so many new patients, about so many hours ahead."""
        start = datetime.now(SAO_PAULO).replace(tzinfo=None, microsecond=0) + timedelta(hours=hours)
        return [
            self.clinic.add_appointment(self.clinic.add_patient(), start + timedelta(seconds=n))
            for n in range(patients)
        ]

    def book_a_day_twice(self) -> None:
        """Book two visits of one new patient on one day: one message."""
        start = datetime.now(SAO_PAULO).replace(tzinfo=None, microsecond=0) + timedelta(hours=24)
        other = timedelta(minutes=30 if start.hour < 12 else -30)
        patient = self.clinic.add_patient()
        for begins in (start, start + other):
            self.clinic.add_appointment(patient, begins)

    def book_who_cannot_be_reached(self) -> None:
        """Book a visit of somebody whom WhatsApp refuses, and of one without a phone."""
        (refused,) = self.book(1)
        phone = self.clinic.value(
            "SELECT phone_number FROM patients JOIN appointments ON patient_id = patients.id"
            " WHERE appointments.id = :id",
            id=refused,
        )
        self.sandbox.script(phone, Scripted(code=131026), repeat_last=True)
        start = datetime.now(SAO_PAULO).replace(tzinfo=None, microsecond=0) + timedelta(hours=24)
        wrong = f"12{refused}"
        self.clinic.add_appointment(self.clinic.add_patient("Rui", wrong), start)

    # -- processes --------------------------------------------------------------------------

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start a process and go on."""
        arguments = arguments or ("24h", "--json")
        return self.start_cli(*arguments, env=self.env | variables)

    def run(self, *arguments: str, **variables: str) -> CliResult:
        """Run a process to its end."""
        return ended(self.start(*arguments, **variables))

    def run_together(
        self, count: int, environments: Mapping[int, dict[str, str]]
    ) -> list[CliResult]:
        """Run so many processes at the same time, each with variables of its own, if any."""
        processes = [self.start(**environments.get(n, {})) for n in range(count)]
        with ThreadPoolExecutor(count) as readers:
            return list(readers.map(ended, processes))

    def wait_for_messages(self, count: int, process: subprocess.Popen[str]) -> None:
        """Wait until WhatsApp has had so many requests, or the process is gone."""
        for _ in range(6000):
            if len(self.sandbox.received) >= count or process.poll() is not None:
                return
            time.sleep(0.01)
        raise AssertionError("a minute without the message that was waited for")

    def lapse(self) -> None:
        """Let the lease of every claim end now, as two minutes would."""
        if self.has_tables():
            self.clinic.execute(
                "UPDATE smartia_outbox SET lease_until = '2020-01-01 00:00:00.000000'"
                " WHERE state = 'claimed'"
            )

    # -- what they left behind ----------------------------------------------------------------

    def has_tables(self) -> bool:
        """Return whether a process has come so far as to make the tables."""
        catalogue = {
            "sqlite": "SELECT name FROM sqlite_master WHERE name = 'smartia_outbox'",
            "postgresql": "SELECT to_regclass('smartia_outbox') AS name",
        }
        return any(row["name"] for row in self.clinic.rows(catalogue[self.clinic.dialect]))

    def states(self) -> Counter[str]:
        """Return how many messages stand where; the two visits of one message count once."""
        if not self.has_tables():
            return Counter()
        rows = self.clinic.rows("SELECT state FROM smartia_outbox WHERE leader_id IS NULL")
        return Counter(row["state"] for row in rows)

    def accepted(self) -> Counter[str]:
        """Return how many messages WhatsApp accepted for whom."""
        return Counter(str(one["to"]) for one in self.sandbox.received if one["accepted"])

    def check(self) -> None:
        """Assert that every due visit is settled truly, and that nobody was told twice."""
        accepted = self.accepted()
        assert [count for count in accepted.values() if count > 1] == []
        visits = self.clinic.rows(
            "SELECT a.id, o.state, p.phone_number FROM appointments a"
            " JOIN patients p ON p.id = a.patient_id"
            " LEFT JOIN smartia_outbox o ON o.appointment_id = a.id AND o.kind = '24h'"
        )
        told = {to.lstrip("+") for to in accepted}
        for visit in visits:
            reached = visit["phone_number"] in told
            if visit["state"] == "sent":
                assert reached, visit["id"]
            elif visit["state"] == "failed":
                assert not reached, visit["id"]
            else:
                assert visit["state"] == "unknown", visit


def ended(process: subprocess.Popen[str]) -> CliResult:
    """Wait for a process; return what it left on its streams."""
    stdout, stderr = process.communicate(timeout=120)
    return CliResult(process.returncode, stdout, stderr)


def kill(process: subprocess.Popen[str]) -> None:
    """End a process as a machine that dies would."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)


def log_lines(result: CliResult) -> list[dict[str, Any]]:
    """Return what a process logged, as JSON."""
    return [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
