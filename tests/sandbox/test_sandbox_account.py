"""The phone number, the account and the token, as ``check`` reads them."""

import time
from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest

from smartia_jobs.sandbox import PHONE_NUMBER_ID, WABA_ID, Sandbox
from tests.sandbox.graph import Graph, error_of


def test_the_phone_number_tells_its_usual_fields(graph: Graph) -> None:
    answer = graph.get(PHONE_NUMBER_ID).json()

    assert set(answer) == {
        "id",
        "display_phone_number",
        "verified_name",
        "quality_rating",
        "code_verification_status",
    }
    assert answer["id"] == PHONE_NUMBER_ID


def test_the_phone_number_tells_what_is_asked_and_what_was_changed(
    sandbox: Sandbox, graph: Graph
) -> None:
    sandbox.account.phone["quality_rating"] = "RED"
    sandbox.account.phone["throughput"] = {"level": "HIGH"}

    answer = graph.get(
        PHONE_NUMBER_ID, fields="quality_rating,throughput{level},health_status{a,b},status"
    ).json()

    assert answer["quality_rating"] == "RED"
    assert answer["throughput"] == {"level": "HIGH"}
    assert answer["status"] == "CONNECTED"
    assert answer["health_status"]["can_send_message"] == "AVAILABLE"


@pytest.mark.parametrize(
    "path", [PHONE_NUMBER_ID, WABA_ID, f"{WABA_ID}/phone_numbers", f"{WABA_ID}/message_templates"]
)
@pytest.mark.parametrize("fields", ["id,no_such_field", "", "id,,status"])
def test_one_unknown_field_fails_the_whole_call(
    sandbox: Sandbox, graph: Graph, path: str, fields: str
) -> None:
    assert error_of(graph.session.get(f"{graph.url}/v25.0/{path}?fields={fields},x"))[1] == 100
    assert sandbox.received == []


def test_a_field_taken_out_is_unknown_and_one_without_value_is_left_out(
    sandbox: Sandbox, graph: Graph
) -> None:
    del sandbox.account.phone["throughput"]
    sandbox.account.phone["name_status"] = None

    assert error_of(graph.get(PHONE_NUMBER_ID, fields="id,throughput"))[1] == 100
    assert graph.get(PHONE_NUMBER_ID, fields="id,name_status").json() == {"id": PHONE_NUMBER_ID}


def test_the_account_lists_its_phone_number(graph: Graph) -> None:
    answer = graph.get(f"{WABA_ID}/phone_numbers", fields="id,display_phone_number").json()

    assert [phone["id"] for phone in answer["data"]] == [PHONE_NUMBER_ID]


def test_the_account_tells_its_fields(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.account.waba["disable_marketing_messages_on_cloud_api"] = True

    answer = graph.get(WABA_ID, fields="id,name,disable_marketing_messages_on_cloud_api").json()

    assert answer["id"] == WABA_ID
    assert answer["disable_marketing_messages_on_cloud_api"] is True


@pytest.mark.parametrize("path", ["123", "123/phone_numbers", f"{PHONE_NUMBER_ID}/phone_numbers"])
def test_a_wrong_id_does_not_exist(graph: Graph, path: str) -> None:
    status, code, subcode = error_of(graph.get(path))

    assert (status, code) == (400, 100)
    assert subcode == (33 if path.startswith("123") else None)


@pytest.mark.parametrize("path", ["", "v25.0", "messages", "v25/1/messages", "favicon.ico", "%00"])
def test_a_path_that_is_nothing_is_refused_as_an_error_of_graph(graph: Graph, path: str) -> None:
    answer = graph.session.post(f"{graph.url}/{path}", timeout=30)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in (100, 2500)


def test_a_living_token_is_described(graph: Graph) -> None:
    data = graph.get("debug_token", input_token="EAAtoken").json()["data"]

    assert data["is_valid"] is True
    assert data["expires_at"] == 0
    assert data["scopes"] == ["whatsapp_business_management", "whatsapp_business_messaging"]


def test_a_dead_token_is_described_to_another_and_refused_itself(
    sandbox: Sandbox, graph: Graph
) -> None:
    sandbox.account.refused_tokens.add("dead")

    described = graph.get("debug_token", input_token="dead")

    assert described.status_code == 200
    assert described.json()["data"]["is_valid"] is False
    assert described.json()["data"]["error"]["code"] == 190
    graph.session.headers["Authorization"] = "Bearer dead"
    assert error_of(graph.get("debug_token", input_token="dead")) == (401, 190, 463)


def test_a_token_past_its_expiry_is_refused(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.account.token_expires_at = int(time.time()) + 3600
    assert graph.get(PHONE_NUMBER_ID).status_code == 200

    sandbox.account.token_expires_at = 1_600_000_000

    assert error_of(graph.get(PHONE_NUMBER_ID)) == (401, 190, 463)


def test_a_missing_permission_shows_and_refuses_what_needs_it(
    sandbox: Sandbox, graph: Graph
) -> None:
    sandbox.account.scopes.remove("whatsapp_business_management")

    scopes = graph.get("debug_token", input_token="EAAtoken").json()["data"]["scopes"]

    assert scopes == ["whatsapp_business_messaging"]
    assert error_of(graph.templates()) == (403, 10, None)
    assert graph.send().status_code == 200


def test_the_date_header_can_be_shifted(sandbox: Sandbox, graph: Graph) -> None:
    before = parsedate_to_datetime(graph.get(WABA_ID).headers["Date"])
    sandbox.clock_offset = timedelta(hours=3)

    after = parsedate_to_datetime(graph.get(WABA_ID).headers["Date"])

    assert timedelta(hours=3) <= after - before < timedelta(hours=4)


def test_ids_can_be_those_of_a_real_account(no_threads_left: None) -> None:
    with Sandbox(phone_number_id="77", waba_id="88") as sandbox, Graph(sandbox.url) as graph:
        assert graph.get("77").json()["id"] == "77"
        assert graph.get("88").json()["id"] == "88"
        assert error_of(graph.get(PHONE_NUMBER_ID)) == (400, 100, 33)


def test_the_front_page_says_what_this_is_and_is_not(sandbox: Sandbox, graph: Graph) -> None:
    page = graph.control("GET", "")

    assert page.headers["Content-Type"].startswith("text/plain")
    assert "NOT Meta" in page.text
    assert f"META_API_URL={sandbox.url}" in page.text
    assert PHONE_NUMBER_ID in page.text
    assert WABA_ID in page.text


def test_an_unknown_endpoint_of_the_sandbox_itself_is_not_found(graph: Graph) -> None:
    assert graph.control("GET", "sandbox/nothing").status_code == 404
