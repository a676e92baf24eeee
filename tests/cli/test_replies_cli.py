"""``smartia-jobs replies`` as a process: without a token, and whatever becomes of it."""

import json
import time

import pytest

from smartia_jobs.sandbox.server import Sandbox
from tests.crash.site import Site, kill, log_lines
from tests.support import Clinic, RunCli, StartCli


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
    assert "statuses 1 heard of since, and taken in" in lines
    assert "ignored 1 about no message of this database" in lines
    assert not [line for line in lines if line.startswith(("due", "sent", "failed"))]


@pytest.fixture
def site(clinic: Clinic, start_cli: StartCli) -> Site:
    return Site(clinic, Sandbox(), start_cli)


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
