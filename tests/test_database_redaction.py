"""What an error of the database tells an operator: its own words, and never a value of a row."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from smartia_jobs.database import Database
from smartia_jobs.database.errors import explain, why
from smartia_jobs.database.redaction import raised
from smartia_jobs.errors import ConfigurationError

#: What stands in the rows: nothing of it may be told.
SECRETS = ("Maria", "Souza", "98765", "4321")
NAME = {"name": 'Maria "Lia" Souza', "phone": "11 98765-4321"}


@pytest.fixture
def postgres(smartia_postgres: str) -> Iterator[Database]:
    with closing(Database(smartia_postgres)) as opened:
        yield opened


@pytest.fixture
def sqlite(smartia_sqlite: Path) -> Iterator[Database]:
    with closing(Database(f"sqlite:///{smartia_sqlite}")) as opened:
        yield opened


def refusal(database: Database, *statements: str) -> DBAPIError:
    """Return the error of the last statement."""
    with pytest.raises(DBAPIError) as raised_error, database.write() as connection:
        for statement in statements:
            connection.execute(text(statement), NAME if ":" in statement else {})
    return raised_error.value


def trigger(body: str, table: str = "appointments") -> str:
    """Return what makes a trigger of the clinic's own that runs before each change."""
    return (
        f"CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body}; END$$;"
        f"CREATE TRIGGER guards BEFORE INSERT OR UPDATE ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION guard()"
    )


BOOKED = (
    "INSERT INTO patients (id, name, phone_number) VALUES (1, :name, :phone)",
    "INSERT INTO appointments (patient_id, title, appointment_date) VALUES (1, 't', now())",
)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("SELECT CAST(:name AS integer)", ("invalid input syntax for type integer: …",)),
        ("SELECT CAST(:name AS timestamp)", ("invalid input syntax for type timestamp: …",)),
        (
            "SELECT count(*) FROM appointments WHERE status = CAST(:name AS appointmentstatus)",
            ("invalid input value for enum appointmentstatus: …", "table appointments"),
        ),
        ("SELECT CAST('1' || :phone AS bigint)", ("invalid input syntax for type bigint: …",)),
        ("SELECT to_date(:name, 'YYYY')", ("invalid value …",)),
        (
            "INSERT INTO patients (phone_number) VALUES (:name || :name)",
            ("value too long for type character varying(20)", "table patients"),
        ),
        (
            "INSERT INTO patients (name) VALUES (:name)",
            ('column "phone_number"', "not-null", "table public.patients"),
        ),
        (
            "INSERT INTO appointments (patient_id, title, appointment_date)"
            " VALUES (7, :name, now())",
            ("foreign key", "appointments_patient_id_fkey", "table public.appointments"),
        ),
        ("SELECT name + 1 FROM patients", ("operator does not exist", "table patients")),
    ],
)
def test_postgresql_s_own_words_are_told_without_the_values(
    postgres: Database, statement: str, told: tuple[str, ...]
) -> None:
    error = refusal(postgres, statement)

    advice = explain(error)
    assert type(advice) is ConfigurationError
    assert [part for part in told if part not in str(advice)] == []
    said = f"{advice} {why(error)} {error} {error.orig} {error.__cause__}"
    assert [secret for secret in (*SECRETS, "Lia") if secret in said] == []


@pytest.mark.parametrize(
    ("body", "sqlstate", "told"),
    [
        ("RAISE EXCEPTION 'o livro está fechado'", "P0001", "o livro está fechado"),
        ("RAISE EXCEPTION 'Mês fechado' USING ERRCODE = 'check_violation'", "23514", "Mês fechado"),
        (
            "RAISE EXCEPTION 'patient % (%) owes us', (SELECT name FROM patients),"
            " (SELECT phone_number FROM patients)",
            "P0001",
            "patient …",
        ),
        (
            "NEW.patient_id := (SELECT name FROM patients)::integer",
            "22P02",
            "invalid input syntax for type integer: …",
        ),
    ],
)
def test_a_trigger_that_refuses_is_named_with_its_words(
    postgres: Database, body: str, sqlstate: str, told: str
) -> None:
    error = refusal(postgres, trigger(body), *BOOKED)

    advice = explain(error)
    assert type(advice) is ConfigurationError
    assert told in str(advice)
    assert "function guard, line 1" in str(advice) or "public.guard" in str(advice)
    assert "appointments" in str(advice)
    assert why(error).startswith(f"{sqlstate}: ")
    assert [secret for secret in SECRETS if secret in f"{advice} {why(error)} {error}"] == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("Maria Souza is blocked", "… is blocked"),
        ("patient Maria d'Ávila owes R$ 10,00", "patient … … owes R$ …"),
        ("number 11 98765-4321 of ana@example.com", "number … … of …"),
        ("visit of 'maria' refused", "visit of … refused"),
        ("blocked (maria, lia)", "blocked …"),
        ("MARIA SOUZA is blocked", "… is blocked"),
        ("don't write here", "don't write here"),
        ("Mês fechado: fale com a recepção", "Mês fechado: fale com a recepção"),
    ],
)
def test_what_may_be_a_value_in_a_trigger_s_words_is_left_out(words: str, told: str) -> None:
    assert raised(words) == told


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("INSERT INTO patients (name) VALUES (:name)", "SQLITE_CONSTRAINT_NOTNULL"),
        ("INSERT INTO patients (phone_number) VALUES (:phone)", "patients.phone_number"),
        ("INSERT INTO patients (id, phone_number) VALUES (:name, 'x')", "datatype mismatch"),
        ("UPDATE patients SET name = :name", "… is blocked"),
        ("UPDATE patients SET notes = :name", "no such function: theirs"),
    ],
)
def test_sqlite_s_own_words_are_told_without_the_values(
    sqlite: Database, statement: str, told: str
) -> None:
    error = refusal(
        sqlite,
        "INSERT INTO patients (phone_number) VALUES (:phone)",
        "CREATE TRIGGER a BEFORE UPDATE OF name ON patients"
        " BEGIN SELECT RAISE(ABORT, 'Maria Souza is blocked'); END",
        "CREATE TRIGGER b BEFORE UPDATE OF notes ON patients BEGIN SELECT theirs(); END",
        statement,
    )

    assert type(explain(error)) is ConfigurationError
    assert told in f"{explain(error)} {why(error)}"
    assert [s for s in SECRETS if s in f"{explain(error)} {why(error)} {error}"] == []
