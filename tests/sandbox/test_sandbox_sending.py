"""Messages are checked and answered as Meta would."""

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from smartia_jobs.sandbox import PHONE_NUMBER_ID, WABA_ID, Sandbox
from tests.sandbox.graph import PHONE, Graph, body, error_of, reminder, text

QUICK_REPLY = {
    "type": "button",
    "sub_type": "quick_reply",
    "index": "0",
    "parameters": [{"type": "payload", "payload": "CONFIRM:1"}],
}
URL_SUFFIX = {"type": "button", "sub_type": "url", "index": 1, "parameters": [text("r/7f")]}


def test_a_good_message_is_accepted_with_an_id_of_its_own(graph: Graph) -> None:
    first, second = graph.send(), graph.send()

    assert (first.status_code, second.status_code) == (200, 200)
    answer = first.json()
    assert answer["messaging_product"] == "whatsapp"
    assert answer["contacts"] == [{"input": PHONE, "wa_id": "5511987654321"}]
    assert answer["messages"][0]["message_status"] == "accepted"
    assert answer["messages"][0]["id"].startswith("wamid.")
    assert answer["messages"][0]["id"] != second.json()["messages"][0]["id"]


def test_an_accepted_message_is_recorded_as_the_patient_reads_it(
    sandbox: Sandbox, graph: Graph
) -> None:
    answer = graph.send(reminder(biz_opaque_callback_data="42")).json()

    [received] = sandbox.received
    assert received["text"] == "Olá Ana, lembramos sua consulta em 10/12 às 9:00. Até lá!"
    assert received["parameters"] == {"nome": "Ana", "quando": "10/12 às 9:00"}
    assert (received["to"], received["template"], received["language"]) == (
        PHONE,
        "lembrete",
        "pt_BR",
    )
    assert received["callback_data"] == "42"
    assert received["accepted"]
    assert (received["status"], received["code"]) == (200, None)
    assert received["wamid"] == answer["messages"][0]["id"]
    assert received["wa_id"] == answer["contacts"][0]["wa_id"]
    assert datetime.fromisoformat(received["at"]).utcoffset() == timedelta(0)


def test_a_refused_message_is_recorded_too(sandbox: Sandbox, graph: Graph) -> None:
    graph.send(reminder(template="nunca_vi", biz_opaque_callback_data="42"))

    [received] = sandbox.received
    assert not received["accepted"]
    assert (received["status"], received["code"]) == (404, 132001)
    assert (received["to"], received["callback_data"]) == (PHONE, "42")
    assert received["wamid"] is None
    assert received["text"] is None


@pytest.mark.parametrize(
    ("to", "wa_id"),
    [
        ("+5511987654321", "5511987654321"),
        ("5511987654321", "5511987654321"),
        ("+55 (31) 98765-4321", "553187654321"),
        ("+553187654321", "553187654321"),
        ("+5531 3333-4444", "553133334444"),
        ("+351912345678", "351912345678"),
    ],
)
def test_brazilian_ids_lose_the_ninth_digit_outside_sao_paulo_and_rio(
    graph: Graph, to: str, wa_id: str
) -> None:
    answer = graph.send(reminder(to=to))

    assert answer.json()["contacts"] == [{"input": to, "wa_id": wa_id}]


def test_the_message_id_holds_the_phone_as_at_meta(graph: Graph) -> None:
    wamid = graph.send().json()["messages"][0]["id"]

    assert b"5511987654321" in base64.b64decode(wamid.removeprefix("wamid."))


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Bearer a b", "Basic x"])
def test_a_missing_or_badly_shaped_token_is_refused(
    graph: Graph, authorization: str | None
) -> None:
    answer = graph.send(headers={"Authorization": authorization})

    assert error_of(answer) == (401, 190, None)


