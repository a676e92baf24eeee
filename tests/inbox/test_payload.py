"""Reading what Meta posts: every piece on its own, and nothing that could not be stored."""

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, String

from smartia_jobs.inbox.payload import Post, parse, read
from smartia_jobs.incoming import Delivery, Notice, PatientAnswer, Source, Status
from smartia_jobs.store.tables import answers, notices, statuses
from tests.web.meta import PHONE_NUMBER_ID, encoded, failed, message, post, status, value, written

RECEIVED_AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
SAID_AT = datetime.fromtimestamp(1795000007, UTC)
ANSWERED_AT = datetime.fromtimestamp(1795000100, UTC)


def read_post(payload: Any, number: str | None = PHONE_NUMBER_ID) -> Post:
    held = parse(encoded(payload))
    assert held is not None
    return read(held, phone_number_id=number, received_at=RECEIVED_AT)


def of_statuses(*elements: Any) -> Post:
    return read_post(post(value(statuses=list(elements))))


def of_messages(*elements: Any) -> Post:
    return read_post(post(value(messages=list(elements))))


def test_all_entries_changes_and_elements_are_read_and_a_broken_one_costs_no_other() -> None:
    payload = post(
        value(statuses=[status("a"), {"id": "b"}]), value(statuses=[status("c", "read")])
    )
    payload["entry"][0]["changes"].append(
        {"field": "messages", "value": value(messages=[written()])}
    )

    found = read_post(payload)

    assert [(one.wamid, one.delivery) for one in found.statuses] == [
        ("a", Delivery.DELIVERED),
        ("c", Delivery.READ),
    ]
    assert [one.text for one in found.answers] == ["Sim"]
    assert found.ignored == {"unreadable": 1}


def test_a_status_keeps_what_the_outbox_needs() -> None:
    found = of_statuses(status(biz_opaque_callback_data="1a2b:7:1"), failed("b"))

    assert found.statuses == [
        Status("wamid.OUT1", Delivery.DELIVERED, SAID_AT, "1a2b:7:1"),
        Status("b", Delivery.FAILED, SAID_AT, code=131026),
    ]


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([{"code": 131026}, {"code": 1}], 131026),
        ([{"title": "without"}, {"code": 131049}], 131049),
        ([{"code": "131026"}], 131026),
        ([{"code": "many"}], None),
        ([{"code": 2**40}], None),
        ([{"code": True}], None),
        ([], None),
        ({"code": 1}, None),
        (None, None),
    ],
)
def test_a_failure_has_the_first_code_that_is_one(errors: Any, code: int | None) -> None:
    (one,) = of_statuses({**failed(), "errors": errors}).statuses

    assert (one.delivery, one.code) == (Delivery.FAILED, code)


@pytest.mark.parametrize(
    ("timestamp", "said_at"),
    [
        ("1795000007", SAID_AT),
        (1795000007, SAID_AT),
        (1795000007000, SAID_AT),
        (None, RECEIVED_AT),
        ("soon", RECEIVED_AT),
        (10**30, RECEIVED_AT),
        (-1, RECEIVED_AT),
        (0, RECEIVED_AT),
        (1.5, RECEIVED_AT),
        (1_800_000_000, RECEIVED_AT),  # by a clock that is ahead
        ("１７９５０００００７", RECEIVED_AT),
    ],
)
def test_when_it_was_said_is_read_in_every_form_and_never_lies_ahead(
    timestamp: Any, said_at: datetime
) -> None:
    (one,) = of_statuses(status(timestamp=timestamp)).statuses

    assert one.said_at == said_at


@pytest.mark.parametrize(
    ("element", "text", "payload", "context_id"),
    [
        (written("Sim, estarei aí"), "Sim, estarei aí", None, None),
        (written(context={"from": "55", "id": "wamid.OUT1"}), "Sim", None, "wamid.OUT1"),
        (written(context={"from": "55"}), "Sim", None, None),
        (
            message(
                "button",
                button={"payload": "confirm:1a2b:7", "text": "Confirmar"},
                context={"id": "wamid.OUT1"},
            ),
            "Confirmar",
            "confirm:1a2b:7",
            "wamid.OUT1",
        ),
        (
            message(
                "interactive",
                interactive={
                    "type": "button_reply",
                    "button_reply": {"id": "x", "title": "Remarcar"},
                },
            ),
            "Remarcar",
            "x",
            None,
        ),
        (
            message(
                "interactive",
                interactive={"type": "list_reply", "list_reply": {"id": "y", "title": "Terça"}},
            ),
            "Terça",
            "y",
            None,
        ),
        (
            message("reaction", reaction={"message_id": "wamid.OUT1", "emoji": "👍"}),
            "👍",
            None,
            "wamid.OUT1",
        ),
        (message("reaction", reaction={"message_id": "wamid.OUT1"}), None, None, "wamid.OUT1"),
        (message("audio", audio={"id": "9"}), None, None, None),
        (message("image", image={"id": "9", "caption": "exame"}), "exame", None, None),
        (message("sticker", sticker={"id": "9"}), None, None, None),
        (message("unsupported", errors=[{"code": 131051}]), None, None, None),
    ],
)
def test_what_a_person_did_is_kept_as_words(
    element: dict[str, Any], text: str | None, payload: str | None, context_id: str | None
) -> None:
    (one,) = of_messages(element).answers

    assert one == PatientAnswer(
        "wamid.IN1",
        Source.WEBHOOK,
        "554198765432",
        element["type"],
        ANSWERED_AT,
        text,
        payload,
        context_id,
    )


