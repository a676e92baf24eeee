"""Promises 1 to 5 and 7, over both databases: once, never lost, never wrong, never silent."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count

import pytest
from sqlalchemy import Connection

from smartia_jobs.appointment import Appointment
from smartia_jobs.clinic.appointments import PAGE_SIZE
from smartia_jobs.errors import ExitStatus
from smartia_jobs.message import Answer, Verdict
from smartia_jobs.outbox import dispatch
from smartia_jobs.outbox.errand import Errand
from smartia_jobs.outbox.records import Finished, record
from smartia_jobs.outbox.workers import Workers
from smartia_jobs.report import Reason, Report, Result
from smartia_jobs.run import Stop
from tests.outbox.desk import Desk
from tests.support import Clinic
from tests.support.fake_courier import (
    ACCEPTED,
    BUSY,
    LOST,
    NOT_SENT,
    REFUSED,
    FakeCourier,
    FreePace,
    always,
    in_turn,
)

EXPIRED_TOKEN = Answer(Verdict.STOP, "the token expired", code=190, stop=ExitStatus.REFUSED)
NO_TEMPLATE = Answer(Verdict.STOP, "no such template", code=132001, stop=ExitStatus.CONFIGURATION)
BAD_REQUEST = Answer(Verdict.BAD_REQUEST, "a parameter is missing", code=131008)
TOO_FAST = Answer(Verdict.SLOW_DOWN, "too many messages a second", code=130429)


@pytest.fixture
def desk(clinic: Clinic) -> Desk:
    return Desk(clinic)


def counts(report: Report) -> dict[str, int]:
    return {str(result): number for result, number in report.results.items() if number}


def test_everybody_who_is_due_gets_one_message(desk: Desk) -> None:
    booked = [desk.book(hours=20 + n / 10) for n in range(30)]
    courier = FakeCourier()

    report = desk.run(courier)

    assert counts(report) == {"sent": 30}
    assert len(courier.posted) == report.messages == 30
    assert desk.states() == dict.fromkeys(booked, "sent")


def test_no_thread_outlives_a_run_that_heard_every_answer(desk: Desk) -> None:
    for n in range(30):
        desk.book(hours=20 + n / 10)
    before = set(threading.enumerate())

    desk.run(FakeCourier())

    assert set(threading.enumerate()) <= before


def test_a_run_right_after_another_sends_nothing(desk: Desk) -> None:
    for _ in range(5):
        desk.book()
    desk.run(FakeCourier())
    again = FakeCourier()

    report = desk.run(again)

    assert again.posted == []
    assert report.skipped == {Reason.ALREADY_SENT: 5}


def test_overlapping_runs_send_one_message_each(desk: Desk) -> None:
    for n in range(60):
        desk.book(hours=20 + n / 10)
    couriers = [FakeCourier() for _ in range(3)]

    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(desk.run, couriers))

    phones = Counter(one.phone for courier in couriers for one in courier.posted)
    assert len(phones) == 60
    assert set(phones.values()) == {1}
    assert sum(report.results[Result.SENT] for report in reports) == 60
    assert {report.due for report in reports} == {60}


def test_the_nearest_visit_is_reminded_first(desk: Desk) -> None:
    for hours in (30, 10, 20):
        desk.book(hours=hours)
    courier = FakeCourier()
    desk.workers = 1

    desk.run(courier)

    assert [one.text for one in courier.posted] == ["19:00", "05:00", "15:00"]


def test_a_moved_visit_is_reminded_again_at_its_new_time(desk: Desk) -> None:
    visit = desk.book(hours=24)
    desk.run(FakeCourier())
    desk.clinic.move(visit, desk.now + timedelta(hours=26))
    courier = FakeCourier()

    desk.run(courier)

    assert [one.text for one in courier.posted] == ["11:00"]


def test_a_visit_cancelled_between_reading_and_claiming_is_left_alone(desk: Desk) -> None:
    desk.book(hours=10)
    cancelled = desk.book(hours=20)
    # The first message goes alone: while it is under way, the second is read but not claimed.
    courier = FakeCourier(before_send=lambda _: desk.clinic.set_status(cancelled, "CANCELLED"))

    report = desk.run(courier)

    assert len(courier.posted) == 1
    assert report.skipped == {Reason.NO_LONGER_OPEN: 1}


def test_a_visit_moved_within_its_day_while_the_run_goes_on_is_told_its_new_time(
    desk: Desk,
) -> None:
    desk.book(hours=10)
    moved = desk.book(hours=20)
    later = desk.now + timedelta(hours=22)
    courier = FakeCourier(before_send=lambda _: desk.clinic.move(moved, later))

    report = desk.run(courier)

    assert [one.text for one in courier.posted] == ["19:00", "07:00"]
    assert counts(report) == {"sent": 2}
    assert counts(desk.run(FakeCourier())) == {"skipped": 2}


def test_a_visit_moved_to_another_day_while_the_run_goes_on_is_left_to_the_next(
    desk: Desk,
) -> None:
    desk.book(hours=10)
    moved = desk.book(hours=20)
    later = desk.now + timedelta(hours=48)
    courier = FakeCourier(before_send=lambda _: desk.clinic.move(moved, later))

    report = desk.run(courier)

    assert [one.text for one in courier.posted] == ["19:00"]
    assert report.skipped == {Reason.MOVED: 1}


def test_a_phone_changed_between_reading_and_claiming_is_the_one_written_to(desk: Desk) -> None:
    desk.book(hours=10)
    patient = desk.clinic.add_patient("Ana")
    desk.book(hours=20, patient_id=patient)
    courier = FakeCourier(before_send=lambda _: desk.clinic.set_phone(patient, "5521987650009"))

    desk.run(courier)

    assert courier.posted[1].phone == "+5521987650009"


def test_visits_of_one_person_on_one_day_are_told_in_one_message(desk: Desk) -> None:
    patient = desk.clinic.add_patient("Ana", "5531987650001")
    same_person = desk.clinic.add_patient("Ana Lima", "553187650001")  # without the ninth digit
    morning = desk.book(hours=24, patient_id=patient)
    evening = desk.book(hours=30, patient_id=same_person)
    courier = FakeCourier()

    report = desk.run(courier)

    assert [one.text for one in courier.posted] == ["09:00 e 15:00"]
    assert (report.results[Result.SENT], report.messages) == (2, 1)
    assert desk.states() == {morning: "sent", evening: "sent"}


def test_visits_of_one_person_on_two_days_are_two_messages(desk: Desk) -> None:
    patient = desk.clinic.add_patient("Ana")
    desk.book(hours=10, patient_id=patient)
    desk.book(hours=24, patient_id=patient)
    courier = FakeCourier()

    desk.run(courier)

    assert sorted(one.text for one in courier.posted) == ["09:00", "19:00"]


def test_one_persons_visits_are_one_message_although_pages_lie_between(desk: Desk) -> None:
    patient = desk.clinic.add_patient("Ana")
    first = desk.book(hours=16, patient_id=patient)
    others = [desk.book(hours=18) for _ in range(505)]
    last = desk.book(hours=35, patient_id=patient)
    courier = FakeCourier()
    desk.workers = 16

    report = desk.run(courier)

    assert "01:00 e 20:00" in {one.text for one in courier.posted}
    assert len(courier.posted) == 506
    assert report.due == len([first, *others, last])


def test_the_next_page_is_read_and_written_ahead_while_all_workers_wait(desk: Desk) -> None:
    for _ in range(PAGE_SIZE + 3):
        desk.book(hours=18)
    read_on = threading.Event()
    seen: list[bool] = []

    class Ahead(FakeCourier):
        prepared = 0

        def prepare(self, visits: Sequence[Appointment]) -> None:
            self.prepared += 1
            if self.prepared == 3:
                read_on.set()

    def wait_for_it(_: str) -> None:
        if len(courier.posted) > PAGE_SIZE - desk.workers:
            seen.append(read_on.wait(5))

    courier = Ahead(before_send=wait_for_it)

    desk.run(courier)

    assert len(courier.posted) == PAGE_SIZE + 3
    assert seen
    assert all(seen)


@pytest.fixture
def written_together(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many outcomes each transaction recorded that had any, where fewer than 3 are few."""
    desk.workers = 3 * dispatch.FEW
    sizes: list[int] = []

    def counted(
        connection: Connection, errand: Errand, finished: Sequence[Finished], *, run_id: str
    ) -> None:
        sizes.extend([len(finished)] if finished else [])
        record(connection, errand, finished, run_id=run_id)

    monkeypatch.setattr(dispatch, "record", counted)
    return sizes


