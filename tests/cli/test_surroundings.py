"""What the process was started in and with: other programs' variables, no home, no folder."""

import json
from pathlib import Path

from tests.support import Clinic, RunCli


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
