"""What SmartIA's own webhook heard, where no webhook of ours does: on both engines."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from smartia_jobs.kinds import DAY_AHEAD
from smartia_jobs.sandbox.server import Sandbox
from tests.jobs.replies_desk import RepliesDesk, figures
from tests.jobs.test_reminders import DAY, HOUR, MINUTE, TEMPLATES
from tests.support import Clinic


@pytest.fixture
def sandbox(no_threads_left: None) -> Iterator[Sandbox]:
    with Sandbox(templates=TEMPLATES) as running:
        yield running


@pytest.fixture
def desk(clinic: Clinic, sandbox: Sandbox) -> RepliesDesk:
    return RepliesDesk(clinic, sandbox)


def smartia_hears(
    desk: RepliesDesk,
    kind: str,
    text: str | None,
    message_id: str | None,
    *,
    phone: str = "5511987654321",
    ago: timedelta = timedelta(0),
) -> int:
    """Let SmartIA's webhook write down one thing, as its API does."""
    clinic = desk.clinic
    known = clinic.rows("SELECT id FROM patients WHERE phone_number = :phone", phone=phone)
    patient = known[0]["id"] if known else clinic.add_patient("Maria", phone)
    heard = clinic.add_interaction(
        clinic.add_conversation(patient, "NEW_INTENT"), text or "", created_at=desk.now_at - ago
    )
    clinic.execute(
        "UPDATE interactions SET message_type = :kind, provider_message_id = :wamid,"
        " message_text = :text WHERE id = :id",
        kind=kind, wamid=message_id, text=text, id=heard,
    )  # fmt: skip
    return heard


def wamid(desk: RepliesDesk, message: int = -1) -> str:
    return str(desk.sandbox.received[message]["wamid"])


def reminded(desk: RepliesDesk, *hours: int) -> None:
    """Remind of visits, after a first run that has noted where SmartIA stands."""
    desk.replies()
    for ahead in hours:
        desk.book(ahead * HOUR)
    desk.run(DAY_AHEAD)


def answers(desk: RepliesDesk) -> list[dict[str, Any]]:
    columns = "message_id, source, phone, type, text, payload"
    return desk.clinic.rows(f"SELECT {columns} FROM smartia_answers ORDER BY id")


def test_statuses_that_smartia_has_heard_move_our_messages(desk: RepliesDesk) -> None:
    reminded(desk, 20, 21, 22)
    for message, status in enumerate(["delivered", "READ", "failed"]):
        smartia_hears(desk, "status", status, wamid(desk, message))
    smartia_hears(desk, "status", "read", "wamid.OF-THE-CHATBOT", ago=HOUR)
    smartia_hears(desk, "status", "warning", wamid(desk))
    smartia_hears(desk, "status", "read", None)

    report = desk.replies()

    assert figures(report) == {"statuses": 3, "delivered": 1, "read": 1, "undelivered": 1}
    (row,) = [row for row in desk.rows() if row["state"] == "undelivered"]
    assert (row["error_code"], row["error"]) == (
        None, "WhatsApp did not deliver it; the reason was not told."
    )  # fmt: skip
    desk.now += 6 * MINUTE
    assert figures(desk.replies()) == {"statuses": 1, "ignored not_ours": 1}
    assert figures(desk.replies()) == {}


def test_what_smartia_heard_before_the_first_run_is_nobodys_business(desk: RepliesDesk) -> None:
    smartia_hears(desk, "text", "sim", "wamid.OLD")

    desk.replies()
    smartia_hears(desk, "text", "sim, obrigada", "wamid.NEW")
    desk.listen()

    assert [row["text"] for row in answers(desk)] == ["sim, obrigada"]


def test_texts_and_labels_are_stored_as_unsigned_answers_of_their_patients(
    desk: RepliesDesk,
) -> None:
    desk.replies()
    smartia_hears(desk, "text", "Sim 🙏", "wamid.1", phone="(11) 8765-4321")
    smartia_hears(desk, "button", "Confirmar presença", None, phone="551187654322")
    smartia_hears(desk, "image", "?", "wamid.3")
    desk.clinic.add_interaction(desk.clinic.add_conversation(1), "Olá", type="OUTGOING")

    desk.listen()
    desk.listen()

    first, second = answers(desk)
    assert (first["message_id"], first["text"], first["type"]) == ("wamid.1", "Sim 🙏", "text")
    assert (second["text"], second["type"], second["payload"]) == (
        "Confirmar presença", "button", None
    )  # fmt: skip
    assert second["message_id"].startswith("smartia:")
    assert second["phone"] == "5511987654322"
    assert {first["source"], second["source"]} == {"smartia"}


