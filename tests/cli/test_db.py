"""``smartia-jobs db``: what it prints, and what it does to which database."""

from pathlib import Path
from uuid import uuid4

import pytest

from smartia_jobs.clinic.index import INDEXES, IndexState, SmartiaIndex, owner_statements
from smartia_jobs.errors import ExitStatus
from smartia_jobs.store.schema import HEAD
from tests.support import Clinic, RunCli


def each_index(what: str) -> list[str]:
    """Return the lines that say the same of each index."""
    return [f"index on {index.on}: {what}" for index in INDEXES]


UP_TO_DATE = [f"tables: version {HEAD}, up to date", *each_index("present")]


def test_upgrade_creates_what_is_missing_and_says_so(clinic: Clinic, run_cli: RunCli) -> None:
    result = run_cli("db", "upgrade", env={"DATABASE_URL": clinic.url})

    assert result.exit_code == ExitStatus.OK, result.stderr
    assert result.stdout.splitlines() == [
        f"tables: created, version {HEAD}",
        *each_index("built"),
    ]
    assert lines_of(run_cli, "current", clinic.url) == UP_TO_DATE


def test_a_second_upgrade_has_nothing_to_do(clinic: Clinic, run_cli: RunCli) -> None:
    lines_of(run_cli, "upgrade", clinic.url)

    lines = lines_of(run_cli, "upgrade", clinic.url)

    assert lines == [f"tables: nothing to do, version {HEAD}", *each_index("nothing to do")]


def test_current_tells_what_is_missing_and_changes_nothing(
    sqlite_clinic: Clinic, run_cli: RunCli
) -> None:
    path = Path(sqlite_clinic.url.removeprefix("sqlite:///"))
    before = path.read_bytes()

    result = run_cli("db", "current", env={"DATABASE_URL": sqlite_clinic.url})

    assert result.exit_code == ExitStatus.OK, result.stderr
    assert result.stdout.splitlines() == [
        f"tables: missing; this program needs version {HEAD}",
        *each_index("missing"),
    ]
    assert path.read_bytes() == before


def test_current_tells_which_of_the_two_is_newer(clinic: Clinic, run_cli: RunCli) -> None:
    lines_of(run_cli, "upgrade", clinic.url)
    clinic.execute("UPDATE smartia_jobs_version SET version_num = '0000'")
    older, *_ = lines_of(run_cli, "current", clinic.url)
    clinic.execute("UPDATE smartia_jobs_version SET version_num = '9999'")
    newer, *_ = lines_of(run_cli, "current", clinic.url)

    assert older == f"tables: version 0000; this program needs version {HEAD}"
    assert newer == f"tables: version 9999, newer than this program needs ({HEAD})"


def test_a_database_that_is_not_smartias_gets_no_tables(clinic: Clinic, run_cli: RunCli) -> None:
    clinic.execute("DROP TABLE interactions")

    result = run_cli("db", "upgrade", env={"DATABASE_URL": clinic.url})

    assert result.exit_code == ExitStatus.CONFIGURATION
    assert result.stdout == ""
    assert "interactions" in result.stderr
    current = run_cli("db", "current", env={"DATABASE_URL": clinic.url})
    assert (current.exit_code, current.stdout) == (ExitStatus.CONFIGURATION, "")


def test_a_role_that_does_not_own_smartias_table_gets_the_sql_for_the_owner(
    postgres_clinic: Clinic, run_cli: RunCli
) -> None:
    role = f"jobs_{uuid4().hex}"
    postgres_clinic.execute(f"CREATE ROLE {role} LOGIN")
    postgres_clinic.execute(f"GRANT CREATE ON SCHEMA public TO {role}")

    lines = lines_of(run_cli, "upgrade", postgres_clinic.url.replace("postgres@", f"{role}@"))

    postgres_clinic.execute(f"DROP OWNED BY {role} CASCADE")
    postgres_clinic.execute(f"DROP ROLE {role}")
    assert lines == [
        f"tables: created, version {HEAD}",
        *each_index("not built; this role does not own SmartIA's table"),
        "Everything works without, only slower as rows add up.",
        "Let the owner of appointments and conversations run, outside any transaction:",
        "  CREATE INDEX CONCURRENTLY IF NOT EXISTS smartia_appointments_date_status "
        "ON appointments (appointment_date, status);",
        "  CREATE INDEX CONCURRENTLY IF NOT EXISTS smartia_conversations_patient "
        "ON conversations (patient_id);",
    ]


@pytest.mark.parametrize("owned", INDEXES, ids=lambda index: index.table)
def test_a_role_that_owns_one_of_the_tables_builds_that_index(
    postgres_clinic: Clinic, run_cli: RunCli, owned: SmartiaIndex
) -> None:
    role = f"jobs_{uuid4().hex}"
    postgres_clinic.execute(f"CREATE ROLE {role} LOGIN")
    postgres_clinic.execute(f"GRANT CREATE ON SCHEMA public TO {role}")
    postgres_clinic.execute(f"ALTER TABLE {owned.table} OWNER TO {role}")

    lines = lines_of(run_cli, "upgrade", postgres_clinic.url.replace("postgres@", f"{role}@"))

    postgres_clinic.execute(f"DROP OWNED BY {role} CASCADE")
    postgres_clinic.execute(f"DROP ROLE {role}")
    (other,) = (index for index in INDEXES if index != owned)
    assert f"index on {owned.on}: built" in lines
    assert f"index on {other.on}: not built; this role does not own SmartIA's table" in lines
    assert f"Let the owner of {other.table} run, outside any transaction:" in lines
    assert [line for line in lines if "CREATE INDEX" in line] == [
        f"  {statement};" for statement in owner_statements(other, IndexState.MISSING)
    ]


@pytest.mark.parametrize("index", INDEXES, ids=lambda index: index.table)
def test_the_documented_sql_for_an_index_is_the_one_that_is_printed(index: SmartiaIndex) -> None:
    documentation = Path(__file__).resolve().parents[2] / "docs" / "postgresql.md"

    (statement,) = owner_statements(index, IndexState.MISSING)
    assert f"\n{statement};\n" in documentation.read_text(encoding="utf-8")


def lines_of(run_cli: RunCli, command: str, url: str) -> list[str]:
    """Return the lines that a command prints about a database."""
    result = run_cli("db", command, env={"DATABASE_URL": url})
    assert result.exit_code == ExitStatus.OK, result.stderr
    return result.stdout.splitlines()
