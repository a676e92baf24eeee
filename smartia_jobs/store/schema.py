"""The version of our own tables: looking at it, and bringing it up to what this program needs."""

from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError

from smartia_jobs.database import Database
from smartia_jobs.errors import ConfigurationError

#: The last migration. Versions are four digits, so that they compare as text.
HEAD = "0001"

#: What makes our tables.
UPGRADE = "smartia-jobs db upgrade"

#: Beside SmartIA's own ``alembic_version``, should it have one.
VERSION_TABLE = "smartia_jobs_version"

#: A number that no other program is likely to use: an advisory lock has no other name.
_MIGRATION_LOCK = 7_302_118_540_116_935_681

#: How long to wait for other processes, several of which may migrate in turn on a slow disk.
_SQLITE_PATIENCE_S = 30.0

_EXISTS = {
    "sqlite": f"SELECT name FROM pragma_table_info('{VERSION_TABLE}')",  # noqa: S608 - a constant
    "postgresql": f"SELECT to_regclass('{VERSION_TABLE}')",
}

_INSUFFICIENT_PRIVILEGE = "42501"


def current_version(connection: Connection) -> str | None:
    """Return the version of our tables; None when this database does not have them."""
    # Asked first, because a failed query would break the caller's transaction on PostgreSQL.
    if connection.exec_driver_sql(_EXISTS[connection.dialect.name]).scalar() is None:
        return None
    version: str | None = connection.exec_driver_sql(
        f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608 - a constant
    ).scalar()
    return version


def tables_exist(connection: Connection) -> bool:
    """Return whether our tables can be read; without them, nothing was ever sent or marked.

    For the commands that never migrate: dry runs, ``metrics``, ``check``.

    Raises:
        ConfigurationError: the tables are older than this program, which cannot read them.
    """
    version = current_version(connection)
    if version is not None and version < HEAD:
        raise _too_old(version)
    return version is not None


def require(connection: Connection, *, upgrade: str) -> None:
    """Raise if our tables are missing or too old.

    Args:
        connection: open for reading.
        upgrade: the command that makes them, which the error names.

    Raises:
        ConfigurationError: they are.
    """
    version = current_version(connection)
    if version is None or version < HEAD:
        raise _too_old(version, upgrade)


def ensure(database: Database, *, auto_migrate: bool) -> None:
    """Make our tables what this program needs; two small queries when they already are.

    A database that a newer version of this program has upgraded is accepted: migrations only
    ever add, so that during a roll-out the older program goes on sending.

    Args:
        database: open for writing.
        auto_migrate: create or upgrade the tables when they are missing or too old.

    Raises:
        ConfigurationError: they are missing or too old, and ``auto_migrate`` is off or the
            database role may not create them.
    """
    with database.read() as connection:
        version = current_version(connection)
    if version is not None and version >= HEAD:
        return
    if not auto_migrate:
        raise _too_old(version)
    upgrade(database)


def upgrade(database: Database) -> None:
    """Create our tables or bring them up to date, all in one transaction.

    Of several processes one does the work while the others wait. The lock is part of the
    transaction, so it ends with its holder, also when that is killed, and it works behind
    PgBouncer in transaction mode.

    Raises:
        ConfigurationError: the database role may not create tables.
    """
    # Half a second of imports, paid before the lock is held.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "smartia_jobs.store:migrations")
    try:
        with database.write(patience_s=_SQLITE_PATIENCE_S) as connection:
            if database.dialect == "postgresql":
                # The statement's own time-out still bounds the wait.
                connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            if (current_version(connection) or "") >= HEAD:
                return
            config.attributes.update(connection=connection, version_table=VERSION_TABLE)
            command.upgrade(config, "head")
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != _INSUFFICIENT_PRIVILEGE:
            raise
        raise ConfigurationError(
            "The database role may not create smartia-jobs' own tables. Run "
            "'smartia-jobs db upgrade' once with a role that may, then grant this one what "
            "docs/postgresql.md lists."
        ) from error


def create(connection: Connection) -> None:
    """Make our tables in a new database, as :func:`upgrade` does, without what migrations need."""
    from smartia_jobs.store.tables import metadata

    metadata.create_all(connection)
    version = f"CREATE TABLE {VERSION_TABLE} AS SELECT '{HEAD}' AS version_num"
    connection.exec_driver_sql(version)


def _too_old(version: str | None, upgrade: str = UPGRADE) -> ConfigurationError:
    found = "are missing from this database" if version is None else f"have version {version}"
    return ConfigurationError(
        f"smartia-jobs' own tables {found}, and this program needs version {HEAD}. Run: {upgrade}"
    )
