"""The figures against a plain recount from what was written, around changes of the clock."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from smartia_jobs.clinic.effect import LeadTime, Reminded
from smartia_jobs.clinic.period import Period
from smartia_jobs.clinic.statistics import StatusCounts
from smartia_jobs.clinic.times import Storage, StoredTimes, to_instant, to_wall
from smartia_jobs.jobs.metrics import Metrics
from tests.jobs.metrics_desk import Desk, local, measure, wall
from tests.support import Clinic

STATUSES = ["SCHEDULED", "CONFIRMED", "COMPLETED", "CANCELLED", "NO_SHOW", None]

#: A zone and a day near which its clocks change: forward, back, at midnight, by half an hour.
CHANGES = [
    ("America/New_York", wall(2026, 3, 8)),
    ("America/New_York", wall(2026, 11, 1)),
    ("America/Sao_Paulo", wall(2018, 11, 4)),
    ("America/Sao_Paulo", wall(2018, 2, 18)),
    ("Australia/Lord_Howe", wall(2026, 4, 5)),
    ("Asia/Kolkata", wall(2026, 3, 1)),
]


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit to write, in minutes from the day of the change."""

    start_min: int
    status: str | None
    booked_min: int
    reminders: tuple[tuple[str, str, str], ...]  # kind, state, status at claim
    form: str  # of the text, on SQLite


@dataclass(frozen=True, slots=True)
class Case:
    """A clinic, its visits, and the moment and length of the period."""

    zone: ZoneInfo
    day: datetime
    now_min: int
    days: int
    until_days_ago: int | None
    visits: tuple[Visit, ...]


#: As SmartIA and other programs write a date, and what they write that is none.
FORMS = ["smartia", "T", "Z", "+00:00", "-03", "minutes", "24:00", "31 November", "date only"]

DAY = 24 * 60
#: Near the change most of the time, and now and then a week away.
NEAR = st.one_of(
    st.integers(-90, 4 * 60),
    st.integers(-4, 8).map(lambda days: days * DAY),
    st.integers(-8 * DAY, 8 * DAY),
)
REMINDER = st.tuples(
    st.sampled_from(["72h", "24h", "2h", "own", "no_show"]),
    st.sampled_from(["sent", "read", "failed", "unknown"]),
    st.sampled_from(["SCHEDULED", "CONFIRMED"]),
)
VISIT = st.builds(
    Visit,
    start_min=NEAR,
    status=st.sampled_from(STATUSES),
    booked_min=st.one_of(NEAR, st.integers(-60 * DAY, 0)),
    reminders=st.lists(REMINDER, max_size=3, unique_by=lambda reminder: reminder[0]).map(tuple),
    form=st.one_of(st.just("smartia"), st.sampled_from(FORMS)),
)
CASES = st.builds(
    lambda change, **values: Case(ZoneInfo(change[0]), change[1], **values),
    st.sampled_from(CHANGES),
    now_min=NEAR,
    days=st.integers(1, 9),
    until_days_ago=st.one_of(st.none(), st.integers(-1, 5)),
    visits=st.lists(VISIT, max_size=12).map(tuple),
)


def stored(visit: Visit, case: Case) -> str | None:
    """Return the text of a visit's date on SQLite; None for SmartIA's own form."""
    start = case.day + timedelta(minutes=visit.start_min)
    match visit.form:
        case "T":
            return start.isoformat("T")
        case "Z" | "+00:00":
            utc = to_instant(start, case.zone).replace(tzinfo=None)
            return utc.isoformat("T", "milliseconds") + visit.form
        case "-03":
            away = to_instant(start, case.zone).astimezone(timezone(timedelta(hours=-3)))
            return away.replace(tzinfo=None).isoformat(" ") + "-03"
        case "minutes":
            return start.isoformat(" ", "minutes")
        case "24:00":
            return f"{start:%Y-%m-%d} 24:00:00"
        case "31 November":
            return f"{start:%Y}-{'02-30' if start.month < 6 else '11-31'} {start:%H:%M}:00"
        case "date only":
            return f"{start:%Y-%m-%d}"
    return None


def starts_at(visit: Visit, case: Case, stored_times: str) -> datetime | None:
    """Return when a visit begins as the jobs read it; None for what is no date."""
    start = case.day + timedelta(minutes=visit.start_min)
    if stored_times == "text":
        text = stored(visit, case) or start.isoformat(" ", "microseconds")
        return StoredTimes(Storage.TEXT, case.zone).read(text)
    if stored_times == "instant":
        return start.replace(tzinfo=case.zone).astimezone(UTC)
    return to_instant(start, case.zone)


