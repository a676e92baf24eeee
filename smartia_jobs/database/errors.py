"""What a database error means for the run: wait and try again, a person must act, or a bug."""

import re
import sqlite3

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from smartia_jobs.errors import ConfigurationError, SmartiaJobsError, UnavailableError

#: SQLite's primary result codes (https://sqlite.org/rescode.html, 2026-11): the class of
#: error each one stands for, and what to say.
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
    sqlite3.SQLITE_CONSTRAINT: (ConfigurationError, "a rule of its tables refuses a row"),
    sqlite3.SQLITE_MISMATCH: (ConfigurationError, "a value does not fit its column"),
    sqlite3.SQLITE_TOOBIG: (ConfigurationError, "a value is larger than it can store"),
}

#: What the machine lacks; the others that pass come from another program.
_OF_THE_MACHINE = {sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL}

#: PostgreSQL's SQLSTATEs by their beginning; of several the longest counts
#: (https://www.postgresql.org/docs/current/errcodes-appendix.html, 2026-11). Whatever is not here
#: (42601, a syntax error) can only be this program's fault.
_SQLSTATE: dict[str, tuple[type[SmartiaJobsError], str]] = {
    "08": (UnavailableError, "the connection was lost"),
    "09": (ConfigurationError, "a trigger in it fails"),
    "0A": (ConfigurationError, "it cannot do what is needed"),
    "22": (ConfigurationError, "a value does not fit its column or type"),
    "22P02": (ConfigurationError, "a value does not fit its type; see smartia-jobs check"),
    "23": (ConfigurationError, "a rule of its tables refuses a row"),
    "25006": (ConfigurationError, "it can only be read (a replica, or a read-only role)"),
    "25P03": (UnavailableError, "it ended a transaction in which nothing happened for a minute"),
    "25P04": (UnavailableError, "it ended a transaction that took too long"),
    "27": (ConfigurationError, "a trigger in it fails"),
    "28": (ConfigurationError, "it does not accept this user or password"),
    "2F": (ConfigurationError, "a function or trigger in it fails"),
    "38": (ConfigurationError, "a function or trigger in it fails"),
    "39": (ConfigurationError, "a function or trigger in it fails"),
    "3D000": (ConfigurationError, "there is no such database on this server"),
    "3F000": (ConfigurationError, "a schema is missing"),
    "40001": (UnavailableError, "another program changed the same rows at the same moment"),
    "40002": (ConfigurationError, "a rule of its tables refuses a row"),
    "40P01": (UnavailableError, "another program and this one waited for each other"),
    "42": (ConfigurationError, "something in it differs from SmartIA's"),
    "42501": (ConfigurationError, "its user lacks a right (docs/postgresql.md lists the GRANTs)"),
    "42703": (ConfigurationError, "a column is missing"),
    "42704": (ConfigurationError, "a type is missing"),
    "42804": (ConfigurationError, "a column is of another type than SmartIA's"),
    "42883": (ConfigurationError, "a column is of another type than SmartIA's"),
    "428C9": (ConfigurationError, "a column fills itself, so that nothing can be written to it"),
    "42P01": (ConfigurationError, "a table is missing"),
    "42P07": (ConfigurationError, "a table is there without its version; see smartia-jobs check"),
    "44": (ConfigurationError, "a view in it refuses a row"),
    "53": (UnavailableError, "it has no room left (connections, memory or disk)"),
    "54": (ConfigurationError, "a value is larger than it can store"),
    "55": (ConfigurationError, "something in it cannot be used as it is"),
    "55P03": (UnavailableError, "another program has locked the same rows for too long"),
    "57014": (UnavailableError, "a statement took too long, or was cancelled"),
    "57P": (UnavailableError, "it is being started or stopped"),
    "58": (UnavailableError, "its machine reports an error"),
    "72": (UnavailableError, "a statement took too long"),
    "HV": (ConfigurationError, "one of its tables is in another database, which fails"),
    "P0": (ConfigurationError, "a function or trigger in it refuses"),
    "XX": (ConfigurationError, "it is damaged, or has an error itself; see its log"),
}

