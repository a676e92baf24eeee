"""``check`` without WhatsApp: settings and a database in each broken state."""

import json
import logging
import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy.exc import SQLAlchemyError

from smartia_jobs.clinic.index import INDEXES, SmartiaIndex
from smartia_jobs.clock import ShiftedClock
from smartia_jobs.database import DRIVER, Database
from smartia_jobs.database.errors import explain
from smartia_jobs.errors import (
    ConfigurationError,
    ExitStatus,
    InterruptedRunError,
    how_to_install,
)
from smartia_jobs.jobs.check import check
from smartia_jobs.jobs.checks.finding import Level
from smartia_jobs.kinds import DAY_AHEAD
from smartia_jobs.report import Report
from smartia_jobs.run import Run
from smartia_jobs.settings import QuietHours, Settings
from smartia_jobs.settings.declarations import VARIABLES
from smartia_jobs.store.schema import ensure
from smartia_jobs.store.schema import upgrade as upgrade_tables
from tests.jobs.check_desk import JOBS, NOW, by_name, checked, checked_as_it_is, not_ok, wall
from tests.support import Clinic

READY = Settings(
    meta_access_token="EAAverysecret",
    meta_phone_number_id="1",
    quiet_hours=QuietHours(time(21), time(7)),
    clinic_name="Clínica Aurora",
)


def upgrade(clinic: Clinic) -> None:
    """Make our tables and the indexes, as a first run does."""
    with closing(Database(clinic.url)) as database:
        ensure(database, auto_migrate=True)
    clinic.execute("CREATE INDEX one ON appointments (appointment_date, status)")
    clinic.execute("CREATE INDEX two ON conversations (patient_id)")


def offline(clinic: Clinic, settings: Settings = READY) -> dict[str, Level]:
    """Return what is not in order."""
    return not_ok(checked(clinic, settings, online=False))


def test_a_clinic_in_order_has_nothing_to_mend(clinic: Clinic) -> None:
    upgrade(clinic)
    clinic.add_appointment(clinic.add_patient(), wall("2026-11-24T14:30"))

    found = checked(clinic, READY, online=False)

    assert not_ok(found) == {}
    assert found.exit_status is ExitStatus.OK
    assert "1 would be sent" in by_name(found)["due_24h"].text
    assert "0 would be sent" in by_name(found)["due_2h"].text


def test_the_check_changes_nothing_and_says_that_our_tables_are_missing(clinic: Clinic) -> None:
    tables = "SELECT count(*) FROM sqlite_master"
    if clinic.dialect == "postgresql":
        tables = "SELECT count(*) FROM pg_class WHERE relname NOT LIKE 'pg_%'"
    before = clinic.value(tables)

    found = checked(clinic, READY, online=False)

    assert clinic.value(tables) == before
    assert not_ok(found) == {"own_tables": Level.WARNING, "index": Level.WARNING}
    assert "nothing was ever sent" in by_name(found)["own_tables"].text
    assert "The next real run of a job creates" in by_name(found)["own_tables"].text
    assert found.exit_status is ExitStatus.OK


def test_what_the_next_run_makes_by_itself_may_be_left_to_it(clinic: Clinic) -> None:
    found = by_name(checked(clinic, READY, online=False))

    assert found["own_tables"].next_step.startswith("leave it to that run, or run: ")
    left = "leave it to that run, or " if clinic.dialect == "sqlite" else ""
    assert found["index"].next_step == f"{left}run: smartia-jobs db upgrade"


def test_missing_tables_of_ours_are_a_problem_where_a_run_may_not_make_them(
    clinic: Clinic,
) -> None:
    found = offline(clinic, replace(READY, auto_migrate=False))

    assert found["own_tables"] is Level.PROBLEM


@pytest.mark.parametrize(("auto_migrate", "level"), [(True, Level.WARNING), (False, Level.PROBLEM)])
def test_old_tables_of_ours_are_told(clinic: Clinic, auto_migrate: bool, level: Level) -> None:
    upgrade(clinic)
    clinic.execute("UPDATE smartia_jobs_version SET version_num = '0000'")

    found = by_name(checked(clinic, replace(READY, auto_migrate=auto_migrate), online=False))

    assert found["own_tables"].level is level
    assert "0000" in found["own_tables"].text


