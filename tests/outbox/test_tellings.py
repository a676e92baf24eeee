"""Who was told what last: nobody is told the same twice in a row, and the last of it is true."""

import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartia_jobs.appointment import Appointment
from smartia_jobs.database import Database, lock_names
from smartia_jobs.message import Answer, Message
from smartia_jobs.outbox.admin import Resolution, entries, resolve
from smartia_jobs.report import Reason
from tests.outbox.desk import Desk
from tests.support import Clinic
from tests.support.clinic_data import create_sqlite
from tests.support.fake_sender import (
    ACCEPTED,
    BUSY,
    LOST,
    REFUSED,
    FakeSender,
    always,
)

ANA, BIA = "5521987650001", "5521987650002"


@pytest.fixture
def desk(clinic: Clinic) -> Desk:
    return Desk(clinic)


def told(desk: Desk, answer: Answer = ACCEPTED, *, resend: bool = False) -> list[str]:
    """Run once; return what was posted, as phone and hours."""
    sender = FakeSender(always(answer))
    desk.run(sender, resend=resend)
    return [f"{one.phone[-4:]} {one.text}" for one in sender.posted]


def skipped(desk: Desk) -> dict[str, int]:
    """Run once more; return why nothing was sent."""
    sender = FakeSender()
    report = desk.run(sender)
    assert sender.posted == []
    return dict(report.skipped)


def tomorrow_at(desk: Desk, clock: int, patient_id: int) -> int:
    return desk.book(hours=15 + clock, patient_id=patient_id)


def move(desk: Desk, visit: int, clock: int) -> None:
    desk.clinic.move(visit, (desk.now + timedelta(days=1)).replace(hour=clock))


def rows(desk: Desk) -> list[tuple[int, str]]:
    found = desk.clinic.rows("SELECT turn, state FROM smartia_outbox ORDER BY id")
    return [(row["turn"], row["state"]) for row in found]


# -- one visit, moved ---------------------------------------------------------------------------


def test_a_visit_moved_away_and_back_is_told_each_time(desk: Desk) -> None:
    visit = tomorrow_at(desk, 9, desk.clinic.add_patient("Ana", ANA))
    words = [told(desk)]

    for clock in (12, 9):
        move(desk, visit, clock)
        words.append(told(desk))

    assert words == [["0001 09:00"], ["0001 12:00"], ["0001 09:00"]]
    assert rows(desk) == [(1, "sent"), (2, "sent"), (3, "sent")]
    assert skipped(desk) == {Reason.ALREADY_SENT: 1}


def test_a_visit_moved_back_before_the_new_time_left_is_told_nothing(desk: Desk) -> None:
    visit = tomorrow_at(desk, 9, desk.clinic.add_patient("Ana", ANA))
    told(desk)
    move(desk, visit, 12)
    assert set(told(desk, BUSY)) == {"0001 12:00"}
    move(desk, visit, 9)

    assert skipped(desk) == {Reason.ALREADY_SENT: 1}
    assert rows(desk) == [(1, "sent"), (2, "expired")]


def test_a_row_that_never_left_tells_the_new_time(desk: Desk) -> None:
    visit = tomorrow_at(desk, 9, desk.clinic.add_patient("Ana", ANA))
    told(desk, BUSY)
    move(desk, visit, 12)

    assert told(desk) == ["0001 12:00"]
    assert rows(desk) == [(1, "sent")]


def test_what_may_have_arrived_is_followed_by_the_new_time(desk: Desk) -> None:
    visit = tomorrow_at(desk, 9, desk.clinic.add_patient("Ana", ANA))
    told(desk, LOST)
    move(desk, visit, 12)

    assert told(desk) == ["0001 12:00"]
    move(desk, visit, 9)
    assert told(desk) == ["0001 09:00"]
    assert rows(desk) == [(1, "unknown"), (2, "sent"), (3, "sent")]


