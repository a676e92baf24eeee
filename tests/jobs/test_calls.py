"""Whom the reception should call: every reason, what settles it, and in which order."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import event

from smartia_jobs.clinic.rules.calls import WHAT, Why
from tests.jobs.calls_desk import TODAY_16, TOMORROW_14, WEDNESDAY_10, CallsDesk
from tests.support import Clinic


@pytest.fixture
def desk(clinic: Clinic) -> CallsDesk:
    """A clinic on each engine, with our tables."""
    return CallsDesk(clinic)


@pytest.fixture
def sqlite_desk(sqlite_clinic: Clinic) -> CallsDesk:
    """A clinic on SQLite, with our tables."""
    return CallsDesk(sqlite_clinic)


# -- what patients answered -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("meaning", "why"), [("cancel", Why.WANTS_TO_CANCEL), ("move", Why.WANTS_TO_MOVE)]
)
def test_who_cannot_come_is_on_the_list_until_the_reception_touches_the_visit(
    desk: CallsDesk, meaning: str, why: Why
) -> None:
    visits = [desk.visit() for _ in range(4)]
    for visit in visits:
        desk.answer(desk.remind(visit), meaning, text="não vou poder", holds=visit)
    assert desk.whys() == [[why]] * 4

    desk.clinic.set_status(visits[0], "CANCELLED")
    desk.clinic.move(visits[1], TOMORROW_14 + timedelta(days=3))
    desk.clinic.set_status(visits[2], "CONFIRMED")

    (left,) = desk.calls().calls
    assert (left.appointment_id, left.text) == (visits[3], "não vou poder")


def test_an_answer_that_somebody_settled_is_gone(desk: CallsDesk) -> None:
    visit = desk.visit()
    desk.answer(desk.remind(visit), "cancel", holds=visit, settled_at=desk.at())

    assert desk.whys() == []


def test_an_unclear_answer_stands_with_its_text_and_who_wrote_it(desk: CallsDesk) -> None:
    visit = desk.visit(name="João Lima")
    answer = desk.answer(desk.remind(visit), text="posso levar minha filha?")

    call = desk.only()

    assert (call.why, call.text, call.name) == (
        Why.UNCLEAR_ANSWER,
        "posso levar minha filha?",
        "João Lima",
    )
    assert (call.answer_id, call.appointment_id, call.start) == (answer, visit, TOMORROW_14)
    assert call.phone == desk.phone(visit)


def test_an_unclear_answer_goes_when_the_visit_is_changed_after_it_and_not_before(
    desk: CallsDesk,
) -> None:
    before, after = desk.visit(), desk.visit()
    for visit, touched in ((before, timedelta(hours=-5)), (after, timedelta(minutes=-1))):
        desk.answer(desk.remind(visit, at=desk.at(timedelta(hours=-9))), text="qual o endereço?")
        desk.clinic.execute(
            "UPDATE appointments SET status = 'CONFIRMED', updated_at = :at WHERE id = :id",
            id=visit,
            at=desk.at(touched) if desk.clinic.dialect == "postgresql"
            else desk.at(touched).strftime("%Y-%m-%d %H:%M:%S"),
        )  # fmt: skip

    assert [call.appointment_id for call in desk.calls().calls] == [before]


@pytest.mark.parametrize("noted", [True, False])
def test_an_unclear_answer_stays_when_the_patient_then_confirms(
    desk: CallsDesk, noted: bool
) -> None:
    visit = desk.visit()
    reminder = desk.remind(visit)
    desk.answer(reminder, text="onde fica?", holds=visit if noted else None)
    desk.clinic.set_status(visit, "CONFIRMED")
    desk.answer(reminder, "confirm", "confirmed", holds=visit, before="SCHEDULED")
    assert desk.whys() == [["unclear_answer"]]

    desk.clinic.set_status(visit, "COMPLETED")

    assert desk.whys() == []


def test_words_that_a_tap_has_done_are_done(desk: CallsDesk) -> None:
    visit = desk.visit()
    reminder = desk.remind(visit)
    desk.answer(reminder, "cancel", text="não vou", holds=visit)
    desk.clinic.set_status(visit, "CANCELLED")
    desk.answer(reminder, "cancel", "cancelled", holds=visit, before="SCHEDULED")

    assert desk.whys() == [["slot_freed"]]


def test_who_confirms_a_visit_that_is_no_longer_as_told_is_for_a_person(desk: CallsDesk) -> None:
    visit = desk.visit()
    reminder = desk.remind(visit)
    desk.clinic.set_status(visit, "CANCELLED")
    desk.clinic.execute(
        "UPDATE appointments SET updated_at = :at",
        at=desk.at(timedelta(hours=-2)).replace(tzinfo=UTC)
        if desk.clinic.dialect == "postgresql"
        else desk.at(timedelta(hours=-2)).strftime("%Y-%m-%d %H:%M:%S"),
    )
    desk.answer(reminder, "confirm", text="Confirmar presença")

    assert desk.whys() == [["unclear_answer", "told_otherwise"]]


def test_a_slot_that_a_patient_freed_names_the_calendar_s_event(desk: CallsDesk) -> None:
    visit = desk.visit(status="CANCELLED")
    desk.clinic.execute("UPDATE appointments SET calendar_event_id = 'evt_42'")
    desk.answer(
        desk.remind(visit, appointment_status="SCHEDULED"),
        "cancel",
        "cancelled",
        holds=visit,
        before="SCHEDULED",
    )

    call = desk.only()

    assert call.why is Why.SLOT_FREED
    assert call.what == f"{WHAT[Why.SLOT_FREED]} Calendar event: evt_42."


def test_a_freed_slot_is_listed_where_smartia_notes_no_calendar(sqlite_desk: CallsDesk) -> None:
    sqlite_desk.clinic.execute("ALTER TABLE appointments DROP COLUMN calendar_event_id")
    visit = sqlite_desk.visit(status="CANCELLED")
    sqlite_desk.answer(sqlite_desk.remind(visit), "cancel", "cancelled", holds=visit)

    assert sqlite_desk.only().what == WHAT[Why.SLOT_FREED]


def test_a_role_that_may_not_read_the_calendar_s_event_has_the_list(
    postgres_clinic: Clinic,
) -> None:
    desk = CallsDesk(postgres_clinic)
    visit = desk.visit(status="CANCELLED")
    desk.answer(desk.remind(visit), "cancel", "cancelled", holds=visit)
    readable = "id, patient_id, conversation_id, appointment_date, duration_minutes, status"
    for statement in (
        "CREATE ROLE few",
        f"GRANT SELECT ({readable}, created_at, updated_at) ON appointments TO few",
        "GRANT SELECT ON patients, conversations, interactions, smartia_jobs_version,"
        " smartia_outbox, smartia_answers, smartia_opt_outs, smartia_status_changes TO few",
    ):
        desk.clinic.execute(statement)
    whole = desk.clinic.url
    desk.clinic.url = f"{whole}{'&' if '?' in whole else '?'}options=-c%20role%3Dfew"

    try:
        assert desk.only().what == WHAT[Why.SLOT_FREED]
    finally:
        desk.clinic.url = whole
        desk.clinic.execute("DROP OWNED BY few")
        desk.clinic.execute("DROP ROLE few")


def test_a_freed_slot_is_gone_once_its_time_has_come(desk: CallsDesk) -> None:
    visit = desk.visit(WEDNESDAY_10 - timedelta(hours=1), "CANCELLED")
    desk.answer(desk.remind(visit), "cancel", "cancelled", holds=visit)

    assert desk.whys() == []


def test_who_is_to_be_told_that_an_answer_was_undone_is_on_the_list(desk: CallsDesk) -> None:
    visit = desk.visit(status="CANCELLED")
    desk.answer(desk.remind(visit), "cancel", "undone", holds=visit, before="SCHEDULED")
    desk.clinic.set_status(visit, "SCHEDULED")
    assert desk.whys() == [["answer_undone"]]

    desk.clinic.set_status(visit, "CONFIRMED")

    assert desk.whys() == []


def test_a_disputed_number_stays_until_it_is_corrected(desk: CallsDesk) -> None:
    patient = desk.clinic.add_patient("Ana Reis", "5511987650099")
    visit = desk.visit(WEDNESDAY_10 - timedelta(days=30), "COMPLETED", patient_id=patient)
    desk.answer(desk.remind(visit), "not_me", at=desk.at(timedelta(days=-30)))
    assert desk.whys() == [["number_disputed"]]
    other = desk.visit(patient_id=patient)
    assert desk.whys() == [["number_disputed"], ["number_disputed"]]

    desk.clinic.delete_appointment(visit)
    assert desk.whys() == [["number_disputed"], ["number_disputed"]]

    desk.clinic.set_phone(patient, "5511987650100")

    assert desk.whys() == []
    assert other


def test_an_answer_about_nobody_knows_which_visit_is_a_line_of_its_phone(desk: CallsDesk) -> None:
    patient = desk.clinic.add_patient("Rita Melo", "(11) 98765-0077")
    answer = desk.answer(None, "cancel", text="não vou", phone="5511987650077")

    call = desk.only()

    assert (call.why, call.appointment_id, call.start) == (Why.WANTS_TO_CANCEL, None, None)
    assert (call.patient_id, call.name, call.phone) == (patient, "Rita Melo", "+5511987650077")
    assert call.answer_id == answer


def test_a_disputed_phone_that_nobody_has_is_nobody_s(desk: CallsDesk) -> None:
    desk.answer(None, "not_me", phone="5511987650077", at=desk.at(timedelta(days=-30)))
    assert desk.whys() == []

    desk.clinic.add_patient("Rita Melo", "(11) 98765-0077")

    assert desk.whys() == [["number_disputed"]]


def test_an_answer_to_a_message_about_two_visits_is_about_both(desk: CallsDesk) -> None:
    patient = desk.clinic.add_patient()
    first, second = (
        desk.visit(TOMORROW_14 + timedelta(hours=hours), patient_id=patient) for hours in (0, 2)
    )
    leader = desk.remind(first)
    desk.remind(second, leader_id=leader)
    desk.answer(leader, "cancel")

    assert {call.appointment_id for call in desk.calls().calls} == {first, second}


def test_answers_about_no_visit_are_gone_after_a_week(desk: CallsDesk) -> None:
    desk.answer(None, text="oi", phone="5511987650077", at=desk.at(timedelta(days=-7)))

    assert desk.whys() == []


def test_who_said_no_stands_to_be_closed_for_a_week_after_the_visit(desk: CallsDesk) -> None:
    for ago in (timedelta(hours=1), timedelta(days=6, hours=23), timedelta(days=7, hours=1)):
        visit = desk.visit(WEDNESDAY_10 - ago)
        desk.answer(desk.remind(visit), "cancel", holds=visit, at=desk.at(-ago - timedelta(days=1)))

    assert desk.whys() == [["to_close"]] * 2


# -- what was told --------------------------------------------------------------------------


def test_who_was_told_a_time_that_the_clinic_changed_is_to_be_told(desk: CallsDesk) -> None:
    cancelled, moved, gone = (desk.visit() for _ in range(3))
    for visit in (cancelled, moved, gone):
        desk.remind(visit)
    desk.clinic.set_status(cancelled, "CANCELLED")
    desk.clinic.move(moved, TOMORROW_14 + timedelta(days=5))
    desk.clinic.delete_appointment(gone)

    calls = {call.appointment_id: call for call in desk.calls().calls}

    assert {call.why for call in calls.values()} == {Why.TOLD_OTHERWISE}
    assert calls[moved].what.endswith("The visit is now at 2026-12-01 14:00.")
    assert calls[cancelled].what.endswith("The visit was cancelled.")
    assert calls[gone].start == TOMORROW_14  # when the patient would come
    assert calls[gone].name == "Maria Souza"


def test_who_was_told_anew_or_asked_for_it_is_not_told_again(desk: CallsDesk) -> None:
    moved, being_told, asked = (desk.visit() for _ in range(3))
    for visit in (moved, being_told):
        desk.remind(visit, at=desk.at(timedelta(hours=-5)))
        desk.clinic.move(visit, TODAY_16)
    desk.remind(moved)
    desk.remind(being_told, "claimed", lease_until=desk.at(timedelta(minutes=1)))
    desk.answer(desk.remind(asked), "cancel", holds=asked)
    desk.clinic.set_status(asked, "CANCELLED")

    assert desk.whys() == []


def test_a_visit_that_was_deleted_and_written_again_is_as_told(desk: CallsDesk) -> None:
    patient = desk.clinic.add_patient()
    visit = desk.visit(TODAY_16, patient_id=patient)
    desk.remind(visit, at=desk.at(timedelta(days=-1)))
    desk.now = TODAY_16 - timedelta(hours=1)  # too late for any reminder of its own
    desk.visit(TODAY_16, patient_id=patient)
    desk.clinic.delete_appointment(visit)

    assert desk.whys() == []


def test_a_time_that_was_given_away_is_told_to_who_had_it(desk: CallsDesk) -> None:
    visit = desk.visit(name="Ana Reis")
    desk.remind(visit)
    desk.clinic.execute(
        "UPDATE appointments SET patient_id = :id", id=desk.clinic.add_patient("Rui Dias")
    )

    call = desk.only()

    assert (call.why, call.name) == (Why.TOLD_OTHERWISE, "Ana Reis")
    assert call.what.endswith("The time was given to somebody else.")


def test_a_reminder_that_never_arrived_has_told_nobody(desk: CallsDesk) -> None:
    visit = desk.visit()
    desk.remind(visit, "undelivered")
    desk.clinic.set_status(visit, "CANCELLED")

    assert desk.whys() == []


# -- whom no message reaches ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "why"),
    [
        (["undelivered"], "not_reached"),
        (["failed"], "not_reached"),
        (["sent", "undelivered"], "not_reached"),
        (["unknown"], "unknown"),
        (["retry"], "retry"),
        (["unknown", "retry"], "unknown"),
        (["delivered", "undelivered"], None),
        (["sent", "retry"], None),
        (["sent"], None),
        (["read"], None),
    ],
)
def test_a_visit_stands_for_what_became_of_its_reminders(
    desk: CallsDesk, states: list[str], why: str | None
) -> None:
    visit = desk.visit()
    for number, state in enumerate(states):
        desk.remind(visit, state, at=desk.at(timedelta(minutes=number - 60)))

    assert desk.whys() == ([[why]] if why else [])


def test_who_confirmed_since_is_reached(desk: CallsDesk) -> None:
    visit = desk.visit()
    desk.remind(visit, "undelivered")
    desk.clinic.set_status(visit, "CONFIRMED")

    assert desk.whys() == []


def test_a_claim_whose_run_died_is_unknown(desk: CallsDesk) -> None:
    dead, alive = desk.visit(), desk.visit()
    desk.remind(dead, "claimed", lease_until=desk.at(timedelta(minutes=-5)))
    desk.remind(alive, "claimed", lease_until=desk.at(timedelta(minutes=1)))

    assert [(c.appointment_id, c.why) for c in desk.calls().calls] == [(dead, Why.UNKNOWN)]


def test_a_reminder_of_a_visit_that_was_moved_or_a_corrected_phone_counts_no_more(
    desk: CallsDesk,
) -> None:
    moved, corrected = desk.visit(TODAY_16), desk.visit()
    desk.remind(moved, "undelivered")
    desk.clinic.move(moved, TOMORROW_14)
    desk.remind(corrected, "undelivered")
    desk.clinic.execute(
        "UPDATE patients SET phone_number = '5511987650044' WHERE id ="
        " (SELECT patient_id FROM appointments WHERE id = :id)",
        id=corrected,
    )

    assert desk.whys() == []


def test_a_phone_that_cannot_be_one_and_one_that_is_not_reachable_are_listed(
    desk: CallsDesk,
) -> None:
    unusable = desk.visit(phone="1234")
    patient = desk.clinic.add_patient("Bia Sá", "5511987650055")
    earlier = desk.visit(WEDNESDAY_10 - timedelta(days=2), "COMPLETED", patient_id=patient)
    desk.remind(earlier, "undelivered", error_code=131026, at=desk.at(timedelta(days=-3)))
    unreachable = desk.visit(patient_id=patient)

    whys = {call.appointment_id: call.why for call in desk.calls().calls}

    assert whys == {unusable: Why.NO_USABLE_NUMBER, unreachable: Why.NOT_REACHED}


def test_who_wants_no_messages_is_called(desk: CallsDesk) -> None:
    visit, invited = desk.visit(), desk.visit()
    desk.opt_out(desk.phone(visit))
    desk.opt_out(desk.phone(invited), "invitations")

    assert [(c.appointment_id, c.why) for c in desk.calls().calls] == [
        (visit, Why.ASKED_FOR_NO_MESSAGES)
    ]


def test_who_got_no_reminder_while_it_was_of_use_is_called(desk: CallsDesk) -> None:
    desk.remind(
        desk.visit(WEDNESDAY_10 - timedelta(days=9), "COMPLETED"), at=desk.at(timedelta(days=-10))
    )
    late = desk.visit(WEDNESDAY_10 + timedelta(hours=5))
    desk.visit(TOMORROW_14)  # the next run reminds of it
    desk.visit(WEDNESDAY_10 + timedelta(hours=4), booked=desk.at(timedelta(hours=-1)))

    assert [(c.appointment_id, c.why) for c in desk.calls().calls] == [(late, Why.TOO_LATE)]


# -- the book -------------------------------------------------------------------------------


def test_who_cancelled_in_smartia_s_chat_is_called_and_closed_for_a_week(desk: CallsDesk) -> None:
    for start in (TOMORROW_14, WEDNESDAY_10 - timedelta(days=2), WEDNESDAY_10 - timedelta(days=8)):
        patient = desk.clinic.add_patient()
        desk.visit(start, patient_id=patient)
        chat = desk.at(timedelta(days=-9))
        desk.clinic.add_conversation(
            patient, intent="cancel_appointment", created_at=chat, updated_at=chat
        )

    assert desk.whys() == [["cancelled_in_chat"], ["to_close"]]


def test_who_has_not_confirmed_and_is_likely_to_be_missed_is_called(desk: CallsDesk) -> None:
    missed, kept_since, confirmed = (desk.clinic.add_patient() for _ in range(3))
    for patient, past in ((missed, "NO_SHOW"), (kept_since, "NO_SHOW"), (confirmed, "NO_SHOW")):
        desk.visit(WEDNESDAY_10 - timedelta(days=60), past, patient_id=patient)
    desk.visit(WEDNESDAY_10 - timedelta(days=20), "COMPLETED", patient_id=kept_since)
    visit = desk.visit(patient_id=missed, booked=datetime(2026, 10, 1, tzinfo=UTC))
    desk.visit(patient_id=kept_since)
    desk.visit(patient_id=confirmed, status="CONFIRMED")

    assert [(c.appointment_id, c.why, c.also) for c in desk.calls().calls] == [
        (visit, Why.MISSED_LAST_TIME, (Why.BOOKED_LONG_AHEAD,))
    ]


def test_thirty_days_ahead_are_long_and_twenty_nine_are_not(desk: CallsDesk) -> None:
    long_ahead = desk.visit(booked=datetime(2026, 10, 27, 15, tzinfo=UTC))
    desk.visit(booked=datetime(2026, 10, 28, 15, tzinfo=UTC))

    assert [call.appointment_id for call in desk.calls().calls] == [long_ahead]


# -- the list -------------------------------------------------------------------------------


def test_a_visit_is_one_line_and_the_most_urgent_come_first(desk: CallsDesk) -> None:
    calm = desk.visit(TODAY_16, booked=datetime(2026, 10, 1, tzinfo=UTC))
    urgent = desk.visit(booked=datetime(2026, 10, 1, tzinfo=UTC))
    desk.answer(desk.remind(urgent, "undelivered"), "move", holds=urgent)

    calls = desk.calls().calls

    assert [call.appointment_id for call in calls] == [urgent, calm]
    assert calls[0].also == (Why.NOT_REACHED, Why.BOOKED_LONG_AHEAD)
    assert calls[0].why.urgency < calls[1].why.urgency


def test_a_day_shows_its_own_visits_and_no_others(desk: CallsDesk) -> None:
    for start in (TODAY_16, TOMORROW_14, TOMORROW_14 + timedelta(days=4)):
        visit = desk.visit(start)
        desk.answer(desk.remind(visit), "move", holds=visit)
        desk.visit(start, phone=f"12{start.day}")
    desk.answer(None, text="oi", phone="5511987650077")

    by_default, monday = desk.whys(), desk.calls(date(2026, 11, 30)).calls

    # Who cannot be written to stands for today and tomorrow, who wants to move until it is done.
    assert by_default == [["wants_to_move"]] * 3 + [["unclear_answer"]] + [["no_usable_number"]] * 2
    assert [str(call.why) for call in monday] == ["wants_to_move", "no_usable_number"]
    assert [len(desk.calls(date(2026, 11, day)).calls) for day in (25, 26, 27)] == [2, 2, 0]


def test_a_database_without_our_tables_has_a_list_too(clinic: Clinic) -> None:
    desk = CallsDesk(clinic)
    for table in ("outbox", "answers", "opt_outs", "status_changes", "statuses", "notices"):
        clinic.execute(f"DROP TABLE smartia_{table}")
    clinic.execute("DROP TABLE smartia_installation")
    clinic.execute("DROP TABLE smartia_jobs_version")
    desk.visit(phone="1234")

    found = desk.calls()

    assert [str(call.why) for call in found.calls] == ["no_usable_number"]
    assert not found.knows_messages


def test_how_many_queries_a_list_takes_does_not_grow_with_it(
    sqlite_desk: CallsDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(visits: int) -> None:
        for _ in range(visits):
            visit = sqlite_desk.visit()
            sqlite_desk.answer(sqlite_desk.remind(visit, "undelivered"), text="?")
            moved = sqlite_desk.visit()
            sqlite_desk.remind(moved)
            sqlite_desk.clinic.set_status(moved, "CANCELLED")

    def queries() -> int:
        seen: list[str] = []
        from sqlalchemy.engine import Engine

        def note(*given: object) -> None:
            seen.append(str(given[2]))

        event.listen(Engine, "before_cursor_execute", note)
        try:
            sqlite_desk.calls()
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        return len(seen)

    fill(2)
    few = queries()
    fill(20)

    assert queries() == few
    assert len(sqlite_desk.whys()) == 44
