"""The sending jobs on PostgreSQL, whole: stored times, a role of few rights, a pooler."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from smartia_jobs.catalogue.definition import shipped_definitions
from smartia_jobs.sandbox.server import Sandbox
from tests.crash.site import Site, ended
from tests.outbox.test_schema import documented
from tests.support import Clinic, StartCli
from tests.support.clinic_data import SAO_PAULO
from tests.support.postgres import SCHEMA, drop_database, native

#: How far ahead a visit is that a job reminds of.
AHEAD = {"24h": timedelta(hours=24), "2h": timedelta(hours=2)}


def shipped_templates() -> list[dict[str, Any]]:
    return shipped_definitions(clinic_name="sua clínica")


@pytest.fixture
def site(postgres_clinic: Clinic, start_cli: StartCli) -> Iterator[Site]:
    with Sandbox(templates=shipped_templates()) as sandbox:
        yield Site(postgres_clinic, sandbox, start_cli)


def clinic_now() -> datetime:
    return datetime.now(SAO_PAULO).replace(tzinfo=None, microsecond=0)


@pytest.mark.parametrize("job", ["24h", "2h"])
@pytest.mark.parametrize("stored", ["wall", "instant", "timestamp"])
def test_the_hour_the_patient_is_told_is_the_clinics(site: Site, job: str, stored: str) -> None:
    clinic = site.clinic
    if stored == "timestamp":
        clinic.execute("ALTER TABLE appointments ALTER appointment_date TYPE timestamp")
        site.variables["STORED_TIMES"] = ""
    elif stored == "instant":
        clinic.stored_times = "instant"
    due = clinic_now() + AHEAD[job]
    clinic.add_appointment(clinic.add_patient(), due)

    result = site.run(job, "--json")

    assert result.exit_code == 0, result.stderr
    assert (result.json["due"], result.json["sent"]) == (1, 1)
    (message,) = site.sandbox.received
    assert f" {due.hour}:{due:%M}" in str(message["text"])


def test_without_stored_times_three_visits_are_shown_both_ways(site: Site) -> None:
    site.book(4)

    result = site.run(STORED_TIMES="")

    assert result.exit_code == 78
    error = str(result.json["error"])
    assert "STORED_TIMES" in error
    assert error.count("(wall)") == error.count("(instant)") == 3
    assert site.sandbox.received == []
    assert not site.has_tables()


def test_the_documented_grants_suffice_for_every_job(site: Site) -> None:
    clinic, role = site.clinic, f"jobs_{uuid4().hex[:12]}"
    for statement in documented(0, role):
        clinic.execute(statement)
    try:
        assert site.run("db", "upgrade").exit_code == 0
        for statement in documented(2, role):
            clinic.execute(statement)
        site.variables["AUTO_MIGRATE"] = "0"
        site.variables["DATABASE_URL"] = clinic.url.replace("postgres@", f"{role}@")
        site.book(3)
        site.book(2, hours=2)
        site.book_a_day_twice()
        seen = clinic.add_appointment(clinic.add_patient(), clinic_now() - timedelta(hours=4))
        clinic.set_status(seen, "COMPLETED")
        clinic.add_appointment(clinic.add_patient(), clinic_now() - timedelta(hours=4))

        results = [
            site.run(*command)
            for command in (
                ("24h", "--dry-run"), ("24h", "--json"), ("2h", "--json"), ("no-show", "--json"),
                ("replies",), ("replies",), ("metrics", "--json"), ("outbox",),
                ("opt-out", "add", "11987654321"),
                ("outbox", "purge", "--older-than", "180d"), ("outbox", "erase", "11987654321"),
            )
        ]  # fmt: skip

        assert [one.exit_code for one in results] == [0] * len(results), [
            one.stderr for one in results
        ]
        assert results[1].json["sent"] == 5
        assert results[2].json["sent"] == 2
        assert results[3].json["marked"] == results[3].json["sent"] == 1
    finally:
        clinic.execute(f"DROP OWNED BY {role}")
        clinic.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize("through", ["server", "pooler"])
def test_what_a_database_has_set_stops_no_job(
    site: Site, through: str, request: pytest.FixtureRequest
) -> None:
    name = site.clinic.value("SELECT current_database() AS name")
    for setting in (
        "datestyle = 'SQL, DMY'", "intervalstyle = 'sql_standard'", "extra_float_digits = -15",
        "default_transaction_isolation = 'serializable'", "default_transaction_read_only = on",
        "default_transaction_deferrable = on", "quote_all_identifiers = on", "array_nulls = off",
        "standard_conforming_strings = off", "transform_null_equals = on",
        "bytea_output = 'escape'", "row_security = off", "synchronous_commit = off",
        "client_encoding = 'latin1'", "client_min_messages = 'debug1'", "enable_seqscan = off",
        "timezone = 'Asia/Tokyo'", "search_path = elsewhere, public",
    ):  # fmt: skip
        site.clinic.execute(f"ALTER DATABASE {name} SET {setting}")
    if through == "pooler":
        site.variables["DATABASE_URL"] = request.getfixturevalue("pooler")
    site.book(3)
    site.clinic.add_appointment(
        site.clinic.add_patient(), clinic_now().replace(second=0) - timedelta(hours=4)
    )

    results = [
        site.run(*command)
        for command in (
            ("24h", "--dry-run"), ("24h", "--json"), ("no-show", "--json"), ("metrics", "--json"),
            ("check", "--offline"),
        )
    ]  # fmt: skip

    assert [one.exit_code for one in results] == [0] * 5, [one.stderr for one in results]
    assert results[1].json["sent"] == 3
    assert results[2].json["marked"] == 1


def test_a_trigger_that_refuses_ends_a_job_with_its_words(site: Site) -> None:
    site.clinic.execute(
        "CREATE FUNCTION closed() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'o livro está fechado para %', NEW.title; END$$"
    )
    site.clinic.execute(
        "CREATE TRIGGER closes BEFORE UPDATE ON appointments FOR EACH ROW EXECUTE FUNCTION closed()"
    )
    site.clinic.add_appointment(
        site.clinic.add_patient(), clinic_now() - timedelta(hours=4), title="Doutora Rita"
    )

    result = site.run("no-show", "--json")

    assert result.exit_code == 78
    assert "o livro está fechado para …" in result.json["error"]
    assert "appointments" in result.json["error"]
    assert "Rita" not in result.stdout + result.stderr


@pytest.mark.parametrize("job", ["24h", "no-show"])
def test_enums_of_an_orm_that_stores_values_end_a_job_with_postgresql_s_words(
    site: Site, job: str
) -> None:
    site.book(1)
    for name in ("SCHEDULED", "CONFIRMED", "COMPLETED", "CANCELLED", "NO_SHOW"):
        site.clinic.execute(
            f"ALTER TYPE appointmentstatus RENAME VALUE '{name}' TO '{name.lower()}'"
        )

    result = site.run(job, "--json")

    assert result.exit_code == 78
    assert "invalid input value for enum appointmentstatus" in result.json["error"]
    assert "appointments" in result.json["error"]


@pytest.fixture
def ascii_clinic(postgres_url: str) -> Iterator[Clinic]:
    """A clinic whose PostgreSQL checks no encoding."""
    name = f"ascii_{uuid4().hex}"
    with psycopg.connect(native(postgres_url, "postgres"), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII'".encode())
    with psycopg.connect(native(postgres_url, name), autocommit=True) as made:
        made.execute(SCHEMA.read_bytes())
    clinic = Clinic(postgres_url.format(database=name))
    clinic.execute("SET client_encoding = 'UTF8'")
    yield clinic
    clinic.close()
    assert not drop_database(postgres_url, name)


@pytest.mark.parametrize("column", ["name", "phone_number", "created_at"])
def test_a_row_in_another_encoding_costs_nobody_else_the_reminder(
    ascii_clinic: Clinic, start_cli: StartCli, column: str
) -> None:
    strange = {
        "name": "convert_from(decode('4a6fe36f', 'hex'), 'SQL_ASCII')",
        "phone_number": "convert_from(decode('3131203938373635a034333231', 'hex'), 'SQL_ASCII')",
        "created_at": "'infinity'",
    }
    with Sandbox(templates=shipped_templates()) as sandbox:
        site = Site(ascii_clinic, sandbox, start_cli)
        site.book(3)
        ascii_clinic.execute(f"UPDATE patients SET {column} = {strange[column]} WHERE id = 2")

        result = site.run("24h", "--json")

        assert result.exit_code == 0, result.stderr
        assert result.json["due"] == 3
        assert result.json["sent"] == (2 if column == "phone_number" else 3)
        written = ascii_clinic.value("SELECT count(*) AS n FROM interactions")
        assert written == result.json["sent"], result.stderr


def test_the_database_sees_who_is_connected_once_and_is_left_alone_afterwards(site: Site) -> None:
    site.sandbox.latency_s = 0.2
    site.book(30)
    process = site.start()
    site.wait_for_messages(3, process)

    connected = site.clinic.rows(
        "SELECT application_name FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    assert [row["application_name"] for row in connected] == ["smartia-jobs"]
    assert ended(process).exit_code == 0


@pytest.fixture
def pooler(postgres_clinic: Clinic) -> Iterator[str]:
    """A PgBouncer in transaction mode before the test's database: the URL through it."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("no pgbouncer on this machine")
    socket = Path(postgres_clinic.url.partition("?host=")[2])
    folder = socket / f"pooler-{uuid4().hex[:8]}"
    folder.mkdir()
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={socket} user=postgres\n[pgbouncer]\nlisten_addr =\n"
        f"unix_socket_dir = {folder}\nlisten_port = 6432\nauth_type = any\n"
        "pool_mode = transaction\ndefault_pool_size = 2\n"
    )
    owner = socket.stat()
    root = owner.st_uid != folder.stat().st_uid
    shutil.chown(folder, owner.st_uid, owner.st_gid)
    process = subprocess.Popen(
        [program, "--quiet", settings],
        user=owner.st_uid if root else None,
        group=owner.st_gid if root else None,
        extra_groups=[] if root else None,
        stderr=subprocess.DEVNULL,
    )
    url = postgres_clinic.url.partition("?")[0] + f"?host={folder}&port=6432"
    with process:
        for _ in range(200):
            try:
                psycopg.connect(url.replace("+psycopg", "")).close()
                break
            except psycopg.OperationalError:
                assert process.poll() is None
                time.sleep(0.05)
        yield url
        process.terminate()
    shutil.rmtree(folder)


def test_more_processes_than_connections_share_the_work_behind_a_pooler(
    site: Site, pooler: str
) -> None:
    site.book(60)
    site.variables["DATABASE_URL"] = pooler

    results = site.run_together(4, {})

    assert [one.exit_code for one in results] == [0] * 4, [one.stderr for one in results]
    assert sum(one.json["sent"] for one in results) == 60
    site.check()
