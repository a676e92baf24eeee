"""Words back: one per answer, while it is of use and true, whatever dies or races."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, select, text

from smartia_jobs.appointment import Appointment
from smartia_jobs.clinic.interactions import write_interactions
from smartia_jobs.database import now_plus
from smartia_jobs.errors import ExitStatus
from smartia_jobs.message import Answer, Message, Phone, Verdict
from smartia_jobs.outbox.source import Source
from smartia_jobs.outbox.words_back import Reply, Word, WrittenBack, enqueue, withdraw, write_back
from smartia_jobs.run import Run, Stop
from smartia_jobs.store.schema import ensure
from smartia_jobs.store.tables import outbox
from tests.outbox.desk import Desk
from tests.support import Clinic
from tests.support.fake_sender import BUSY, LOST, NOT_SENT, REFUSED, FakeSender, always, in_turn

CLOSED = Answer(Verdict.GIVE_UP, "no free message to this person now", code=131047)


def at_all_times(_: datetime) -> bool:
    return True


def never(_: datetime) -> bool:
    return False


class Chat:
    """A desk whose patients have answered and are promised a word back."""

    def __init__(self, clinic: Clinic) -> None:
        self.desk = Desk(clinic)
        self.clinic = clinic
        self.untrue: set[int] = set()
        with self.desk.opened() as run:
            ensure(run.database, auto_migrate=True)

    def answered(self, answer_id: int, *, ago: timedelta = timedelta(minutes=1)) -> int:
        """Promise a word back to a new patient's answer; return the visit."""
        visit = self.desk.book()
        with self.desk.opened() as run:
            self.enqueue(run, answer_id, visit, ago=ago)
        return visit

    def given_up(self, *, ago: timedelta) -> None:
        """Promise a word back that WhatsApp took, and then gave up for reasons of its own."""
        self.answered(1, ago=ago)
        self.clinic.execute(
            "UPDATE smartia_outbox SET claims = 1, sent_at = created_at, message_id = 'wamid.FIRST'"
        )

    def enqueue(
        self, run: Run, answer_id: int, visit: int, *, ago: timedelta = timedelta(minutes=1)
    ) -> None:
        patient = self.clinic.value("SELECT patient_id FROM appointments WHERE id = :id", id=visit)
        with run.database.write() as connection:
            enqueue(
                connection,
                answer_id=answer_id,
                word="confirmed",
                appointment_id=visit,
                start=self.desk.now + timedelta(hours=24),
                patient_id=patient,
                phone="+5511987650001",
                said_at=run.clock.now() - ago,
                run_id=run.id,
                at=run.clock.now(),
            )

    def write(
        self,
        sender: FakeSender,
        *,
        is_quiet: Callable[[datetime], bool] = never,
        limit: int | None = None,
        stop: Stop | None = None,
        later: timedelta = timedelta(0),
    ) -> WrittenBack:
        """Send what waits, as one process would."""
        self.desk.late = later
        with self.desk.opened(limit=limit, stop=stop) as run:
            words = partial(write_interactions, message_type="text")
            source = Source(
                kind="words_back",
                next_page=lambda _: None,
                reread=lambda _, __: {},
                refusals=(),
                send_before=lambda _, now: now,
                write_interactions=words,
            )
            return write_back(run, source, sender, self._compose, is_quiet=is_quiet)

    def _compose(self, _: Connection, word: Word) -> Reply | None:
        if word.answer_id in self.untrue:
            return None
        visit = Appointment(word.appointment_id, word.patient_id, None, None, word.start)
        text = f"{word.word} {word.answer_id}"
        message = Message("words_back", word.word, "", {}, False, text, reply_to="wamid.IN")
        return Reply(Phone("+5511987650001", "+5511987650001"), message, visit)

    def rows(self) -> list[dict[str, Any]]:
        return self.clinic.rows("SELECT * FROM smartia_outbox ORDER BY id")

    def states(self) -> list[str]:
        return [row["state"] for row in self.rows()]


@pytest.fixture
def chat(clinic: Clinic) -> Chat:
    return Chat(clinic)


@pytest.fixture
def sqlite_chat(sqlite_clinic: Clinic) -> Chat:
    return Chat(sqlite_clinic)


