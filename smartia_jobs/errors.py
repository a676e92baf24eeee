"""The errors that end a run, each with the exit status it stands for.

A problem with one message is a value (an outcome); only a problem with the whole run is
an exception. The command line turns these into one or two lines of advice and the status.
"""

import sys
from collections.abc import Sequence
from enum import IntEnum


class ExitStatus(IntEnum):
    """What a run tells its scheduler (BSD's sysexits.h where it has a word for it)."""

    #: Done; single unreachable or unknown patients included.
    OK = 0
    #: A bug in this program.
    BUG = 1
    #: Wrong usage of the command line.
    USAGE = 2
    #: Many patients could not be reached.
    UNREACHED = 65
    #: The database or WhatsApp cannot be reached; running again may help.
    UNAVAILABLE = 69
    #: Some messages are left to retry; running again helps.
    RETRY = 75
    #: WhatsApp refuses the token, the number or the account; a person must act.
    REFUSED = 77
    #: A setting, a template or the schema is wrong, or NO_SHOW_BRAKE stopped it; a person must act.
    CONFIGURATION = 78
    #: Interrupted from the keyboard; state recorded.
    INTERRUPTED = 130
    #: Ended by SIGTERM; state recorded.
    TERMINATED = 143


#: Where several statuses apply to one run, the first of these wins.
PRECEDENCE = (
    ExitStatus.BUG,
    ExitStatus.INTERRUPTED,
    ExitStatus.TERMINATED,
    ExitStatus.REFUSED,
    ExitStatus.CONFIGURATION,
    ExitStatus.UNAVAILABLE,
    ExitStatus.RETRY,
    ExitStatus.UNREACHED,
    ExitStatus.OK,
)


class SmartiaJobsError(Exception):
    """The root of this program's errors; its text is fit for an operator's eyes.

    The text says what happened, which setting or id, and what to do next. It never holds
    a name, a phone number, a message text or a secret.
    """

    exit_status = ExitStatus.BUG


class ConfigurationError(SmartiaJobsError):
    """One or more settings, the catalogue or the schema are wrong; nothing was done."""

    exit_status = ExitStatus.CONFIGURATION

    def __init__(self, problems: str | Sequence[str]) -> None:
        """Keep every problem, so that a person can correct them all at once."""
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class UsageError(SmartiaJobsError):
    """The command line names something impossible, or that does not exist."""

    exit_status = ExitStatus.USAGE


class UnavailableError(SmartiaJobsError):
    """The database or WhatsApp cannot be reached; running again may help."""

    exit_status = ExitStatus.UNAVAILABLE

    def __init__(self, text: str, *, look_at: str = "the network") -> None:
        """Keep where a person looks when running again does not help."""
        self.look_at = look_at
        super().__init__(text)


class RefusedError(SmartiaJobsError):
    """WhatsApp refuses the token, the number or the account; a person must act."""

    exit_status = ExitStatus.REFUSED


class InterruptedRunError(SmartiaJobsError):
    """A signal arrived outside the sending loop, or a second one arrived inside."""

    def __init__(self, exit_status: ExitStatus, *, sending: bool = False) -> None:
        """Remember which signal it was by its status (130 or 143), and what it cut short."""
        self.exit_status = exit_status
        super().__init__(
            "Interrupted while messages were being sent: one that is in flight becomes unknown "
            "when its lease ends; see smartia-jobs outbox."
            if sending
            else "Interrupted; nothing was being sent."
        )


def how_to_install(*requirements: str) -> str:
    """Return the command that adds libraries to where this program is installed.

    Its own interpreter says where that is; a tool environment of uv's has no pip.
    """
    from importlib.util import find_spec

    wanted = " ".join(f"'{one}'" for one in requirements)
    if find_spec("pip") is None:
        return f"uv pip install --python {sys.executable} {wanted}"
    return f"{sys.executable} -m pip install {wanted}"
