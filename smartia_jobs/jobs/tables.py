"""Our tables, and the indexes on SmartIA's: creating what is missing, and describing them."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from smartia_jobs.clinic.index import (
    INDEXES,
    IndexBuild,
    IndexState,
    SmartiaIndex,
    build_index,
    index_states,
    owner_statements,
)
from smartia_jobs.clinic.schema import problems, require_smartia
from smartia_jobs.database import Database
from smartia_jobs.errors import ConfigurationError
from smartia_jobs.store.schema import HEAD, current_version, ensure


@dataclass(frozen=True, slots=True)
class Upgraded:
    """Which version our tables had, and which they have now.

    Attributes:
        before: None when there were none.
        after: the same when there was nothing to do.
    """

    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Built:
    """What came of building one index.

    Attributes:
        index: which.
        result: what came of it.
        owner_statements: the SQL for the owner of SmartIA's table when this role may not.
    """

    index: SmartiaIndex
    result: IndexBuild
    owner_statements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Described:
    """What a database has of ours.

    Attributes:
        version: that of our tables; None when there are none. Versions compare as text.
        needed: the version that this program needs.
        indexes: those on SmartIA's tables.
    """

    version: str | None
    needed: str
    indexes: Mapping[SmartiaIndex, IndexState]


def upgrade_tables(url: str) -> Upgraded:
    """Create or upgrade our tables in SmartIA's database; doing it again changes nothing.

    Args:
        url: as ``DATABASE_URL``.

    Raises:
        ConfigurationError: this is no SmartIA database, or the role may not create tables.
    """
    with closing(Database(url)) as database:
        with database.read() as connection:
            wrong = problems(connection)
            before = current_version(connection)
        if wrong:
            # Most likely another database was meant; our tables must not be created in this one.
            raise ConfigurationError(wrong)
        ensure(database, auto_migrate=True)
        with database.read() as connection:
            return Upgraded(before, current_version(connection))


def build_indexes(url: str) -> Iterator[Built]:
    """Build what is missing, one after the other; yield each when it is done.

    On PostgreSQL this may take long; the clinic can work meanwhile (:func:`build_index`).
    """
    with closing(Database(url)) as database, closing(Database(url)) as guard:
        for index in INDEXES:
            result = build_index(database, index, guard=guard)
            if result is IndexBuild.NOT_ALLOWED:
                with database.read() as connection:
                    state = index_states(connection)[index]
                yield Built(index, result, tuple(owner_statements(index, state)))
            else:
                yield Built(index, result)


def describe_tables(url: str) -> Described:
    """Return which version our tables have, and whether the indexes are there.

    Raises:
        ConfigurationError: the database is not SmartIA's.
    """
    with closing(Database(url, read_only=True)) as database, database.read() as connection:
        require_smartia(connection)
        return Described(current_version(connection), HEAD, index_states(connection))
