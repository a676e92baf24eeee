"""Many clinics: a folder with a settings file for each, which outranks the environment."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os.path import isdir  # it says no where Path's own raises
from pathlib import Path

from smartia_jobs.errors import ConfigurationError
from smartia_jobs.settings.environment import Given, gather

#: What belongs to one clinic alone: in the environment it would hold for every one of them.
_OF_ONE_CLINIC = re.compile(r"DATABASE_URL|DATABASE_URL_FILE|META_.*|CLINIC_.*")
_FILE = re.compile(r"([a-z0-9-]+)\.env")
#: Clinics share no rate: each has a number of its own at WhatsApp, whatever the tasks.
_NOT_SHARED = frozenset({"CLOUD_RUN_TASK_COUNT"})
#: So many are named before "and more" is said.
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Clinic:
    """One clinic of many.

    Attributes:
        name: its file's, without the ending.
        given: what its file and the environment say.
    """

    name: str
    given: Given


@dataclass(frozen=True, slots=True)
class Clinics:
    """What a folder holds.

    Attributes:
        all: every clinic, by name.
        warnings: what an operator should look at: files that are no clinic's, nor named by one,
            and what two clinics have in common.
    """

    all: tuple[Clinic, ...]
    warnings: tuple[str, ...]


def read_clinics(directory: Path, environ: Mapping[str, str]) -> Clinics:
    """Return the clinics of a folder: each ``NAME.env`` in it is one.

    A clinic's file outranks the environment, and its ``NAME_FILE`` paths are relative to the
    file. A file with something wrong in it is a clinic all the same, whose run will say so.

    Args:
        directory: the folder. What is hidden and folders in it are nobody's; other files get a
            warning, unless a clinic's settings name them, as the file of its token.
        environ: what all clinics share.

    Raises:
        ConfigurationError: there is no such folder or no clinic in it, or the environment has
            what must be a clinic's own.
    """
    _refuse_what_is_of_one(environ)
    shared = {name: text for name, text in environ.items() if name not in _NOT_SHARED}
    clinics, others = [], []
    for path in _files(directory):
        match = _FILE.fullmatch(path.name)
        if match is None:
            others.append(path.name)
            continue
        clinics.append(Clinic(match[1], _given(path, shared)))
    if not clinics:
        raise ConfigurationError(
            f"--clinics {directory}: there is no clinic in it. Each needs a settings file named "
            "like centro.env, in lower-case letters, digits and hyphens."
        )
    theirs = {text for clinic in clinics for text in clinic.given.texts.values()}
    unknown = [name for name in others if name not in theirs]
    warnings = [*_ignored(directory, unknown), *_doubled(clinics)]
    return Clinics(tuple(clinics), tuple(warnings))


def _files(directory: Path) -> Iterator[Path]:
    """Yield what lies in the folder, by name; a folder of its own may hold secrets.

    Where a container was to be given a clinic's file that is not there, Docker makes a folder of
    this name: that clinic is not left out without a word.
    """
    try:
        found = sorted(directory.iterdir())
    except OSError as error:
        raise ConfigurationError(
            f"--clinics {directory}: cannot be read ({error.strerror}). It must be a folder with "
            "a settings file for each clinic."
        ) from None
    for path in found:
        is_folder = isdir(path) and _FILE.fullmatch(path.name) is None
        if not path.name.startswith(".") and not is_folder:
            yield path


def _given(path: Path, shared: Mapping[str, str]) -> Given:
    given = gather(shared, env_file=Path(path.name), directory=path.parent, file_outranks=True)
    if given.was_read and not _text(given, "DATABASE_URL") + _text(given, "DATABASE_URL_FILE"):
        # The default would be one database for all of them, in whichever folder this was started.
        problem = f"{path}: DATABASE_URL is not set; each clinic of many needs its own."
        given = replace(given, problems=(*given.problems, problem))
    return given


def _refuse_what_is_of_one(environ: Mapping[str, str]) -> None:
    wrong = sorted(
        name for name, text in environ.items() if _OF_ONE_CLINIC.fullmatch(name) and text.strip()
    )
    if wrong:
        them = "it" if len(wrong) == 1 else "them"
        raise ConfigurationError(
            f"{named(wrong)} in the environment would hold for every clinic. Remove {them} there, "
            f"and set {them} in each clinic's file; nothing was done."
        )


def _ignored(directory: Path, names: Sequence[str]) -> Iterator[str]:
    if names:
        yield (
            f"Ignored in {directory}: {named(names)}. A clinic's file is named like centro.env, "
            "in lower-case letters, digits and hyphens."
        )


def _doubled(clinics: Sequence[Clinic]) -> Iterator[str]:
    """Yield what two clinics have in common and should not: a copied file, half changed."""
    for name in ("META_PHONE_NUMBER_ID", "DATABASE_URL", "PING_URL"):
        owners: dict[str, list[str]] = {}
        for clinic in clinics:
            text = _text(clinic.given, name)
            if text and "{clinic}" not in text:
                owners.setdefault(text, []).append(clinic.name)
        for names in owners.values():
            if len(names) > 1:
                advice = " Put {clinic} into it." if name == "PING_URL" else ""
                yield f"{named(names)} have the same {name}; each clinic has its own.{advice}"


def _text(given: Given, name: str) -> str:
    return given.texts.get(name, "").strip()


def named(names: Sequence[str]) -> str:
    """Return names for a person, and how many more there are than fit into a sentence."""
    more = len(names) - _MOST_NAMED
    shown = ", ".join(names[:_MOST_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown
