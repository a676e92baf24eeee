"""What a PostgreSQL session is told in each transaction, and how its values are read.

A database, a role, a pooler or the URL may have set anything. What this program relies on is
set inside each transaction, in the round trip that begins it: behind PgBouncer the next
transaction may be another server session.
"""

from typing import Any

_SETTINGS = {
    "lock_timeout": "5s",
    "statement_timeout": "30s",
    # A process that is frozen in a transaction loses it, so that its locks stop nobody else.
    "idle_in_transaction_session_timeout": "60s",
    # Keeps a naive value from meaning the server's zone.
    "TimeZone": "UTC",
    # In any other style psycopg cannot read instants.
    "DateStyle": "ISO, YMD",
    # Before version 14 a stored date is compared by the text of a double precision.
    "extra_float_digits": "1",
    # The index of appointments is found by the names of its columns.
    "quote_all_identifiers": "off",
}
# A database of encoding SQL_ASCII checks no text; asked for UTF8, it would refuse other bytes.
_ENCODING = (
    "SELECT set_config('client_encoding', CASE current_setting('server_encoding') "
    "WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END, true)"
)
# It would end a transaction of many short statements. PostgreSQL before 17 does not know it, and
# naming it is an error; a CASE asks first, in a tenth of the time of a WHERE.
_NO_TRANSACTION_TIMEOUT = (
    "SELECT CASE WHEN current_setting('server_version_num')::int >= 170000 "
    "THEN set_config('transaction_timeout', '0', true) END"
)
_SET = "; ".join(
    [
        *(f"SET LOCAL {name} = '{value}'" for name, value in _SETTINGS.items()),
        _ENCODING,
        _NO_TRANSACTION_TIMEOUT,
    ]
)

# A claim that is lost with a crash of the server would be sent twice. What an administrator
# chose among the safe ones stays.
_SAFE_COMMIT = (
    "SELECT set_config('synchronous_commit', 'on', true) "
    "WHERE current_setting('synchronous_commit') = 'off'"
)

# READ COMMITTED is what ``ON CONFLICT DO NOTHING`` claims rely on.
BEGIN_READING = f"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; {_SET}"
BEGIN_WRITING = f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {_SET}; {_SAFE_COMMIT}"

#: Types some of whose values Python cannot hold; 0 stands for SmartIA's enums.
_READ_WITH_CARE = ("text", "varchar", "bpchar", "name", "timestamptz", "timestamp", 0)


def read_with_care(connection: Any) -> None:
    """Let a psycopg connection return as text what it cannot convert, as SQLite does.

    One name in another encoding, or one date such as ``infinity``, must not cost all others
    their reminder. From SQL_ASCII psycopg makes bytes, which are decoded as UTF-8 where possible.
    """
    from psycopg.pq import Format

    adapters = connection.adapters
    for name in _READ_WITH_CARE:
        oid = name if isinstance(name, int) else adapters.types[name].oid
        adapters.register_loader(oid, _careful(adapters.get_loader(oid, Format.TEXT)))


def _careful(usual: Any) -> Any:
    """Return a psycopg loader that does as ``usual`` does, and never fails."""
    from psycopg import DataError
    from psycopg.adapt import Loader

    class Careful(Loader):
        def __init__(self, oid: int, context: Any = None) -> None:
            super().__init__(oid, context)
            self._load = usual(oid, context).load

        def load(self, data: Any) -> Any:
            try:
                value = self._load(data)
            except (UnicodeDecodeError, DataError):
                value = bytes(data)
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    return Careful