def test_an_unknown_message_is_resent_once_and_by_its_own_row(desk: Desk) -> None:
    tomorrow_at(desk, 9, desk.clinic.add_patient("Ana", ANA))
    told(desk, LOST)

    assert told(desk, LOST, resend=True) == ["0001 09:00"]
    assert told(desk, resend=True) == []
    assert rows(desk) == [(1, "unknown")]


def test_of_a_group_only_the_visit_that_moved_is_told(desk: Desk) -> None:
    ana = desk.clinic.add_patient("Ana", ANA)
    first, second = (tomorrow_at(desk, clock, ana) for clock in (9, 11))
    assert told(desk) == ["0001 09:00 e 11:00"]

    move(desk, first, 10)
    assert told(desk) == ["0001 10:00"]
    move(desk, second, 15)
    assert told(desk) == ["0001 15:00"]
    assert skipped(desk) == {Reason.ALREADY_SENT: 2}


# -- another recipient --------------------------------------------------------------------------


def test_a_reminded_visit_given_to_another_patient_is_told_to_them(desk: Desk) -> None:
    visit = tomorrow_at(desk, 9, desk.clinic.add_patient("Ana", ANA))
    told(desk)
    bia = desk.clinic.add_patient("Bia", BIA)
    desk.clinic.execute("UPDATE appointments SET patient_id = :p WHERE id = :id", p=bia, id=visit)

    assert told(desk) == ["0002 09:00"]
    assert rows(desk) == [(1, "sent"), (2, "sent")]


def test_a_phone_corrected_and_corrected_back_is_told_each_time(desk: Desk) -> None:
    ana = desk.clinic.add_patient("Ana", ANA)
    tomorrow_at(desk, 9, ana)
    words = [told(desk)]

    for phone in (BIA, ANA):
        desk.clinic.set_phone(ana, phone)
        words.append(told(desk))

    assert words == [["0001 09:00"], ["0002 09:00"], ["0001 09:00"]]


def test_a_phone_typed_otherwise_is_the_same_recipient(desk: Desk) -> None:
    ana = desk.clinic.add_patient("Ana", ANA)
    tomorrow_at(desk, 9, ana)
    told(desk)
    desk.clinic.set_phone(ana, "(21) 98765-0001")

    assert skipped(desk) == {Reason.ALREADY_SENT: 1}


def test_an_erased_row_counts_as_told(desk: Desk) -> None:
    tomorrow_at(desk, 9, desk.clinic.add_patient("Ana", ANA))
    told(desk)
    desk.clinic.execute("UPDATE smartia_outbox SET phone = NULL, message_id = NULL")

    assert skipped(desk) == {Reason.ALREADY_SENT: 1}


def test_an_id_that_smartia_uses_again_is_another_patients_visit(sqlite_clinic: Clinic) -> None:
    desk = Desk(sqlite_clinic)
    visit = tomorrow_at(desk, 9, sqlite_clinic.add_patient("Ana", ANA))
    told(desk)
    sqlite_clinic.delete_appointment(visit)
    again = tomorrow_at(desk, 9, sqlite_clinic.add_patient("Bia", BIA))
    assert again == visit

    assert told(desk) == ["0002 09:00"]


def test_an_id_of_ours_never_comes_again(clinic: Clinic) -> None:
    desk = Desk(clinic)
    tomorrow_at(desk, 9, clinic.add_patient("Ana", ANA))
    told(desk)
    before = clinic.value("SELECT max(id) FROM smartia_outbox")
    clinic.execute("DELETE FROM smartia_outbox")

    told(desk)

    assert clinic.value("SELECT min(id) FROM smartia_outbox") > before


# -- another row of the same visit --------------------------------------------------------------


