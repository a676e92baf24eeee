"""What is shipped: the wheel, the pinned requirements, the image and the crontab."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from smartia_jobs.cli.serve import LIBRARIES
from smartia_jobs.database import DRIVER
from smartia_jobs.errors import how_to_install
from smartia_jobs.settings.declarations import VARIABLES

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "smartia_jobs"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

# In halves, so that this file names none of them.
REGISTRY_HOSTS = [
    name + ending
    for name, ending in (
        ("pypi", ".org"),
        ("pythonhosted", ".org"),
        ("npmjs", ".org"),
        ("npmjs", ".com"),
        ("deb.debian", ".org"),
        ("archive.ubuntu", ".com"),
    )
]

# A user's crontab: five fields, then the command.
SCHEDULED = re.compile(r"^(\d+|\*/\d+) +(?:\S+ +){4}(?P<command>smartia-jobs .*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterable[zipfile.ZipFile]:
    """The package's wheel, built without a network from a copy of what it is made of."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(PACKAGE, source / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    build = "import setuptools.build_meta as backend; backend.build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (built,) = source.glob("*.whl")
    with zipfile.ZipFile(built) as opened:
        yield opened


@pytest.fixture(scope="module")
def pinned() -> dict[str, str]:
    """The lines of each requirement in requirements.txt, by its name."""
    text = (ROOT / "requirements.txt").read_text("utf-8")
    entries = re.split(r"\n(?=[a-z])", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE))
    return {canonicalize_name(entry.split("==")[0]): entry for entry in entries}


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert shipped == {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "smartia_jobs/py.typed" in shipped


def test_the_wheel_brings_the_command_and_the_license(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))

    assert "smartia-jobs = smartia_jobs.cli:main" in wheel.read(entry_points).decode()
    assert any(name.endswith("/licenses/LICENSE") for name in wheel.namelist())


def test_every_pinned_requirement_has_its_hashes_and_no_address(pinned: dict[str, str]) -> None:
    for entry in pinned.values():
        assert re.match(r"[a-z0-9-]+==[0-9.]+( ;[^\\]+)? \\\n", entry)
        assert re.search(r"^    --hash=sha256:[0-9a-f]{64}\b", entry, re.MULTILINE)
    text = (ROOT / "requirements.txt").read_text("utf-8")
    assert "make lock" in text
    assert not re.search(r"https?:|//|--(extra-)?index|--find-links", text)


def test_the_pins_keep_to_the_bounds_of_pyproject(pinned: dict[str, str]) -> None:
    project = PYPROJECT["project"]
    bounds = [*project["dependencies"], *_extras_of_the_image()]
    bounds += PYPROJECT["build-system"]["requires"]

    for bound in map(Requirement, bounds):
        pin = pinned[canonicalize_name(bound.name)].split()[0]
        assert bound.specifier.contains(pin.split("==")[1]), bound


def test_the_pins_are_complete(pinned: dict[str, str]) -> None:
    """The image resolves nothing, so what is not pinned would be missing in it."""
    ahead = [*PYPROJECT["project"]["dependencies"], *_extras_of_the_image()]
    needed: set[str] = set()
    while ahead:
        requirement = Requirement(ahead.pop())
        name = canonicalize_name(requirement.name)
        if name not in needed:
            needed.add(name)
            ahead += _requires(name, requirement.extras)

    assert needed <= pinned.keys()


def _extras_of_the_image() -> list[str]:
    """What the image has besides: PostgreSQL, and the HTTP service."""
    extras = PYPROJECT["project"]["optional-dependencies"]
    return [*extras["postgres"], *extras["http"]]


def _requires(name: str, extras: set[str]) -> list[str]:
    """The installed distribution's own requirements, those of the extras included."""
    wanted = []
    for line in distribution(name).requires or ():
        marker = Requirement(line).marker
        if not marker or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            wanted.append(line.split(";")[0])
    return wanted


def test_an_extra_is_offered_as_pyproject_has_it() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]

    assert extras["postgres"] == [DRIVER]
    assert extras["http"] == list(LIBRARIES)


