"""What is asked for each answer and each claim reads few rows, however many years are stored."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, event

from smartia_jobs.database import Database
from smartia_jobs.outbox.answered import settle_answered
from smartia_jobs.sandbox.server import Sandbox
from smartia_jobs.store import answers, told
from tests.jobs.answer_desk import AnswerDesk
from tests.support import Clinic

PHONE = "+5511987650001"
NOW = datetime(2026, 11, 23, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    "ask",
    [
        lambda connection, row: told.told_by(connection, row),
        lambda connection, row: told.told_by_message(connection, "wamid.OUT"),
        lambda connection, row: told.told_by_answered(connection, row),
        lambda connection, row: told.told_to(connection, PHONE),
        lambda connection, row: answers.acted_on(connection, [1], ["confirm"]),
        lambda connection, row: answers.settle_disputes(connection, PHONE, at=NOW),
        lambda connection, row: settle_answered(connection, row, wamid=None, said_at=NOW, at=NOW),
    ],
)
def test_no_question_about_one_answer_reads_a_whole_table(
    sqlite_clinic: Clinic, ask: Callable[[Connection, int], object]
) -> None:
    with Sandbox() as sandbox:
        desk = AnswerDesk(sqlite_clinic, sandbox)
    row = desk.tell(desk.book())
    plans: list[str] = []

    with closing(Database(sqlite_clinic.url)) as database, database.write() as connection:
        asked: list[tuple[str, Any]] = []
        event.listen(
            connection,
            "before_cursor_execute",
            lambda _, __, statement, values, *___: asked.append((statement, values)),
        )
        ask(connection, row)
        for statement, values in tuple(asked):
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            plans += [step.detail for step in plan]

    assert plans
    assert [step for step in plans if step.startswith("SCAN")] == []
