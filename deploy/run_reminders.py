#!/usr/bin/env python3
"""Takes the place of SmartIA's run_reminders.py, so that an old crontab line goes on.

Copy it over the old file. The python that runs it is one in which smartia-jobs is installed.
Settings are read as ever: from the environment, and from .env in the folder it is started in.
Options and fields are the old ones, the exit statuses those of smartia-jobs.
"""

import argparse
import io
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime

try:
    from smartia_jobs.web.old_fields import OLD_NAMES, old_fields, with_old_fields
except ModuleNotFoundError:
    sys.stderr.write(
        f"run_reminders.py: smartia-jobs is not installed for {sys.executable}. Install it there, "
        "or run this script with the python of the environment that has it.\n"
    )
    sys.exit(78)


def main() -> int:
    """Run one job, print its result in the old form, return the job's exit status."""
    parser = argparse.ArgumentParser(description="Run one job of smartia-jobs.")
    parser.add_argument("--job", choices=sorted(OLD_NAMES), required=True, help="which job to run")
    parser.add_argument(
        "--output", choices=["json", "text"], default="json", help="how to print its result"
    )
    chosen = parser.parse_args()
    output, exit_code = run(chosen.job)
    at = datetime.now(UTC).astimezone()
    try:
        report = json.loads(output)
    except ValueError:
        report = {"error": "the job ended without a report; its log says why"}
    if chosen.output == "json":
        body = with_old_fields(chosen.job, report, exit_code, at=at)
        sys.stdout.write(json.dumps(body, indent=2) + "\n")
    else:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        sys.stdout.write(as_text(old_fields(chosen.job, report, exit_code, at=at)))
    return exit_code


def run(job: str) -> tuple[str, int]:
    """Return what the job printed, and its exit status; SIGTERM to us is one to it."""
    wished = False
    child: subprocess.Popen[str] | None = None

    def end(*_: object) -> None:
        nonlocal wished
        wished = True
        if child is not None:
            child.terminate()

    signal.signal(signal.SIGTERM, end)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        # A terminal's Ctrl-C reaches the job by itself; from us it would be the second.
        signal.signal(signal.SIGINT, lambda *_: None)
    child = subprocess.Popen(
        [sys.executable, "-m", "smartia_jobs", job, "--json"],
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    if wished:  # while it was being started
        child.terminate()
    output, _ = child.communicate()
    status = child.returncode
    return output, status if status >= 0 else 128 - status


def as_text(fields: dict[str, object]) -> str:
    """Return the result as the old script printed it for a person."""
    lines = [f"Job: {fields.pop('job')}", f"Timestamp: {fields.pop('timestamp')}"]
    lines.append("Status: SUCCESS" if fields.pop("success") else "Status: FAILED")
    if "error" in fields:
        lines.append(f"Error: {fields.pop('error')}")
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
