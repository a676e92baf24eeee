"""Asking Meta: pages, unknown fields, quotas and refusals, over real HTTP; secrets stay secret."""

import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from smartia_jobs.clock import SystemClock
from smartia_jobs.errors import ConfigurationError, RefusedError, UnavailableError
from smartia_jobs.sandbox import PHONE_NUMBER_ID, WABA_ID, Sandbox, Scripted
from smartia_jobs.settings import Settings
from smartia_jobs.whatsapp import account
from smartia_jobs.whatsapp.graph import GraphRefusalError
from smartia_jobs.whatsapp.management import Management
from smartia_jobs.whatsapp.templates import registered_templates

TOKEN = "EAAverysecret"
APP_SECRET = "0123456789abcdef"
BODY = {"type": "BODY", "text": "Seu horário está marcado."}


class NoWaiting(SystemClock):
    """The machine's clock, on which waits are noted and take no time."""

    def __init__(self) -> None:
        """Begin without a wait."""
        self.waits: list[float] = []

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Note it."""
        self.waits.append(seconds)
        return False


def definition(name: str, **fields: object) -> dict[str, object]:
    """Return a definition that Meta accepts, unless something is given otherwise."""
    return {
        "name": name,
        "language": "pt_BR",
        "category": "UTILITY",
        "components": [BODY],
        **fields,
    }


@pytest.fixture
def sandbox(no_threads_left: None) -> Iterator[Sandbox]:
    """A sandbox without templates."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def clock() -> NoWaiting:
    """A clock that does not wait."""
    return NoWaiting()


@pytest.fixture
def management(sandbox: Sandbox, clock: NoWaiting) -> Iterator[Management]:
    """An account at the sandbox."""
    settings = Settings(
        meta_access_token=TOKEN, meta_app_secret=APP_SECRET, meta_api_url=sandbox.url
    )
    with closing(Management(settings, clock)) as asked:
        yield asked


def test_every_template_is_read_over_all_pages(sandbox: Sandbox, management: Management) -> None:
    for number in range(230):
        sandbox.templates.create(definition(f"t{number}", message_send_ttl_seconds=2700))

    templates = registered_templates(management, WABA_ID)

    assert sorted(t.name for t in templates) == sorted(f"t{n}" for n in range(230))
    assert {t.time_to_live for t in templates} == {timedelta(minutes=45)}
    assert all(t.time_to_live_known for t in templates)


