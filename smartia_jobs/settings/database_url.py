"""What ``DATABASE_URL`` may say, understood without importing a database library."""

import re
from pathlib import Path
from urllib.parse import unquote

#: The driver this program brings for PostgreSQL; SmartIA's own may be another.
POSTGRESQL = "postgresql+psycopg"

_SCHEMES = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": POSTGRESQL,
    "postgresql": POSTGRESQL,
    POSTGRESQL: POSTGRESQL,
}

#: The arguments of Python's own driver, which other programs put behind the path; we set ours.
_DRIVER_ARGUMENT = r"(?:timeout|check_same_thread|detect_types|isolation_level|cached_statements)"
_SQLITE = re.compile(
    rf"///(?P<path>.+?)(?:\?{_DRIVER_ARGUMENT}=[^&]*(?:&{_DRIVER_ARGUMENT}=[^&]*)*)?", re.DOTALL
)
#: The same parts as SQLAlchemy finds, so that one URL means one database to SmartIA and to us.
_POSTGRESQL = re.compile(
    r"//(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    r"(?P<host>\[[^/?]+\]|[^/:?]*)(?::(?P<port>[^/?]*))?"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?"
)
#: What psycopg takes from a program: as a text from a URL, none of it can be used.
_PROGRAMS_OWN = frozenset({"conninfo", "context", "cursor_factory", "row_factory"})
#: Arguments of libpq whose values are no secret; every other one is masked.
_PLAIN_ARGUMENTS = frozenset(
    {
        "application_name",
        "channel_binding",
        "connect_timeout",
        "gssencmode",
        "host",
        "hostaddr",
        "port",
        "sslcert",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "target_session_attrs",
        "user",
    }
)


def normalise(url: str) -> str:
    """Return ``url`` with the scheme this program connects by.

    Raises:
        ValueError: saying what the URL must be instead; the text never quotes the URL, which
            may hold a password.
    """
    scheme, colon, rest = url.partition(":")
    if not colon or not rest.startswith("//"):
        raise ValueError("must begin with sqlite:/// or postgresql://")
    if scheme not in _SCHEMES:
        raise ValueError(
            f"must begin with sqlite:/// or postgresql://, not with {scheme}:// "
            "(this program brings its own driver)"
        )
    normal = f"{_SCHEMES[scheme]}:{rest}"
    if _SCHEMES[scheme] == "sqlite":
        sqlite_path(normal)
    else:
        _check_postgresql(rest)
    return normal


def sqlite_path(url: str) -> Path:
    """Return the file that an SQLite URL names, relative ones from the working directory.

    A path is percent-decoded, as SQLAlchemy does since 2.1.

    Raises:
        ValueError: the URL names no file.
    """
    found = _SQLITE.fullmatch(url.partition(":")[2])
    path = unquote(found["path"]) if found else ""
    if path in ("", ":memory:"):
        raise ValueError(
            "must name a file: a database in memory is empty and forgets at the end of a run "
            "what was sent"
        )
    if path.startswith("file:"):
        raise ValueError("must hold the plain path of the file, without file: and its options")
    return Path(path)


def masked(url: str) -> str:
    """Return ``url`` for a person's eyes: no password, no argument that could be a secret."""
    scheme, colon, rest = url.partition(":")
    if scheme.startswith("sqlite"):
        return url
    found = _POSTGRESQL.fullmatch(rest)
    if found is None:
        return "…"
    if found["password"]:
        start, end = found.span("password")
        rest = f"{rest[:start]}***{rest[end:]}"
    address, mark, query = rest.partition("?")
    return scheme + colon + address + mark + "&".join(map(_masked_argument, query.split("&")))


def _masked_argument(argument: str) -> str:
    name, equals, _ = argument.partition("=")
    if not argument or name in _PLAIN_ARGUMENTS:
        return argument
    return f"{name}=***" if equals else "***"


def _check_postgresql(rest: str) -> None:
    found = _POSTGRESQL.fullmatch(rest)
    if found is None or "@" in found["host"]:
        raise ValueError(
            "must be postgresql://user:password@host:5432/database; write an @ in the password "
            "as %40"
        )
    if not re.fullmatch(r"[0-9]*", found["port"] or ""):
        raise ValueError("must have a number after the host's colon: the port, usually 5432")
    if not found["database"]:
        raise ValueError("must name a database after the host: postgresql://user@host/database")
    names = {argument.partition("=")[0] for argument in (found["query"] or "").split("&")}
    if own := sorted(names & _PROGRAMS_OWN):
        raise ValueError(f"must not have the argument {own[0]}, which only a program can give")
