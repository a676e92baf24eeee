"""``check`` on a database whose rights, rows or rules stand in the jobs' way."""

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from uuid import uuid4

import psycopg
import pytest

from smartia_jobs.clock import ShiftedClock
from smartia_jobs.database import Database
from smartia_jobs.errors import ExitStatus
from smartia_jobs.jobs.checks.finding import Finding, Level
from smartia_jobs.jobs.opening import open_clinic
from smartia_jobs.run import Run
from smartia_jobs.store.schema import ensure
from tests.jobs.check_desk import NOW, by_name, checked, checked_as_it_is, wall
from tests.jobs.test_check import READY
from tests.outbox.test_schema import documented
from tests.support import Clinic
from tests.support.postgres import replica


@dataclass
class Role:
    """A role of few rights, and the clinic it works for."""

    clinic: Clinic
    name: str

    @property
    def url(self) -> str:
        return self.clinic.url.replace("postgres@", f"{self.name}@")

    def check(self) -> dict[str, Finding]:
        settings = replace(READY, database_url=self.url, stored_times="wall")
        return dict(by_name(checked_as_it_is(settings, online=False)))

    def warnings_of_a_job(self, caplog: pytest.LogCaptureFixture) -> list[str]:
        caplog.clear()
        caplog.set_level(logging.WARNING)
        settings = replace(READY, database_url=self.url, stored_times="wall")
        with closing(Database(self.url)) as database:
            open_clinic(Run("1", settings, ShiftedClock(NOW), database, NOW))
        return [line for line in caplog.messages if "row level security" in line]


@pytest.fixture
def role(postgres_clinic: Clinic) -> Iterator[Role]:
    """The documented role on a clinic with one visit and our tables."""
    name = f"jobs_{uuid4().hex[:12]}"
    for statement in documented(0, name):
        postgres_clinic.execute(statement)
    with closing(Database(postgres_clinic.url)) as database:
        ensure(database, auto_migrate=True)
    for statement in documented(2, name):
        postgres_clinic.execute(statement)
    patient = postgres_clinic.add_patient()
    postgres_clinic.add_appointment(patient, wall("2026-11-24T14:30"))
    yield Role(postgres_clinic, name)
    postgres_clinic.execute(f"DROP OWNED BY {name} CASCADE")
    postgres_clinic.execute(f"DROP ROLE {name}")


ACCESS = ("rights", "row_security", "enum_labels", "writing")


def levels(found: dict[str, Finding]) -> dict[str, Level]:
    return {name: found[name].level for name in ACCESS if found[name].level is not Level.OK}


def test_the_documented_rights_are_all_that_is_needed(role: Role) -> None:
    found = role.check()

    assert levels(found) == {}
    assert "may do all" in found["rights"].text


@pytest.mark.parametrize(
    ("revoked", "told"),
    [
        ("INSERT ON interactions", "GRANT INSERT (conversation_id, patient_id, type,"),
        ("INSERT ON conversations", "GRANT INSERT (patient_id, state, created_at, updated_at)"),
        ("UPDATE (status) ON appointments", "GRANT UPDATE (status) ON appointments"),
        ("SELECT (duration_minutes) ON appointments", "GRANT SELECT (duration_minutes)"),
        ("SELECT (name) ON patients", "GRANT SELECT (name) ON patients"),
        ("SELECT (context_data) ON conversations", "GRANT SELECT (context_data)"),
        ("USAGE ON SEQUENCE interactions_id_seq", "ON SEQUENCE interactions_id_seq"),
        ("UPDATE ON smartia_outbox", "ON smartia_outbox"),
        ("SELECT ON smartia_jobs_version", "GRANT SELECT (version_num) ON smartia_jobs_version"),
        ("USAGE ON SEQUENCE smartia_opt_outs_id_seq", "ON SEQUENCE smartia_opt_outs_id_seq"),
    ],
)
def test_a_right_that_is_lacking_is_told_as_the_grant_that_mends_it(
    role: Role, revoked: str, told: str
) -> None:
    role.clinic.execute(f"REVOKE {revoked} FROM {role.name}")

    found = role.check()["rights"]

    assert found.level is Level.PROBLEM
    (statement,) = found.details
    assert told in statement
    role.clinic.execute(statement)
    assert levels(role.check()) == {}


