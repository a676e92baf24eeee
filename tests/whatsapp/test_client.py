"""Sending one message: what is posted, and what its answer becomes."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import responses

from smartia_jobs.errors import ConfigurationError, ExitStatus
from smartia_jobs.message import Answer, CallbackData, Message, Phone, Verdict
from smartia_jobs.settings import Settings
from smartia_jobs.whatsapp.client import Client
from smartia_jobs.whatsapp.transport import Transport
from tests.whatsapp.loopback import after_request, hang_up, loopback
from tests.whatsapp.test_answers import graph_error
from tests.whatsapp.test_transport import free_port

TOKEN = "EAAGmadeUpToken123"
SETTINGS = Settings(meta_access_token=TOKEN, meta_phone_number_id="1055")
URL = "https://graph.facebook.com/v25.0/1055/messages"
PHONE = Phone(wire="+551187654321", canonical="+5511987654321")
CALLBACK = CallbackData("1a2b3c4d", 42, 1)
MESSAGE = Message(
    kind="24h",
    template="lembrete_24h",
    language="pt_BR",
    parameters={"paciente": "Marina", "dia": "terça-feira, 24 de novembro", "hora": "14:30"},
    named=True,
    text="Olá, Marina!",
)
ACCEPTED = {
    "messaging_product": "whatsapp",
    "contacts": [{"input": "+551187654321", "wa_id": "551187654321"}],
    "messages": [{"id": "wamid.A=", "message_status": "accepted"}],
}


@pytest.fixture
def meta() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client(SETTINGS, workers=2)
    yield client
    client.close()


def posted(meta: responses.RequestsMock) -> dict[str, Any]:
    body = meta.calls[0].request.body
    assert isinstance(body, bytes)
    loaded: dict[str, Any] = json.loads(body)
    return loaded


@pytest.mark.parametrize(
    ("header", "answered_at"),
    [
        ("Mon, 23 Nov 2026 12:00:05 GMT", datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC)),
        ("Mon, 23 Nov 2026 12:00:05 -0000", datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC)),
        ("Mon, 23 Nov 2026 09:00:05 -0300", datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC)),
        ("Fri, 31 Dec 9999 23:00:00 -0300", None),
        ("Mon, 23 Nov 2026 12:00:05 +9999999", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_an_answer_says_when_it_was_given_by_whatsapp_s_clock(
    meta: responses.RequestsMock, client: Client, header: str, answered_at: datetime | None
) -> None:
    meta.post(URL, json=ACCEPTED, headers={"Date": header})

    answer = client.send(PHONE, MESSAGE, callback=CALLBACK)

    assert (answer.verdict, answer.answered_at) == (Verdict.SENT, answered_at)


def test_a_message_is_posted_as_meta_wants_it(meta: responses.RequestsMock, client: Client) -> None:
    meta.post(URL, json=ACCEPTED)

    answer = client.send(PHONE, MESSAGE, callback=CALLBACK)

    assert answer == Answer(Verdict.SENT, message_id="wamid.A=")
    assert posted(meta) == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "+551187654321",
        "type": "template",
        "template": {
            "name": "lembrete_24h",
            "language": {"code": "pt_BR"},
            "components": [
                {
                    "type": "body",
                    "parameters": [
                        {"type": "text", "parameter_name": "paciente", "text": "Marina"},
                        {
                            "type": "text",
                            "parameter_name": "dia",
                            "text": "terça-feira, 24 de novembro",
                        },
                        {"type": "text", "parameter_name": "hora", "text": "14:30"},
                    ],
                }
            ],
        },
        "biz_opaque_callback_data": "1a2b3c4d:42:1",
    }


def test_a_word_back_is_free_text_that_quotes_the_answer(
    meta: responses.RequestsMock, client: Client
) -> None:
    meta.post(URL, json=ACCEPTED)
    word = Message("words_back", "confirmed", "", {}, False, "Combinado!", reply_to="wamid.IN1")

    answer = client.send(PHONE, word, callback=CALLBACK)

    assert answer.verdict is Verdict.SENT
    assert posted(meta) == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "+551187654321",
        "context": {"message_id": "wamid.IN1"},
        "type": "text",
        "text": {"preview_url": False, "body": "Combinado!"},
        "biz_opaque_callback_data": "1a2b3c4d:42:1",
    }


def test_a_word_back_quotes_nothing_where_whatsapp_s_id_of_the_answer_is_not_known(
    meta: responses.RequestsMock, client: Client
) -> None:
    meta.post(URL, json=ACCEPTED)
    word = Message("words_back", "confirmed", "", {}, False, "Combinado!", reply_to="")

    client.send(PHONE, word, callback=CALLBACK)

    assert posted(meta)["type"] == "text"
    assert "context" not in posted(meta)


def test_the_request_carries_the_token(meta: responses.RequestsMock, client: Client) -> None:
    meta.post(URL, json=ACCEPTED)

    client.send(PHONE, MESSAGE, callback=CALLBACK)

    request = meta.calls[0].request
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["Content-Type"] == "application/json"


def test_numbered_parameters_have_no_names(meta: responses.RequestsMock, client: Client) -> None:
    meta.post(URL, json=ACCEPTED)
    message = Message("2h", "t", "pt_BR", {"1": "Ana", "2": "9:00"}, named=False, text="")

    client.send(PHONE, message, callback=CALLBACK)

    assert posted(meta)["template"]["components"] == [
        {
            "type": "body",
            "parameters": [{"type": "text", "text": "Ana"}, {"type": "text", "text": "9:00"}],
        }
    ]


def test_a_template_without_variables_has_no_components(
    meta: responses.RequestsMock, client: Client
) -> None:
    meta.post(URL, json=ACCEPTED)

    client.send(PHONE, Message("2h", "t", "en_US", {}, named=True, text=""), callback=CALLBACK)

    assert posted(meta)["template"] == {"name": "t", "language": {"code": "en_US"}}


def test_a_tap_says_what_it_means_and_on_which_message_of_which_database(
    meta: responses.RequestsMock, client: Client
) -> None:
    meta.post(URL, json=ACCEPTED)
    message = Message(
        "2h", "t", "pt_BR", {}, named=True, text="", meanings={2: "cancel", 0: "confirm"}
    )

    client.send(PHONE, message, callback=CALLBACK)

    assert posted(meta)["template"]["components"] == [
        {
            "type": "button",
            "sub_type": "quick_reply",
            "index": index,
            "parameters": [{"type": "payload", "payload": payload}],
        }
        for index, payload in [("0", "confirm:1a2b3c4d:42"), ("2", "cancel:1a2b3c4d:42")]
    ]


def test_the_payload_for_a_clinics_own_bot_is_sent_as_the_clinic_wrote_it(
    meta: responses.RequestsMock, client: Client
) -> None:
    meta.post(URL, json=ACCEPTED)
    message = Message(
        "2h", "t", "pt_BR", {}, named=True, text="", meanings={1: "stop"}, payloads={0: "sim:7"}
    )

    client.send(PHONE, message, callback=CALLBACK)

    buttons = posted(meta)["template"]["components"]
    assert [(one["index"], one["parameters"][0]["payload"]) for one in buttons] == [
        ("0", "sim:7"),
        ("1", "stop:1a2b3c4d:42"),
    ]


@pytest.mark.parametrize("name", ["Zoë 🌻", 'a"b\\c', "\ud800", "\u2028"])
def test_any_text_is_sent_as_it_is(meta: responses.RequestsMock, client: Client, name: str) -> None:
    meta.post(URL, json=ACCEPTED)
    message = Message("2h", "t", "pt_BR", {"1": name}, named=False, text="")

    client.send(PHONE, message, callback=CALLBACK)

    assert posted(meta)["template"]["components"][0]["parameters"][0]["text"] == name


def test_an_error_of_graphs_comes_back_as_an_answer(
    meta: responses.RequestsMock, client: Client
) -> None:
    meta.post(URL, json=graph_error(132001), status=404)

    answer = client.send(PHONE, MESSAGE, callback=CALLBACK)

    assert (answer.verdict, answer.stop) == (Verdict.STOP, ExitStatus.CONFIGURATION)
    assert (answer.code, answer.from_graph) == (132001, True)


def test_headers_of_a_throttle_are_heeded(meta: responses.RequestsMock, client: Client) -> None:
    meta.post(URL, json=graph_error(130429), status=400, headers={"retry-after": "12"})

    assert client.send(PHONE, MESSAGE, callback=CALLBACK).wait_s == 12


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, "", Verdict.UNKNOWN),
        (200, "<html>", Verdict.UNKNOWN),
        (200, "{}", Verdict.UNKNOWN),
        (302, "", Verdict.RETRY),
        (407, "<html>", Verdict.RETRY),
        (429, "", Verdict.SLOW_DOWN),
        (502, "<html>", Verdict.UNKNOWN),
        (503, "", Verdict.UNKNOWN),
    ],
)
def test_an_answer_that_is_not_whatsapps_is_judged_by_its_kind(
    meta: responses.RequestsMock, client: Client, status: int, body: str, verdict: Verdict
) -> None:
    meta.post(URL, body=body, status=status)

    answer = client.send(PHONE, MESSAGE, callback=CALLBACK)

    assert (answer.verdict, answer.from_graph) == (verdict, False)


@pytest.mark.parametrize(
    "error",
    [
        requests.ReadTimeout(),
        requests.ConnectionError(),
        requests.exceptions.ChunkedEncodingError(),
        OSError(),
    ],
)
def test_a_break_after_the_request_leaves_it_unknown(
    meta: responses.RequestsMock, client: Client, error: Exception
) -> None:
    meta.post(URL, body=error)

    answer = client.send(PHONE, MESSAGE, callback=CALLBACK)

    assert (answer.verdict, answer.from_graph) == (Verdict.UNKNOWN, False)
    assert answer.reason


def test_a_refused_connection_may_be_tried_again() -> None:
    client = Client(
        Settings(
            meta_access_token=TOKEN,
            meta_phone_number_id="1055",
            meta_api_url=f"http://127.0.0.1:{free_port()}",
        ),
        workers=1,
    )

    answer = client.send(PHONE, MESSAGE, callback=CALLBACK)

    assert (answer.verdict, answer.from_graph) == (Verdict.RETRY, False)
    assert answer.reason
    client.close()


def test_a_client_over_a_given_transport_sends_through_it() -> None:
    with loopback(after_request(hang_up)) as server:
        settings = Settings(
            meta_access_token=TOKEN, meta_phone_number_id="10 55/..", meta_api_url=server.url
        )
        transport = Transport(settings, workers=1)
        answer = Client(settings, workers=1, transport=transport).send(
            PHONE, MESSAGE, callback=CALLBACK
        )
        transport.close()

    assert server.requests[0].startswith(b"POST /v25.0/10%2055%2F../messages HTTP/1.1")
    assert answer.verdict is Verdict.UNKNOWN


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Client(Settings(), workers=1)

    assert [problem.split()[0] for problem in caught.value.problems] == [
        "META_ACCESS_TOKEN",
        "META_PHONE_NUMBER_ID",
    ]


def test_the_client_does_not_show_its_token(client: Client) -> None:
    assert TOKEN not in repr(client) + repr(vars(client))
