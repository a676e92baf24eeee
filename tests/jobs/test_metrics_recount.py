"""The figures against a plain recount from what was written, around changes of the clock."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from smartia_jobs.clinic.effect import LeadTime
from smartia_jobs.clinic.period import Period, midnight
from smartia_jobs.clinic.statistics import StatusCounts
from smartia_jobs.clinic.times import Storage, StoredTimes, to_instant, to_wall
from smartia_jobs.clinic.told import Reminded
from smartia_jobs.jobs.metrics import Figures, Metrics
from tests.jobs.metrics_desk import ASKS, ASKS_NOT, Desk, local, measure, wall
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
class Reply:
    """One answer to a message."""

    meaning: str
    effect: str
    held: bool  # it changed a visit, or held one back
    said_min: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message about a visit; times in minutes from the day of the change."""

    kind: str
    state: str
    status: str  # SmartIA's when it was claimed
    template: str
    claimed_min: int
    replies: tuple[Reply, ...]


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit to write, in minutes from the day of the change."""

    start_min: int
    status: str | None
    booked_min: int
    messages: tuple[Message, ...]
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

#: The category of some templates, one of which asks, and one that the catalogue has no longer.
CATEGORIES = {
    ASKS: "utility",
    ASKS_NOT: "utility",
    "smartia_novo_horario_v1": "marketing",
    "of_another_catalogue": "unknown",
}

DAY = 24 * 60
#: Near the change most of the time, and now and then a week away.
NEAR = st.one_of(
    st.integers(-90, 4 * 60),
    st.integers(-4, 8).map(lambda days: days * DAY),
    st.integers(-8 * DAY, 8 * DAY),
)
REPLY = st.builds(
    Reply,
    meaning=st.sampled_from(["confirm", "cancel", "move", "unclear", "courtesy", "stop"]),
    effect=st.sampled_from(["confirmed", "cancelled", "listed", "repeated", "undone"]),
    held=st.booleans(),
    said_min=NEAR,
)
MESSAGE = st.builds(
    Message,
    kind=st.sampled_from(["72h", "24h", "2h", "own", "no_show"]),
    state=st.sampled_from(["sent", "read", "failed", "unknown"]),
    status=st.sampled_from(["SCHEDULED", "CONFIRMED"]),
    template=st.sampled_from(list(CATEGORIES)),
    claimed_min=NEAR,
    replies=st.lists(REPLY, max_size=2).map(tuple),
)
VISIT = st.builds(
    Visit,
    start_min=NEAR,
    status=st.sampled_from(STATUSES),
    booked_min=st.one_of(NEAR, st.integers(-60 * DAY, 0)),
    messages=st.lists(MESSAGE, max_size=3, unique_by=lambda message: message.kind).map(tuple),
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
    ours = ("smartia_outbox", "smartia_answers", "smartia_status_changes")
    for table in ("appointments", "patients", *ours):
        clinic.execute(f"DELETE FROM {table}")
    rows: list[dict[str, Any]] = [
        {"id": 1, "template": ASKS, "appointment_id": 0, "created_at": local(2010, 1, 1),
         "start": wall(2010, 1, 2)}
    ]  # fmt: skip
    replies: list[tuple[datetime, bool, dict[str, Any]]] = []
    patient = clinic.add_patient()
    stored_times = "text" if clinic.dialect == "sqlite" else clinic.stored_times
    for visit in case.visits:
        start = case.day + timedelta(minutes=visit.start_min)
        text = stored(visit, case) if clinic.dialect == "sqlite" else None
        appointment_id = clinic.add_appointment(
            patient, text or start, visit.status, created_at=at(case, visit.booked_min)
        )
        start_at = starts_at(visit, case, stored_times)
        for message in visit.messages if start_at is not None else ():
            assert start_at is not None
            rows.append(
                {
                    "id": len(rows) + 1,
                    "appointment_id": appointment_id,
                    "kind": message.kind,
                    "start": to_wall(start_at, case.zone),
                    "state": message.state,
                    "appointment_status": message.status,
                    "template": message.template,
                    "created_at": at(case, message.claimed_min),
                }
            )
            for reply in message.replies:
                told = {"outbox_id": len(rows), "meaning": reply.meaning, "effect": reply.effect}
                replies.append((at(case, reply.said_min), reply.held, told))
    desk.add_all(rows)
    desk.add_answers(replies)


def at(case: Case, minutes: int) -> datetime:
    """Return the instant so many minutes after the day of the change."""
    return to_instant(case.day, case.zone) + timedelta(minutes=minutes)


def said(reply: Reply) -> str | None:
    """Return what one answer surely says, read by hand; None: a person took it back."""
    if reply.effect == "undone":
        return None
    decided = {"confirm": "confirmed", "cancel": "cannot_come", "move": "another_time"}
    if reply.meaning not in decided:
        return "unclear" if reply.meaning == "unclear" else "other"
    if reply.effect != "listed" or (reply.held and reply.meaning != "confirm"):
        return decided[reply.meaning]
    return "unclear"


def last_said(replies: Iterable[Reply], case: Case, told_at: datetime) -> str | None:
    """Return which of several answers counts; None: none was given before the visit."""
    given = [
        (reply.said_min, number, what)
        for number, reply in enumerate(replies)
        if (what := said(reply)) is not None and at(case, reply.said_min) < told_at
    ]
    for undecided in (("unclear", "other"), ("other",), ()):
        if several := [one for one in given if one[2] not in undecided]:
            return max(several)[2]
    return None


def heard_since(case: Case, stored_times: str) -> datetime | None:
    """Return when the first answer came."""
    return min(
        (
            at(case, reply.said_min)
            for visit in case.visits
            if starts_at(visit, case, stored_times) is not None
            for message in visit.messages
            for reply in message.replies
        ),
        default=None,
    )


def visit_answered(visit: Visit, case: Case, told_at: datetime, heard_from: datetime) -> str | None:
    """Return what had been answered before a visit; None: nobody knows."""
    messages = [m for m in visit.messages if m.kind != "no_show" and m.state != "failed"]
    answered = last_said((r for m in messages for r in m.replies), case, told_at)
    if answered is not None:
        return answered
    asking = [m for m in messages if m.template not in (ASKS_NOT, "smartia_novo_horario_v1")]
    known = [
        m
        for m in asking
        if m.template == ASKS and m.state != "unknown" and at(case, m.claimed_min) >= heard_from
    ]
    if known:
        return "none"
    return None if asking else "not_asked"


def recount(case: Case, stored_times: str, period: Period) -> dict[str, Any]:
    """Count the visits of a period one by one."""
    total, by_day, by_hour, effect = Counter[str](), Counter[Any](), Counter[int](), Counter[Any]()
    by_answer, in_advance = Counter[tuple[str, str]](), 0
    since = heard_since(case, stored_times)
    known = since is not None and since < period.to_at
    heard_day = to_wall(since, case.zone).date() if since else date.max
    heard_from = midnight(heard_day, case.zone) if since else datetime.max.replace(tzinfo=UTC)
    for visit in case.visits:
        start_at = starts_at(visit, case, stored_times)
        if start_at is None or not period.from_at <= start_at < period.to_at:
            continue
        shown = to_wall(start_at, case.zone)
        total[(visit.status or "unset").lower()] += 1
        by_day[shown.date()] += 1
        by_hour[shown.hour] += 1
        told_at = to_instant(shown, case.zone)
        answered = visit_answered(visit, case, told_at, heard_from) if known else None
        said_no = answered in ("cannot_come", "another_time")
        in_advance += said_no and visit.status == "CANCELLED"
        if answered is not None and shown.date() >= heard_day:
            by_answer[answered, (visit.status or "unset").lower()] += 1
        booked_at = to_instant(case.day, case.zone) + timedelta(minutes=visit.booked_min)
        lead = (shown.date() - to_wall(booked_at, case.zone).date()).days
        told = [m for m in visit.messages if m.kind != "no_show" and m.state != "failed"]
        if visit.status in ("COMPLETED", "NO_SHOW") and lead >= 0:
            reminded = [Reminded.NONE, Reminded.ONE, Reminded.TWO_OR_MORE][min(len(told), 2)]
            if any(message.status == "CONFIRMED" for message in told):
                reminded = Reminded.CONFIRMED
            if any(message.state == "unknown" for message in told):
                reminded = Reminded.UNKNOWN
            if answered == "confirmed":
                reminded = Reminded.CONFIRMED_BY_ANSWER
            if said_no:
                reminded = Reminded.SAID_NO
            edges = [
                (1, LeadTime.SAME_DAY),
                (7, LeadTime.UP_TO_A_WEEK),
                (30, LeadTime.UP_TO_A_MONTH),
            ]
            band = next((name for edge, name in edges if lead < edge), LeadTime.LONGER)
            apart = (Reminded.NONE, Reminded.CONFIRMED, Reminded.UNKNOWN)
            together = known and reminded not in apart
            for group in (reminded, Reminded.ANY) if together else (reminded,):
                effect[band, group, "visits"] += 1
                effect[band, group, "no_show"] += visit.status == "NO_SHOW"
    return {
        "total": StatusCounts(total=total.total(), **total),
        "by_day": dict(by_day),
        "by_hour": dict(by_hour),
        "effect": {key: number for key, number in effect.items() if number},
        "by_answer": dict(by_answer),
        "in_advance": in_advance if known else None,
        **recount_messages(case, stored_times, period, heard_from if known else None),
    }


def recount_messages(
    case: Case, stored_times: str, period: Period, heard_from: datetime | None
) -> dict[str, Any]:
    """Count the messages of a period one by one."""
    sent, charged = Counter[str](), Counter[str]()
    answers, waits = Counter[tuple[str, str]](), defaultdict[str, list[float]](list)
    now = at(case, case.now_min)
    for visit in case.visits:
        start_at = starts_at(visit, case, stored_times)
        if start_at is None:
            continue
        told_at = to_instant(to_wall(start_at, case.zone), case.zone)
        for message in visit.messages:
            claimed_at = at(case, message.claimed_min)
            accepted = message.state in ("sent", "read")
            if not (accepted and period.from_at <= claimed_at < period.to_at):
                continue
            sent[message.kind] += 1
            charged[CATEGORIES[message.template]] += 1
            asks = message.template == ASKS and message.kind != "no_show"
            if not asks or heard_from is None or claimed_at < heard_from:
                continue
            answered = last_said(message.replies, case, told_at)
            silent = "none" if told_at <= now else "pending"
            answers[message.kind, answered or silent] += 1
            answers[message.kind, "asked"] += 1
            said_at = [
                at(case, reply.said_min)
                for reply in message.replies
                if said(reply) and at(case, reply.said_min) < told_at
            ]
            if said_at:
                waits[message.kind].append(max((min(said_at) - claimed_at).total_seconds(), 0))
    return {
        "sent": dict(sent),
        "charged": dict(charged),
        "answers": None if heard_from is None else dict(answers),
        "waits": {kind: median(seconds) for kind, seconds in waits.items()},
    }


def found(metrics: Metrics, figures: Figures) -> Mapping[str, Any]:
    """Return the figures in the same form."""
    effect = {
        (group.lead_time, group.reminded, name): number
        for group in metrics.effect.groups
        for name, number in (("visits", group.visits), ("no_show", group.no_show))
        if number
    }
    by_answer = {
        (str(answered), status): number
        for answered, counts in metrics.answered.items()
        for status, number in asdict(counts).items()
        if number and status != "total"
    }
    answers = None
    if metrics.answers is not None:
        answers = {
            (kind, name): number
            for kind, counts in metrics.answers.items()
            for name, number in counts.as_json().items()
            if number and name != "median_wait_s"
        }
    return {
        "total": figures.appointments,
        "by_day": {day: c.total for day, c in metrics.by_day.items() if c.total},
        "by_hour": {hour: c.total for hour, c in metrics.by_hour.items()},
        "effect": effect,
        "by_answer": by_answer,
        "in_advance": figures.cancelled_in_advance,
        "sent": {kind: c.sent for kind, c in figures.messages.items() if c.sent},
        "charged": {str(one): c.sent for one, c in figures.categories.items() if c.sent},
        "answers": answers,
        "waits": {
            kind: counts.median_wait.total_seconds()
            for kind, counts in (metrics.answers or {}).items()
            if counts.median_wait is not None
        },
    }


#: What is counted of the period before as well.
OF_BOTH = ("total", "in_advance", "sent", "charged")
#: What is known as soon as an answer was heard.
OF_ANSWERS = ("in_advance", "answers", "waits")


def check(clinic: Clinic, desk: Desk, case: Case) -> None:
    """Compare the figures with a recount, for a period and the one before."""
    write(clinic, desk, case)
    now = to_instant(case.day, case.zone) + timedelta(minutes=case.now_min)
    until = None
    if case.until_days_ago is not None:
        until = to_wall(now, case.zone).date() - timedelta(days=case.until_days_ago)

    metrics = measure(clinic, now, days=case.days, until=until)

    stored_times = "text" if clinic.dialect == "sqlite" else clinic.stored_times
    counted = recount(case, stored_times, metrics.figures.period)
    assert found(metrics, metrics.figures) == counted
    before = recount(case, stored_times, metrics.previous.period)
    shown = found(metrics, metrics.previous)
    assert {name: shown[name] for name in OF_BOTH} == {name: before[name] for name in OF_BOTH}

    # Only what compares visits asks since when messages are on record.
    clinic.execute("DELETE FROM smartia_outbox WHERE id = 1")
    metrics = measure(clinic, now, days=case.days, until=until)
    shown = found(metrics, metrics.figures)
    assert {name: shown[name] for name in OF_ANSWERS} == {n: counted[n] for n in OF_ANSWERS}
    assert metrics.previous.cancelled_in_advance == before["in_advance"]


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
