"""A database that fails at the worst moments of a run: everybody is accounted for, once."""

import random
import sqlite3
import threading
import time
from collections import Counter
from typing import Any

import pytest
from sqlalchemy.exc import ProgrammingError

from smartia_jobs.errors import ExitStatus
from smartia_jobs.message import Answer, Verdict
from smartia_jobs.outbox import recorder
from smartia_jobs.outbox.records import Finished
from smartia_jobs.outbox.workers import Workers
from smartia_jobs.report import Result
from smartia_jobs.run import Stop
from tests.outbox.faulty_desk import Fault, FaultyDesk
from tests.support import Clinic
from tests.support.fake_sender import ACCEPTED, BUSY, FakeSender, FreeRate, in_turn


class OneATurn(FreeRate):
    """Room for one more message in each turn."""

    def room(self, horizon_s: float) -> int:
        """One."""
        return 1


@pytest.mark.parametrize("seed", range(4))
def test_no_lost_turn_and_no_lost_commit_sends_twice_or_forgets(clinic: Clinic, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same faults each time
    faults = (Fault.BEFORE, Fault.AFTER, None, None, None, None)
    desk = FaultyDesk(clinic, speed=50.0, faults=lambda _, __: chance.choice(faults))
    for n in range(40):
        desk.book(hours=20 + n / 10)
    patient = clinic.add_patient("Ana")
    desk.book(hours=24, patient_id=patient)
    desk.book(hours=30, patient_id=patient)
    busy: set[str] = set()

    def busy_once(phone: str, before: int) -> Answer:
        if before % 7 != 3 or phone in busy:  # the third time a message would wait for another run
            return ACCEPTED
        busy.add(phone)
        return BUSY

    sender = FakeSender(busy_once)

    report = desk.run(sender)

    assert report.results == Counter({Result.SENT: 42})
    assert (report.due, report.messages) == (42, 41)
    assert len(sender.posted) == 41 + len(busy)
    assert busy
    assert clinic.value("SELECT count(*) FROM interactions") == 41


def test_a_read_that_fails_forgets_nobody_who_was_about_to_be_claimed(clinic: Clinic) -> None:
    desk = FaultyDesk(
        clinic,
        workers=16,
        faults=lambda kind, n: Fault.BEFORE if (kind, n) == ("read", 1) else None,
    )
    for n in range(505):  # the second page is read with the last of the first in hand
        desk.book(hours=20 + n / 100)

    report = desk.run(FakeSender())

    assert report.results == Counter({Result.SENT: 505})


def test_a_database_that_cannot_even_be_read_ends_the_run(clinic: Clinic) -> None:
    desk = FaultyDesk(clinic, speed=300.0, faults=lambda _, __: Fault.BEFORE)
    desk.book()
    sender = FakeSender()

    report = desk.run(sender)

    assert sender.posted == []
    assert report.exit_status is ExitStatus.UNAVAILABLE


def test_a_database_that_refuses_a_claim_loses_no_answer_in_flight(clinic: Clinic) -> None:
    refused = threading.Event()

    def refuse(kind: str, n: int) -> None:
        if (kind, n) == ("write", 2):
            refused.set()
            raise ProgrammingError("INSERT", None, sqlite3.OperationalError("no such column: a"))

    desk = FaultyDesk(clinic, workers=4, faults=refuse)
    for n in range(8):
        desk.book(hours=20 + n / 10)
    first = clinic.value("SELECT min(phone_number) FROM patients")

    def answer_late(wire: str) -> None:
        if first not in wire:  # which goes alone
            refused.wait(20)

    sender = FakeSender(before_send=answer_late)
    sender.rate = OneATurn()

    with pytest.raises(ProgrammingError):
        desk.run(sender)

    assert len(sender.posted) == 2
    assert Counter(desk.states().values()) == {"sent": 2}


def test_a_database_that_comes_back_too_late_is_no_success(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "GIVE_UP_AFTER_S", 1.0)
    failed = 0

    def away_until_the_run_gives_up(kind: str, _: int) -> Fault | None:
        nonlocal failed
        if kind == "read" or not sender.posted or failed > 4:
            return None
        failed += 1
        return Fault.BEFORE

    desk = FaultyDesk(clinic, workers=1, faults=away_until_the_run_gives_up)
    for n in range(6):
        desk.book(hours=20 + n)
    sender = FakeSender()

    report = desk.run(sender)

    assert report.results[Result.SENT] == 1
    assert report.results[Result.LEFT] == 5
    assert report.exit_status is ExitStatus.UNAVAILABLE


def test_a_lost_commit_counts_a_request_error_once(clinic: Clinic) -> None:
    lost = False

    def lose_the_commit(kind: str, _: int) -> Fault | None:
        nonlocal lost
        if kind == "read" or len(sender.posted) != 1 or lost:
            return None
        lost = True
        return Fault.AFTER

    desk = FaultyDesk(clinic, workers=1, faults=lose_the_commit)
    desk.book(hours=20)
    desk.book(hours=21)
    bad = Answer(Verdict.BAD_REQUEST, "a parameter is missing", code=131008)
    sender = FakeSender(in_turn(bad, ACCEPTED))

    report = desk.run(sender)

    assert report.results == Counter({Result.RETRY: 1, Result.SENT: 1})
    assert clinic.value("SELECT max(request_errors) FROM smartia_outbox") == 1


def test_a_forced_exit_names_answers_that_nobody_had_the_time_to_collect(
    clinic: Clinic, caplog: pytest.LogCaptureFixture
) -> None:
    stop, hanging = Stop(), threading.Event()

    def hang(kind: str, _: int) -> None:
        if kind == "write" and len(answered) == 2 and not hanging.is_set():
            hanging.set()
            time.sleep(0.3)  # the third answer arrives
            stop.on_forced_exit()

    def answer(wire: str) -> None:
        if last in wire:
            hanging.wait(20)
        answered.append(wire)

    desk = FaultyDesk(clinic, workers=2, faults=hang)
    for n in range(3):
        desk.book(hours=20 + n)
    answered: list[str] = []
    last = clinic.value("SELECT max(phone_number) FROM patients")

    report = desk.run(FakeSender(before_send=answer), stop=stop)

    contexts = [getattr(record, "ctx", {}) for record in caplog.records]
    named = [one["outbox_id"] for one in contexts if one.get("action") == "unrecorded"]
    rows = clinic.rows("SELECT id FROM smartia_outbox ORDER BY id")
    assert sorted(named) == [row["id"] for row in rows][1:]
    assert report.results == Counter({Result.SENT: 3})


def test_an_answer_that_comes_while_the_database_is_tried_for_the_last_time_is_recorded(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing, last_try, answered = (threading.Event() for _ in range(3))
    shut_down, deliver = Workers.shut_down, Workers._deliver

    def shutting_down(self: Workers) -> None:
        landing.set()
        shut_down(self)

    def delivered(self: Workers, task: Any) -> Finished:
        finished = deliver(self, task)
        if last_try.is_set():
            answered.set()
        return finished

    monkeypatch.setattr(Workers, "shut_down", shutting_down)
    monkeypatch.setattr(Workers, "_deliver", delivered)

    def outlast_the_deadline(kind: str, _: int) -> None:
        if kind == "write" and landing.is_set() and not last_try.is_set():
            last_try.set()
            answered.wait(20)
            time.sleep(1.2)  # longer than last answers are waited for, on the run's clock

    desk = FaultyDesk(clinic, workers=2, speed=8.0, faults=outlast_the_deadline)
    for _ in range(3):
        desk.book()
    stop, both_out = Stop(), threading.Barrier(2)

    def answer_in_landing(_: str) -> None:
        if len(sender.posted) == 1:  # which goes alone
            return
        if both_out.wait(20) == 0:
            stop.request(ExitStatus.TERMINATED)
            landing.wait(20)
        else:
            last_try.wait(20)

    sender = FakeSender(before_send=answer_in_landing)

    report = desk.run(sender, stop=stop)

    assert report.results == Counter({Result.SENT: 3})
    assert Counter(desk.states().values()) == {"sent": 3}
