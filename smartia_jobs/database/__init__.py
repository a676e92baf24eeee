"""The database: its engine and transactions, its types; ``errors`` says what its errors mean."""

from smartia_jobs.database.engine import DRIVER, Database
from smartia_jobs.database.statements import (
    any_of,
    chunks,
    insert_once,
    lock_names,
    wait_for_no_lock,
)
from smartia_jobs.database.types import NativeEnum, UtcDateTime, now_plus

# What the tables and queries need of the database comes from this one package. What its errors
# mean does not: a run rarely meets one.
__all__ = [
    "DRIVER",
    "Database",
    "NativeEnum",
    "UtcDateTime",
    "any_of",
    "chunks",
    "insert_once",
    "lock_names",
    "now_plus",
    "wait_for_no_lock",
]
