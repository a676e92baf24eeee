"""A title stands above its table, whole, on a terminal of 80 columns."""

import ast
import re
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

import smartia_jobs
from smartia_jobs.cli.titled import print_titled
from tests.support import Clinic
from tests.support.terminal import run_on_terminal


@pytest.mark.parametrize("options", ["replies", "replies --dry-run", "no-show", "24h --dry-run"])
def test_a_title_stands_on_one_line_however_narrow_its_table(
    sqlite_clinic: Clinic, tmp_path: Path, options: str
) -> None:
    job, *more = options.split()
    env = {
        "DATABASE_URL": sqlite_clinic.url,
        "META_ACCESS_TOKEN": "any-token",
        "META_PHONE_NUMBER_ID": "106540352242922",
        "META_API_URL": "http://127.0.0.1:1",
    }

    shown = run_on_terminal(job, *more, env=env, cwd=tmp_path, stdout_too=True)

    assert shown.exit_code == 0, shown.screen
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.screen).splitlines()
    (above,) = [number for number, line in enumerate(lines) if line.startswith("╭")]
    dry = r" \(dry run\)" if more else ""
    when = r"\w{3} \d\d \w{3} \d{4}, \d\d:\d\d"
    assert re.fullmatch(rf"{job}{dry} · {when} · America/Sao_Paulo", lines[above - 1])


def test_brackets_in_a_title_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table()
    table.add_row("narrow")

    print_titled(Console(width=80), "templates of [/red] a clinic · pt_BR", table)

    assert capsys.readouterr().out.startswith("templates of [/red] a clinic · pt_BR\n")


def test_no_table_has_a_title_of_its_own_which_it_would_break() -> None:
    titled = [
        f"{path.name}:{call.lineno}"
        for path in Path(smartia_jobs.__file__).parent.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "Table"
        and any(keyword.arg == "title" for keyword in call.keywords)
    ]

    assert titled == []