def test_an_identity_column_needs_no_right_on_its_sequence(role: Role) -> None:
    for table in ("interactions", "conversations"):
        role.clinic.execute(f"ALTER TABLE {table} ALTER id DROP DEFAULT")
        role.clinic.execute(f"DROP SEQUENCE {table}_id_seq")
        role.clinic.execute(f"ALTER TABLE {table} ALTER id ADD GENERATED ALWAYS AS IDENTITY")

    assert levels(role.check()) == {}


def test_a_role_that_may_not_make_our_tables_is_told_before_a_job_fails(role: Role) -> None:
    role.clinic.execute("DROP TABLE smartia_outbox, smartia_status_changes, smartia_opt_outs")
    role.clinic.execute("DROP TABLE smartia_jobs_version")

    found = role.check()["own_tables"]

    assert found.level is Level.PROBLEM
    assert "db upgrade" in found.next_step


@pytest.mark.parametrize("table", ["appointments", "patients", "conversations", "smartia_outbox"])
def test_row_security_without_a_policy_is_a_problem_and_a_warning_of_each_job(
    role: Role, caplog: pytest.LogCaptureFixture, table: str
) -> None:
    role.clinic.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    role.clinic.execute(f"CREATE POLICY others ON {table} TO pg_monitor USING (true)")

    found = role.check()["row_security"]

    assert found.level is Level.PROBLEM
    assert f"every row of {table}" in found.text
    (warning,) = role.warnings_of_a_job(caplog)
    assert f"hides every row of {table}" in warning


@pytest.mark.parametrize(
    ("policies", "level"),
    [
        (["FOR ALL USING (true)"], Level.OK),
        (["FOR SELECT USING (true)", "FOR UPDATE USING (true)"], Level.OK),
        (["FOR ALL USING (id > 1)"], Level.WARNING),
        (["FOR ALL USING (true)", "AS RESTRICTIVE FOR SELECT USING (id > 1)"], Level.WARNING),
        (["FOR UPDATE USING (true)"], Level.PROBLEM),
    ],
)
def test_what_a_policy_shows_decides(
    role: Role, caplog: pytest.LogCaptureFixture, policies: list[str], level: Level
) -> None:
    role.clinic.execute("ALTER TABLE appointments ENABLE ROW LEVEL SECURITY")
    for number, policy in enumerate(policies):
        kind, _, rest = policy.partition("FOR ")
        role.clinic.execute(f"CREATE POLICY p{number} ON appointments {kind} FOR {rest}")

    assert role.check()["row_security"].level is level
    assert len(role.warnings_of_a_job(caplog)) == (level is not Level.OK)


def test_row_security_does_not_hide_from_who_may_pass_it(role: Role) -> None:
    role.clinic.execute("ALTER TABLE appointments ENABLE ROW LEVEL SECURITY")
    role.clinic.execute(f"ALTER ROLE {role.name} BYPASSRLS")

    assert levels(role.check()) == {}


@pytest.mark.parametrize(
    ("type_", "label", "told"),
    [
        ("appointmentstatus", "SCHEDULED", "appointments.status (appointmentstatus) lacks"),
        ("conversationstate", "DONE", "conversations.state"),
        ("interactiontype", "OUTGOING", "interactions.type"),
    ],
)
def test_enums_with_other_labels_are_told_with_those_they_have(
    role: Role, type_: str, label: str, told: str
) -> None:
    role.clinic.execute(f"ALTER TYPE {type_} RENAME VALUE '{label}' TO '{label.lower()}'")

    found = role.check()["enum_labels"]

    assert found.level is Level.PROBLEM
    assert told in found.text
    assert label in found.text
    assert label.lower() in found.text


@pytest.mark.parametrize("table", ["interactions", "conversations"])
@pytest.mark.parametrize("column", ["channel", "hospital_id"])
def test_a_column_that_smartia_made_compulsory_is_told(
    clinic: Clinic, table: str, column: str
) -> None:
    assert by_name(checked(clinic, READY, online=False))["writing"].level is Level.OK
    if clinic.dialect == "sqlite":
        clinic.execute(f"DROP TABLE {table}")
        known = {
            "conversations": "patient_id, state, intent, context_data, created_at, updated_at",
            "interactions": "conversation_id, patient_id, type, message_text, message_type,"
            " provider_message_id, created_at",
        }[table]
        clinic.execute(
            f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, {known}, {column} TEXT NOT NULL,"
            " origin TEXT NOT NULL DEFAULT 'chat')"
        )
    else:
        clinic.execute(f"ALTER TABLE {table} ADD {column} text NOT NULL")
        clinic.execute(f"ALTER TABLE {table} ADD origin text NOT NULL DEFAULT 'chat'")

    found = by_name(checked(clinic, READY, online=False))["writing"]

    assert found.level is Level.PROBLEM
    assert found.text.startswith(f"{table}.{column} must have a value")
    assert found.details == ()


