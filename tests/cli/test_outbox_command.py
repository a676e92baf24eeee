"""What a person sees of the outbox and decides about it, on both databases."""

import signal
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from smartia_jobs.catalogue.definition import shipped_definitions
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.server import Sandbox
from tests.crash.site import Site, ended
from tests.support import Clinic, RunCli, StartCli
from tests.support.clinic_data import SAO_PAULO
from tests.support.terminal import run_on_terminal


@pytest.fixture
def sqlite_site(sqlite_clinic: Clinic, start_cli: StartCli, sandbox: Sandbox) -> Site:
    return Site(sqlite_clinic, sandbox, start_cli)


@pytest.fixture
def site(clinic: Clinic, start_cli: StartCli, sandbox: Sandbox) -> Site:
    return Site(clinic, sandbox, start_cli)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(templates=shipped_definitions(clinic_name="sua clínica")) as server:
        yield server


def leave_unknown(site: Site) -> list[int]:
    """Leave one patient's two visits of a day in one message that may have been accepted."""
    site.book_a_day_twice()
    site.sandbox.script("*", Scripted(cut=True, accepted=False))
    assert site.run().json["unknown"] == 2
    return [row["id"] for row in site.clinic.rows("SELECT id FROM smartia_outbox ORDER BY id")]


def test_what_is_held_is_listed_with_masked_phones(sqlite_site: Site) -> None:
    ids = leave_unknown(sqlite_site)

    shown = sqlite_site.run("outbox", "--state", "unknown")

    phone = sqlite_site.clinic.value("SELECT phone_number FROM patients")
    assert shown.exit_code == 0
    assert phone not in shown.stdout
    assert all(str(one) in shown.stdout for one in ids)
    listed = sqlite_site.run("outbox", "--json").json["messages"]
    assert sorted(one["id"] for one in listed) == ids
    assert {(one["state"], one["kind"], one["attempts"]) for one in listed} == {
        ("unknown", "24h", 1)
    }


def test_what_a_patient_was_told_is_found_by_phone_visit_and_day(site: Site) -> None:
    site.book(2)
    visit = site.clinic.value("SELECT max(id) FROM appointments")
    phone = site.clinic.value("SELECT max(phone_number) FROM patients")
    assert site.run().json["sent"] == 2
    site.clinic.move(visit, datetime.now(SAO_PAULO).replace(tzinfo=None) + timedelta(hours=25))
    assert site.run().json["sent"] == 1
    day = site.clinic.value(
        "SELECT max(start) FROM smartia_outbox WHERE appointment_id = :id", id=visit
    )

    held = site.run("outbox", "--json").json["messages"]
    by_phone = site.run("outbox", "--phone", f"+{phone}", "--json").json["messages"]
    by_visit = site.run("outbox", "--visit", str(visit), "--json").json["messages"]
    on_day = site.run("outbox", "--day", str(day)[:10], "--json").json["messages"]
    unsent = site.run("outbox", "--visit", str(visit), "--state", "unknown", "--json").json
    shown = site.run("outbox", "--phone", phone)

    assert held == unsent["messages"] == []
    assert by_phone == by_visit
    assert [(one["turn"], one["state"]) for one in by_visit] == [(1, "sent"), (2, "sent")]
    assert all(one["sent_at"] and one["delivered_at"] is None for one in by_visit)
    assert {one["appointment_id"] for one in on_day} >= {visit}
    assert shown.stdout.count(f" visit {visit} ") == 2
    assert phone not in shown.stdout


UNREACHED = "WhatsApp cannot deliver to this number: perhaps it has no WhatsApp."


def leave_undelivered(site: Site, *, hours: float = 24) -> int:
    """Leave a message that WhatsApp accepted and did not deliver; return its visit's id."""
    (visit,) = site.book(1, hours=hours)
    site.run() if hours > 20 else site.run("2h", "--json")
    site.clinic.execute(
        "UPDATE smartia_outbox SET state = 'undelivered', error = :error, error_code = 131026"
        " WHERE appointment_id = :visit",
        error=UNREACHED,
        visit=visit,
    )
    return visit


def test_what_did_not_arrive_is_listed_with_meta_s_reason(site: Site) -> None:
    visit = leave_undelivered(site)

    unasked = site.run("outbox", "--json").json["messages"]
    asked = site.run("outbox", "--state", "undelivered", "--json").json["messages"]
    accepted = site.run("outbox", "--state", "sent", "--json").json["messages"]
    shown = site.run("outbox")

    assert unasked == asked == accepted
    (one,) = unasked
    assert (one["appointment_id"], one["state"]) == (visit, "undelivered")
    assert (one["error"], one["code"]) == (UNREACHED, 131026)
    assert one["sent_at"] is not None
    assert "perhaps it has no WhatsApp (code 131026)" in " ".join(shown.stdout.split())


