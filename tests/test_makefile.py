"""The Makefile on machines with this or that Python, played by small stand-ins for it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Answers the questions the Makefile asks an interpreter, and notes what else it is told to do.
INTERPRETER = """#!/bin/sh
case "$*" in
*'version_info < (3, 11)'*) exit {too_old} ;;
*ensurepip.version*) exit {no_venv} ;;
*version_info*) echo 3.12 ;;
'-m venv --clear .venv')
    rm -rf .venv
    mkdir -p .venv/bin
    cp "$0" .venv/bin/python
    program=.venv/bin/smartia-jobs
    printf '#!/bin/sh\\necho "demo ${{PYTHONDONTWRITEBYTECODE-with bytecode}}"' >$program
    chmod +x $program ;;
'-m pip install'*)
    echo "$*" >>installed
    test ! -e no-network ;;
esac
"""

# What pyenv leaves in PATH for a version that is not the chosen one.
SHIM = """#!/bin/sh
echo "pyenv: $0: command not found" >&2
exit 127
"""


class Machine:
    """A folder with the Makefile in it, and a PATH with nothing but a shell's tools."""

    def __init__(self, folder: Path, bin: Path) -> None:
        self.folder = folder
        self.bin = bin
        folder.mkdir()
        bin.mkdir()
        shutil.copy(ROOT / "Makefile", folder)
        (folder / "pyproject.toml").touch()
        for tool in ("awk", "cat", "chmod", "cp", "echo", "mkdir", "rm"):
            (bin / tool).symlink_to(shutil.which(tool) or pytest.skip(f"no {tool} here"))

    def has(self, name: str, *, too_old: bool = False, no_venv: bool = False) -> None:
        """Put an interpreter into PATH."""
        self.has_script(name, INTERPRETER.format(too_old=int(too_old), no_venv=int(no_venv)))

    def has_script(self, name: str, script: str) -> None:
        """Put a program into PATH."""
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run make in the folder, in an environment that forbids bytecode."""
        return subprocess.run(
            [shutil.which("make") or pytest.skip("no make here"), *arguments],
            cwd=self.folder,
            env={"PATH": str(self.bin), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def installed(self) -> list[str]:
        """What pip was told to install since the last look, one entry a call."""
        noted = self.folder / "installed"
        lines = noted.read_text().splitlines() if noted.exists() else []
        noted.unlink(missing_ok=True)
        return [line.split("--editable ")[1] for line in lines]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "smartia jobs", tmp_path / "bin")


def test_make_alone_lists_the_targets_and_installs_nothing(machine: Machine) -> None:
    listed = machine.make()

    assert listed.returncode == 0
    assert re.findall(r"^  make ([a-z-]+)", listed.stdout, re.MULTILINE) == [
        "help", "demo", "test", "test-long", "test-image", "check", "dist", "bench", "pictures",
        "lock", "clean",
    ]  # fmt: skip
    assert not (machine.folder / ".venv").exists()


def test_without_python_make_says_what_to_install(machine: Machine) -> None:
    made = machine.make("demo")

    assert made.returncode != 0
    assert "needs Python 3.11 or newer" in made.stderr
    assert "sudo apt install python3 python3-venv" in made.stderr
    assert not (machine.folder / ".venv").exists()


def test_a_python_that_is_too_old_is_none(machine: Machine) -> None:
    machine.has("python3", too_old=True)

    made = machine.make("test")

    assert made.returncode != 0
    assert "needs Python 3.11 or newer" in made.stderr


def test_without_the_venv_module_make_names_its_package(machine: Machine) -> None:
    machine.has("python3", no_venv=True)

    made = machine.make("demo")

    assert made.returncode != 0
    assert "python3 is Python 3.12, but without its venv module" in made.stderr
    assert "sudo apt install python3.12-venv" in made.stderr


def test_an_interpreter_with_venv_is_preferred_to_a_newer_one_without(machine: Machine) -> None:
    machine.has("python3.13", no_venv=True)
    machine.has("python3.12")

    assert "Making .venv with python3.12\n" in machine.make("demo").stdout


def test_the_newest_interpreter_is_taken(machine: Machine) -> None:
    machine.has("python3")
    machine.has("python3.11")
    machine.has("python3.14")

    assert "Making .venv with python3.14\n" in machine.make("demo").stdout


def test_a_shim_of_an_absent_version_is_passed_over(machine: Machine) -> None:
    machine.has_script("python3.13", SHIM)
    machine.has("python3")

    made = machine.make("demo")

    assert made.returncode == 0
    assert "Making .venv with python3\n" in made.stdout
    assert made.stderr == ""


def test_a_named_interpreter_is_the_one_that_is_used(machine: Machine) -> None:
    machine.has("python3")
    machine.has("my python")

    made = machine.make("demo", f"PYTHON={machine.bin / 'my python'}")

    assert f"Making .venv with {machine.bin / 'my python'}\n" in made.stdout


def test_the_demo_needs_no_development_tools(machine: Machine) -> None:
    machine.has("python3")

    made = machine.make("demo")

    assert made.returncode == 0
    assert machine.installed() == ["."]


def test_the_demo_may_keep_its_bytecode_whatever_the_environment_says(machine: Machine) -> None:
    machine.has("python3")

    assert "demo with bytecode" in machine.make("demo").stdout


def test_the_tests_bring_their_tools_to_what_the_demo_left(machine: Machine) -> None:
    machine.has("python3")
    machine.make("demo")
    machine.installed()

    made = machine.make("test")

    assert "Making" not in made.stdout
    assert machine.installed() == [".[dev]"]


def test_what_is_installed_is_not_installed_again(machine: Machine) -> None:
    machine.has("python3")
    machine.make("test")
    machine.installed()

    machine.make("demo", "test")

    assert machine.installed() == []


def test_a_changed_pyproject_is_installed_into_the_same_environment(machine: Machine) -> None:
    machine.has("python3")
    machine.make("demo")
    stamp = (machine.folder / ".venv/.runtime").stat().st_mtime
    os.utime(machine.folder / "pyproject.toml", (stamp + 5, stamp + 5))
    machine.installed()

    made = machine.make("demo")

    assert "Making" not in made.stdout
    assert machine.installed() == ["."]


def test_an_interrupted_installation_is_begun_again(machine: Machine) -> None:
    machine.has("python3")
    (machine.folder / "no-network").touch()
    failed = machine.make("demo")
    (machine.folder / "no-network").unlink()
    leftover = machine.folder / ".venv/leftover"
    leftover.touch()

    made = machine.make("demo")

    assert failed.returncode != 0
    assert made.returncode == 0
    assert not leftover.exists()


def test_an_environment_that_came_with_a_copied_folder_is_made_again(machine: Machine) -> None:
    machine.has("python3")
    machine.make("demo")
    machine.folder = machine.folder.rename(machine.folder.with_name("copied"))

    assert "Making .venv with python3\n" in machine.make("demo").stdout


def test_an_environment_without_its_interpreter_is_made_again(machine: Machine) -> None:
    machine.has("python3")
    machine.make("test")
    (machine.folder / ".venv/bin/python").unlink()

    assert "Making .venv with python3\n" in machine.make("test").stdout


def test_nothing_in_the_makefile_is_newer_than_make_3_81() -> None:
    newer = r"\.ONESHELL|\.SHELLFLAGS|\.RECIPEPREFIX|\$\(file |&:|!=|::=|^undefine|^define \S+ *="

    assert re.findall(newer, (ROOT / "Makefile").read_text(), re.MULTILINE) == []