def test_a_row_that_was_committed_late_is_found_by_looking_back(desk: RepliesDesk) -> None:
    desk.replies()
    late = smartia_hears(desk, "text", "tarde", "wamid.LATE")
    row = desk.clinic.rows("SELECT * FROM interactions WHERE id = :id", id=late)[0]
    smartia_hears(desk, "text", "cedo", "wamid.EARLY")
    desk.clinic.execute("DELETE FROM interactions WHERE id = :id", id=late)
    desk.listen()
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    desk.clinic.execute(f"INSERT INTO interactions ({names}) VALUES ({values})", **row)

    desk.listen()

    assert [row["text"] for row in answers(desk)] == ["cedo", "tarde"]


def test_more_than_a_page_is_read_to_its_end_and_then_not_again(desk: RepliesDesk) -> None:
    desk.replies()
    smartia_hears(desk, "text", "1", "wamid.1")
    desk.clinic.execute(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 2300)"
        " INSERT INTO interactions (conversation_id, patient_id, type, message_type, message_text,"
        " provider_message_id, created_at) SELECT conversation_id, patient_id, type, message_type,"
        " CAST(i AS TEXT), 'wamid.' || CAST(i AS TEXT), created_at FROM interactions, n"
    )

    desk.listen()

    assert len(answers(desk)) == 2300
    newest = desk.clinic.value("SELECT max(id) FROM interactions")
    assert desk.clinic.value("SELECT interactions_seen FROM smartia_installation") == newest - 500


@pytest.mark.parametrize(
    ("listen_to", "heard"), [("auto", False), ("webhook", False), ("smartia", True)]
)
def test_smartia_is_heard_until_a_webhook_of_ours_has_stored_something(
    desk: RepliesDesk, listen_to: str, heard: bool
) -> None:
    reminded(desk, 20, 21)
    smartia_hears(desk, "status", "delivered", wamid(desk, 0))
    desk.hear("delivered", message=1)
    desk.setting(listen_to=listen_to)

    report = desk.replies()

    assert figures(report) == {"statuses": 1 + heard, "delivered": 1 + heard}


def test_what_is_older_than_a_week_is_not_heard_any_more(desk: RepliesDesk) -> None:
    desk.replies()
    smartia_hears(desk, "text", "sim", "wamid.1", ago=8 * DAY)
    smartia_hears(desk, "text", "não", "wamid.2", ago=6 * DAY)

    desk.listen()

    assert [row["text"] for row in answers(desk)] == ["não"]


def test_a_dry_run_counts_what_smartia_has_heard_and_stores_nothing(desk: RepliesDesk) -> None:
    reminded(desk, 20)
    smartia_hears(desk, "status", "read", wamid(desk))

    report = desk.replies(dry_run=True)

    assert figures(report) == {"statuses": 1, "read": 1}
    assert desk.clinic.rows("SELECT id FROM smartia_statuses") == []


def test_other_types_and_cases_of_smartias_columns_are_understood(desk: RepliesDesk) -> None:
    clinic = desk.clinic
    desk.replies()
    smartia_hears(desk, "text", "sim", "wamid.1")
    if clinic.dialect == "postgresql":
        clinic.execute("ALTER TYPE interactiontype RENAME VALUE 'INCOMING' TO 'incoming'")
        clinic.execute("ALTER TABLE interactions ALTER message_text TYPE varchar(4000)")
        clinic.execute("ALTER TABLE interactions ALTER created_at TYPE timestamp")
        clinic.execute("ALTER TABLE interactions ALTER id TYPE bigint")
    else:
        clinic.execute("UPDATE interactions SET type = 'incoming'")

    desk.listen()

    assert [row["text"] for row in answers(desk)] == ["sim"]
    said_at = datetime.fromisoformat(
        str(clinic.value("SELECT said_at FROM smartia_answers")).partition("+")[0]
    )
    assert said_at.replace(tzinfo=UTC) == desk.now_at
