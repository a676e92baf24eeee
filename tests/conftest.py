"""Fixtures for every test: a SmartIA clinic on both engines, and the program as a process.

The tests are a package (each folder has an ``__init__.py``), so that pytest puts the root of
the tree on the path and ``from tests.support import Clinic`` works from any folder, for mypy
too. Test files still have names of their own.
"""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest

from tests.support import Clinic, CliResult, RunCli, StartCli
from tests.support.clinic_data import create_sqlite
from tests.support.memory import memory
from tests.support.postgres import (
    MissingPostgresError,
    create_database,
    drop_database,
    private_cluster,
)
from tests.support.process import process_as_before
from tests.support.program import start

# A shared machine is slow now and then; that is no failure. In CI the examples are the same
# each time, so a red build is the change's fault.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the folders of tests in memory, where no commit waits for a disk.

    Signals are as in a terminal: under nohup, or behind a script's ``&``, they would be ignored.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not config.option.basetemp and (folder := memory()):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(folder))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make what a test has printed and logged valid UTF-8: a worker can send nothing else."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode())
        for title, text in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def _empty_smartia(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SmartIA file, made once and copied for each test."""
    path = tmp_path_factory.mktemp("template") / "smartia.db"
    create_sqlite(path)
    return path


@pytest.fixture
def smartia_sqlite(_empty_smartia: Path, tmp_path: Path) -> Path:
    """The path of a fresh SmartIA database file without a row."""
    return Path(shutil.copy(_empty_smartia, tmp_path / "smartia.db"))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A private PostgreSQL for this session: an SQLAlchemy URL with ``{database}`` in it.

    Under pytest-xdist each worker is a session, so roles, locks and the list of connections of
    a server, which its databases share, belong to one test at a time.
    """
    try:
        with private_cluster() as url:
            yield url
    except MissingPostgresError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def smartia_postgres(postgres_url: str) -> Iterator[str]:
    """The SQLAlchemy URL of a fresh SmartIA database on PostgreSQL.

    Fails the test when a connection to it is still open at the end.
    """
    name = f"smartia_{uuid4().hex}"
    create_database(postgres_url, name)
    yield postgres_url.format(database=name)
    forgotten = drop_database(postgres_url, name)
    assert not forgotten, f"{forgotten} connections to the test's database were left open"


@pytest.fixture
def sqlite_clinic(smartia_sqlite: Path) -> Iterator[Clinic]:
    """An empty clinic on SQLite."""
    clinic = Clinic(f"sqlite:///{smartia_sqlite}")
    yield clinic
    clinic.close()


@pytest.fixture
def postgres_clinic(smartia_postgres: str) -> Iterator[Clinic]:
    """An empty clinic on PostgreSQL, whose ``timestamptz`` holds wall time."""
    clinic = Clinic(smartia_postgres)
    yield clinic
    clinic.close()


@pytest.fixture
def plain_timestamp_clinic(postgres_clinic: Clinic) -> Clinic:
    """An empty clinic on PostgreSQL whose date column knows no zone (``timestamp``)."""
    postgres_clinic.execute("ALTER TABLE appointments ALTER appointment_date TYPE timestamp")
    return postgres_clinic


@pytest.fixture(params=["sqlite", "postgresql"])
def clinic(request: pytest.FixtureRequest) -> Clinic:
    """An empty clinic; the test runs once on each engine."""
    engine = "sqlite_clinic" if request.param == "sqlite" else "postgres_clinic"
    opened: Clinic = request.getfixturevalue(engine)
    return opened


@pytest.fixture
def start_cli(tmp_path: Path) -> Iterator[StartCli]:
    """Start the program in an empty folder; what still runs when the test ends is killed."""
    started: list[subprocess.Popen[str]] = []

    def start_one(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        process = start(arguments, env or {}, tmp_path)
        started.append(process)
        return process

    yield start_one
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def run_cli(start_cli: StartCli) -> RunCli:
    """Run the program to its end and hand back its status and both streams."""

    def run(
        *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 60
    ) -> CliResult:
        process = start_cli(*arguments, env=env)
        stdout, stderr = process.communicate(timeout=timeout_s)
        return CliResult(process.returncode, stdout, stderr)

    return run


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    """Fail the test when a thread it started has not ended within five seconds."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(timeout=5)
    assert not [thread.name for thread in left if thread.is_alive()]


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Take back what a test does to the log and the signals of its own process."""
    with process_as_before():
        yield