def test_a_few_outcomes_wait_for_others(
    desk: Desk, written_together: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "COMPANY_S", 30.0)
    for _ in range(5):
        desk.book()
    one_after_the_other = iter((0.0, 0.1, 0.2, 0.3, 0.4))
    courier = FakeCourier(before_send=lambda _: time.sleep(next(one_after_the_other)))

    report = desk.run(courier)

    assert counts(report) == {"sent": 5}
    # The first message goes alone.
    assert written_together in ([1, 3, 1], [1, 4])


def test_a_few_outcomes_do_not_wait_for_others_for_ever(
    desk: Desk, written_together: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "COMPANY_S", 0.01)
    for _ in range(3):
        desk.book()
    was_written: list[bool] = []
    requests = count(1)

    def the_last_waits(_: str) -> None:
        if next(requests) == 3:
            give_up_s = time.monotonic() + 10
            while sum(written_together) < 2 and time.monotonic() < give_up_s:
                time.sleep(0.01)
            was_written.append(sum(written_together) == 2)

    courier = FakeCourier(before_send=the_last_waits)

    report = desk.run(courier)

    assert counts(report) == {"sent": 3}
    assert was_written == [True]


def test_a_message_due_again_keeps_no_processor_busy_while_no_worker_is_idle(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.workers = 1
    for _ in range(3):
        desk.book()
    looks: list[float] = []
    collect = Workers.collect

    def counted(self: Workers, timeout_s: float) -> list[Finished]:
        looks.append(timeout_s)
        return collect(self, timeout_s)

    monkeypatch.setattr(Workers, "collect", counted)

    def answer_late(_: str) -> None:
        if len(courier.posted) == 3:
            time.sleep(0.3)

    courier = FakeCourier(
        in_turn(ACCEPTED, BUSY, ACCEPTED), before_send=answer_late, retry_wait_s=0.05
    )

    report = desk.run(courier)

    assert counts(report) == {"sent": 3}
    assert len(looks) < 100


def test_two_runs_tell_one_persons_day_once(desk: Desk) -> None:
    for _ in range(20):
        patient = desk.clinic.add_patient("Ana")
        desk.book(hours=24, patient_id=patient)
        desk.book(hours=30, patient_id=patient)
    couriers = [FakeCourier(), FakeCourier()]

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(desk.run, couriers))

    texts = [one.text for courier in couriers for one in courier.posted]
    assert texts == ["09:00 e 15:00"] * 20


