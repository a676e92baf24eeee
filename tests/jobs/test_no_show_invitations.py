"""Inviting back: who gets one message after a missed visit, and who is left in peace."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta

import pytest

from smartia_jobs.clinic.appointments import PAGE_SIZE
from smartia_jobs.database import Database
from smartia_jobs.errors import ConfigurationError, ExitStatus
from smartia_jobs.jobs.reminders import send_reminders
from smartia_jobs.kinds import DAY_AHEAD
from smartia_jobs.report import Reason, Result
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.server import Sandbox
from smartia_jobs.settings import QuietHours
from smartia_jobs.store.opt_outs import add_opt_out
from tests.jobs.no_show_desk import TEMPLATES, DisturbedDatabase, NoShowDesk
from tests.support import Clinic

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

PHONE = "5511987654321"


@pytest.fixture
def sandbox(no_threads_left: None) -> Iterator[Sandbox]:
    with Sandbox(templates=TEMPLATES) as running:
        yield running


@pytest.fixture
def desk(clinic: Clinic, sandbox: Sandbox) -> NoShowDesk:
    """On each engine."""
    return NoShowDesk(clinic, sandbox)


@pytest.fixture
def sqlite_desk(sqlite_clinic: Clinic, sandbox: Sandbox) -> NoShowDesk:
    """For what the engine has no part in."""
    return NoShowDesk(sqlite_clinic, sandbox)


def opt_out(desk: NoShowDesk, phone: str) -> None:
    desk.make_tables()
    with closing(Database(desk.clinic.url)) as database, database.write() as connection:
        add_opt_out(connection, phone, at=datetime.fromisoformat("2026-11-01T12:00Z"))


# -- who is invited -----------------------------------------------------------------------------


def test_a_missed_visit_is_marked_and_its_patient_invited_back_once(desk: NoShowDesk) -> None:
    patient = desk.clinic.add_patient("Maria Souza", PHONE)
    visit = desk.visit("2026-11-25T14:30", patient_id=patient)

    first, second = desk.run(), desk.run()

    (message,) = desk.sandbox.received
    assert message["to"] == f"+{PHONE}"
    assert message["template"] == "smartia_novo_horario_v1"
    assert message["text"] is not None
    assert message["text"].startswith("Olá, Maria!")
    assert "quarta-feira, 25 de novembro" in message["text"]
    assert (first.results[Result.SENT], first.messages) == (1, 1)
    assert second.skipped == {Reason.ALREADY_SENT: 1}
    assert desk.outbox() == {visit: "sent"}


def test_correcting_the_time_of_a_missed_visit_invites_nobody_twice(desk: NoShowDesk) -> None:
    visit = desk.visit("2026-11-25T10:00")
    desk.run()
    desk.clinic.move(visit, datetime.fromisoformat("2026-11-25T10:30"))

    report = desk.run()

    assert report.skipped == {Reason.ALREADY_SENT: 1}
    assert len(desk.accepted) == 1


@pytest.mark.parametrize(("hours", "messages"), [(47, 1), (49, 2)])
def test_a_visit_missed_again_on_another_day_is_written_about_when_two_days_have_passed(
    desk: NoShowDesk, hours: int, messages: int
) -> None:
    visit = desk.visit("2026-11-25T10:00")
    desk.run()
    desk.now += hours * HOUR
    desk.clinic.move(visit, desk.now - 2 * HOUR)

    desk.run()

    assert len(desk.accepted) == messages


@pytest.mark.parametrize(("start", "messages"), [("2026-11-25T15:00", 2), ("2026-11-25T15:30", 1)])
def test_an_unknown_invitation_is_resent_at_its_own_time_only(
    sqlite_desk: NoShowDesk, start: str, messages: int
) -> None:
    sqlite_desk.setting(on_unknown="resend")
    visit = sqlite_desk.visit("2026-11-25T15:00")
    sqlite_desk.sandbox.script("/messages", Scripted(status=502, body="<html>"))
    sqlite_desk.run()
    sqlite_desk.clinic.move(visit, datetime.fromisoformat(start))

    sqlite_desk.run()

    assert len(sqlite_desk.sandbox.received) == messages


def test_the_invitation_stands_in_the_patients_dialogue(desk: NoShowDesk) -> None:
    desk.visit(3 * HOUR)

    desk.run()

    (interaction,) = desk.clinic.rows("SELECT type, message_type, message_text FROM interactions")
    assert (interaction["type"], interaction["message_type"]) == ("OUTGOING", "template")
    assert interaction["message_text"] == desk.accepted[0]["text"]


def test_a_visit_that_the_reception_marked_counts_as_well(desk: NoShowDesk) -> None:
    by_staff = desk.visit(3 * HOUR, "NO_SHOW")

    report = desk.run()

    assert desk.outbox() == {by_staff: "sent"}
    assert report.extra["marked"] == 0


def test_without_messages_visits_are_only_marked(desk: NoShowDesk) -> None:
    visit = desk.visit(3 * HOUR)

    report = desk.run(invite=False)

    assert desk.clinic.status(visit) == "NO_SHOW"
    assert desk.sandbox.received == []
    assert (report.due, report.extra["marked"]) == (0, 1)


def test_a_clinic_that_wants_no_invitations_sends_none_in_any_run(desk: NoShowDesk) -> None:
    desk.setting(invitations=False)
    visit = desk.visit(3 * HOUR)

    dry, first, second = desk.run(dry_run=True), desk.run(), desk.run()

    assert desk.clinic.status(visit) == "NO_SHOW"
    assert desk.sandbox.received == []
    assert (dry.due, first.due, second.due) == (0, 0, 0)
    assert [one["decision"] for one in dry.decisions] == ["would_mark"]


def test_without_messages_in_one_run_the_next_one_invites(desk: NoShowDesk) -> None:
    visit = desk.visit(3 * HOUR)
    desk.run(invite=False)

    desk.run()

    assert desk.outbox() == {visit: "sent"}


def test_a_crash_after_marking_loses_no_invitation(desk: NoShowDesk) -> None:
    visits = [desk.visit(3 * HOUR) for _ in range(3)]
    desk.make_tables()

    class PowerCut(BaseException):
        pass

    def fail() -> None:
        raise PowerCut

    with pytest.raises(PowerCut):
        desk.run(database=DisturbedDatabase(desk.clinic.url, fail, before_write=2))
    marked_and_unsent = (desk.statuses(visits), len(desk.sandbox.received))
    report = desk.run()

    assert marked_and_unsent == (["NO_SHOW"] * 3, 0)
    assert report.results[Result.SENT] == 3
    assert desk.outbox() == dict.fromkeys(visits, "sent")


def test_an_invitation_has_its_time(desk: NoShowDesk) -> None:
    desk.setting(reengage_after=timedelta(minutes=90))
    too_early = desk.visit(89 * MINUTE, "NO_SHOW")
    due = [desk.visit(90 * MINUTE, "NO_SHOW"), desk.visit(48 * HOUR - MINUTE, "NO_SHOW")]
    too_late = desk.visit(48 * HOUR + MINUTE, "NO_SHOW")

    desk.run()

    sent = desk.outbox()
    assert sent == dict.fromkeys(due, "sent")
    assert not {too_early, too_late} & sent.keys()


def test_by_default_the_grace_is_the_time_for_late_arrivals(sqlite_desk: NoShowDesk) -> None:
    sqlite_desk.setting(no_show_grace=timedelta(minutes=120))
    sqlite_desk.visit(119 * MINUTE, "NO_SHOW")
    due = sqlite_desk.visit(120 * MINUTE, "NO_SHOW")

    sqlite_desk.run()

    assert sqlite_desk.outbox() == {due: "sent"}


# -- who is not ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["SCHEDULED", "CONFIRMED", "COMPLETED"])
def test_who_has_booked_again_is_not_invited(desk: NoShowDesk, status: str) -> None:
    patient = desk.clinic.add_patient()
    desk.visit(30 * HOUR, "NO_SHOW", patient_id=patient)
    booked = -DAY if status != "COMPLETED" else 5 * HOUR
    desk.visit(booked, status, patient_id=patient)

    report = desk.run()

    assert desk.sandbox.received == []
    assert report.skipped == {Reason.REBOOKED: 1}


@pytest.mark.parametrize(
    ("ago", "status"), [(-DAY, "CANCELLED"), (60 * HOUR, "COMPLETED"), (3 * DAY, "CANCELLED")]
)
def test_other_visits_do_not_count_as_booked_again(
    desk: NoShowDesk, ago: timedelta, status: str
) -> None:
    patient = desk.clinic.add_patient()
    desk.visit(30 * HOUR, "NO_SHOW", patient_id=patient)
    desk.visit(ago, status, patient_id=patient)

    desk.run()

    assert len(desk.accepted) == 1


@pytest.mark.parametrize("typed", ["551187654321", "(11) 98765-4321", "+55 11 98765 4321"])
def test_a_person_is_told_by_the_phone_however_it_was_typed(desk: NoShowDesk, typed: str) -> None:
    desk.visit(3 * HOUR, patient_id=desk.clinic.add_patient(phone=PHONE))
    desk.visit(-DAY, patient_id=desk.clinic.add_patient(phone=typed))

    report = desk.run()

    assert report.skipped == {Reason.REBOOKED: 1}


def test_another_persons_booking_stops_nobodys_invitation(desk: NoShowDesk) -> None:
    # The same last eight digits, another area.
    desk.visit(3 * HOUR, patient_id=desk.clinic.add_patient(phone=PHONE))
    desk.visit(-DAY, patient_id=desk.clinic.add_patient(phone="5521987654321"))

    desk.run()

    assert [message["to"] for message in desk.accepted] == [f"+{PHONE}"]


@pytest.mark.parametrize("completed", ["2026-11-25T10:00", "2026-11-25T16:00"])
def test_who_was_seen_that_day_after_all_is_not_invited(desk: NoShowDesk, completed: str) -> None:
    patient = desk.clinic.add_patient()
    desk.visit("2026-11-25T14:30", patient_id=patient)
    desk.visit(completed, "COMPLETED", patient_id=patient)

    report = desk.run()

    assert desk.sandbox.received == []
    assert report.skipped == {Reason.SEEN_AFTER_ALL: 1}


def test_who_was_seen_the_day_before_is_invited(desk: NoShowDesk) -> None:
    patient = desk.clinic.add_patient()
    desk.visit("2026-11-25T14:30", patient_id=patient)
    desk.visit("2026-11-24T14:30", "COMPLETED", patient_id=patient)

    desk.run()

    assert len(desk.accepted) == 1


def test_who_opted_out_gets_reminders_but_no_invitation(desk: NoShowDesk) -> None:
    opt_out(desk, "+5511987654321")
    patient = desk.clinic.add_patient(phone="551187654321")  # without the ninth digit
    missed = desk.visit(3 * HOUR, patient_id=patient)

    report = desk.run()
    desk.visit(-DAY, patient_id=patient)
    reminded = desk.perform(lambda run: send_reminders(run, DAY_AHEAD))

    assert desk.clinic.status(missed) == "NO_SHOW"
    assert report.skipped == {Reason.OPTED_OUT: 1}
    assert reminded.results[Result.SENT] == 1
    assert [message["template"] for message in desk.accepted] == ["smartia_lembrete_24h_v2"]


def test_whatsapps_answer_is_remembered_as_an_opt_out(desk: NoShowDesk) -> None:
    desk.sandbox.script(PHONE, Scripted(code=131050))
    patient = desk.clinic.add_patient(phone=PHONE)
    desk.visit(27 * HOUR, patient_id=patient)

    refused = desk.run()
    desk.visit(3 * HOUR, patient_id=patient)
    next_time = desk.run()

    assert refused.results[Result.FAILED] == 1
    assert desk.clinic.rows("SELECT phone, source, scope FROM smartia_opt_outs") == [
        {"phone": f"+{PHONE}", "source": "whatsapp", "scope": "invitations"}
    ]
    assert next_time.skipped == {Reason.ALREADY_FAILED: 1, Reason.OPTED_OUT: 1}
    assert len(desk.sandbox.received) == 1


def test_quiet_hours_hold_the_invitation_for_the_next_run(desk: NoShowDesk) -> None:
    start, end = (datetime.fromisoformat(f"2026-11-25T{hour}").time() for hour in ("17", "19"))
    desk.setting(quiet_hours=QuietHours(start, end))
    visit = desk.visit(3 * HOUR)

    held = desk.run()
    desk.now += HOUR
    desk.run()

    assert held.skipped == {Reason.QUIET_HOURS: 1}
    assert held.extra["marked"] == 1
    assert desk.outbox() == {visit: "sent"}


def test_a_second_missed_visit_of_the_day_is_neither_told_nor_messaged(desk: NoShowDesk) -> None:
    patient = desk.clinic.add_patient()
    second = desk.visit("2026-11-25T15:15", patient_id=patient)
    first = desk.visit("2026-11-25T09:45", patient_id=patient)

    report = desk.run()

    (message,) = desk.accepted
    assert desk.statuses([first, second]) == ["NO_SHOW", "NO_SHOW"]
    assert desk.outbox() == {first: "sent"}
    assert report.skipped == {Reason.ALREADY_INVITED: 1}
    assert message["text"] is not None
    assert "15:15" not in message["text"]


def test_a_second_visit_missed_after_the_invitation_brings_no_second_one(
    desk: NoShowDesk,
) -> None:
    patient = desk.clinic.add_patient()
    desk.visit("2026-11-25T09:45", patient_id=patient)
    desk.run()
    desk.visit("2026-11-25T15:15", patient_id=patient)

    report = desk.run()

    assert report.skipped == {Reason.ALREADY_SENT: 1, Reason.ALREADY_INVITED: 1}
    assert len(desk.accepted) == 1


def test_visits_missed_on_two_days_bring_one_message_about_the_first(desk: NoShowDesk) -> None:
    patient = desk.clinic.add_patient()
    later = desk.visit(3 * HOUR, patient_id=patient)
    earlier = desk.visit(27 * HOUR, patient_id=patient)

    report = desk.run()

    assert desk.statuses([earlier, later]) == ["NO_SHOW", "NO_SHOW"]
    assert desk.outbox() == {earlier: "sent"}
    assert report.skipped == {Reason.ALREADY_INVITED: 1}


@pytest.mark.parametrize("typed", ["551187654321", "(11) 98765-4321", "+55 11 98765 4321"])
def test_patients_with_one_phone_are_invited_as_one_person(desk: NoShowDesk, typed: str) -> None:
    mother, child = desk.clinic.add_patient(phone=PHONE), desk.clinic.add_patient(phone=typed)
    earlier = desk.visit(27 * HOUR, patient_id=child)
    desk.visit(3 * HOUR, patient_id=mother)

    report = desk.run()

    assert desk.outbox() == {earlier: "sent"}
    assert report.skipped == {Reason.ALREADY_INVITED: 1}


def test_who_was_invited_is_invited_again_when_two_days_have_passed(desk: NoShowDesk) -> None:
    patient = desk.clinic.add_patient()
    desk.visit("2026-11-25T10:00", patient_id=patient)
    desk.run()
    desk.now += 47 * HOUR
    last = desk.visit(3 * HOUR, patient_id=patient)

    too_early = desk.run()
    desk.now += HOUR + MINUTE
    desk.run()

    assert too_early.skipped[Reason.ALREADY_INVITED] == 1
    assert desk.outbox()[last] == "sent"
    assert len(desk.accepted) == 2


@pytest.mark.parametrize("gone", ["CANCELLED", "moved", "deleted", "given to another"])
def test_an_invitation_counts_whatever_became_of_the_visit_it_was_about(
    desk: NoShowDesk, gone: str
) -> None:
    mother, child = desk.clinic.add_patient(phone=PHONE), desk.clinic.add_patient()
    first = desk.visit(27 * HOUR, patient_id=mother)
    desk.run()
    if gone == "moved":
        desk.clinic.move(first, desk.now + 9 * DAY)
        desk.clinic.set_status(first, "CANCELLED")
    elif gone == "deleted":
        desk.clinic.delete_appointment(first)
    elif gone == "given to another":
        desk.clinic.execute(
            "UPDATE appointments SET patient_id = :p WHERE id = :id", p=child, id=first
        )
    else:
        desk.clinic.set_status(first, gone)
    desk.visit(3 * HOUR, patient_id=mother)

    report = desk.run()

    assert report.skipped[Reason.ALREADY_INVITED] == 1
    theirs = [one for one in desk.accepted if str(one["to"]).endswith(PHONE[-8:])]
    assert len(theirs) == 1  # whoever was given the visit is invited about it themselves


def test_an_invitation_that_may_have_arrived_counts(desk: NoShowDesk) -> None:
    patient = desk.clinic.add_patient()
    first = desk.visit(27 * HOUR, patient_id=patient)
    desk.sandbox.script("*", Scripted(cut=True, accepted=True))
    desk.run()
    desk.visit(3 * HOUR, patient_id=patient)

    report = desk.run()

    assert desk.outbox() == {first: "unknown"}
    assert report.skipped == {Reason.HELD_UNKNOWN: 1, Reason.ALREADY_INVITED: 1}
    assert len(desk.sandbox.received) == 1


def test_an_invitation_that_another_process_is_sending_counts(desk: NoShowDesk) -> None:
    patient = desk.clinic.add_patient()
    first = desk.visit(27 * HOUR, patient_id=patient)
    desk.run()
    desk.clinic.execute(
        "UPDATE smartia_outbox SET state = 'claimed', run_id = 'another', sent_at = NULL,"
        " lease_until = '2099-01-01 00:00:00.000000'"
    )
    desk.clinic.set_status(first, "COMPLETED")
    desk.visit(3 * HOUR, patient_id=patient)

    report = desk.run()

    assert report.skipped == {Reason.ALREADY_INVITED: 1}
    assert len(desk.accepted) == 1


def test_an_invitation_that_surely_never_left_counts_for_nothing(desk: NoShowDesk) -> None:
    patient = desk.clinic.add_patient()
    first = desk.visit(27 * HOUR, patient_id=patient)
    desk.sandbox.script("/messages", Scripted(code=190), repeat_last=True)
    desk.run()
    desk.sandbox.script("/messages")
    desk.clinic.set_status(first, "COMPLETED")
    second = desk.visit(3 * HOUR, patient_id=patient)

    desk.run()

    assert desk.outbox() == {first: "expired", second: "sent"}


def test_the_first_visit_keeps_its_place_when_the_second_lies_in_another_page(
    sqlite_desk: NoShowDesk,
) -> None:
    # WhatsApp is busy, so the first message waits while the rest of the visits is read.
    sqlite_desk.setting(no_show_without_attendance=True)
    patient = sqlite_desk.clinic.add_patient(phone=PHONE)
    nobody = sqlite_desk.clinic.add_patient(phone="98765-4321")
    first = sqlite_desk.visit(30 * HOUR, "NO_SHOW", patient_id=patient)
    for _ in range(PAGE_SIZE - 1):
        sqlite_desk.visit(29 * HOUR, "NO_SHOW", patient_id=nobody)
    second = sqlite_desk.visit(3 * HOUR, "NO_SHOW", patient_id=patient)
    sqlite_desk.sandbox.script(PHONE, Scripted(code=131016))

    report = sqlite_desk.run()

    assert sqlite_desk.outbox()[first] == "sent"
    assert second not in sqlite_desk.outbox()
    assert report.skipped[Reason.ALREADY_INVITED] >= 1
    assert len(sqlite_desk.accepted) == 1


def test_what_another_process_sends_meanwhile_is_seen_when_a_message_is_claimed(
    desk: NoShowDesk,
) -> None:
    # The first message of a run goes alone. While it is under way, another process invites a
    # patient about a visit that this run has not seen as missed, and never will.
    desk.visit(40 * HOUR, "NO_SHOW")
    patient = desk.clinic.add_patient(phone=PHONE)
    earlier = desk.visit(5 * HOUR, "COMPLETED", patient_id=patient)
    later = desk.visit(3 * HOUR, "NO_SHOW", patient_id=patient)
    desk.clinic.move(earlier, desk.now - 29 * HOUR)
    desk.make_tables()
    desk.sandbox.script("*", Scripted(delay_s=3.0))

    def invite_elsewhere() -> None:
        for _ in range(1000):
            if desk.sandbox.received:
                break
            time.sleep(0.01)
        desk.clinic.set_status(earlier, "NO_SHOW")
        desk.run()
        desk.clinic.set_status(earlier, "CANCELLED")

    elsewhere = threading.Thread(target=invite_elsewhere)
    elsewhere.start()
    report = desk.run()
    elsewhere.join()

    assert desk.outbox()[earlier] == "sent"
    assert later not in desk.outbox()
    assert report.skipped == {Reason.ALREADY_INVITED: 1}
    assert [message["to"] for message in desk.accepted].count(f"+{PHONE}") == 1


def test_the_day_before_yesterdays_first_visit_still_counts_when_its_patient_was_told(
    desk: NoShowDesk,
) -> None:
    patient = desk.clinic.add_patient()
    told = desk.visit("2026-11-25T09:00", patient_id=patient)
    desk.run()
    second = desk.visit("2026-11-25T20:00", patient_id=patient)
    desk.now = datetime.fromisoformat("2026-11-27T10:00")  # 49 hours after the first

    report = desk.run()

    assert desk.outbox() == {told: "sent"}
    assert desk.clinic.status(second) == "NO_SHOW"
    assert report.skipped == {Reason.ALREADY_INVITED: 1}


def test_a_first_visit_nobody_was_told_about_in_time_gives_way_to_the_second(
    desk: NoShowDesk,
) -> None:
    patient = desk.clinic.add_patient()
    desk.visit("2026-11-25T09:00", patient_id=patient)
    second = desk.visit("2026-11-25T20:00", patient_id=patient)
    desk.now = datetime.fromisoformat("2026-11-27T10:00")

    desk.run()

    assert desk.outbox() == {second: "sent"}


def test_only_the_phones_of_a_first_live_run_are_invited(sqlite_desk: NoShowDesk) -> None:
    sqlite_desk.setting(only_to=frozenset({"+55 11 98765-4321"}))
    visits = [sqlite_desk.visit(3 * HOUR) for _ in range(2)]
    mine = sqlite_desk.visit(3 * HOUR, patient_id=sqlite_desk.clinic.add_patient(phone=PHONE))

    report = sqlite_desk.run()

    assert sqlite_desk.outbox() == {mine: "sent"}
    assert report.skipped == {Reason.NOT_IN_ONLY_TO: 2}
    assert sqlite_desk.statuses(visits) == ["NO_SHOW"] * 2


# -- bad data --------------------------------------------------------------------------------------


def test_without_a_usable_phone_a_visit_is_marked_and_its_patient_not_messaged(
    desk: NoShowDesk,
) -> None:
    visit = desk.visit(3 * HOUR, patient_id=desk.clinic.add_patient(phone="98765-4321"))

    report = desk.run()

    assert desk.clinic.status(visit) == "NO_SHOW"
    assert desk.sandbox.received == []
    assert report.results[Result.FAILED] == 1
    assert desk.clinic.value("SELECT error FROM smartia_outbox") == (
        "The number is incomplete: write it with its area code."
    )


def test_a_visit_whose_patient_is_gone_is_marked_and_said(desk: NoShowDesk) -> None:
    patient = desk.clinic.add_patient()
    visit = desk.visit(3 * HOUR, patient_id=patient)
    desk.clinic.delete_patient(patient)

    report = desk.run()

    assert desk.clinic.status(visit) == "NO_SHOW"
    assert report.skipped == {Reason.PATIENT_MISSING: 1}


# -- late arrivals and failures ------------------------------------------------------------------


def test_a_visit_set_back_before_its_message_has_left_stops_it(desk: NoShowDesk) -> None:
    # The first message of a run goes alone; the second patient arrives while it is under way.
    desk.visit(4 * HOUR)
    late = desk.visit(3 * HOUR)
    desk.sandbox.script("*", Scripted(delay_s=1.0))

    def arrive() -> None:
        for _ in range(1000):
            if desk.sandbox.received:
                break
            time.sleep(0.01)
        desk.clinic.set_status(late, "COMPLETED")

    arrival = threading.Thread(target=arrive)
    arrival.start()
    report = desk.run()
    arrival.join()

    assert len(desk.accepted) == 1
    assert desk.clinic.status(late) == "COMPLETED"
    assert report.skipped == {Reason.NO_LONGER_OPEN: 1}


def test_a_patient_who_books_before_the_message_has_left_stops_it(desk: NoShowDesk) -> None:
    desk.visit(4 * HOUR)
    patient = desk.clinic.add_patient()
    desk.visit(3 * HOUR, patient_id=patient)
    desk.sandbox.script("*", Scripted(delay_s=1.0))

    def book() -> None:
        for _ in range(1000):
            if desk.sandbox.received:
                break
            time.sleep(0.01)
        desk.visit(-DAY, patient_id=patient)

    booking = threading.Thread(target=book)
    booking.start()
    report = desk.run()
    booking.join()

    assert len(desk.accepted) == 1
    assert report.skipped == {Reason.REBOOKED: 1}


def test_a_refused_invitation_is_closed_when_the_visit_was_reopened(desk: NoShowDesk) -> None:
    visit = desk.visit(3 * HOUR)
    desk.sandbox.script("/messages", Scripted(code=190), repeat_last=True)
    refused = desk.run()
    desk.sandbox.script("/messages")
    desk.clinic.set_status(visit, "CONFIRMED")

    report = desk.run()

    assert refused.exit_status is ExitStatus.REFUSED
    assert refused.results[Result.RETRY] == 1
    assert desk.outbox() == {visit: "expired"}
    assert (report.due, report.missed) == (0, 0)
    assert desk.clinic.status(visit) == "CONFIRMED"


def test_a_refused_invitation_leaves_with_the_next_run(desk: NoShowDesk) -> None:
    visit = desk.visit(3 * HOUR)
    desk.sandbox.script("/messages", Scripted(code=190), repeat_last=True)
    desk.run()
    desk.sandbox.script("/messages")

    report = desk.run()

    assert desk.outbox() == {visit: "sent"}
    assert report.exit_status is ExitStatus.OK


def test_a_refused_invitation_that_grew_too_old_is_counted_as_missed(desk: NoShowDesk) -> None:
    visit = desk.visit(3 * HOUR)
    desk.sandbox.script("/messages", Scripted(code=190), repeat_last=True)
    desk.run()
    desk.sandbox.script("/messages")
    desk.now += 2 * DAY

    report = desk.run()

    assert desk.outbox() == {visit: "expired"}
    assert (report.due, report.missed) == (0, 1)


def test_an_answer_that_never_came_is_not_sent_again(sqlite_desk: NoShowDesk) -> None:
    visit = sqlite_desk.visit(3 * HOUR)
    sqlite_desk.sandbox.script("*", Scripted(cut=True, accepted=True))

    first, second = sqlite_desk.run(), sqlite_desk.run()

    assert first.results[Result.UNKNOWN] == 1
    assert second.skipped == {Reason.HELD_UNKNOWN: 1}
    assert sqlite_desk.outbox() == {visit: "unknown"}
    assert len(sqlite_desk.sandbox.received) == 1


def test_a_limit_is_one_of_messages_not_of_marks(desk: NoShowDesk) -> None:
    visits = [desk.visit(3 * HOUR) for _ in range(3)]

    report = desk.run(limit=1)

    assert desk.statuses(visits) == ["NO_SHOW"] * 3
    assert (report.results[Result.SENT], report.results[Result.LEFT]) == (1, 2)
    assert report.exit_status is ExitStatus.OK


def test_a_wrong_catalogue_stops_the_run_before_anything_is_marked(
    sqlite_desk: NoShowDesk,
) -> None:
    visit = sqlite_desk.visit(3 * HOUR)
    sqlite_desk.setting(only_to=frozenset({"98765"}))

    with pytest.raises(ConfigurationError):
        sqlite_desk.run()

    assert sqlite_desk.clinic.status(visit) == "SCHEDULED"


# -- the dry run -----------------------------------------------------------------------------------


def everybody(desk: NoShowDesk) -> dict[str, int]:
    """Book one visit for every decision there is, and some that are left alone."""
    clinic = desk.clinic
    twice, booked, came, seldom = (clinic.add_patient() for _ in range(4))
    visits = {
        "alone": desk.visit(5 * HOUR, "CONFIRMED"),
        "by staff": desk.visit(5 * HOUR, "NO_SHOW"),
        "first": desk.visit("2026-11-25T09:00", patient_id=twice),
        "second": desk.visit("2026-11-25T11:00", patient_id=twice),
        "rebooked": desk.visit("2026-11-24T12:00", patient_id=booked),
        "came": desk.visit("2026-11-25T08:00", patient_id=came),
        "first of two": desk.visit("2026-11-24T10:00", patient_id=seldom),
        "second of two": desk.visit("2026-11-25T10:00", patient_id=seldom),
        "no phone": desk.visit(6 * HOUR, patient_id=clinic.add_patient(phone="98765-4321")),
        "old": desk.visit(5 * DAY),
    }
    desk.visit(-DAY, patient_id=booked)
    desk.visit("2026-11-25T12:00", "COMPLETED", patient_id=came)
    desk.visit(30 * MINUTE)
    return visits


def test_a_dry_run_predicts_the_marks_and_the_messages_that_follow_from_them(
    desk: NoShowDesk,
) -> None:
    visits = everybody(desk)

    dry = desk.run(dry_run=True)

    decided: dict[int, list[tuple[str, str | None]]] = {}
    for one in dry.decisions:
        decided.setdefault(one["appointment_id"], []).append((one["decision"], one["reason"]))
    mark = ("would_mark", "still SCHEDULED after it was over")
    incomplete = "The number is incomplete: write it with its area code."
    assert decided == {
        visits["alone"]: [
            ("would_mark", "still CONFIRMED after it was over"), ("would_send", None),
        ],
        visits["by staff"]: [("would_send", None)],
        visits["first"]: [mark, ("would_send", None)],
        visits["second"]: [mark, ("skipped", "already_invited")],
        visits["rebooked"]: [mark, ("skipped", "rebooked")],
        visits["came"]: [mark, ("skipped", "seen_after_all")],
        visits["first of two"]: [mark, ("would_send", None)],
        visits["second of two"]: [mark, ("skipped", "already_invited")],
        visits["no phone"]: [mark, ("failed", incomplete)],
        visits["old"]: [mark],
    }  # fmt: skip
    assert dry.extra == {"marked": 0, "left_open": 0, "would_mark": 9}
    assert all("****" in one["phone"] for one in dry.decisions)


def test_a_real_run_does_what_the_dry_run_said(desk: NoShowDesk) -> None:
    everybody(desk)

    dry, real = desk.run(dry_run=True), desk.run()

    assert real.extra["marked"] == dry.extra["would_mark"]
    assert real.results[Result.SENT] == dry.results[Result.WOULD_SEND] == len(desk.accepted)
    assert real.results[Result.FAILED] == dry.results[Result.FAILED]
    assert real.skipped == dry.skipped


def test_a_dry_run_changes_nothing(desk: NoShowDesk) -> None:
    visits = list(everybody(desk).values())
    before = desk.statuses(visits)

    desk.run(dry_run=True)

    assert desk.statuses(visits) == before
    assert desk.sandbox.received == []
    with pytest.raises(Exception, match="smartia_status_changes"):
        desk.marks()


def test_a_dry_run_knows_what_was_marked_told_and_opted_out(desk: NoShowDesk) -> None:
    opt_out(desk, "+5511987654321")
    reopened = desk.visit(5 * HOUR)
    told = desk.visit(5 * HOUR)
    desk.run()
    desk.clinic.set_status(reopened, "SCHEDULED")
    silent = desk.visit(3 * HOUR, patient_id=desk.clinic.add_patient(phone=PHONE))

    dry = desk.run(dry_run=True)

    decisions = [(one["appointment_id"], one["decision"], one["reason"]) for one in dry.decisions]
    assert decisions == [
        (silent, "would_mark", "still SCHEDULED after it was over"),
        (told, "skipped", "already_sent"),
        (silent, "skipped", "opted_out"),
    ]