def test_the_address_of_the_next_page_is_never_followed(
    sandbox: Sandbox, management: Management, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    page = '{"data": [], "paging": {"next": "http://127.0.0.1:1/elsewhere", "cursors": {}}}'
    sandbox.script("GET /message_templates", Scripted(status=200, body=page))

    assert registered_templates(management, WABA_ID) == []


def test_a_cursor_that_leads_nowhere_ends_the_list(
    sandbox: Sandbox, management: Management
) -> None:
    page = '{"data": [{"id": "1"}], "paging": {"next": "x", "cursors": {"after": "same"}}}'
    sandbox.script("GET /message_templates", Scripted(status=200, body=page), repeat_last=True)

    assert len(management.listing(f"{WABA_ID}/message_templates", ["name"], of="X").rows) == 1


def test_a_list_whose_cursor_expired_is_read_again(
    sandbox: Sandbox, management: Management
) -> None:
    for number in range(120):
        sandbox.templates.create(definition(f"t{number}"))
    sandbox.script("GET /message_templates", Scripted(), Scripted(code=131059))

    assert len(registered_templates(management, WABA_ID)) == 120


def test_a_field_that_graph_does_not_know_costs_that_field_alone(
    sandbox: Sandbox, management: Management
) -> None:
    del sandbox.account.phone["is_on_biz_app"], sandbox.account.phone["name_status"]

    number = account.number(management, PHONE_NUMBER_ID)

    assert (number.status, number.rate, number.tier) == ("CONNECTED", 80, "TIER_2K")
    assert number.name_status == ""


def test_a_time_to_live_that_graph_does_not_tell_is_not_taken_for_thirty_days(
    sandbox: Sandbox, management: Management
) -> None:
    sandbox.templates.create(definition("um"))
    sandbox.script(
        "GET /message_templates", Scripted(), Scripted(code=100), *[Scripted(code=100)] * 3
    )

    (template,) = registered_templates(management, WABA_ID)

    assert not template.time_to_live_known


@pytest.mark.parametrize("code", [4, 80007, 80008])
def test_a_quota_is_waited_for(
    sandbox: Sandbox, management: Management, clock: NoWaiting, code: int
) -> None:
    sandbox.script("GET /message_templates", Scripted(code=code), Scripted(code=code))

    assert registered_templates(management, WABA_ID) == []
    assert clock.waits == [60, 60]


def test_a_wait_that_meta_asks_for_is_kept_and_too_long_a_one_is_told(
    sandbox: Sandbox, management: Management, clock: NoWaiting
) -> None:
    usage = '{"1": [{"type": "whatsapp", "estimated_time_to_regain_access": 45}]}'
    sandbox.script(
        "GET /message_templates",
        Scripted(code=80008, headers={"X-Business-Use-Case-Usage": usage}),
        repeat_last=True,
    )

    with pytest.raises(UnavailableError, match="quota"):
        registered_templates(management, WABA_ID)

    assert clock.waits == []


def test_a_quota_that_does_not_end_is_given_up(
    sandbox: Sandbox, management: Management, clock: NoWaiting
) -> None:
    sandbox.script("GET /message_templates", Scripted(code=80008), repeat_last=True)

    with pytest.raises(UnavailableError, match="80008"):
        registered_templates(management, WABA_ID)

    assert clock.waits == [60, 60, 60]


@pytest.mark.parametrize(
    "answer",
    [
        Scripted(status=502, body="<html>Bad Gateway</html>"),
        Scripted(cut=True),
        Scripted(code=2),
        Scripted(status=200, body="{half"),
        Scripted(status=200, body="[]"),
    ],
)
def test_reading_is_tried_again_after_anything_that_is_no_answer(
    sandbox: Sandbox, management: Management, answer: Scripted
) -> None:
    sandbox.script(f"/{PHONE_NUMBER_ID}", answer)

    assert account.number(management, PHONE_NUMBER_ID).name == "Clínica Sandbox"


def test_a_gateway_that_stays_is_told_as_unreachable(
    sandbox: Sandbox, management: Management
) -> None:
    sandbox.script(f"/{PHONE_NUMBER_ID}", Scripted(status=502, body="<html>"), repeat_last=True)

    with pytest.raises(UnavailableError, match="HTTP 502"):
        account.number(management, PHONE_NUMBER_ID)


def test_what_looks_like_a_message_that_was_taken_is_no_answer_to_a_question(
    sandbox: Sandbox, management: Management
) -> None:
    taken = Scripted(status=200, body='{"error": null, "messages": [{"id": "wamid.A="}]}')
    sandbox.script(f"/{PHONE_NUMBER_ID}", taken, repeat_last=True)

    with pytest.raises(UnavailableError, match="not WhatsApp's"):
        account.number(management, PHONE_NUMBER_ID)


def test_a_server_that_is_not_there_is_told_as_unreachable(clock: NoWaiting) -> None:
    settings = Settings(meta_access_token=TOKEN, meta_api_url="http://127.0.0.1:9")
    with (
        closing(Management(settings, clock)) as management,
        pytest.raises(UnavailableError, match="reached"),
    ):
        account.token(management)


def test_registering_is_not_repeated_when_it_may_have_happened(
    sandbox: Sandbox, management: Management, clock: NoWaiting
) -> None:
    sandbox.script("POST /message_templates", Scripted(cut=True))

    with pytest.raises(UnavailableError, match="may have been registered"):
        management.create_template(WABA_ID, definition("um"))

    assert clock.waits == []


def test_registering_is_repeated_after_a_quota(sandbox: Sandbox, management: Management) -> None:
    sandbox.script("POST /message_templates", Scripted(code=80008))

    assert management.create_template(WABA_ID, definition("um"))["status"] == "PENDING"


def test_a_template_that_meta_refuses_says_why_without_the_secrets(
    sandbox: Sandbox, management: Management
) -> None:
    sandbox.script(
        "POST /message_templates",
        Scripted(code=100, subcode=2388299, details=f"Variables at\nthe edge {TOKEN}"),
    )

    with pytest.raises(GraphRefusalError) as caught:
        management.create_template(WABA_ID, definition("um"))

    assert (caught.value.code, caught.value.subcode) == (100, 2388299)
    assert "Variables at the edge ****" in str(caught.value)


@pytest.mark.parametrize(("code", "subcode"), [(190, 463), (10, None), (200, None)])
def test_a_dead_token_or_a_missing_permission_is_told_at_once(
    sandbox: Sandbox,
    management: Management,
    clock: NoWaiting,
    code: int,
    subcode: int | None,
) -> None:
    sandbox.script("GET /message_templates", Scripted(code=code, subcode=subcode))

    with pytest.raises(RefusedError, match=f"code {code}"):
        registered_templates(management, WABA_ID)

    assert clock.waits == []


def test_a_wrong_id_names_the_setting_that_holds_it(management: Management) -> None:
    with pytest.raises(RefusedError, match="META_WABA_ID"):
        registered_templates(management, PHONE_NUMBER_ID + "9")
    with pytest.raises(RefusedError, match="META_PHONE_NUMBER_ID"):
        account.number(management, "999")


def test_the_token_is_described_with_its_limits(sandbox: Sandbox, management: Management) -> None:
    sandbox.account.token_expires_at = 4_000_000_000
    sandbox.script(
        "/debug_token",
        Scripted(
            status=200,
            body='{"data": {"is_valid": true, "expires_at": 4000000000, "scopes": ["a"],'
            ' "granular_scopes": [{"scope": "a", "target_ids": ["7"]}, {"scope": "b"}]}}',
        ),
    )

    token = account.token(management)

    assert token.is_valid
    assert token.expires_at == datetime.fromtimestamp(4_000_000_000, UTC)
    assert token.scopes == {"a"}
    assert token.accounts == {"a": frozenset({"7"})}


def test_clocks_are_compared_by_the_date_header(sandbox: Sandbox, management: Management) -> None:
    sandbox.clock_offset = timedelta(hours=1)

    account.account(management, WABA_ID)

    assert management.clock_skew is not None
    assert abs(management.clock_skew - timedelta(hours=1)) < timedelta(minutes=1)


def test_no_secret_reaches_a_log_at_any_level(
    sandbox: Sandbox, management: Management, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sandbox.script("/debug_token", Scripted(code=80008), Scripted(status=502), Scripted(cut=True))

    account.token(management)

    assert "waiting before asking WhatsApp again" in caplog.text
    logged = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert TOKEN not in logged
    assert APP_SECRET not in logged
    assert "appsecret_proof" not in logged


def test_no_secret_stands_in_an_error(sandbox: Sandbox, management: Management) -> None:
    sandbox.account.refused_tokens.add(TOKEN)

    with pytest.raises(RefusedError) as caught:
        account.number(management, PHONE_NUMBER_ID)

    assert TOKEN not in repr(caught.value) + str(caught.value)


def test_without_a_token_nothing_can_be_asked(clock: NoWaiting) -> None:
    with pytest.raises(ConfigurationError, match="META_ACCESS_TOKEN"):
        Management(Settings(), clock)


@pytest.mark.parametrize("body", ["[]", '{"data": 7}', '{"data": [7, null]}', "{}"])
def test_a_list_of_any_shape_is_no_crash(
    sandbox: Sandbox, management: Management, body: str
) -> None:
    sandbox.script("GET /message_templates", Scripted(status=200, body=body))

    assert registered_templates(management, WABA_ID) == []