def test_a_visit_booked_later_that_day_is_told_alone(desk: Desk) -> None:
    patient = desk.clinic.add_patient("Ana")
    desk.book(hours=24, patient_id=patient)
    desk.run(FakeCourier())
    desk.book(hours=30, patient_id=patient)
    courier = FakeCourier()

    desk.run(courier)

    assert [one.text for one in courier.posted] == ["15:00"]


def test_a_dead_token_costs_one_request_and_fails_nobody(desk: Desk) -> None:
    for _ in range(20):
        desk.book()
    courier = FakeCourier(always(EXPIRED_TOKEN))

    report = desk.run(courier)

    assert len(courier.posted) == 1
    assert counts(report) == {"retry": 1, "left": 19}
    assert report.exit_status is ExitStatus.REFUSED
    mended = FakeCourier()
    assert counts(desk.run(mended)) == {"sent": 20}


def test_a_missing_template_costs_one_request(desk: Desk) -> None:
    for _ in range(20):
        desk.book()
    courier = FakeCourier(always(NO_TEMPLATE))

    report = desk.run(courier)

    assert len(courier.posted) == 1
    assert report.results[Result.FAILED] == 0
    assert report.exit_status is ExitStatus.CONFIGURATION


def test_five_equal_request_errors_stop_the_run_and_fail_nobody(desk: Desk) -> None:
    for _ in range(20):
        desk.book()
    desk.workers = 1

    report = desk.run(FakeCourier(always(BAD_REQUEST)))

    assert counts(report) == {"retry": 5, "left": 15}
    assert report.exit_status is ExitStatus.CONFIGURATION
    assert set(desk.states().values()) == {"retry"}


