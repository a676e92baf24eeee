"""The database: its engine and transactions, its types, and what its errors mean."""

from smartia_jobs.database.engine import DRIVER, Database
from smartia_jobs.database.errors import explain, is_lock_timeout, is_transient, why
from smartia_jobs.database.statements import chunks, insert_once, lock_names, wait_for_no_lock
from smartia_jobs.database.types import NativeEnum, UtcDateTime, now_plus

# What the tables and queries need of the database comes from this one package.
__all__ = [
    "DRIVER",
    "Database",
    "NativeEnum",
    "UtcDateTime",
    "chunks",
    "explain",
    "insert_once",
    "is_lock_timeout",
    "is_transient",
    "lock_names",
    "now_plus",
    "wait_for_no_lock",
    "why",
]
