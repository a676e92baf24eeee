"""``smartia-jobs opt-out``: phones typed by people, and who may read them."""

from datetime import datetime
from pathlib import Path

import pytest

from tests.support import Clinic, RunCli

CANONICAL = "+5511987654321"


@pytest.fixture
def env(clinic: Clinic) -> dict[str, str]:
    return {"DATABASE_URL": clinic.url}


def phones(clinic: Clinic) -> list[str]:
    return [row["phone"] for row in clinic.rows("SELECT phone FROM smartia_opt_outs")]


@pytest.mark.parametrize("typed", ["(11) 98765-4321", "551187654321", CANONICAL])
def test_a_phone_is_kept_in_one_form_however_it_is_typed(
    sqlite_clinic: Clinic, run_cli: RunCli, typed: str
) -> None:
    result = run_cli("opt-out", "add", typed, env={"DATABASE_URL": sqlite_clinic.url})

    assert result.exit_code == 0, result.stderr
    assert result.stdout == "+55 11 9****-4321 was added\n"
    assert phones(sqlite_clinic) == [CANONICAL]


def test_add_and_remove_can_be_repeated(
    clinic: Clinic, run_cli: RunCli, env: dict[str, str]
) -> None:
    said = [
        run_cli("opt-out", *arguments, env=env)
        for arguments in (
            ("add", "11987654321"),
            ("add", CANONICAL),
            ("add", CANONICAL, "--all"),
            ("add", CANONICAL, "--all"),
            ("add", CANONICAL),
            ("remove", "551187654321"),
            ("remove", CANONICAL),
        )
    ]

    assert [result.exit_code for result in said] == [0] * 7
    assert [result.stdout.removeprefix("+55 11 9****-4321 ").strip() for result in said] == [
        "was added",
        "was on the list already",
        "was added",
        "was on the list already",
        "was on the list already",
        "was removed",
        "was not on the list",
    ]
    assert phones(clinic) == []


def test_the_list_is_masked_unless_it_is_revealed(
    clinic: Clinic, run_cli: RunCli, env: dict[str, str]
) -> None:
    run_cli("opt-out", "add", CANONICAL, env=env)

    masked, revealed = (
        run_cli("opt-out", "list", env=env),
        run_cli("opt-out", "list", "--reveal", env=env),
    )

    assert masked.exit_code == revealed.exit_code == 0
    first, last = masked.stdout.splitlines()
    assert first.startswith("+55 11 9****-4321  invitations  person    20")
    assert last == "1 phone"
    assert CANONICAL not in masked.stdout + masked.stderr
    assert revealed.stdout.splitlines()[0].startswith(f"{CANONICAL}  invitations  person    20")


def test_the_list_for_a_program_tells_who_gets_no_message_at_all(
    clinic: Clinic, run_cli: RunCli, env: dict[str, str]
) -> None:
    run_cli("opt-out", "add", CANONICAL, "--all", env=env)

    listed = run_cli("opt-out", "list", "--json", env=env)

    body = listed.json
    [since] = [one.pop("since") for one in body["opt_outs"]]
    assert body == {
        "job": "opt-out list",
        "opt_outs": [{"phone": "+55 11 9****-4321", "scope": "all", "source": "person"}],
        "exit_code": 0,
    }
    assert datetime.fromisoformat(since).tzinfo is not None
    assert CANONICAL not in listed.stdout


def test_listing_makes_no_tables(sqlite_clinic: Clinic, run_cli: RunCli) -> None:
    path = Path(sqlite_clinic.url.removeprefix("sqlite:///"))
    before = path.read_bytes()

    result = run_cli("opt-out", "list", env={"DATABASE_URL": sqlite_clinic.url})

    assert (result.exit_code, result.stdout) == (0, "0 phones\n")
    assert path.read_bytes() == before


@pytest.mark.parametrize("command", ["add", "remove"])
def test_what_cannot_be_a_phone_is_refused_with_its_reason(
    sqlite_clinic: Clinic, run_cli: RunCli, command: str
) -> None:
    result = run_cli("opt-out", command, "98765-4321", env={"DATABASE_URL": sqlite_clinic.url})

    assert result.exit_code == 2
    assert "write it with its area code" in result.stderr
    assert "98765" not in result.stderr
    assert result.stdout == ""


def test_another_programs_database_gets_none_of_our_tables(tmp_path: Path, run_cli: RunCli) -> None:
    other = tmp_path / "other.db"
    other.touch()

    result = run_cli("opt-out", "add", CANONICAL, env={"DATABASE_URL": f"sqlite:///{other}"})

    assert result.exit_code == 78
    assert other.read_bytes() == b""
