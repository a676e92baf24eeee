"""A fleet for each test: a folder of clinics, each with a database, before one WhatsApp."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from smartia_jobs.catalogue.definition import shipped_definitions
from smartia_jobs.sandbox.account import PHONE_NUMBER_ID
from smartia_jobs.sandbox.server import Sandbox
from tests.support import Clinic, CliResult, RunCli
from tests.support.clinic_data import SAO_PAULO


@dataclass
class Fleet:
    """Clinics, the folder of their settings, and the WhatsApp that they share."""

    folder: Path
    empty: Path
    sandbox: Sandbox
    run_cli: RunCli
    opened: list[Clinic] = field(default_factory=list)

    def add(self, name: str, *, url: str | None = None, **settings: str) -> Clinic:
        """Add a clinic, on an SQLite database of its own unless it is given one."""
        if url is None:
            path = shutil.copy(self.empty, self.folder.parent / f"{name}.db")
            url = f"sqlite:///{path}"
        self.write(name, DATABASE_URL=url, **settings)
        self.opened.append(Clinic(url))
        return self.opened[-1]

    def write(self, name: str, **settings: str) -> None:
        """Write a clinic's settings."""
        usual = {
            "META_ACCESS_TOKEN": "any-token",
            "META_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
            "META_API_URL": self.sandbox.url,
            "DATABASE_IS_A_COPY": "1",
            "STORED_TIMES": "wall",
        }
        lines = (f"{key}={value}\n" for key, value in {**usual, **settings}.items())
        (self.folder / f"{name}.env").write_text("".join(lines))

    def book(self, clinic: Clinic, phone: str | None = None) -> str:
        """Book a visit that is due to be reminded, and return its patient's phone."""
        start = datetime.now(SAO_PAULO).replace(tzinfo=None, microsecond=0) + timedelta(hours=24)
        patient = clinic.add_patient(phone=phone)
        clinic.add_appointment(patient, start)
        number: str = clinic.value("SELECT phone_number FROM patients WHERE id = :id", id=patient)
        return number

    def run(self, *arguments: str, **variables: str) -> CliResult:
        """Run ``fleet`` to its end."""
        return self.run_cli("fleet", *arguments, "--clinics", str(self.folder), env=variables)

    def told(self) -> list[str]:
        """Return the phones whose message WhatsApp accepted, sorted."""
        return sorted(
            str(one["to"]).lstrip("+") for one in self.sandbox.received if one["accepted"]
        )


@pytest.fixture
def fleet(tmp_path: Path, _empty_smartia: Path, run_cli: RunCli) -> Iterator[Fleet]:
    folder = tmp_path / "clinics"
    folder.mkdir()
    with Sandbox(templates=shipped_definitions(clinic_name="sua clínica")) as sandbox:
        made = Fleet(folder, _empty_smartia, sandbox, run_cli)
        yield made
        for clinic in made.opened:
            clinic.close()
