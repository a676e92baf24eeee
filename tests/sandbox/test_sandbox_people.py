"""Patients answer and Meta tells things; each is a signed post to the webhook."""

from datetime import timedelta
from typing import Any

import pytest

from smartia_jobs.sandbox import PHONE_NUMBER_ID, Sandbox
from tests.sandbox.graph import PHONE, Graph, error_of, reminder
from tests.sandbox.receiver import Receiver

BUTTON = {
    "type": "button",
    "sub_type": "quick_reply",
    "index": "0",
    "parameters": [{"type": "payload", "payload": "confirm:a:1"}],
}
LINK = {
    "type": "button",
    "sub_type": "url",
    "index": "1",
    "parameters": [{"type": "text", "text": "abc"}],
}
CLINIC = "551130000000"


def ask(graph: Graph, *components: object, to: str = PHONE) -> str:
    """Send a message with a quick reply and return its id."""
    sent = graph.send(reminder(to=to, template="botoes", components=[*components, LINK]))
    return str(sent.json()["messages"][0]["id"])


def free_text(to: str = PHONE, body: object = "Até lá!", **fields: object) -> dict[str, object]:
    """Return a message of free text."""
    text = {"preview_url": False, "body": body}
    return {"messaging_product": "whatsapp", "to": to, "type": "text", "text": text, **fields}


def heard(sandbox: Sandbox, receiver: Receiver) -> list[dict[str, Any]]:
    """Return what people did so far."""
    assert sandbox.webhook.wait_until_idle(30)
    return receiver.messages


