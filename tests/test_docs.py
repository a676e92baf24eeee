"""What the guides and examples say about the program is true: commands, variables, statuses."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from smartia_jobs.cli.app import application
from smartia_jobs.cli.report_table import REASONS
from smartia_jobs.errors import ExitStatus
from smartia_jobs.report import Result
from smartia_jobs.settings.declarations import PLATFORM_VARIABLES, VARIABLES

_ROOT = Path(__file__).parents[1]
_GUIDE = _ROOT / "docs" / "guia.pt-BR.md"
_REFERENCE = _ROOT / "docs" / "referencia.pt-BR.md"
_DOCS = sorted((_ROOT / "docs").glob("*.md"))
_DEPLOY = sorted(path for path in (_ROOT / "deploy").rglob("*") if path.is_file())
_EVERYTHING = [_ROOT / "README.md", _ROOT / "crontab.example", *_DOCS, *_DEPLOY]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Where a shell would look for a command: at the beginning of a line, after what parts two
# commands, after variables set for it, after a crontab's five fields or systemd's directive.
_COMMAND = re.compile(
    r"""(?:^|[;&|(]|\$\ |ExecStart=|(?:[\d*/,-]+\s+){5})\s*
        (?:[A-Z][A-Z0-9_]*=(?:<[^>]*>|\S)*\s+)*
        (?:\S*/)?smartia-jobs[ ]+([^;&|\n]*)""",
    re.MULTILINE | re.VERBOSE,
)
_NAMES = {variable.name for variable in (*VARIABLES, *PLATFORM_VARIABLES)} | {
    variable.file_name for variable in VARIABLES if variable.secret
}
#: Words in capitals with an underscore that are no variables of ours.
_OTHER_WORDS = {
    "NAME_FILE",  # any secret's file
    "NO_SHOW",  # SmartIA's status
    "CRON_TZ",
    "REQUESTS_CA_BUNDLE",
    "JOB_COMPLETION_INDEX",  # Kubernetes
    "JOB_COMPLETIONS",  # what its manifest sets beside
}


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def code_of(path: Path) -> str:
    """Return what is code in a file: of Markdown and comments what is marked, else all.

    What a program has printed (``text``) is no code.
    """
    text = text_of(path)
    if path.suffix == ".md":
        blocks = [body for kind, body in _FENCE.findall(text) if kind != "text"]
        return "\n".join(blocks + spans(_FENCE.sub("", text)))
    lines = text.splitlines()
    said = "\n".join(line for line in lines if line.lstrip().startswith("#"))
    done = [line for line in lines if not line.lstrip().startswith("#")]
    return "\n".join(done + spans(said))


def spans(text: str) -> list[str]:
    """Return what stands between single backticks, a broken line made whole."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]


def command_lines(path: Path) -> list[str]:
    """Return the arguments of each call of the program, as they are written."""
    code = code_of(path).replace("\\\n", " ")
    return [found.strip() for found in _COMMAND.findall(code)]


def container_arguments(path: Path) -> list[str]:
    """Return the arguments that a container of the image is given: ``args: ["2h"]``."""
    if path.suffix not in {".yaml", ".yml"}:
        return []
    lists = re.findall(r"^\s*-?\s*args:\s*\[([^\]]*)\]", text_of(path), re.MULTILINE)
    # Where a script puts the words in, the tests of the script parse them.
    whole = [inside for inside in lists if "${ARGUMENTS}" not in inside]
    return [" ".join(re.findall(r"[^\s,\"']+", inside)) for inside in whole]


def instances_of(template: Path) -> list[str]:
    """Return the instances of a systemd template unit for which there is a timer."""
    timers = sorted(template.parent.glob(f"{template.stem}*.timer"))
    return [timer.stem.removeprefix(template.stem) for timer in timers]


def calls() -> Iterator[tuple[str, str]]:
    for path in _EVERYTHING:
        where = str(path.relative_to(_ROOT))
        for line in command_lines(path) + container_arguments(path):
            for instance in instances_of(path) if "%i" in line else [""]:
                yield where, line.replace("%i", instance)


def mistakes(arguments: list[str]) -> list[str]:
    """Return what the program does not know of these arguments."""
    command: Any = typer.main.get_command(application())
    rest = list(arguments)
    while rest and not rest[0].startswith("-") and hasattr(command, "commands"):
        if rest[0] not in command.commands:
            return [f"no command {rest[0]}"]
        command = command.commands[rest.pop(0)]
    options = {name: one for one in command.params for name in (*one.opts, *one.secondary_opts)}
    many = sum(100 if one.nargs < 0 else 1 for one in command.params if not hasattr(one, "is_flag"))
    wrong: list[str] = []
    job: list[str] = []
    while rest:
        word, _, value = rest.pop(0).partition("=")
        if word in {"…", "--help", "-h"}:
            continue
        if command.name == "fleet" and word not in options:
            job.append(f"{word}={value}" if value else word)
        elif not word.startswith("-"):
            many -= 1
            if many < 0:
                wrong.append(f"takes no {word}")
        elif word not in options:
            wrong.append(f"no option {word}")
        elif not options[word].is_flag and not value:
            if not rest:
                wrong.append(f"{word} without a value")
            del rest[:1]
    return wrong + (mistakes(job) if job else [])


def words_of(line: str) -> list[str]:
    """Split a line as a shell does; where it is sent to is no argument."""
    return shlex.split(re.split(r"\s\d?[<>](?![A-Za-z])", f"{line} ")[0], comments=True)


@pytest.mark.parametrize(("where", "line"), sorted(set(calls())))
def test_every_command_line_is_one_that_the_program_knows(where: str, line: str) -> None:
    wrong = mistakes(words_of(line))

    assert wrong == [], where


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("24h --dry-run --now 2026-11-23T09:00", []),
        ("opt-out add '(11) 98765-4321'", []),
        ("24h >>log 2>&1", []),
        ("48h", ["no command 48h"]),
        ("24h --dry", ["no option --dry"]),
        ("24h --limit", ["--limit without a value"]),
        ("opt-out add 1 2", ["takes no 2"]),
        ("fleet calls --clinics DIR --format html --output '{clinic}.html'", []),
        ("fleet 48h --clinics DIR --dry", ["no command 48h"]),
        ("fleet 24h --clinics DIR --dry", ["no option --dry"]),
    ],
)
def test_a_line_that_the_program_does_not_know_is_found(line: str, wrong: list[str]) -> None:
    found = mistakes(words_of(line))

    assert found == wrong


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("0 9 * * *  smartia-jobs 24h >>log || true", "24h >>log"),
        ("ExecStart=/srv/.venv/bin/smartia-jobs 2h", "2h"),
        ("ONLY_TO=<your own phone> smartia-jobs 24h", "24h"),
        ("$ smartia-jobs check && echo good", "check"),
    ],
)
def test_a_call_is_found_wherever_a_scheduler_would_find_it(text: str, arguments: str) -> None:
    (found,) = _COMMAND.findall(text)

    assert found.strip() == arguments