def test_newer_tables_of_ours_are_in_order(clinic: Clinic) -> None:
    upgrade(clinic)
    clinic.execute("UPDATE smartia_jobs_version SET version_num = '9999'")

    assert offline(clinic) == {}


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        ("smartia_jobs_version", "no version"),
        ("smartia_outbox", "smartia_outbox cannot be found"),
    ],
)
def test_half_of_our_tables_is_a_problem_that_a_run_does_not_call_a_bug(
    clinic: Clinic, lost: str, told: str
) -> None:
    upgrade(clinic)
    clinic.add_appointment(clinic.add_patient(), wall("2026-11-24T14:30"))
    clinic.execute(f"DROP TABLE {lost}")

    found = by_name(checked(clinic, READY, online=False))

    assert found["own_tables"].level is Level.PROBLEM
    assert told in found["own_tables"].text
    assert "backup" in found["own_tables"].next_step
    assert "does not name a SmartIA database" not in found["due_24h"].text
    if lost == "smartia_jobs_version":
        with closing(Database(clinic.url)) as database, pytest.raises(SQLAlchemyError) as error:
            upgrade_tables(database)
        assert isinstance(explain(error.value), ConfigurationError)


def test_a_database_that_is_not_there_costs_no_other_line(tmp_path: Path) -> None:
    settings = replace(READY, database_url=f"sqlite:///{tmp_path}/none.db")

    found = checked_as_it_is(settings, online=False)

    assert not_ok(found) == {"database": Level.PROBLEM}
    assert found.exit_status is ExitStatus.CONFIGURATION
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_no_database_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "note.db").write_text("this is a note, and a note is no database" * 100)
    settings = replace(READY, database_url=f"sqlite:///{tmp_path}/note.db")

    assert not_ok(checked_as_it_is(settings, online=False)) == {"database": Level.PROBLEM}


def test_a_file_that_stays_busy_sends_nobody_to_the_network(sqlite_clinic: Clinic) -> None:
    file = sqlite_clinic.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        found = by_name(checked(sqlite_clinic, READY, online=False))["database"]

    assert found.level is Level.UNREACHABLE
    assert found.text.endswith("for too long (database is locked).")
    assert found.next_step.endswith("look at the programs that have the file open")


@pytest.mark.parametrize("closed", [Path.is_file, Path.is_dir], ids=["file", "folder"])
def test_an_sqlite_file_that_no_job_could_write_to_is_a_problem(
    sqlite_clinic: Clinic, monkeypatch: pytest.MonkeyPatch, closed: Callable[[Path], bool]
) -> None:
    # Tests may run as root, who may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK or not closed(Path(path)))

    found = by_name(checked(sqlite_clinic, READY, online=False))

    assert found["database"].level is Level.PROBLEM
    assert "cannot be written" in found["database"].text
    assert "writing" not in found
    assert found["smartia_tables"].level is Level.OK


def test_a_server_that_is_not_there_is_unreachable() -> None:
    settings = replace(READY, database_url="postgresql+psycopg://u:geheim@127.0.0.1:9/x")

    found = checked_as_it_is(settings, online=False)

    assert not_ok(found) == {"database": Level.UNREACHABLE}
    assert found.exit_status is ExitStatus.UNAVAILABLE
    assert "geheim" not in json.dumps(found.as_json())
    assert "look at the network" in by_name(found)["database"].next_step


def test_a_driver_that_is_not_installed_costs_no_other_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    settings = replace(READY, database_url="postgresql+psycopg://u@h/d")

    found = checked_as_it_is(settings, online=False)

    assert not_ok(found) == {"database": Level.PROBLEM}
    assert how_to_install(DRIVER) in by_name(found)["database"].text
    assert {"settings", "whatsapp"} <= by_name(found).keys()


def test_a_problem_outranks_what_is_unreachable() -> None:
    settings = Settings(database_url="postgresql+psycopg://u:p@127.0.0.1:9/x")

    assert checked_as_it_is(settings).exit_status is ExitStatus.CONFIGURATION


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("DROP TABLE interactions", "interactions"),
        ("ALTER TABLE appointments DROP COLUMN duration_minutes", "duration_minutes"),
    ],
)
def test_a_missing_table_or_column_of_smartia_is_named(
    clinic: Clinic, statement: str, word: str
) -> None:
    clinic.execute(statement)

    found = by_name(checked(clinic, READY, online=False))

    assert found["smartia_tables"].level is Level.PROBLEM
    assert word in found["smartia_tables"].text
    assert "due_24h" not in found


