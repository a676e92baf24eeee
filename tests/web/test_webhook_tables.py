"""Each shape in which Meta says the same, over a real port, down to the tables of each engine."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support import Clinic
from tests.web import test_webhook
from tests.web.meta import encoded, failed, post, signature, status, value, written
from tests.web.test_webhook import OLD_SECRET, Serve, Webhook, migrate

serve = test_webhook.serve
webhook = test_webhook.webhook


def test_whoever_signs_otherwise_stores_nothing(webhook: Webhook) -> None:
    body = encoded(post(value(statuses=[status()])))
    right = signature(body)
    wrong = [
        "",
        right.replace("sha256", "sha1"),
        right.removeprefix("sha256="),
        right[:-1],
        signature(b" " + body),
        signature(body, OLD_SECRET),  # which is not set here
    ]

    answers = [webhook.send(body, signed) for signed in wrong]
    answers.append(webhook.ask("POST", "/webhook", body)[0])

    assert answers == [401] * 7
    assert webhook.statuses == []


def test_whoever_signs_with_either_secret_in_either_case_is_stored(
    clinic: Clinic, serve: Serve
) -> None:
    migrate(clinic)
    webhook = serve(clinic, META_APP_SECRET_OLD=OLD_SECRET)
    bodies = [encoded(post(value(statuses=[status(f"w{n}")]), name="Jo\u00e3o")) for n in range(3)]

    answers = [
        webhook.send(bodies[0]),
        webhook.send(bodies[1], signature(bodies[1], OLD_SECRET)),
        webhook.send(bodies[2], signature(bodies[2]).upper().replace("SHA256", "sha256")),
    ]

    assert answers == [200] * 3
    assert len(webhook.statuses) == 3


def test_a_failure_is_stored_in_each_of_its_shapes(webhook: Webhook) -> None:
    nobody = failed("b")
    del nobody["recipient_id"]
    two = [{"code": 131047, "title": "x"}, {"code": 1, "title": "y"}]
    shapes = [
        failed("a", 131026),
        nobody,
        {**failed("c"), "errors": two},
        failed("d", 999_999),
        failed("e", "131049"),
        {**failed("f"), "errors": None},
        failed("g", 2**70),
    ]

    assert webhook.say(post(value(statuses=shapes))) == 200

    rows = webhook.clinic.rows("SELECT wamid, status, code FROM smartia_statuses")
    assert {row["status"] for row in rows} == {"failed"}
    assert {row["wamid"]: row["code"] for row in rows} == {
        "a": 131026,
        "b": 131026,
        "c": 131047,
        "d": 999_999,
        "e": 131049,
        "f": None,
        "g": None,
    }


@pytest.mark.parametrize("order", [("delivered", "failed"), ("failed", "delivered"), ("read",) * 3])
def test_what_came_first_stays_as_it_came(webhook: Webhook, order: tuple[str, ...]) -> None:
    for second, said in enumerate(order):
        element = status(said=said, timestamp=str(1_795_000_000 + second))
        assert webhook.say(post(value(statuses=[element]))) == 200

    rows = webhook.clinic.rows("SELECT status, said_at FROM smartia_statuses ORDER BY id")
    assert [row["status"] for row in rows] == list(dict.fromkeys(order))
    assert [_instant(row["said_at"]).second % 10 for row in rows] == list(range(len(rows)))


def test_when_it_was_said_is_stored_from_each_of_its_forms(webhook: Webhook) -> None:
    said = int(time.time()) - 3600
    forms = {"text": str(said), "int": said, "ms": str(said * 1000), "ms int": said * 1000}
    elements = [status(name, timestamp=form) for name, form in forms.items()]
    absent = status("absent")
    del absent["timestamp"]

    assert webhook.say(post(value(statuses=[*elements, absent]))) == 200

    rows = webhook.clinic.rows("SELECT wamid, said_at, received_at FROM smartia_statuses")
    stored = {row["wamid"]: _instant(row["said_at"]) for row in rows}
    assert stored.pop("absent") == _instant(rows[0]["received_at"])
    assert set(stored.values()) == {datetime.fromtimestamp(said, UTC)}
    assert stored.keys() == forms.keys()


def test_what_was_sent_along_is_stored_as_it_comes_back(webhook: Webhook) -> None:
    along = status(biz_opaque_callback_data="a1b2c3d4:42:1")

    assert webhook.say(post(value(statuses=[along, status("w2", recipient_id=None)]))) == 200

    rows = webhook.clinic.rows("SELECT wamid, callback FROM smartia_statuses")
    stored = {row["wamid"]: row["callback"] for row in rows}
    assert stored == {"wamid.OUT1": "a1b2c3d4:42:1", "w2": None}


def test_answers_of_one_second_are_stored_in_the_order_in_which_they_came(webhook: Webhook) -> None:
    assert webhook.say(post(value(messages=[written("Sim", "b"), written("Não", "a")]))) == 200

    rows = webhook.clinic.rows("SELECT text FROM smartia_answers ORDER BY id")
    assert [row["text"] for row in rows] == ["Sim", "Não"]


def test_each_change_of_a_preference_is_stored_once_with_its_own_time(webhook: Webhook) -> None:
    wish = {"wa_id": "554198765432", "category": "marketing_messages"}
    resumed = {**wish, "value": "resume", "timestamp": 1_795_000_300}
    stopped = {**wish, "value": "stop", "timestamp": 1_795_000_200}

    for one in (resumed, stopped, stopped):
        payload = post(value(user_preferences=[one]), field="user_preferences")
        assert webhook.say(payload) == 200

    rows = webhook.clinic.rows("SELECT payload, said_at FROM smartia_answers ORDER BY said_at")
    assert [row["payload"] for row in rows] == ["stop", "resume"]
    assert [_instant(row["said_at"]).timestamp() for row in rows] == [1_795_000_200, 1_795_000_300]


@pytest.mark.parametrize(
    ("field", "said", "stored"),
    [
        (
            "message_template_status_update",
            {
                "event": "PAUSED",
                "message_template_id": 10**15,
                "message_template_name": "lembrete",
                "message_template_language": "pt-BR",
                "reason": None,
                "other_info": {"title": "FIRST_PAUSE", "description": "…"},
            },
            ("PAUSED", "lembrete pt-BR", "FIRST_PAUSE"),
        ),
        (
            "template_category_update",
            {
                "message_template_name": "lembrete",
                "message_template_language": "pt-BR",
                "correct_category": "MARKETING",
                "new_category": "UTILITY",
                "category_update_timestamp": 1_795_086_400,
            },
            ("MARKETING", "lembrete pt-BR", "it was UTILITY"),
        ),
        (
            "account_update",
            {
                "event": "ACCOUNT_RESTRICTION",
                "restriction_info": [
                    {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": 1}
                ],
            },
            ("ACCOUNT_RESTRICTION", "", "RESTRICTED_BIZ_INITIATED_MESSAGING"),
        ),
    ],
)
def test_a_notice_is_stored_once_and_logged_as_a_warning(
    webhook: Webhook, field: str, said: dict[str, Any], stored: tuple[str, str, str]
) -> None:
    assert [webhook.say(post(said, field=field)) for _ in range(2)] == [200, 200]

    (row,) = webhook.clinic.rows("SELECT field, event, subject, detail FROM smartia_notices")
    assert row == dict(zip(("field", "event", "subject", "detail"), (field, *stored), strict=True))
    logged = webhook.end()
    assert "smartia-jobs check lists it" in logged
    assert "lembrete" not in logged


def _instant(stored: Any) -> datetime:
    """Return what is stored as an aware instant: SQLite keeps UTC as text."""
    at = stored if isinstance(stored, datetime) else datetime.fromisoformat(stored)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
