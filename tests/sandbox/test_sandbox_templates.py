"""Templates are registered, refused and listed by Meta's rules."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from smartia_jobs.sandbox import WABA_ID, Sandbox
from smartia_jobs.sandbox.exchange import GraphError
from tests.sandbox.graph import BUTTONS, NAMED, NUMBERED, Graph, error_of

BODY: dict[str, Any] = {"type": "BODY", "text": "Sua consulta está marcada."}


def definition(name: str = "novo", **fields: object) -> dict[str, Any]:
    """Return a definition that is accepted, unless something is given otherwise."""
    return {
        "name": name,
        "language": "pt_BR",
        "category": "UTILITY",
        "components": [BODY],
        **fields,
    }


def body(text: str, *examples: str) -> dict[str, Any]:
    """Return a BODY with numbered variables."""
    component = {"type": "BODY", "text": text}
    return {**component, "example": {"body_text": [list(examples)]}} if examples else component


def buttons(*given: dict[str, Any]) -> dict[str, Any]:
    """Return a BUTTONS component."""
    return {"type": "BUTTONS", "buttons": list(given)}


REPLY = {"type": "QUICK_REPLY", "text": "Confirmar"}
CALL = {"type": "PHONE_NUMBER", "text": "Ligar", "phone_number": "+551130000000"}
LINK = {"type": "URL", "text": "Ver", "url": "https://clinica.example/"}


def test_a_new_template_is_pending_until_somebody_approves_it(
    sandbox: Sandbox, graph: Graph
) -> None:
    answer = graph.create(definition())

    assert answer.status_code == 200
    assert answer.json()["status"] == "PENDING"
    assert answer.json()["category"] == "UTILITY"
    [listed] = graph.templates(name="novo").json()["data"]
    assert listed["id"] == answer.json()["id"]
    assert listed["status"] == "PENDING"

    sandbox.templates.change("novo", "pt_BR", status="APPROVED")

    assert graph.templates(name="novo").json()["data"][0]["status"] == "APPROVED"


def test_new_templates_can_be_approved_at_once(no_threads_left: None) -> None:
    with Sandbox(auto_approve=True) as sandbox, Graph(sandbox.url) as graph:
        assert graph.create(NAMED).json()["status"] == "APPROVED"
        assert graph.send().status_code == 200


@pytest.mark.parametrize("given", [NAMED, NUMBERED, BUTTONS], ids=["named", "numbered", "buttons"])
def test_a_listed_template_is_what_was_registered(graph: Graph, given: dict[str, Any]) -> None:
    answer = graph.templates(
        name=given["name"],
        fields="name,language,category,status,components,parameter_format,message_send_ttl_seconds",
    )

    [listed] = answer.json()["data"]
    assert {**listed, **given} == listed
    assert listed["status"] == "APPROVED"
    assert listed["parameter_format"] == given.get("parameter_format", "POSITIONAL")


def test_a_name_has_one_template_a_language(graph: Graph) -> None:
    graph.create(definition())

    assert error_of(graph.create(definition())) == (400, 100, 2388024)
    assert graph.create(definition(language="en_US")).status_code == 200
    assert len(graph.templates(name="novo").json()["data"]) == 2


def test_an_account_has_at_most_250_templates(sandbox: Sandbox, graph: Graph) -> None:
    for number in range(247):
        sandbox.templates.create(definition(f"t{number}"))

    assert error_of(graph.create(definition())) == (400, 100, 2388019)


TWO = body("Olá {{1}}, sua consulta em {{2}}, tchau.", "Ana", "10/12")


@pytest.mark.parametrize(
    "change",
    [
        {"language": "en"},
        {"category": "MARKETING"},
        {"message_send_ttl_seconds": 30},
        {"message_send_ttl_seconds": 43_200},
        {"message_send_ttl_seconds": -1},
        {"category": "MARKETING", "message_send_ttl_seconds": 43_200},
        {"components": [TWO]},
        {"components": [body("x" * 1024)]},
        {"components": [BODY, {"type": "FOOTER", "text": "x" * 60}]},
        {"components": [BODY, {"type": "HEADER", "format": "TEXT", "text": "x" * 60}]},
        {"components": [BODY, buttons(REPLY, REPLY, CALL, LINK)]},
        {"components": [BODY, buttons({**REPLY, "text": "x" * 25})]},
        {"components": [BODY, buttons(*[REPLY] * 10)]},
    ],
)
def test_a_definition_at_the_edge_of_the_rules_is_accepted(
    graph: Graph, change: dict[str, Any]
) -> None:
    assert graph.create(definition(**change)).status_code == 200


@pytest.mark.parametrize(
    ("change", "subcode"),
    [
        ({"name": "Lembrete"}, None),
        ({"name": ""}, None),
        ({"name": "x" * 513}, None),
        ({"name": 7}, None),
        ({"language": "pt-BR"}, None),
        ({"language": None}, None),
        ({"category": "utility"}, None),
        ({"category": ["UTILITY"]}, None),
        ({"parameter_format": "named"}, None),
        ({"message_send_ttl_seconds": 29}, None),
        ({"message_send_ttl_seconds": 43_201}, None),
        ({"message_send_ttl_seconds": "21600"}, None),
        ({"message_send_ttl_seconds": True}, None),
        ({"category": "MARKETING", "message_send_ttl_seconds": 21_600}, None),
        ({"category": "MARKETING", "message_send_ttl_seconds": -1}, None),
        ({"components": None}, None),
        ({"components": []}, None),
        ({"components": ["BODY"]}, None),
        ({"components": [BODY, BODY]}, None),
        ({"components": [{**BODY, "type": "body"}]}, None),
        ({"components": [body("")]}, 2388072),
        ({"components": [{"type": "BODY", "text": 7}]}, 2388072),
        ({"components": [body("x" * 1025)]}, 2388040),
        ({"components": [body("{{1}}, sua consulta é em breve, até lá.", "Ana")]}, 2388299),
        ({"components": [body("Sua consulta na clínica é em {{1}}", "10/12")]}, 2388299),
        ({"components": [body("Sua consulta na clínica é em {{1}} ", "10/12")]}, 2388299),
        ({"components": [body("Olá {{1}}, consulta em {{2}}, tchau.", "Ana", "10/12")]}, 2388293),
        (
            {"components": [body("Olá {{1}} {{2}}, sua consulta na clínica é já.", "a", "b")]},
            2388072,
        ),
        ({"components": [body("Olá {{2}}, sua consulta é hoje, até lá.", "Ana")]}, None),
        ({"components": [body("Olá {{nome}}, sua consulta é hoje, até lá.", "Ana")]}, None),
        ({"components": [body("Olá {{1}}, sua consulta é hoje, até lá.")]}, None),
        ({"components": [body("Olá {{1}}, sua consulta é hoje, até lá.", "Ana", "Rui")]}, None),
        ({"components": [body("Olá {{1}}, sua consulta é hoje, até lá.", "")]}, None),
        ({"components": [BODY, {"type": "HEADER", "format": "IMAGE"}]}, 2388047),
        ({"components": [BODY, {"type": "HEADER", "format": "TEXT", "text": "a\nb"}]}, 2388047),
        ({"components": [BODY, {"type": "HEADER", "format": "TEXT", "text": "x" * 61}]}, 2388040),
        ({"components": [BODY, {"type": "HEADER", "format": "TEXT", "text": "{{1}}"}]}, None),
        ({"components": [BODY, {"type": "FOOTER", "text": "x" * 61}]}, 2388040),
        ({"components": [BODY, {"type": "FOOTER", "text": "Olá {{1}}"}]}, 2388073),
        ({"components": [BODY, buttons()]}, None),
        ({"components": [BODY, buttons(*[REPLY] * 11)]}, None),
        ({"components": [BODY, buttons(REPLY, CALL, REPLY)]}, None),
        ({"components": [BODY, buttons({**REPLY, "text": "x" * 26})]}, 2388040),
        ({"components": [BODY, buttons({**REPLY, "text": ""})]}, None),
        ({"components": [BODY, buttons({**CALL, "phone_number": ""})]}, None),
        ({"components": [BODY, buttons({**LINK, "url": "https://x.example/{{1}}"})]}, None),
        ({"components": [BODY, buttons({**LINK, "url": "https://{{1}}.example/"})]}, None),
        ({"components": [BODY, buttons({"type": "OTP", "text": "Copiar"})]}, None),
    ],
)
def test_a_definition_against_the_rules_is_refused(
    graph: Graph, change: dict[str, Any], subcode: int | None
) -> None:
    answer = graph.create(definition(**change))

    assert error_of(answer) == (400, 100, subcode)
    assert len(graph.templates().json()["data"]) == 3


def _without_an_example(named: dict[str, Any]) -> None:
    named["components"][0]["example"]["body_text_named_params"].pop()


def _with_an_upper_case_name(named: dict[str, Any]) -> None:
    named["components"][0]["text"] = "Olá {{Nome}}, lembramos sua consulta em {{quando}}. Até lá!"


def _with_numbered_examples(named: dict[str, Any]) -> None:
    named["components"][0]["example"] = {"body_text": [["Ana", "10/12"]]}


def _with_a_list_for_a_name(named: dict[str, Any]) -> None:
    named["components"][0]["example"]["body_text_named_params"][0]["param_name"] = []


@pytest.mark.parametrize(
    "spoil",
    [
        _without_an_example,
        _with_an_upper_case_name,
        _with_numbered_examples,
        _with_a_list_for_a_name,
    ],
)
def test_a_named_definition_needs_good_names_and_their_examples(
    graph: Graph, spoil: Callable[[dict[str, Any]], None]
) -> None:
    named = {**copy.deepcopy(dict(NAMED)), "name": "novo"}
    spoil(named)

    assert error_of(graph.create(named)) == (400, 100, None)


@pytest.mark.parametrize("given", [None, [], "x", {}, [NAMED]])
def test_what_is_no_definition_is_refused(graph: Graph, given: object) -> None:
    assert error_of(graph.create(given))[:2] == (400, 100)


def test_a_sandbox_is_not_made_with_a_template_meta_would_refuse(no_threads_left: None) -> None:
    with pytest.raises(GraphError, match="name"):
        Sandbox(templates=[definition("Nome Ruim")])


def test_what_meta_changes_shows_in_the_listing(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.templates.change(
        "lembrete",
        "pt_BR",
        status="REJECTED",
        rejected_reason="TAG_CONTENT_MISMATCH",
        category="MARKETING",
        previous_category="UTILITY",
        correct_category="MARKETING",
        quality_score={"score": "RED"},
        message_send_ttl_seconds=None,
    )

    [listed] = graph.templates(
        name="lembrete",
        fields="status,rejected_reason,category,previous_category,correct_category,quality_score,"
        "message_send_ttl_seconds",
    ).json()["data"]

    del listed["id"]
    assert listed == {
        "status": "REJECTED",
        "rejected_reason": "TAG_CONTENT_MISMATCH",
        "category": "MARKETING",
        "previous_category": "UTILITY",
        "correct_category": "MARKETING",
        "quality_score": {"score": "RED"},
    }


def test_changed_components_change_what_a_message_must_fill_in(
    sandbox: Sandbox, graph: Graph
) -> None:
    sandbox.templates.change("lembrete", "pt_BR", components=[BODY])

    assert error_of(graph.send())[1] == 132000


@pytest.mark.parametrize("limit", [1, 2, 3, 25])
def test_every_template_is_found_once_by_paging(graph: Graph, limit: int) -> None:
    names, after, pages = [], None, 0
    while pages < 10:
        query = {"fields": "name", "limit": limit}
        page = graph.templates(**(query if after is None else {**query, "after": after})).json()
        names += [template["name"] for template in page["data"]]
        pages += 1
        if "next" not in page["paging"]:
            break
        after = page["paging"]["cursors"]["after"]

    assert sorted(names) == ["botoes", "convite", "lembrete"]
    assert pages == -(-3 // limit)


def test_the_next_address_holds_the_token_as_at_meta_and_stays_on_this_machine(
    sandbox: Sandbox, graph: Graph
) -> None:
    address = graph.templates(limit=1).json()["paging"]["next"]

    assert "access_token=EAAtoken" in address
    assert address.startswith(f"{sandbox.url}/v25.0/{WABA_ID}/message_templates?")


def test_the_next_address_asks_for_the_same_again(graph: Graph) -> None:
    page = graph.templates(limit=1, fields="language", summary="total_count").json()

    following = graph.session.get(page["paging"]["next"], timeout=30).json()

    assert following["summary"] == page["summary"] == {"total_count": 3}
    assert [set(template) for template in following["data"]] == [{"id", "language"}]


def test_a_name_that_is_not_there_lists_nothing(graph: Graph) -> None:
    assert graph.templates(name="nunca_vi").json() == {"data": []}


def test_the_name_filter_also_finds_longer_names(graph: Graph) -> None:
    graph.create(definition("lembrete_v2"))

    names = [t["name"] for t in graph.templates(name="lembrete").json()["data"]]

    assert names == ["lembrete", "lembrete_v2"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": 0}, 100),
        ({"limit": -1}, 100),
        ({"limit": "all"}, 100),
        ({"limit": 5000}, 100),
        ({"after": "nonsense"}, 131059),
    ],
)
def test_a_bad_page_is_refused(graph: Graph, query: dict[str, object], code: int) -> None:
    assert error_of(graph.templates(**query))[1] == code
