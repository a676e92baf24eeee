"""A folder of clinics on either engine, and one webhook for all of them."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from smartia_jobs.database import Database
from smartia_jobs.store import schema
from tests.support import Clinic, StartCli
from tests.support.postgres import create_database, drop_database
from tests.web.meta import encoded, signature, value
from tests.web.test_webhook import Webhook

#: What each clinic has unless it is told otherwise: an app of its own.
SECRETS = {"centro": "c" * 32, "norte": "n" * 32, "sul": "s" * 32}
NUMBERS = {"centro": "1001", "norte": "1002", "sul": "1003"}
TOKEN = "a-word-that-they-share"


def about(name: str, **more: Any) -> dict[str, Any]:
    """Return a change's value about a clinic's number, or about this number."""
    return {**value(**more), "metadata": {"phone_number_id": NUMBERS.get(name, name)}}


@dataclass
class Folder:
    """Clinics, each with a database of its own, and the folder of their settings.

    Attributes:
        path: of the folder.
        empty: an SQLite database of SmartIA without a row.
        postgres: the URL of the server, where the clinics are on PostgreSQL.
    """

    path: Path
    empty: Path
    postgres: str | None
    clinics: dict[str, Clinic] = field(default_factory=dict)
    databases: list[str] = field(default_factory=list)

    def add(self, name: str, *, migrated: bool = True, **settings: str) -> Clinic:
        """Add a clinic with a database of its own and our tables in it."""
        clinic = Clinic(self._database(name))
        self.clinics[name] = clinic
        if migrated:
            migrate(clinic)
        self.write(name, **{"DATABASE_URL": clinic.url, **settings})
        return clinic

    def write(self, name: str, **settings: str) -> None:
        """Write a clinic's settings; an empty one is left out."""
        usual = {
            "META_PHONE_NUMBER_ID": NUMBERS.get(name, ""),
            "META_APP_SECRET": SECRETS.get(name, ""),
            "META_VERIFY_TOKEN": TOKEN,
            "META_WABA_ID": "77",
            "STORED_TIMES": "wall",
        }
        lines = (f"{key}={text}\n" for key, text in {**usual, **settings}.items() if text)
        (self.path / f"{name}.env").write_text("".join(lines))

    def statuses(self, name: str) -> list[str]:
        """Return of which messages a status is stored for a clinic."""
        rows = self.clinics[name].rows("SELECT wamid FROM smartia_statuses ORDER BY wamid")
        return [row["wamid"] for row in rows]

    def close(self) -> int:
        """Drop everything; return how many connections somebody had forgotten to close."""
        for clinic in self.clinics.values():
            clinic.close()
        return sum(drop_database(self.postgres or "", name) for name in self.databases)

    def _database(self, name: str) -> str:
        if self.postgres is None:
            return f"sqlite:///{shutil.copy(self.empty, self.path.parent / f'{name}.db')}"
        database = f"{name}_{uuid4().hex}"
        create_database(self.postgres, database)
        self.databases.append(database)
        return self.postgres.format(database=database)


@dataclass(frozen=True, slots=True)
class Service:
    """The webhook of a folder."""

    webhook: Webhook
    announced: str

    @property
    def process(self) -> "subprocess.Popen[str]":
        """What serves."""
        return self.webhook.process

    def say(self, payload: Any, signed_by: str) -> int:
        """Post, signed with a clinic's secret or with this one; return the HTTP status."""
        body = encoded(payload)
        return self.webhook.send(body, signature(body, SECRETS.get(signed_by, signed_by)))

    def end(self) -> str:
        """End it; return what it logged."""
        return self.webhook.end()


def migrate(clinic: Clinic) -> None:
    """Make our tables."""
    database = Database(clinic.url)
    schema.ensure(database, auto_migrate=True)
    database.close()


def serving(start_cli: StartCli, folder: Folder, env: Mapping[str, str]) -> Service:
    """Serve a folder on a free port of this machine."""
    process = start_cli("serve", "--port", "0", "--clinics", str(folder.path), env=env)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("Listening on http://"), process.communicate()
    clinic = next(iter(folder.clinics.values()))
    return Service(Webhook(process, line.split()[2], clinic), line)