def write(clinic: Clinic, desk: Desk, case: Case) -> None:
    """Replace everything in the database by the visits of the case."""
    clinic.zone = case.zone
    for table in ("appointments", "patients", "smartia_outbox"):
        clinic.execute(f"DELETE FROM {table}")
    rows: list[dict[str, Any]] = [
        {"appointment_id": 0, "created_at": local(2010, 1, 1), "start": wall(2010, 1, 2)}
    ]
    patient = clinic.add_patient()
    for visit in case.visits:
        start = case.day + timedelta(minutes=visit.start_min)
        booked_at = to_instant(case.day, case.zone) + timedelta(minutes=visit.booked_min)
        text = stored(visit, case) if clinic.dialect == "sqlite" else None
        appointment_id = clinic.add_appointment(
            patient, text or start, visit.status, created_at=booked_at
        )
        stored_times = "text" if clinic.dialect == "sqlite" else clinic.stored_times
        start_at = starts_at(visit, case, stored_times)
        rows += [
            {
                "appointment_id": appointment_id,
                "kind": kind,
                "start": to_wall(start_at, case.zone),
                "state": state,
                "appointment_status": status,
            }
            for kind, state, status in visit.reminders
            if start_at is not None
        ]
    desk.add_all(rows)


def recount(case: Case, stored_times: str, period: Period) -> dict[str, Any]:
    """Count the visits of a period one by one."""
    total, by_day, by_hour, effect = Counter[str](), Counter[Any](), Counter[int](), Counter[Any]()
    for visit in case.visits:
        start_at = starts_at(visit, case, stored_times)
        if start_at is None or not period.from_at <= start_at < period.to_at:
            continue
        shown = to_wall(start_at, case.zone)
        total[(visit.status or "unset").lower()] += 1
        by_day[shown.date()] += 1
        by_hour[shown.hour] += 1
        booked_at = to_instant(case.day, case.zone) + timedelta(minutes=visit.booked_min)
        lead = (shown.date() - to_wall(booked_at, case.zone).date()).days
        told = [r for r in visit.reminders if r[0] != "no_show" and r[1] != "failed"]
        if visit.status in ("COMPLETED", "NO_SHOW") and lead >= 0:
            reminded = [Reminded.NONE, Reminded.ONE, Reminded.TWO_OR_MORE][min(len(told), 2)]
            if any(status == "CONFIRMED" for _, _, status in told):
                reminded = Reminded.CONFIRMED
            if any(state == "unknown" for _, state, _ in told):
                reminded = Reminded.UNKNOWN
            edges = [
                (1, LeadTime.SAME_DAY),
                (7, LeadTime.UP_TO_A_WEEK),
                (30, LeadTime.UP_TO_A_MONTH),
            ]
            band = next((name for edge, name in edges if lead < edge), LeadTime.LONGER)
            effect[band, reminded, "visits"] += 1
            effect[band, reminded, "no_show"] += visit.status == "NO_SHOW"
    return {
        "total": StatusCounts(total=total.total(), **total),
        "by_day": dict(by_day),
        "by_hour": dict(by_hour),
        "effect": {key: number for key, number in effect.items() if number},
    }


def found(metrics: Metrics) -> Mapping[str, Any]:
    """Return the figures in the same form."""
    effect = {
        (group.lead_time, group.reminded, name): number
        for group in metrics.effect.groups
        for name, number in (("visits", group.visits), ("no_show", group.no_show))
        if number
    }
    return {
        "total": metrics.figures.appointments,
        "by_day": {day: c.total for day, c in metrics.by_day.items() if c.total},
        "by_hour": {hour: c.total for hour, c in metrics.by_hour.items()},
        "effect": effect,
    }


def check(clinic: Clinic, desk: Desk, case: Case) -> None:
    """Compare the figures with a recount, for a period and the one before."""
    write(clinic, desk, case)
    now = to_instant(case.day, case.zone) + timedelta(minutes=case.now_min)
    until = None
    if case.until_days_ago is not None:
        until = to_wall(now, case.zone).date() - timedelta(days=case.until_days_ago)

    metrics = measure(clinic, now, days=case.days, until=until)

    stored_times = "text" if clinic.dialect == "sqlite" else clinic.stored_times
    assert found(metrics) == recount(case, stored_times, metrics.figures.period)
    before = recount(case, stored_times, metrics.previous.period)
    assert metrics.previous.appointments == before["total"]


@given(case=CASES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sqlite_counts_what_a_recount_counts(sqlite_clinic: Clinic, case: Case) -> None:
    check(sqlite_clinic, Desk(sqlite_clinic), case)


#: At an hour that clocks skip, in a form that only SQLite's texts have.
SKIPPED = Case(
    zone=ZoneInfo("America/New_York"),
    day=wall(2026, 3, 8),
    now_min=DAY,
    days=1,
    until_days_ago=None,
    visits=(Visit(2 * 60, "SCHEDULED", 0, (), "Z"),),
)


@pytest.mark.parametrize("stored", ["wall", "instant", "timestamp"])
@given(case=CASES)
@example(case=SKIPPED)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_postgresql_counts_what_a_recount_counts(
    postgres_clinic: Clinic, stored: str, case: Case
) -> None:
    if stored == "timestamp":
        postgres_clinic.execute("ALTER TABLE appointments ALTER appointment_date TYPE timestamp")
    postgres_clinic.stored_times = "instant" if stored == "instant" else "wall"
    check(postgres_clinic, Desk(postgres_clinic), case)
