"""Loading before the forks: it leaves nothing but modules, and a fleet goes on without it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_PROGRAM = """
import json, os, sys, tempfile, threading
from functools import partial
from smartia_jobs.cli.fleet import _work
from smartia_jobs.fleet.warm_up import warm_up

tempfile.tempdir = sys.argv[1]
warm_up([], partial(_work, ["24h"]), migrates=False)
print(json.dumps({
    "job": "smartia_jobs.jobs.reminders" in sys.modules,
    "client": "smartia_jobs.whatsapp.client" in sys.modules,
    "migrations": "alembic" in sys.modules,
    "threads": threading.active_count(),
    "files": [number for number in range(3, 64) if os.path.exists(f"/proc/self/fd/{number}")],
}))
"""


def warmed_up(folder: Path) -> Any:
    """Warm up in a process of its own, with this folder for temporary files."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(folder)],
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_nothing_is_left_of_it_but_what_is_loaded(tmp_path: Path) -> None:
    left = warmed_up(tmp_path)

    assert left == {"job": True, "client": True, "migrations": False, "threads": 1, "files": []}
    assert list(tmp_path.iterdir()) == []


def test_without_room_for_its_database_only_the_libraries_are_loaded(tmp_path: Path) -> None:
    left = warmed_up(tmp_path / "nowhere")

    assert left == {"job": False, "client": True, "migrations": False, "threads": 1, "files": []}