def test_a_row_that_is_deleted_and_written_again_is_told_once(desk: Desk) -> None:
    ana = desk.clinic.add_patient("Ana", ANA)
    desk.book(hours=35, patient_id=desk.clinic.add_patient("Rui"))  # keeps ids from coming again
    visit = tomorrow_at(desk, 9, ana)
    told(desk)
    newest = desk.book(hours=200, patient_id=ana)
    desk.clinic.delete_appointment(visit)
    again = tomorrow_at(desk, 9, ana)
    assert again > newest

    assert skipped(desk)[Reason.ALREADY_TOLD] == 1
    assert skipped(desk)[Reason.ALREADY_SENT] == 2
    leader, follower = desk.clinic.rows(
        "SELECT id, leader_id, state FROM smartia_outbox WHERE appointment_id IN (:a, :b)"
        " ORDER BY id",
        a=visit,
        b=again,
    )
    assert (follower["leader_id"], follower["state"]) == (leader["id"], "sent")


def test_a_dry_run_agrees_that_it_was_told(desk: Desk) -> None:
    ana = desk.clinic.add_patient("Ana", ANA)
    visit = tomorrow_at(desk, 9, ana)
    told(desk)
    desk.clinic.set_status(visit, "CANCELLED")
    tomorrow_at(desk, 9, ana)

    report = desk.run(FakeSender(), dry_run=True)

    assert report.skipped == {Reason.ALREADY_TOLD: 1}


@pytest.mark.parametrize("ended", ["CANCELLED", "NO_SHOW", "SCHEDULED"])
def test_a_visit_booked_again_for_the_same_hour_is_told_once(desk: Desk, ended: str) -> None:
    ana = desk.clinic.add_patient("Ana", ANA)
    visit = tomorrow_at(desk, 9, ana)
    told(desk)
    desk.clinic.set_status(visit, ended)
    tomorrow_at(desk, 9, ana)

    assert skipped(desk)[Reason.ALREADY_TOLD] == 1


def test_a_visit_booked_again_for_another_hour_is_told(desk: Desk) -> None:
    ana = desk.clinic.add_patient("Ana", ANA)
    visit = tomorrow_at(desk, 9, ana)
    told(desk)
    desk.clinic.set_status(visit, "CANCELLED")
    tomorrow_at(desk, 10, ana)

    assert told(desk) == ["0001 10:00"]


def test_another_patient_with_the_same_phone_and_hour_is_told(desk: Desk) -> None:
    tomorrow_at(desk, 9, desk.clinic.add_patient("Ana", ANA))
    told(desk)
    tomorrow_at(desk, 9, desk.clinic.add_patient("Filho", ANA.replace("219", "21")))

    assert told(desk) == ["0001 09:00"]


def test_a_twin_whose_patient_was_told_another_time_since_is_told(desk: Desk) -> None:
    ana = desk.clinic.add_patient("Ana", ANA)
    visit = tomorrow_at(desk, 9, ana)
    told(desk)
    move(desk, visit, 12)
    told(desk)
    desk.clinic.set_status(visit, "CANCELLED")
    tomorrow_at(desk, 9, ana)

    assert told(desk) == ["0001 09:00"]


def test_a_visit_written_again_while_its_message_is_in_flight_is_told_once(desk: Desk) -> None:
    ana = desk.clinic.add_patient("Ana", ANA)
    visit = tomorrow_at(desk, 9, ana)
    meanwhile = FakeSender()
    reasons: list[dict[str, int]] = []

    def write_again(_: str) -> None:
        desk.clinic.set_status(visit, "CANCELLED")
        tomorrow_at(desk, 9, ana)
        reasons.append(dict(desk.run(meanwhile).skipped))

    desk.run(FakeSender(before_send=write_again))

    assert meanwhile.posted == []
    assert reasons == [{Reason.BEING_SENT_ELSEWHERE: 1}]
    assert skipped(desk) == {Reason.ALREADY_TOLD: 1}


