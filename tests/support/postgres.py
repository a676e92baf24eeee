"""A private PostgreSQL for one test session: made, started and ended by the session itself."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import psycopg.sql

from tests.support.memory import memory

TEMPLATE = "smartia_template"
SCHEMA = Path(__file__).with_name("smartia_postgresql.sql")


class MissingPostgresError(Exception):
    """This machine has no PostgreSQL server to start."""


def find_binaries() -> Path:
    """Return the folder of ``initdb`` and ``pg_ctl``: in PATH, or where Debian hides them."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda bin: float(bin.parent.name)
    )[::-1]
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    raise MissingPostgresError("no PostgreSQL server (initdb, pg_ctl) on this machine")


@contextmanager
def private_cluster() -> Iterator[str]:
    """Run a new, empty PostgreSQL with a SmartIA template; yield the URL of its server.

    It listens on a Unix socket in its own folder and on nothing else. PostgreSQL refuses to
    run as root, so for root it runs as the ``postgres`` user its package has made.

    Yields:
        an SQLAlchemy URL with ``{database}`` for the database's name.
    """
    binaries = find_binaries()
    folder = _new_folder()
    data = folder / "data"
    # Like PostgreSQL on a Brazilian clinic's machine; a program that trusts the session's
    # zone is three hours wrong here.
    options = (
        f"-c unix_socket_directories='{folder}' -c listen_addresses='' -c fsync=off "
        "-c full_page_writes=off -c max_wal_size=64MB"
        " -c timezone=America/Sao_Paulo -c max_connections=200"
    )
    user = None
    if os.getuid() == 0:
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            raise MissingPostgresError("root has no postgres user to start it as") from None
        os.chown(folder, user.pw_uid, user.pw_gid)

    def run(tool: str, *arguments: str) -> None:
        subprocess.run(
            [binaries / tool, "--pgdata", data, *arguments],
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            user=user and user.pw_uid,
            group=user and user.pw_gid,
            extra_groups=user and [],
        )

    try:
        run(
            "initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale",
            "--no-sync",
        )  # fmt: skip
        run("pg_ctl", "start", "--wait", "--silent", f"--log={folder / 'log'}", "-o", options)
        try:
            url = f"postgresql+psycopg://postgres@/{{database}}?host={folder}"
            create_database(url, TEMPLATE, template="template0")
            with psycopg.connect(native(url, TEMPLATE), autocommit=True) as template:
                template.execute(SCHEMA.read_bytes())
            yield url
        finally:
            run("pg_ctl", "stop", "--wait", "--silent", "--mode=fast")
    finally:
        shutil.rmtree(folder)


@contextmanager
def replica(url: str) -> Iterator[str]:
    """Run a hot standby of a private cluster; yield the URL of one of its databases there."""
    binaries = find_binaries()
    primary = Path(url.partition("?host=")[2])
    owner = primary.stat()
    user = owner.st_uid if os.getuid() == 0 else None
    folder = _new_folder()
    os.chown(folder, owner.st_uid, owner.st_gid)

    def run(tool: str, *arguments: str | Path) -> None:
        subprocess.run(
            [binaries / tool, "--pgdata", folder / "data", *arguments],
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            user=user,
            group=None if user is None else owner.st_gid,
            extra_groups=None if user is None else [],
        )

    try:
        run(
            "pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
            "--username=postgres", f"--host={primary}",
        )  # fmt: skip
        options = f"-c unix_socket_directories='{folder}' -c listen_addresses='' -c fsync=off"
        # A standby allows no fewer connections than its primary.
        options += " -c max_connections=200"
        run("pg_ctl", "start", "--wait", "--silent", f"--log={folder / 'log'}", "-o", options)
        try:
            yield url.replace(str(primary), str(folder))
        finally:
            run("pg_ctl", "stop", "--wait", "--silent", "--mode=fast")
    finally:
        shutil.rmtree(folder)


def _new_folder() -> Path:
    # Not pytest's tmp_path: a socket's path must stay under 108 characters.
    return Path(tempfile.mkdtemp(prefix="smartia-pg-", dir=memory()))


def native(url: str, database: str) -> str:
    """Return what psycopg itself understands of the server's URL."""
    return url.format(database=database).replace("postgresql+psycopg://", "postgresql://")


def create_database(url: str, name: str, *, template: str = TEMPLATE) -> None:
    """Make a database, by default one with SmartIA's empty tables."""
    with psycopg.connect(native(url, "postgres"), autocommit=True) as server:
        statement = psycopg.sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        identifier = psycopg.sql.Identifier
        server.execute(statement.format(identifier(name), identifier(template)))


def drop_database(url: str, name: str, *, patience_s: float = 5) -> int:
    """Drop a database; return how many connections to it somebody had forgotten to close.

    A session ends a moment after its client has closed it: they get ``patience_s`` together.
    """
    forgotten = 0
    with psycopg.connect(native(url, "postgres"), autocommit=True) as server:
        give_up_at = time.monotonic() + patience_s
        while True:
            row = server.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [name]
            ).fetchone()
            forgotten = row[0] if row else 0
            if not forgotten or time.monotonic() > give_up_at:
                break
            time.sleep(0.01)
        statement = psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)")
        server.execute(statement.format(psycopg.sql.Identifier(name)))
    return forgotten
