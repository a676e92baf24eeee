"""``smartia-jobs demo``: the whole day, and the figures of each of its steps."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.program import start
from tests.support.terminal import run_on_terminal

_GUIDE = (Path(__file__).parents[2] / "docs" / "guia.pt-BR.md").read_text("utf-8")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

#: What each step reports, by command; what is not named is 0 or not there.
DAY: list[tuple[str, Mapping[str, int]]] = [
    ("24h --dry-run", {"due": 20, "failed": 1, "would send": 18, "no readable status": 1}),
    ("24h", {"due": 20, "sent": 18, "failed": 1, "no readable status": 1}),
    (
        "24h",
        {
            "due": 20,
            "failed before, phone unchanged": 1,
            "already sent": 18,
            "no readable status": 1,
        },
    ),
    (
        "no-show",
        {
            "due": 5,
            "sent": 3,
            "marked": 5,
            "left open": 5,
            "already booked again": 1,
            "seen that day after all": 1,
        },
    ),
    (
        "replies",
        {
            "statuses": 57,
            "delivered": 2,
            "read": 17,
            "undelivered": 1,
            "answers": 6,
            "confirmed": 2,
            "cancelled": 1,
            "listed": 2,
            "opted out": 1,
            "written back": 5,
        },
    ),
    ("replies list", {}),
    (
        "2h",
        {
            "due": 3,
            "sent": 1,
            "asked for no more messages": 1,
            "said that they cannot come": 1,
        },
    ),
    ("replies", {"statuses": 18, "read": 6}),
    (
        "metrics",
        {
            "total": 160,
            "completed": 111,
            "cancelled": 17,
            "scheduled": 6,
            "confirmed": 1,
            "asked": 14,
            "word back": 5,
            "utility": 18,
            "marketing": 3,
        },
    ),
]


def figures(printed: str) -> dict[str, int]:
    """Return what a report counts; what is skipped by its reason."""
    rows = re.findall(r"^([a-z]+(?: [a-z]+)*) +(\d+)(?:  (.*))?$", printed, re.MULTILINE)
    named = ((words if name == "skipped" else name, n) for name, n, words in rows)
    return {name: int(count) for name, count in named if int(count)}


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What one demo prints, in surroundings that mean nothing to it."""
    names = ("DATABASE_URL", "META_API_URL", "META_APP_SECRET", "WORD_BACK", "LISTEN_TO")
    folder = tmp_path_factory.mktemp("demo")
    with start(("demo",), dict.fromkeys(names, "nonsense"), folder) as process:
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")
    assert list(folder.iterdir()) == []
    return stdout


@pytest.fixture(scope="module")
def day(printed: str) -> list[tuple[str, str]]:
    """Each step's command, and what it printed."""
    parts = re.split(r"^\d+\. .*\n   \$ smartia-jobs (.+)\n", printed, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def test_the_day_goes_as_it_is_told_and_nobody_is_told_twice(day: list[tuple[str, str]]) -> None:
    assert [(command, figures(printed)) for command, printed in day] == DAY
    assert "The sandbox accepted 26 messages; nobody got one twice." in day[-1][1]


def test_patients_get_a_word_back_and_the_rest_is_for_a_person(day: list[tuple[str, str]]) -> None:
    words, listed = day[4][1], day[5][1]

    assert re.findall(r"To (.+):\n", words) == [
        "Helena Duarte",
        "Heitor Bastos",
        "Miguel Fontes",
        "João Pedro Amaral",
        "Júlia Camargo",
    ]
    assert "| Tudo bem, Miguel. O seu horário de terça-feira, 24 de novembro, às 8:30," in words
    assert re.findall(r"visit .*", listed) == [
        "visit 343 2026-11-24 08:30: the slot is free",
        "visit 337 2026-11-23 15:30: cannot come",
        "visit 356 2026-11-24 18:00: was not understood",
    ]
    assert "3 answers" in listed


def test_its_statistics_know_what_was_delivered_answered_and_written_back(
    day: list[tuple[str, str]],
) -> None:
    _, metrics = day[-1]

    rows = [line.split() for line in metrics.splitlines()]
    delivered = [row for row in rows if row[:2] == ["reminder", "24h"]][-1]
    assert " ".join(delivered[2:]) == "17 16 (94.1 %) 14 (82.4 %) 1 (5.9 %)"
    assert ["word", "back", "5", "0", "0", "0", "+5"] in rows
    assert ["confirmed", "2", "(14.3", "%)"] in rows
    assert ["until", "the", "first", "answer", "(median)", "20", "min"] in rows
    assert "6 in all: confirmed 2, cancelled 1, listed 2," in metrics
    assert "1  not delivered: WhatsApp cannot deliver to this number" in metrics


def test_the_guide_shows_the_dialogue_as_it_is_printed(printed: str) -> None:
    _, begin, rest = _GUIDE.partition("WhatsApp tells what became of each message")
    shown = (begin + rest.partition("\n```")[0]).splitlines()

    assert len(shown) > 10
    assert [line for line in shown if line not in (*printed.splitlines(), "…")] == []


def test_it_fits_into_a_terminal_of_80_columns(tmp_path: Path) -> None:
    result = run_on_terminal("demo", env={}, cwd=tmp_path, stdout_too=True)

    assert result.exit_code == 0
    lines = [_CONTROL.sub("", line).rstrip("\r") for line in result.screen.split("\n")]
    assert [line for line in lines if len(line.rpartition("\r")[2]) > 80] == []
