"""Every setting in force, and where it came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from smartia_jobs.settings import Settings
from smartia_jobs.settings.declarations import VARIABLES, describe
from smartia_jobs.settings.environment import Given
from smartia_jobs.settings.variable import Variable


class Origin(StrEnum):
    """Where the value of a setting came from."""

    DEFAULT = "default"
    #: The settings file.
    FILE = "file"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class InForce:
    """One setting in force.

    Attributes:
        name: of its variable.
        value: as it would be written, a secret masked; None: it has none.
        origin: where it came from.
        variable: which name gave it: its own, or the one of a file that holds the secret.
    """

    name: str
    value: str | None
    origin: Origin
    variable: str

    def as_json(self) -> dict[str, Any]:
        """Return the stable JSON object that docs/reference.md documents."""
        return {
            "name": self.name,
            "value": self.value,
            "from": str(self.origin),
            "secret_file": self.variable if self.variable != self.name else None,
        }


def in_force(given: Given, settings: Settings) -> Sequence[InForce]:
    """Return every setting in the order of docs/reference.md.

    Args:
        given: what the environment and the settings file said.
        settings: what that means.
    """
    values = dict(describe(settings))
    return [InForce(one.name, values[one.name], *_origin(one, given)) for one in VARIABLES]


def _origin(variable: Variable, given: Given) -> tuple[Origin, str]:
    for name in variable.names:
        if given.texts.get(name, "").strip():
            return (Origin.FILE if name in given.of_file else Origin.ENVIRONMENT), name
    return Origin.DEFAULT, variable.name