def test_what_did_not_arrive_of_a_visit_that_is_over_is_shown_when_asked_for(
    sqlite_site: Site,
) -> None:
    leave_undelivered(sqlite_site)
    sqlite_site.clinic.execute("UPDATE smartia_outbox SET start = '2026-01-05 10:00:00.000000'")

    assert sqlite_site.run("outbox", "--json").json["messages"] == []
    assert len(sqlite_site.run("outbox", "--state", "undelivered", "--json").json["messages"]) == 1


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_lines_fit_the_terminal_and_a_pipe_of_80_columns(
    sqlite_site: Site, tmp_path: Path, columns: int
) -> None:
    leave_undelivered(sqlite_site)
    sqlite_site.clinic.execute(
        "UPDATE smartia_outbox SET kind = 'a_name_of_20_letters', delivered_at = sent_at"
    )
    wide = {**sqlite_site.env, "DATABASE_URL": sqlite_site.clinic.url}

    watched = run_on_terminal(
        "outbox", env=wide, cwd=tmp_path, columns=columns, stdout_too=True
    ).screen.splitlines()
    piped = sqlite_site.run("outbox").stdout.splitlines()

    assert max(map(len, watched)) <= max(columns, 75)
    assert max(map(len, piped)) <= 80
    assert watched[1].lstrip().startswith("+55 11 9****-")
    assert any("delivered 20" in line for line in piped)


def test_outbox_and_dry_run_show_one_phone_in_one_way(site: Site) -> None:
    start = datetime.now(SAO_PAULO).replace(tzinfo=None, microsecond=0) + timedelta(hours=24)
    for written in ("(11) 98765-4321", "11 98765 4322", "551187654323"):
        site.clinic.add_appointment(site.clinic.add_patient(phone=written), start)

    foreseen = site.run("24h", "--dry-run", "--json").json["decisions"]
    site.run()
    sent = site.run("outbox", "--state", "sent", "--json").json["messages"]

    masked = {one["appointment_id"]: one["phone"] for one in foreseen}
    assert {one["appointment_id"]: one["phone"] for one in sent} == masked
    assert set(masked.values()) == {f"+55 11 9****-432{n}" for n in (1, 2, 3)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("outbox", "--phone", "Maria"), "holds no digits"),
        (("outbox", "--phone", "98765-4321"), "area code"),
        (("outbox", "--phone", "+55 11 9876"), "country code, area code and digits"),
        (("outbox", "erase", "98765-4321"), "area code"),
        (("outbox", "erase", "11 98765-4321 / 98765-4322"), "one phone number"),
    ],
)
def test_a_number_that_cannot_be_a_phone_is_refused_with_what_is_missing(
    sqlite_site: Site, arguments: tuple[str, ...], words: str
) -> None:
    sqlite_site.book(1)
    sqlite_site.run()

    refused = sqlite_site.run(*arguments)

    assert refused.exit_code == 2
    assert words in refused.stderr


def test_who_is_recorded_with_an_incomplete_number_is_found_by_it_and_erased(site: Site) -> None:
    (visit,) = site.book(1)
    site.clinic.execute("UPDATE patients SET phone_number = '98765-4321'")
    assert site.run().json["failed"] == 1

    (found,) = site.run("outbox", "--phone", "98765 4321", "--json").json["messages"]
    erased = site.run("outbox", "erase", "98765-4321")

    assert (found["appointment_id"], found["state"]) == (visit, "failed")
    assert erased.exit_code == 0, erased.stderr
    assert site.clinic.value("SELECT phone FROM smartia_outbox") is None


@pytest.mark.parametrize("day", ["31.03.2026", "2026-02-30", "tomorrow"])
def test_a_day_that_is_none_gets_an_example(sqlite_site: Site, day: str) -> None:
    refused = sqlite_site.run("outbox", "--day", day)

    assert refused.exit_code == 2
    assert "a day such as 2026-03-31" in refused.stderr
    assert "%" not in refused.stderr


