"""What patients answer is acted on once, and what is not surely right is a person's."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, time, timedelta
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import Connection

from smartia_jobs.database import Database
from smartia_jobs.errors import ExitStatus
from smartia_jobs.jobs.no_show import mark_no_shows
from smartia_jobs.jobs.replies import take_in_replies
from smartia_jobs.report import Reason, Result
from smartia_jobs.sandbox.server import Sandbox
from smartia_jobs.timing import QuietHours
from tests.jobs.answer_desk import AnswerDesk
from tests.support import Clinic


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as server:
        yield server


@pytest.fixture
def desk(clinic: Clinic, sandbox: Sandbox) -> AnswerDesk:
    return AnswerDesk(clinic, sandbox)


@pytest.fixture
def sqlite_desk(sqlite_clinic: Clinic, sandbox: Sandbox) -> AnswerDesk:
    return AnswerDesk(sqlite_clinic, sandbox)


# -- each effect, once --------------------------------------------------------------------------


def test_a_tap_confirms_the_visit_and_the_patient_is_told(desk: AnswerDesk) -> None:
    visit = desk.book()
    answer = desk.tap(desk.tell(visit), "confirm")

    report = desk.act()

    assert desk.clinic.status(visit) == "CONFIRMED"
    assert (report.extra["answers"], report.extra["confirmed"]) == (1, 1)
    assert report.extra["written_back"] == 1
    assert report.exit_status is ExitStatus.OK
    assert desk.words() == [(answer, "confirmed", "sent")]
    told = desk.clinic.rows("SELECT * FROM interactions")
    assert [(row["type"], row["message_type"]) for row in told] == [("OUTGOING", "text")]
    again = desk.act(minute=2)
    assert again.extra["answers"] == again.extra["written_back"] == 0
    assert desk.posted() == 1


def test_a_tapped_no_cancels_the_visit_and_the_patient_is_told(desk: AnswerDesk) -> None:
    visit = desk.book()
    answer = desk.tap(desk.tell(visit), "cancel")

    report = desk.act()

    assert desk.clinic.status(visit) == "CANCELLED"
    assert report.extra["cancelled"] == 1
    assert desk.words() == [(answer, "cancelled", "sent")]


@pytest.mark.parametrize(
    ("on_cancel", "status"), [("tap", "SCHEDULED"), ("any", "CANCELLED"), ("list", "SCHEDULED")]
)
def test_a_no_in_words_changes_the_agenda_only_where_the_clinic_lets_it(
    sqlite_desk: AnswerDesk, on_cancel: str, status: str
) -> None:
    desk = sqlite_desk
    desk.setting(on_cancel=on_cancel)
    visit = desk.book()
    desk.write(desk.tell(visit), "não vou poder")

    desk.act()

    assert desk.clinic.status(visit) == status


def test_all_visits_of_a_message_are_confirmed(desk: AnswerDesk) -> None:
    patient = desk.clinic.add_patient()
    visits = [desk.book(hours=hours, patient=patient) for hours in (24, 26)]
    row = desk.tell(*visits)
    desk.tap(row, "confirm")

    desk.act()

    assert [desk.clinic.status(visit) for visit in visits] == ["CONFIRMED", "CONFIRMED"]


def test_a_no_to_a_message_about_two_visits_is_listed(sqlite_desk: AnswerDesk) -> None:
    desk = sqlite_desk
    patient = desk.clinic.add_patient()
    visits = [desk.book(hours=hours, patient=patient) for hours in (24, 26)]
    answer = desk.tap(desk.tell(*visits), "cancel")

    report = desk.act()

    assert report.extra["listed"] == 1
    assert [desk.clinic.status(visit) for visit in visits] == ["SCHEDULED", "SCHEDULED"]
    assert desk.words() == [(answer, "passed_on", "sent")]


def test_a_no_below_a_word_back_is_about_all_visits_of_the_message(desk: AnswerDesk) -> None:
    desk.setting(on_cancel="any")
    patient = desk.clinic.add_patient()
    visits = [desk.book(hours=hours, patient=patient) for hours in (24, 26)]
    desk.tap(desk.tell(*visits, kind="72h"), "confirm")
    desk.act()
    (word,) = desk.clinic.rows("SELECT * FROM smartia_outbox WHERE answer_id IS NOT NULL")
    desk.write(word["id"], "não vou poder", minute=2, context_id=word["message_id"])

    report = desk.act(minute=3)

    assert report.extra["listed"] == 1
    assert [desk.clinic.status(visit) for visit in visits] == ["CONFIRMED", "CONFIRMED"]
    assert desk.remind(minute=4).skipped["said_no"] == 2


def test_a_stop_of_whom_nobody_knows_the_phone_is_a_persons(sqlite_desk: AnswerDesk) -> None:
    desk = sqlite_desk
    row = desk.tell(desk.book())
    told = desk.row(row)["message_id"]
    desk.clinic.execute("UPDATE smartia_outbox SET phone = NULL")
    answer = desk.answer(text="SAIR", context_id=told)

    assert desk.act().extra["listed"] == 1
    assert desk.effect(answer) == "listed"


def test_a_mother_of_two_children_is_left_alone_altogether(sqlite_desk: AnswerDesk) -> None:
    desk = sqlite_desk
    typed = {"Ana": "5511987650777", "Rui": "(11) 98765-0777"}
    children = [desk.clinic.add_patient(name, phone) for name, phone in typed.items()]
    visits = [desk.book(hours=23 + n, patient=child) for n, child in enumerate(children)]
    row = desk.tell(visits[0], kind="72h")
    answer = desk.write(row, "SAIR")

    report = desk.act()

    assert report.extra["opted_out"] == 1
    assert desk.words() == [(answer, "stopped", "sent")]
    reminded = desk.remind()
    assert reminded.skipped["opted_out"] == 2
    assert desk.posted() == 1
    desk.write(row, "quero receber mensagens", minute=3)
    assert desk.act(minute=4).extra["opted_in"] == 1
    assert "opted_out" not in desk.remind(minute=5).skipped


def test_whoever_answers_nothing_of_ours_is_ignored_and_what_they_write_is_not_kept(
    desk: AnswerDesk,
) -> None:
    desk.answer(phone="5511912340000", text="quero marcar uma consulta")

    report = desk.act()

    assert sum((report.ignored or {}).values()) == 1
    (row,) = desk.clinic.rows("SELECT * FROM smartia_answers")
    assert (row["effect"], row["text"], row["phone"]) == ("ignored", None, None)


@pytest.mark.parametrize("before", [(), ("confirm",)])
def test_a_number_that_is_somebody_elses_gets_nothing_until_it_confirms(
    sqlite_desk: AnswerDesk, before: tuple[str, ...]
) -> None:
    desk = sqlite_desk
    visit = desk.book(hours=24)
    row = desk.tell(visit, kind="72h")
    for word in before:
        desk.tap(row, word, minute=-10)
        desk.act(minute=-9)
    words = desk.words()
    desk.write(row, "número errado")

    assert desk.act().extra["listed"] == 1
    assert desk.words() == words
    assert desk.remind().skipped["number_disputed"] == 1
    desk.tap(row, "confirm", minute=2)
    desk.act(minute=3)
    assert "number_disputed" not in desk.remind(minute=4).skipped


def test_one_number_that_confirms_settles_nothing_of_another(sqlite_desk: AnswerDesk) -> None:
    desk = sqlite_desk
    first, second = (desk.tell(desk.book(hours=24), kind="72h") for _ in range(2))
    desk.write(first, "número errado")
    desk.write(second, "número errado")
    desk.act()
    desk.tap(first, "confirm", minute=2)
    desk.act(minute=3)

    report = desk.remind(minute=4)

    assert report.skipped == {Reason.NUMBER_DISPUTED: 1}
    assert report.results[Result.SENT] == 1


@pytest.mark.parametrize(
    "sent",
    [
        {"type": "audio", "text": None},
        {"type": "image", "text": "meu exame"},
        {"type": "unsupported", "text": None},
        {"type": "text", "text": "preciso de jejum?"},
    ],
)
def test_what_nobody_can_be_sure_of_is_listed_and_holds_back_nothing(
    sqlite_desk: AnswerDesk, sent: dict[str, Any]
) -> None:
    desk = sqlite_desk
    visit = desk.book(hours=24)
    row = desk.tell(visit, kind="72h")
    desk.answer(phone=desk.row(row)["phone"], **sent)

    report = desk.act()

    assert report.extra["listed"] == 1
    assert desk.words() == []
    assert desk.remind().results[Result.SENT] == 1


def test_ok_after_the_reminder_of_two_hours_confirms_once_and_afterwards_is_a_receipt(
    sqlite_desk: AnswerDesk,
) -> None:
    desk = sqlite_desk
    visit = desk.book(hours=2)
    row = desk.tell(visit, kind="2h")
    desk.write(row, "ok", minute=0)
    desk.write(row, "ok obrigada", minute=0.5)

    first = desk.act()
    desk.write(row, "ok", minute=150)
    later = desk.act(minute=151)

    assert (first.extra["confirmed"], first.extra["repeated"]) == (1, 1)
    assert later.extra["courtesy"] == 1
    assert desk.posted() == 1


def told_while_the_chatbot_talks(desk: AnswerDesk) -> int:
    visit = desk.book()
    row = desk.tell(visit)
    chat = desk.clinic.add_conversation(desk.visit(visit)["patient_id"], "CONFIRM")
    desk.clinic.add_interaction(chat, "Deseja agendar?", type="OUTGOING", created_at=desk.instant())
    return row


def test_a_bare_yes_while_the_chatbot_is_talking_is_a_persons(sqlite_desk: AnswerDesk) -> None:
    desk = sqlite_desk
    row = told_while_the_chatbot_talks(desk)
    desk.write(row, "sim", minute=1)
    desk.write(row, "sim", minute=2, context_id=desk.row(row)["message_id"])

    report = desk.act(minute=3)

    assert (report.extra["listed"], report.extra["confirmed"]) == (1, 1)


def test_while_the_chatbot_is_talking_no_bare_words_but_thanks_are_understood(
    sqlite_desk: AnswerDesk,
) -> None:
    desk = sqlite_desk
    row = told_while_the_chatbot_talks(desk)
    said = ("1", "não vou", "remarcar", "sair", "start", "número errado", "já volto")
    for minute, text in enumerate((*said, "obrigada"), start=1):
        desk.write(row, text, minute=minute)

    report = desk.act(minute=10)

    assert (report.extra["listed"], report.extra["courtesy"]) == (len(said), 1)
    assert report.extra["answers"] == len(said) + 1


def test_from_smartias_table_confirmations_and_stops_count_and_a_no_is_only_listed(
    sqlite_desk: AnswerDesk,
) -> None:
    desk = sqlite_desk
    desk.setting(on_cancel="any")
    yes, no, out = desk.book(), desk.book(), desk.book()
    desk.write(desk.tell(yes), "Confirmar presença", type="button", source="smartia")
    desk.write(desk.tell(no), "Não poderei ir", type="button", source="smartia")
    desk.write(desk.tell(out), "SAIR", source="smartia", message_id="smartia:17")

    report = desk.act()

    assert [desk.clinic.status(one) for one in (yes, no)] == ["CONFIRMED", "SCHEDULED"]
    counts = [report.extra[name] for name in ("confirmed", "listed", "opted_out")]
    assert counts == [1, 1, 1]
    assert desk.posted() == 3


# -- what no longer stands as it was told -------------------------------------------------------


def give_away(desk: AnswerDesk, visit: int) -> None:
    other = desk.clinic.add_patient("Outra Pessoa")
    desk.clinic.execute("UPDATE appointments SET patient_id = :p WHERE id = :v", p=other, v=visit)


def move(desk: AnswerDesk, visit: int) -> None:
    desk.clinic.move(visit, desk.now + timedelta(hours=50))


def cancel(desk: AnswerDesk, visit: int) -> None:
    desk.clinic.set_status(visit, "CANCELLED")


def unset(desk: AnswerDesk, visit: int) -> None:
    desk.clinic.set_status(visit, None)


def delete(desk: AnswerDesk, visit: int) -> None:
    desk.clinic.delete_appointment(visit)


@pytest.mark.parametrize("change", [give_away, move, cancel, unset, delete])
@pytest.mark.parametrize("means", ["confirm", "cancel"])
def test_a_tap_on_what_has_changed_since_is_a_persons(
    desk: AnswerDesk, change: Callable[[AnswerDesk, int], None], means: str
) -> None:
    visit = desk.book()
    row = desk.tell(visit)
    change(desk, visit)
    before = desk.clinic.rows("SELECT id, status FROM appointments")
    answer = desk.tap(row, means)

    report = desk.act()

    assert report.extra["listed"] == 1
    assert desk.clinic.rows("SELECT id, status FROM appointments") == before
    assert report.exit_status is ExitStatus.OK
    assert desk.effect(answer) == "listed"


@pytest.mark.parametrize(
    "first_try",
    ["state = 'retry', error_code = 131000", "state = 'retry', sent_at = NULL, resends = 1"],
)
def test_a_button_of_a_try_that_told_another_time_confirms_nothing(
    desk: AnswerDesk, first_try: str
) -> None:
    visit = desk.book(hours=23)
    row = desk.tell(visit)
    told = desk.row(row)["message_id"]
    desk.clinic.execute(f"UPDATE smartia_outbox SET {first_try}")
    desk.clinic.move(visit, desk.now + timedelta(hours=24))
    desk.remind(minute=1)
    answer = desk.tap(row, "confirm", minute=2, context_id=told)

    desk.act(minute=3)

    assert desk.posted() == 2  # the time that holds now, and that somebody will call
    assert (desk.effect(answer), desk.clinic.status(visit)) == ("listed", "SCHEDULED")


def test_a_tap_after_the_visit_began_is_a_persons(sqlite_desk: AnswerDesk) -> None:
    desk = sqlite_desk
    visit = desk.book(hours=0)
    row = desk.tell(visit, kind="2h")
    desk.tap(row, "confirm", minute=1)

    assert desk.act(minute=2).extra["listed"] == 1
    assert desk.clinic.status(visit) == "SCHEDULED"


def test_whoever_said_no_before_the_visit_is_not_missed_although_it_was_read_later(
    desk: AnswerDesk,
) -> None:
    visit = desk.book(hours=1)
    desk.write(desk.tell(visit), "não vou poder", minute=59)
    desk.act(minute=61)

    report = desk.perform(lambda run: mark_no_shows(run, invite=False), minute=180)

    assert (desk.clinic.status(visit), report.skipped["said_no"]) == ("SCHEDULED", 1)


def test_a_tap_of_a_patient_who_was_deleted_is_a_persons(desk: AnswerDesk) -> None:
    visit = desk.book()
    row = desk.tell(visit)
    desk.clinic.delete_patient(desk.visit(visit)["patient_id"])
    desk.tap(row, "confirm")

    report = desk.act()

    assert (report.extra["listed"], report.exit_status) == (1, ExitStatus.OK)
    assert desk.clinic.status(visit) == "SCHEDULED"
    assert desk.posted() == 1


def test_a_patient_whose_two_rows_were_merged_is_the_same_person(sqlite_desk: AnswerDesk) -> None:
    desk = sqlite_desk
    old = desk.clinic.add_patient("Ana", "551187650001")
    kept = desk.clinic.add_patient("Ana", "+55 (11) 98765-0001")
    visit = desk.book(patient=old)
    row = desk.tell(visit)
    desk.clinic.execute("UPDATE appointments SET patient_id = :kept", kept=kept)
    desk.tap(row, "confirm", phone="551187650001")

    assert desk.act().extra["confirmed"] == 1


def test_a_hidden_phone_is_known_by_the_message_that_was_tapped_on(
    sqlite_desk: AnswerDesk,
) -> None:
    desk = sqlite_desk
    row = desk.tell(desk.book())
    answer = desk.tap(row, "confirm", phone=None)

    assert desk.act().extra["confirmed"] == 1
    assert desk.words() == [(answer, "confirmed", "sent")]


def test_a_forged_payload_has_no_effect(sqlite_desk: AnswerDesk) -> None:
    desk = sqlite_desk
    mine, theirs = desk.book(), desk.book()
    my_row, their_row = desk.tell(mine), desk.tell(theirs)
    forged = f"cancel:{desk.installation}:{their_row}"
    desk.tap(my_row, "cancel", payload=forged, context_id=None)
    desk.tap(their_row, "cancel", payload=f"cancel:elsewhere:{their_row}", context_id="wamid.X")
    desk.tap(
        their_row, "cancel", payload=f"cancel:{desk.installation}:9999999", context_id="wamid.X"
    )

    desk.act()

    assert [desk.clinic.status(one) for one in (mine, theirs)] == ["SCHEDULED", "SCHEDULED"]


# -- order and contradiction --------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_two_yes_and_then_a_no_end_as_a_no_whichever_came_first(
    sqlite_desk: AnswerDesk, order: tuple[int, int, int]
) -> None:
    desk = sqlite_desk
    visit = desk.book()
    row = desk.tell(visit)
    said = [("confirm", 0.0), ("confirm", 1.0), ("cancel", 2.0)]

    for place in order:  # each arrives, and is acted on, alone
        means, minute = said[place]
        desk.tap(row, means, minute=minute, arrives=3)
        desk.act(minute=4)

    assert desk.clinic.status(visit) == "CANCELLED"
    assert desk.posted() == sum(state == "sent" for _, _, state in desk.words())


def test_of_several_answers_in_a_run_the_last_gets_the_word(desk: AnswerDesk) -> None:
    visit = desk.book()
    row = desk.tell(visit)
    desk.tap(row, "confirm", minute=0)
    desk.tap(row, "confirm", minute=0.1)
    last = desk.tap(row, "cancel", minute=0.2)

    report = desk.act()

    assert (report.extra["confirmed"], report.extra["repeated"]) == (1, 1)
    assert report.extra["cancelled"] == report.extra["written_back"] == 1
    assert desk.words()[-1] == (last, "cancelled", "sent")
    assert desk.posted() == 1


def test_whoever_writes_twice_is_told_once_that_it_was_passed_on(sqlite_desk: AnswerDesk) -> None:
    desk = sqlite_desk
    row = desk.tell(desk.book())
    desk.write(row, "não posso", minute=0)
    last = desk.write(row, "quero remarcar", minute=0.1)

    report = desk.act()

    assert (report.extra["listed"], report.extra["written_back"]) == (2, 1)
    assert desk.words()[-1] == (last, "passed_on", "sent")


def test_a_yes_after_a_no_is_a_persons(desk: AnswerDesk) -> None:
    visit = desk.book()
    row = desk.tell(visit)
    desk.tap(row, "cancel", minute=0)
    desk.act()
    yes = desk.tap(row, "confirm", minute=2)

    report = desk.act(minute=3)

    assert report.extra["listed"] == 1
    assert desk.clinic.status(visit) == "CANCELLED"
    assert desk.words()[-1] == (yes, "passed_on", "sent")


def test_the_same_no_again_does_nothing(desk: AnswerDesk) -> None:
    visit = desk.book()
    row = desk.tell(visit)
    desk.tap(row, "cancel", minute=0)
    desk.act()
    desk.tap(row, "cancel", minute=2)

    assert desk.act(minute=3).extra["repeated"] == 1
    assert desk.posted() == 1


def test_a_visit_reinstated_by_phone_is_confirmed_and_cancelled_as_a_new_one(
    desk: AnswerDesk,
) -> None:
    visit = desk.book()
    row = desk.tell(visit)
    desk.tap(row, "cancel", minute=0)
    desk.act()
    desk.clinic.set_status(visit, "SCHEDULED")
    desk.tap(row, "confirm", minute=2)

    assert desk.act(minute=3).extra["confirmed"] == 1
    assert desk.clinic.status(visit) == "CONFIRMED"
    desk.tap(row, "cancel", minute=4)
    assert desk.act(minute=5).extra["cancelled"] == 1
    assert desk.clinic.status(visit) == "CANCELLED"


def test_a_no_to_a_cancelled_visit_does_not_count_once_the_visit_is_reinstated(
    desk: AnswerDesk,
) -> None:
    visit = desk.book(hours=23)
    row = desk.tell(visit, kind="72h")
    desk.clinic.execute("UPDATE appointments SET status = 'CANCELLED'")
    early = desk.write(row, "não vou poder")
    again = desk.write(row, "não vou poder", minute=1)
    desk.act(minute=2)
    desk.clinic.execute("UPDATE appointments SET status = 'SCHEDULED'")
    late = desk.write(row, "não vou poder", minute=3)

    desk.act(minute=4)

    assert [desk.effect(one) for one in (early, again, late)] == ["listed", "listed", "listed"]
    assert desk.remind(minute=5).skipped["said_no"] == 1


def test_a_visit_reinstated_by_phone_is_told_again(desk: AnswerDesk) -> None:
    visit = desk.book(hours=24)
    desk.remind()
    row = desk.clinic.value("SELECT id FROM smartia_outbox")
    desk.tap(row, "cancel", minute=1)
    desk.act(minute=2)
    desk.clinic.set_status(visit, "SCHEDULED")

    assert desk.remind(minute=3).results[Result.SENT] == 1
    assert desk.remind(minute=4).results[Result.SENT] == 0


def test_whoever_cancels_and_books_the_same_time_again_is_told_of_it(
    sqlite_desk: AnswerDesk,
) -> None:
    desk = sqlite_desk
    visit = desk.book(hours=24)
    desk.remind()
    desk.tap(desk.clinic.value("SELECT id FROM smartia_outbox"), "cancel", minute=1)
    desk.act(minute=2)
    desk.book(hours=24, patient=desk.visit(visit)["patient_id"])

    assert desk.remind(minute=3).results[Result.SENT] == 1


def test_whoever_cannot_come_is_reminded_again_once_the_visit_is_moved(desk: AnswerDesk) -> None:
    visit = desk.book(hours=26)
    desk.write(desk.tell(visit, kind="72h"), "não posso")

    assert desk.act().extra["listed"] == 1
    assert desk.remind(minute=2).skipped["said_no"] == 1
    desk.clinic.move(visit, desk.now + timedelta(hours=25))
    assert "said_no" not in desk.remind(minute=3).skipped


def test_a_clock_that_is_ahead_overtakes_nothing(sqlite_desk: AnswerDesk) -> None:
    desk = sqlite_desk
    visit = desk.book()
    row = desk.tell(visit)
    desk.tap(row, "confirm", minute=60 * 24 * 400, arrives=0)
    desk.act()
    desk.tap(row, "cancel", minute=2)

    assert desk.act(minute=3).extra["cancelled"] == 1


# -- what an answer proves ----------------------------------------------------------------------


def test_a_tap_on_an_unknown_message_settles_it(desk: AnswerDesk) -> None:
    visit = desk.book()
    row = desk.tell(visit, state="unknown")
    desk.tap(row, "confirm")

    desk.act()

    assert desk.clinic.status(visit) == "CONFIRMED"
    settled = desk.row(row)
    assert (settled["state"], settled["message_id"]) == ("sent", f"wamid.LATE{row}")
    assert settled["sent_at"] is not None


def test_a_tap_on_a_message_that_was_to_be_sent_again_settles_it(desk: AnswerDesk) -> None:
    visit = desk.book(hours=23)
    row = desk.tell(visit, state="retry")
    desk.tap(row, "confirm")

    desk.act()
    again = desk.remind(minute=2)

    assert desk.row(row)["state"] == "sent"
    assert again.skipped == {Reason.ALREADY_SENT: 1}


def test_words_that_came_before_a_message_was_found_to_be_unknown_answer_it(
    desk: AnswerDesk,
) -> None:
    visit = desk.book()
    row = desk.tell(visit, state="claimed")
    answer = desk.write(row, "sim", minute=1)
    desk.clinic.execute("UPDATE smartia_outbox SET lease_until = claimed_at")

    desk.perform(take_in_replies, minute=30)

    assert desk.effect(answer) == "confirmed"
    assert desk.clinic.status(visit) == "CONFIRMED"


def test_whoever_taps_on_a_message_that_was_given_up_can_be_reached(desk: AnswerDesk) -> None:
    visit = desk.book(hours=23)
    row = desk.tell(visit, kind="72h", state="undelivered")
    desk.clinic.execute("UPDATE smartia_outbox SET error_code = 131026")
    before = desk.remind().skipped["unreachable"]
    desk.tap(row, "confirm")

    desk.act()

    arrived = desk.row(row)
    assert (arrived["state"], arrived["error_code"]) == ("delivered", None)
    assert arrived["delivered_at"] is not None
    assert (before, "unreachable" in desk.remind(minute=2).skipped) == (1, False)


def test_another_persons_tap_settles_nothing(sqlite_desk: AnswerDesk) -> None:
    desk = sqlite_desk
    row = desk.tell(desk.book(), state="unknown")
    desk.tap(row, "confirm", phone="5511912340000")

    desk.act()

    assert desk.row(row)["state"] == "unknown"


# -- the word back ------------------------------------------------------------------------------


def test_an_evening_tap_within_quiet_hours_is_answered_at_once(sqlite_desk: AnswerDesk) -> None:
    desk = sqlite_desk
    desk.now = datetime.fromisoformat("2026-11-23T21:30")
    desk.setting(quiet_hours=QuietHours(time(21), time(7)))
    row = desk.tell(desk.book())
    desk.tap(row, "confirm")

    assert desk.act(minute=10).extra["written_back"] == 1


def test_a_tap_that_quiet_hours_reached_late_is_acted_on_and_not_answered(
    sqlite_desk: AnswerDesk,
) -> None:
    desk = sqlite_desk
    desk.now = datetime.fromisoformat("2026-11-23T21:30")
    desk.setting(quiet_hours=QuietHours(time(21), time(7)))
    visit = desk.book()
    desk.tap(desk.tell(visit), "confirm")

    assert desk.act(minute=16).extra["written_back"] == 0
    assert desk.clinic.status(visit) == "CONFIRMED"
    assert [state for _, _, state in desk.words()] == ["retry"]
    desk.act(minute=121)
    assert [state for _, _, state in desk.words()] == ["expired"]


def test_an_answer_that_is_heard_after_two_hours_gets_no_word(sqlite_desk: AnswerDesk) -> None:
    desk = sqlite_desk
    visit = desk.book()
    desk.tap(desk.tell(visit), "confirm")

    desk.act(minute=120)

    assert desk.clinic.status(visit) == "CONFIRMED"
    assert desk.words() == []


@pytest.mark.parametrize(
    "without",
    [{"word_back": False}, {"meta_access_token": None}, {"meta_phone_number_id": None}],
)
def test_without_a_word_back_the_answer_is_acted_on_all_the_same(
    sqlite_desk: AnswerDesk, without: dict[str, object]
) -> None:
    desk = sqlite_desk
    desk.setting(**without)
    visit = desk.book()
    desk.tap(desk.tell(visit), "confirm")

    desk.act()

    assert desk.clinic.status(visit) == "CONFIRMED"
    assert desk.words() == []


def test_a_sandbox_answers_no_patient_of_the_clinics_own_database(
    sqlite_desk: AnswerDesk,
) -> None:
    desk = sqlite_desk
    desk.setting(database_is_a_copy=False)
    visit = desk.book()
    desk.tap(desk.tell(visit), "confirm")

    report = desk.act()

    assert desk.clinic.status(visit) == "CONFIRMED"
    assert (desk.words(), desk.posted()) == ([], 0)
    assert "no word back" in report.warnings[0]


def test_in_a_first_live_run_only_those_it_is_for_get_a_word_back(sqlite_desk: AnswerDesk) -> None:
    desk = sqlite_desk
    rows = [desk.tell(desk.book()) for _ in range(2)]
    desk.setting(only_to=frozenset({desk.row(rows[0])["phone"]}))
    first, second = (desk.tap(row, "confirm") for row in rows)

    assert desk.act().extra["confirmed"] == 2

    assert desk.words() == [(first, "confirmed", "sent"), (second, "confirmed", "expired")]
    assert desk.posted() == 1


@pytest.mark.parametrize("change", ["cancelled", "moved", "given to another"])
def test_a_word_that_is_no_longer_true_is_not_said(sqlite_desk: AnswerDesk, change: str) -> None:
    desk = sqlite_desk
    visit, another = desk.book(), desk.clinic.add_patient()
    desk.tap(desk.tell(visit), "confirm")

    def disturb() -> None:
        if change == "cancelled":
            desk.clinic.set_status(visit, "CANCELLED")
        elif change == "moved":
            desk.clinic.move(visit, desk.now + timedelta(days=3))
        else:
            desk.clinic.execute("UPDATE appointments SET patient_id = :id", id=another)

    desk.act(database=Disturbed(desk.clinic.url, disturb))

    assert desk.posted() == 0
    assert [state for _, _, state in desk.words()] == ["expired"]


class Disturbed(Database):
    """A database in which somebody else acts once the first answer is committed."""

    def __init__(self, url: str, disturb: Callable[[], None]) -> None:
        super().__init__(url)
        self._disturb = disturb
        self._writes = 0

    @contextmanager
    def write(self, *, patience_s: float | None = None) -> Iterator[Connection]:
        self._writes += 1
        if self._writes == 2:
            self._disturb()
        with super().write(patience_s=patience_s) as connection:
            yield connection


# -- races, and what cannot be done now ---------------------------------------------------------


def test_two_runs_at_once_act_once_and_say_one_word(desk: AnswerDesk) -> None:
    visits = [desk.book() for _ in range(12)]
    for visit in visits:
        desk.tap(desk.tell(visit), "confirm")
    reports = []
    runs = [Thread(target=lambda: reports.append(desk.act())) for _ in range(3)]

    for run in runs:
        run.start()
    for run in runs:
        run.join()

    assert [desk.clinic.status(visit) for visit in visits] == ["CONFIRMED"] * 12
    assert sum(report.extra["confirmed"] for report in reports) == 12
    assert sum(report.extra["written_back"] for report in reports) == 12
    assert desk.posted() == 12


def test_a_visit_that_somebody_keeps_locked_waits_for_the_next_run(
    postgres_clinic: Clinic, sandbox: Sandbox
) -> None:
    desk = AnswerDesk(postgres_clinic, sandbox)
    locked, free = desk.book(), desk.book()
    row = desk.tell(locked)
    desk.tap(row, "confirm")
    said_since = desk.write(row, "não posso mais", minute=0.2)
    desk.tap(desk.tell(free), "confirm", minute=0.5)
    with closing(Clinic(desk.clinic.url)) as somebody:
        somebody.execute("BEGIN")
        somebody.execute("UPDATE appointments SET title = 'x' WHERE id = :id", id=locked)

        report = desk.act()

        somebody.execute("ROLLBACK")

    assert report.exit_status is ExitStatus.RETRY
    assert desk.clinic.status(free) == "CONFIRMED"
    assert desk.clinic.status(locked) == "SCHEDULED"
    assert desk.effect(said_since) is None
    assert desk.act(minute=2).extra["confirmed"] == 1
    assert desk.clinic.status(locked) == "CONFIRMED"
    assert desk.effect(said_since) == "listed"


def test_an_answer_that_the_database_refuses_costs_the_others_nothing(
    sqlite_desk: AnswerDesk,
) -> None:
    desk = sqlite_desk
    bad, good = desk.book(), desk.book()
    desk.clinic.execute(
        f"CREATE TRIGGER refuse BEFORE UPDATE ON appointments WHEN NEW.id = {bad}"
        " BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    desk.tap(desk.tell(bad), "confirm")
    desk.tap(desk.tell(good), "confirm", minute=0.5)

    report = desk.act()

    assert desk.clinic.status(good) == "CONFIRMED"
    assert report.exit_status is ExitStatus.RETRY


def test_three_hundred_answers_of_one_phone_in_a_minute_are_read_and_answered_once(
    sqlite_desk: AnswerDesk,
) -> None:
    desk = sqlite_desk
    visit = desk.book()
    row = desk.tell(visit)
    for n in range(300):
        desk.write(row, "sim" if n % 2 else "\N{GRINNING FACE}" * 2048, minute=n / 300)

    report = desk.act(minute=2)

    assert report.extra["answers"] == 300
    assert desk.clinic.status(visit) == "CONFIRMED"
    assert desk.posted() == 1


# -- a dry run ----------------------------------------------------------------------------------


def test_a_dry_run_says_what_each_answer_would_do_and_does_nothing(desk: AnswerDesk) -> None:
    visit = desk.book()
    row = desk.tell(visit)
    desk.tap(row, "confirm", minute=0)
    desk.tap(row, "confirm", minute=0.1)
    desk.write(row, "posso levar meu cachorro?", minute=0.2)

    report = desk.act(dry_run=True)

    assert [one["decision"] for one in report.decisions] == [
        "would_be_confirmed",
        "would_be_repeated",
        "would_be_listed",
    ]
    assert all("****" in str(one["phone"]) for one in report.decisions)
    assert "cachorro" not in str(report.decisions)
    assert desk.clinic.status(visit) == "SCHEDULED"
    assert desk.clinic.value("SELECT count(acted_at) FROM smartia_answers") == 0
    assert desk.words() == []
    shown = desk.act(dry_run=True, show_texts=True)
    assert "cachorro" in str(shown.decisions)
