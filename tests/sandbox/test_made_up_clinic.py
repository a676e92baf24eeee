"""The made-up clinic: each line of its story is there, and the jobs have something to do."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import phonenumbers
import pytest

from smartia_jobs.sandbox.clinic import ZONE, make_clinic, make_clinic_of_today, told_on
from smartia_jobs.sandbox.story import PATIENTS, STORY

MONDAY_AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # nine o'clock in São Paulo
NOW = datetime(2026, 11, 23, 9, 0)  # noqa: DTZ001 - the same as wall time, as the file holds it


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Every visit with its patient and chat; ``start`` and ``booked`` are wall times."""
    path = tmp_path_factory.mktemp("clinic") / "smartia.db"
    make_clinic(path, monday_at=MONDAY_AT)
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute(
            "SELECT a.*, p.name, p.phone_number, c.intent FROM appointments a"
            " JOIN patients p ON p.id = a.patient_id"
            " LEFT JOIN conversations c ON c.id = a.conversation_id"
            " ORDER BY a.appointment_date, a.id"
        ).fetchall()
    return [
        dict(row)
        | {
            "start": datetime.strptime(row["appointment_date"], "%Y-%m-%d %H:%M:%S.%f"),  # noqa: DTZ007
            "booked": datetime.fromisoformat(row["created_at"])
            .replace(tzinfo=UTC)
            .astimezone(ZONE)
            .replace(tzinfo=None),
        }
        for row in rows
    ]


def between(
    visits: list[dict[str, Any]], first: timedelta, last: timedelta
) -> Iterator[dict[str, Any]]:
    return (visit for visit in visits if NOW + first <= visit["start"] <= NOW + last)


def test_it_counts_what_it_made(tmp_path: Path) -> None:
    made = make_clinic(tmp_path / "smartia.db", monday_at=MONDAY_AT)

    assert made.url == f"sqlite:///{tmp_path / 'smartia.db'}"
    assert made.patients == 40
    assert made.visits == 315 + len(STORY)


def test_the_same_monday_makes_the_same_clinic(tmp_path: Path) -> None:
    for name in ("one.db", "other.db"):
        make_clinic(tmp_path / name, monday_at=MONDAY_AT)

    with (
        closing(sqlite3.connect(tmp_path / "one.db")) as one,
        closing(sqlite3.connect(tmp_path / "other.db")) as other,
    ):
        assert list(one.iterdump()) == list(other.iterdump())


def test_another_monday_shifts_the_story(tmp_path: Path) -> None:
    make_clinic(tmp_path / "smartia.db", monday_at=datetime(2027, 2, 1, 9, 0, tzinfo=ZONE))

    with closing(sqlite3.connect(tmp_path / "smartia.db")) as connection:
        (last,) = connection.execute("SELECT max(appointment_date) FROM appointments").fetchone()
    assert last == "2027-02-05 17:30:00.000000"


@pytest.mark.parametrize(
    "monday_at",
    [
        datetime(2026, 11, 24, 12, 0, tzinfo=UTC),
        datetime(2026, 11, 23, 1, 0, tzinfo=UTC),  # still Sunday in São Paulo
        datetime(2026, 11, 23, 9, 0),  # noqa: DTZ001 - naive on purpose
    ],
)
def test_a_story_that_is_not_told_on_a_monday_is_refused(
    tmp_path: Path, monday_at: datetime
) -> None:
    with pytest.raises(ValueError, match="Monday"):
        make_clinic(tmp_path / "smartia.db", monday_at=monday_at)

    assert not (tmp_path / "smartia.db").exists()


def test_a_file_that_is_there_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "smartia.db"
    path.write_text("somebody's own")

    with pytest.raises(FileExistsError):
        make_clinic(path, monday_at=MONDAY_AT)

    assert path.read_text() == "somebody's own"


