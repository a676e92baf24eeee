"""A public client library finds in the sandbox what it finds at Meta."""

from collections.abc import Iterator

import httpx
import pytest
from pywa.client import WhatsApp
from pywa.errors import ReEngagementMessage
from pywa.types.others import Pagination
from pywa.types.templates import (
    BodyText,
    QuickReplyButton,
    TemplateCategory,
    TemplateLanguage,
    TemplateStatus,
    URLButton,
)

from smartia_jobs.sandbox import PHONE_NUMBER_ID, WABA_ID, Sandbox
from tests.sandbox.graph import PHONE


@pytest.fixture
def pywa(sandbox: Sandbox) -> Iterator[WhatsApp]:
    """The client, with the sandbox in Meta's place."""
    with httpx.Client(timeout=30, trust_env=False) as session:
        client = WhatsApp(
            phone_id=PHONE_NUMBER_ID, token="EAAtoken", waba_id=WABA_ID, session=session
        )
        session.base_url = f"{sandbox.url}/v25.0"
        yield client


def test_it_reads_the_number(pywa: WhatsApp) -> None:
    number = pywa.get_business_phone_number()

    assert number.id == PHONE_NUMBER_ID
    assert (number.status, number.quality_rating) == ("CONNECTED", "GREEN")
    assert number.certificate is None  # exists at Meta, has no value here
    assert [one.id for one in pywa.get_business_phone_numbers()] == [PHONE_NUMBER_ID]


def test_it_reads_the_account(pywa: WhatsApp) -> None:
    account = pywa.get_business_account()

    assert (account.id, account.currency) == (WABA_ID, "BRL")
    assert account.message_template_namespace is None


def test_it_reads_the_templates_page_by_page_and_one_alone(pywa: WhatsApp) -> None:
    first = pywa.get_templates(pagination=Pagination(limit=2))
    second = pywa.get_templates(pagination=Pagination(limit=2, after=first.after))
    everything = [*first, *second]

    assert [template.name for template in everything] == ["lembrete", "convite", "botoes"]
    assert first.total_count == 3
    assert pywa.get_template(everything[0].id).name == "lembrete"


def test_it_asks_for_some_of_the_templates(sandbox: Sandbox, pywa: WhatsApp) -> None:
    sandbox.templates.change("lembrete", "pt_BR", status="PAUSED")

    approved = pywa.get_templates(statuses=[TemplateStatus.APPROVED])
    marketing = pywa.get_templates(
        categories=[TemplateCategory.MARKETING, TemplateCategory.AUTHENTICATION]
    )

    assert [template.name for template in approved] == ["convite", "botoes"]
    assert [template.name for template in marketing] == ["convite"]
    assert (marketing.total_count, marketing.message_template_count) == (1, 3)


def test_it_sends_a_template_with_its_values_and_buttons(sandbox: Sandbox, pywa: WhatsApp) -> None:
    named = pywa.send_template(
        to=PHONE,
        name="lembrete",
        language=TemplateLanguage.PORTUGUESE_BR,
        params=[BodyText.params(nome="Ana", quando="10/12 às 9:00")],
        tracker="7",
    )
    with_buttons = pywa.send_template(
        to=PHONE,
        name="botoes",
        language=TemplateLanguage.PORTUGUESE_BR,
        params=[
            QuickReplyButton.params(index=0, callback_data="confirm:42"),
            URLButton.params(index=1, url_variable="abc"),
        ],
    )

    first, second = sandbox.received
    assert [first["wamid"], second["wamid"]] == [named.id, with_buttons.id]
    assert (first["callback_data"], first["parameters"]["nome"]) == ("7", "Ana")
    assert second["payloads"]["0"] == "confirm:42"


def test_it_answers_who_has_written_and_nobody_else(sandbox: Sandbox, pywa: WhatsApp) -> None:
    with pytest.raises(ReEngagementMessage):
        pywa.send_message(PHONE, "Até lá!")
    written = sandbox.person(PHONE).write("Vou sim")

    sent = pywa.send_message(PHONE, "Até lá!", reply_to_message_id=written)

    refused, accepted = sandbox.received
    assert (refused["accepted"], refused["code"]) == (False, 131047)
    assert (accepted["wamid"], accepted["context_id"]) == (sent.id, written)