def test_a_few_request_errors_are_those_patients_own(desk: Desk) -> None:
    for _ in range(8):
        desk.book()
    desk.workers = 1

    report = desk.run(FakeCourier(in_turn(*[BAD_REQUEST] * 4, ACCEPTED)))

    assert counts(report) == {"failed": 4, "sent": 4}
    assert Counter(desk.states().values()) == {"failed": 4, "sent": 4}


def test_a_request_error_and_a_success_heard_in_one_turn_are_recorded_in_order(
    sqlite_clinic: Clinic,
) -> None:
    main_thread_is_busy, refused_first = threading.Event(), threading.Event()

    class UnhurriedPace(FreePace):
        def room(self, horizon_s: float) -> int:
            if len(courier.posted) == 3:
                main_thread_is_busy.set()
                time.sleep(0.2)  # both answers arrive meanwhile
            return super().room(horizon_s)

    def answer(_: str, before: int) -> Answer:
        if before == 0:
            return ACCEPTED
        main_thread_is_busy.wait(5)
        if before == 1:
            refused_first.set()
            return BAD_REQUEST
        refused_first.wait(5)
        time.sleep(0.05)
        return ACCEPTED

    desk = Desk(sqlite_clinic, workers=2)
    for hours in (20, 21, 22):
        desk.book(hours=hours)
    courier = FakeCourier(answer)
    courier.pace = UnhurriedPace()

    report = desk.run(courier)

    assert counts(report) == {"sent": 2, "failed": 1}
    written = sqlite_clinic.rows("SELECT state, attempts FROM smartia_outbox ORDER BY state")
    assert [tuple(row.values()) for row in written] == [("failed", 1), ("sent", 1), ("sent", 1)]


@pytest.mark.parametrize("patients", [1, 4])
def test_a_request_that_nobody_shows_to_be_good_fails_nobody(desk: Desk, patients: int) -> None:
    for _ in range(patients):
        desk.book()

    report = desk.run(FakeCourier(always(BAD_REQUEST)))

    assert counts(report) == {"retry": patients}
    assert report.exit_status is ExitStatus.CONFIGURATION
    assert counts(desk.run(FakeCourier())) == {"sent": patients}


def test_a_run_that_is_stopped_fails_nobody(desk: Desk) -> None:
    for _ in range(6):
        desk.book()
    desk.workers = 1

    report = desk.run(FakeCourier(in_turn(ACCEPTED, BAD_REQUEST, BAD_REQUEST, EXPIRED_TOKEN)))

    assert counts(report) == {"sent": 1, "retry": 3, "left": 2}
    assert report.exit_status is ExitStatus.REFUSED


def test_one_patient_who_cannot_be_reached_does_not_stop_the_others(desk: Desk) -> None:
    for _ in range(3):
        desk.book()
    bad = desk.book(patient_id=desk.clinic.add_patient("Rui", "123"))
    courier = FakeCourier(in_turn(REFUSED, ACCEPTED))

    report = desk.run(courier)

    assert counts(report) == {"failed": 2, "sent": 2}
    assert desk.states()[bad] == "failed"
    assert len(courier.posted) == 3


def test_nineteen_of_twenty_unreached_is_not_a_success(desk: Desk) -> None:
    for _ in range(20):
        desk.book()

    report = desk.run(FakeCourier(in_turn(ACCEPTED, REFUSED)))

    assert counts(report) == {"failed": 19, "sent": 1}
    assert report.exit_status is ExitStatus.UNREACHED


def test_a_failed_patient_is_tried_again_when_the_phone_is_changed(desk: Desk) -> None:
    patient = desk.clinic.add_patient("Rui", "11987654321")
    visit = desk.book(patient_id=patient)
    desk.run(FakeCourier(always(REFUSED)))
    desk.clinic.set_phone(patient, "(11) 98765-4321")  # the same, written otherwise
    unchanged = desk.run(FakeCourier())
    desk.clinic.set_phone(patient, "11987654322")

    changed = desk.run(FakeCourier())

    assert unchanged.skipped == {Reason.ALREADY_FAILED: 1}
    assert counts(changed) == {"sent": 1}
    assert desk.states() == {visit: "sent"}


