"""One setting as it is declared: the variable, how its text is read, what it means."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from smartia_jobs.settings.readers import Reader

#: Under which key a field of the settings carries its variables.
DECLARED = "variables"


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable.

    Attributes:
        name: in the environment.
        reader: how its text is read and shown.
        meaning: for docs/reference.md, ending without a full stop.
        initial: returns the value that holds when the variable is left out.
        example: a good value, where there is no default.
        secret: never shown, and may be given as a file named by ``NAME_FILE``.
        personal: not quoted when it is wrong, because of what may stand in it.
        shared: other programs have a setting of nearly this name, so that a near miss in the
            environment may be theirs.
        platform: set by Cloud Run, not by an operator.
        field: of the settings, with a dot for a part of one.
    """

    name: str
    reader: Reader
    meaning: str
    initial: Callable[[], Any]
    example: str = ""
    secret: bool = False
    personal: bool = False
    shared: bool = False
    platform: bool = False
    field: str = ""

    @property
    def file_name(self) -> str:
        """What would name a file with the value in it; only a secret's is a setting."""
        return f"{self.name}_FILE"

    @property
    def names(self) -> tuple[str, ...]:
        """Every name in the environment by which this can be set."""
        return (self.name, self.file_name) if self.secret else (self.name,)

    @property
    def default(self) -> str:
        """The text that means the same as leaving it out; empty: none."""
        return self.shown(self.initial())

    def shown(self, value: Any) -> str:
        """Return the text that would give ``value``, without any secret; empty: not set."""
        return "" if value is None else self.reader.show(value)


def setting(
    name: str,
    reader: Reader,
    meaning: str,
    *,
    default: Any = None,
    example: str = "",
    secret: bool = False,
    personal: bool = False,
    shared: bool = False,
    platform: bool = False,
) -> Any:
    """Declare a field of the settings that one variable sets.

    Args:
        name: of the variable.
        reader: how its text is read and shown.
        meaning: for docs/reference.md, ending without a full stop.
        default: the value without the variable, or a function that returns it.
        example: see :class:`Variable`, as the rest.
        secret: also keeps the value out of ``repr``.
        personal: as there.
        shared: as there.
        platform: as there.
    """
    initial = default if callable(default) else lambda: default
    variable = Variable(
        name,
        reader,
        meaning,
        initial,
        example=example,
        secret=secret,
        personal=personal,
        shared=shared,
        platform=platform,
    )
    return field(default_factory=initial, repr=not secret, metadata={DECLARED: {"": variable}})


def setting_in_parts(default: Any, variables: Mapping[str, Variable]) -> Any:
    """Declare a field of the settings of which each part has a variable of its own.

    Args:
        default: the whole field without any of them.
        variables: by the path of their part, with a dot between its steps.
    """
    return field(default_factory=lambda: default, metadata={DECLARED: variables})
