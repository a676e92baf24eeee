"""Whether reminders help, compared like with like."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from smartia_jobs.clinic.effect import Effect, Group, LeadTime
from smartia_jobs.clinic.told import Reminded
from smartia_jobs.jobs.metrics import Metrics, Note
from smartia_jobs.outbox.admin import purge
from tests.jobs.metrics_desk import Desk, local, measure, opened, wall
from tests.support import Clinic

NOW = local(2026, 3, 31, 15)
VISIT = wall(2026, 3, 20, 10)
LONG_AGO = local(2026, 1, 1)


@pytest.fixture
def desk(clinic: Clinic) -> Desk:
    """An outbox whose first message lies before the period."""
    desk = Desk(clinic)
    desk.add(appointment_id=0, created_at=LONG_AGO)
    return desk


def visit(
    clinic: Clinic, status: str = "NO_SHOW", *, start: datetime = VISIT, lead_days: int = 3
) -> int:
    """Add a visit booked at noon so many local days before it."""
    day = start.date() - timedelta(days=lead_days)
    booked_at = local(day.year, day.month, day.day, 12)
    return clinic.add_appointment(clinic.add_patient(), start, status, created_at=booked_at)


def remind(desk: Desk, appointment_id: int, *kinds: str, **values: Any) -> None:
    """Record accepted reminders of a visit."""
    for kind in kinds:
        desk.add(**{"appointment_id": appointment_id, "kind": kind, "start": VISIT, **values})


def seen(metrics: Metrics) -> dict[tuple[LeadTime, Reminded], tuple[int, int]]:
    """Return the groups that have visits: (visits, missed)."""
    return {
        (group.lead_time, group.reminded): (group.visits, group.no_show)
        for group in metrics.effect.groups
        if group.visits
    }


def test_visits_are_grouped_by_the_reminders_that_were_accepted(clinic: Clinic, desk: Desk) -> None:
    visit(clinic, "NO_SHOW")
    remind(desk, visit(clinic, "COMPLETED"), "24h")
    remind(desk, visit(clinic, "COMPLETED"), "2h")
    remind(desk, visit(clinic, "NO_SHOW"), "24h", "2h")
    remind(desk, visit(clinic, "COMPLETED"), "24h", state="failed")
    remind(desk, visit(clinic, "COMPLETED"), "24h", state="read")
    remind(desk, visit(clinic, "COMPLETED"), "no_show")

    metrics = measure(clinic, NOW)

    week = LeadTime.UP_TO_A_WEEK
    assert seen(metrics) == {
        (week, Reminded.NONE): (3, 1),
        (week, Reminded.ONE): (3, 0),
        (week, Reminded.TWO_OR_MORE): (1, 1),
    }


def test_reminders_of_whatever_kind_count_and_three_are_not_called_two(
    clinic: Clinic, desk: Desk
) -> None:
    remind(desk, visit(clinic, "COMPLETED"), "72h", "24h", "2h")
    remind(desk, visit(clinic, "NO_SHOW"), "5d")
    remind(desk, visit(clinic, "COMPLETED"), "72h", state="unknown")

    groups = measure(clinic, NOW).as_json()["effect"]

    week = [one for one in groups if one["lead_time"] == "1-6_days"]
    assert {one["reminded"]: (one["attended_or_missed"], one["no_show"]) for one in week} == {
        "none": (0, 0),
        "one": (1, 1),
        "two_or_more": (1, 0),
        "confirmed": (0, 0),
        "unknown": (1, 0),
    }


def test_a_word_back_reminds_nobody(clinic: Clinic, desk: Desk) -> None:
    remind(desk, visit(clinic, "COMPLETED"), "24h", "words_back")

    metrics = measure(clinic, NOW)

    assert seen(metrics) == {(LeadTime.UP_TO_A_WEEK, Reminded.ONE): (1, 0)}


def test_a_visit_confirmed_when_its_message_was_claimed_stands_apart(
    clinic: Clinic, desk: Desk
) -> None:
    appointment_id = visit(clinic, "COMPLETED")
    remind(desk, appointment_id, "24h", appointment_status="SCHEDULED")
    remind(desk, appointment_id, "2h", appointment_status="CONFIRMED")

    metrics = measure(clinic, NOW)

    assert seen(metrics) == {(LeadTime.UP_TO_A_WEEK, Reminded.CONFIRMED): (1, 0)}


@pytest.mark.parametrize("state", ["unknown", "claimed"])
def test_a_visit_stands_apart_when_nobody_knows_whether_a_reminder_arrived(
    clinic: Clinic, desk: Desk, state: str
) -> None:
    remind(desk, visit(clinic, "NO_SHOW"), "24h", state=state)
    half_known = visit(clinic, "COMPLETED")
    remind(desk, half_known, "24h", appointment_status="CONFIRMED")
    remind(desk, half_known, "2h", state=state)
    remind(desk, visit(clinic, "COMPLETED"), "no_show", state=state)
    remind(desk, visit(clinic, "COMPLETED"), "24h", state="retry")

    metrics = measure(clinic, NOW)

    week = LeadTime.UP_TO_A_WEEK
    assert seen(metrics) == {(week, Reminded.UNKNOWN): (2, 1), (week, Reminded.NONE): (2, 0)}


def test_who_had_answered_stands_apart_whatever_was_sent(clinic: Clinic, desk: Desk) -> None:
    answered_at = local(2026, 3, 19, 12)
    for status, meaning, effect, values in (
        ("COMPLETED", "confirm", "confirmed", {}),
        ("COMPLETED", "confirm", "confirmed", {"appointment_status": "CONFIRMED"}),
        ("NO_SHOW", "confirm", "confirmed", {"state": "unknown"}),
        ("NO_SHOW", "cancel", "listed", {}),
        ("COMPLETED", "move", "listed", {}),
        ("CANCELLED", "cancel", "cancelled", {}),  # neither kept nor missed
        ("NO_SHOW", "unclear", "listed", {}),
    ):
        appointment_id = visit(clinic, status)
        row = desk.add(appointment_id=appointment_id, start=VISIT, **values)
        desk.add_answer(row, meaning, effect, said_at=answered_at, held=True)

    metrics = measure(clinic, NOW)

    week = LeadTime.UP_TO_A_WEEK
    assert seen(metrics) == {
        (week, Reminded.CONFIRMED_BY_ANSWER): (3, 1),
        (week, Reminded.SAID_NO): (2, 1),
        (week, Reminded.ONE): (1, 1),
        (week, Reminded.ANY): (6, 3),
    }


def test_where_answers_are_heard_every_group_is_listed(clinic: Clinic, desk: Desk) -> None:
    desk.add_answer(None, "courtesy", "courtesy", said_at=LONG_AGO)

    groups = measure(clinic, NOW).as_json()["effect"]

    assert len(groups) == 32
    assert {one["reminded"] for one in groups} == {str(one) for one in Reminded}


def test_a_reminder_of_the_time_before_a_move_does_not_count(clinic: Clinic, desk: Desk) -> None:
    remind(desk, visit(clinic), "24h", start=VISIT - timedelta(days=1))

    metrics = measure(clinic, NOW)

    assert seen(metrics) == {(LeadTime.UP_TO_A_WEEK, Reminded.NONE): (1, 1)}


def test_a_visit_moved_away_and_back_was_reminded_once_of_its_time(
    clinic: Clinic, desk: Desk
) -> None:
    moved = visit(clinic)
    remind(desk, moved, "24h", turn=1)
    remind(desk, moved, "24h", turn=2, start=VISIT + timedelta(hours=3))
    remind(desk, moved, "24h", turn=3)

    metrics = measure(clinic, NOW)

    assert seen(metrics) == {(LeadTime.UP_TO_A_WEEK, Reminded.ONE): (1, 1)}


@pytest.mark.parametrize(
    ("lead_days", "lead_time"),
    [
        (0, LeadTime.SAME_DAY),
        (1, LeadTime.UP_TO_A_WEEK),
        (6, LeadTime.UP_TO_A_WEEK),
        (7, LeadTime.UP_TO_A_MONTH),
        (29, LeadTime.UP_TO_A_MONTH),
        (30, LeadTime.LONGER),
        (400, LeadTime.LONGER),
    ],
)
def test_the_lead_time_is_counted_in_local_days(
    clinic: Clinic, desk: Desk, lead_days: int, lead_time: LeadTime
) -> None:
    visit(clinic, lead_days=lead_days)

    metrics = measure(clinic, NOW)

    assert seen(metrics) == {(lead_time, Reminded.NONE): (1, 1)}


def test_different_leads_of_one_band_add_up(clinic: Clinic, desk: Desk) -> None:
    visit(clinic, "NO_SHOW", lead_days=2)
    visit(clinic, "COMPLETED", lead_days=5)

    metrics = measure(clinic, NOW)

    assert seen(metrics) == {(LeadTime.UP_TO_A_WEEK, Reminded.NONE): (2, 1)}


def test_a_booking_late_in_the_evening_belongs_to_that_local_day(
    clinic: Clinic, desk: Desk
) -> None:
    # 21:30 in São Paulo is the next day in UTC.
    clinic.add_appointment(
        clinic.add_patient(), VISIT, "NO_SHOW", created_at=local(2026, 3, 19, 21, 30)
    )

    metrics = measure(clinic, NOW)

    assert seen(metrics) == {(LeadTime.UP_TO_A_WEEK, Reminded.NONE): (1, 1)}


def test_a_booking_before_the_clocks_changed_belongs_to_its_day_then(clinic: Clinic) -> None:
    # Until 2018-11-04 São Paulo was three hours behind UTC, then two: 23:30 on the 3rd is
    # 02:30 UTC of the 4th; read with the newer offset it would be 00:30 of the 4th.
    Desk(clinic).add(created_at=local(2018, 9, 1), start=wall(2018, 9, 2, 10))
    clinic.add_appointment(
        clinic.add_patient(),
        wall(2018, 11, 4, 15),
        "NO_SHOW",
        created_at=local(2018, 11, 3, 23, 30),
    )

    metrics = measure(clinic, local(2018, 11, 20))

    assert seen(metrics) == {(LeadTime.UP_TO_A_WEEK, Reminded.NONE): (1, 1)}


def test_visits_before_the_first_message_are_not_compared(clinic: Clinic) -> None:
    Desk(clinic).add(created_at=local(2026, 3, 20, 10, 30))
    visit(clinic, start=wall(2026, 3, 20, 10))
    visit(clinic, start=wall(2026, 3, 20, 11))

    metrics = measure(clinic, NOW)

    assert seen(metrics) == {(LeadTime.UP_TO_A_WEEK, Reminded.NONE): (1, 1)}


def test_visits_whose_messages_were_purged_are_not_taken_for_visits_without(
    clinic: Clinic,
) -> None:
    desk = Desk(clinic)
    claimed_at = VISIT - timedelta(days=1)
    remind(desk, visit(clinic), "24h", created_at=local(*claimed_at.timetuple()[:5]))
    before = visit(clinic, start=VISIT - timedelta(hours=3))
    remind(desk, before, "2h", start=VISIT - timedelta(hours=3), created_at=LONG_AGO)
    with opened(clinic) as database:
        past = VISIT - timedelta(hours=1)
        assert sum(purge(database, before_wall=past, before_at=LONG_AGO)) == 1

    metrics = measure(clinic, NOW)

    assert seen(metrics) == {(LeadTime.UP_TO_A_WEEK, Reminded.ONE): (1, 1)}


def test_cancelled_and_open_visits_are_not_compared(clinic: Clinic, desk: Desk) -> None:
    for status in ("CANCELLED", "SCHEDULED", "CONFIRMED"):
        visit(clinic, status)

    metrics = measure(clinic, NOW)

    assert seen(metrics) == {}


def test_visits_without_a_booking_before_them_are_left_out_and_said(
    clinic: Clinic, desk: Desk
) -> None:
    clinic.execute(
        "UPDATE appointments SET created_at = NULL WHERE id = :id", id=visit(clinic, "COMPLETED")
    )
    visit(clinic, "COMPLETED", lead_days=-1)

    metrics = measure(clinic, NOW)

    assert metrics.effect.left_out == 2
    assert seen(metrics) == {}
    assert Note.VISITS_WITHOUT_LEAD_TIME in metrics.notes


@pytest.mark.parametrize("booked", ["infinity", "-infinity", "0044-03-15 12:00 BC"])
def test_a_booking_beyond_every_calendar_is_left_out(postgres_clinic: Clinic, booked: str) -> None:
    Desk(postgres_clinic).add(created_at=LONG_AGO)
    appointment_id = visit(postgres_clinic)
    postgres_clinic.execute(
        "UPDATE appointments SET created_at = CAST(:booked AS timestamptz) WHERE id = :id",
        booked=booked,
        id=appointment_id,
    )

    metrics = measure(postgres_clinic, NOW)

    assert metrics.effect.left_out == 1


def test_without_any_message_there_is_nothing_to_compare(clinic: Clinic) -> None:
    Desk(clinic)
    visit(clinic)

    metrics = measure(clinic, NOW)

    assert metrics.effect == Effect()


def test_every_group_is_listed_with_its_interval_or_none(clinic: Clinic, desk: Desk) -> None:
    for status in ("NO_SHOW", "COMPLETED", "COMPLETED", "COMPLETED"):
        visit(clinic, status)

    metrics = measure(clinic, NOW)

    listed = metrics.as_json()["effect"]
    assert len(listed) == 20
    assert listed[0] == {
        "lead_time": "same_day",
        "reminded": "none",
        "attended_or_missed": 0,
        "no_show": 0,
        "no_show_rate": None,
        "low": None,
        "high": None,
        "small": False,
    }
    week_without = listed[5]
    assert (week_without["lead_time"], week_without["reminded"]) == ("1-6_days", "none")
    assert week_without["no_show_rate"] == 0.25
    assert week_without["small"]
    assert Note.SMALL_GROUPS in metrics.notes


def test_a_reminder_that_helps_shows_although_raw_rates_say_the_contrary(
    clinic: Clinic, desk: Desk
) -> None:
    # Same-day bookings are rarely missed and get no reminder; the others often are.
    for number in range(20):
        visit(clinic, "COMPLETED", lead_days=0)
        visit(clinic, "NO_SHOW" if number < 8 else "COMPLETED", lead_days=40) if number < 10 else 0
        remind(desk, visit(clinic, "NO_SHOW" if number < 8 else "COMPLETED", lead_days=40), "24h")

    groups = measure(clinic, NOW).effect.groups

    def rate_of(reminded: Reminded, *lead_times: LeadTime) -> float:
        chosen = [g for g in groups if g.reminded is reminded and g.lead_time in lead_times]
        return sum(g.no_show for g in chosen) / sum(g.visits for g in chosen)

    assert rate_of(Reminded.ONE, *LeadTime) > rate_of(Reminded.NONE, *LeadTime)
    assert rate_of(Reminded.ONE, LeadTime.LONGER) < rate_of(Reminded.NONE, LeadTime.LONGER)


@pytest.mark.parametrize(
    ("no_show", "visits", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), 857–872, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0000),
    ],
)
def test_the_interval_is_wilsons(no_show: int, visits: int, low: float, high: float) -> None:
    interval = Group(LeadTime.LONGER, Reminded.ONE, visits, no_show).interval

    assert interval == pytest.approx((low, high), abs=5e-5)