def test_an_expired_token_is_refused(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.account.refused_tokens.add("EAAtoken")

    answer = graph.send()

    assert error_of(answer) == (401, 190, 463)
    assert graph.send(headers={"Authorization": "Bearer other"}).status_code == 200


def test_a_token_without_the_permission_to_send_is_refused(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.account.scopes.remove("whatsapp_business_messaging")

    assert error_of(graph.send()) == (403, 10, None)


@pytest.mark.parametrize("node_id", ["123", WABA_ID, "5511987654321"])
def test_an_id_that_is_not_the_phone_numbers_does_not_exist(graph: Graph, node_id: str) -> None:
    answer = graph.post(f"{node_id}/messages", json=reminder())

    assert error_of(answer) == (400, 100, 33)
    assert answer.json()["error"]["type"] == "GraphMethodException"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b"to=%2B55", b"9" * 5000, b"[" * 100_000],
    ids=["empty", "broken", "list", "string", "not UTF-8", "form", "huge number", "deep"],
)
def test_a_body_that_is_no_json_object_is_refused(graph: Graph, data: bytes) -> None:
    answer = graph.send(data=data, headers={"Content-Type": "application/json"})

    assert error_of(answer) == (400, 100, None)
    assert graph.send().status_code == 200


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"messaging_product": "sms"}, 400, 100),
        ({"to": None}, 400, 131008),
        ({"to": ""}, 400, 131008),
        ({"to": 5511987654321}, 400, 100),
        ({"to": "987"}, 400, 131009),
        ({"to": "Ana"}, 400, 131009),
        ({"to": "+" + "9" * 16}, 400, 131009),
        ({"to": "٥٥١١٩٨٧٦٥٤٣٢١"}, 400, 131009),
        ({"recipient_type": "group"}, 400, 131009),
        ({"type": "text", "text": {"body": "oi"}}, 400, 131047),
        ({"type": "sticker"}, 400, 131051),
        ({"template": None}, 400, 131008),
        ({"template": "lembrete"}, 400, 131008),
        ({"template": {"name": "lembrete"}}, 400, 131008),
        ({"template": {"name": "lembrete", "language": "pt_BR"}}, 400, 131008),
        ({"template": {"name": 7, "language": {"code": "pt_BR"}}}, 400, 131009),
        ({"template": {"name": "lembrete", "language": {"code": "pt"}}}, 404, 132001),
        ({"template": {"name": "outro", "language": {"code": "pt_BR"}}}, 404, 132001),
        ({"biz_opaque_callback_data": "x" * 513}, 400, 100),
        ({"biz_opaque_callback_data": 42}, 400, 100),
    ],
)
def test_a_message_with_a_bad_field_gets_metas_code(
    graph: Graph, change: dict[str, object], status: int, code: int
) -> None:
    assert error_of(graph.send({**reminder(), **change}))[:2] == (status, code)


def test_callback_data_may_have_512_characters(sandbox: Sandbox, graph: Graph) -> None:
    answer = graph.send(reminder(biz_opaque_callback_data="x" * 512))

    assert answer.status_code == 200
    assert sandbox.received[0]["callback_data"] == "x" * 512


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("PAUSED", 132015),
        ("DISABLED", 132016),
        ("PENDING", 132001),
        ("REJECTED", 132001),
        ("ARCHIVED", 132001),
    ],
)
def test_only_an_approved_template_can_be_sent(
    sandbox: Sandbox, graph: Graph, status: str, code: int
) -> None:
    sandbox.templates.change("lembrete", "pt_BR", status=status)

    assert error_of(graph.send())[1] == code


NOME, QUANDO = text("Ana", "nome"), text("10/12", "quando")


@pytest.mark.parametrize(
    ("components", "code"),
    [
        ([], 132000),
        ([body()], 132000),
        ([body(NOME)], 132000),
        ([body(NOME, QUANDO, text("x", "mais"))], 132000),
        ([body(NOME, text("10/12", "hora"))], 132012),
        ([body(NOME, NOME)], 132012),
        ([body(text("Ana"), text("10/12"))], 100),
        ([body(text("Ana", ""), QUANDO)], 100),
        ([body(NOME, {"type": "currency", "parameter_name": "quando"})], 132012),
        ([body(NOME, {"type": "text", "parameter_name": "quando"})], 131008),
        ([body(NOME, text(None, "quando"))], 131009),
        ([body(NOME, text(10, "quando"))], 131009),
        ([body(NOME, text("", "quando"))], 131008),
        ([body(NOME, text("  ", "quando"))], 131008),
        ([body(NOME, text("10/12\n9:00", "quando"))], 132018),
        ([body(NOME, text("10/12\t9:00", "quando"))], 132018),
        ([body(NOME, text("10/12     9:00", "quando"))], 132018),
        ([body(NOME, text("x" * 1000, "quando"))], 132005),
        ([body(NOME, text("😀" * 500, "quando"))], 132005),
        ([body(NOME, QUANDO), body(NOME, QUANDO)], 100),
        ([body(NOME, QUANDO), {"type": "footer"}], 100),
        ([body(NOME, QUANDO), "?"], 100),
        ([body(NOME, QUANDO), {**QUICK_REPLY}], 132018),
    ],
)
def test_parameters_that_do_not_fit_a_named_template_get_metas_code(
    sandbox: Sandbox, graph: Graph, components: list[object], code: int
) -> None:
    answer = graph.send(reminder(components=components))

    assert error_of(answer)[1] == code
    assert not sandbox.received[0]["accepted"]


