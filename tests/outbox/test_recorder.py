"""What becomes of outcomes when the database is busy, away, or refuses one of them."""

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import create_engine, text

from smartia_jobs.errors import ExitStatus
from smartia_jobs.report import Result
from tests.outbox.desk import Desk
from tests.support import Clinic
from tests.support.fake_sender import FakeSender


def refuse_interactions(clinic: Clinic) -> None:
    """Let the database refuse every new interaction."""
    if clinic.dialect == "sqlite":
        clinic.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON interactions"
            " BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        return
    clinic.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no'; END $$"
    )
    clinic.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON interactions FOR EACH ROW EXECUTE FUNCTION refuse()"
    )


def once(act: Callable[[], object]) -> Callable[[str], None]:
    """Act before the first request only."""
    first = threading.Lock()

    def before(_: str) -> None:
        if first.acquire(blocking=False):
            act()

    return before


def test_a_message_is_recorded_although_its_interaction_is_refused(clinic: Clinic) -> None:
    desk = Desk(clinic)
    for _ in range(3):
        desk.book()
    refuse_interactions(clinic)

    report = desk.run(FakeSender())

    assert report.results == Counter({Result.SENT: 3})
    assert set(desk.states().values()) == {"sent"}


def test_a_database_that_is_busy_for_a_while_loses_nothing(sqlite_clinic: Clinic) -> None:
    desk = Desk(sqlite_clinic)
    for _ in range(6):
        desk.book()
    other = sqlite3.connect(
        sqlite_clinic.url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False
    )
    freed = threading.Timer(7.0, lambda: other.execute("COMMIT"))

    def take_the_lock() -> None:
        other.execute("BEGIN IMMEDIATE")
        freed.start()

    sender = FakeSender(before_send=once(take_the_lock))
    report = desk.run(sender)
    freed.join()
    other.close()

    assert report.results == Counter({Result.SENT: 6})
    assert len(sender.posted) == 6
    assert sqlite_clinic.value("SELECT count(*) FROM interactions") == 6


def test_a_dropped_connection_is_taken_up_again(postgres_clinic: Clinic) -> None:
    desk = Desk(postgres_clinic)
    for _ in range(30):
        desk.book()

    def drop() -> None:
        postgres_clinic.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )

    sender = FakeSender(before_send=once(drop))
    report = desk.run(sender)

    assert report.results == Counter({Result.SENT: 30})
    assert len(sender.posted) == 30
    assert postgres_clinic.value("SELECT count(*) FROM interactions") == 30


def test_a_database_that_stays_away_ends_the_run_and_names_what_it_leaves(
    sqlite_clinic: Clinic, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(sqlite_clinic, speed=60.0)
    patient = sqlite_clinic.add_patient()
    both = [desk.book(hours=hours, patient_id=patient) for hours in (19, 20)]
    desk.book()
    other = sqlite3.connect(
        sqlite_clinic.url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False
    )
    sender = FakeSender(before_send=once(lambda: other.execute("BEGIN IMMEDIATE")))

    report = desk.run(sender)
    other.execute("ROLLBACK")
    other.close()

    assert report.exit_status is ExitStatus.UNAVAILABLE
    assert len(sender.posted) == 1  # the gate: what cannot be written is not made more of
    contexts = [getattr(record, "ctx", {}) for record in caplog.records]
    unrecorded = [context for context in contexts if context.get("action") == "unrecorded"]
    assert [(one["status"], one["kind"]) for one in unrecorded] == [("sent", "24h")] * 2
    rows = sqlite_clinic.rows("SELECT id FROM smartia_outbox")
    assert {row["id"] for row in rows} == {one["outbox_id"] for one in unrecorded}
    assert desk.states() == dict.fromkeys(both, "claimed")


@pytest.mark.parametrize(
    ("lock", "kept_out"),
    [
        ("SELECT id FROM conversations WHERE patient_id % 2 = 1 FOR UPDATE", 4),
        ("LOCK TABLE interactions IN SHARE MODE", 8),
    ],
    ids=["some dialogues", "the whole table"],
)
def test_the_sending_waits_for_only_one_lock_of_another_program(
    postgres_clinic: Clinic, lock: str, kept_out: int
) -> None:
    desk = Desk(postgres_clinic, workers=1)  # so that each outcome has a turn of its own
    for n in range(8):
        patient = postgres_clinic.add_patient()
        postgres_clinic.add_conversation(patient)
        desk.book(hours=20 + n / 10, patient_id=patient)
    posted_s: list[float] = []
    engine = create_engine(postgres_clinic.url)

    with engine.begin() as bot:
        bot.execute(text(lock))
        report = desk.run(FakeSender(before_send=lambda _: posted_s.append(time.monotonic())))
        ended_s = time.monotonic()
    engine.dispose()

    assert report.results == Counter({Result.SENT: 8})
    assert posted_s[-1] - posted_s[0] < 2 * 5.0  # the time-out of a lock
    assert ended_s - posted_s[-1] < 2 * 5.0
    assert report.interactions_missing == kept_out
    assert postgres_clinic.value("SELECT count(*) FROM interactions") == 8 - kept_out


def test_an_interaction_follows_when_the_lock_is_gone(postgres_clinic: Clinic) -> None:
    desk = Desk(postgres_clinic)
    patient = postgres_clinic.add_patient()
    postgres_clinic.add_conversation(patient)
    desk.book(patient_id=patient)
    desk.book()
    engine = create_engine(postgres_clinic.url)

    with engine.connect() as bot:
        bot.execute(text("SELECT id FROM conversations FOR UPDATE"))
        freed = threading.Timer(7.0, bot.rollback)  # after the first time-out, before a second
        freed.start()
        report = desk.run(FakeSender())
        freed.join()
    engine.dispose()

    assert report.interactions_missing == 0
    assert postgres_clinic.value("SELECT count(*) FROM interactions") == 2
