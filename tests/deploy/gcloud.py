"""The steps of Cloud Run's scripts, run with a gcloud that only takes notes."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.program import DEPLOY

FOLDER = DEPLOY / "cloud-run"
DIGEST = "sha256:" + "0" * 64

#: Notes its arguments, a line each and an empty line after the last, and keeps rendered files.
_GCLOUD = r"""#!/bin/sh
for word do printf '%s\n' "$word"; done >>"$LOG"
echo >>"$LOG"
keep() { for word do case $word in *.yaml) cp "$word" "$RENDERED" ;; esac; done; }
flags() {
    for word do case $word in --flags-file=*) cp "${word#*=}" "$RENDERED/flags" ;; esac; done
}
case " $* " in
*" run services describe "*) echo "https://$6.example" ;;
*" images describe "*) echo "registry.example/smartia-jobs@$DIGEST" ;;
*" describe "*) [ -n "$EXISTS" ] ;;
*" policies list "*) [ -z "$EXISTS" ] || echo policy ;;
*" jobs replace "* | *" services replace "*) keep "$@" ;;
*" versions add "*) cat >"$RENDERED/secret" ;;
*" --flags-file="*) flags "$@" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Called:
    """What a step of the script did.

    Attributes:
        calls: the arguments of each call of gcloud, without ``--project`` and ``--quiet``.
        rendered: the files it was handed.
        said: what the script printed.
    """

    calls: list[list[str]]
    rendered: dict[str, str]
    said: str

    def of(self, *words: str) -> list[list[str]]:
        """Return the calls that begin with these words."""
        return [call for call in self.calls if call[: len(words)] == list(words)]


def run(
    tmp_path: Path,
    step: str,
    *,
    exists: bool = False,
    status: int = 0,
    script: Path = FOLDER / "gcloud.sh",
    example: str = "clinic.env.example",
    said: str = "a secret\n" * 3,
    **settings: str,
) -> Called:
    """Run a step with a gcloud that only takes notes."""
    program, log, rendered = tmp_path / "gcloud", tmp_path / "log", tmp_path / "rendered"
    program.write_text(_GCLOUD)
    program.chmod(0o755)
    rendered.mkdir(exist_ok=True)
    log.write_text("")
    lines = (FOLDER / example).read_text("utf-8")
    chosen = tmp_path / "clinic.env"
    chosen.write_text(lines + "".join(f"{name}='{value}'\n" for name, value in settings.items()))
    done = subprocess.run(
        ["bash", script, step],
        env={
            "PATH": f"{tmp_path}:/usr/bin:/bin",
            "SETTINGS": str(chosen),
            "LOG": str(log),
            "RENDERED": str(rendered),
            "EXISTS": "1" if exists else "",
            "DIGEST": DIGEST,
        },
        input=said,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stderr
    calls = [call.splitlines() for call in log.read_text().split("\n\n") if call]
    assert all(call[:2] == ["--project=my-project", "--quiet"] for call in calls)
    files = {path.stem: path.read_text("utf-8") for path in rendered.iterdir()}
    return Called([call[2:] for call in calls], files, done.stdout + done.stderr)


def task(job: Any) -> Any:
    return job["spec"]["template"]["spec"]["template"]["spec"]


def container(job: Any) -> Any:
    (only,) = task(job)["containers"]
    return only
