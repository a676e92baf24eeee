"""What an answer of WhatsApp means for the message that was tried and for the run."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartia_jobs.errors import ExitStatus
from smartia_jobs.message import Answer, Verdict
from smartia_jobs.whatsapp.answers import classify
from smartia_jobs.whatsapp.codes import ANSWERS

REFUSED = (Verdict.STOP, ExitStatus.REFUSED)
CONFIGURATION = (Verdict.STOP, ExitStatus.CONFIGURATION)
RETRY = (Verdict.RETRY, None)
SLOW_DOWN = (Verdict.SLOW_DOWN, None)
GIVE_UP = (Verdict.GIVE_UP, None)
BAD_REQUEST = (Verdict.BAD_REQUEST, None)

#: One code of each kind, and those that could be taken for another's: what Meta's page says.
TOLD = [
    (190, REFUSED),  # token
    (210, REFUSED),  # permission, as all from 200 to 299
    (131037, REFUSED),  # display name
    (131042, REFUSED),  # payment
    (131048, REFUSED),  # quality: not a throttle, though Meta calls it a rate limit
    (2500, CONFIGURATION),  # no such path or version
    (131063, CONFIGURATION),  # marketing is switched off
    (132001, CONFIGURATION),  # no such template
    (134101, CONFIGURATION),  # template still being set up
    (131000, RETRY),
    (130429, SLOW_DOWN),
    (131057, SLOW_DOWN),  # maintenance
    (131056, (Verdict.SLOW_DOWN_RECIPIENT, None)),
    (131026, GIVE_UP),
    (131049, GIVE_UP),
    (100, BAD_REQUEST),
    (131030, BAD_REQUEST),  # not on a test number's list
]

LEAK = "Leak of Maria Souza +5511987654321 EAAGtoken"


def graph_error(code: object, **more: object) -> dict[str, object]:
    return {"error": {"message": LEAK, "type": "OAuthException", "code": code, **more}}


def accepted(**message: object) -> dict[str, object]:
    return {
        "messaging_product": "whatsapp",
        "contacts": [{"input": "+5511987654321", "wa_id": "551187654321"}],
        "messages": [{"id": "wamid.A=", **message}],
    }


def read(status: int, body: object, headers: Mapping[str, str] | None = None) -> Answer:
    return classify(status, body, headers or {})


@pytest.mark.parametrize(("code", "meaning"), TOLD)
def test_the_code_decides_whatever_the_http_status(
    code: int, meaning: tuple[Verdict, ExitStatus | None]
) -> None:
    for status in (200, 302, 400, 401, 403, 404, 429, 500, 503):
        answer = read(status, graph_error(code))

        assert (answer.verdict, answer.stop) == meaning
        assert answer.code == code
        assert answer.from_graph


def test_only_what_is_about_the_recipient_is_final_for_one_patient() -> None:
    # Whatever else would be, a paused template or a number without payment, ends the run.
    given_up = {code for code, answer in ANSWERS.items() if answer.verdict is Verdict.GIVE_UP}

    assert given_up == {
        130403, 130472, 130497, 131021, 131026, 131047, 131049, 131050, 131062, 137000,
    }  # fmt: skip


def test_each_reason_is_a_sentence_without_anything_of_metas_text() -> None:
    sentence = re.compile(r"[A-Z].{15,}\.")

    assert [a.reason for a in ANSWERS.values() if not sentence.fullmatch(a.reason)] == []
    for error_data in (LEAK, {"details": LEAK}, None):
        answers = {code: read(400, graph_error(code, error_data=error_data)) for code in ANSWERS}
        assert {c: a.reason for c, a in answers.items()} == {
            c: a.reason for c, a in ANSWERS.items()
        }


def test_every_answer_that_stops_the_run_tells_a_person_what_to_do() -> None:
    advice = re.compile(
        r"\b(make|assign|check|put|add|ask|register|set|update|see|correct|accept|use|switch"
        r"|compare|submit|change|run again)\b"
    )

    assert [a.reason for a in ANSWERS.values() if a.stop and not advice.search(a.reason)] == []


def test_only_a_patient_who_stopped_marketing_has_opted_out() -> None:
    assert [code for code, answer in ANSWERS.items() if answer.opt_out] == [131050]


@pytest.mark.parametrize(
    "error",
    [
        {"error_subcode": 33},
        {"error_subcode": "33"},
        {"type": "GraphMethodException"},
        {"message": "API calls from the server require an appsecret_proof argument"},
        {"error_data": {"details": "Invalid appsecret_proof provided"}},
        {"error_data": "Invalid appsecret_proof provided"},
    ],
)
def test_code_100_stops_the_run_when_it_is_about_sender_or_proof(error: dict[str, Any]) -> None:
    answer = read(400, graph_error(100, **error))

    assert (answer.verdict, answer.stop) == REFUSED


@pytest.mark.parametrize("code", ["131056", 131056])
@pytest.mark.parametrize("error_data", [None, "text", {"details": "text"}, [1], 7])
def test_a_code_is_read_as_number_or_text_beside_any_error_data(
    code: object, error_data: object
) -> None:
    answer = read(400, graph_error(code, error_data=error_data))

    assert (answer.verdict, answer.code) == (Verdict.SLOW_DOWN_RECIPIENT, 131056)


@pytest.mark.parametrize(
    ("status", "more", "meaning"),
    [
        (401, {}, REFUSED),
        (403, {"is_transient": True}, REFUSED),
        (429, {}, SLOW_DOWN),
        (500, {}, RETRY),
        (503, {}, RETRY),
        (400, {"is_transient": True}, RETRY),
        (400, {"is_transient": "true"}, BAD_REQUEST),
        (400, {"is_transient": False}, BAD_REQUEST),
        (404, {}, BAD_REQUEST),
        (200, {}, BAD_REQUEST),
    ],
)
def test_a_code_nobody_listed_is_judged_by_the_http_status(
    status: int, more: dict[str, Any], meaning: tuple[Verdict, ExitStatus | None]
) -> None:
    for code in (139999, "139999", None, True, float("nan"), 10**40, -1, [1]):
        answer = read(status, graph_error(code, **more))

        assert (answer.verdict, answer.stop) == meaning, code
        assert answer.from_graph, code
        assert answer.code == (139999 if code in (139999, "139999") else None)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.UNKNOWN),
        (204, Verdict.UNKNOWN),
        (301, Verdict.RETRY),
        (307, Verdict.RETRY),
        (400, Verdict.RETRY),
        (403, Verdict.RETRY),
        (407, Verdict.RETRY),
        (429, Verdict.SLOW_DOWN),
        (500, Verdict.UNKNOWN),
        (502, Verdict.UNKNOWN),
        (504, Verdict.UNKNOWN),
    ],
)
def test_without_an_answer_of_graphs_only_its_kind_can_be_judged(
    status: int, verdict: Verdict
) -> None:
    bodies: list[object] = [
        None,
        [],
        "text",
        7,
        {},
        {"error": None},
        {"error": "Bad Gateway"},
        {"error": [{"code": 190}]},
        {"error": {}},
        [{"error": {"code": 190}}],
    ]
    if status >= 300:  # a gateway's own code
        bodies.append({"error": {"code": status, "message": "no healthy upstream"}})
    for body in bodies:
        answer = read(status, body)

        assert (answer.verdict, answer.from_graph, answer.code) == (verdict, False, None), body
        assert answer.reason, body


def test_a_message_with_an_id_was_accepted() -> None:
    answer = read(200, accepted(message_status="accepted"))

    assert answer == Answer(Verdict.SENT, message_id="wamid.A=")


@pytest.mark.parametrize(
    ("status", "held"),
    [
        ("held_for_quality_assessment", True),
        ("paused", True),
        ("accepted", False),
        ("something new", False),
        (None, False),
        (["paused"], False),
    ],
)
def test_a_message_that_meta_holds_back_is_accepted_and_held(status: object, held: bool) -> None:
    answer = read(200, accepted(message_status=status))

    assert (answer.verdict, answer.in_quality_check) == (Verdict.SENT, held)


@pytest.mark.parametrize(
    "contacts", [None, [], {}, [None], [{}], [{"wa_id": None}], [{"wa_id": 55}], [{"wa_id": ""}]]
)
def test_an_acceptance_is_one_whatever_its_contacts_hold(contacts: object) -> None:
    answer = read(200, accepted() | {"contacts": contacts})

    assert answer.verdict is Verdict.SENT


@pytest.mark.parametrize(
    "messages",
    [
        None,
        [],
        {},
        "wamid",
        [None],
        ["wamid"],
        [{}],
        *([{"id": bad}] for bad in (None, "", 7, "a\0b", "x" * 256, ["wamid"])),
    ],
)
def test_an_answer_without_a_usable_message_id_leaves_it_unknown(messages: object) -> None:
    answer = read(200, accepted() | {"messages": messages})

    assert (answer.verdict, answer.from_graph) == (Verdict.UNKNOWN, False)


def usage(*minutes: object) -> str:
    return json.dumps(
        {
            str(n): [{"type": "whatsapp", "estimated_time_to_regain_access": m}]
            for n, m in enumerate(minutes)
        }
    )


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "9" * 400}, None),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"X-Business-Use-Case-Usage": usage(3)}, 180.0),
        ({"X-Business-Use-Case-Usage": usage(0, "2", None, [], {})}, 120.0),
        ({"X-Business-Use-Case-Usage": usage(0), "Retry-After": "7"}, 7.0),
        ({"X-Business-Use-Case-Usage": usage(10**400)}, None),
        ({"X-Business-Use-Case-Usage": usage(10**9)}, 86_400.0),
        ({"X-Business-Use-Case-Usage": '{"1": [{"estimated_time_to_regain_access": NaN}]}'}, None),
        ({"X-Business-Use-Case-Usage": "not json", "Retry-After": "7"}, 7.0),
        ({"X-Business-Use-Case-Usage": '{"1": {"a": 1}, "2": [3]}'}, None),
        ({"X-Business-Use-Case-Usage": "[1]"}, None),
        ({"X-Business-Use-Case-Usage": "[" * 30_000}, None),
    ],
)
def test_a_throttle_says_how_long_to_wait_where_meta_says_it(
    headers: dict[str, str], wait_s: float | None
) -> None:
    assert read(400, graph_error(130429), headers).wait_s == wait_s
    assert read(429, None, headers).wait_s == wait_s


@pytest.mark.parametrize("code", [4, 80007, 131057, 2494100])
def test_a_quota_or_maintenance_lasts_a_minute_unless_meta_says_how_long(code: int) -> None:
    assert read(400, graph_error(code)).wait_s == 60
    assert read(400, graph_error(code), {"Retry-After": "5"}).wait_s == 5


def test_only_a_throttle_waits_as_the_headers_say() -> None:
    answer = read(500, graph_error(131000), {"Retry-After": "7"})

    assert answer.wait_s is None


_json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_keys = st.sampled_from(["code", "type", "error_data", "error_subcode", "message", "is_transient"])
_body = (
    _json_value
    | st.fixed_dictionaries({"error": _json_value | st.dictionaries(_keys, _json_value)})
    | st.fixed_dictionaries({"messages": _json_value, "contacts": _json_value})
)


@given(st.integers(100, 599), _body, st.text())
def test_no_answer_whatever_is_too_odd_to_be_judged(status: int, body: object, usage: str) -> None:
    answer = classify(status, body, {"X-Business-Use-Case-Usage": usage, "Retry-After": usage})

    assert (answer.stop is not None) == (answer.verdict is Verdict.STOP)
    assert (answer.message_id is not None) == (answer.verdict is Verdict.SENT)
