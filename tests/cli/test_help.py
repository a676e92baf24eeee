"""``--help`` of every command, and completion in every shell that Typer knows."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from smartia_jobs.appointment import AppointmentStatus
from smartia_jobs.cli.app import application
from tests.deploy.program import NAMES, parse

_ROOT = Path(__file__).resolve().parents[2]


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every group and command that is registered, with the words that lead to it."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


ALL = dict(commands(typer.main.get_command(application())))


def shown(path: tuple[str, ...], columns: int = 80) -> str:
    return shown_by(application(), path, columns)


def shown_by(program: typer.Typer, path: tuple[str, ...], columns: int = 80) -> str:
    result = CliRunner().invoke(
        program,
        [*path, "--help"],
        env={"COLUMNS": str(columns), "TERM": "dumb"},
        prog_name="smartia-jobs",
    )
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("path", ALL, ids=lambda path: " ".join(path) or "smartia-jobs")
def test_help_fits_80_columns_and_cuts_nothing(path: tuple[str, ...]) -> None:
    text = shown(path)

    assert max(len(line) for line in text.splitlines()) <= 80
    assert set(getattr(ALL[path], "commands", ())) <= set(re.findall(r"^│ ([\w-]+) ", text, re.M))
    for parameter in ALL[path].params:
        if not parameter.hidden and parameter.param_type_name == "option":
            assert set(parameter.opts) <= set(re.findall(r"-[-\w]+", text))


@pytest.mark.parametrize("name", [path[0] for path in ALL if len(path) == 1])
def test_a_command_that_is_loaded_alone_is_the_same_as_among_all(name: str) -> None:
    assert shown_by(application([name]), (name,)) == shown((name,))


@pytest.mark.parametrize("path", ALL, ids=lambda path: " ".join(path) or "smartia-jobs")
def test_every_command_and_option_says_what_it_is_for(path: tuple[str, ...]) -> None:
    command = ALL[path]

    assert command.help
    for parameter in command.params:
        assert parameter.help, parameter.name


@pytest.mark.parametrize("path", [path for path in ALL if path], ids=" ".join)
def test_every_command_and_group_has_an_example_that_the_program_understands(
    path: tuple[str, ...],
) -> None:
    examples = re.findall(r"Example: smartia-jobs (.+?)[ │]*$", shown(path), re.MULTILINE)

    assert examples
    told = {parse(shlex.split(example.partition(" | ")[0])) for example in examples}
    # What follows is a command of a group, or the job of a fleet.
    assert all(f"{one} ".startswith(f"{' '.join(path)} ") for one in told)


@pytest.mark.parametrize("path", ALL, ids=lambda path: " ".join(path) or "smartia-jobs")
def test_a_variable_that_help_names_exists(path: tuple[str, ...]) -> None:
    named = set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z0-9]+)+\b", shown(path)))

    assert named <= NAMES | set(AppointmentStatus)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_where_the_shell_looks_for_it(shell: str, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    program = tools / "smartia-jobs"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m smartia_jobs "$@"\n')
    program.chmod(0o755)
    env = {
        "PATH": f"{tools}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(_ROOT),
        # Typer asks which shell started it; a test must say it instead.
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }

    done = subprocess.run(
        ["smartia-jobs", "--install-completion", shell],
        env=env,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert f"{shell} completion installed in" in done.stdout
    (script,) = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and "_SMARTIA_JOBS_COMPLETE" in path.read_text("utf-8", "replace")
    ]
    assert not script.is_relative_to(tools)
    interpreter = shutil.which(shell)
    if interpreter is not None:
        subprocess.run([interpreter, "-n", script], check=True)
    if shell == "bash":
        assert interpreter is not None
        asked = subprocess.run(
            [
                interpreter,
                "-c",
                f"source {shlex.quote(str(script))}; COMP_WORDS=(smartia-jobs no-); COMP_CWORD=1;"
                ' _smartia_jobs_completion smartia-jobs; echo "${COMPREPLY[@]}"',
            ],
            env=env,
            capture_output=True,
            text=True,
        )
        assert asked.stdout.split() == ["no-show"]
