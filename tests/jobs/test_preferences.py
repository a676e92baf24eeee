"""What people choose in WhatsApp itself: the newest choice of a phone holds."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from smartia_jobs.sandbox.server import Sandbox
from tests.jobs.replies_desk import RepliesDesk
from tests.jobs.test_reminders import TEMPLATES
from tests.support import Clinic

PHONE = "+5511987654321"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(templates=TEMPLATES) as running:  # nobody is written to
        yield running


@pytest.fixture
def desk(clinic: Clinic, sandbox: Sandbox) -> RepliesDesk:
    desk = RepliesDesk(clinic, sandbox)
    desk.replies()
    return desk


def chooses(desk: RepliesDesk, word: str, minute: int, phone: str | None = "551187654321") -> None:
    """Store what the webhook hears of a choice, made so many minutes after nine."""
    at = (desk.now_at + timedelta(minutes=minute)).isoformat(" ")
    desk.clinic.execute(
        "INSERT INTO smartia_answers (message_id, source, phone, type, payload, said_at,"
        " received_at) VALUES (:id, 'webhook', :phone, 'user_preferences', :word, :at, :at)",
        id=f"{phone} {minute} {word}", phone=phone, word=word, at=at,
    )  # fmt: skip


def opt_outs(desk: RepliesDesk) -> list[tuple[str, ...]]:
    rows = desk.clinic.rows("SELECT phone, source, scope FROM smartia_opt_outs ORDER BY id")
    return [tuple(row.values()) for row in rows]


STOPPED = [(PHONE, "whatsapp", "invitations")]


@pytest.mark.parametrize(
    ("choices", "left"),
    [
        (["stop 1"], STOPPED),
        (["stop 1", "resume 2"], []),
        (["resume 2", "stop 1"], []),
        (["stop 3", "resume 2"], STOPPED),
        (["resume 1"], []),
        (["signup 1"], []),
    ],
)
@pytest.mark.parametrize("runs", ["together", "one by one"])
def test_the_newest_choice_holds_whichever_came_first(
    desk: RepliesDesk, choices: list[str], left: list[tuple[str, ...]], runs: str
) -> None:
    for choice in choices:
        word, minute = choice.split()
        chooses(desk, word, int(minute))
        if runs == "one by one":
            desk.replies()

    desk.replies()

    assert opt_outs(desk) == left
    unread = "SELECT count(*) FROM smartia_answers WHERE acted_at IS NULL OR run_id IS NULL"
    assert desk.clinic.value(unread) == 0


def test_resume_lifts_nothing_that_came_another_way(desk: RepliesDesk) -> None:
    listed = [("+5511987654321", "person", "invitations"), ("+5511987654322", "whatsapp", "all")]
    for phone, source, scope in listed:
        desk.clinic.execute(
            "INSERT INTO smartia_opt_outs (phone, source, scope, created_at)"
            " VALUES (:phone, :source, :scope, '2026-11-01 12:00:00.000000')",
            phone=phone, source=source, scope=scope,
        )  # fmt: skip
        chooses(desk, "resume", 1, phone.removeprefix("+"))

    desk.replies()

    assert opt_outs(desk) == listed


def test_a_hidden_number_is_looked_at_once_and_changes_nothing(desk: RepliesDesk) -> None:
    chooses(desk, "stop", 1, phone=None)
    desk.replies(dry_run=True)
    assert desk.clinic.value("SELECT count(acted_at) FROM smartia_answers") == 0

    desk.replies()

    assert opt_outs(desk) == []
    assert desk.clinic.value("SELECT count(acted_at) FROM smartia_answers") == 1