@pytest.mark.parametrize("day", range(7))
def test_a_clinic_of_today_has_visits_ahead_on_every_day_of_the_week(
    tmp_path: Path, day: int
) -> None:
    now = MONDAY_AT + timedelta(days=day)

    make_clinic_of_today(tmp_path / "clinic.db", now=now)

    with closing(sqlite3.connect(tmp_path / "clinic.db")) as connection:
        wall = now.astimezone(ZONE).replace(tzinfo=None)
        first, last = wall + timedelta(hours=6), wall + timedelta(hours=36)
        (ahead,) = connection.execute(
            "SELECT count(*) FROM appointments WHERE appointment_date BETWEEN ? AND ?",
            (f"{first}.000000", f"{last}.000000"),
        ).fetchone()
    assert ahead == 22
    assert told_on(tmp_path / "clinic.db") == wall.date()


@pytest.mark.parametrize("content", [b"", b"no database", None])
def test_what_is_no_made_up_clinic_is_told_from_one(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "smartia.db").write_bytes(content)

    assert told_on(tmp_path / "smartia.db") is None
    assert (tmp_path / "smartia.db").exists() == (content is not None)


def test_a_clinic_of_somebody_elses_is_no_made_up_one(tmp_path: Path) -> None:
    make_clinic(tmp_path / "smartia.db", monday_at=MONDAY_AT)
    with closing(sqlite3.connect(tmp_path / "smartia.db")) as connection, connection:
        connection.execute("UPDATE patients SET name = 'Marina Duarte' WHERE id = 1")

    assert told_on(tmp_path / "smartia.db") is None


def test_every_phone_but_the_odd_ones_is_valid_as_whatsapp_writes_it() -> None:
    odd = {
        phone
        for phone in PATIENTS.values()
        if not phonenumbers.is_valid_number(
            phonenumbers.parse(f"+{phone}" if phone.isdigit() and len(phone) > 11 else phone, "BR")
        )
        or not phone.isdigit()
    }

    assert odd == {"551199990034", "(11) 99999-0036", "999990038"}


def test_the_odd_phones_are_odd_in_three_ways() -> None:
    ninth_digit_missing = phonenumbers.parse("+551199990034")
    ninth_digit_there = phonenumbers.parse("+5511999990034")
    typed = phonenumbers.parse("(11) 99999-0036", "BR")
    area_missing = phonenumbers.parse("999990038", "BR")

    assert not phonenumbers.is_valid_number(ninth_digit_missing)
    assert phonenumbers.is_valid_number(ninth_digit_there)
    assert phonenumbers.is_valid_number(typed)
    assert not phonenumbers.is_valid_number(area_missing)


def test_the_daily_run_meets_every_kind_of_visit(visits: list[dict[str, Any]]) -> None:
    window = list(between(visits, timedelta(hours=6), timedelta(hours=36)))

    statuses = Counter(visit["status"] for visit in window)
    patients = Counter(visit["name"] for visit in window)
    assert statuses == {"SCHEDULED": 16, "CONFIRMED": 3, "CANCELLED": 2, None: 1}
    assert [name for name, count in patients.items() if count > 1] == ["Helena Duarte"]
    assert patients[None] == 1
    assert {"551199990034", "(11) 99999-0036", "999990038"} <= {
        visit["phone_number"] for visit in window
    }
    assert sum(visit["duration_minutes"] is None for visit in window) == 1
    assert sum(visit["notes"] is not None for visit in window) == 1


def test_the_hourly_run_has_visits_from_ten_to_half_past_eleven(
    visits: list[dict[str, Any]],
) -> None:
    window = between(visits, timedelta(minutes=45), timedelta(hours=2, minutes=30))

    open_visits = [v for v in window if v["status"] in ("SCHEDULED", "CONFIRMED")]
    assert [f"{v['start']:%H:%M}" for v in open_visits] == ["10:00", "10:30", "11:00", "11:30"]