@pytest.mark.parametrize(
    "arguments",
    [("outbox",), ("outbox", "settle", "1", "--sent"), ("opt-out", "list"), ("db", "current")],
    ids=" ".join,
)
def test_a_database_that_is_not_smartia_s_is_refused(
    run_cli: RunCli, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    sqlite3.connect(tmp_path / "another.db").close()

    refused = run_cli(*arguments, env={"DATABASE_URL": f"sqlite:///{tmp_path / 'another.db'}"})

    assert refused.exit_code == 78
    assert "without SmartIA's tables" in refused.stderr


def test_a_message_that_is_resent_reaches_the_patient_whole(site: Site) -> None:
    ids = leave_unknown(site)

    decided = site.run("outbox", "resend", str(ids[1]))

    assert decided.exit_code == 0
    assert "2 visits" in decided.stdout
    assert site.run().json["sent"] == 2
    site.check()
    assert site.accepted().total() == 1


@pytest.mark.parametrize("as_", ["sent", "failed"])
def test_a_settled_message_is_never_sent(sqlite_site: Site, as_: str) -> None:
    ids = leave_unknown(sqlite_site)

    decided = sqlite_site.run("outbox", "settle", *map(str, ids), f"--{as_}")

    assert decided.exit_code == 0, decided.stderr
    again = sqlite_site.run().json
    assert again["skipped"] == {f"already_{as_}": 2}
    assert again["held_unknown"] == 0
    assert sqlite_site.accepted().total() == 0


def test_what_cannot_be_settled_is_said_and_the_rest_is_done(sqlite_site: Site) -> None:
    ids = leave_unknown(sqlite_site)

    decided = sqlite_site.run("outbox", "settle", "4711", str(ids[0]), "--sent")

    assert decided.exit_code == 2
    assert "4711" in decided.stderr
    assert sqlite_site.states() == {"sent": 1}
    again = sqlite_site.run("outbox", "resend", str(ids[0]))
    assert (again.exit_code, sqlite_site.states()) == (2, {"sent": 1})
    assert "sent" in again.stderr


def test_a_message_that_is_being_sent_is_left_alone(sqlite_site: Site) -> None:
    ids = leave_unknown(sqlite_site)
    sqlite_site.clinic.execute(
        "UPDATE smartia_outbox SET state = 'claimed', lease_until = '2099-01-01 00:00:00.000000'"
    )

    decided = sqlite_site.run("outbox", "resend", str(ids[0]))

    assert decided.exit_code == 2
    assert sqlite_site.states() == {"claimed": 1}
    sqlite_site.lapse()
    assert sqlite_site.run("outbox", "settle", str(ids[0]), "--sent").exit_code == 0


def test_what_a_killed_run_was_sending_is_counted_then_listed_as_unknown(site: Site) -> None:
    site.book_a_day_twice()
    site.sandbox.latency_s = 5.0
    process = site.start()
    site.wait_for_messages(1, process)
    for _ in range(8):  # the second does not want to wait; two that come at once are one
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
    assert ended(process).exit_code == 130

    at_once = site.run("outbox"), site.run("outbox", "--json").json
    site.lapse()
    later = site.run("outbox", "--json").json

    assert at_once[0].stdout.startswith("0 visits; 2 more being sent at this moment")
    assert (at_once[1]["messages"], at_once[1]["being_sent"]) == ([], 2)
    assert [one["state"] for one in later["messages"]] == ["unknown"] * 2
    assert later["being_sent"] == 0
    assert later["messages"] == site.run("outbox", "--state", "unknown", "--json").json["messages"]
    assert site.run("outbox", "--state", "retry", "--json").json["messages"] == []


def test_on_unknown_resend_sends_once_more_and_no_oftener(sqlite_site: Site) -> None:
    leave_unknown(sqlite_site)
    sqlite_site.sandbox.script("*", Scripted(cut=True, accepted=False))

    second = sqlite_site.run(ON_UNKNOWN="resend").json
    third = sqlite_site.run(ON_UNKNOWN="resend").json

    assert second["unknown"] == 2
    assert third["skipped"] == {"held_unknown": 2}
    assert len(sqlite_site.sandbox.received) == 2


def test_what_a_person_resent_is_not_resent_by_itself_as_well(sqlite_site: Site) -> None:
    ids = leave_unknown(sqlite_site)
    sqlite_site.sandbox.script("*", Scripted(cut=True, accepted=False))
    sqlite_site.run("outbox", "resend", str(ids[0]))
    assert sqlite_site.run(ON_UNKNOWN="resend").json["unknown"] == 2

    third = sqlite_site.run(ON_UNKNOWN="resend").json

    assert third["skipped"] == {"held_unknown": 2}
    assert len(sqlite_site.sandbox.received) == 2


def test_purge_forgets_what_is_final_and_past_alone(site: Site) -> None:
    site.book(3)
    site.run()
    old = datetime.now().astimezone().replace(tzinfo=None) - timedelta(days=200)
    for appointment_id, state in ((1, "sent"), (2, "unknown")):
        site.clinic.execute(
            "UPDATE smartia_outbox SET start = :start, state = :state"
            " WHERE id = (SELECT min(id) FROM smartia_outbox) + :place",
            start=old if site.clinic.dialect != "sqlite" else f"{old:%Y-%m-%d %H:%M:%S.%f}",
            state=state,
            place=appointment_id - 1,
        )

    purged = site.run("outbox", "purge", "--older-than", "180d")

    assert purged.exit_code == 0, purged.stderr
    assert purged.stdout.startswith("1 row")
    assert site.states() == {"unknown": 1, "sent": 1}
    assert site.run("outbox", "purge", "--older-than", "7d").exit_code == 2


def test_erase_leaves_no_trace_of_a_phone_and_sends_nothing_twice(site: Site) -> None:
    site.book(2)
    site.run()
    phone = site.clinic.value("SELECT min(phone_number) FROM patients")
    site.run("opt-out", "add", phone)
    site.clinic.execute(
        "UPDATE smartia_outbox SET phone = :raw WHERE id = (SELECT max(id) FROM smartia_outbox)",
        raw=f"({phone[2:4]}) {phone[4:9]}-{phone[9:]}",
    )

    erased = site.run("outbox", "erase", phone)

    assert erased.exit_code == 0, erased.stderr
    left = site.clinic.rows("SELECT phone, message_id FROM smartia_outbox")
    assert [row["phone"] for row in left] == [None, None]
    assert [row["message_id"] for row in left] == [None, None]
    assert site.clinic.rows("SELECT * FROM smartia_opt_outs") == []
    assert site.run().json["skipped"] == {"already_sent": 2}


def test_erase_finds_what_was_sent_to_a_number_the_person_no_longer_has(site: Site) -> None:
    site.book(1)
    site.run()
    site.clinic.execute("UPDATE patients SET phone_number = '5511912345678'")

    erased = site.run("outbox", "erase", "+5511912345678")

    assert erased.exit_code == 0, erased.stderr
    assert site.clinic.rows("SELECT phone, message_id FROM smartia_outbox") == [
        {"phone": None, "message_id": None}
    ]


def test_erase_waits_for_a_message_that_is_being_sent(sqlite_site: Site) -> None:
    leave_unknown(sqlite_site)
    sqlite_site.clinic.execute(
        "UPDATE smartia_outbox SET state = 'claimed', lease_until = '2099-01-01 00:00:00.000000'"
    )
    phone = sqlite_site.clinic.value("SELECT phone_number FROM patients")

    refused = sqlite_site.run("outbox", "erase", phone)

    assert refused.exit_code == 69
    assert "nothing was erased" in refused.stderr
    assert sqlite_site.clinic.value("SELECT count(phone) FROM smartia_outbox") == 2
    sqlite_site.lapse()
    assert sqlite_site.run("outbox", "erase", phone).exit_code == 0


def test_erase_forgets_marks_that_no_run_looks_at_any_more(site: Site) -> None:
    site.book(2)
    site.run()
    now = datetime.now().astimezone().replace(tzinfo=None)
    for appointment_id, days in ((1, 40), (1, 2), (2, 40)):
        start = now - timedelta(days=days)
        site.clinic.execute(
            "INSERT INTO smartia_status_changes"
            " (appointment_id, patient_id, start, stored_date, before, after, why, answer_id,"
            " run_id, changed_at)"
            " VALUES (:id, 1, :start, '', 'SCHEDULED', 'NO_SHOW', 'no_show', 0, 'a run',"
            " CURRENT_TIMESTAMP)",
            id=appointment_id,
            start=start if site.clinic.dialect != "sqlite" else f"{start:%Y-%m-%d %H:%M:%S.%f}",
        )
    phone = site.clinic.value(
        "SELECT phone_number FROM patients JOIN appointments ON patient_id = patients.id"
        " WHERE appointments.id = 1"
    )

    erased = site.run("outbox", "erase", phone)

    assert "1 status changes deleted" in erased.stdout, erased.stderr
    left = site.clinic.rows(
        "SELECT appointment_id FROM smartia_status_changes ORDER BY appointment_id"
    )
    assert [row["appointment_id"] for row in left] == [1, 2]


@pytest.mark.parametrize(
    "arguments",
    [
        ("resend", "99999999999999999999"),
        ("settle", "1"),
        ("settle", "1", "--sent", "--failed"),
        ("resend",),
        ("--state", "posted"),
    ],
)
def test_a_wrong_command_line_is_refused(
    sqlite_clinic: Clinic, start_cli: StartCli, arguments: tuple[str, ...]
) -> None:
    process = start_cli("outbox", *arguments, env={"DATABASE_URL": sqlite_clinic.url})

    assert process.wait(30) == 2


def test_without_our_tables_there_is_nothing_to_show_and_nothing_to_settle(
    sqlite_clinic: Clinic, start_cli: StartCli
) -> None:
    env = {"DATABASE_URL": sqlite_clinic.url}

    shown = start_cli("outbox", env=env)
    settled = start_cli("outbox", "settle", "1", "--sent", env=env)

    assert shown.communicate(timeout=30)[0].startswith("0 visits\nNothing is held")
    assert settled.wait(30) == 78
