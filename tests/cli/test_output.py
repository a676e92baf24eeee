"""A result that is written to a file overwrites no database: ours, another's, by whatever path."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from smartia_jobs.cli.output import refuse_database
from smartia_jobs.errors import ConfigurationError
from tests.support import Clinic, RunCli

POSTGRESQL = "postgresql://smartia@localhost/smartia"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A SQLite file in use, with its log beside it."""
    path = tmp_path / "smartia.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE visits (id)")
    return path


def is_refused(output: Path, url: str) -> bool:
    try:
        refuse_database(output, url)
    except ConfigurationError as error:
        assert str(output) in str(error)
        return True
    return False


@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("exists", [True, False])
def test_smartia_s_own_file_and_what_belongs_to_it_are_refused(
    tmp_path: Path, ending: str, exists: bool
) -> None:
    database = tmp_path / "smartia.db"
    output = tmp_path / f"smartia.db{ending}"
    if exists:
        output.touch()  # an empty file is a database to SQLite

    assert is_refused(output, f"sqlite:///{database}")


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("through", ["output", "DATABASE_URL"])
def test_a_link_to_it_is_refused(
    tmp_path: Path, database: Path, link: object, through: str
) -> None:
    other = tmp_path / "folder" / "numbers.html"
    other.parent.mkdir()
    database.write_bytes(b"")
    link(database, other)  # type: ignore[operator]
    output, url = (other, database) if through == "output" else (database, other)

    assert is_refused(output, f"sqlite:///{url}")


def test_the_log_beside_the_file_that_a_link_names_is_refused(
    tmp_path: Path, database: Path
) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(database)

    assert is_refused(tmp_path / "smartia.db-wal", f"sqlite:///{link}")


def test_a_path_with_detours_is_refused(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(database.parent)

    assert is_refused(Path("../") / database.parent.name / "smartia.db", "sqlite:///./smartia.db")


@pytest.mark.parametrize("url", ["sqlite:///another.db", POSTGRESQL])
def test_another_s_database_is_refused_whatever_its_name(database: Path, url: str) -> None:
    numbers = database.rename(database.with_name("numbers.html"))

    assert is_refused(numbers, url)


@pytest.mark.parametrize(
    "beginning",
    [
        bytes.fromhex("377f0682002de218"),  # SQLite's write-ahead log
        bytes.fromhex("d9d505f920a163d700000000"),  # its journal
        b"\0\1\0\0Standard ACE DB\0",
        b"PGDMP\1\x0e\0",
    ],
)
def test_whatever_is_no_text_is_refused(tmp_path: Path, beginning: bytes) -> None:
    output = tmp_path / "numbers.csv"
    output.write_bytes(beginning)

    assert is_refused(output, POSTGRESQL)


@pytest.mark.parametrize("before", [None, "", "day,visits\n2026-11-23,10\n", "São Paulo"])
def test_a_result_takes_the_place_of_an_older_one(tmp_path: Path, before: str | None) -> None:
    output = tmp_path / "numbers.csv"
    if before is not None:
        output.write_text(before, encoding="utf-8")

    assert not is_refused(output, f"sqlite:///{tmp_path / 'smartia.db'}")


@pytest.mark.parametrize("output", ["/dev/stdout", "/dev/null", "missing/numbers.csv", "."])
def test_what_is_no_file_is_left_to_the_writing(output: str) -> None:
    assert not is_refused(Path(output), POSTGRESQL)


def test_metrics_leave_the_database_byte_for_byte(run_cli: RunCli, sqlite_clinic: Clinic) -> None:
    path = Path(sqlite_clinic.url.removeprefix("sqlite:///"))
    before = path.read_bytes()

    result = run_cli(
        "metrics", "--format", "csv", "--output", str(path), env={"DATABASE_URL": sqlite_clinic.url}
    )

    assert result.exit_code == 78
    assert "DATABASE_URL" in result.stderr
    assert path.read_bytes() == before
