"""The real program as a process of its own, in an environment that holds only what is given."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class CliResult:
    """What a finished command left behind."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON value it must be."""
        return json.loads(self.stdout)


class RunCli(Protocol):
    """The ``run_cli`` fixture: run the program to its end."""

    def __call__(
        self, *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 60
    ) -> CliResult:
        """Run ``smartia-jobs ARGUMENTS`` with only these variables (and PATH)."""
        ...


class StartCli(Protocol):
    """The ``start_cli`` fixture: start the program and go on; it is ended with the test."""

    def __call__(
        self, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start ``smartia-jobs ARGUMENTS`` with only these variables (and PATH)."""
        ...


def surroundings(env: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a process that is given these variables.

    Beside a sandbox the database is named as a copy: those of the tests are nobody's.
    """
    sandbox = "://127.0.0.1:" in env.get("META_API_URL", "")
    copy = {"DATABASE_IS_A_COPY": "1"} if sandbox else {}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **copy, **env}


def start(arguments: tuple[str, ...], env: Mapping[str, str], cwd: Path) -> subprocess.Popen[str]:
    """Start the program of this source tree, whatever is installed."""
    return subprocess.Popen(
        [sys.executable, "-m", "smartia_jobs", *arguments],
        env=surroundings(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