def test_named_parameters_may_come_in_any_order(sandbox: Sandbox, graph: Graph) -> None:
    answer = graph.send(reminder(components=[body(QUANDO, NOME)]))

    assert answer.status_code == 200
    assert sandbox.received[0]["text"] == "Olá Ana, lembramos sua consulta em 10/12. Até lá!"


def test_four_spaces_in_a_value_are_allowed(graph: Graph) -> None:
    answer = graph.send(reminder(components=[body(NOME, text("10/12    9:00", "quando"))]))

    assert answer.status_code == 200


HEADER = {"type": "header", "parameters": [text("Ana")]}


@pytest.mark.parametrize(
    ("components", "status", "code"),
    [
        ([HEADER, body(text("10/12"), text("9:00"))], 200, None),
        ([body(text("10/12"), text("9:00"))], 400, 132000),
        ([HEADER, body(text("10/12"))], 400, 132000),
        ([HEADER, body(text("10/12", "a"), text("9:00", "b"))], 400, 100),
        ([{**HEADER, "parameters": [text("A" * 60)]}, body(text("1"), text("2"))], 400, 132005),
    ],
)
def test_a_numbered_template_takes_its_header_and_body_in_order(
    sandbox: Sandbox, graph: Graph, components: list[object], status: int, code: int | None
) -> None:
    graph.send(reminder(template="convite", components=components))

    [received] = sandbox.received
    assert (received["status"], received["code"]) == (status, code)
    if status == 200:
        assert received["parameters"] == {"1": "10/12", "2": "9:00"}


@pytest.mark.parametrize(
    ("components", "status", "code"),
    [
        ([QUICK_REPLY, URL_SUFFIX], 200, None),
        ([URL_SUFFIX], 200, None),
        ([QUICK_REPLY], 400, 131008),
        ([URL_SUFFIX, {**QUICK_REPLY, "index": "7"}], 400, 132018),
        ([URL_SUFFIX, {**QUICK_REPLY, "sub_type": "url"}], 400, 132018),
        ([URL_SUFFIX, URL_SUFFIX], 400, 100),
        ([URL_SUFFIX, {**QUICK_REPLY, "parameters": []}], 400, 131009),
        ([{**URL_SUFFIX, "parameters": [text("")]}], 400, 131009),
    ],
)
def test_buttons_take_the_values_they_need(
    sandbox: Sandbox, graph: Graph, components: list[object], status: int, code: int | None
) -> None:
    graph.send(reminder(template="botoes", components=components))

    [received] = sandbox.received
    assert (received["status"], received["code"]) == (status, code)


def test_quick_reply_payloads_are_recorded(sandbox: Sandbox, graph: Graph) -> None:
    graph.send(reminder(template="botoes", components=[QUICK_REPLY, URL_SUFFIX]))

    assert sandbox.received[0]["payloads"]["0"] == "CONFIRM:1"


def test_the_app_secrets_proof_is_asked_for_when_there_is_a_secret(
    sandbox: Sandbox, graph: Graph
) -> None:
    sandbox.account.app_secret = "segredo"
    path = f"{PHONE_NUMBER_ID}/messages"
    # printf EAAtoken | openssl dgst -sha256 -hmac segredo
    right = "44c44a7e93726c4c63cbee3473d2fdc7a80ec802341a1f53de865813e2993ed8"

    without = graph.send()
    wrong = graph.post(f"{path}?appsecret_proof=00", json=reminder())
    good = graph.post(f"{path}?appsecret_proof={right}", json=reminder())

    assert error_of(without) == (400, 100, None)
    assert "appsecret_proof" in without.json()["error"]["message"]
    assert error_of(wrong) == (400, 100, None)
    assert good.status_code == 200


def test_many_clients_at_once_each_get_their_own_answer(sandbox: Sandbox, graph: Graph) -> None:
    def send_some(worker: int) -> list[str]:
        with Graph(sandbox.url) as client:
            answers = [
                client.send(
                    reminder(
                        to=f"+55119800{worker:02}{n:03}", biz_opaque_callback_data=f"{worker}/{n}"
                    )
                ).json()
                for n in range(10)
            ]
        return [f"{a['contacts'][0]['input']} {a['messages'][0]['id']}" for a in answers]

    with ThreadPoolExecutor(16) as pool:
        answered = [line for lines in pool.map(send_some, range(16)) for line in lines]

    received = sandbox.received
    assert sorted(answered) == sorted(f"{m['to']} {m['wamid']}" for m in received)
    assert len({m["wamid"] for m in received}) == 160
    assert graph.control("GET", "sandbox/stats").json() == {
        "received": 160,
        "accepted": 160,
        "duplicate_callback_data": 0,
        "duplicate_messages": 0,
    }
