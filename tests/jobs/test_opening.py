"""What every job makes sure of before it looks at an appointment."""

from contextlib import closing

import pytest

from smartia_jobs.clinic.index import INDEXES, SmartiaIndex
from smartia_jobs.clock import ShiftedClock
from smartia_jobs.database import Database
from smartia_jobs.jobs.opening import open_clinic
from smartia_jobs.run import Run
from smartia_jobs.settings import Settings
from tests.jobs.check_desk import NOW
from tests.support import Clinic


@pytest.mark.parametrize("missing", INDEXES, ids=lambda index: index.table)
def test_a_run_on_postgresql_warns_of_each_index_that_is_missing(
    postgres_clinic: Clinic, missing: SmartiaIndex, caplog: pytest.LogCaptureFixture
) -> None:
    for index in INDEXES:
        if index != missing:
            postgres_clinic.execute(f"CREATE INDEX ON {index.on}")

    opened(postgres_clinic)

    (warning,) = caplog.messages
    assert f"no index on {missing.on}" in warning
    assert "smartia-jobs db upgrade" in warning


def test_a_run_on_sqlite_builds_the_indexes_and_warns_of_none(
    sqlite_clinic: Clinic, caplog: pytest.LogCaptureFixture
) -> None:
    opened(sqlite_clinic)

    made = sqlite_clinic.rows("SELECT name, tbl_name FROM sqlite_master WHERE type = 'index'")
    assert {(index.name, index.table) for index in INDEXES} <= {
        (row["name"], row["tbl_name"]) for row in made
    }
    assert caplog.messages == []


def test_a_dry_run_builds_no_index_and_warns_of_none(
    clinic: Clinic, caplog: pytest.LogCaptureFixture
) -> None:
    opened(clinic, dry_run=True)

    table = "sqlite_master" if clinic.dialect == "sqlite" else "pg_indexes"
    name = "name" if clinic.dialect == "sqlite" else "indexname"
    assert clinic.rows(f"SELECT {name} FROM {table} WHERE {name} LIKE 'smartia_%'") == []
    assert caplog.messages == []


def opened(clinic: Clinic, *, dry_run: bool = False) -> None:
    """Open the clinic as a job does."""
    settings = Settings(database_url=clinic.url, stored_times="wall")
    with closing(Database(clinic.url)) as database:
        open_clinic(
            Run("run-1", settings, ShiftedClock(NOW), database, NOW, dry_run=dry_run, limit=None)
        )
