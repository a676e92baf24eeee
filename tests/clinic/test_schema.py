"""What a database must have to be SmartIA's, and how it stores appointment dates."""

from collections.abc import Iterator

import pytest

from smartia_jobs.clinic.schema import DateStorage, date_storage, problems
from smartia_jobs.database import Database
from smartia_jobs.errors import ConfigurationError
from tests.support import Clinic


@pytest.fixture
def database(clinic: Clinic) -> Iterator[Database]:
    """The clinic's database as the program opens it; once on each engine."""
    opened = Database(clinic.url)
    yield opened
    opened.close()


def test_smartias_own_tables_have_no_problem(database: Database) -> None:
    with database.read() as connection:
        assert problems(connection) == []


def test_a_missing_table_is_named(clinic: Clinic, database: Database) -> None:
    clinic.execute("DROP TABLE interactions")

    with database.read() as connection:
        found = problems(connection)

    assert found == ["SmartIA's table interactions is missing from this database."]


def test_missing_columns_are_named(clinic: Clinic, database: Database) -> None:
    clinic.execute("ALTER TABLE appointments RENAME COLUMN status TO state")
    clinic.execute("ALTER TABLE appointments RENAME COLUMN updated_at TO changed_at")
    clinic.execute("ALTER TABLE patients DROP COLUMN name")

    with database.read() as connection:
        found = problems(connection)

    assert found == [
        "SmartIA's table patients has no column name.",
        "SmartIA's table appointments has no column status, updated_at.",
    ]


def test_columns_that_this_program_does_not_use_may_be_missing(
    clinic: Clinic, database: Database
) -> None:
    clinic.execute("ALTER TABLE patients DROP COLUMN notes")

    with database.read() as connection:
        assert problems(connection) == []


def test_another_programs_database_is_one_problem(clinic: Clinic, database: Database) -> None:
    for table in ("interactions", "appointments", "conversations", "patients"):
        clinic.execute(f"DROP TABLE {table}")

    with database.read() as connection:
        found = problems(connection)

    assert found == [
        "DATABASE_URL names a database without SmartIA's tables "
        "(patients, conversations, interactions, appointments)."
    ]


def test_tables_that_the_search_path_does_not_reach_are_missing(
    postgres_clinic: Clinic,
) -> None:
    postgres_clinic.execute("CREATE SCHEMA elsewhere")
    postgres_clinic.execute("ALTER TABLE interactions SET SCHEMA elsewhere")
    database = Database(postgres_clinic.url)

    with database.read() as connection:
        found = problems(connection)

    database.close()
    assert found == ["SmartIA's table interactions is missing from this database."]


def test_dates_are_text_on_sqlite(sqlite_clinic: Clinic) -> None:
    assert storage(sqlite_clinic) is DateStorage.TEXT


def test_dates_are_timestamptz_as_smartia_creates_them(postgres_clinic: Clinic) -> None:
    assert storage(postgres_clinic) is DateStorage.TIMESTAMPTZ


def test_dates_may_be_plain_timestamps(plain_timestamp_clinic: Clinic) -> None:
    assert storage(plain_timestamp_clinic) is DateStorage.TIMESTAMP


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("ALTER appointment_date TYPE date", "date"),
        ("RENAME appointment_date TO date", "missing"),
    ],
)
def test_a_date_column_of_another_kind_is_a_configuration_error(
    postgres_clinic: Clinic, change: str, found: str
) -> None:
    postgres_clinic.execute(f"ALTER TABLE appointments {change}")

    with pytest.raises(ConfigurationError, match=f"it is {found}"):
        storage(postgres_clinic)


def storage(clinic: Clinic) -> DateStorage:
    """Return how the program finds the clinic's dates to be stored."""
    database = Database(clinic.url)
    try:
        with database.read() as connection:
            return date_storage(connection)
    finally:
        database.close()
