"""What makes a release: GitHub's workflows, and the notes that a tag takes from the CHANGELOG."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import smartia_jobs

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CHANGELOG = """# Changelog

## [Unreleased]

- Later.

## [1.2.3] - 2026-11-23

### Added

- This.

## [1.2.30] - 2026-11-22

- Before.
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of version 1.2.3, as far as the notes are concerned."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "notes", tmp_path / ".ci")
    (tmp_path / "smartia_jobs").mkdir()
    (tmp_path / "smartia_jobs" / "__init__.py").write_text('"""It."""\n\n__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    return tmp_path


def notes(tree: Path, *tag: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tree / ".ci" / "notes", *tag], capture_output=True, text=True)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_workflow_is_one_that_github_understands(path: Path) -> None:
    assert problems(path, "vendor.github-workflows") == ""
    assert problems(path, "custom.github-workflows-require-timeout") == ""


def test_dependabot_understands_its_file() -> None:
    assert problems(ROOT / ".github" / "dependabot.yml", "vendor.dependabot") == ""


def problems(path: Path, schema: str) -> str:
    """Return what a schema that comes with check-jsonschema has to say against a file."""
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, path],
        capture_output=True,
        text=True,
    )
    return checked.stdout + checked.stderr if checked.returncode else ""


def test_the_notes_of_a_tag_are_its_section_of_the_changelog(tree: Path) -> None:
    taken = notes(tree, "v1.2.3")

    assert (taken.returncode, taken.stderr) == (0, "")
    assert taken.stdout.strip() == "### Added\n\n- This."


@pytest.mark.parametrize("tag", [(), ("v1.2.4",), ("1.2.3",), ("v1.2.3rc1",)])
def test_a_tag_of_another_version_is_no_release(tree: Path, tag: tuple[str, ...]) -> None:
    refused = notes(tree, *tag)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "version 1.2.3" in refused.stderr


def test_a_version_that_the_changelog_does_not_know_is_no_release(tree: Path) -> None:
    (tree / "CHANGELOG.md").write_text(CHANGELOG.replace("[1.2.3]", "[1.2.2]"))

    refused = notes(tree, "v1.2.3")

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "no section [1.2.3]" in refused.stderr


def test_the_notes_know_this_version() -> None:
    refused = notes(ROOT)

    assert refused.stderr.rstrip().endswith(f"has version {smartia_jobs.__version__}")


def test_the_notes_script_has_no_lint() -> None:
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert shellcheck is not None

    linted = subprocess.run([shellcheck, ROOT / ".ci" / "notes"], capture_output=True, text=True)

    assert (linted.returncode, linted.stdout) == (0, "")