def test_a_visit_written_again_of_which_nobody_knows_whether_it_was_told_is_held(
    desk: Desk,
) -> None:
    ana = desk.clinic.add_patient("Ana", ANA)
    visit = tomorrow_at(desk, 9, ana)
    told(desk, LOST)
    tomorrow_at(desk, 9, ana)

    assert skipped(desk) == {Reason.HELD_UNKNOWN: 2}
    assert told(desk, resend=True) == ["0001 09:00"]
    assert told(desk, resend=True) == []
    assert skipped(desk) == {Reason.ALREADY_SENT: 2}
    assert desk.states()[visit] == "sent"


def test_a_visit_written_again_moved_and_moved_back_before_it_left_is_told_nothing(
    desk: Desk,
) -> None:
    ana = desk.clinic.add_patient("Ana", ANA)
    visit = tomorrow_at(desk, 9, ana)
    told(desk)
    desk.clinic.set_status(visit, "CANCELLED")
    again = tomorrow_at(desk, 12, ana)
    assert set(told(desk, BUSY)) == {"0001 12:00"}
    move(desk, again, 9)

    assert skipped(desk) == {Reason.ALREADY_TOLD: 1}
    assert skipped(desk) == {Reason.ALREADY_SENT: 1}


def test_a_second_visit_at_the_hour_that_the_first_has_left_is_told(desk: Desk) -> None:
    ana = desk.clinic.add_patient("Ana", ANA)
    first = tomorrow_at(desk, 9, ana)
    told(desk)
    move(desk, first, 12)
    tomorrow_at(desk, 9, ana)

    assert told(desk) == ["0001 09:00 e 12:00"]


def test_a_retry_to_a_phone_that_was_corrected_back_expires(desk: Desk) -> None:
    ana = desk.clinic.add_patient("Ana", ANA)
    tomorrow_at(desk, 9, ana)
    told(desk)
    desk.clinic.set_phone(ana, BIA)
    assert set(told(desk, BUSY)) == {"0002 09:00"}
    desk.clinic.set_phone(ana, ANA)

    assert skipped(desk) == {Reason.ALREADY_SENT: 1}
    assert rows(desk) == [(1, "sent"), (2, "expired")]


def test_a_phone_that_is_entered_later_reopens_a_visit(sqlite_clinic: Clinic) -> None:
    desk = Desk(sqlite_clinic)
    ana = sqlite_clinic.add_patient("Ana", "")
    tomorrow_at(desk, 9, ana)
    assert told(desk) == []
    assert rows(desk) == [(1, "failed")]
    sqlite_clinic.set_phone(ana, ANA)

    assert told(desk) == ["0001 09:00"]


# -- two processes ------------------------------------------------------------------------------


def test_of_two_processes_one_has_the_new_turn(desk: Desk) -> None:
    visits = [tomorrow_at(desk, 9, desk.clinic.add_patient()) for _ in range(20)]
    desk.run(FakeSender())
    for visit in visits:
        move(desk, visit, 12)
    senders = [FakeSender(), FakeSender()]

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(desk.run, senders))

    posted = [one.phone for sender in senders for one in sender.posted]
    assert len(posted) == len(set(posted)) == 20


def test_where_statuses_are_heard_an_unknown_message_waits_half_an_hour_for_one(
    desk: Desk,
) -> None:
    desk.book()
    assert told(desk, LOST) != []
    desk.clinic.execute(
        "INSERT INTO smartia_statuses (wamid, status, said_at, received_at, callback)"
        " VALUES ('wamid.X', 'read', '2026-11-23', '2026-11-23', 'word:99:1')"
    )
    assert told(desk, resend=True) == []

    minutes = {"sqlite": "datetime('now', '-31 minutes') || '.000000'"}
    earlier = minutes.get(desk.clinic.dialect, "now() - interval '31 minutes'")
    desk.clinic.execute(f"UPDATE smartia_outbox SET claimed_at = {earlier}")

    assert len(told(desk, resend=True)) == 1