def test_a_right_that_the_role_lacks_costs_only_the_lines_that_need_it(
    postgres_clinic: Clinic,
) -> None:
    role = f"jobs_{uuid4().hex}"
    postgres_clinic.execute(f"CREATE ROLE {role} LOGIN")
    postgres_clinic.execute(f"GRANT SELECT ON appointments, patients TO {role}")
    settings = replace(
        READY,
        database_url=postgres_clinic.url.replace("postgres@", f"{role}@"),
        stored_times="wall",
    )

    found = not_ok(checked_as_it_is(settings, online=False))

    postgres_clinic.execute(f"DROP OWNED BY {role} CASCADE")
    postgres_clinic.execute(f"DROP ROLE {role}")
    problems = {name for name, level in found.items() if level is Level.PROBLEM}
    chats = {"moved_by_chat", "asked_to_cancel", "smartia_hears"}
    assert problems == {*chats, "own_tables", "rights", "writing"}


def test_a_question_that_the_database_refuses_costs_only_its_own_line(
    postgres_clinic: Clinic,
) -> None:
    upgrade(postgres_clinic)
    postgres_clinic.execute("ALTER TYPE appointmentstatus RENAME VALUE 'COMPLETED' TO 'done'")

    found = checked(postgres_clinic, READY, online=False)

    assert by_name(found)["phones"].level is Level.OK
    assert by_name(found)["due_2h"].level is Level.PROBLEM
    assert "appointmentstatus" in by_name(found)["due_2h"].text
    assert "moved_by_chat" in by_name(found)
    assert found.exit_status is ExitStatus.CONFIGURATION


def test_a_bug_in_one_question_costs_only_its_own_line(
    clinic: Clinic, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(run: Run) -> Report:
        raise ZeroDivisionError

    settings = replace(READY, database_url=clinic.url, stored_times="wall")
    found = check(settings, ShiftedClock(NOW), {**JOBS, "2h": broken}, online=False)

    assert {name: by_name(found)[name].level for name in ("due_2h", "due_no_show")} == {
        "due_2h": Level.PROBLEM,
        "due_no_show": Level.OK,
    }
    assert found.exit_status is ExitStatus.BUG
    assert "ZeroDivisionError" in caplog.text


def test_a_signal_ends_the_check(clinic: Clinic) -> None:
    def interrupted(run: Run) -> Report:
        raise InterruptedRunError(ExitStatus.TERMINATED)

    settings = replace(READY, database_url=clinic.url, stored_times="wall")

    with pytest.raises(InterruptedRunError):
        check(settings, ShiftedClock(NOW), {"24h": interrupted}, online=False)


def test_indexes_that_are_there_are_named(clinic: Clinic) -> None:
    upgrade(clinic)

    found = by_name(checked(clinic, READY, online=False))["index"]

    assert found.level is Level.OK
    assert all(index.on in found.text for index in INDEXES)


@pytest.mark.parametrize("missing", INDEXES, ids=lambda index: index.table)
def test_an_index_that_is_missing_is_named(clinic: Clinic, missing: SmartiaIndex) -> None:
    upgrade(clinic)
    clinic.execute(f"DROP INDEX {'one' if missing.table == 'appointments' else 'two'}")

    found = by_name(checked(clinic, READY, online=False))["index"]

    assert found.level is Level.WARNING
    assert [index for index in INDEXES if index.on in found.text] == [missing]
    assert "db upgrade" in found.next_step


@pytest.mark.parametrize("invalid", INDEXES, ids=lambda index: index.table)
def test_a_build_of_an_index_that_broke_off_is_told(
    postgres_clinic: Clinic, invalid: SmartiaIndex
) -> None:
    upgrade(postgres_clinic)
    name = "one" if invalid.table == "appointments" else "two"
    postgres_clinic.execute(f"ALTER INDEX {name} RENAME TO {invalid.name}")
    postgres_clinic.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(:name)",
        name=invalid.name,
    )

    found = by_name(checked(postgres_clinic, READY, online=False))["index"]

    assert found.level is Level.WARNING
    assert f"{invalid.on}: left behind unusable" in found.text
    assert [index for index in INDEXES if index.on in found.text] == [invalid]


