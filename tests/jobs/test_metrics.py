"""The numbers of a period, counted by hand."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from smartia_jobs.clinic.statistics import StatusCounts
from smartia_jobs.jobs.metrics import Note, Reengagement
from smartia_jobs.kinds import KINDS
from smartia_jobs.outbox.admin import purge
from smartia_jobs.outbox.statistics import FailureReason, MessageCounts
from tests.jobs.metrics_desk import ASKS, ASKS_NOT, Desk, local, measure, opened, wall
from tests.support import Clinic

NOW = local(2026, 3, 31, 15)


def visit(clinic: Clinic, start: datetime, status: str | None = "COMPLETED") -> int:
    """Add a visit of a patient of its own."""
    return clinic.add_appointment(clinic.add_patient(), start, status)


# -- visits -----------------------------------------------------------------------------


def test_each_status_is_counted_and_makes_the_rates(clinic: Clinic) -> None:
    statuses = {"SCHEDULED": 1, "CONFIRMED": 2, "COMPLETED": 9, "CANCELLED": 4, "NO_SHOW": 3}
    for status, times in statuses.items():
        for hour in range(times):
            visit(clinic, wall(2026, 3, 10, 8 + hour), status)
    visit(clinic, wall(2026, 3, 11, 9), None)

    figures = measure(clinic, NOW).figures.as_json()

    assert figures["appointments"] == {
        "total": 20,
        "scheduled": 1,
        "confirmed": 2,
        "completed": 9,
        "cancelled": 4,
        "no_show": 3,
        "unset": 1,
    }
    assert figures["no_show_rate"] == 3 / 20
    assert figures["completion_rate"] == 9 / 20
    assert figures["no_show_rate_of_attended_or_missed"] == 3 / 12
    assert figures["attended_or_missed"] == 12
    assert figures["unresolved"] == 3


def test_a_status_that_smartia_does_not_know_is_unset(sqlite_clinic: Clinic) -> None:
    visit(sqlite_clinic, wall(2026, 3, 10, 9), "PENDING")

    metrics = measure(sqlite_clinic, NOW)

    assert metrics.figures.appointments == StatusCounts(total=1, unset=1)


def test_an_empty_database_gives_zeros_and_no_rates(clinic: Clinic) -> None:
    figures = measure(clinic, NOW).as_json()

    assert set(figures["appointments"].values()) == {0}
    assert figures["no_show_rate"] is None
    assert figures["completion_rate"] is None
    assert figures["no_show_rate_of_attended_or_missed"] is None
    assert figures["effect"] == []
    assert figures["previous"]["no_show_rate"] is None
    assert figures["by_hour"] == {}


def test_the_period_begins_at_local_midnight_and_ends_before_now(clinic: Clinic) -> None:
    visit(clinic, wall(2026, 2, 28, 23, 59), "NO_SHOW")
    visit(clinic, wall(2026, 3, 1, 0, 0), "COMPLETED")
    visit(clinic, wall(2026, 3, 31, 14, 59), "CANCELLED")
    visit(clinic, wall(2026, 3, 31, 15, 0), "CONFIRMED")
    visit(clinic, wall(2026, 4, 1, 9, 0), "SCHEDULED")

    metrics = measure(clinic, NOW, days=30)

    assert metrics.as_json()["period"] == {
        "from": "2026-03-01T00:00:00-03:00",
        "to": "2026-03-31T15:00:00-03:00",
        "days": 30,
        "timezone": "America/Sao_Paulo",
    }
    assert metrics.figures.appointments == StatusCounts(total=2, completed=1, cancelled=1)
    assert metrics.previous.appointments == StatusCounts(total=1, no_show=1)


def test_until_ends_the_period_with_that_local_day(clinic: Clinic) -> None:
    visit(clinic, wall(2026, 3, 10, 23, 59))
    visit(clinic, wall(2026, 3, 11, 0, 0))

    metrics = measure(clinic, NOW, days=10, until=date(2026, 3, 10))

    assert metrics.figures.appointments.total == 1
    assert metrics.figures.period.from_at == local(2026, 3, 1)
    assert metrics.figures.period.to_at == local(2026, 3, 11)
    assert metrics.previous.period.from_at == local(2026, 2, 19)


def test_an_until_that_lies_ahead_is_cut_to_now_and_said(clinic: Clinic) -> None:
    visit(clinic, wall(2026, 4, 2, 9), "SCHEDULED")

    metrics = measure(clinic, NOW, until=date(2026, 4, 5))

    assert metrics.figures.period == measure(clinic, NOW).figures.period
    assert metrics.figures.appointments.total == 0
    assert Note.UNTIL_IN_FUTURE in metrics.notes


def test_until_today_is_the_same_as_up_to_now(clinic: Clinic) -> None:
    metrics = measure(clinic, NOW, until=date(2026, 3, 31))

    assert metrics == measure(clinic, NOW)


def test_past_visits_that_nobody_closed_are_said(clinic: Clinic) -> None:
    visit(clinic, wall(2026, 3, 10, 9), "CONFIRMED")

    metrics = measure(clinic, NOW)

    assert Note.UNRESOLVED_VISITS in metrics.notes


def test_days_weekdays_and_hours_are_the_clinics(clinic: Clinic) -> None:
    visit(clinic, wall(2026, 3, 29, 0, 10), "NO_SHOW")  # a Sunday
    visit(clinic, wall(2026, 3, 30, 23, 50), "COMPLETED")  # a Monday

    metrics = measure(clinic, NOW, days=3)

    missed, kept = StatusCounts(total=1, no_show=1), StatusCounts(total=1, completed=1)
    assert metrics.by_day == {
        date(2026, 3, 28): StatusCounts(),
        date(2026, 3, 29): missed,
        date(2026, 3, 30): kept,
        date(2026, 3, 31): StatusCounts(),
    }
    assert metrics.by_weekday[6] == missed
    assert metrics.by_weekday[0] == kept
    assert metrics.by_hour == {0: missed, 23: kept}


@pytest.mark.parametrize("stored", ["wall", "instant"])
def test_both_meanings_of_timestamptz_give_the_same_numbers(
    postgres_clinic: Clinic, stored: str
) -> None:
    postgres_clinic.stored_times = "wall" if stored == "wall" else "instant"
    visit(postgres_clinic, wall(2026, 3, 1, 0, 0))
    visit(postgres_clinic, wall(2026, 3, 30, 23, 30))
    visit(postgres_clinic, wall(2026, 3, 31, 15, 0))

    metrics = measure(postgres_clinic, NOW)

    assert list(metrics.by_hour) == [0, 23]
    assert metrics.by_day[date(2026, 3, 30)].total == 1


def test_a_date_column_without_zone_is_wall_time(plain_timestamp_clinic: Clinic) -> None:
    visit(plain_timestamp_clinic, wall(2026, 3, 1, 0, 0))
    visit(plain_timestamp_clinic, wall(2026, 2, 28, 23, 59))

    metrics = measure(plain_timestamp_clinic, NOW)

    assert list(metrics.by_hour) == [0]


def test_a_date_that_cannot_be_read_belongs_to_no_day(sqlite_clinic: Clinic) -> None:
    texts = ("2026-03-10", "2026-03-1x 09:00:00", "2026-02-30 10:00:00", "2026-03-10 24:00:00")
    for text in (*texts, "soon"):
        sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), text, "COMPLETED")

    metrics = measure(sqlite_clinic, NOW, days=40)

    assert metrics.figures.appointments.total == 0
    assert metrics.by_hour == {}
    assert metrics.unreadable == len(texts)
    assert Note.UNREADABLE_DATES in metrics.notes


def test_a_date_without_a_time_belongs_to_its_own_day_alone(sqlite_clinic: Clinic) -> None:
    for text in ("2026-02-28", "2026-03-01", "2026-03-10", "2026-03-11", "2026-03-10 24:00"):
        sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), text, "COMPLETED")

    metrics = measure(sqlite_clinic, NOW, days=10, until=date(2026, 3, 10))

    assert metrics.unreadable == 3


@pytest.mark.parametrize(
    ("first", "too_late"),
    [
        ("2026-03-01T00:00:00", "2026-03-31T15:00:00"),
        ("2026-03-01T03:00:00Z", "2026-03-31T18:00:00Z"),
        ("2026-02-28 22:00:00-05:00", "2026-03-31 13:00:00-05:00"),
        ("2026-03-01 00:00:00-03", "2026-03-31 15:00:00-03"),
    ],
)
def test_every_form_of_a_date_counts_from_the_boundary_in_its_local_hour(
    sqlite_clinic: Clinic, first: str, too_late: str
) -> None:
    for text in (first, too_late):
        sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), text, "COMPLETED")

    metrics = measure(sqlite_clinic, NOW, days=30)

    assert metrics.by_hour == {0: StatusCounts(total=1, completed=1)}
    assert metrics.by_day[date(2026, 3, 1)].total == 1


def test_a_date_stored_without_seconds_counts_at_the_boundary(sqlite_clinic: Clinic) -> None:
    for text in ("2026-03-01 00:00", "2026-03-01 00:00:00", "2026-03-01 00:00:00.000000"):
        sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), text, "COMPLETED")

    metrics = measure(sqlite_clinic, NOW)

    assert metrics.by_day[date(2026, 3, 1)].completed == 3


def test_a_visit_at_a_time_that_clocks_skip_counts_where_its_reminder_says(
    sqlite_clinic: Clinic,
) -> None:
    sqlite_clinic.zone = ZoneInfo("America/New_York")  # from 02:00 to 03:00 on 2026-03-08
    visit(sqlite_clinic, wall(2026, 3, 8, 2, 30))

    metrics = measure(sqlite_clinic, NOW)

    assert list(metrics.by_hour) == [3]


# -- clocks that change -----------------------------------------------------------------


def test_a_month_whose_midnight_did_not_exist_keeps_its_days(clinic: Clinic) -> None:
    # In São Paulo the clocks went from 2018-11-03 23:59 to 2018-11-04 01:00.
    for start in ((11, 3, 23, 59), (11, 4, 1, 0), (11, 30, 23, 59), (12, 1, 0, 0)):
        visit(clinic, wall(2018, *start))

    metrics = measure(clinic, NOW, days=27, until=date(2018, 11, 30))

    assert metrics.as_json()["period"]["from"] == "2018-11-04T01:00:00-02:00"
    assert len(metrics.by_day) == 27
    assert metrics.figures.appointments.total == 2
    assert metrics.previous.appointments.total == 1


@pytest.mark.parametrize("stored", ["wall", "instant"])
def test_a_now_inside_the_hour_that_comes_twice_counts_it_once(
    postgres_clinic: Clinic, stored: str
) -> None:
    # New York, 2026-11-01: 01:00–02:00 comes twice; a wall time in it means the first.
    new_york = ZoneInfo("America/New_York")
    postgres_clinic.zone = new_york
    postgres_clinic.stored_times = "wall" if stored == "wall" else "instant"
    visit(postgres_clinic, wall(2026, 11, 1, 1, 15))
    visit(postgres_clinic, wall(2026, 11, 1, 1, 45))
    visit(postgres_clinic, wall(2026, 11, 1, 2, 0))
    first = datetime(2026, 11, 1, 1, 30, tzinfo=new_york)

    at_first, at_second = (
        measure(postgres_clinic, local(*first.timetuple()[:5], zone=new_york) + again, days=1)
        for again in (timedelta(0), timedelta(hours=1))
    )

    assert at_first.figures.appointments.total == 1
    assert at_second.figures.appointments.total == 2
    assert list(at_second.by_hour) == [1]


def test_the_period_before_is_as_long_on_the_clinics_clock(clinic: Clinic) -> None:
    clinic.zone = ZoneInfo("America/New_York")

    metrics = measure(clinic, NOW, days=5, until=date(2026, 3, 12))  # forward on 2026-03-08

    assert metrics.figures.period.from_at == local(2026, 3, 8, zone=clinic.zone)
    assert metrics.previous.period.from_at == local(2026, 3, 3, zone=clinic.zone)


# -- messages ---------------------------------------------------------------------------


def test_without_our_tables_messages_are_zero_and_it_is_said(clinic: Clinic) -> None:
    metrics = measure(clinic, NOW)

    assert metrics.notes == (Note.NO_OUTBOX,)
    assert metrics.as_json()["messages"] == {
        kind: {"sent": 0, "failed": 0, "unknown": 0}
        | dict.fromkeys(("delivered", "read", "undelivered", "delivered_rate", "read_rate"))
        for kind in KINDS
    }


def test_an_empty_outbox_is_said(clinic: Clinic) -> None:
    Desk(clinic)

    metrics = measure(clinic, NOW)

    assert metrics.notes == (Note.NO_MESSAGES_RECORDED,)


def test_messages_are_counted_by_kind_and_state(clinic: Clinic) -> None:
    desk = Desk(clinic)
    states = ["sent", "sent", "failed", "unknown", "claimed", "retry", "expired"]
    for appointment_id, state in enumerate(states):
        desk.add(appointment_id=appointment_id, state=state)
    desk.add(kind="2h", state="unknown")
    desk.add(kind="no_show", state="sent")
    desk.add(kind="a_week_before", state="sent")  # by a catalogue that may be another today

    metrics = measure(clinic, NOW)

    assert metrics.figures.messages == {
        "72h": MessageCounts(),
        "24h": MessageCounts(sent=2, failed=1, unknown=1),
        "2h": MessageCounts(unknown=1),
        "no_show": MessageCounts(sent=1),
        "a_week_before": MessageCounts(sent=1),
    }
    assert Note.NO_STATUS_HEARD in metrics.notes


def test_a_kind_that_only_one_period_has_stands_in_both(clinic: Clinic) -> None:
    desk = Desk(clinic)
    desk.add(kind="7d", state="read", read_at=local(2026, 3, 2))
    desk.add(kind="5d", created_at=local(2026, 2, 20))

    metrics = measure(clinic, NOW)

    none, before = MessageCounts.none(heard=True), MessageCounts()  # in which nothing was heard
    sent, read = replace(before, sent=1), replace(none, sent=1, delivered=1, read=1)
    assert metrics.figures.messages == dict.fromkeys(KINDS, none) | {"5d": none, "7d": read}
    assert metrics.previous.messages == dict.fromkeys(KINDS, before) | {"5d": sent, "7d": before}
    assert list(metrics.figures.messages) == [*KINDS, "5d", "7d"]


def test_what_became_of_messages_is_counted_once_a_status_was_heard(clinic: Clinic) -> None:
    desk = Desk(clinic)
    seen_at = local(2026, 3, 1, 10)
    desk.add(appointment_id=1, state="delivered", delivered_at=seen_at)
    desk.add(appointment_id=2, state="read", delivered_at=seen_at, read_at=seen_at)
    desk.add(appointment_id=3)
    desk.add(appointment_id=4, state="undelivered")

    metrics = measure(clinic, NOW)

    counts = metrics.figures.messages["24h"]
    assert counts == MessageCounts(sent=4, delivered=2, read=1, undelivered=1)
    assert (counts.delivered_rate, counts.read_rate) == (0.5, 0.25)
    assert metrics.figures.messages["2h"] == MessageCounts.none(heard=True)
    assert metrics.figures.messages["2h"].delivered_rate is None
    assert metrics.heard_since == local(2026, 3, 1, 9)  # the failure, when it was written down
    assert not {Note.NO_STATUS_HEARD, Note.STATUSES_INCOMPLETE} & set(metrics.notes)


def test_a_status_alone_tells_that_statuses_are_heard(clinic: Clinic) -> None:
    desk = Desk(clinic)
    desk.add(created_at=local(2026, 3, 1, 9))
    desk.add_status(received_at=local(2026, 3, 20))

    metrics = measure(clinic, NOW)

    assert metrics.figures.messages["24h"] == replace(MessageCounts.none(heard=True), sent=1)
    assert metrics.as_json()["heard_since"] == "2026-03-20T00:00:00-03:00"


def test_a_period_before_the_first_status_does_not_know_what_was_delivered(clinic: Clinic) -> None:
    desk = Desk(clinic)
    desk.add(created_at=local(2026, 3, 1, 9))
    desk.add_status(received_at=local(2026, 3, 20))

    metrics = measure(clinic, NOW, days=10, until=date(2026, 3, 10), messages_by_day=True)

    counts = metrics.figures.messages["24h"]
    assert (counts.sent, counts.delivered, counts.delivered_rate) == (1, None, None)
    assert metrics.messages_by_day[date(2026, 3, 1)]["24h"] == counts
    assert Note.STATUSES_INCOMPLETE in metrics.notes


@pytest.mark.parametrize(
    ("first", "incomplete"),
    [
        (local(2026, 2, 1), False),
        (local(2026, 3, 1, 23, 59), False),  # on the day of the first message
        (local(2026, 3, 2), True),
        (local(2026, 3, 20), True),
    ],
)
def test_statuses_that_came_late_are_said(
    clinic: Clinic, first: datetime, incomplete: bool
) -> None:
    desk = Desk(clinic)
    desk.add(created_at=local(2026, 3, 1, 9))
    desk.add_status(received_at=first)

    metrics = measure(clinic, NOW)

    assert (Note.STATUSES_INCOMPLETE in metrics.notes) == incomplete
    assert Note.NO_STATUS_HEARD not in metrics.notes


def test_messages_are_counted_by_what_meta_charges_them_as(clinic: Clinic) -> None:
    desk = Desk(clinic)
    at, seen_at = local(2026, 3, 10, 9), local(2026, 3, 10, 10)
    invitation = {"kind": "no_show", "template": "smartia_novo_horario_v1"}
    rows: list[dict[str, Any]] = [
        {"template": ASKS, "state": "delivered", "delivered_at": seen_at},
        {"template": ASKS},
        {"template": ASKS, "state": "failed"},
        {"kind": "2h", "template": ASKS_NOT},
        invitation,
        {"kind": "words_back", "template": "confirmed", "state": "delivered",
         "delivered_at": seen_at},
        {"template": "of_another_catalogue"},
        {"template": None, "state": "failed"},
        {"template": ASKS, "leader_id": 1},
        {**invitation, "created_at": local(2026, 2, 10)},
    ]  # fmt: skip
    for number, row in enumerate(rows):
        desk.add(**{"appointment_id": number, "created_at": at, **row})

    metrics = measure(clinic, NOW, messages_by_day=True)

    charged = {
        "utility": {"sent": 3, "delivered": 1},
        "marketing": {"sent": 1, "delivered": 0},
        "service": {"sent": 1, "delivered": 1},
        "unknown": {"sent": 1, "delivered": 0},
    }
    assert metrics.as_json()["messages_by_category"] == charged
    before = metrics.previous.categories
    assert {str(one): counts.sent for one, counts in before.items()} == {
        "utility": 0, "marketing": 1, "service": 0, "unknown": 0
    }  # fmt: skip
    of_day = metrics.categories_by_day[date(2026, 3, 10)]
    assert {str(one): counts.sent for one, counts in of_day.items()} == {
        name: counts["sent"] for name, counts in charged.items()
    }
    assert metrics.templates_unknown == 1
    assert Note.TEMPLATES_UNKNOWN in metrics.notes


def test_a_category_that_nothing_was_sent_in_is_not_unknown(clinic: Clinic) -> None:
    Desk(clinic).add(state="failed", template=None)

    metrics = measure(clinic, NOW)

    assert list(metrics.as_json()["messages_by_category"]) == ["utility", "marketing", "service"]
    assert Note.TEMPLATES_UNKNOWN not in metrics.notes


def test_a_template_that_meta_moved_is_charged_as_meta_says_from_then_on(clinic: Clinic) -> None:
    desk = Desk(clinic)
    for number, day in enumerate((5, 12, 19, 26)):
        desk.add(appointment_id=number, template=ASKS, created_at=local(2026, 3, day, 9))
    desk.add(appointment_id=9, template=ASKS_NOT, created_at=local(2026, 3, 26, 9))
    desk.add_move(ASKS, "MARKETING", said_at=local(2026, 3, 10))
    desk.add_move(ASKS, "UTILITY", said_at=local(2026, 3, 19, 9))
    desk.add_move(ASKS, "A_NEW_ONE", said_at=local(2026, 3, 25))

    metrics = measure(clinic, NOW, messages_by_day=True)

    assert {str(one): counts.sent for one, counts in metrics.figures.categories.items()} == {
        "utility": 3, "marketing": 1, "service": 0, "unknown": 1
    }  # fmt: skip
    by_day = metrics.categories_by_day
    assert [str(one) for day in sorted(by_day) for one in by_day[day]] == [
        "utility", "marketing", "utility", "unknown", "utility"
    ]  # fmt: skip


def test_what_a_dead_process_was_sending_counts_as_unknown(clinic: Clinic) -> None:
    desk = Desk(clinic)
    for number, lease_until in enumerate((local(2026, 3, 1), datetime(2099, 1, 1, tzinfo=UTC))):
        desk.add(appointment_id=number, state="claimed", lease_until=lease_until)
    desk.add(appointment_id=9, state="unknown")

    metrics = measure(clinic, NOW)

    assert metrics.figures.messages["24h"] == MessageCounts(unknown=2)


def test_the_messages_of_each_day_are_those_of_the_period(clinic: Clinic) -> None:
    desk = Desk(clinic)
    last, first = local(2026, 3, 2) - timedelta(microseconds=1), local(2026, 3, 2)
    desk.add(appointment_id=1, created_at=last, state="delivered", delivered_at=first)
    desk.add(appointment_id=2, created_at=first, state="undelivered", error_code=131026)
    desk.add(appointment_id=3, created_at=first, state="undelivered")
    desk.add(appointment_id=4, created_at=first, state="failed", error_code=131026)
    desk.add(appointment_id=5, created_at=first, kind="2h")
    desk.add(appointment_id=6, created_at=first, kind="2h", leader_id=5)

    metrics = measure(clinic, NOW, messages_by_day=True)

    none = MessageCounts.none(heard=True)
    assert metrics.messages_by_day == {
        date(2026, 3, 1): {"24h": replace(none, sent=1, delivered=1)},
        date(2026, 3, 2): {
            "24h": replace(none, sent=2, failed=1, undelivered=2),
            "2h": replace(none, sent=1),
        },
    }
    assert metrics.undelivered_by_day == {date(2026, 3, 2): {131026: 1, None: 1}}
    summed: dict[str, MessageCounts] = dict.fromkeys(KINDS, none)
    for of_day in metrics.messages_by_day.values():
        for kind, counts in of_day.items():
            summed[kind] += counts
    assert metrics.figures.messages == summed


def test_why_messages_did_not_arrive_is_told_apart_from_why_they_were_refused(
    clinic: Clinic,
) -> None:
    desk = Desk(clinic)
    for number, (state, code) in enumerate(
        (
            ("undelivered", 131026),
            ("undelivered", 131026),
            ("undelivered", None),
            ("failed", 131026),
        )
    ):
        desk.add(appointment_id=number, state=state, error_code=code, error=f"reason {code}")

    metrics = measure(clinic, NOW)

    assert metrics.undelivered_reasons == (
        FailureReason(2, "reason 131026", 131026),
        FailureReason(1, "reason None", None),
    )
    assert metrics.failure_reasons == (FailureReason(1, "reason 131026", 131026),)


def test_open_visits_whose_date_no_run_can_read_are_said(sqlite_clinic: Clinic) -> None:
    for text, status in (("28/11/2026 09:30", "SCHEDULED"), ("28/11/2026 09:30", "COMPLETED")):
        sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), text, status)

    metrics = measure(sqlite_clinic, NOW)

    assert metrics.out_of_reach == 1
    assert Note.DATES_OUT_OF_REACH in metrics.notes


def test_one_message_about_two_visits_is_one_message(clinic: Clinic) -> None:
    desk = Desk(clinic)
    leader = desk.add(appointment_id=1)
    desk.add(appointment_id=2, leader_id=leader)

    metrics = measure(clinic, NOW)

    assert metrics.figures.messages["24h"].sent == 1


def test_messages_belong_to_the_period_in_which_they_were_claimed(clinic: Clinic) -> None:
    desk = Desk(clinic)
    begins, just_before = local(2026, 3, 1), timedelta(microseconds=1)
    desk.add(appointment_id=1, created_at=begins - just_before)
    desk.add(appointment_id=2, created_at=begins)
    desk.add(appointment_id=3, created_at=NOW - just_before)
    desk.add(appointment_id=4, created_at=NOW)

    metrics = measure(clinic, NOW)

    assert metrics.figures.messages["24h"].sent == 2
    assert metrics.previous.messages["24h"].sent == 1


def test_the_top_reasons_of_failure_are_told_by_code_and_words(clinic: Clinic) -> None:
    desk = Desk(clinic)
    failures = [
        (131026, "not on WhatsApp"),
        (131026, "this number is not on WhatsApp"),
        (None, "the number cannot be a phone"),
        (None, None),
    ]
    for appointment_id, (code, error) in enumerate(failures):
        desk.add(appointment_id=appointment_id, state="failed", error_code=code, error=error)

    metrics = measure(clinic, NOW)

    assert metrics.failure_reasons[0] == FailureReason(2, "this number is not on WhatsApp", 131026)
    assert set(metrics.failure_reasons[1:]) == {
        FailureReason(1, "the number cannot be a phone", None),
        FailureReason(1, "no reason was recorded", None),
    }


@pytest.mark.parametrize(
    ("oldest_at", "note"),
    [
        (local(2026, 3, 5), Note.MESSAGES_INCOMPLETE),
        (local(2026, 2, 10), Note.PREVIOUS_MESSAGES_INCOMPLETE),
        (local(2025, 12, 1), None),
    ],
)
def test_what_was_purged_is_said(clinic: Clinic, oldest_at: datetime, note: Note | None) -> None:
    Desk(clinic).add(created_at=oldest_at)

    metrics = measure(clinic, NOW)

    told = {Note.MESSAGES_INCOMPLETE, Note.PREVIOUS_MESSAGES_INCOMPLETE} & set(metrics.notes)
    assert told == ({note} if note else set())
    assert metrics.messages_since == oldest_at


def test_an_unknown_message_that_a_purge_leaves_does_not_tell_since_when(clinic: Clinic) -> None:
    desk = Desk(clinic)
    for number, state in enumerate(("sent", "unknown", "sent")):
        claimed_at = local(2026, 1 + number, 5, 9)
        start = wall(2026, 1 + number, 6, 10)
        desk.add(appointment_id=number, state=state, start=start, created_at=claimed_at)
    with opened(clinic) as database:
        before_at = local(2026, 2, 28, 0)
        assert sum(purge(database, before_wall=wall(2026, 2, 28), before_at=before_at)) == 1

    metrics = measure(clinic, NOW, days=60)

    assert metrics.messages_since == local(2026, 3, 5, 9)
    assert Note.MESSAGES_INCOMPLETE in metrics.notes
    assert metrics.figures.messages["24h"] == MessageCounts(sent=1, unknown=1)


@pytest.mark.parametrize("state", ["unknown", "retry", "claimed"])
def test_with_nothing_but_open_messages_nobody_knows_since_when(clinic: Clinic, state: str) -> None:
    Desk(clinic).add(state=state)

    metrics = measure(clinic, NOW)

    assert metrics.messages_since is None
    assert metrics.notes == (Note.NO_MESSAGES_RECORDED,)


def test_a_reengaged_patient_who_books_within_30_days_has_come_back(clinic: Clinic) -> None:
    desk = Desk(clinic)
    invited_at = local(2026, 3, 2, 11)
    booked_after = {
        "before": -timedelta(hours=1),
        "soon": timedelta(minutes=1),
        "on the last day": timedelta(days=30),
        "too late": timedelta(days=30, minutes=1),
    }
    for number, waited in enumerate(booked_after.values()):
        patient = clinic.add_patient()
        clinic.add_appointment(
            patient, wall(2026, 6, 1, 9 + number), created_at=invited_at + waited
        )
        desk.add(kind="no_show", appointment_id=number, patient_id=patient, created_at=invited_at)
    desk.add(kind="no_show", appointment_id=99, patient_id=patient, state="failed")

    metrics = measure(clinic, NOW)

    assert metrics.as_json()["reengaged"] == {"invited": 4, "booked_again": 2}


@pytest.mark.parametrize(
    ("booked", "has_come_back"),
    [
        ("2026-03-02 14:00:00", False),  # at the very moment
        ("2026-03-02T14:01:00Z", True),
        ("2026-03-02 11:01:00-03:00", True),
        ("2026-04-01 11:00:00-03:00", True),  # on the last day
        ("2026-04-01 16:01:00+02:00", False),
        ("soon", False),
    ],
)
def test_coming_back_is_told_from_every_form_of_a_booking(
    sqlite_clinic: Clinic, booked: str, has_come_back: bool
) -> None:
    patient = sqlite_clinic.add_patient()
    appointment_id = sqlite_clinic.add_appointment(patient, wall(2026, 6, 1, 9))
    sqlite_clinic.execute(
        "UPDATE appointments SET created_at = :booked WHERE id = :id",
        booked=booked,
        id=appointment_id,
    )
    Desk(sqlite_clinic).add(kind="no_show", patient_id=patient, created_at=local(2026, 3, 2, 11))

    metrics = measure(sqlite_clinic, NOW)

    assert metrics.reengagement == Reengagement(1, int(has_come_back))
