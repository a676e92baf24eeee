"""The sandbox posts what becomes of messages, signed and shaped as Meta does."""

import itertools
import time
from collections import Counter

import pytest

from smartia_jobs.errors import ConfigurationError
from smartia_jobs.sandbox import PHONE_NUMBER_ID, WABA_ID, Sandbox, Scripted
from tests.sandbox.graph import PHONE, Graph, error_of, reminder
from tests.sandbox.receiver import APP_SECRET, Receiver, receiving

OTHER_PHONE = "+5541987654321"  # WhatsApp's own id of it has no ninth digit


def settle(sandbox: Sandbox) -> None:
    """Wait until everything has been posted or dropped."""
    assert sandbox.webhook.wait_until_idle(30)


def test_the_handshake_is_played_before_anything_is_posted(
    sandbox: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    with pytest.raises(ConfigurationError, match="META_VERIFY_TOKEN"):
        sandbox.subscribe(receiver.url, app_secret=APP_SECRET, verify_token="another")
    receiver.challenge = "welcome"
    with pytest.raises(ConfigurationError, match="challenge"):
        sandbox.subscribe(receiver.url, app_secret=APP_SECRET, verify_token="made-up-token")

    graph.send()
    settle(sandbox)

    assert receiver.bodies == []
    assert graph.control("GET", "sandbox/webhook").json()["url"] is None


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("http://127.0.0.1:9/webhook", "start it first"),
        ("https://webhook.invalid/webhook", "this machine"),
        ("http://192.0.2.1/webhook", "this machine"),
        ("nonsense", "this machine"),
        ("http://127.0.0.1:99999/webhook", "this machine"),
        ("http://127.0.0.1:8080/web hook", "this machine"),
        ("http://127.0.0.1:8080@webhook.invalid/", "this machine"),
    ],
)
def test_a_webhook_that_is_not_there_or_not_here_is_refused(
    sandbox: Sandbox, url: str, named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named):
        sandbox.subscribe(url, app_secret=APP_SECRET, verify_token="made-up-token")


