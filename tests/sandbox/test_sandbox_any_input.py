"""Whatever JSON arrives gets an answer of Graph's, never a crash."""

import json
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from smartia_jobs.sandbox import PHONE_NUMBER_ID, WABA_ID
from smartia_jobs.sandbox.api import Api
from smartia_jobs.sandbox.exchange import Reply, Request
from smartia_jobs.sandbox.state import State
from tests.sandbox.graph import BUTTONS, NAMED, NUMBERED, PHONE, reminder

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def spoilt(value: Any, draw: st.DrawFn) -> Any:
    """Return ``value`` with one part of it replaced by any other JSON value."""
    if isinstance(value, dict | list) and value and draw(st.integers(0, 4)):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = draw(st.sampled_from(keys))
        copy = value.copy()
        copy[key] = spoilt(value[key], draw)
        return copy
    return draw(ANY_JSON)


@st.composite
def spoilt_messages(draw: st.DrawFn) -> object:
    """A good message but for one part."""
    return spoilt(reminder(biz_opaque_callback_data="7"), draw)


@st.composite
def spoilt_definitions(draw: st.DrawFn) -> object:
    """A good definition but for one part."""
    return spoilt(dict(draw(st.sampled_from([NAMED, NUMBERED, BUTTONS]))), draw)


def post(path: str, value: object) -> Reply:
    """Return what a fresh sandbox answers."""
    state = State.new(phone_number_id=PHONE_NUMBER_ID, waba_id=WABA_ID, keep=10, now=time.time)
    if not path.endswith("message_templates"):
        state.templates.create(NAMED, status="APPROVED")
    body = json.dumps(value).encode()
    return Api(state).answer(Request("POST", f"/{path}", authorization="Bearer x", body=body))


@given(spoilt_messages())
def test_a_spoilt_message_is_accepted_or_refused(message: object) -> None:
    reply = post(f"v25.0/{PHONE_NUMBER_ID}/messages", message)

    answer = json.loads(reply.body)
    assert (reply.status == 200) == ("messages" in answer) == ("error" not in answer)


@given(spoilt_definitions())
def test_a_spoilt_definition_is_registered_or_refused(definition: object) -> None:
    reply = post(f"v25.0/{WABA_ID}/message_templates", definition)

    answer = json.loads(reply.body)
    assert (reply.status == 200) == ("id" in answer) == ("error" not in answer)


@given(ANY_JSON)
def test_any_script_is_set_or_refused(script: object) -> None:
    reply = post("sandbox/script", {"target": "*", "answers": [script]})

    assert reply.status in (200, 400)


@given(ANY_JSON, ANY_JSON)
def test_any_person_and_any_notice_act_or_are_refused(value: object, other: object) -> None:
    bodies: list[object] = [
        value,
        {"phone": PHONE, "does": "write", "text": value, "name": other},
        {"phone": PHONE, "does": "tap", "button": value, "message": other},
        {"event": "ACCOUNT_RESTRICTION", "details": value},
        {"template": "lembrete", "event": "PAUSED", "language": value},
    ]

    for body in bodies:
        assert post("sandbox/people", body).status in (200, 400)
        assert post("sandbox/notices", body).status in (200, 400)
