"""What a database error means for the run: wait and try again, a person must act, or a bug."""

import re
import sqlite3

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from smartia_jobs.errors import ConfigurationError, SmartiaJobsError, UnavailableError

#: SQLite's primary result codes (https://sqlite.org/rescode.html, 2026-11): the class of
#: error each one stands for, and what to tell.
_SQLITE: dict[int, tuple[type[SmartiaJobsError], str]] = {
    sqlite3.SQLITE_BUSY: (UnavailableError, "another program has been writing to it for too long"),
    sqlite3.SQLITE_LOCKED: (UnavailableError, "another program has locked it"),
    sqlite3.SQLITE_PROTOCOL: (UnavailableError, "too many programs open it at this moment"),
    sqlite3.SQLITE_SCHEMA: (UnavailableError, "its tables were just changed"),
    sqlite3.SQLITE_INTERRUPT: (UnavailableError, "the statement was interrupted"),
    sqlite3.SQLITE_NOMEM: (UnavailableError, "there is not enough memory"),
    sqlite3.SQLITE_IOERR: (UnavailableError, "its disk reports an error"),
    sqlite3.SQLITE_FULL: (UnavailableError, "its disk is full"),
    sqlite3.SQLITE_CANTOPEN: (ConfigurationError, "it cannot be opened"),
    sqlite3.SQLITE_NOTADB: (ConfigurationError, "this file is not an SQLite database"),
    sqlite3.SQLITE_CORRUPT: (ConfigurationError, "this file is damaged; restore it from a backup"),
    sqlite3.SQLITE_READONLY: (ConfigurationError, "this user is not allowed to write to it"),
    sqlite3.SQLITE_PERM: (ConfigurationError, "this user is not allowed to open it"),
    sqlite3.SQLITE_AUTH: (ConfigurationError, "this user is not allowed to do that"),
}

#: PostgreSQL's SQLSTATEs by their beginning, the longest first
#: (https://www.postgresql.org/docs/current/errcodes-appendix.html, 2026-11).
_SQLSTATE: tuple[tuple[str, type[SmartiaJobsError], str], ...] = (
    ("25006", ConfigurationError, "it can only be read (a replica, or a read-only role)"),
    ("25P03", UnavailableError, "it ended a transaction in which nothing happened for a minute"),
    ("3D000", ConfigurationError, "there is no such database on this server"),
    ("40001", UnavailableError, "another program changed the same rows at the same moment"),
    ("40P01", UnavailableError, "another program held what this one wanted, and the reverse"),
    ("42501", ConfigurationError, "its user lacks a right (the README lists the GRANTs)"),
    ("42P01", ConfigurationError, "a table is missing"),
    ("42P07", ConfigurationError, "a table is there without its version; see smartia-jobs check"),
    ("42703", ConfigurationError, "a column is missing"),
    ("42704", ConfigurationError, "a type is missing"),
    ("3F000", ConfigurationError, "a schema is missing"),
    ("55P03", UnavailableError, "another program has locked the same rows for too long"),
    ("57014", UnavailableError, "a statement took too long, or was cancelled"),
    ("08", UnavailableError, "the connection was lost"),
    ("28", ConfigurationError, "it does not accept this user or password"),
    ("53", UnavailableError, "it has no room left (connections, memory or disk)"),
    ("57P", UnavailableError, "it is being started or stopped"),
    ("58", UnavailableError, "its machine reports an error"),
)

# A refused connection carries no SQLSTATE, only the server's words, in the server's language.
# Whatever these miss counts as "cannot be reached".
_REFUSED_WORDS = re.compile(
    r"authentication|autenticação|no password supplied|pg_hba\.conf|permission denied for"
    r"|FATAL:.*(?:does not exist|não existe|no such (?:user|database)|permissão negada)"
    r"|invalid (?:port|connection option|sslmode|integer value)|certificate|SSL was required"
    r"|is not permitted to log in",
    re.IGNORECASE | re.DOTALL,
)
#: Half of our tables are there: made without their version, or lost with it.
_OURS = re.compile(r"no such table: smartia_\w+|table smartia_\w+ already exists")
_NO_SUCH = re.compile(r"no such (?:table|column): \S+")


def explain(error: SQLAlchemyError) -> SmartiaJobsError:
    """Return the error of this program that stands for ``error``, with advice for a person.

    Returns:
        UnavailableError when running again may help, ConfigurationError when a person must
        act, SmartiaJobsError itself when only this program can be at fault. The text names
        ``DATABASE_URL`` and holds no password and no value of a row.
    """
    if not isinstance(error, DBAPIError) or error.orig is None:
        return _bug(error)
    if isinstance(error.orig, sqlite3.Error):
        return _explain_sqlite(error, error.orig)
    return _explain_postgresql(error)


def is_transient(error: SQLAlchemyError) -> bool:
    """Return whether trying again may help: busy, connection lost, deadlock, out of room."""
    return isinstance(explain(error), UnavailableError)


def is_lock_timeout(error: DBAPIError) -> bool:
    """Return whether another program's lock on a row was waited for in vain.

    Nothing of the transaction was done. (SQLite locks no rows: there, everybody waits.)
    """
    return getattr(error.orig, "sqlstate", None) == "55P03"


def _explain_sqlite(error: DBAPIError, orig: sqlite3.Error) -> SmartiaJobsError:
    ours = _OURS.search(str(orig))
    if ours:
        return ConfigurationError(
            f"smartia-jobs' own tables are not whole: {ours.group()}. Run: smartia-jobs check"
        )
    missing = _NO_SUCH.search(str(orig))
    if missing:
        return ConfigurationError(
            f"DATABASE_URL does not name a SmartIA database: {missing.group()}."
        )
    code = getattr(orig, "sqlite_errorcode", 0) & 0xFF
    if "this is a directory" in str(orig):  # which opens for reading, and then cannot be read
        code = sqlite3.SQLITE_CANTOPEN
    known = _SQLITE.get(code)
    if known is None:
        return _bug(error)
    kind, meaning = known
    return kind(f"The database in DATABASE_URL cannot be used: {meaning} ({orig}).")


def _explain_postgresql(error: DBAPIError) -> SmartiaJobsError:
    words = " ".join(str(error.orig).split())[:500]
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate is not None:
        for beginning, kind, meaning in _SQLSTATE:
            if sqlstate.startswith(beginning):
                return kind(f"The database in DATABASE_URL cannot be used: {meaning} ({words}).")
        return _bug(error)
    if _REFUSED_WORDS.search(words):
        return ConfigurationError(f"The server in DATABASE_URL refuses the connection: {words}")
    if type(error.orig).__name__ == "OperationalError" or error.connection_invalidated:
        return UnavailableError(f"The server in DATABASE_URL cannot be reached: {words}")
    return _bug(error)


def _bug(error: SQLAlchemyError) -> SmartiaJobsError:
    # Not the error's own text: it may quote values.
    return SmartiaJobsError(
        f"The database could not do what this program asked of it ({type(error).__name__})."
    )
