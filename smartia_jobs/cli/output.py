"""Files that a command writes its result into: never over a database, nor over settings."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from glob import escape as glob_escape
from pathlib import Path
from typing import TYPE_CHECKING

from smartia_jobs.errors import ConfigurationError

if TYPE_CHECKING:
    from smartia_jobs.settings import Settings
    from smartia_jobs.settings.environment import Given

#: What SQLite keeps beside a database, by the end of its name.
_COMPANIONS = ("", "-journal", "-wal", "-shm")
#: Results are text, and text has no NUL; every database, and its journals, have one near the
#: beginning.
_BEGINNING = 4096
#: No settings file is longer.
_SETTINGS = 100_000
#: No write takes this long: an older part of a file was left by a process that was killed.
_ABANDONED_AFTER_S = 3600.0


def refuse_database(output: Path, database_url: str) -> None:
    """Refuse to write a result over a database: SmartIA's own, by whatever path, or another's.

    Args:
        output: where the result is to be written; it need not exist.
        database_url: SmartIA's, as the settings have it.

    Raises:
        ConfigurationError: the file is a database, or nothing that this program has written.
    """
    if database_url.startswith("sqlite"):
        from smartia_jobs.settings.database_url import sqlite_path

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


def refuse_settings(output: Path, given: "Given", settings: "Settings") -> None:
    """Refuse to write a result over settings: those in use, and any other file that sets one.

    Args:
        output: where the result is to be written; it need not exist.
        given: what this process was given, and from where.
        settings: what that means.

    Raises:
        ConfigurationError: the file holds settings, or something that a setting names.
    """
    for what, file in _in_use(given, settings):
        if _are_one(output, file):
            raise ConfigurationError(
                f"--output {output} is {what}; nothing was written. Give another file."
            )
    if name := _setting_in(output):
        raise ConfigurationError(
            f"--output {output} exists and sets {name}: a settings file; nothing was written."
            " Give another file, or remove that one yourself."
        )


def write_whole(output: Path, text: str) -> None:
    """Write a file that only this user can read, whole or not at all.

    Whoever reads it sees the old text until the new one is complete. A link is followed.

    Raises:
        ConfigurationError: it cannot be written, or is no file (a device, a pipe); the old text
            stands.
    """
    try:
        target = output.resolve()
        if target.exists() and not target.is_file():
            raise ConfigurationError(f"--output {output} is no file; nothing was written.")
        if not target.parent.exists():
            raise ConfigurationError(
                f"--output {output} cannot be written: there is no folder {target.parent}. Make it"
                f" first: mkdir -p {target.parent}"
            )
        _remove_abandoned(target)
        # With the same ending, by which a mounted bucket knows what is in it.
        beside = target.with_name(f".{target.stem}.{os.urandom(4).hex()}.part{target.suffix}")
        try:
            # Not readable by others at any moment; a mounted bucket need not know chmod.
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(text.encode("utf-8", "replace"))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or "its links lead in a ring"
        raise ConfigurationError(f"--output {output} cannot be written: {why}.") from error


def _remove_abandoned(target: Path) -> None:
    """Remove parts of this file that killed processes left behind: they hold names."""
    stem, ending = glob_escape(target.stem), glob_escape(target.suffix)
    for path in target.parent.glob(f".{stem}.*.part{ending}"):
        with suppress(OSError):  # another process removes it, or may not
            if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
                path.unlink()


def _in_use(given: "Given", settings: "Settings") -> Iterator[tuple[str, Path]]:
    """Yield the files that settings are read from, there or not, each with what it is."""
    from smartia_jobs.settings.declarations import VARIABLES

    yield "the settings file", given.file
    for variable in VARIABLES:
        if variable.secret and (named := given.texts.get(variable.file_name, "").strip()):
            yield f"the file of {variable.file_name}", given.path(variable.file_name, named)
    if settings.messages_file is not None:
        yield "the file of MESSAGES_FILE", settings.messages_file


def _setting_in(path: Path) -> str | None:
    """Return the first setting that a file gives a value, if it does."""
    from smartia_jobs.settings.declarations import VARIABLES

    names = "|".join(name for variable in VARIABLES for name in variable.names)
    setting = re.compile(rf"^\s*(?:export\s+)?({names})\s*=", re.MULTILINE)
    try:
        if not path.is_file():
            return None
        with path.open(encoding="utf-8", errors="replace") as file:
            found = setting.search(file.read(_SETTINGS))
    except OSError:  # it cannot be read: writing will say why, if it cannot be written either
        return None
    return found and found[1]


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
