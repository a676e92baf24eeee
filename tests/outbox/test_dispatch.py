"""Promises 1 to 5 and 7, over both databases: once, never lost, never wrong, never silent."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from smartia_jobs.errors import ExitStatus
from smartia_jobs.message import Answer, Verdict
from smartia_jobs.outbox.records import Finished
from smartia_jobs.outbox.workers import Workers
from smartia_jobs.report import Reason, Report, Result
from smartia_jobs.run import Stop
from tests.outbox.desk import Desk
from tests.support import Clinic
from tests.support.fake_sender import (
    ACCEPTED,
    BUSY,
    LOST,
    NOT_SENT,
    REFUSED,
    FakeSender,
    FreeRate,
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
    sender = FakeSender()

    report = desk.run(sender)

    assert counts(report) == {"sent": 30}
    assert len(sender.posted) == report.messages == 30
    assert desk.states() == dict.fromkeys(booked, "sent")


def test_no_thread_outlives_a_run_that_heard_every_answer(desk: Desk) -> None:
    for n in range(30):
        desk.book(hours=20 + n / 10)
    before = set(threading.enumerate())

    desk.run(FakeSender())

    assert set(threading.enumerate()) <= before


def test_a_run_right_after_another_sends_nothing(desk: Desk) -> None:
    for _ in range(5):
        desk.book()
    desk.run(FakeSender())
    again = FakeSender()

    report = desk.run(again)

    assert again.posted == []
    assert report.skipped == {Reason.ALREADY_SENT: 5}


def test_overlapping_runs_send_one_message_each(desk: Desk) -> None:
    for n in range(60):
        desk.book(hours=20 + n / 10)
    senders = [FakeSender() for _ in range(3)]

    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(desk.run, senders))

    phones = Counter(one.phone for sender in senders for one in sender.posted)
    assert len(phones) == 60
    assert set(phones.values()) == {1}
    assert sum(report.results[Result.SENT] for report in reports) == 60
    assert {report.due for report in reports} == {60}


def test_the_nearest_visit_is_reminded_first(desk: Desk) -> None:
    for hours in (30, 10, 20):
        desk.book(hours=hours)
    sender = FakeSender()
    desk.workers = 1

    desk.run(sender)

    assert [one.text for one in sender.posted] == ["19:00", "05:00", "15:00"]


def test_a_moved_visit_is_reminded_again_at_its_new_time(desk: Desk) -> None:
    visit = desk.book(hours=24)
    desk.run(FakeSender())
    desk.clinic.move(visit, desk.now + timedelta(hours=26))
    sender = FakeSender()

    desk.run(sender)

    assert [one.text for one in sender.posted] == ["11:00"]


def test_a_visit_cancelled_between_reading_and_claiming_is_left_alone(desk: Desk) -> None:
    desk.book(hours=10)
    cancelled = desk.book(hours=20)
    # The first message goes alone: while it is under way, the second is read but not claimed.
    sender = FakeSender(before_send=lambda _: desk.clinic.set_status(cancelled, "CANCELLED"))

    report = desk.run(sender)

    assert len(sender.posted) == 1
    assert report.skipped == {Reason.NO_LONGER_OPEN: 1}


def test_a_visit_moved_within_its_day_while_the_run_goes_on_is_told_its_new_time(
    desk: Desk,
) -> None:
    desk.book(hours=10)
    moved = desk.book(hours=20)
    later = desk.now + timedelta(hours=22)
    sender = FakeSender(before_send=lambda _: desk.clinic.move(moved, later))

    report = desk.run(sender)

    assert [one.text for one in sender.posted] == ["19:00", "07:00"]
    assert counts(report) == {"sent": 2}
    assert counts(desk.run(FakeSender())) == {"skipped": 2}


def test_a_visit_moved_to_another_day_while_the_run_goes_on_is_left_to_the_next(
    desk: Desk,
) -> None:
    desk.book(hours=10)
    moved = desk.book(hours=20)
    later = desk.now + timedelta(hours=48)
    sender = FakeSender(before_send=lambda _: desk.clinic.move(moved, later))

    report = desk.run(sender)

    assert [one.text for one in sender.posted] == ["19:00"]
    assert report.skipped == {Reason.MOVED: 1}


def test_a_phone_changed_between_reading_and_claiming_is_the_one_written_to(desk: Desk) -> None:
    desk.book(hours=10)
    patient = desk.clinic.add_patient("Ana")
    desk.book(hours=20, patient_id=patient)
    sender = FakeSender(before_send=lambda _: desk.clinic.set_phone(patient, "5521987650009"))

    desk.run(sender)

    assert sender.posted[1].phone == "+5521987650009"


def test_visits_of_one_person_on_one_day_are_told_in_one_message(desk: Desk) -> None:
    patient = desk.clinic.add_patient("Ana", "5531987650001")
    same_person = desk.clinic.add_patient("Ana Lima", "553187650001")  # without the ninth digit
    morning = desk.book(hours=24, patient_id=patient)
    evening = desk.book(hours=30, patient_id=same_person)
    sender = FakeSender()

    report = desk.run(sender)

    assert [one.text for one in sender.posted] == ["09:00 e 15:00"]
    assert (report.results[Result.SENT], report.messages) == (2, 1)
    assert desk.states() == {morning: "sent", evening: "sent"}


def test_visits_of_one_person_on_two_days_are_two_messages(desk: Desk) -> None:
    patient = desk.clinic.add_patient("Ana")
    desk.book(hours=10, patient_id=patient)
    desk.book(hours=24, patient_id=patient)
    sender = FakeSender()

    desk.run(sender)

    assert sorted(one.text for one in sender.posted) == ["09:00", "19:00"]


def test_one_persons_visits_are_one_message_although_pages_lie_between(desk: Desk) -> None:
    patient = desk.clinic.add_patient("Ana")
    first = desk.book(hours=16, patient_id=patient)
    others = [desk.book(hours=18) for _ in range(505)]
    last = desk.book(hours=35, patient_id=patient)
    sender = FakeSender()
    desk.workers = 16

    report = desk.run(sender)

    assert "01:00 e 20:00" in {one.text for one in sender.posted}
    assert len(sender.posted) == 506
    assert report.due == len([first, *others, last])


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
        if len(sender.posted) == 3:
            time.sleep(0.3)

    sender = FakeSender(
        in_turn(ACCEPTED, BUSY, ACCEPTED), before_send=answer_late, retry_wait_s=0.05
    )

    report = desk.run(sender)

    assert counts(report) == {"sent": 3}
    assert len(looks) < 100


def test_two_runs_tell_one_persons_day_once(desk: Desk) -> None:
    for _ in range(20):
        patient = desk.clinic.add_patient("Ana")
        desk.book(hours=24, patient_id=patient)
        desk.book(hours=30, patient_id=patient)
    senders = [FakeSender(), FakeSender()]

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(desk.run, senders))

    texts = [one.text for sender in senders for one in sender.posted]
    assert texts == ["09:00 e 15:00"] * 20


def test_a_visit_booked_later_that_day_is_told_alone(desk: Desk) -> None:
    patient = desk.clinic.add_patient("Ana")
    desk.book(hours=24, patient_id=patient)
    desk.run(FakeSender())
    desk.book(hours=30, patient_id=patient)
    sender = FakeSender()

    desk.run(sender)

    assert [one.text for one in sender.posted] == ["15:00"]


def test_a_dead_token_costs_one_request_and_fails_nobody(desk: Desk) -> None:
    for _ in range(20):
        desk.book()
    sender = FakeSender(always(EXPIRED_TOKEN))

    report = desk.run(sender)

    assert len(sender.posted) == 1
    assert counts(report) == {"retry": 1, "left": 19}
    assert report.exit_status is ExitStatus.REFUSED
    repaired = FakeSender()
    assert counts(desk.run(repaired)) == {"sent": 20}


def test_a_missing_template_costs_one_request(desk: Desk) -> None:
    for _ in range(20):
        desk.book()
    sender = FakeSender(always(NO_TEMPLATE))

    report = desk.run(sender)

    assert len(sender.posted) == 1
    assert report.results[Result.FAILED] == 0
    assert report.exit_status is ExitStatus.CONFIGURATION


def test_five_equal_request_errors_stop_the_run_and_fail_nobody(desk: Desk) -> None:
    for _ in range(20):
        desk.book()
    desk.workers = 1

    report = desk.run(FakeSender(always(BAD_REQUEST)))

    assert counts(report) == {"retry": 5, "left": 15}
    assert report.exit_status is ExitStatus.CONFIGURATION
    assert set(desk.states().values()) == {"retry"}


def test_a_few_request_errors_are_those_patients_own(desk: Desk) -> None:
    for _ in range(8):
        desk.book()
    desk.workers = 1

    first = desk.run(FakeSender(in_turn(*[BAD_REQUEST] * 4, ACCEPTED)))
    desk.book()
    second = desk.run(FakeSender(in_turn(*[BAD_REQUEST] * 4, ACCEPTED)))

    assert counts(first) == {"retry": 4, "sent": 4}
    assert first.exit_status is ExitStatus.RETRY
    assert counts(second) == {"failed": 4, "skipped": 4, "sent": 1}
    assert Counter(desk.states().values()) == {"failed": 4, "sent": 5}


def test_a_request_error_and_a_success_heard_in_one_turn_are_recorded_in_order(
    sqlite_clinic: Clinic,
) -> None:
    main_thread_is_busy, refused_first = threading.Event(), threading.Event()

    class UnhurriedPace(FreeRate):
        def room(self, horizon_s: float) -> int:
            if len(sender.posted) == 3:
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
    sender = FakeSender(answer)
    sender.rate = UnhurriedPace()

    report = desk.run(sender)

    assert counts(report) == {"sent": 2, "retry": 1}
    written = sqlite_clinic.rows("SELECT state, attempts FROM smartia_outbox ORDER BY state")
    assert [tuple(row.values()) for row in written] == [("retry", 1), ("sent", 1), ("sent", 1)]


@pytest.mark.parametrize("patients", [1, 4])
def test_a_request_that_nobody_shows_to_be_good_fails_nobody(desk: Desk, patients: int) -> None:
    for _ in range(patients):
        desk.book()

    report = desk.run(FakeSender(always(BAD_REQUEST)))

    assert counts(report) == {"retry": patients}
    assert report.exit_status is ExitStatus.CONFIGURATION
    assert counts(desk.run(FakeSender())) == {"sent": patients}


def test_a_run_that_is_stopped_fails_nobody(desk: Desk) -> None:
    for _ in range(6):
        desk.book()
    desk.workers = 1

    report = desk.run(FakeSender(in_turn(ACCEPTED, BAD_REQUEST, BAD_REQUEST, EXPIRED_TOKEN)))

    assert counts(report) == {"sent": 1, "retry": 3, "left": 2}
    assert report.exit_status is ExitStatus.REFUSED


def test_one_patient_who_cannot_be_reached_does_not_stop_the_others(desk: Desk) -> None:
    for _ in range(3):
        desk.book()
    bad = desk.book(patient_id=desk.clinic.add_patient("Rui", "123"))
    sender = FakeSender(in_turn(REFUSED, ACCEPTED))

    report = desk.run(sender)

    assert counts(report) == {"failed": 2, "sent": 2}
    assert desk.states()[bad] == "failed"
    assert len(sender.posted) == 3


def test_nineteen_of_twenty_unreached_is_not_a_success(desk: Desk) -> None:
    for _ in range(20):
        desk.book()

    report = desk.run(FakeSender(in_turn(ACCEPTED, REFUSED)))

    assert counts(report) == {"failed": 19, "sent": 1}
    assert report.exit_status is ExitStatus.UNREACHED


def test_a_failed_patient_is_tried_again_when_the_phone_is_changed(desk: Desk) -> None:
    patient = desk.clinic.add_patient("Rui", "11987654321")
    visit = desk.book(patient_id=patient)
    desk.run(FakeSender(always(REFUSED)))
    desk.clinic.set_phone(patient, "(11) 98765-4321")  # the same, written otherwise
    unchanged = desk.run(FakeSender())
    desk.clinic.set_phone(patient, "11987654322")

    changed = desk.run(FakeSender())

    assert unchanged.skipped == {Reason.ALREADY_FAILED: 1}
    assert counts(changed) == {"sent": 1}
    assert desk.states() == {visit: "sent"}


def test_a_timeout_is_unknown_and_not_resent(desk: Desk) -> None:
    desk.book()
    first = desk.run(FakeSender(always(LOST)))
    again = FakeSender()

    report = desk.run(again)

    assert counts(first) == {"unknown": 1}
    assert again.posted == []
    assert report.skipped == {Reason.HELD_UNKNOWN: 1}
    assert report.held_unknown == 1


def test_an_unknown_message_is_resent_once_where_the_clinic_chose_so(desk: Desk) -> None:
    desk.book()
    desk.run(FakeSender(always(LOST)))
    second = desk.run(FakeSender(always(LOST)), resend=True)
    third = FakeSender()

    report = desk.run(third, resend=True)

    assert counts(second) == {"unknown": 1}
    assert third.posted == []
    assert report.skipped == {Reason.HELD_UNKNOWN: 1}


def test_a_busy_server_is_tried_again_in_the_same_run(desk: Desk) -> None:
    desk.book()
    sender = FakeSender(in_turn(BUSY, BUSY, ACCEPTED))

    report = desk.run(sender)

    assert counts(report) == {"sent": 1}
    assert len(sender.posted) == 3
    assert desk.clinic.value("SELECT attempts FROM smartia_outbox") == 3


def test_a_message_refused_too_often_is_left_to_the_next_run(desk: Desk) -> None:
    visit = desk.book()

    report = desk.run(FakeSender(always(BUSY)))

    assert counts(report) == {"retry": 1}
    assert report.exit_status is ExitStatus.RETRY
    assert counts(desk.run(FakeSender())) == {"sent": 1}
    assert desk.states() == {visit: "sent"}


def test_ten_throttles_in_a_row_slow_down_and_fail_nobody(desk: Desk) -> None:
    for _ in range(4):
        desk.book()
    sender = FakeSender(in_turn(*[TOO_FAST] * 10, ACCEPTED))

    report = desk.run(sender)

    assert counts(report) == {"sent": 4}
    assert sender.rate.slow_downs == 10


def test_throttling_without_end_leaves_the_rest_to_the_next_run(desk: Desk) -> None:
    for _ in range(4):
        desk.book()
    sender = FakeSender(always(TOO_FAST))

    report = desk.run(sender)

    assert report.exit_status is ExitStatus.RETRY
    assert report.results[Result.RETRY] + report.results[Result.LEFT] == 4
    assert report.results[Result.FAILED] == 0


def test_a_throttled_run_does_not_remind_after_the_visit_is_too_near(desk: Desk) -> None:
    visit = desk.book(hours=7)

    def lose_two_hours(_: str) -> None:
        desk.late = timedelta(hours=2)

    sender = FakeSender(always(BUSY), before_send=lose_two_hours)

    report = desk.run(sender)

    assert len(sender.posted) == 1
    assert report.skipped == {Reason.TOO_LATE: 1}
    assert desk.states() == {visit: "expired"}


def test_a_retry_whose_visit_was_cancelled_expires_with_the_next_run(desk: Desk) -> None:
    visit = desk.book()
    desk.run(FakeSender(always(BUSY)))
    desk.clinic.set_status(visit, "CANCELLED")

    report = desk.run(FakeSender())

    assert report.due == 0
    assert desk.states() == {visit: "expired"}


def test_a_visit_reinstated_after_its_retry_expired_is_reminded(desk: Desk) -> None:
    visit = desk.book()
    desk.run(FakeSender(always(BUSY)))
    desk.clinic.set_status(visit, "CANCELLED")
    desk.run(FakeSender())
    desk.clinic.set_status(visit, "SCHEDULED")

    report = desk.run(FakeSender())

    assert counts(report) == {"sent": 1}


@pytest.mark.parametrize("silence", [LOST, NOT_SENT])
def test_a_silent_whatsapp_ends_the_run_after_a_few_lone_tries(desk: Desk, silence: Answer) -> None:
    for _ in range(40):
        desk.book()
    desk.speed = 300.0
    sender = FakeSender(always(silence))

    report = desk.run(sender)

    assert len(sender.posted) == 6  # three in a row, then three alone
    assert report.results[Result.LEFT] >= 34
    assert report.exit_status is ExitStatus.UNAVAILABLE


def test_a_short_silence_is_survived(desk: Desk) -> None:
    for _ in range(10):
        desk.book()
    desk.speed = 300.0
    sender = FakeSender(in_turn(*[NOT_SENT] * 4, ACCEPTED))

    report = desk.run(sender)

    assert counts(report) == {"sent": 10}


def test_limit_bounds_the_messages_and_leaves_the_rest(desk: Desk) -> None:
    for _ in range(10):
        desk.book()
    sender = FakeSender()

    report = desk.run(sender, limit=4)

    assert len(sender.posted) == 4
    assert counts(report) == {"sent": 4, "left": 6}
    assert report.exit_status is ExitStatus.OK


def test_a_signal_records_what_was_answered_and_leaves_the_rest(desk: Desk) -> None:
    for _ in range(20):
        desk.book()
    stop = Stop()
    sender = FakeSender(before_send=lambda _: stop.request(ExitStatus.TERMINATED))
    desk.workers = 1

    report = desk.run(sender, stop=stop)

    assert counts(report) == {"sent": 1, "left": 19}
    assert report.exit_status is ExitStatus.TERMINATED
    assert counts(desk.run(FakeSender())) == {"skipped": 1, "sent": 19}


def test_a_signal_does_not_wait_for_ever_for_an_answer(desk: Desk) -> None:
    desk.book()
    stop, answered = Stop(), threading.Event()

    def hang(_: str) -> None:
        stop.request(ExitStatus.TERMINATED)
        answered.wait(30)

    desk.speed = 100.0
    report = desk.run(FakeSender(before_send=hang), stop=stop)
    answered.set()

    assert counts(report) == {"unknown": 1}
    assert set(desk.states().values()) == {"unknown"}


def test_a_claim_whose_owner_died_becomes_unknown(desk: Desk) -> None:
    visit = desk.book()
    desk.run(FakeSender())
    desk.clinic.execute(
        "UPDATE smartia_outbox SET state = 'claimed', lease_until = '2020-01-01 00:00:00'"
    )
    sender = FakeSender()

    report = desk.run(sender)

    assert sender.posted == []
    assert report.held_unknown == 1
    assert desk.states() == {visit: "unknown"}


def test_a_live_claim_is_left_to_its_owner(desk: Desk) -> None:
    desk.book()
    desk.run(FakeSender())
    desk.clinic.execute(
        "UPDATE smartia_outbox SET state = 'claimed', lease_until = '2099-01-01 00:00:00'"
    )
    sender = FakeSender()

    report = desk.run(sender)

    assert sender.posted == []
    assert report.skipped == {Reason.BEING_SENT_ELSEWHERE: 1}


def test_what_was_sent_stands_in_the_patients_newest_conversation(desk: Desk) -> None:
    patient = desk.clinic.add_patient("Ana")
    desk.clinic.add_conversation(patient)
    newest = desk.clinic.add_conversation(patient)
    desk.book(patient_id=patient)

    desk.run(FakeSender())

    (written,) = desk.clinic.rows("SELECT * FROM interactions")
    assert written["conversation_id"] == newest
    assert (written["type"], written["message_type"]) == ("OUTGOING", "template")
    assert written["message_text"] == "09:00"
    assert written["provider_message_id"] == "wamid.TEST"


def test_a_patient_without_a_conversation_gets_one_that_is_done(desk: Desk) -> None:
    patient = desk.clinic.add_patient("Ana")
    desk.book(hours=10, patient_id=patient)
    desk.book(hours=24, patient_id=patient)

    desk.run(FakeSender())

    (made,) = desk.clinic.rows("SELECT * FROM conversations")
    assert made["state"] == "DONE"
    assert desk.clinic.value("SELECT count(*) FROM interactions") == 2


def test_a_dry_run_writes_nothing_and_agrees_with_the_run_after_it(desk: Desk) -> None:
    for _ in range(3):
        desk.book()
    desk.book(patient_id=desk.clinic.add_patient("Rui", "123"))
    sender = FakeSender()

    dry = desk.run(sender, dry_run=True)

    assert sender.posted == []
    assert counts(dry) == {"would_send": 3, "failed": 1}
    assert counts(desk.run(FakeSender())) == {"sent": 3, "failed": 1}