def test_undecided_times_are_a_problem_and_shown_both_ways(postgres_clinic: Clinic) -> None:
    visit = postgres_clinic.add_appointment(postgres_clinic.add_patient(), wall("2026-11-24T14:30"))
    settings = replace(READY, database_url=postgres_clinic.url)

    found = by_name(checked_as_it_is(settings, online=False))

    assert found["time_zone"].level is Level.PROBLEM
    assert "STORED_TIMES=wall" in found["time_zone"].next_step
    assert found["time_zone"].details == (
        f"appointment {visit}: Tue 24 Nov 14:30 (wall) or Tue 24 Nov 11:30 (instant)",
    )
    assert "due_24h" not in found


@pytest.mark.parametrize("stored", ["wall", "instant"])
def test_chosen_times_are_shown_both_ways_too(postgres_clinic: Clinic, stored: str) -> None:
    postgres_clinic.add_appointment(postgres_clinic.add_patient(), wall("2026-11-24T14:30"))

    found = by_name(checked(postgres_clinic, replace(READY, stored_times=stored), online=False))

    assert found["time_zone"].level is Level.OK
    assert (
        found["time_zone"]
        .details[0]
        .endswith("Tue 24 Nov 14:30 (wall) or Tue 24 Nov 11:30 (instant)")
    )


def test_a_column_without_a_zone_needs_no_choice(plain_timestamp_clinic: Clinic) -> None:
    plain_timestamp_clinic.add_appointment(
        plain_timestamp_clinic.add_patient(), wall("2026-11-24T14:30")
    )
    settings = replace(READY, database_url=plain_timestamp_clinic.url)

    found = by_name(checked_as_it_is(settings, online=False))

    assert found["time_zone"].details[0].endswith("Tue 24 Nov 14:30")


def test_a_date_column_of_another_type_is_a_problem(postgres_clinic: Clinic) -> None:
    postgres_clinic.execute("ALTER TABLE appointments ALTER appointment_date TYPE date")

    found = by_name(checked(postgres_clinic, READY, online=False))

    assert found["time_zone"].level is Level.PROBLEM
    assert "date" in found["time_zone"].text


def test_the_next_three_open_visits_are_shown(clinic: Clinic) -> None:
    patient = clinic.add_patient()
    clinic.add_appointment(patient, wall("2026-11-23T08:00"))
    clinic.add_appointment(patient, wall("2026-11-24T08:00"), "CANCELLED")
    shown = [clinic.add_appointment(patient, wall(f"2026-11-2{day}T08:00")) for day in (4, 5, 6)]
    clinic.add_appointment(patient, wall("2026-11-27T08:00"))

    details = by_name(checked(clinic, READY, online=False))["time_zone"].details

    assert [line.split(":")[0] for line in details] == [f"appointment {id_}" for id_ in shown]


def test_visits_at_night_are_suspicious(clinic: Clinic) -> None:
    clinic.add_appointment(clinic.add_patient(), wall("2026-11-24T03:00"))
    clinic.add_appointment(clinic.add_patient(), wall("2026-11-24T14:00"))

    found = by_name(checked(clinic, READY, online=False))["hours"]

    assert found.level is Level.WARNING
    assert "1 of 2. Shifted?" in found.text


def test_times_read_the_wrong_way_are_suspicious(postgres_clinic: Clinic) -> None:
    for day in (4, 5, 6, 7):
        for hour in (8, 9, 17, 18):
            start = wall(f"2026-11-2{day}T{hour:02}:00")
            postgres_clinic.add_appointment(postgres_clinic.add_patient(), start)

    right = by_name(checked(postgres_clinic, READY, online=False))["hours"]
    wrong = by_name(checked(postgres_clinic, replace(READY, stored_times="instant"), online=False))[
        "hours"
    ]

    assert right.level is Level.OK
    assert wrong.level is Level.WARNING
    assert "only 0 instead of 8 of 16" in wrong.text
    assert "STORED_TIMES" in wrong.next_step


def test_a_date_that_cannot_be_read_is_named(sqlite_clinic: Clinic) -> None:
    visit = sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), "amanhã")

    found = by_name(checked(sqlite_clinic, READY, online=False))["unreadable_dates"]

    assert found.level is Level.WARNING
    assert found.details == (f"appointments: {visit}",)


def test_statuses_that_are_none_are_named_unless_they_could_be_anything(
    sqlite_clinic: Clinic,
) -> None:
    for status in ("scheduled", "scheduled", None, "SCHEDULED", "ligar para Maria 11 98765-4321"):
        start = wall("2026-11-24T09:00")
        sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), start, status)

    found = by_name(checked(sqlite_clinic, READY, online=False))

    assert found["unreadable_statuses"].level is Level.WARNING
    assert found["unreadable_statuses"].details == (
        "'scheduled': 2",
        "another text: 1",
        "no status: 1",
    )
    assert found["due_24h"].level is Level.WARNING


