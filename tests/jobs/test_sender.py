"""The sending side: whom ``ONLY_TO`` lets through, who is one person, how many at once."""

from datetime import UTC, datetime

import pytest

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.catalogue.loading import load_catalogue
from smartia_jobs.clock import ShiftedClock
from smartia_jobs.errors import ConfigurationError, ExitStatus
from smartia_jobs.jobs.sender import OnlyTo, WhatsAppSender, person, workers_for
from smartia_jobs.message import Phone, Unsendable
from smartia_jobs.report import Reason
from smartia_jobs.settings import Settings
from tests.clinic.wall_clock import wall

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def visit_of(phone: str | None, patient_id: int = 1) -> Appointment:
    return Appointment(
        1,
        patient_id,
        AppointmentStatus.SCHEDULED,
        NOW,
        wall("2026-11-23 09:00"),
        patient_name="Ana Lima",
        phone=phone,
    )


def sender(**settings: object) -> WhatsAppSender:
    template = load_catalogue(None)["24h"]
    return WhatsAppSender(Settings(**settings), template, ShiftedClock(NOW, speed=0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("clinic_phone", "told"),
    [("+551133334444", "pelo telefone (11) 3333-4444"), (None, "pelos nossos canais")],
)
def test_patients_are_told_how_to_reach_the_clinic(clinic_phone: str | None, told: str) -> None:
    message = sender(clinic_phone=clinic_phone).write([visit_of("5511987654321")])

    assert f"fale com a gente {told}" in message.text


# -- ONLY_TO ------------------------------------------------------------------------------------


@pytest.mark.parametrize("phone", ["5511987654321", "sem telefone", None])
def test_without_only_to_everybody_is_let_through(phone: str | None) -> None:
    assert OnlyTo(Settings()).refusal(visit_of(phone), NOW) is None


@pytest.mark.parametrize("listed", ["+5511987654321", "11 98765-4321", "551187654321"])
@pytest.mark.parametrize("stored", ["5511987654321", "(11) 98765-4321", "551187654321"])
def test_a_listed_phone_is_let_through_however_it_is_written(listed: str, stored: str) -> None:
    only_to = OnlyTo(Settings(only_to=frozenset({"+5521987654321", listed})))

    assert only_to.refusal(visit_of(stored), NOW) is None


@pytest.mark.parametrize("stored", ["5511987654322", "5521987654321", "sem telefone", "", None])
def test_everybody_else_is_skipped_and_named_as_that(stored: str | None) -> None:
    only_to = OnlyTo(Settings(only_to=frozenset({"+5511987654321"})))

    assert only_to.refusal(visit_of(stored), NOW) is Reason.NOT_IN_ONLY_TO


def test_a_phone_without_country_code_belongs_to_the_clinics_country() -> None:
    settings = Settings(only_to=frozenset({"612 345 678"}), clinic_country="ES")

    assert OnlyTo(settings).refusal(visit_of("34612345678"), NOW) is None


def test_a_listed_text_that_is_no_phone_stops_the_run_and_is_not_shown() -> None:
    settings = Settings(only_to=frozenset({"+5521976541234", "97654-5678"}))

    with pytest.raises(ConfigurationError, match="ONLY_TO") as error:
        OnlyTo(settings)

    assert error.value.exit_status is ExitStatus.CONFIGURATION
    assert not any(digits in str(error.value) for digits in ("97654", "976541234", "5678"))


# -- one person ---------------------------------------------------------------------------------


def test_rows_with_one_phone_are_one_person() -> None:
    phones = ["5511987654321", "551187654321", "(11) 98765-4321", "+55 11 98765-4321"]

    persons = {person(visit_of(phone, n), "BR") for n, phone in enumerate(phones)}

    assert persons == {"+5511987654321"}


def test_whoever_has_no_usable_phone_is_their_own_row() -> None:
    rows = [visit_of("123", 1), visit_of("123", 2), visit_of(None, 3), visit_of("123", 1)]

    persons = [person(visit, "BR") for visit in rows]

    assert len(set(persons)) == 3
    assert persons[0] == persons[3]


# -- how many at once ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "workers"),
    [(0.01, 1), (1, 1), (1.4, 2), (20, 15), (80, 60), (341, 256), (1000, 256)],
)
def test_the_threads_follow_the_rate_up_to_a_bound(rate: float, workers: int) -> None:
    assert workers_for(rate) == workers


def test_the_clinic_may_say_how_many_threads_it_wants() -> None:
    assert sender(send_rate=20.0).workers == 15
    assert sender(send_rate=20.0, send_workers=3).workers == 3


# -- what goes out ------------------------------------------------------------------------------


def test_a_patient_is_addressed_where_the_clinic_stored_them_or_not_at_all() -> None:
    assert sender().address(visit_of("551187654321")) == Phone("+551187654321", "+5511987654321")
    assert isinstance(sender().address(visit_of("123")), Unsendable)


def test_the_message_names_patient_clinic_and_time() -> None:
    message = sender(clinic_name="Clínica Aurora").write([visit_of("5511987654321")])

    assert message.kind == "24h"
    assert all(part in message.text for part in ("Ana", "Clínica Aurora", "9:00"))
    assert "Lima" not in message.text