def test_two_runs_that_resend_what_is_unknown_resend_it_once(desk: Desk) -> None:
    visit = tomorrow_at(desk, 9, desk.clinic.add_patient("Ana", ANA))
    told(desk, LOST)
    move(desk, visit, 12)
    told(desk, BUSY)
    move(desk, visit, 9)
    meanwhile = FakeSender()

    def run_meanwhile(_: str) -> None:
        desk.run(meanwhile, resend=True)

    sender = FakeSender(before_send=run_meanwhile)
    desk.run(sender, resend=True)

    assert [one.text for one in (*sender.posted, *meanwhile.posted)] == ["09:00"]


def test_what_a_person_settles_while_a_run_claims_it_is_not_sent_again(
    postgres_clinic: Clinic,
) -> None:
    desk = Desk(postgres_clinic)
    desk.book()
    told(desk, LOST)

    class Settled(FakeSender):
        """Writes its message between the look at the rows and the claim."""

        def write(self, visits: Sequence[Appointment]) -> Message:
            with desk.opened() as run, run.database.write() as connection:
                (row,) = entries(connection)
                resolve(connection, [row.id], Resolution.SENT, at=run.clock.now())
            return super().write(visits)

    sender = Settled()
    desk.run(sender, resend=True)

    assert sender.posted == []
    assert list(desk.states().values()) == ["sent"]


def test_a_name_that_one_process_holds_makes_the_other_wait(postgres_clinic: Clinic) -> None:
    holder, waiter = Database(postgres_clinic.url), Database(postgres_clinic.url)
    order: list[str] = []

    def wait() -> None:
        with waiter.write() as connection:
            lock_names(connection, {"b", "a"})
            order.append("waiter")

    with ThreadPoolExecutor(1) as pool, holder.write() as connection:
        lock_names(connection, {"a"})
        waiting = pool.submit(wait)
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not postgres_clinic.value(waits):
            assert not waiting.done()
        order.append("holder")
        connection.rollback()
        waiting.result(20)
    holder.close()
    waiter.close()

    assert order == ["holder", "waiter"]


def test_a_visit_written_again_while_its_first_row_is_claimed_is_told_once(
    postgres_clinic: Clinic,
) -> None:
    desk = Desk(postgres_clinic)
    ana = desk.clinic.add_patient("Ana", ANA)
    first = tomorrow_at(desk, 9, ana)
    desk.run(FakeSender(), limit=0)  # makes the tables
    other = FakeSender()

    class Overtaken(FakeSender):
        """Lets another process run between the look at the rows and the claim."""

        def write(self, visits: Sequence[Appointment]) -> Message:
            desk.clinic.set_status(first, "CANCELLED")
            tomorrow_at(desk, 9, ana)
            running = pool.submit(desk.run, other)
            waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while not (running.done() or desk.clinic.value(waits)):
                time.sleep(0.01)
            return super().write(visits)

    sender = Overtaken()
    with ThreadPoolExecutor(1) as pool:
        desk.run(sender)

    assert [one.text for one in (*sender.posted, *other.posted)] == ["09:00"]


def test_of_two_rows_of_one_visit_two_processes_tell_one(clinic: Clinic) -> None:
    desk = Desk(clinic)
    people = [clinic.add_patient() for _ in range(15)]
    visits = [tomorrow_at(desk, 9, one) for one in people]
    senders = [FakeSender(), FakeSender()]

    def write_again_and_run() -> None:
        for visit, person in zip(visits, people, strict=True):
            clinic.set_status(visit, "CANCELLED")
            tomorrow_at(desk, 9, person)
        desk.run(senders[1])

    with ThreadPoolExecutor(2) as pool:
        early, late = pool.submit(desk.run, senders[0]), pool.submit(write_again_and_run)
        early.result()
        late.result()
    desk.run(senders[1])

    posted = [one.phone for sender in senders for one in sender.posted]
    assert len(posted) == len(set(posted)) == 15