def test_a_tap_carries_the_payload_that_was_sent_or_else_the_label(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    patient = subscribed.person(PHONE, name="Mariana Conceição")

    with_payload, without = ask(graph, BUTTON), ask(graph)
    ids = [patient.tap("Confirmar", message=with_payload), patient.tap()]

    first, second = heard(subscribed, receiver)
    assert [first["id"], second["id"]] == ids
    assert first["type"] == "button"
    assert first["button"] == {"payload": "confirm:a:1", "text": "Confirmar"}
    assert second["button"] == {"payload": "Confirmar", "text": "Confirmar"}
    assert first["context"] == {"from": CLINIC, "id": with_payload}
    assert second["context"]["id"] == without
    assert first["from"] == "5511987654321"
    assert first["timestamp"].isdigit()
    [value] = [value for value in receiver.values if first in value.get("messages", ())]
    assert value["contacts"][0]["profile"] == {"name": "Mariana Conceição"}
    assert value["contacts"][0]["user_id"] == first["from_user_id"]
    assert value["metadata"]["phone_number_id"] == PHONE_NUMBER_ID


def test_what_is_not_ascii_is_written_as_escapes(subscribed: Sandbox, receiver: Receiver) -> None:
    subscribed.person(PHONE).write("Não vou 👍")

    [message] = heard(subscribed, receiver)
    assert message["text"] == {"body": "Não vou 👍"}
    assert rb"N\u00e3o vou \ud83d\udc4d" in receiver.bodies[0]
    assert receiver.forged == 0


def test_people_write_quote_react_and_speak(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    older, newer = ask(graph), ask(graph)
    patient = subscribed.person(PHONE)

    patient.write("Bom dia")
    patient.quote("Sim")
    patient.quote("Não", message=older)
    patient.react("👍")
    patient.take_reaction_back()
    patient.speak()
    patient.send("unsupported", {"type": "edit"})

    text, quote, older_quote, reaction, taken_back, voice, edit = heard(subscribed, receiver)
    assert "context" not in text
    assert quote["context"] == {"from": CLINIC, "id": newer}
    assert older_quote["context"]["id"] == older
    assert reaction["reaction"] == {"message_id": newer, "emoji": "👍"}
    assert taken_back["reaction"] == {"message_id": newer}
    assert (voice["type"], voice["audio"]["voice"]) == ("audio", True)
    assert (edit["type"], edit["unsupported"]) == ("unsupported", {"type": "edit"})


def test_a_phone_may_lack_its_ninth_digit_or_be_hidden_altogether(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    ask(graph)

    subscribed.person(PHONE, ninth_digit=False).tap()
    subscribed.person("+5541987654321", ninth_digit=True).write("Oi")
    subscribed.person("+5541987654321").write("Oi")
    subscribed.person(PHONE, hidden=True).tap()

    short, kept, usual, hidden = heard(subscribed, receiver)
    assert [m["from"] for m in (short, kept, usual)] == [
        "551187654321",
        "5541987654321",
        "554187654321",
    ]
    assert "from" not in hidden
    assert hidden["from_user_id"] == short["from_user_id"] != kept["from_user_id"]
    [value] = [value for value in receiver.values if hidden in value.get("messages", ())]
    assert set(value["contacts"][0]) == {"profile", "user_id"}


def test_a_person_takes_another_number_and_goes_on_from_there(
    subscribed: Sandbox, receiver: Receiver
) -> None:
    patient = subscribed.person(PHONE)

    patient.change_number("+5511912345678")
    patient.write("Sou eu")

    changed, written = heard(subscribed, receiver)
    assert (changed["type"], changed["from"]) == ("system", "5511987654321")
    system = changed["system"]
    assert (system["type"], system["wa_id"]) == ("user_changed_number", "5511912345678")
    assert system["previous_user_id"] == changed["from_user_id"]
    assert (written["from"], written["from_user_id"]) == ("5511912345678", system["user_id"])
    assert "contacts" not in receiver.values[0]


def test_who_stops_marketing_gets_none_until_it_is_resumed(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    invitation = reminder(
        template="convite",
        components=[
            {"type": "header", "parameters": [{"type": "text", "text": "Ana"}]},
            {"type": "body", "parameters": [{"type": "text", "text": "x"}] * 2},
        ],
    )
    patient = subscribed.person(PHONE)

    patient.stop_marketing()
    graph.send(invitation)
    graph.send()
    patient.resume_marketing()
    graph.send(invitation)

    assert heard(subscribed, receiver) == []
    words = [status["status"] for status in receiver.statuses]
    assert words == ["failed", *["sent", "delivered", "read"] * 2]
    assert receiver.statuses[0]["errors"][0]["code"] == 131050
    told = [value["user_preferences"] for value in receiver.values if "user_preferences" in value]
    assert [preference["value"] for [preference] in told] == ["stop", "resume"]
    assert told[0][0]["wa_id"] == "5511987654321"
    assert told[0][0]["category"] == "marketing_messages"
    assert isinstance(told[0][0]["timestamp"], int)
    assert receiver.payloads[0]["entry"][0]["changes"][0]["field"] == "user_preferences"


def test_free_text_is_taken_for_a_day_after_somebody_wrote(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    assert error_of(graph.send(free_text())) == (400, 131047, None)

    written = subscribed.person(PHONE, ninth_digit=False).write("Sim")
    context = {"message_id": written}
    answered = graph.send(free_text(context=context, biz_opaque_callback_data="reply:1"))
    other = graph.send(free_text(to="+5541987654321"))
    subscribed.clock_offset = timedelta(hours=24, seconds=1)
    too_late = graph.send(free_text())

    assert answered.status_code == 200
    assert [error_of(refused)[1] for refused in (other, too_late)] == [131047, 131047]
    [accepted] = [one for one in subscribed.received if one["accepted"]]
    assert accepted["wamid"] == answered.json()["messages"][0]["id"]
    assert (accepted["type"], accepted["text"]) == ("text", "Até lá!")
    assert (accepted["context_id"], accepted["template"]) == (written, None)
    assert heard(subscribed, receiver) != []
    assert {status["pricing"]["category"] for status in receiver.statuses[:2]} == {"service"}
    assert receiver.statuses[0]["biz_opaque_callback_data"] == "reply:1"


@pytest.mark.parametrize(
    "message",
    [
        free_text(body=None),
        free_text(body=" "),
        free_text(body="x" * 4097),
        free_text(text={"body": "x", "preview_url": "no"}),
        free_text(context={}),
        free_text(context="wamid.X"),
    ],
)
def test_free_text_that_meta_would_not_take_is_refused(
    sandbox: Sandbox, graph: Graph, message: dict[str, object]
) -> None:
    sandbox.person(PHONE).write("Oi")

    assert error_of(graph.send(message)) == (400, 100, None)
    assert graph.send(free_text(body="x" * 4096)).status_code == 200


def test_a_template_is_paused_and_reinstated_and_meta_tells_it(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    subscribed.notices.template("lembrete", "pt_BR", "PAUSED")
    paused = graph.send()
    subscribed.notices.template("lembrete", "pt_BR", "REINSTATED")

    assert error_of(paused)[1] == 132015
    assert graph.send().status_code == 200
    heard(subscribed, receiver)
    change = receiver.payloads[0]["entry"][0]["changes"][0]
    assert change["field"] == "message_template_status_update"
    assert change["value"] == {
        "event": "PAUSED",
        "message_template_id": 300000000000001,
        "message_template_name": "lembrete",
        "message_template_language": "pt-BR",
        "message_template_category": "UTILITY",
        "reason": "NONE",
        "other_info": {
            "title": "FIRST_PAUSE",
            "description": "Paused for low quality for 3 hours.",
        },
    }
    assert isinstance(receiver.payloads[0]["entry"][0]["time"], int)


def test_a_category_is_announced_and_changed(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    subscribed.notices.category("lembrete", "pt_BR", "MARKETING", impending=True)
    subscribed.notices.category("lembrete", "pt_BR", "MARKETING")

    heard(subscribed, receiver)
    announced, changed = receiver.values
    assert (announced["correct_category"], announced["new_category"]) == ("MARKETING", "UTILITY")
    assert (changed["previous_category"], changed["new_category"]) == ("UTILITY", "MARKETING")
    node = graph.templates(name="lembrete", fields="category,previous_category").json()["data"][0]
    assert (node["category"], node["previous_category"]) == ("MARKETING", "UTILITY")


def test_people_and_meta_act_over_http_too(
    subscribed: Sandbox, graph: Graph, receiver: Receiver
) -> None:
    ask(graph, BUTTON)
    person = {"phone": PHONE, "name": "Ana", "ninth_digit": False}

    tapped = graph.control("POST", "sandbox/people", json={**person, "does": "tap", "button": 0})
    for does in (
        {"does": "write", "text": "Oi"},
        {"does": "quote", "text": "Sim"},
        {"does": "react", "emoji": "👍"},
        {"does": "take_reaction_back"},
        {"does": "speak"},
        {"does": "stop_marketing"},
        {"does": "change_number", "new_phone": "+5511912345678"},
    ):
        assert graph.control("POST", "sandbox/people", json={**person, **does}).status_code == 200
    for notice in (
        {"template": "lembrete", "event": "PAUSED"},
        {"template": "lembrete", "category": "MARKETING", "impending": True},
        {"event": "ACCOUNT_RESTRICTION"},
    ):
        assert graph.control("POST", "sandbox/notices", json=notice).status_code == 200

    kinds = [message["type"] for message in heard(subscribed, receiver)]
    assert kinds == ["button", "text", "text", "reaction", "reaction", "audio", "system"]
    assert tapped.json() == {"webhook": receiver.url, "id": receiver.messages[0]["id"]}
    assert receiver.messages[0]["from"] == "551187654321"
    fields = [p["entry"][0]["changes"][0]["field"] for p in receiver.payloads[-3:]]
    assert fields == [
        "message_template_status_update",
        "template_category_update",
        "account_update",
    ]
    assert graph.control("GET", "sandbox/webhook").json()["posted"] == len(receiver.bodies)


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("people", {"does": "tap"}, "phone"),
        ("people", {"phone": "nobody", "does": "write", "text": "x"}, "country code"),
        ("people", {"phone": PHONE, "does": "sing"}, "does"),
        ("people", {"phone": PHONE, "does": "tap"}, "no message"),
        ("people", {"phone": PHONE, "does": "react", "emoji": "👍"}, "nothing was sent"),
        ("people", {"phone": PHONE, "does": "write"}, "text"),
        ("people", {"phone": PHONE, "does": "write", "text": 1}, "text"),
        ("people", {"phone": PHONE, "does": "speak", "hidden": "yes"}, "hidden"),
        ("notices", {}, "event"),
        ("notices", {"template": "nunca_vi", "event": "PAUSED"}, "nunca_vi"),
    ],
)
def test_what_makes_no_sense_is_refused_and_posts_nothing(
    subscribed: Sandbox,
    graph: Graph,
    receiver: Receiver,
    path: str,
    body: dict[str, object],
    named: str,
) -> None:
    refused = graph.control("POST", f"sandbox/{path}", json=body)

    assert refused.status_code == 400
    assert named in refused.json()["error"]
    assert heard(subscribed, receiver) == []


def test_a_button_that_is_not_there_is_told_from_those_that_are(
    sandbox: Sandbox, graph: Graph
) -> None:
    ask(graph)

    with pytest.raises(ValueError, match="Confirmar"):
        sandbox.person(PHONE).tap("Cancelar")
    with pytest.raises(ValueError, match="no message"):
        sandbox.person("+5511912345678").tap()