def test_each_answer_gets_one_word_and_the_dialogue_shows_it(chat: Chat) -> None:
    chat.answered(1)
    chat.answered(2)
    sender = FakeSender()

    first, second = chat.write(sender), chat.write(sender)

    assert (first.written, second.written) == (2, 0)
    assert [one.text for one in sender.posted] == ["confirmed 1", "confirmed 2"]
    assert chat.states() == ["sent", "sent"]
    assert [row["attempts"] for row in chat.rows()] == [1, 1]
    assert [row["claims"] for row in chat.rows()] == [1, 1]
    shown = chat.clinic.rows("SELECT * FROM interactions ORDER BY id")
    assert [(row["message_text"], row["message_type"], row["type"]) for row in shown] == [
        ("confirmed 1", "text", "OUTGOING"),
        ("confirmed 2", "text", "OUTGOING"),
    ]


def test_an_answer_is_promised_one_word_at_most(chat: Chat) -> None:
    visit = chat.answered(1)
    with chat.desk.opened() as run:
        chat.enqueue(run, 1, visit)

    assert len(chat.rows()) == 1


def test_several_words_about_one_visit_are_rows_of_their_own(chat: Chat) -> None:
    visit = chat.answered(1)
    with chat.desk.opened() as run:
        chat.enqueue(run, 2, visit)

    assert [(row["turn"], row["answer_id"]) for row in chat.rows()] == [(1, 1), (2, 2)]


def test_a_younger_answer_s_word_takes_the_place_of_one_that_waits(chat: Chat) -> None:
    visit, other = chat.answered(1), chat.answered(2)
    with chat.desk.opened() as run, run.database.write() as connection:
        withdraw(connection, {visit}, run_id=run.id, at=run.clock.now())
    with chat.desk.opened() as run:
        chat.enqueue(run, 3, visit)
    sender = FakeSender()

    chat.write(sender)

    assert [one.text for one in sender.posted] == ["confirmed 2", "confirmed 3"]
    assert chat.states() == ["expired", "sent", "sent"]
    assert other != visit


def test_what_is_no_longer_true_is_not_said(chat: Chat) -> None:
    chat.answered(1)
    chat.untrue.add(1)
    sender = FakeSender()

    chat.write(sender)

    assert sender.posted == []
    assert chat.states() == ["expired"]


@pytest.mark.parametrize(("minutes", "state"), [(119, "sent"), (121, "expired")])
def test_a_word_is_of_use_for_two_hours(sqlite_chat: Chat, minutes: int, state: str) -> None:
    sqlite_chat.answered(1, ago=timedelta(minutes=minutes))

    sqlite_chat.write(FakeSender())

    assert sqlite_chat.states() == [state]


@pytest.mark.parametrize(("minutes", "state"), [(14, "sent"), (16, "retry"), (121, "expired")])
def test_quiet_hours_hold_a_word_only_when_the_patient_no_longer_looks(
    sqlite_chat: Chat, minutes: int, state: str
) -> None:
    sqlite_chat.answered(1, ago=timedelta(minutes=minutes))

    sqlite_chat.write(FakeSender(), is_quiet=at_all_times)

    assert sqlite_chat.states() == [state]


def test_a_word_that_quiet_hours_held_is_sent_when_they_end(sqlite_chat: Chat) -> None:
    sqlite_chat.answered(1, ago=timedelta(minutes=16))
    sqlite_chat.write(FakeSender(), is_quiet=at_all_times)

    assert sqlite_chat.write(FakeSender(), later=timedelta(minutes=30)).written == 1


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (CLOSED, "failed"),
        (REFUSED, "failed"),
        (Answer(Verdict.BAD_REQUEST, "no such field", code=100), "failed"),
        (LOST, "unknown"),
        (BUSY, "retry"),
        (NOT_SENT, "retry"),
        (Answer(Verdict.SLOW_DOWN, "slower", code=130429), "retry"),
        (Answer(Verdict.STOP, "the token", code=190, stop=ExitStatus.REFUSED), "retry"),
    ],
)
def test_what_whatsapp_says_is_recorded_and_ends_no_run(
    sqlite_chat: Chat, answer: Answer, state: str
) -> None:
    sqlite_chat.answered(1)

    done = sqlite_chat.write(FakeSender(always(answer)))

    assert done == WrittenBack(0)
    assert sqlite_chat.states() == [state]


def test_after_trouble_of_whatsapps_the_rest_is_left_to_the_next_run(sqlite_chat: Chat) -> None:
    for answer_id in (1, 2, 3):
        sqlite_chat.answered(answer_id)
    sender = FakeSender(in_turn(CLOSED, BUSY))

    sqlite_chat.write(sender)

    assert len(sender.posted) == 2
    assert sqlite_chat.states() == ["failed", "retry", "retry"]
    assert sqlite_chat.write(FakeSender()).written == 2