def test_the_first_runs_have_missed_nothing(visits: list[dict[str, Any]]) -> None:
    soon = [
        visit
        for visit in between(visits, timedelta(0), timedelta(hours=6) - timedelta.resolution)
        if visit["status"] in ("SCHEDULED", "CONFIRMED")
    ]

    assert soon
    assert all(visit["booked"] > visit["start"] - timedelta(hours=24) for visit in soon)
    assert all(visit["start"] > NOW + timedelta(minutes=45) for visit in soon)


def test_nobody_has_marked_some_visits_of_the_last_week(visits: list[dict[str, Any]]) -> None:
    last_week = list(between(visits, -timedelta(days=7), timedelta(0)))

    begun = [v for v in last_week if v["status"] in ("SCHEDULED", "CONFIRMED")]
    ended = [v for v in begun if v["start"] + timedelta(hours=1) < NOW]
    assert [v["name"] for v in begun if v["start"].date() == NOW.date()] == [
        "Antônio Carvalho",
        "Bruno Siqueira",
        "Carlos Eduardo Pinto",  # is with the doctor
    ]
    assert 4 <= len(ended) <= 8


def test_the_no_show_brake_has_no_reason_to_hold(visits: list[dict[str, Any]]) -> None:
    last_week = between(visits, -timedelta(days=7), timedelta(0))

    assert sum(visit["status"] == "COMPLETED" for visit in last_week) >= 20


def test_three_missed_visits_wait_for_an_invitation(visits: list[dict[str, Any]]) -> None:
    missed = [
        v for v in between(visits, -timedelta(hours=48), timedelta(0)) if v["status"] == "NO_SHOW"
    ]

    later = {
        visit["name"]: [
            other["status"]
            for other in visits
            if other["name"] == visit["name"] and other["start"] > visit["start"]
        ]
        for visit in missed
    }
    assert later == {
        "Bruna Cardoso": [],
        "Caio Vasconcelos": ["SCHEDULED"],
        "Davi Moraes": ["COMPLETED"],
    }


def test_a_chat_has_moved_a_visit_and_left_the_old_one(visits: list[dict[str, Any]]) -> None:
    coming = between(visits, timedelta(0), timedelta(days=7))

    assert [
        (v["start"].day, v["status"], v["intent"]) for v in coming if v["name"] == "Camila Rocha"
    ] == [
        (26, "SCHEDULED", None),
        (27, "SCHEDULED", "reschedule"),
    ]


def test_chats_are_there_and_one_is_still_going_on(tmp_path: Path) -> None:
    make_clinic(tmp_path / "smartia.db", monday_at=MONDAY_AT)

    with closing(sqlite3.connect(tmp_path / "smartia.db")) as connection:
        chats = connection.execute(
            "SELECT p.name, c.state, count(i.id), max(i.created_at) FROM conversations c"
            " JOIN patients p ON p.id = c.patient_id"
            " JOIN interactions i ON i.conversation_id = c.id AND i.patient_id = p.id"
            " GROUP BY c.id ORDER BY c.created_at"
        ).fetchall()
    assert len(chats) == 5
    assert chats[-1] == ("Heitor Bastos", "ASK_DATE", 2, "2026-11-23 11:52:00")


def test_the_last_thirty_days_hold_every_status_and_lead_time(
    visits: list[dict[str, Any]],
) -> None:
    past = list(between(visits, -timedelta(days=30), timedelta(0)))

    leads = Counter(
        "30+" if days >= 30 else "7-29" if days >= 7 else "1-6" if days else "same day"
        for days in ((v["start"].date() - v["booked"].date()).days for v in past)
    )
    statuses = Counter(visit["status"] for visit in past)
    assert min(leads.values()) >= 10
    assert set(leads) == {"same day", "1-6", "7-29", "30+"}
    assert set(statuses) == {"COMPLETED", "NO_SHOW", "CANCELLED", "SCHEDULED", "CONFIRMED"}
    assert 0.10 < statuses["NO_SHOW"] / len(past) < 0.25
    assert all(visit["booked"] < visit["start"] for visit in visits)
    assert all(visit["booked"] < NOW for visit in visits)