@pytest.mark.parametrize("phone", ["", None])
def test_a_number_that_is_hidden_is_none(phone: str | None) -> None:
    (one,) = of_messages({**written(), "from": phone}).answers

    assert one.phone is None


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        (written(context={"forwarded": True}), "forwarded"),
        (written(group_id="G"), "group"),
        (message("system", system={"type": "user_changed_number"}), "type"),
        (message("a_new_one"), "type"),
        (message("interactive", interactive={"type": "nfm_reply", "nfm_reply": {}}), "type"),
        ({"type": "text"}, "unreadable"),
        ([], "unreadable"),
        ("text", "unreadable"),
        (written(message_id="x" * 10_000), "unreadable"),
        (written(message_id="a\0b"), "unreadable"),
    ],
)
def test_what_is_no_answer_is_counted_by_its_reason(element: Any, reason: str) -> None:
    found = of_messages(element)

    assert (found.answers, found.ignored) == ([], {reason: 1})


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        (status(said="played"), "status"),
        (status(said="deleted"), "status"),
        (status(recipient_type="group"), "group"),
        (status("w" * 256), "unreadable"),
        (status(""), "unreadable"),
        ({**status(), "id": 7}, "unreadable"),
        ({**status(), "status": ["read"]}, "unreadable"),
        (None, "unreadable"),
    ],
)
def test_a_status_of_no_use_is_counted_by_its_reason(element: Any, reason: str) -> None:
    found = of_statuses(element)

    assert (found.statuses, found.ignored) == ([], {reason: 1})


def test_what_is_about_another_number_is_left_out() -> None:
    other = {**value(statuses=[status()]), "metadata": {"phone_number_id": "123456123"}}

    assert read_post(post(other)).ignored == {"another_number": 1}
    assert read_post(post({**other, "metadata": None})).ignored == {"another_number": 1}
    assert len(read_post(post(other), number=None).statuses) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"object": "page", "entry": []}',
        b"[" * 3_000_000,
        b'{"object":' * 300_000,
        b'{"object": ' + b"9" * 10_000 + b"}",
    ],
    ids=["empty", "bytes", "list", "null", "another object", "brackets", "objects", "digits"],
)
def test_what_is_no_post_of_an_account_is_none(body: bytes) -> None:
    assert parse(body) is None


@pytest.mark.parametrize("field", ["messages", "user_preferences"])
@pytest.mark.parametrize("what", [None, [], "text", 7])
def test_a_change_that_says_nothing_readable_is_counted(field: str, what: Any) -> None:
    assert read_post(post(what, field=field)).ignored == {"unreadable": 1}


def test_a_preference_has_the_same_name_whenever_it_comes() -> None:
    wish = {"wa_id": "5541", "category": "marketing_messages", "value": "stop"}
    ahead = post(
        value(user_preferences=[{**wish, "timestamp": 1_800_000_000}]), field="user_preferences"
    )

    (one,) = read_post(ahead).answers

    assert (one.said_at, one.message_id) == (RECEIVED_AT, "user_preferences:5541:1800000000")


@pytest.mark.parametrize("field", ["standby", "smb_message_echoes", "calls", None, 7])
def test_other_fields_are_counted(field: Any) -> None:
    assert read_post(post(value(messages=[written()]), field=field)).ignored == {"field": 1}


def test_errors_that_stand_in_place_of_messages_are_counted() -> None:
    assert read_post(post(value(errors=[{"code": 130429}]))).ignored == {"error": 1}


@pytest.mark.parametrize("wish", ["stop", "resume"])
def test_a_preference_is_an_answer_named_by_phone_and_time(wish: str) -> None:
    preference = {
        "wa_id": "554198765432",
        "category": "marketing_messages",
        "value": wish,
        "timestamp": 1795000200,
    }

    (one,) = read_post(post(value(user_preferences=[preference]), field="user_preferences")).answers

    assert (one.type, one.payload, one.phone) == ("user_preferences", wish, "554198765432")
    assert one.message_id == "user_preferences:554198765432:1795000200"