def test_a_job_that_would_understand_nothing_is_a_problem(sqlite_clinic: Clinic) -> None:
    for _ in range(5):
        start = wall("2026-11-24T09:00")
        sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), start, "scheduled")

    found = by_name(checked(sqlite_clinic, READY, online=False))

    assert found["due_24h"].level is Level.PROBLEM


def test_what_a_chat_left_for_the_receptionist_is_named(clinic: Clinic) -> None:
    moved, leaving = clinic.add_patient(), clinic.add_patient()
    old = clinic.add_appointment(moved, wall("2026-11-26T10:00"))
    chat = clinic.add_conversation(moved, intent="reschedule")
    new = clinic.add_appointment(moved, wall("2026-11-27T10:00"), conversation_id=chat)
    left = clinic.add_appointment(leaving, wall("2026-11-27T11:00"))
    clinic.add_conversation(leaving, intent="cancel")

    found = by_name(checked(clinic, READY, online=False))

    assert found["moved_by_chat"].details == (f"appointments (old → new): {old} → {new}",)
    assert found["asked_to_cancel"].details == (f"appointments: {left}",)


def test_unusable_phones_are_counted_over_all_pages_and_named(clinic: Clinic) -> None:
    for number in range(1005):
        clinic.add_patient(phone=f"551198765{number:04d}")
    bad = [clinic.add_patient(phone=phone) for phone in ("12345", "sem telefone")]

    found = by_name(checked(clinic, READY, online=False))["phones"]

    assert found.text.endswith(": 2 of 1007.")
    assert found.details == (f"patients: {bad[0]}, {bad[1]}",)


def test_a_brake_that_would_hold_is_told(clinic: Clinic) -> None:
    for day in range(16, 23):
        for hour in (8, 9, 10, 11):
            clinic.add_appointment(clinic.add_patient(), wall(f"2026-11-{day}T{hour:02}:00"))

    found = by_name(checked(clinic, READY, online=False))["due_no_show"]

    assert found.level is Level.WARNING
    assert "COMPLETED" in found.text


def test_a_warning_of_a_job_says_what_is_wrong_and_what_to_do(clinic: Clinic) -> None:
    clinic.add_appointment(clinic.add_patient(), wall("2026-11-01T09:00"))

    found = by_name(checked(clinic, READY, online=False))["due_no_show"]

    assert found.level is Level.WARNING
    assert found.text.startswith("Still open")
    assert "smartia-jobs no-show --dry-run" in found.next_step
    assert found.details == ("A run now looks at 0: 0 would be sent, 1 left open.",)


@pytest.mark.parametrize(("online", "level"), [(False, Level.WARNING), (None, Level.PROBLEM)])
def test_without_a_token_nothing_can_be_sent(
    clinic: Clinic, online: bool | None, level: Level
) -> None:
    found = by_name(checked(clinic, Settings(), online=online))

    assert found["settings"].level is level
    assert "META_ACCESS_TOKEN and META_PHONE_NUMBER_ID" in found["settings"].text
    assert found["whatsapp"].text.startswith("Not asked")


def test_it_says_how_many_settings_are_set_and_what_lists_them(sqlite_clinic: Clinic) -> None:
    found = by_name(checked(sqlite_clinic, READY, online=False))["settings_in_force"]

    # Token, number, name, quiet hours, and the database.
    assert found.text.startswith(f"Not at their defaults: 5 of {len(VARIABLES)}; ")
    assert "smartia-jobs config show" in found.text
    assert found.details == ()


def test_a_clinic_without_a_name_is_told_what_patients_read(sqlite_clinic: Clinic) -> None:
    settings = replace(READY, clinic_name=Settings().clinic_name)

    found = by_name(checked(sqlite_clinic, settings, online=False))["settings"]

    assert found.level is Level.WARNING
    assert 'CLINIC_NAME is not set: patients read "sua clínica"' in found.text
    assert "set CLINIC_NAME" in found.next_step


def test_a_trial_for_some_phones_is_pointed_out(sqlite_clinic: Clinic) -> None:
    settings = replace(READY, only_to=frozenset({"+5511987654321"}))

    found = checked(sqlite_clinic, settings, online=False)

    assert by_name(found)["settings"].level is Level.WARNING
    assert "987654321" not in json.dumps(found.as_json())


