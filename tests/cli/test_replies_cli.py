"""``smartia-jobs replies`` as a process: without a token, and whatever becomes of it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartia_jobs.sandbox.server import Sandbox
from tests.crash.site import Site, kill, log_lines
from tests.support import Clinic, RunCli, StartCli
from tests.support.terminal import run_on_terminal


def test_it_needs_no_token_and_says_what_it_did(clinic: Clinic, run_cli: RunCli) -> None:
    env = {"DATABASE_URL": clinic.url, "STORED_TIMES": clinic.stored_times}

    result = run_cli("replies", "--json", env=env)

    assert result.exit_code == 0, result.stderr
    assert result.json["job"] == "replies"
    counts = ("statuses", "delivered", "read", "undelivered", "settled", "reopened")
    assert [result.json[name] for name in counts] == [0] * 6
    assert result.json["ignored"] == {}
    (closing,) = [line for line in result.stderr.splitlines() if "run finished" in line]
    assert json.loads(closing)["statuses"] == 0


def test_a_person_reads_what_became_of_messages(sqlite_clinic: Clinic, run_cli: RunCli) -> None:
    env = {"DATABASE_URL": sqlite_clinic.url}
    run_cli("replies", env=env)
    sqlite_clinic.execute(
        "INSERT INTO smartia_statuses (wamid, status, said_at, received_at, callback)"
        " VALUES ('wamid.X', 'read', '2026-11-23 12:00:00.000000', '2999-11-23 12:00:00.000000',"
        " 'another:1:1')"
    )

    result = run_cli("replies", env=env)

    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "statuses 1 that came in since the last run" in lines
    assert "ignored 1 about no message of this database" in lines
    assert not [line for line in lines if line.startswith(("due", "sent", "failed"))]


@pytest.fixture
def site(clinic: Clinic, start_cli: StartCli) -> Iterator[Site]:
    with Sandbox() as sandbox:
        yield Site(clinic, sandbox, start_cli)


def test_a_run_that_is_killed_loses_no_status_and_takes_none_in_twice(site: Site) -> None:
    clinic, messages = site.clinic, 4000
    assert site.run("replies", "--json").exit_code == 0
    word = clinic.value("SELECT word FROM smartia_installation")
    numbers = (
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {messages})"
    )
    at = "'2026-11-23 12:00:00.000000'"
    clinic.execute(
        "INSERT INTO smartia_outbox (appointment_id, kind, start, patient_id, phone, state, run_id,"
        f" message_id, created_at, updated_at, sent_at) {numbers} SELECT i, '24h', {at}, i,"
        f" '+55' || i, 'sent', 'a run', 'wamid.' || i, {at}, {at}, {at} FROM n"
    )
    clinic.execute(
        "INSERT INTO smartia_statuses (wamid, status, said_at, received_at, callback)"
        f" SELECT message_id, 'delivered', {at}, '2999-01-01 00:00:00.000000',"
        f" '{word}:' || id || ':1' FROM smartia_outbox"
    )
    applied = "SELECT count(*) FROM smartia_statuses WHERE applied_at IS NOT NULL"
    first = site.start("replies", "--json")
    give_up_at = time.monotonic() + 30
    while not clinic.value(applied) and time.monotonic() < give_up_at:
        time.sleep(0.002)
    kill(first)
    done = clinic.value(applied)

    second = site.run("replies", "--json")

    assert 0 < done < messages
    assert second.exit_code == 0, log_lines(second)
    assert second.json["statuses"] == second.json["delivered"] == messages - done
    assert clinic.value(applied) == messages
    assert clinic.rows("SELECT DISTINCT state FROM smartia_outbox") == [{"state": "delivered"}]


def list_answer(clinic: Clinic, text: str) -> None:
    """Let a patient have answered what only a person understands."""
    clinic.execute(
        "INSERT INTO smartia_answers (message_id, source, phone, type, text, said_at, received_at,"
        " meaning, effect, why, acted_at) VALUES ('wamid.A', 'webhook', '+5511987654321', 'text',"
        " :text, datetime('now'), datetime('now'), 'unclear', 'listed', 'was not understood',"
        " datetime('now'))",
        text=text,
    )


@pytest.mark.parametrize(
    ("decision", "done"), [("settle", "settled"), ("undo", "undone; tell the patient")]
)
def test_an_answer_that_is_not_there_is_said_and_the_others_are_done(
    sqlite_clinic: Clinic, run_cli: RunCli, decision: str, done: str
) -> None:
    env = {"DATABASE_URL": sqlite_clinic.url}
    run_cli("replies", env=env)
    list_answer(sqlite_clinic, "Pode ser?")

    result = run_cli("replies", decision, "4711", "1", env=env)

    assert (result.exit_code, result.stdout) == (2, f"1: {done}\n")
    assert "4711: there is no such answer" in result.stderr


def test_what_patients_wrote_stays_within_80_columns_and_does_nothing_to_the_terminal(
    sqlite_clinic: Clinic, run_cli: RunCli, tmp_path: Path
) -> None:
    env = {"DATABASE_URL": sqlite_clinic.url}
    run_cli("replies", env=env)
    list_answer(sqlite_clinic, "Posso\x1b[2J levar\n" + "a minha filha " * 20)

    result = run_on_terminal(
        "replies", "list", "--show-texts", env=env, cwd=tmp_path, stdout_too=True
    )

    assert result.exit_code == 0, result.screen
    lines = result.screen.splitlines()
    assert lines[0].startswith("     1  listed     +55 11 9****-4321  answered ")
    assert lines[1:3] == [
        "        no visit: was not understood",
        "        Posso [2J levar a minha filha a minha filha a minha filha a minha filha",
    ]
    assert lines[-1] == "1 answer"
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in result.screen