def test_no_advice_names_what_no_index_holds_yet() -> None:
    texts = {path: path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    texts |= {path: path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md")}
    texts[ROOT / "README.md"] = (ROOT / "README.md").read_text("utf-8")

    naming = [
        path.name
        for path, text in texts.items()
        if re.search(r"install\s[^\n]*smartia-jobs(\[|'|==|$)", text)
    ]

    assert naming == []


@pytest.mark.parametrize(
    ("found", "begins"),
    [(True, f"{sys.executable} -m pip install 'x>1'"), (False, "uv pip install --python /")],
)
def test_what_is_missing_is_installed_where_the_program_is(
    monkeypatch: pytest.MonkeyPatch, found: bool, begins: str
) -> None:
    if not found:  # as in a tool environment of uv's
        monkeypatch.setitem(sys.modules, "pip", None)

    assert how_to_install("x>1").startswith(begins)


def test_what_builds_the_package_is_pinned_under_the_same_bound() -> None:
    assert PYPROJECT["dependency-groups"]["build"] == PYPROJECT["build-system"]["requires"]


def test_the_dockerfile_has_no_lint() -> None:
    hadolint = shutil.which("hadolint", path=sysconfig.get_path("scripts"))
    if hadolint is None:
        pytest.skip("hadolint comes with the development tools on x86-64 Linux only")

    linted = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)

    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_image_runs_the_program_itself_without_rights_and_harmlessly() -> None:
    last = dict(re.findall(r"^(USER|ENTRYPOINT|CMD) (.+)$", _dockerfile(), re.MULTILINE))

    assert int(last["USER"]) > 0
    assert json.loads(last["ENTRYPOINT"]) == ["smartia-jobs"]
    assert json.loads(last["CMD"]) == ["--help"]


def test_what_the_image_copies_is_let_into_its_build() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", _dockerfile(), re.MULTILINE)
    rules = (ROOT / ".dockerignore").read_text("utf-8").splitlines()

    assert {f"!{name}" for names in copied for name in names.split()} == {
        rule for rule in rules if rule.startswith("!")
    }
    assert "*" in rules


def _dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text("utf-8")


def test_the_crontab_schedules_each_job_at_a_minute_of_its_own() -> None:
    scheduled = list(SCHEDULED.finditer(_crontab()))

    jobs = [line["command"].split()[1] for line in scheduled]
    assert jobs == ["24h", "2h", "no-show", "replies", "calls"]
    assert len({line[1] for line in scheduled}) == len(scheduled)
    assert all("--env-file /" in line["command"] for line in scheduled)


def test_what_the_crontab_leaves_off_is_a_good_line_once_its_mark_is_taken_away() -> None:
    marked = re.findall(r"^#(\d.*)$", _crontab(), re.MULTILINE)

    hourly = next(line for line in SCHEDULED.finditer(_crontab()) if " 2h " in line["command"])

    when = {" ".join(line.split()[:5]): line.split()[6] for line in marked}
    assert when == {"5 9 * * *": "72h", "0 10-17 * * *": "24h"}
    for line, job in zip(marked, when.values(), strict=True):
        found = SCHEDULED.fullmatch(line)
        assert found is not None
        assert found["command"] == hourly["command"].replace(" 2h ", f" {job} ")


def test_the_crontab_avoids_what_cron_stumbles_over() -> None:
    crontab = _crontab()

    assert crontab.endswith("\n")
    assert "%" not in crontab
    assert re.search(r"^PATH=(/[\w./-]+:?)+$", crontab, re.MULTILINE)
    for line in crontab.splitlines():
        assert not line or line[0] == "#" or "=" in line or SCHEDULED.match(line)


def test_the_crontab_sets_nothing_that_would_outrank_the_clinics_file() -> None:
    lines = [line for line in _crontab().splitlines() if not line.startswith("#")]
    given = {name for line in lines for name in re.findall(r"(?<![\w-])([A-Za-z_]\w*)=", line)}

    assert "MAILTO" in given  # what is looked for is found
    assert given.isdisjoint(name for variable in VARIABLES for name in variable.names)


@pytest.mark.parametrize("line", range(5), ids=["24h", "2h", "no-show", "replies", "calls"])
def test_a_scheduled_job_is_logged_and_only_its_failure_is_mailed(
    line: int, tmp_path: Path
) -> None:
    command = [line["command"] for line in SCHEDULED.finditer(_crontab())][line]
    program = tmp_path / "smartia-jobs"
    program.write_text("#!/bin/sh\necho result; echo line >&2; exit $STATUS\n")
    program.chmod(0o755)
    log = tmp_path / "a log"

    mailed = [
        subprocess.run(
            ["/bin/sh", "-c", command],
            env={"PATH": f"{tmp_path}:/bin", "LOG": str(log), "STATUS": status},
            capture_output=True,
            text=True,
        ).stdout
        for status in ("0", "75")
    ]

    assert mailed[0] == ""
    assert "ended with 75" in mailed[1]
    assert log.read_text() == "result\nline\n" * 2


def _crontab() -> str:
    return (ROOT / "crontab.example").read_text("utf-8")


def test_no_file_names_the_host_of_a_package_registry() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git clone: its files cannot be told from generated ones")

    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    naming = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in paths
        if path.is_file()
        for host in REGISTRY_HOSTS
        if host.encode() in path.read_bytes()
    ]

    assert naming == []
