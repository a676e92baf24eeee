"""What the process was started in and with: other programs' variables, no home, no folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import Clinic, RunCli

_ROOT = Path(__file__).resolve().parents[2]


def dry_run(clinic: Clinic, **env: str) -> dict[str, str]:
    """Return the environment of a dry run on this clinic's database."""
    return {"DATABASE_URL": clinic.url, **env}


def test_another_program_s_loglevel_stops_no_job(run_cli: RunCli, sqlite_clinic: Clinic) -> None:
    result = run_cli("24h", "--dry-run", env=dry_run(sqlite_clinic, LOGLEVEL="info"))

    assert result.exit_code == 0
    [warning] = [json.loads(line) for line in result.stderr.splitlines() if "LOGLEVEL" in line]
    assert warning["severity"] == "WARNING"
    assert warning["event"] == "settings_warning"
    assert warning["logging.googleapis.com/labels"]["job"] == "24h"


def test_what_is_wrong_is_told_in_the_form_of_log_format(run_cli: RunCli) -> None:
    env = {"SEND_RATE": "fast", "LOGLEVEL": "info", "LOG_FORMAT": "text"}

    result = run_cli("24h", env=env)

    assert result.exit_code == 78
    warning, error = result.stderr.splitlines()
    assert warning.endswith(
        "LOGLEVEL is not read; the setting's name is LOG_LEVEL. event=settings_warning"
    )
    assert error.startswith("smartia-jobs 24h: SEND_RATE is 'fast'")


def test_log_format_holds_for_errors_also_when_the_file_says_it(
    run_cli: RunCli, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("LOG_FORMAT=text\nSEND_RATE=fast\n")

    result = run_cli("24h")

    assert result.stderr.startswith("smartia-jobs 24h: SEND_RATE is 'fast'")


def run_after(
    preparation: str, *arguments: str, cwd: Path, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the program in a process that has done something to itself before."""
    program = f"{preparation}\nfrom smartia_jobs.cli import main\nraise SystemExit(main())\n"
    return subprocess.run(
        # -P: like the installed program it imports nothing from its folder. Where that was removed,
        # Python 3.13.0 fails otherwise (github.com/python/cpython/issues/130932).
        [sys.executable, "-P", "-c", program, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **env},
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


_REMOVE_FOLDER = "import os; os.rmdir(os.getcwd())"


def test_a_job_with_whole_paths_runs_in_a_folder_that_was_removed(
    sqlite_clinic: Clinic, tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()

    result = run_after(
        _REMOVE_FOLDER, "24h", "--dry-run", cwd=tmp_path / "gone", DATABASE_URL=sqlite_clinic.url
    )

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("command", [("24h", "--dry-run"), ("check", "--offline"), ("metrics",)])
def test_a_relative_path_in_a_folder_that_was_removed_is_a_wrong_setting(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()

    result = run_after(_REMOVE_FOLDER, *command, cwd=tmp_path / "gone")

    assert result.returncode == 78
    assert "DATABASE_URL is a relative path" in result.stderr + result.stdout
    assert "bug" not in result.stderr


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"LANG": "C"},
        {"LC_ALL": "POSIX"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LANG": "no_SUCH.locale", "TZ": "No/Such", "TERM": "", "COLUMNS": "-1", "HOME": "/gone"},
    ],
    ids=["nothing", "C", "POSIX", "ASCII", "nonsense"],
)
def test_a_name_with_accents_is_whole_in_any_locale(env: dict[str, str], tmp_path: Path) -> None:
    env = {**env, "CLINIC_NAME": "Clínica São José"}

    result = run_after("", "templates", "preview", "24h", "--json", cwd=tmp_path, **env)

    assert result.returncode == 0, result.stderr
    assert "Clínica São José" in json.loads(result.stdout)["previews"][0]["text"]