@pytest.mark.parametrize(
    ("field", "said", "expected"),
    [
        (
            "message_template_status_update",
            {
                "event": "PAUSED",
                "message_template_name": "lembrete",
                "message_template_language": "pt-BR",
                "reason": "NONE",
                "other_info": {"title": "FIRST_PAUSE"},
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
            },
            ("MARKETING", "lembrete pt-BR", "it was UTILITY"),
        ),
        (
            "template_category_update",
            {
                "message_template_name": "lembrete",
                "previous_category": "UTILITY",
                "new_category": "MARKETING",
            },
            ("MARKETING", "lembrete", "it was UTILITY"),
        ),
        (
            "template_category_update",
            {"message_template_name": "lembrete", "correct_category": "MARKETING"},
            ("MARKETING", "lembrete", None),
        ),
        (
            "account_update",
            {"event": "ACCOUNT_VIOLATION", "restriction_info": [None, {}, {"restriction_type": 7}]},
            ("ACCOUNT_VIOLATION", "", None),
        ),
        (
            "account_update",
            {
                "event": "ACCOUNT_RESTRICTION",
                "restriction_info": [{"restriction_type": "RESTRICTED_UTILITY_TEMPLATES"}],
            },
            ("ACCOUNT_RESTRICTION", "", "RESTRICTED_UTILITY_TEMPLATES"),
        ),
        (
            "account_update",
            {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}},
            ("DISABLED_UPDATE", "", "DISABLE"),
        ),
    ],
)
def test_notices_of_templates_and_the_account_are_kept(
    field: str, said: dict[str, Any], expected: tuple[str, str, str | None]
) -> None:
    (one,) = read_post(post(said, field=field)).notices

    assert one == Notice(
        field, expected[0], expected[1], datetime.fromtimestamp(1795000300, UTC), expected[2]
    )


@pytest.mark.parametrize(
    ("field", "said", "reason"),
    [
        ("account_update", {"event": "PARTNER_ADDED"}, "account"),
        ("message_template_status_update", {"event": "PAUSED"}, "unreadable"),
        ("template_category_update", {"message_template_name": "x"}, "unreadable"),
    ],
)
def test_a_notice_of_no_use_is_counted(field: str, said: dict[str, Any], reason: str) -> None:
    assert read_post(post(said, field=field)).ignored == {reason: 1}


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(
    place=st.sampled_from(["entry", "changes", "value", "statuses", "messages", "element"]),
    anything=_ANYTHING,
)
def test_anything_in_any_place_is_read_or_counted(place: str, anything: Any) -> None:
    payload: Any = post(value(statuses=[status()], messages=[written()]))
    change = payload["entry"][0]["changes"][0]
    match place:
        case "entry":
            payload["entry"] = anything
        case "changes":
            payload["entry"][0]["changes"] = anything
        case "value":
            change["value"] = anything
        case "statuses" | "messages":
            change["value"][place] = anything
        case "element":
            change["value"]["statuses"].append(anything)

    found = read_post(payload)

    if place in ("statuses", "messages", "element"):
        assert found.statuses or found.answers


@given(
    st.dictionaries(
        st.sampled_from(["id", "type", "from", "text", "context", "timestamp"]), _ANYTHING
    )
)
def test_a_message_of_any_parts_can_be_stored(parts: dict[str, Any]) -> None:
    for one in of_messages({**written(), **parts}).answers:
        for column in (answers.c.message_id, answers.c.phone, answers.c.type, answers.c.text):
            kept = getattr(one, column.name)
            assert kept is None or (len(kept) <= (length(column) or 0) and "\0" not in kept)
            assert kept is None or kept.encode()


def length(column: Column[Any]) -> int | None:
    assert isinstance(column.type, String)
    return column.type.length


def test_what_is_kept_is_as_long_as_its_column() -> None:
    long = "é" * 10_000
    (said,) = of_statuses(status(biz_opaque_callback_data=long)).statuses
    (answer,) = of_messages(written(long, context={"id": long}, **{"from": long})).answers
    (notice,) = read_post(
        post(
            {"event": long, "message_template_name": long, "reason": long},
            field="message_template_status_update",
        )
    ).notices

    assert len(said.callback or "") == length(statuses.c.callback)
    assert len(answer.text or "") == length(answers.c.text)
    assert len(answer.phone or "") == length(answers.c.phone)
    assert len(answer.context_id or "") == length(answers.c.context_id)
    assert len(notice.subject) == length(notices.c.subject)
    assert len(notice.event) == length(notices.c.event)
    assert len(notice.detail or "") == length(notices.c.detail)


def test_half_a_letter_and_nul_are_left_out_of_a_text() -> None:
    (one,) = of_messages(
        json.loads('{"id":"i","type":"text","text":{"body":"a\\ud83d\\u0000b"}}')
    ).answers

    assert one.text == "ab"


def test_a_count_of_nothing_is_no_count() -> None:
    assert of_statuses(status()).ignored == Counter()