def test_every_command_is_shown_in_the_guide_or_its_reference() -> None:
    command: Any = typer.main.get_command(application())

    shown = {line.split()[0] for page in (_GUIDE, _REFERENCE) for line in command_lines(page)}

    assert shown >= set(command.commands)


@pytest.mark.parametrize("path", [p for p in _EVERYTHING if p not in _DEPLOY], ids=lambda p: p.name)
def test_every_variable_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", code_of(path)))

    unknown = named - _NAMES - _OTHER_WORDS

    assert unknown == set()


@pytest.mark.parametrize("path", _DEPLOY, ids=lambda p: str(p.relative_to(_ROOT)))
def test_every_variable_that_a_deployment_sets_for_the_program_exists(path: Path) -> None:
    settings = {name.split("_")[0] for name in _NAMES} - {"CLOUD"}
    given = set(
        re.findall(r"(?:name:\s*|Environment=\"?)([A-Z][A-Z0-9]*_[A-Z0-9_]+)", text_of(path))
    )

    unknown = {name for name in given if name.split("_")[0] in settings} - _NAMES

    assert unknown == set()


def test_the_guides_reference_explains_every_exit_status_and_no_other() -> None:
    (table,) = re.findall(r"^\| código \|.*?\n\n", text_of(_REFERENCE), re.MULTILINE | re.DOTALL)

    explained = [int(number) for number in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]

    assert explained == sorted(int(status) for status in ExitStatus)


def test_the_guides_reference_explains_every_line_of_a_result() -> None:
    explained = {
        term
        for cell in re.findall(r"^\| (`[^|]+`) \|", text_of(_REFERENCE), re.MULTILINE)
        for term in spans(cell)
    }

    shown = {str(result).replace("_", " ") for result in Result} | set(REASONS.values())

    assert shown | {"due", "missed", "held"} <= explained


def test_the_operations_page_tells_what_to_do_for_every_exit_status_but_success() -> None:
    operations = text_of(_ROOT / "docs" / "operations.md")

    told = {
        int(number)
        for numbers in re.findall(r"^\*\*(\d+(?:, \d+)*),", operations, re.MULTILINE)
        for number in numbers.split(", ")
    }

    assert told == {int(status) for status in ExitStatus} - {0}


def links() -> Iterator[tuple[str, str]]:
    for path in [_ROOT / "README.md", *_DOCS, *(page for page in _DEPLOY if page.suffix == ".md")]:
        for link in re.findall(r"\]\(([^)\s]+)\)", text_of(path)):
            if "://" not in link:
                yield str(path.relative_to(_ROOT)), link


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that the headings of a page get on the usual Git hosts."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "link"), sorted(set(links())))
def test_every_link_leads_somewhere(page: str, link: str) -> None:
    target, _, anchor = link.partition("#")
    path = (_ROOT / page).parent / target if target else _ROOT / page

    assert path.exists()
    assert not anchor or anchor in anchors_of(path)


@pytest.mark.parametrize("page", [_ROOT / "README.md", *_DOCS], ids=lambda p: p.name)
def test_nothing_to_type_names_a_package_registry(page: Path) -> None:
    typed = "\n".join(body for kind, body in _FENCE.findall(text_of(page)) if kind == "console")

    hosts = re.findall(r"--(?:extra-)?index-url|\bpypi\b|pythonhosted|docker\.io|ghcr\.io", typed)

    assert hosts == []


@pytest.mark.parametrize("page", [_ROOT / "README.md", *_DOCS], ids=lambda p: p.name)
def test_every_block_says_what_it_is(page: Path) -> None:
    kinds = {kind for kind, _ in _FENCE.findall(text_of(page))}

    assert kinds <= {"console", "text", "ini", "cron", "sh", "sql", "toml", "json", "yaml"}