# A refused connection carries no SQLSTATE, only the server's words, in the server's language.
# Whatever these miss counts as "cannot be reached".
_REFUSED_WORDS = re.compile(
    r"authentication|autenticação|no password supplied|pg_hba\.conf|permission denied for"
    r"|FATAL:.*(?:does not exist|não existe|no such (?:user|database)|permissão negada)"
    r"|certificate|SSL was required"
    r"|is not permitted to log in",
    re.IGNORECASE | re.DOTALL,
)
#: What libpq, psycopg, PgBouncer and the server say of the URL's arguments.
_UNKNOWN_ARGUMENT = re.compile(r"invalid connection option \"(?P<name>[^\"]*)\"")
_REFUSED_ARGUMENT = re.compile(
    r"invalid \"?\w+\"? value|invalid integer value|invalid port number|bad value for"
    r"|could not match \d+|definition of service|support is not compiled in"
    r"|invalid SSL protocol version|unrecognized configuration parameter"
    r"|unsupported startup parameter|invalid value for parameter"
)
#: Half of our tables are there: made without their version, or lost with it.
_OURS = re.compile(r"no such table: smartia_\w+|table smartia_\w+ already exists")
_NO_SUCH = re.compile(r"no such (?:table|column): \S+")
_SYNTAX_ERROR = "42601"
#: What a statement of ours is about, unless it is a function or the database's own catalogue.
_TABLE = re.compile(
    r"\b(?:INSERT INTO|UPDATE|DELETE FROM|FROM) (?!(?:sqlite|pg|pragma)_)(?P<name>[a-z_]\w*+)(?!\()"
)
#: What SmartIA adds to its own SQLite connections, and this program does not.
_BROUGHT = re.compile(r"no such (?:function|collation sequence|module): \S+")


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
    """Return whether waiting for another program's lock on a row timed out.

    Nothing of the transaction was done. (SQLite locks no rows: there, every writer waits.)
    """
    return getattr(error.orig, "sqlstate", None) == "55P03"


def why(error: SQLAlchemyError) -> str:
    """Say in a few words why a statement failed, for a log line: never with a value of a row.

    Returns:
        the SQLSTATE, or SQLite's name of the error, with the column, constraint, table or
        function that it is about.
    """
    orig = error.orig if isinstance(error, DBAPIError) else None
    if isinstance(orig, sqlite3.Error):
        return f"{getattr(orig, 'sqlite_errorname', type(orig).__name__)}: {orig}"
    sqlstate = getattr(orig, "sqlstate", None)
    return f"{sqlstate}: {_words(error)}" if sqlstate is not None else type(error).__name__


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
    brought = _BROUGHT.search(str(orig))
    if brought:
        return ConfigurationError(
            "The database in DATABASE_URL cannot be used: a table, index or trigger needs what"
            f" only SmartIA's own program has ({brought.group()})."
        )
    code = getattr(orig, "sqlite_errorcode", 0) & 0xFF
    if "this is a directory" in str(orig):  # which opens for reading, and then cannot be read
        code = sqlite3.SQLITE_CANTOPEN
    known = _SQLITE.get(code)
    if known is None:
        return _bug(error)
    look_at = (
        "its disk and memory" if code in _OF_THE_MACHINE else "the programs that have the file open"
    )
    return _unusable(*known, _words(error), look_at=look_at)


def _explain_postgresql(error: DBAPIError) -> SmartiaJobsError:
    words = _words(error)
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate is not None:
        known = next(
            (_SQLSTATE[sqlstate[:n]] for n in (5, 3, 2) if sqlstate[:n] in _SQLSTATE), None
        )
        if known is None or sqlstate == _SYNTAX_ERROR:
            return _bug(error)
        return _unusable(*known, words, look_at="the server and its log")
    if unknown := _UNKNOWN_ARGUMENT.search(words):
        return ConfigurationError(
            "DATABASE_URL has an argument that PostgreSQL's driver does not know:"
            f" {unknown['name']}. Take it out of the URL; it is meant for another program."
        )
    if _REFUSED_ARGUMENT.search(words):
        said = words.removeprefix("connection is bad: ")
        return ConfigurationError(
            f"DATABASE_URL has an argument that PostgreSQL cannot use: {said}"
        )
    if _REFUSED_WORDS.search(words):
        return ConfigurationError(f"The server in DATABASE_URL refuses the connection: {words}")
    if type(error.orig).__name__ == "OperationalError" or error.connection_invalidated:
        return UnavailableError(f"The server in DATABASE_URL cannot be reached: {words}")
    return _bug(error)


def _unusable(
    error_class: type[SmartiaJobsError], meaning: str, words: str, *, look_at: str
) -> SmartiaJobsError:
    text = f"The database in DATABASE_URL cannot be used: {meaning} ({words})."
    if error_class is UnavailableError:
        return UnavailableError(text, look_at=look_at)
    return error_class(text)


def _words(error: SQLAlchemyError) -> str:
    """Return the database's own words, whose values were removed before, and the table."""
    words = " ".join(str(getattr(error, "orig", "")).split())[:500]
    statement = getattr(error, "statement", None) or ""
    for found in _TABLE.finditer(statement):
        table = found["name"]
        if not re.search(rf"\b{table}(?:\([^)]*\))? AS \(", statement):  # the statement's own
            told = re.search(rf"\b{table}\b", words)
            return words if told else f"{words}; table {table}"
    return words


def _bug(error: SQLAlchemyError) -> SmartiaJobsError:
    orig = error.orig if isinstance(error, DBAPIError) else None
    # Only the database's own words: what a driver or SQLAlchemy says may quote values.
    its_own = isinstance(orig, sqlite3.Error) or getattr(orig, "sqlstate", None) is not None
    said = f": {_words(error)}" if its_own else ""
    return SmartiaJobsError(
        "The database could not do what this program asked of it"
        f" ({type(error).__name__}{said}). This is a bug in smartia-jobs; please report it."
    )
