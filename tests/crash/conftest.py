"""A site for each test: nothing of it is left when the test has ended."""

from collections.abc import Iterator

import pytest

from smartia_jobs.catalogue.definition import shipped_definitions
from smartia_jobs.sandbox.server import Sandbox
from tests.crash.site import Site
from tests.support import Clinic, StartCli


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(templates=shipped_definitions(clinic_name="sua clínica")) as server:
        yield server


@pytest.fixture
def site(clinic: Clinic, sandbox: Sandbox, start_cli: StartCli) -> Site:
    return Site(clinic, sandbox, start_cli)


@pytest.fixture
def postgres_site(postgres_clinic: Clinic, sandbox: Sandbox, start_cli: StartCli) -> Site:
    return Site(postgres_clinic, sandbox, start_cli)


@pytest.fixture
def sqlite_site(sqlite_clinic: Clinic, sandbox: Sandbox, start_cli: StartCli) -> Site:
    return Site(sqlite_clinic, sandbox, start_cli)
