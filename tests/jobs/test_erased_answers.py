"""How long answers and statuses are kept, and what is left of a person who was erased."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from smartia_jobs.clock import ShiftedClock
from smartia_jobs.database import Database
from smartia_jobs.jobs.outbox import erase, purge
from smartia_jobs.settings import Settings
from smartia_jobs.store.answers import forget
from smartia_jobs.store.installation import installation_id
from smartia_jobs.store.schema import ensure
from smartia_jobs.store.tables import answers, outbox, statuses
from tests.support import Clinic

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HERS, HIS = "+5511987654321", "+5511912345678"


class Book:
    """A clinic with tables of ours, and rows in them."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.settings = Settings(database_url=clinic.url)
        with closing(Database(clinic.url)) as database:
            ensure(database, auto_migrate=True)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with closing(Database(self.clinic.url)) as database, database.write() as connection:
            yield connection

    def message(self, row_id: int, phone: str, *, patient_id: int, days: float = 1) -> None:
        with self.writing() as connection:
            connection.execute(
                insert(outbox).values(
                    id=row_id,
                    appointment_id=row_id,
                    kind="24h",
                    start=(NOW + timedelta(days=days)).replace(tzinfo=None),
                    patient_id=patient_id,
                    phone=phone,
                    state="sent",
                    run_id="a run",
                    message_id=f"wamid.{row_id}",
                    created_at=NOW,
                    updated_at=NOW,
                )
            )

    def answer(self, answer_id: int, *, ago: float = 0, **values: Any) -> None:
        came_at = NOW - timedelta(days=ago)
        with self.writing() as connection:
            connection.execute(
                insert(answers).values(
                    **{
                        "id": answer_id,
                        "message_id": f"wamid.IN{answer_id}",
                        "source": "webhook",
                        "phone": HERS.removeprefix("+"),
                        "type": "text",
                        "text": "não posso",
                        "said_at": came_at,
                        "received_at": came_at,
                        "meaning": "cancel",
                        "effect": "listed",
                        "acted_at": came_at,
                    }
                    | values
                )
            )

    def status(self, status_id: int, wamid: str, callback: str | None = None) -> None:
        with self.writing() as connection:
            connection.execute(
                insert(statuses).values(
                    id=status_id,
                    wamid=wamid,
                    status="sent",
                    said_at=NOW,
                    received_at=NOW,
                    callback=callback,
                )
            )

    def answers(self) -> dict[int, dict[str, Any]]:
        return {row["id"]: row for row in self.clinic.rows("SELECT * FROM smartia_answers")}

    def ids(self, table: str) -> list[int]:
        return [row["id"] for row in self.clinic.rows(f"SELECT id FROM {table} ORDER BY id")]


@pytest.fixture
def book(clinic: Clinic) -> Book:
    return Book(clinic)


def test_erasing_a_person_leaves_nothing_of_what_they_answered_and_keeps_what_it_holds(
    book: Book,
) -> None:
    book.message(1, HERS, patient_id=1)
    book.message(2, HIS, patient_id=2)
    book.answer(1, outbox_id=1, phone=None, payload="cancel:a:1", context_id="wamid.1")
    book.answer(2, text="obrigada", effect="courtesy")
    book.answer(3, ago=40)
    book.answer(4, acted_at=None, effect=None, meaning=None)
    book.answer(5, phone=HIS, outbox_id=2)

    erased = erase(book.settings, ShiftedClock(NOW), phone=HERS)

    left = book.answers()
    assert erased.answers == 4
    assert sorted(left) == [1, 2, 5]
    for answer_id in (1, 2):
        gone = ("phone", "text", "payload", "context_id")
        assert [left[answer_id][column] for column in gone] == [None] * 4
        assert "wamid" not in left[answer_id]["message_id"]
    assert (left[1]["outbox_id"], left[1]["effect"]) == (1, "listed")
    assert left[5]["text"] == "não posso"


def test_erasing_a_person_takes_what_whatsapp_told_of_their_messages(book: Book) -> None:
    book.message(1, HERS, patient_id=1)
    book.message(2, HIS, patient_id=2)
    with book.writing() as connection:
        installation = installation_id(connection)
    book.status(1, "wamid.1")
    book.status(2, "wamid.lost", f"{installation}:1:1")
    book.status(3, "wamid.2", f"{installation}:2:1")
    book.status(4, "wamid.foreign", "another:1:1")

    erased = erase(book.settings, ShiftedClock(NOW), phone=HERS)

    assert erased.statuses == 2
    assert book.ids("smartia_statuses") == [3, 4]


def test_purging_takes_old_answers_too_but_believes_whose_number_it_is_not(book: Book) -> None:
    book.answer(1, ago=33)
    book.answer(2, ago=31)
    book.answer(3, ago=200, meaning="not_me")
    book.answer(4, ago=200, meaning="not_me", settled_at=NOW)
    book.answer(5, ago=200, meaning=None, effect=None, acted_at=None)

    gone = purge(book.settings, ShiftedClock(NOW), older_than=timedelta(days=32))

    assert gone == 3
    assert book.ids("smartia_answers") == [2, 3]


def test_texts_are_kept_as_long_as_the_clinic_says_and_what_is_ignored_goes(book: Book) -> None:
    book.answer(1, ago=31, settled_at=None)
    book.answer(2, ago=29)
    book.answer(3, ago=31, effect="ignored")
    book.answer(4, ago=31, acted_at=None, effect=None)

    with book.writing() as connection:
        forget(connection, keep=timedelta(days=30), now=NOW)

    left = book.answers()
    assert {answer_id: row["text"] for answer_id, row in left.items()} == {
        1: None,
        2: "não posso",
        4: None,
    }


def test_what_was_ignored_is_known_as_long_as_it_may_be_delivered_again(book: Book) -> None:
    book.answer(1, ago=7, effect="ignored")

    with book.writing() as connection:
        forget(connection, keep=timedelta(days=1), now=NOW)

    assert book.ids("smartia_answers") == [1]
