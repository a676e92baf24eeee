"""The Dockerfile's own steps, executed without a Docker engine (``make test-image``).

A copy of this machine's Python stands for the base image: like the official ones it comes
without bytecode. The steps' paths lead into a folder, and ``useradd`` only takes a note.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.image,
    pytest.mark.skipif(sys.platform != "linux", reason="the image is Linux"),
]

ROOT = Path(__file__).resolve().parents[2]
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(slots=True)
class Stage:
    """One stage of the Dockerfile: its instructions in order, continued lines joined."""

    instructions: list[tuple[str, str]] = field(default_factory=list)

    def of(self, name: str) -> list[str]:
        """Return what stands behind each instruction of this name."""
        return [rest for instruction, rest in self.instructions if instruction == name]


def stages() -> list[Stage]:
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append(Stage())
        elif name and found:
            found[-1].instructions.append((name, rest))
    return found


@dataclass(frozen=True, slots=True)
class Image:
    """What the steps have made.

    Attributes:
        folder: stands for ``/``.
        uid: the user the program runs as.
        environment: of every process in it.
    """

    folder: Path
    uid: int
    environment: dict[str, str]

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the image's user, in its environment."""
        # Who is not root cannot become somebody else, and has no rights here either.
        other = ("setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups")
        return subprocess.run(
            [*(other if os.geteuid() == 0 else ()), *command],
            env=self.environment | more,
            cwd=self.folder / "data",
            capture_output=True,
            text=True,
            timeout=120,
        )

    def entrypoint(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Start the container, with arguments or with the image's own."""
        last = stages()[-1]
        (entrypoint,), (usual,) = last.of("ENTRYPOINT"), last.of("CMD")
        return self.run(*json.loads(entrypoint), *(arguments or json.loads(usual)))


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    # Not pytest's own folder, which no other user can enter.
    with tempfile.TemporaryDirectory(prefix="smartia-image-") as made:
        Path(made).chmod(0o755)
        yield _build(Path(made))
        subprocess.run(["chmod", "-R", "u+w", made], check=True)


def _build(folder: Path) -> Image:
    base = _copy_python(folder / "usr" / "local")
    tools = _tools(folder)
    environment = {
        "PATH": f"{tools}:/usr/bin:/bin",
        "PYTHONHOME": str(base),
        "LD_LIBRARY_PATH": str(base / "lib"),
        **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
    }
    for stage in stages():
        _execute(stage, folder, environment)
    last = stages()[-1]
    (user,), (settings,) = last.of("USER"), last.of("ENV")
    for setting in shlex.split(settings):
        name, _, value = setting.partition("=")
        environment[name] = value.replace("$PATH", environment["PATH"])
        environment[name] = environment[name].replace("/opt/", f"{folder}/opt/")
    environment = {n: v for n, v in environment.items() if not n.startswith("PIP_")}
    environment["TMPDIR"] = str(folder / "tmp")
    (folder / "data").mkdir(exist_ok=True)
    (folder / "tmp").mkdir(mode=0o777)
    (folder / "tmp").chmod(0o777)
    for tree in ("opt", "usr", "data"):
        subprocess.run(["chmod", "-R", "a-w,a+rX", folder / tree], check=True)
    return Image(folder, int(user), environment)


def _copy_python(prefix: Path) -> Path:
    """Copy this interpreter and its standard library, without bytecode."""
    (prefix / "bin").mkdir(parents=True)
    library = prefix / "lib" / _VERSION
    executable = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    shutil.copy(executable, prefix / "bin" / "python")
    left_out = shutil.ignore_patterns(
        "__pycache__", "test", "tests", "idlelib", "turtledemo", "site-packages", "dist-packages",
        "config-*",
    )  # fmt: skip
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=left_out, symlinks=False)
    (library / "site-packages").mkdir()
    for shared in Path(sysconfig.get_config_var("LIBDIR") or "/nonexistent").glob("libpython*.so*"):
        shutil.copy(shared, prefix / "lib")
    return prefix


def _tools(folder: Path) -> Path:
    """Put ``python``, ``pip`` and a ``useradd`` that takes a note into a folder for PATH."""
    tools = folder / "tools"
    tools.mkdir()
    tool = {
        "python": f'exec {folder}/usr/local/bin/python "$@"',
        "pip": f'unset PYTHONHOME LD_LIBRARY_PATH; exec {sys.executable} -m pip "$@"',
        "useradd": f'echo "$@" >{folder}/useradd',
    }
    for name, script in tool.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    return tools


