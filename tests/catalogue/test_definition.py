"""What is registered at Meta, and how an approved template differs from the catalogue."""

import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from smartia_jobs.catalogue.definition import definition, differences, unseen_on_computers
from smartia_jobs.catalogue.loading import Button, MessageTemplate, load_catalogue

SHIPPED = load_catalogue(None)

TEMPLATE = MessageTemplate(
    kind="24h",
    name="lembrete_v1",
    language="pt_BR",
    category="UTILITY",
    body="Olá, {{paciente}}! Lembramos do seu horário marcado: {{data}}, até breve!",
    parameters={"paciente": "paciente", "data": "data"},
    without_name="boas-vindas",
    footer="Mensagem automática",
    buttons=(
        Button("quick_reply", "Confirmar", payload="confirmar:{{id}}"),
        Button("url", "Como chegar", url="https://clinica.example/mapa"),
    ),
    call_button="Ligar",
    time_to_live=timedelta(hours=6),
)


def registered(template: MessageTemplate = TEMPLATE, phone: str | None = "+551130000000") -> Any:
    return definition(template, clinic_name="Clínica Aurora", clinic_phone=phone)


def test_a_definition_is_what_meta_wants() -> None:
    assert registered() == {
        "name": "lembrete_v1",
        "language": "pt_BR",
        "category": "UTILITY",
        "parameter_format": "NAMED",
        "message_send_ttl_seconds": 21600,
        "components": [
            {
                "type": "BODY",
                "text": TEMPLATE.body,
                "example": {
                    "body_text_named_params": [
                        {"param_name": "paciente", "example": "Marina"},
                        {"param_name": "data", "example": "segunda-feira, 23 de novembro"},
                    ]
                },
            },
            {"type": "FOOTER", "text": "Mensagem automática"},
            {
                "type": "BUTTONS",
                "buttons": [
                    {"type": "QUICK_REPLY", "text": "Confirmar"},
                    {
                        "type": "URL",
                        "text": "Como chegar",
                        "url": "https://clinica.example/mapa",
                    },
                    {"type": "PHONE_NUMBER", "text": "Ligar", "phone_number": "+551130000000"},
                ],
            },
        ],
    }


def test_numbered_parameters_have_examples_in_a_list_of_lists() -> None:
    template = replace(
        TEMPLATE,
        named=False,
        body="Olá, {{1}}! Lembramos do seu horário marcado: {{2}}, até breve!",
        parameters={"1": "paciente", "2": "hora"},
    )

    body = registered(template)["components"][0]

    assert registered(template)["parameter_format"] == "POSITIONAL"
    assert body["example"] == {"body_text": [["Marina", "14:30"]]}


def test_what_is_not_there_is_left_out() -> None:
    template = replace(
        TEMPLATE, body="Até breve!", parameters={}, footer=None, buttons=(), time_to_live=None
    )

    assert registered(template, phone=None)["components"] == [
        {"type": "BODY", "text": "Até breve!"}
    ]
    assert "message_send_ttl_seconds" not in registered(template)


def test_a_call_button_is_registered_only_when_the_clinic_has_a_phone() -> None:
    with_phone = registered(SHIPPED["no_show"])["components"]
    without = registered(SHIPPED["no_show"], phone=None)["components"]

    assert [c["type"] for c in with_phone] == ["BODY", "BUTTONS"]
    assert [c["type"] for c in without] == ["BODY"]


def test_what_asks_is_registered_with_quick_replies_alone_and_shows_the_phone_by_example() -> None:
    body, buttons = registered(SHIPPED["24h"])["components"]

    assert buttons["buttons"] == [
        {"type": "QUICK_REPLY", "text": "Confirmar presença"},
        {"type": "QUICK_REPLY", "text": "Não poderei ir"},
    ]
    assert {"param_name": "contato", "example": "pelo telefone (11) 3000-0000"} in body["example"][
        "body_text_named_params"
    ]