def test_a_word_that_whatsapp_gave_up_is_claimed_without_what_the_last_try_left(
    chat: Chat,
) -> None:
    chat.given_up(ago=timedelta(minutes=10))
    claimed: list[dict[str, Any]] = []

    chat.write(FakeSender(before_send=lambda _: claimed.extend(chat.rows())))

    # If its process died now, a status would find it by nothing but what was sent along.
    assert [(row["claims"], row["message_id"]) for row in claimed] == [(2, None)]
    assert chat.states() == ["sent"]


def test_a_word_that_whatsapp_took_and_gave_up_has_not_expired(chat: Chat) -> None:
    chat.given_up(ago=timedelta(minutes=121))

    chat.write(FakeSender())

    assert chat.states() == ["undelivered"]


def test_a_limit_is_kept(sqlite_chat: Chat) -> None:
    sqlite_chat.answered(1)
    sqlite_chat.answered(2)

    assert sqlite_chat.write(FakeSender(), limit=1).written == 1
    assert sqlite_chat.states() == ["sent", "retry"]


@pytest.mark.usefixtures("no_threads_left")
def test_a_bug_in_the_worker_ends_it_and_leaves_the_word_unknown(sqlite_chat: Chat) -> None:
    sqlite_chat.answered(1)
    sqlite_chat.answered(2)

    def fail(_: str) -> None:
        raise KeyError("made up")

    done = sqlite_chat.write(FakeSender(before_send=fail))

    assert done == WrittenBack(0, is_bug=True)
    assert sqlite_chat.states() == ["unknown", "retry"]


def test_a_stop_is_heard_between_two_words_and_what_was_sent_is_recorded(chat: Chat) -> None:
    chat.answered(1)
    chat.answered(2)
    stop = Stop()
    sender = FakeSender(before_send=lambda _: stop.request(ExitStatus.TERMINATED))

    chat.write(sender, stop=stop)

    assert chat.states() == ["sent", "retry"]
    assert stop.is_polled is False


def test_a_word_whose_process_died_is_never_said_again(chat: Chat) -> None:
    chat.answered(1)
    with chat.desk.opened() as run, run.database.write() as connection:
        connection.exec_driver_sql("UPDATE smartia_outbox SET state = 'claimed', claims = 1")
    sender = FakeSender()

    chat.write(sender)

    assert sender.posted == []


def test_a_word_is_claimed_for_as_long_as_a_lease_by_the_databases_clock(chat: Chat) -> None:
    chat.answered(1)
    lasts: list[tuple[bool, ...]] = []

    def look(_: str) -> None:
        with chat.desk.opened() as run, run.database.read() as connection:
            ends, lease_s = outbox.c.lease_until, run.settings.claim_lease.total_seconds()
            still = (ends > now_plus(connection, 0), ends <= now_plus(connection, lease_s))
            lasts.append(tuple(connection.execute(select(*still)).one()))

    chat.write(FakeSender(before_send=look))

    assert lasts == [(True, True)]


def test_of_two_processes_one_says_it(chat: Chat) -> None:
    chat.answered(1)
    other = FakeSender()

    def write_too(_: str) -> None:
        chat.write(other)

    chat.write(FakeSender(before_send=write_too))

    assert other.posted == []
    assert chat.states() == ["sent"]


def test_an_interaction_that_smartia_refuses_costs_nobody_the_record(chat: Chat) -> None:
    visit = chat.answered(1)
    chat.clinic.execute("UPDATE smartia_outbox SET patient_id = 999999")
    if chat.clinic.dialect == "sqlite":
        chat.clinic.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON interactions"
            " BEGIN SELECT RAISE(ABORT, 'no'); END"
        )

    chat.write(FakeSender())

    assert chat.states() == ["sent"]
    assert visit


def test_the_words_wait_for_only_one_lock_of_another_program(
    postgres_clinic: Clinic,
) -> None:
    chat = Chat(postgres_clinic)
    for answer_id in range(1, 4):
        chat.answered(answer_id)
    engine = create_engine(postgres_clinic.url)
    posted_s: list[float] = []

    with engine.begin() as bot:
        bot.execute(text("LOCK TABLE conversations IN SHARE MODE"))
        done = chat.write(FakeSender(before_send=lambda _: posted_s.append(time.monotonic())))
    engine.dispose()

    assert done.written == 3
    assert posted_s[-1] - posted_s[0] < 2 * 5.0  # the time-out of a lock
    assert chat.states() == ["sent"] * 3
