"""Loading once, before the forks, what each of them would have to load for itself."""

import gc
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, redirect_stdout, suppress
from contextvars import copy_context
from importlib import import_module
from io import BytesIO, TextIOWrapper
from pathlib import Path
from tempfile import TemporaryDirectory

from smartia_jobs.sandbox.clinic import make_empty
from smartia_jobs.settings.clinics import Clinic
from smartia_jobs.settings.environment import gather

#: What a run loads only when there is somebody to write to, or a monitor to tell.
_WHEN_DUE = (
    "smartia_jobs.outbox.dispatcher",
    "smartia_jobs.phones",
    "smartia_jobs.whatsapp.client",
    "smartia_jobs.whatsapp.waiting",
    "smartia_jobs.clinic.vetoes",
    "smartia_jobs.store.reminded",
)
#: And what it loads for PostgreSQL alone.
_ON_POSTGRESQL = ("psycopg", "sqlalchemy.dialects.postgresql.psycopg")


def warm_up(clinics: Sequence[Clinic], work: Callable[[Clinic], int], *, migrates: bool) -> None:
    """Do the work once for a clinic that nobody visits, so that all it needs is loaded.

    Nothing is left of it but loaded modules: the connection is closed, the database removed.

    Args:
        clinics: those that will be run.
        work: what each clinic's process will do.
        migrates: that is to make our tables; else they are there, nearly always, and the
            libraries of migrations are left to who needs them.
    """
    # Where the disk is full each clinic loads the rest for itself.
    with suppress(OSError, sqlite3.Error):
        _rehearse(work, migrates=migrates)
    _load(_WHEN_DUE)
    if any("postgres" in clinic.given.texts.get("DATABASE_URL", "") for clinic in clinics):
        _load(_ON_POSTGRESQL)
    # A collection in a fork would touch, and so copy, every page of what is loaded.
    gc.collect()
    gc.freeze()


def _rehearse(work: Callable[[Clinic], int], *, migrates: bool) -> None:
    with TemporaryDirectory(prefix="smartia-jobs-") as folder:
        database = Path(folder) / "nobody.db"
        make_empty(database)
        if not migrates:
            from smartia_jobs.database import Database
            from smartia_jobs.store.schema import create

            with closing(Database(f"sqlite:///{database}")) as opened, opened.write() as connection:
                create(connection)
        given = gather(
            {
                "DATABASE_URL": f"sqlite:///{database}",
                "META_ACCESS_TOKEN": "none",
                "META_PHONE_NUMBER_ID": "0",
                # Nobody is written to. Were somebody, it would not be by way of WhatsApp.
                "META_API_URL": "http://127.0.0.1:9",
                "DATABASE_IS_A_COPY": "1",
                "LOG_LEVEL": "ERROR",
            },
            directory=Path(folder),
        )
        with redirect_stdout(TextIOWrapper(BytesIO(), encoding="utf-8")):
            copy_context().run(work, Clinic("nobody", given))


def _load(modules: Sequence[str]) -> None:
    for module in modules:
        with suppress(ImportError):  # a driver that is missing: each clinic's run says what to do
            import_module(module)
