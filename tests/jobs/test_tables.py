"""Upgrading and describing what a database has of ours: the values that are printed."""

from contextlib import closing
from uuid import uuid4

import pytest

from smartia_jobs.clinic.index import (
    INDEXES,
    IndexBuild,
    IndexState,
    SmartiaIndex,
    owner_statements,
)
from smartia_jobs.database import Database
from smartia_jobs.errors import ConfigurationError
from smartia_jobs.jobs.tables import (
    Built,
    Described,
    Upgraded,
    build_indexes,
    describe_tables,
    upgrade_tables,
)
from smartia_jobs.store.schema import HEAD, current_version
from tests.support import Clinic


def test_what_is_missing_is_made_once(clinic: Clinic) -> None:
    first = (upgrade_tables(clinic.url), list(build_indexes(clinic.url)))
    again = (upgrade_tables(clinic.url), list(build_indexes(clinic.url)))

    assert first == (Upgraded(None, HEAD), [Built(one, IndexBuild.BUILT) for one in INDEXES])
    assert again == (Upgraded(HEAD, HEAD), [Built(one, IndexBuild.PRESENT) for one in INDEXES])
    assert describe_tables(clinic.url) == Described(
        HEAD, HEAD, dict.fromkeys(INDEXES, IndexState.PRESENT)
    )


def test_what_is_missing_is_described_and_not_made(clinic: Clinic) -> None:
    nothing = Described(None, HEAD, dict.fromkeys(INDEXES, IndexState.MISSING))

    assert describe_tables(clinic.url) == nothing
    assert describe_tables(clinic.url) == nothing


@pytest.mark.parametrize("index", INDEXES, ids=lambda index: index.table)
def test_each_index_is_told_by_itself(clinic: Clinic, index: SmartiaIndex) -> None:
    list(build_indexes(clinic.url))
    clinic.execute(f"DROP INDEX {index.name}")

    described = describe_tables(clinic.url)
    built = {one.index: one.result for one in build_indexes(clinic.url)}

    (other,) = (one for one in INDEXES if one != index)
    assert described.indexes == {index: IndexState.MISSING, other: IndexState.PRESENT}
    assert built == {index: IndexBuild.BUILT, other: IndexBuild.PRESENT}


def test_a_database_that_is_not_smartias_gets_no_tables(clinic: Clinic) -> None:
    clinic.execute("DROP TABLE interactions")

    with pytest.raises(ConfigurationError, match="interactions"):
        upgrade_tables(clinic.url)

    with pytest.raises(ConfigurationError, match="interactions"):
        describe_tables(clinic.url)
    with closing(Database(clinic.url, read_only=True)) as database, database.read() as connection:
        assert current_version(connection) is None


def test_a_role_that_may_not_build_gets_the_sql_for_the_owner(postgres_clinic: Clinic) -> None:
    role = f"jobs_{uuid4().hex}"
    postgres_clinic.execute(f"CREATE ROLE {role} LOGIN")

    built = list(build_indexes(postgres_clinic.url.replace("postgres@", f"{role}@")))

    postgres_clinic.execute(f"DROP ROLE {role}")
    assert built == [
        Built(
            index,
            IndexBuild.NOT_ALLOWED,
            owner_statements=tuple(owner_statements(index, IndexState.MISSING)),
        )
        for index in INDEXES
    ]
