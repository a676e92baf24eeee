"""``smartia-jobs no-show`` as its scheduler, a person, and two schedulers at once start it."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from smartia_jobs.catalogue.definition import definition
from smartia_jobs.catalogue.loading import load_catalogue
from smartia_jobs.sandbox.account import PHONE_NUMBER_ID
from smartia_jobs.sandbox.server import Sandbox
from tests.support import Clinic, RunCli, StartCli

HOUR = timedelta(hours=1)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    template = load_catalogue(None)["no_show"]
    approved = definition(template, clinic_name="Clínica Aurora", clinic_phone=None)
    with Sandbox(templates=[approved]) as server:
        yield server


def env_of(clinic: Clinic, sandbox: Sandbox, **more: str) -> dict[str, str]:
    stored = {"STORED_TIMES": clinic.stored_times} if clinic.dialect == "postgresql" else {}
    return {
        "DATABASE_URL": clinic.url,
        "META_ACCESS_TOKEN": "secret-token-1234",
        "META_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
        "META_API_URL": sandbox.url,
        **stored,
        **more,
    }


def miss(clinic: Clinic, patients: int) -> list[int]:
    """Let so many new patients miss a visit three hours ago; one other came."""
    start = datetime.now(ZoneInfo("America/Sao_Paulo")).replace(tzinfo=None) - 3 * HOUR
    clinic.add_appointment(clinic.add_patient(), start, "COMPLETED")
    return [clinic.add_appointment(clinic.add_patient(), start) for _ in range(patients)]


def statuses(clinic: Clinic, ids: list[int]) -> set[str | None]:
    return {clinic.status(one) for one in ids}


def wait_until(true: Callable[[], bool]) -> None:
    """Look a bounded number of times, so that a test cannot hang."""
    for _ in range(3000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never came true")


def test_it_marks_invites_and_tells_what_it_did(
    clinic: Clinic, sandbox: Sandbox, run_cli: RunCli
) -> None:
    visits = miss(clinic, 2)

    result = run_cli("no-show", "--json", env=env_of(clinic, sandbox))

    assert result.exit_code == 0, result.stderr
    body = result.json
    assert (body["job"], body["due"], body["sent"]) == ("no-show", 2, 2)
    assert [body[key] for key in ("marked", "left_open", "exit_code")] == [2, 0, 0]
    keys = list(body)
    assert keys[keys.index("marked") : keys.index("marked") + 2] == ["marked", "left_open"]
    assert statuses(clinic, visits) == {"NO_SHOW"}
    assert len(sandbox.received) == 2


def test_logs_tell_nothing_about_a_patient(
    sqlite_clinic: Clinic, sandbox: Sandbox, run_cli: RunCli
) -> None:
    miss(sqlite_clinic, 2)

    result = run_cli("no-show", env=env_of(sqlite_clinic, sandbox, LOG_LEVEL="DEBUG"))

    assert result.exit_code == 0
    for secret in ("Maria", "Souza", "98765", "secret-token", "wamid", "imprevisto"):
        assert secret not in result.stderr
        assert secret not in result.stdout


def test_two_processes_at_once_mark_and_message_each_appointment_once(
    clinic: Clinic, sandbox: Sandbox, start_cli: StartCli
) -> None:
    visits = miss(clinic, 40)
    env = env_of(clinic, sandbox, SEND_RATE="80")

    processes = [start_cli("no-show", "--json", env=env) for _ in range(2)]
    ended = [(process, *process.communicate(timeout=120)) for process in processes]

    assert [process.returncode for process, _, _ in ended] == [0, 0], [err for *_, err in ended]
    assert statuses(clinic, visits) == {"NO_SHOW"}
    assert clinic.value("SELECT count(*) FROM smartia_status_changes") == 40
    recipients = [message["to"] for message in sandbox.received]
    assert len(recipients) == len(set(recipients)) == 40


def test_a_process_killed_after_marking_leaves_the_messages_to_the_next_one(
    sqlite_clinic: Clinic, sandbox: Sandbox, start_cli: StartCli, run_cli: RunCli
) -> None:
    visits = miss(sqlite_clinic, 3)
    env = env_of(sqlite_clinic, sandbox)
    sandbox.latency_s = 30.0

    process = start_cli("no-show", env=env)
    wait_until(lambda: len(sandbox.received) == 1)
    process.kill()
    process.communicate(timeout=30)
    sandbox.latency_s = 0.0
    result = run_cli("no-show", "--json", env=env)

    body = result.json
    assert statuses(sqlite_clinic, visits) == {"NO_SHOW"}
    assert (body["marked"], body["sent"]) == (0, 2)
    assert body["skipped"] == {"being_sent_elsewhere": 1}
    recipients = [message["to"] for message in sandbox.received]
    assert len(recipients) == len(set(recipients)) == 3


def test_a_dry_run_lists_marks_and_messages_with_masked_phones(
    sqlite_clinic: Clinic, sandbox: Sandbox, run_cli: RunCli
) -> None:
    visits = miss(sqlite_clinic, 1)
    env = {"DATABASE_URL": sqlite_clinic.url}  # it needs no account

    result = run_cli("no-show", "--dry-run", env=env)

    assert result.exit_code == 0, result.stderr
    lines = [line for line in result.stdout.splitlines() if f"#{visits[0]} " in line]
    assert [line.split("  ")[-1] for line in lines] == [
        "would mark: still SCHEDULED after it was over",
        "would send",
    ]
    assert "+55 11 9****-" in lines[0]
    assert statuses(sqlite_clinic, visits) == {"SCHEDULED"}


def test_a_dry_run_can_look_at_another_moment(
    sqlite_clinic: Clinic, sandbox: Sandbox, run_cli: RunCli
) -> None:
    start = datetime.fromisoformat("2026-03-10T09:00")
    sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), start)
    env = {"DATABASE_URL": sqlite_clinic.url}

    before, after = (
        run_cli("no-show", "--dry-run", "--json", "--now", f"2026-03-10T{at}", env=env).json
        for at in ("09:59", "10:00")
    )

    assert (before["would_mark"], before["would_send"]) == (0, 0)
    assert (after["would_mark"], after["would_send"]) == (1, 1)


def test_the_brake_exits_78_and_says_how_to_go_on(
    clinic: Clinic, sandbox: Sandbox, run_cli: RunCli
) -> None:
    visits = miss(clinic, 3)
    env = env_of(clinic, sandbox, NO_SHOW_BRAKE="2")

    held = run_cli("no-show", "--json", env=env)
    held_statuses = statuses(clinic, visits)
    on_with_it = run_cli("no-show", "--mark-all", "--json", env=env)

    assert (held.exit_code, held.json["exit_code"]) == (78, 78)
    assert "--mark-all" in held.json["stopped"]
    assert held_statuses == {"SCHEDULED"}
    assert (on_with_it.exit_code, on_with_it.json["marked"]) == (0, 3)


def test_only_marking_needs_no_account(
    sqlite_clinic: Clinic, sandbox: Sandbox, run_cli: RunCli
) -> None:
    visits = miss(sqlite_clinic, 2)
    env = {"DATABASE_URL": sqlite_clinic.url}

    without_account = run_cli("no-show", env=env)
    result = run_cli("no-show", "--no-message", "--json", env=env)

    assert without_account.exit_code == 78
    assert (result.exit_code, result.json["marked"]) == (0, 2)
    assert statuses(sqlite_clinic, visits) == {"NO_SHOW"}
    assert sandbox.received == []


def test_a_run_can_be_undone_by_the_id_its_report_showed(clinic: Clinic, run_cli: RunCli) -> None:
    visits = miss(clinic, 2)
    stored = {"STORED_TIMES": "wall"} if clinic.dialect == "postgresql" else {}
    env = {"DATABASE_URL": clinic.url, **stored}
    run_id = run_cli("no-show", "--no-message", "--json", env=env).json["run_id"]

    result = run_cli("no-show", "--undo", run_id, "--json", env=env)

    assert result.exit_code == 0, result.stderr
    assert (result.json["restored"], result.json["left_alone"]) == (2, 0)
    assert result.json["already_undone"] == 0
    assert statuses(clinic, visits) == {"SCHEDULED"}


def test_undoing_a_run_that_never_was_is_wrong_usage(
    sqlite_clinic: Clinic, run_cli: RunCli
) -> None:
    env = {"DATABASE_URL": sqlite_clinic.url}

    result = run_cli("no-show", "--undo", "20260101T000000Z-12345678", "--json", env=env)

    assert result.exit_code == 2
    assert (result.json["job"], result.json["exit_code"]) == ("no-show", 2)
    assert "run_id" in result.json["error"]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (("--undo", "run", "--mark-all"), "cannot be combined"),
        (("--undo", "run", "--no-message"), "cannot be combined"),
        (("--undo", "run", "--limit", "3"), "cannot be combined"),
        (("--now", "2026-03-10T10:00"), "only together with --dry-run"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(
    sqlite_clinic: Clinic, run_cli: RunCli, wrong: tuple[str, ...], why: str
) -> None:
    result = run_cli("no-show", *wrong, env={"DATABASE_URL": sqlite_clinic.url})

    assert result.exit_code == 2
    assert why in result.stderr
    assert result.stdout == ""
