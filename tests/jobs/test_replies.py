"""The job that takes in what came back, after real reminders over a real clinic."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from smartia_jobs.kinds import DAY_AHEAD
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.server import Sandbox
from tests.jobs.replies_desk import RepliesDesk, figures
from tests.jobs.test_reminders import DAY, HOUR, MINUTE, TEMPLATES
from tests.support import Clinic


@pytest.fixture
def sandbox(no_threads_left: None) -> Iterator[Sandbox]:
    with Sandbox(templates=TEMPLATES) as running:
        yield running


@pytest.fixture
def desk(clinic: Clinic, sandbox: Sandbox) -> RepliesDesk:
    return RepliesDesk(clinic, sandbox)


def test_a_clinic_sees_which_reminders_arrived(desk: RepliesDesk) -> None:
    for hours in (20, 21, 22, 23):
        desk.book(hours * HOUR)
    desk.run(DAY_AHEAD)
    for message, status in enumerate(["delivered", "read", "failed"]):
        desk.hear(status, 131026 if status == "failed" else None, message=message)

    report = desk.replies()

    assert figures(report) == {"statuses": 3, "delivered": 1, "read": 1, "undelivered": 1}
    states = {row["state"]: row for row in desk.rows()}
    assert set(states) == {"delivered", "read", "undelivered", "sent"}
    assert states["undelivered"]["error_code"] == 131026
    assert figures(desk.replies()) == {}


def test_a_request_without_an_answer_is_settled_by_its_status(desk: RepliesDesk) -> None:
    desk.book(22 * HOUR)
    desk.sandbox.script("*", Scripted(cut=True, accepted=True))
    assert desk.run(DAY_AHEAD).as_json()["unknown"] == 1
    desk.hear("sent")

    report = desk.replies()

    assert figures(report) == {"statuses": 1, "settled": 1}
    (row,) = desk.rows()
    assert (row["state"], row["message_id"]) == ("sent", desk.sandbox.received[0]["wamid"])
    desk.now += HOUR
    assert desk.run(DAY_AHEAD).skipped == {"already_sent": 1}


def test_what_meta_gave_up_is_sent_again_by_the_next_run_of_its_kind(desk: RepliesDesk) -> None:
    desk.book(22 * HOUR)
    desk.run(DAY_AHEAD)
    desk.hear("failed", 131000)
    desk.now += 6 * MINUTE
    assert figures(desk.replies()) == {"statuses": 1, "reopened": 1}
    (came_back,) = desk.rows()
    assert came_back["message_id"] == desk.sandbox.received[0]["wamid"]
    desk.now += HOUR

    report = desk.run(DAY_AHEAD)

    first, second = desk.sandbox.received
    assert report.messages == 1
    assert (first["to"], first["text"]) == (second["to"], second["text"])
    (row,) = desk.rows()
    assert (row["state"], row["message_id"], row["claims"]) == ("sent", second["wamid"], 2)
    desk.hear("delivered", message=0)  # of the first try, after all
    desk.hear("read", message=1)
    assert figures(desk.replies()) == {"statuses": 2, "read": 1, "ignored earlier_try": 1}


def test_a_late_word_that_it_arrived_keeps_it_from_being_sent_again(desk: RepliesDesk) -> None:
    desk.book(22 * HOUR)
    desk.run(DAY_AHEAD)
    desk.hear("failed", 131000)
    desk.now += 6 * MINUTE
    desk.replies()
    desk.hear("delivered")
    desk.replies()
    desk.now += HOUR

    report = desk.run(DAY_AHEAD)

    assert (report.messages, report.skipped) == (0, {"already_sent": 1})


@pytest.mark.parametrize("moved_by", [2 * HOUR, timedelta(0)], ids=["moved", "moved and back"])
def test_a_visit_that_was_moved_meanwhile_is_told_its_new_time(
    desk: RepliesDesk, moved_by: timedelta
) -> None:
    visit = desk.book(22 * HOUR)
    start = desk.now + 22 * HOUR
    desk.run(DAY_AHEAD)
    desk.hear("failed", 131000)
    desk.clinic.move(visit, start + 3 * HOUR)
    desk.now += 6 * MINUTE
    desk.replies()
    desk.run(DAY_AHEAD)
    desk.clinic.move(visit, start + moved_by)
    desk.now += HOUR

    desk.run(DAY_AHEAD)

    told = [str(message["text"]) for message in desk.sandbox.received]
    hours = [start, start + 3 * HOUR, start + moved_by]
    assert [f"{at:%-H:%M}" in text for at, text in zip(hours, told, strict=True)] == [True] * 3
    assert [row["state"] for row in desk.rows()] == ["expired", "sent", "sent"]


def test_what_is_of_no_use_any_more_is_undelivered_and_not_sent_again(desk: RepliesDesk) -> None:
    desk.book(22 * HOUR)
    desk.run(DAY_AHEAD)
    desk.hear("failed", 131000)
    desk.now += 22 * HOUR - desk.settings.times_of(DAY_AHEAD).latest

    report = desk.replies()

    assert figures(report) == {"statuses": 1, "undelivered": 1}


def test_what_no_run_sent_again_in_time_is_undelivered_and_not_missed(desk: RepliesDesk) -> None:
    desk.book(22 * HOUR)
    desk.run(DAY_AHEAD)
    desk.hear("failed", 131000)
    desk.now += 6 * MINUTE
    assert figures(desk.replies()) == {"statuses": 1, "reopened": 1}
    desk.now += 17 * HOUR
    assert desk.run(DAY_AHEAD, dry_run=True).missed == 0

    report = desk.run(DAY_AHEAD)

    assert report.missed == 0
    (row,) = desk.rows()
    assert (row["state"], row["error_code"]) == ("undelivered", 131000)


def test_two_visits_of_one_message_come_back_and_go_out_together(desk: RepliesDesk) -> None:
    first = desk.book(22 * HOUR, phone="5511987654321")
    patient = desk.clinic.value("SELECT patient_id FROM appointments WHERE id = :id", id=first)
    desk.clinic.add_appointment(patient, desk.now + 23 * HOUR)
    desk.run(DAY_AHEAD)
    desk.hear("failed", 131016)
    desk.now += 6 * MINUTE
    assert figures(desk.replies()) == {"statuses": 1, "reopened": 1}
    assert [row["state"] for row in desk.rows()] == ["retry", "retry"]

    report = desk.run(DAY_AHEAD)

    assert (report.messages, report.as_json()["sent"]) == (1, 2)
    desk.hear("read")
    desk.replies()
    assert [row["state"] for row in desk.rows()] == ["read", "read"]


def test_claims_of_dead_owners_become_unknown_whatever_their_kind(desk: RepliesDesk) -> None:
    desk.book(22 * HOUR)
    desk.run(DAY_AHEAD)
    lapsed = "2020-01-01 00:00:00.000000"
    desk.clinic.execute(
        "UPDATE smartia_outbox SET state = 'claimed', kind = 'anything', lease_until = :then",
        then=lapsed,
    )

    desk.replies()

    assert [row["state"] for row in desk.rows()] == ["unknown"]


def test_statuses_are_forgotten_after_seven_days(desk: RepliesDesk) -> None:
    desk.book(22 * HOUR)
    desk.run(DAY_AHEAD)
    desk.hear("sent")
    desk.replies()
    desk.now += 7 * DAY
    desk.replies()
    assert len(desk.clinic.rows("SELECT id FROM smartia_statuses")) == 1
    desk.now += MINUTE

    desk.replies()

    assert desk.clinic.rows("SELECT id FROM smartia_statuses") == []


def test_a_dry_run_shows_what_would_become_of_each_message(desk: RepliesDesk) -> None:
    visit = desk.book(22 * HOUR, phone="5511987654321")
    desk.run(DAY_AHEAD)
    desk.hear("failed", 131026)
    before = desk.rows()

    report = desk.replies(dry_run=True)

    (decision,) = report.decisions
    assert (decision["appointment_id"], decision["decision"]) == (visit, "would_be_undelivered")
    assert decision["phone"] == "+55 11 9****-4321"
    assert figures(report) == {"statuses": 1, "undelivered": 1}
    assert desk.rows() == before


def test_a_dry_run_on_a_database_without_our_tables_finds_nothing(desk: RepliesDesk) -> None:
    assert figures(desk.replies(dry_run=True)) == {}
