"""One line of ``check``: what was looked at, its state, and what to do next."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from smartia_jobs.errors import (
    ConfigurationError,
    ExitStatus,
    InterruptedRunError,
    SmartiaJobsError,
    UnavailableError,
)

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


class Level(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    #: Everything works, but somebody should have a look.
    WARNING = "warning"
    #: A person must fix it.
    PROBLEM = "problem"
    #: The database or WhatsApp gave no answer; asking again may help.
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of one thing that was looked at.

    Attributes:
        name: what was looked at; stable, a key for programs.
        level: how serious it is.
        text: what was found, in a sentence or two.
        next_step: what to do; empty only when all is well.
        details: more lines for a person: values, ids, visits.
        bug: nothing was found, because this program itself failed.
    """

    name: str
    level: Level
    text: str
    next_step: str = ""
    details: tuple[str, ...] = ()
    bug: bool = False

    @property
    def title(self) -> str:
        """The name as a person reads it."""
        return self.name.replace("_", " ")

    def as_json(self) -> dict[str, object]:
        """Return the stable JSON object that docs/reference.md documents."""
        return {
            "name": self.name,
            "level": str(self.level),
            "text": self.text,
            "next_step": self.next_step or None,
            "details": list(self.details),
        }


def failure(name: str, error: SmartiaJobsError) -> Finding:
    """Return an error as a finding; what is wrong with a setting its text says."""
    unreachable = error.exit_status in (ExitStatus.UNAVAILABLE, ExitStatus.RETRY)
    level = Level.UNREACHABLE if unreachable else Level.PROBLEM
    is_bug = error.exit_status is ExitStatus.BUG
    step = (
        "report it with the lines of the log" if is_bug else "mend what this says, and check again"
    )
    if unreachable:
        look_at = error.look_at if isinstance(error, UnavailableError) else "the network"
        step = f"run it again; if it stays so, look at {look_at}"
    first, *others = error.problems if isinstance(error, ConfigurationError) else (str(error),)
    return Finding(
        name,
        level,
        first,
        next_step=step,
        details=tuple(others),
        bug=is_bug,
    )


def exit_status(findings: Iterable[Finding]) -> ExitStatus:
    """Return 1 for a bug, else 78 for any problem, else 69 for anything unreachable, else 0."""
    findings = tuple(findings)
    if any(finding.bug for finding in findings):
        return ExitStatus.BUG
    levels = {finding.level for finding in findings}
    if Level.PROBLEM in levels:
        return ExitStatus.CONFIGURATION
    return ExitStatus.UNAVAILABLE if Level.UNREACHABLE in levels else ExitStatus.OK


class Findings:
    """What was found so far; a question that fails becomes a finding of its own."""

    def __init__(self) -> None:
        """Begin with none."""
        self.all: list[Finding] = []

    def ask(self, name: str, question: Callable[[], _T]) -> _T | None:
        """Return the answer; when there is none, note why and return None.

        A bug of this program is noted as well, and the other questions are still asked.
        """
        # Only here, so that commands without a database do not load its library.
        from sqlalchemy.exc import SQLAlchemyError

        from smartia_jobs.database.errors import explain

        try:
            return question()
        except InterruptedRunError:
            raise
        except SmartiaJobsError as error:
            self.all.append(failure(name, error))
        except SQLAlchemyError as error:
            self.all.append(failure(name, explain(error)))
        except Exception as error:
            logger.exception("this is a bug in smartia-jobs; please report it with these lines")
            text = f"A bug in smartia-jobs ({type(error).__name__}); see the log."
            self.all.append(failure(name, SmartiaJobsError(text)))
        return None

    def look(self, name: str, question: Callable[[], Finding]) -> Finding | None:
        """Note what a question finds; return it, or None when it failed."""
        finding = self.ask(name, question)
        if finding is not None:
            self.all.append(finding)
        return finding

    @property
    def unreachable(self) -> bool:
        """Whether the last thing that was asked gave no answer."""
        return bool(self.all) and self.all[-1].level is Level.UNREACHABLE