def test_a_sequence_behind_its_table_is_told_with_what_mends_it(role: Role) -> None:
    role.clinic.execute("INSERT INTO conversations (id, patient_id) VALUES (40, 1)")

    found = role.check()["writing"]

    assert found.level is Level.PROBLEM
    assert "the number 1 next, and 40 is taken" in found.text
    role.clinic.execute(found.text.partition("Run: ")[2].rstrip(";"))
    assert levels(role.check()) == {}


INSERTED = "INSERT INTO conversations (patient_id, state) VALUES (1, 'DONE')"


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE EXCEPTION 'o livro está fechado'; END$$;"
            "CREATE TRIGGER t BEFORE UPDATE ON appointments FOR EACH ROW EXECUTE FUNCTION no()",
            ("P0001", "o livro está fechado", "function no"),
        ),
        (
            "ALTER TABLE interactions ADD CHECK (message_type IN ('text', 'button'))",
            ("23514", "interactions_message_type_check"),
        ),
        ("ALTER TABLE interactions ALTER message_text TYPE varchar(60)", ("22001", "interactions")),
        ("ALTER TABLE interactions ALTER provider_message_id TYPE integer"
         " USING 1", ("42804", "provider_message_id")),
        (
            "ALTER SEQUENCE interactions_id_seq MAXVALUE 2; SELECT nextval('interactions_id_seq')"
            " FROM generate_series(1, 2)",
            ("2200H", "interactions_id_seq"),
        ),
        (
            "ALTER TABLE conversations ADD UNIQUE (patient_id);" + INSERTED,
            ("23505", "conversations_patient_id_key"),
        ),
        (
            "ALTER TABLE interactions ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY reading ON interactions FOR SELECT USING (true)",
            ("42501", "row-level security policy", "interactions"),
        ),
    ],
)  # fmt: skip
def test_what_only_a_trial_finds_is_told_without_a_value(
    role: Role, statement: str, told: tuple[str, ...]
) -> None:
    with psycopg.connect(role.clinic.url.replace("+psycopg", ""), autocommit=True) as owner:
        owner.execute(statement.encode())

    found = role.check()["writing"]

    assert found.level is Level.PROBLEM
    assert [part for part in told if part not in found.text] == []


def test_a_trial_leaves_nothing_behind_and_waits_for_nobody(role: Role) -> None:
    url = role.clinic.url.replace("+psycopg", "")
    with psycopg.connect(url) as other:
        other.execute("SELECT * FROM appointments FOR UPDATE")
        found = role.check()

    assert levels(found) == {}
    for table in ("conversations", "interactions"):
        assert role.clinic.value(f"SELECT count(*) AS n FROM {table}") == 0
    assert role.clinic.value("SELECT updated_at FROM appointments") is None


def test_a_clinic_without_a_patient_can_be_checked(postgres_clinic: Clinic) -> None:
    found = by_name(checked(postgres_clinic, READY, online=False))

    assert found["writing"].level is Level.OK


def test_a_database_that_is_set_to_be_only_read_is_pointed_out(role: Role) -> None:
    role.clinic.execute(f"ALTER ROLE {role.name} SET default_transaction_read_only = on")

    assert levels(role.check()) == {"writing": Level.WARNING}


def test_a_replica_is_told_as_one(role: Role) -> None:
    with replica(role.clinic.url) as url:
        settings = replace(READY, database_url=url, stored_times="wall")
        found = checked_as_it_is(settings, online=False)

    assert by_name(found)["writing"].level is Level.PROBLEM
    assert "a replica" in by_name(found)["writing"].text
    assert by_name(found)["due_24h"].level is Level.OK
    assert found.exit_status is ExitStatus.CONFIGURATION
