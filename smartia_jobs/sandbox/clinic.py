"""A made-up clinic: SmartIA's tables in a new SQLite file."""

import sqlite3
from importlib import resources
from pathlib import Path
from typing import Literal


def smartia_schema(dialect: Literal["sqlite", "postgresql"]) -> str:
    """Return the statements that create SmartIA's four tables, as SmartIA itself would."""
    folder = resources.files("smartia_jobs.sandbox")
    return folder.joinpath(f"smartia_{dialect}.sql").read_text(encoding="utf-8")


def create_smartia_file(path: Path) -> None:
    """Create a SmartIA database file without a row."""
    connection = sqlite3.connect(path)
    connection.executescript(f"BEGIN; {smartia_schema('sqlite')} COMMIT;")
    connection.close()