def test_an_accepted_message_is_sent_delivered_and_read(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    sent = graph.send(reminder(to=OTHER_PHONE, biz_opaque_callback_data="a:1:1")).json()
    settle(subscribed)

    first, second, third = receiver.values
    [status] = first["statuses"]
    user_id = status.pop("recipient_user_id")
    assert abs(int(status.pop("timestamp")) - time.time()) < 60
    assert status == {
        "id": sent["messages"][0]["id"],
        "status": "sent",
        "recipient_id": "554187654321",
        "biz_opaque_callback_data": "a:1:1",
        "pricing": {
            "billable": True,
            "pricing_model": "PMP",
            "type": "regular",
            "category": "utility",
        },
    }
    assert first["metadata"] == {
        "display_phone_number": "551130000000",
        "phone_number_id": PHONE_NUMBER_ID,
    }
    assert first["contacts"] == [
        {"profile": {"name": "Paciente"}, "wa_id": "554187654321", "user_id": user_id}
    ]
    words = [value["statuses"][0]["status"] for value in (second, third)]
    assert words == ["delivered", "read"]
    assert "pricing" not in third["statuses"][0]
    assert receiver.payloads[0]["object"] == "whatsapp_business_account"
    assert receiver.payloads[0]["entry"][0]["id"] == WABA_ID
    assert receiver.forged == 0


def test_a_refused_message_has_no_statuses(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    assert error_of(graph.send(reminder(template="nunca_vi")))[1] == 132001
    subscribed.script(PHONE, Scripted(code=131056))
    graph.send()
    settle(subscribed)

    assert receiver.bodies == []


def test_a_failure_has_its_code_and_names_no_person(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    subscribed.script(PHONE, Scripted(statuses=("sent", "failed"), failure=131049))

    graph.send()
    settle(subscribed)

    [value] = [value for value in receiver.values if "errors" in value["statuses"][0]]
    [failed] = value["statuses"]
    assert "contacts" not in value
    assert failed["status"] == "failed"
    assert "recipient_user_id" not in failed
    assert failed["recipient_id"] == "5511987654321"
    [error] = failed["errors"]
    assert error["code"] == 131049
    assert error["title"] == error["message"] != ""
    assert set(error) == {"code", "title", "message", "error_data", "href"}


def test_a_connection_cut_after_accepting_is_followed_by_statuses(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    subscribed.script(PHONE, Scripted(delay_s=0.5, statuses=("read",)))

    began_at = time.monotonic()
    graph.send()
    answered_after_s = time.monotonic() - began_at

    assert [status["status"] for status in receiver.statuses] == ["read"]  # before the answer
    assert receiver.statuses[0]["pricing"]["category"] == "utility"  # no delivered will come
    assert answered_after_s >= 0.5


def test_a_script_chooses_order_duplicates_and_silence(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    subscribed.script(
        PHONE,
        Scripted(statuses=("read", "delivered", "delivered", "sent")),
        Scripted(statuses=()),
        Scripted(held=True),
        Scripted(failure=131026),
    )

    for _ in range(4):
        graph.send()
    settle(subscribed)

    words = [status["status"] for status in receiver.statuses]
    assert words == ["read", "delivered", "delivered", "sent", "failed"]
    assert receiver.statuses[1] == receiver.statuses[2]


def test_a_script_can_be_set_over_http_and_delays(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    answers = [{"statuses": ["sent", "delivered"], "statuses_delay_s": 0.2}]
    graph.control("POST", "sandbox/script", json={"target": PHONE, "answers": answers})

    graph.send()
    at_once = list(receiver.statuses)
    began_at = time.monotonic()
    settle(subscribed)

    assert at_once == []
    assert time.monotonic() - began_at > 0.3
    assert len(receiver.statuses) == 2


@pytest.mark.parametrize(
    "answer", [{"statuses": ["lost"]}, {"bundle": 0}, {"entries": -1}, {"statuses": "sent"}]
)
def test_a_script_of_statuses_that_makes_no_sense_is_refused(
    graph: Graph, answer: dict[str, object]
) -> None:
    refused = graph.control("POST", "sandbox/script", json={"target": "*", "answers": [answer]})

    assert refused.status_code == 400


def test_hundreds_of_statuses_come_in_one_post_of_several_entries(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    script = Scripted(statuses=("sent", "failed", "read"), bundle=300, entries=3)
    subscribed.script("*", script, repeat_last=True)

    for number in range(110):  # the last 30 statuses fill no bundle and go a moment later
        graph.send(reminder(to=f"+551198765{number:04}"))
    settle(subscribed)

    sizes = [sum(len(c["value"]["statuses"]) for e in p["entry"] for c in e["changes"])
             for p in receiver.payloads]  # fmt: skip
    assert sizes == [300, 30]
    assert [len(payload["entry"]) for payload in receiver.payloads] == [3, 3]
    by_word = Counter(status["status"] for status in receiver.statuses)
    assert by_word == {"sent": 110, "failed": 110, "read": 110}
    for value in receiver.values:
        assert ("contacts" in value) == (value["statuses"][0]["status"] != "failed")


def test_what_is_not_answered_with_200_is_posted_again_the_same(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    receiver.answers = [503, 0, 202]
    subscribed.script(PHONE, Scripted(statuses=("sent",)))

    graph.send()
    settle(subscribed)

    assert (receiver.refused, len(receiver.bodies)) == (3, 1)
    stats = subscribed.webhook.stats()
    assert (stats["posted"], stats["retried"], stats["dropped"]) == (1, 3, 0)


def test_a_post_that_fails_holds_no_other_up_and_is_dropped_in_the_end(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    subscribed.webhook.retry_after_s = (0.2, 0.2)
    receiver.answers = [500, *itertools.repeat(200, 2), 500, 500]

    graph.send()
    settle(subscribed)

    assert [status["status"] for status in receiver.statuses] == ["delivered", "read"]
    assert subscribed.webhook.stats() == {"posted": 2, "waiting": 0, "retried": 2, "dropped": 1}


def test_a_post_can_be_delivered_again(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    graph.send()
    settle(subscribed)

    subscribed.webhook.redeliver(2)
    settle(subscribed)

    assert receiver.bodies[3:] == receiver.bodies[1:3]


def test_another_webhook_can_take_the_place_of_the_first(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    graph.send()
    settle(subscribed)

    with receiving() as second:
        subscribed.subscribe(second.url, app_secret=APP_SECRET)
        graph.send()
        settle(subscribed)

        assert (len(receiver.bodies), len(second.bodies)) == (3, 3)


def test_closing_ends_posts_to_a_webhook_that_does_not_answer(
    sandbox: Sandbox, graph: Graph
) -> None:
    with Sandbox() as deaf:
        deaf.latency_s = 60
        sandbox.subscribe(f"{deaf.url}/webhook", app_secret=APP_SECRET)
        graph.send()
        time.sleep(0.1)

        began_at = time.monotonic()
        sandbox.close()

        assert time.monotonic() - began_at < 3


def test_the_number_names_the_webhook_in_force(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    answer = graph.get(PHONE_NUMBER_ID, fields="webhook_configuration").json()

    assert answer["webhook_configuration"] == {"application": receiver.url}