def test_a_timeout_is_unknown_and_not_resent(desk: Desk) -> None:
    desk.book()
    first = desk.run(FakeCourier(always(LOST)))
    again = FakeCourier()

    report = desk.run(again)

    assert counts(first) == {"unknown": 1}
    assert again.posted == []
    assert report.skipped == {Reason.HELD_UNKNOWN: 1}
    assert report.held_unknown == 1


def test_an_unknown_message_is_resent_once_where_the_clinic_chose_so(desk: Desk) -> None:
    desk.book()
    desk.run(FakeCourier(always(LOST)))
    second = desk.run(FakeCourier(always(LOST)), resend=True)
    third = FakeCourier()

    report = desk.run(third, resend=True)

    assert counts(second) == {"unknown": 1}
    assert third.posted == []
    assert report.skipped == {Reason.HELD_UNKNOWN: 1}


def test_a_busy_server_is_tried_again_in_the_same_run(desk: Desk) -> None:
    desk.book()
    courier = FakeCourier(in_turn(BUSY, BUSY, ACCEPTED))

    report = desk.run(courier)

    assert counts(report) == {"sent": 1}
    assert len(courier.posted) == 3
    assert desk.clinic.value("SELECT attempts FROM smartia_outbox") == 3


def test_a_message_refused_too_often_is_left_to_the_next_run(desk: Desk) -> None:
    visit = desk.book()

    report = desk.run(FakeCourier(always(BUSY)))

    assert counts(report) == {"retry": 1}
    assert report.exit_status is ExitStatus.RETRY
    assert counts(desk.run(FakeCourier())) == {"sent": 1}
    assert desk.states() == {visit: "sent"}


def test_ten_throttles_in_a_row_slow_down_and_fail_nobody(desk: Desk) -> None:
    for _ in range(4):
        desk.book()
    courier = FakeCourier(in_turn(*[TOO_FAST] * 10, ACCEPTED))

    report = desk.run(courier)

    assert counts(report) == {"sent": 4}
    assert courier.pace.slow_downs == 10


def test_throttling_without_end_leaves_the_rest_to_the_next_run(desk: Desk) -> None:
    for _ in range(4):
        desk.book()
    courier = FakeCourier(always(TOO_FAST))

    report = desk.run(courier)

    assert report.exit_status is ExitStatus.RETRY
    assert report.results[Result.RETRY] + report.results[Result.LEFT] == 4
    assert report.results[Result.FAILED] == 0


def test_a_throttled_run_does_not_remind_after_the_visit_is_too_near(desk: Desk) -> None:
    visit = desk.book(hours=7)

    def lose_two_hours(_: str) -> None:
        desk.late = timedelta(hours=2)

    courier = FakeCourier(always(BUSY), before_send=lose_two_hours)

    report = desk.run(courier)

    assert len(courier.posted) == 1
    assert report.skipped == {Reason.TOO_LATE: 1}
    assert desk.states() == {visit: "expired"}


def test_a_retry_whose_visit_was_cancelled_expires_with_the_next_run(desk: Desk) -> None:
    visit = desk.book()
    desk.run(FakeCourier(always(BUSY)))
    desk.clinic.set_status(visit, "CANCELLED")

    report = desk.run(FakeCourier())

    assert report.due == 0
    assert desk.states() == {visit: "expired"}


def test_a_visit_reinstated_after_its_retry_expired_is_reminded(desk: Desk) -> None:
    visit = desk.book()
    desk.run(FakeCourier(always(BUSY)))
    desk.clinic.set_status(visit, "CANCELLED")
    desk.run(FakeCourier())
    desk.clinic.set_status(visit, "SCHEDULED")

    report = desk.run(FakeCourier())

    assert counts(report) == {"sent": 1}


@pytest.mark.parametrize("silence", [LOST, NOT_SENT])
def test_a_silent_whatsapp_ends_the_run_after_a_few_lone_tries(desk: Desk, silence: Answer) -> None:
    for _ in range(40):
        desk.book()
    desk.speed = 300.0
    courier = FakeCourier(always(silence))

    report = desk.run(courier)

    assert len(courier.posted) == 6  # three in a row, then three alone
    assert report.results[Result.LEFT] >= 34
    assert report.exit_status is ExitStatus.UNAVAILABLE