# -- any history --------------------------------------------------------------------------------

CLOCKS = (9, 12, 15)
ANSWERS = {"accepted": ACCEPTED, "busy": BUSY, "refused": REFUSED, "lost": LOST}


@dataclass
class History:
    """A clinic of three patients with a visit each, and what each visit was told, in order."""

    desk: Desk
    people: list[int] = field(default_factory=list)
    visits: list[int] = field(default_factory=list)
    clocks: list[int] = field(default_factory=lambda: [9, 12, 15])
    phones: list[str] = field(default_factory=list)
    tellings: dict[int, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    refused: set[tuple[int, str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for place in range(3):
            self.phones.append(self.phone(place, 0))
            self.people.append(self.desk.clinic.add_patient(phone=self.phones[place]))
            self.visits.append(tomorrow_at(self.desk, self.clocks[place], self.people[place]))

    @staticmethod
    def phone(place: int, which: int) -> str:
        return f"55119876510{place}{which}"

    def move(self, place: int, clock: int) -> None:
        self.clocks[place] = clock
        move(self.desk, self.visits[place], clock)

    def correct_phone(self, place: int, which: int) -> None:
        self.phones[place] = self.phone(place, which)
        self.desk.clinic.set_phone(self.people[place], self.phones[place])

    def set_status(self, place: int, status: str) -> None:
        self.desk.clinic.set_status(self.visits[place], status)

    def write_again(self, place: int) -> None:
        """Delete the visit and book it again, as a program that synchronises does."""
        self.desk.clinic.delete_appointment(self.visits[place])
        visit = tomorrow_at(self.desk, self.clocks[place], self.people[place])
        self.visits[place] = visit

    def run(self, answers: list[str]) -> None:
        """Run once, answered in turn so, then accepted; note who was told what."""

        def answer(_: str, before: int) -> Answer:
            return ANSWERS[answers[before]] if before < len(answers) else ACCEPTED

        sender = FakeSender(answer)
        self.desk.workers = 1
        self.desk.run(sender)
        for before, one in enumerate(sender.posted):
            place = int(one.phone[-2])
            word = answers[before] if before < len(answers) else "accepted"
            if word in ("accepted", "lost"):
                assert self.tellings[place][-1:] != [(one.phone, one.text)], "told twice in a row"
                self.tellings[place].append((one.phone, one.text))
            elif word == "refused":
                self.refused.add((place, one.phone, one.text))

    def check(self) -> None:
        """Assert that the last word of every open visit is true."""
        for place, visit in enumerate(self.visits):
            if self.desk.clinic.status(visit) != "SCHEDULED":
                continue
            truth = f"+{self.phones[place]}", f"{self.clocks[place]:02}:00"
            if (place, *truth) not in self.refused:
                told = [one for one in self.tellings[place] if one[0] == truth[0]]
                assert told[-1:] == [truth], (place, truth)


PLACES = st.integers(0, 2)
STEPS = st.one_of(
    st.tuples(st.just("move"), PLACES, st.sampled_from(CLOCKS)),
    st.tuples(st.just("correct_phone"), PLACES, st.integers(0, 1)),
    st.tuples(st.just("set_status"), PLACES, st.sampled_from(["SCHEDULED", "CANCELLED"])),
    st.tuples(st.just("write_again"), PLACES),
    st.tuples(st.just("run"), st.lists(st.sampled_from(sorted(ANSWERS)), max_size=4)),
)


@settings(max_examples=60)
@given(steps=st.lists(STEPS, max_size=12))
def test_whatever_happens_nobody_hears_the_same_twice_and_the_last_word_is_true(
    steps: list[tuple[str, ...]],
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "smartia.db"
        create_sqlite(path)
        with closing(Clinic(f"sqlite:///{path}")) as clinic:
            history = History(Desk(clinic))
            for name, *arguments in steps:
                getattr(history, name)(*arguments)

            history.run([])

            history.check()