@pytest.mark.parametrize(
    ("kinds", "unseen"),
    [
        ("QUICK_REPLY QUICK_REPLY", None),
        ("QUICK_REPLY QUICK_REPLY QUICK_REPLY", None),
        ("PHONE_NUMBER URL", None),
        ("", None),
        ("QUICK_REPLY PHONE_NUMBER", "a call or link button beside quick replies"),
        ("URL QUICK_REPLY QUICK_REPLY", "a call or link button beside quick replies"),
        ("QUICK_REPLY QUICK_REPLY QUICK_REPLY QUICK_REPLY", "more than 3 buttons"),
    ],
)
def test_buttons_that_hide_a_message_on_computers_are_known(kinds: str, unseen: str | None) -> None:
    buttons = [{"type": kind, "text": "x"} for kind in kinds.split()]

    found = unseen_on_computers({"components": [{"type": "BUTTONS", "buttons": buttons}]})

    assert (found is None) is (unseen is None)
    assert (unseen or "") in (found or "")


def test_no_shipped_message_is_hidden_on_computers() -> None:
    unseen = [unseen_on_computers(registered(one)) for one in SHIPPED.templates.values()]

    assert unseen == [None] * 5


def metas(**changes: Any) -> dict[str, Any]:
    """Return the template as Meta would list it, with some top-level fields changed."""
    listed: dict[str, Any] = copy.deepcopy(registered())
    listed |= {"id": "5550001", "status": "APPROVED", "quality_score": {"score": "GREEN"}}
    listed["components"][0].pop("example")
    return listed | changes


def changed(component: int, **changes: Any) -> dict[str, Any]:
    listed = metas()
    listed["components"][component] |= changes
    return listed


def test_what_meta_approved_as_it_was_submitted_does_not_differ() -> None:
    assert differences(registered(), metas()) == []


def test_line_ends_and_the_writing_of_a_phone_are_no_difference() -> None:
    template = replace(TEMPLATE, body=TEMPLATE.body.replace("! ", "!\n\n"))
    listed = metas()
    listed["components"][0]["text"] = template.body.replace("\n", "\r\n") + "\r\n"
    listed["components"][2]["buttons"][2]["phone_number"] = "+55 11 3000-0000"

    assert differences(registered(template), listed) == []


def test_a_category_that_meta_changed_is_told() -> None:
    assert differences(registered(), metas(category="MARKETING")) == [
        "category: we ask for UTILITY, WhatsApp has MARKETING"
    ]


def test_a_changed_text_is_told_from_where_it_parts() -> None:
    text = TEMPLATE.body.replace("Lembramos do seu", "Lembramos de um")

    assert differences(registered(), changed(0, text=text)) == [
        "text: from character 30 on the catalogue has “do seu horário marcado: {{data}}, até br”, "
        "WhatsApp has “de um horário marcado: {{data}}, até bre”"
    ]


def test_a_text_that_goes_on_is_told() -> None:
    (difference,) = differences(registered(), changed(0, text=TEMPLATE.body + " Abraços!"))

    assert difference.endswith("has “breve!”, WhatsApp has “breve! Abraços!”")


def test_other_variables_are_told_before_the_text() -> None:
    text = TEMPLATE.body.replace("{{data}}", "{{hora}} de {{dia}}")

    found = differences(registered(), changed(0, text=text))

    assert found[0] == (
        "variables: the catalogue has data, paciente, WhatsApp has dia, hora, paciente"
    )
    assert found[1].startswith("text: ")


def test_a_header_of_metas_is_told() -> None:
    listed = metas()
    listed["components"].insert(0, {"type": "HEADER", "format": "IMAGE"})

    assert differences(registered(), listed) == [
        "header: WhatsApp has one (IMAGE), the catalogue has none"
    ]


def test_another_footer_is_told() -> None:
    listed = metas()
    del listed["components"][1]

    assert differences(registered(), listed) == [
        "footer: the catalogue has “Mensagem automática”, WhatsApp none"
    ]


def test_other_buttons_are_told() -> None:
    assert differences(registered(phone=None), metas()) == [
        "buttons: the catalogue has quick reply “Confirmar”, url “Como chegar” to "
        "https://clinica.example/mapa, WhatsApp has quick reply “Confirmar”, url “Como chegar” to "
        "https://clinica.example/mapa, phone number “Ligar” to 551130000000"
    ]


def test_a_template_without_components_differs_in_everything() -> None:
    found = differences(registered(), {"name": "lembrete_v1", "category": "UTILITY"})

    assert [each.split(":")[0] for each in found] == ["variables", "text", "footer", "buttons"]