def test_a_short_silence_is_survived(desk: Desk) -> None:
    for _ in range(10):
        desk.book()
    desk.speed = 300.0
    courier = FakeCourier(in_turn(*[NOT_SENT] * 4, ACCEPTED))

    report = desk.run(courier)

    assert counts(report) == {"sent": 10}


def test_limit_bounds_the_messages_and_leaves_the_rest(desk: Desk) -> None:
    for _ in range(10):
        desk.book()
    courier = FakeCourier()

    report = desk.run(courier, limit=4)

    assert len(courier.posted) == 4
    assert counts(report) == {"sent": 4, "left": 6}
    assert report.exit_status is ExitStatus.OK


def test_a_signal_records_what_was_answered_and_leaves_the_rest(desk: Desk) -> None:
    for _ in range(20):
        desk.book()
    stop = Stop()
    courier = FakeCourier(before_send=lambda _: stop.request(ExitStatus.TERMINATED))
    desk.workers = 1

    report = desk.run(courier, stop=stop)

    assert counts(report) == {"sent": 1, "left": 19}
    assert report.exit_status is ExitStatus.TERMINATED
    assert counts(desk.run(FakeCourier())) == {"skipped": 1, "sent": 19}


def test_a_signal_does_not_wait_for_ever_for_an_answer(desk: Desk) -> None:
    desk.book()
    stop, answered = Stop(), threading.Event()

    def hang(_: str) -> None:
        stop.request(ExitStatus.TERMINATED)
        answered.wait(30)

    desk.speed = 100.0
    report = desk.run(FakeCourier(before_send=hang), stop=stop)
    answered.set()

    assert counts(report) == {"unknown": 1}
    assert set(desk.states().values()) == {"unknown"}


def test_a_claim_whose_owner_died_becomes_unknown(desk: Desk) -> None:
    visit = desk.book()
    desk.run(FakeCourier())
    desk.clinic.execute(
        "UPDATE smartia_outbox SET state = 'claimed', lease_until = '2020-01-01 00:00:00'"
    )
    courier = FakeCourier()

    report = desk.run(courier)

    assert courier.posted == []
    assert report.held_unknown == 1
    assert desk.states() == {visit: "unknown"}


def test_a_live_claim_is_left_to_its_owner(desk: Desk) -> None:
    desk.book()
    desk.run(FakeCourier())
    desk.clinic.execute(
        "UPDATE smartia_outbox SET state = 'claimed', lease_until = '2099-01-01 00:00:00'"
    )
    courier = FakeCourier()

    report = desk.run(courier)

    assert courier.posted == []
    assert report.skipped == {Reason.BEING_SENT_ELSEWHERE: 1}


def test_what_was_sent_stands_in_the_patients_newest_conversation(desk: Desk) -> None:
    patient = desk.clinic.add_patient("Ana")
    desk.clinic.add_conversation(patient)
    newest = desk.clinic.add_conversation(patient)
    desk.book(patient_id=patient)

    desk.run(FakeCourier())

    (written,) = desk.clinic.rows("SELECT * FROM interactions")
    assert written["conversation_id"] == newest
    assert (written["type"], written["message_type"]) == ("OUTGOING", "template")
    assert written["message_text"] == "09:00"
    assert written["provider_message_id"] == "wamid.TEST"


def test_a_patient_without_a_conversation_gets_one_that_is_done(desk: Desk) -> None:
    patient = desk.clinic.add_patient("Ana")
    desk.book(hours=10, patient_id=patient)
    desk.book(hours=24, patient_id=patient)

    desk.run(FakeCourier())

    (made,) = desk.clinic.rows("SELECT * FROM conversations")
    assert made["state"] == "DONE"
    assert desk.clinic.value("SELECT count(*) FROM interactions") == 2


def test_a_dry_run_writes_nothing_and_agrees_with_the_run_after_it(desk: Desk) -> None:
    for _ in range(3):
        desk.book()
    desk.book(patient_id=desk.clinic.add_patient("Rui", "123"))
    courier = FakeCourier()

    dry = desk.run(courier, dry_run=True)

    assert courier.posted == []
    assert counts(dry) == {"would_send": 3, "failed": 1}
    assert counts(desk.run(FakeCourier())) == {"sent": 3, "failed": 1}
