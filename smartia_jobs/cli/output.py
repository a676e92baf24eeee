"""Files that a command writes its result into: never over a database."""

from pathlib import Path

from smartia_jobs.errors import ConfigurationError
from smartia_jobs.settings.database_url import sqlite_path

#: What SQLite keeps beside a database, by the end of its name.
_COMPANIONS = ("", "-journal", "-wal", "-shm")
#: Results are text, and text has no NUL; every database, and its journals, have one near the
#: beginning.
_BEGINNING = 4096


def refuse_database(output: Path, database_url: str) -> None:
    """Refuse to write a result over a database: SmartIA's own, by whatever path, or another's.

    Args:
        output: where the result is to be written; it need not exist.
        database_url: SmartIA's, as the settings have it.

    Raises:
        ConfigurationError: the file is a database, or nothing that this program has written.
    """
    if database_url.startswith("sqlite"):
        database = sqlite_path(database_url).resolve()  # SQLite keeps them beside the file itself
        for ending in _COMPANIONS:
            if _are_one(output, database.with_name(database.name + ending)):
                raise ConfigurationError(
                    f"--output {output} is the file of DATABASE_URL, or belongs to it; nothing was"
                    " written. Give another file."
                )
    if _holds_no_text(output):
        raise ConfigurationError(
            f"--output {output} exists and holds no text: perhaps a database; nothing was written."
            " Give another file, or remove that one yourself."
        )


def _are_one(output: Path, file: Path) -> bool:
    """Whether both name one file, by links of either kind too, or would if it existed."""
    try:
        return output.resolve() == file.resolve() or output.samefile(file)
    except (OSError, RuntimeError):  # one does not exist, may not be looked at, or links in a ring
        return False


def _holds_no_text(path: Path) -> bool:
    try:
        if not path.is_file():  # nothing yet, a pipe, a device: writing says what is wrong, if any
            return False
        with path.open("rb") as file:
            return b"\0" in file.read(_BEGINNING)
    except OSError:  # it cannot be read: writing will say why, if it cannot be written either
        return False
