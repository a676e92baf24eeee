"""Rows in one parameter: what comes out of the database's table is what was handed over."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, DateTime, String, literal, select

from smartia_jobs.batch import Batch
from smartia_jobs.database import Database, UtcDateTime
from tests.support import Clinic

NOON = datetime(2026, 11, 23, 12, 0, 5, 250_000, tzinfo=UTC)
WALL = datetime.fromisoformat("2026-11-23T09:30")


@pytest.fixture
def database(clinic: Clinic) -> Iterator[Database]:
    database = Database(clinic.url)
    yield database
    database.close()


def read_back(database: Database, *rows: dict[str, Any]) -> list[tuple[Any, ...]]:
    batch = Batch(
        database.dialect,
        id=BigInteger(),
        text=String(500),
        flag=Boolean(),
        start=DateTime(timezone=False),
        at=UtcDateTime(),
    )
    with database.read() as connection:
        found = connection.execute(select(*batch.table.c), batch.parameters(rows))
        return [tuple(row) for row in found]


def row(number: int, **values: Any) -> dict[str, Any]:
    return {"id": number, "text": "a", "flag": False, "start": WALL, "at": NOON, **values}


def test_rows_come_back_as_they_were_and_in_their_order(database: Database) -> None:
    rows = [row(3), row(1, flag=True), row(2, text=None, start=None, at=None)]

    found = read_back(database, *rows)

    assert found == [tuple(one.values()) for one in rows]


def test_no_rows_are_no_rows(database: Database) -> None:
    assert read_back(database) == []


@pytest.mark.parametrize(
    "text", ["", 'Zoë\'s "9:00"\n100% – 😊', "'); DROP TABLE patients; --", "\\u0041 {{1}}", "null"]
)
def test_any_text_is_only_text(database: Database, text: str) -> None:
    assert read_back(database, row(1, text=text))[0][1] == text


def test_an_instant_is_the_same_wherever_its_clock_stood(database: Database) -> None:
    in_tokyo = NOON.astimezone(timezone(timedelta(hours=9)))

    assert read_back(database, row(1, at=in_tokyo))[0][4] == NOON


def test_an_instant_is_stored_as_a_parameter_of_its_own_would_be(database: Database) -> None:
    batch = Batch(database.dialect, at=UtcDateTime())
    with database.read() as connection:
        same = connection.scalar(
            select(batch.table.c.at == literal(NOON, UtcDateTime())),
            batch.parameters([{"at": NOON}]),
        )

    assert same


def test_the_greatest_id_and_thousands_of_rows_fit(database: Database) -> None:
    greatest = 2**63 - 1

    found = read_back(database, *(row(greatest - number) for number in range(3000)))

    assert [one[0] for one in found] == [greatest - number for number in range(3000)]


@pytest.mark.parametrize(
    "values",
    [{"at": WALL}, {"start": NOON}],
    ids=["an instant without a zone", "a wall time with one"],
)
def test_a_moment_that_could_mean_anything_is_refused(
    database: Database, values: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="zone"):
        read_back(database, row(1, **values))


def test_what_json_does_not_have_is_refused(database: Database) -> None:
    with pytest.raises(TypeError, match="bytes"):
        read_back(database, row(1, text=b"a"))