def _execute(stage: Stage, folder: Path, environment: dict[str, str]) -> None:
    """Execute the steps of a stage in their order."""
    work = folder
    for name, rest in stage.instructions:
        if name == "WORKDIR":
            work = folder / rest.lstrip("/")
            work.mkdir(parents=True, exist_ok=True)
        elif name == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.split()
            for source in sources:
                _copy(ROOT / source, (work / target).resolve())
        elif name == "RUN":
            script = rest.replace("/opt/", f"{folder}/opt/")
            done = subprocess.run(
                ["/bin/sh", "-c", script], cwd=work, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def test_the_image_has_the_program_and_what_it_needs_and_nothing_else(image: Image) -> None:
    (packages,) = image.folder.glob("opt/smartia-jobs/lib/python3.*/site-packages")
    pinned = (ROOT / "requirements.txt").read_text("utf-8")
    names = {name.replace("-", "_").lower() for name in re.findall(r"^([\w-]+)==", pinned, re.M)}

    installed = {
        path.name.split("-")[0].replace("-", "_").lower() for path in packages.glob("*.dist-info")
    }

    assert "smartia_jobs" in installed
    assert installed - {"smartia_jobs"} <= names
    assert "setuptools" not in installed
    assert not list(image.folder.glob("opt/smartia-jobs/bin/pip*"))


def test_without_a_command_it_explains_itself(image: Image) -> None:
    result = image.entrypoint()

    assert (result.returncode, result.stderr) == (0, "")
    assert "Usage: smartia-jobs" in result.stdout


def test_a_whole_clinic_s_day_runs_unprivileged_on_a_read_only_tree(image: Image) -> None:
    before = _files(image.folder / "opt") | _files(image.folder / "usr")
    who = image.run("id", "-u").stdout.strip()
    attempt = image.run("touch", str(image.folder / "opt" / "smartia-jobs" / "x"))

    result = image.entrypoint("demo")

    assert result.returncode == 0, result.stderr
    assert "nobody got one twice" in result.stdout
    assert who == (str(image.uid) if os.geteuid() == 0 else str(os.geteuid())) != "0"
    assert attempt.returncode != 0
    assert _files(image.folder / "opt") | _files(image.folder / "usr") == before
    assert list((image.folder / "tmp").iterdir()) == []


def test_the_http_service_listens_from_the_image(image: Image) -> None:
    environment = image.environment | {
        "DATABASE_URL": "postgresql://nobody@/nothing?host=/nowhere",
        "STORED_TIMES": "wall",
        "META_VERIFY_TOKEN": "a-word",
        "META_APP_SECRET": "a-made-up-secret",
        "META_PHONE_NUMBER_ID": "106540352242922",
    }
    (packages,) = image.folder.glob("opt/smartia-jobs/bin")

    with subprocess.Popen(
        [packages / "smartia-jobs", "serve", "--port", "0"],
        env=environment,
        cwd=image.folder / "data",
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()

    assert line.startswith("Listening on http://127.0.0.1:")
    assert "POST /webhook" in line


def test_the_user_has_no_home_and_no_shell(image: Image) -> None:
    words = (image.folder / "useradd").read_text().split()

    assert words[-1] == "smartia"
    assert {"--no-create-home", "/usr/sbin/nologin", str(image.uid)} <= set(words)


def test_every_module_has_its_bytecode(image: Image) -> None:
    sources = [
        path
        for tree in ("opt/smartia-jobs/lib", "usr/local/lib")
        for path in (image.folder / tree).rglob("*.py")
        if "ensurepip" not in path.parts
    ]

    bare = [
        path
        for path in sources
        if not list(path.parent.glob(f"__pycache__/{path.stem}.cpython-*.pyc"))
    ]

    # lib2to3 and the like bring files that are no Python of this version on purpose.
    assert len(sources) > 1000
    assert len(bare) < 20, bare


def test_bytecode_makes_it_start_faster(image: Image, capsys: pytest.CaptureFixture[str]) -> None:
    with_s = min(_start(image) for _ in range(5))
    without_s = min(_start(image, PYTHONPYCACHEPREFIX="/nonexistent") for _ in range(3))

    with capsys.disabled():
        print(  # noqa: T201 - the figure is what the step is for
            f"\nstart of `smartia-jobs 24h --help`: {with_s:.2f} s with bytecode,"
            f" {without_s:.2f} s without: {without_s / with_s:.1f} times as long"
        )
    assert without_s > with_s


def _start(image: Image, **more: str) -> float:
    began_s = time.perf_counter()
    result = image.run("smartia-jobs", "24h", "--help", **more)
    assert result.returncode == 0, result.stderr
    return time.perf_counter() - began_s


def _files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))
