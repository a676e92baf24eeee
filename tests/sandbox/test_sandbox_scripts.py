"""Scripted answers come in order, to whom they are meant for, by Python and by HTTP."""

import json
import time

import pytest
import requests

from smartia_jobs.sandbox import PHONE_NUMBER_ID, WABA_ID, Sandbox, Scripted
from tests.sandbox.graph import PHONE, Graph, error_of, reminder, wait_until

OTHER_PHONE = "+5521987650000"


def test_answers_are_given_in_order_and_then_all_is_ordinary_again(
    sandbox: Sandbox, graph: Graph
) -> None:
    sandbox.script(PHONE, Scripted(code=131056), Scripted(code=131000), Scripted())

    answers = [graph.send() for _ in range(4)]

    assert [error_of(answer)[:2] for answer in answers[:2]] == [(400, 131056), (500, 131000)]
    assert [answer.status_code for answer in answers[2:]] == [200, 200]
    assert [m["accepted"] for m in sandbox.received] == [False, False, True, True]
    assert [m["code"] for m in sandbox.received] == [131056, 131000, None, None]


def test_the_last_answer_repeats_on_request(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.script(PHONE, Scripted(code=1), Scripted(code=131026), repeat_last=True)

    codes = [error_of(graph.send())[1] for _ in range(4)]

    assert codes == [1, 131026, 131026, 131026]


def test_a_script_is_for_its_recipient_alone(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.script(PHONE, Scripted(code=131026))

    assert graph.send(reminder(to=OTHER_PHONE)).status_code == 200
    assert error_of(graph.send())[1] == 131026


@pytest.mark.parametrize("scripted", ["+5531987654321", "553187654321", "+55 31 8765-4321"])
@pytest.mark.parametrize("to", ["+5531987654321", "553187654321", "+55 (31) 98765-4321"])
def test_a_recipient_is_the_same_with_and_without_the_ninth_digit(
    sandbox: Sandbox, graph: Graph, scripted: str, to: str
) -> None:
    sandbox.script(scripted, Scripted(code=131026))

    assert error_of(graph.send(reminder(to=to)))[1] == 131026


def test_a_recipients_script_outranks_everyones(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.script("*", Scripted(code=130429), repeat_last=True)
    sandbox.script(PHONE, Scripted(code=131056))

    codes = [error_of(graph.send())[1] for _ in range(2)]

    assert codes == [131056, 130429]


def test_a_script_waits_until_a_request_is_good(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.script(PHONE, Scripted(code=131056))

    refused = graph.send(reminder(template="nunca_vi"))
    scripted = graph.send()

    assert error_of(refused)[1] == 132001
    assert error_of(scripted)[1] == 131056


@pytest.mark.parametrize(
    ("scripted", "status"),
    [
        (Scripted(code=131056, status=403), 403),
        (Scripted(code=190, subcode=463), 401),
        (Scripted(code=131031), 403),
        (Scripted(code=132001), 404),
        (Scripted(code=2), 503),
        (Scripted(code=999_999), 400),
        (Scripted(code=131056), 400),
    ],
)
def test_a_code_comes_with_the_status_meta_last_documented(
    sandbox: Sandbox, graph: Graph, scripted: Scripted, status: int
) -> None:
    sandbox.script(PHONE, scripted)

    assert error_of(graph.send()) == (status, scripted.code, scripted.subcode)


def test_details_of_an_error_are_passed_on(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.script(PHONE, Scripted(code=131009, details="devagar"))

    assert graph.send().json()["error"]["error_data"]["details"] == "devagar"


@pytest.mark.parametrize(
    ("scripted", "status", "body", "accepted"),
    [
        (Scripted(status=429), 429, "", False),
        (Scripted(status=500), 500, "", False),
        (
            Scripted(status=502, body="<html>Bad Gateway</html>"),
            502,
            "<html>Bad Gateway</html>",
            False,
        ),
        (Scripted(status=503, body="{}", accepted=True), 503, "{}", True),
        (Scripted(status=302, headers={"Location": "http://127.0.0.1:9/"}), 302, "", False),
        (Scripted(body='{"messages": ['), 200, '{"messages": [', True),
        (Scripted(body='{"messages": []}'), 200, '{"messages": []}', True),
        (Scripted(status=200), 200, "", True),
    ],
    ids=["429", "500", "502", "503 accepted", "302", "garbage", "no id", "empty 200"],
)
def test_any_body_can_be_scripted(
    sandbox: Sandbox, graph: Graph, scripted: Scripted, status: int, body: str, accepted: bool
) -> None:
    sandbox.script(PHONE, scripted)

    answer = graph.send(allow_redirects=False)

    assert (answer.status_code, answer.text) == (status, body)
    [received] = sandbox.received
    assert (received["status"], received["accepted"]) == (status, accepted)


def test_scripted_headers_are_sent(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.script(PHONE, Scripted(status=429, headers={"Retry-After": "7"}))

    assert graph.send().headers["Retry-After"] == "7"


def test_a_held_message_is_accepted_and_says_so(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.script(PHONE, Scripted(held=True))

    answer = graph.send()

    assert answer.json()["messages"][0]["message_status"] == "held_for_quality_assessment"
    assert sandbox.received[0]["accepted"]


def test_a_cut_connection_gives_no_answer_and_accepts_nothing(
    sandbox: Sandbox, graph: Graph
) -> None:
    sandbox.script(PHONE, Scripted(cut=True))

    with pytest.raises(requests.ConnectionError):
        graph.send()

    [received] = sandbox.received
    assert (received["accepted"], received["status"], received["wamid"]) == (False, None, None)
    assert graph.send().status_code == 200


def test_a_connection_cut_after_accepting_leaves_an_accepted_message(
    sandbox: Sandbox, graph: Graph
) -> None:
    sandbox.script(PHONE, Scripted(cut=True, accepted=True))

    with pytest.raises(requests.ConnectionError):
        graph.send()

    [received] = sandbox.received
    assert (received["accepted"], received["status"]) == (True, None)
    assert received["wamid"] is not None


def test_a_slow_answer_outlives_a_clients_patience_and_is_accepted(
    sandbox: Sandbox, graph: Graph
) -> None:
    sandbox.script(PHONE, Scripted(delay_s=60))

    with pytest.raises(requests.ReadTimeout):
        graph.session.post(
            f"{graph.url}/v25.0/{PHONE_NUMBER_ID}/messages", json=reminder(), timeout=(30, 0.05)
        )

    wait_until(lambda: len(sandbox.received) == 1)
    assert [m["accepted"] for m in sandbox.received] == [True]
    assert graph.send().status_code == 200


def test_a_slow_answer_holds_nobody_else_up(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.script(PHONE, Scripted(delay_s=60))
    with pytest.raises(requests.ReadTimeout):
        graph.session.post(
            f"{graph.url}/v25.0/{PHONE_NUMBER_ID}/messages", json=reminder(), timeout=(30, 0.05)
        )

    assert graph.send(reminder(to=OTHER_PHONE)).status_code == 200


def test_every_answer_can_be_slowed(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.latency_s = 0.1

    started = time.monotonic()
    graph.send()
    graph.get(PHONE_NUMBER_ID)

    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize(
    "target", ["/message_templates", "GET /message_templates", f"/{WABA_ID}/message_templates"]
)
def test_a_path_can_be_scripted(sandbox: Sandbox, graph: Graph, target: str) -> None:
    sandbox.script(target, Scripted(code=80008), Scripted(status=502, body="<html>"))

    answers = [graph.templates() for _ in range(3)]

    assert error_of(answers[0]) == (400, 80008, None)
    assert (answers[1].status_code, answers[1].text) == (502, "<html>")
    assert answers[2].status_code == 200


def test_a_path_can_be_scripted_for_one_method(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.script("POST /message_templates", Scripted(code=80008))

    assert graph.templates().status_code == 200
    assert error_of(graph.create({}))[1] == 80008


def test_a_scripted_path_only_slowed_answers_as_always(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.script("/debug_token", Scripted(delay_s=0.05), Scripted(delay_s=0.05))

    assert graph.get("debug_token", input_token="x").status_code == 200
    assert error_of(graph.get("debug_token"))[1] == 100


def test_scripted_paths_come_before_the_token_and_are_recorded_for_messages(
    sandbox: Sandbox, graph: Graph
) -> None:
    sandbox.script("/messages", Scripted(status=502, body="<html>"))

    answer = graph.send(headers={"Authorization": None})

    assert answer.status_code == 502
    [received] = sandbox.received
    assert (received["to"], received["accepted"], received["status"]) == (PHONE, False, 502)


def test_a_new_script_replaces_the_old_one_and_an_empty_one_removes_it(
    sandbox: Sandbox, graph: Graph
) -> None:
    sandbox.script(PHONE, Scripted(code=1), repeat_last=True)
    sandbox.script(PHONE, Scripted(code=131026))

    assert error_of(graph.send())[1] == 131026
    assert graph.send().status_code == 200

    sandbox.script(PHONE, Scripted(code=1), repeat_last=True)
    sandbox.script(PHONE)

    assert graph.send().status_code == 200


@pytest.mark.parametrize("target", ["", "everyone", "messages/", "get /messages"])
def test_a_target_that_is_nothing_is_refused(sandbox: Sandbox, target: str) -> None:
    with pytest.raises(ValueError, match="target"):
        sandbox.script(target, Scripted(code=1))


def test_scripts_can_be_set_listed_and_cleared_over_http(graph: Graph) -> None:
    script = {"target": PHONE, "answers": [{"code": 131056}, {"delay_s": 0}], "repeat_last": True}

    answer = graph.control("POST", "sandbox/script", data=json.dumps(script))

    assert answer.status_code == 200
    assert error_of(graph.send())[1] == 131056
    assert graph.control("GET", "sandbox/script").json() == [
        {"target": "5511987654321", "answers": [{}], "repeat_last": True}
    ]
    graph.control("DELETE", "sandbox/script")
    assert graph.control("GET", "sandbox/script").json() == []


@pytest.mark.parametrize(
    "script",
    [
        None,
        [],
        {},
        {"target": PHONE},
        {"target": PHONE, "answers": []},
        {"target": PHONE, "answers": [131056]},
        {"target": PHONE, "answers": [{"kode": 131056}]},
        {"target": PHONE, "answers": [{"code": "131056"}]},
        {"target": PHONE, "answers": [{"code": True}]},
        {"target": PHONE, "answers": [{"cut": 1}]},
        {"target": 5511987654321, "answers": [{}]},
        {"target": "everyone", "answers": [{}]},
    ],
)
def test_a_script_that_makes_no_sense_is_refused_and_changes_nothing(
    graph: Graph, script: object
) -> None:
    answer = graph.control("POST", "sandbox/script", json=script)

    assert answer.status_code == 400
    assert answer.json()["error"]
    assert graph.control("GET", "sandbox/script").json() == []


def test_what_was_received_is_listed_counted_and_forgotten_over_http(
    sandbox: Sandbox, graph: Graph
) -> None:
    message = reminder(biz_opaque_callback_data="7")
    graph.send(message)
    graph.send(message)
    graph.send(reminder(to="?"))

    assert graph.control("GET", "sandbox/messages").json() == sandbox.received
    assert graph.control("GET", "sandbox/stats").json() == {
        "received": 3,
        "accepted": 2,
        "duplicate_callback_data": 1,
        "duplicate_messages": 1,
    }

    graph.control("DELETE", "sandbox/messages")

    assert graph.control("GET", "sandbox/messages").json() == []
    assert graph.control("GET", "sandbox/stats").json()["received"] == 0