@pytest.mark.parametrize(
    ("url", "copy", "told"),
    [
        ("http://127.0.0.1:8025", True, "a sandbox: nothing reaches a patient"),
        ("http://127.0.0.1:8025", False, "the patients would never get it"),
        ("https://gateway.example", False, "perhaps nothing reaches a patient"),
        ("https://graph.facebook.com", True, "reminders of a copy"),
    ],
)
def test_settings_with_which_nothing_reaches_a_patient_are_a_warning(
    sqlite_clinic: Clinic, url: str, copy: bool, told: str
) -> None:
    settings = replace(READY, meta_api_url=url, database_is_a_copy=copy)

    found = checked(sqlite_clinic, settings, online=False)

    warning = by_name(found)["settings"]
    assert (warning.level, found.exit_status) == (Level.WARNING, ExitStatus.OK)
    assert told in warning.text
    remove = "unset database_is_a_copy" if "facebook" in url else "remove meta_api_url"
    assert remove in warning.next_step.lower()


def test_a_clinic_without_quiet_hours_is_told(sqlite_clinic: Clinic) -> None:
    settings = replace(READY, quiet_hours=None, only_to=frozenset({"+5511987654321"}))

    found = by_name(checked(sqlite_clinic, settings, online=False))["settings"]

    assert found.level is Level.WARNING
    assert "ONLY_TO is set" in found.text
    assert "QUIET_HOURS is not set" in found.text
    assert "21:00-07:00" in found.next_step


def test_a_reminder_that_outlives_its_use_is_pointed_out(sqlite_clinic: Clinic) -> None:
    latest = replace(READY.times_of(DAY_AHEAD), latest=timedelta(hours=4))

    found = by_name(
        checked(
            sqlite_clinic,
            replace(READY, reminders={**READY.reminders, DAY_AHEAD.name: latest}),
            online=False,
        )
    )

    assert found["time_to_live"].level is Level.WARNING
    assert "6 h" in found["time_to_live"].text
    assert "REMINDER_24H_LATEST_HOURS (4 h)" in found["time_to_live"].text
    # The job itself warns as well.
    assert found["due_24h"].text == found["time_to_live"].text


def test_a_broken_catalogue_is_a_problem(sqlite_clinic: Clinic, tmp_path: Path) -> None:
    file = tmp_path / "messages.toml"
    file.write_text("[24h]\nbody = 7\n")

    found = by_name(checked(sqlite_clinic, replace(READY, messages_file=file), online=False))

    assert found["time_to_live"].level is Level.PROBLEM
    assert found["due_24h"].level is Level.PROBLEM


def test_on_cloud_run_a_day_that_takes_long_needs_a_longer_time_out(
    postgres_clinic: Clinic,
) -> None:
    for _ in range(50):
        postgres_clinic.add_appointment(postgres_clinic.add_patient(), wall("2026-11-24T14:30"))
    settings = replace(READY, cloud_run_job="smartia-jobs-24h", send_rate=0.1)

    found = by_name(checked(postgres_clinic, settings, online=False))["cloud_run"]

    assert found.level is Level.WARNING
    assert "15 min" in found.next_step


def test_on_cloud_run_sqlite_is_a_problem(sqlite_clinic: Clinic) -> None:
    found = offline(sqlite_clinic, replace(READY, cloud_run_job="smartia-jobs-24h"))

    assert found["cloud_run"] is Level.PROBLEM


def test_nothing_personal_and_no_secret_is_shown_or_logged(
    clinic: Clinic, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    patient = clinic.add_patient("Berenice Quaresma", "12345")
    clinic.add_appointment(patient, wall("2026-11-24T14:30"))

    shown = json.dumps(checked(clinic, READY, online=False).as_json()) + caplog.text

    assert "Berenice" not in shown
    assert "12345" not in shown
    assert "EAAverysecret" not in shown


def test_the_clock_of_the_clinic_is_shown_in_its_zone(sqlite_clinic: Clinic) -> None:
    found = checked(
        sqlite_clinic, READY, online=False, now=datetime(2026, 11, 24, 1, 5, tzinfo=UTC)
    )

    assert "Mon 23 Nov 2026, 22:05 in America/Sao_Paulo" in by_name(found)["time_zone"].text
