"""Names that are almost a setting's: a mistyped safeguard would silently protect nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from smartia_jobs.settings.declarations import VARIABLES


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A name that is no setting, and nearly one.

    Attributes:
        advice: for the operator.
        harmless: another program's name as likely as a slip, so that a run may go on.
    """

    advice: str
    harmless: bool


def near_misses(file: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[NearMiss]:
    """Yield the names that are almost a setting's, where that setting itself is missing.

    Any other name is no mistake: SmartIA may share the file, and the environment is full
    of them. There, only underscores, case and a final S may differ, and where other programs
    have such a setting too (``LOGLEVEL``), the name may well be theirs.
    """
    given = file.keys() | environ.keys()
    ours: set[str] = set()
    missing: dict[str, str] = {}
    shared: set[str] = set()
    for variable in VARIABLES:
        ours |= {*variable.names, variable.file_name}
        if given.isdisjoint(variable.names):
            missing |= {_letters(name): name for name in variable.names}
        if variable.shared:
            shared |= set(variable.names)
    for name in sorted(given - ours):
        meant = missing.get(_letters(name))
        if meant is None and name in file:
            from difflib import get_close_matches

            close = get_close_matches(_letters(name), missing, n=1, cutoff=0.85)
            meant = missing[close[0]] if close else None
        if meant is None:
            continue
        if meant in shared and name not in file:
            yield NearMiss(f"{name} is not read; the setting's name is {meant}.", harmless=True)
        else:
            yield NearMiss(f"{name} is no setting; did you mean {meant}?", harmless=False)


def files_of_no_secret(file: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the ``NAME_FILE`` of settings that are no secret: nobody would read that file."""
    for variable in VARIABLES:
        name = variable.file_name
        if not variable.secret and (environ.get(name, "") + file.get(name, "")).strip():
            yield (
                f"{name} is no setting: only a secret can be given as a file; "
                f"set {variable.name} itself."
            )


def _letters(name: str) -> str:
    return name.upper().replace("_", "").removesuffix("S")
