"""Who cancelled in SmartIA's chat, on both engines."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import event

from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.chats import Cancellations
from smartia_jobs.clinic.times import Storage, StoredTimes
from smartia_jobs.database import Database
from smartia_jobs.jobs.sender import person_of
from tests.support import Clinic
from tests.support.clinic_data import SAO_PAULO

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

#: A visit on a Wednesday at three, São Paulo, booked two weeks before.
START = datetime.fromisoformat("2026-11-25T15:00")
START_AT = START.replace(tzinfo=SAO_PAULO).astimezone(UTC)
BOOKED_AT = START_AT - 14 * DAY

PHONE = "5511987654321"


def cancelled(clinic: Clinic, *ids: int) -> set[int]:
    """Return which of these visits count as cancelled."""
    storage = Storage.TEXT if clinic.dialect == "sqlite" else Storage.WALL_AS_UTC
    appointments = Appointments(StoredTimes(storage, SAO_PAULO))
    with closing(Database(clinic.url, read_only=True)) as database, database.read() as connection:
        visits = appointments.by_id(connection, ids).values()
        return Cancellations(partial(person_of, country="BR")).among(connection, visits)


def book(clinic: Clinic, patient: int, *, booked_at: datetime = BOOKED_AT) -> int:
    return clinic.add_appointment(patient, START, created_at=booked_at)


@pytest.mark.parametrize("intent", ["cancel", "CANCEL_APPOINTMENT", "cancelar", "desmarcar"])
def test_a_chat_that_cancels_is_told_by_its_intent(clinic: Clinic, intent: str) -> None:
    patient = clinic.add_patient()
    clinic.add_conversation(patient, intent=intent, created_at=START_AT - DAY)
    visit = book(clinic, patient)
    somebody_elses = book(clinic, clinic.add_patient())

    assert cancelled(clinic, visit, somebody_elses) == {visit}


@pytest.mark.parametrize("intent", ["schedule", "reschedule", "dúvidas", None])
def test_a_chat_about_something_else_cancels_nothing(clinic: Clinic, intent: str | None) -> None:
    patient = clinic.add_patient()
    clinic.add_conversation(patient, intent=intent, created_at=START_AT - DAY)

    assert cancelled(clinic, book(clinic, patient)) == set()


@pytest.mark.parametrize(
    ("began_at", "changed_at", "counts"),
    [
        (BOOKED_AT + HOUR, None, True),
        (START_AT - HOUR, None, True),
        (BOOKED_AT - HOUR, None, False),  # an older visit was meant
        (BOOKED_AT - HOUR, BOOKED_AT - HOUR / 2, False),
        (BOOKED_AT - DAY, BOOKED_AT + DAY, True),  # the chat in which it was booked went on
        (START_AT, None, False),  # an excuse afterwards is no cancellation
        (START_AT + HOUR, START_AT + DAY, False),
        (START_AT - HOUR, START_AT + DAY, True),  # touched since: the doubt speaks for the patient
    ],
)
def test_a_chat_counts_between_booking_and_start(
    clinic: Clinic, began_at: datetime, changed_at: datetime | None, counts: bool
) -> None:
    patient = clinic.add_patient()
    clinic.add_conversation(patient, intent="cancel", created_at=began_at, updated_at=changed_at)
    visit = book(clinic, patient)

    assert cancelled(clinic, visit) == ({visit} if counts else set())


def test_a_chat_that_follows_takes_nothing_back(clinic: Clinic) -> None:
    patient = clinic.add_patient()
    clinic.add_conversation(patient, intent="cancel", created_at=START_AT - 2 * DAY)
    clinic.add_conversation(patient, intent="schedule", created_at=START_AT - DAY)
    old = book(clinic, patient)
    booked_in_its_place = book(clinic, patient, booked_at=START_AT - DAY)

    assert cancelled(clinic, old, booked_in_its_place) == {old}


@pytest.mark.parametrize("stored", ["551187654321", "(11) 98765-4321", "+55 11 98765-4321"])
def test_the_second_row_that_the_chatbot_made_of_a_patient_counts(
    clinic: Clinic, stored: str
) -> None:
    booked, chatting = clinic.add_patient(phone=PHONE), clinic.add_patient(phone=stored)
    clinic.add_conversation(chatting, intent="cancel", created_at=START_AT - DAY)
    visit = book(clinic, booked)

    assert cancelled(clinic, visit) == {visit}


def test_a_like_number_of_another_area_does_not_count(clinic: Clinic) -> None:
    patient = clinic.add_patient(phone=PHONE)
    stranger = clinic.add_patient(phone="5521987654321")
    clinic.add_conversation(stranger, intent="cancel", created_at=START_AT - DAY)

    assert cancelled(clinic, book(clinic, patient)) == set()


def test_without_a_usable_phone_a_patients_own_chat_counts(clinic: Clinic) -> None:
    patient, other = clinic.add_patient(phone="a definir"), clinic.add_patient(phone="?")
    clinic.add_conversation(patient, intent="cancel", created_at=START_AT - DAY)
    visit, others = book(clinic, patient), book(clinic, other)

    assert cancelled(clinic, visit, others) == {visit}


def test_a_visit_of_unknown_booking_counts_as_booked_before_every_chat(clinic: Clinic) -> None:
    patient = clinic.add_patient()
    clinic.add_conversation(patient, intent="cancel", created_at=START_AT - 300 * DAY)
    visit = book(clinic, patient)
    clinic.execute("UPDATE appointments SET created_at = NULL")

    assert cancelled(clinic, visit) == {visit}


def test_a_chat_whose_dates_nobody_can_read_costs_nothing(clinic: Clinic) -> None:
    patient = clinic.add_patient()
    odd = clinic.add_conversation(patient, intent="cancel", created_at=START_AT - DAY)
    fine = clinic.add_conversation(patient, intent="cancel", created_at=START_AT - DAY)
    never = "infinity" if clinic.dialect == "postgresql" else "amanhã"
    clinic.execute("UPDATE conversations SET updated_at = :at WHERE id = :id", at=never, id=odd)
    visit = book(clinic, patient)

    assert cancelled(clinic, visit) == {visit}
    clinic.execute("DELETE FROM conversations WHERE id = :id", id=fine)
    assert cancelled(clinic, visit) == set()


def test_each_visit_is_asked_about_once(clinic: Clinic) -> None:
    visits = [book(clinic, clinic.add_patient()) for _ in range(30)]
    storage = Storage.TEXT if clinic.dialect == "sqlite" else Storage.WALL_AS_UTC
    appointments = Appointments(StoredTimes(storage, SAO_PAULO))
    chats = Cancellations(partial(person_of, country="BR"))
    asked: list[str] = []

    with closing(Database(clinic.url)) as database, database.read() as connection:
        read = appointments.by_id(connection, visits).values()
        event.listen(connection, "before_cursor_execute", lambda *args: asked.append(args[2]))
        for _ in range(3):
            chats.among(connection, read)

    assert len(asked) == 1
