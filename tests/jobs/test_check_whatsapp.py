"""``check`` with WhatsApp: token, number, account, templates and clock at the sandbox."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from smartia_jobs.errors import ExitStatus
from smartia_jobs.jobs.check import Checked
from smartia_jobs.jobs.checks.finding import Level
from smartia_jobs.sandbox import Sandbox, Scripted
from smartia_jobs.sandbox.account import MANAGEMENT, MESSAGING
from tests.jobs.check_desk import (
    APP_SECRET,
    NOW,
    TOKEN,
    by_name,
    checked,
    definitions,
    not_ok,
    online_settings,
    wall,
)
from tests.support import Clinic

DAY_AHEAD = ("smartia_lembrete_24h_v2", "pt_BR")


@pytest.fixture
def sandbox(no_threads_left: None) -> Iterator[Sandbox]:
    """An account in order, on the tests' Monday."""
    with Sandbox(templates=definitions()) as running:
        running.clock_offset = NOW - datetime.now(UTC)
        yield running


def online(clinic: Clinic, sandbox: Sandbox, **changes: Any) -> Checked:
    """Check with WhatsApp."""
    return checked(clinic, online_settings(sandbox, **changes))


def wrong(clinic: Clinic, sandbox: Sandbox, **changes: Any) -> dict[str, Level]:
    """Return what is not in order, besides what the first run will make, and the sandbox itself."""
    found = not_ok(online(clinic, sandbox, **changes))
    assert found.pop("settings") is Level.WARNING
    assert found.pop("own_tables") is Level.WARNING
    assert found.pop("index") is Level.WARNING
    return found


def test_an_account_in_order_has_nothing_to_mend(sqlite_clinic: Clinic, sandbox: Sandbox) -> None:
    found = online(sqlite_clinic, sandbox)

    assert wrong(sqlite_clinic, sandbox) == {}
    assert found.online
    assert found.exit_status is ExitStatus.OK
    texts = {name: finding.text for name, finding in by_name(found).items()}
    assert "Clínica Sandbox" in texts["number"]
    assert "never expires" in texts["token"]
    assert "80 messages a second; SEND_RATE is 20" in texts["throughput"]
    assert "2000 people in 24 hours" in texts["daily_limit"]
    assert "APPROVED, MARKETING" in texts["template_no_show"]
    assert "same as WhatsApp's" in texts["clock"]


def test_offline_asks_nobody(sqlite_clinic: Clinic, sandbox: Sandbox) -> None:
    sandbox.script("/debug_token", Scripted(cut=True), repeat_last=True)

    found = checked(sqlite_clinic, online_settings(sandbox), online=False)

    assert not found.online
    assert found.exit_status is ExitStatus.OK


def test_a_dead_token_is_one_problem_not_many(sqlite_clinic: Clinic, sandbox: Sandbox) -> None:
    sandbox.account.refused_tokens.add(TOKEN)

    found = online(sqlite_clinic, sandbox)

    assert wrong(sqlite_clinic, sandbox) == {"token": Level.PROBLEM}
    assert found.exit_status is ExitStatus.CONFIGURATION


def test_a_token_that_meta_describes_as_invalid_is_a_problem(
    sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    body = '{"data": {"is_valid": false, "scopes": [], "error": {"code": 190}}}'
    sandbox.script("/debug_token", Scripted(status=200, body=body), repeat_last=True)

    assert wrong(sqlite_clinic, sandbox) == {"token": Level.PROBLEM}


def test_a_token_that_ends_soon_is_a_warning(sqlite_clinic: Clinic, sandbox: Sandbox) -> None:
    soon, later = NOW + timedelta(days=3), NOW + timedelta(days=40)

    levels = []
    for expires_at in (soon, later):
        body = {
            "data": {
                "is_valid": True,
                "expires_at": int(expires_at.timestamp()),
                "scopes": [MESSAGING, MANAGEMENT],
            }
        }
        sandbox.script("/debug_token", Scripted(status=200, body=json.dumps(body)))
        levels.append(by_name(online(sqlite_clinic, sandbox))["token"].level)

    assert levels == [Level.WARNING, Level.OK]


@pytest.mark.parametrize("scope", [MESSAGING, MANAGEMENT])
def test_a_missing_permission_is_named(sqlite_clinic: Clinic, sandbox: Sandbox, scope: str) -> None:
    sandbox.account.scopes.remove(scope)

    found = by_name(online(sqlite_clinic, sandbox))

    assert found["token"].level is Level.PROBLEM
    assert scope in found["token"].text
    assert ("number" in found) == (scope == MESSAGING)


def test_a_token_for_another_account_is_a_problem(sqlite_clinic: Clinic, sandbox: Sandbox) -> None:
    body = {
        "data": {
            "is_valid": True,
            "expires_at": 0,
            "scopes": [MESSAGING, MANAGEMENT],
            "granular_scopes": [{"scope": MESSAGING, "target_ids": ["7"]}],
        }
    }
    sandbox.script("/debug_token", Scripted(status=200, body=json.dumps(body)))

    found = by_name(online(sqlite_clinic, sandbox))["token"]

    assert found.level is Level.PROBLEM
    assert "META_WABA_ID" in found.text


def test_a_token_that_may_not_ask_about_itself_does_not_stop_the_rest(
    sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    sandbox.script("/debug_token", Scripted(code=100), repeat_last=True)

    assert wrong(sqlite_clinic, sandbox) == {"token": Level.WARNING}


@pytest.mark.parametrize(
    ("changes", "setting", "line"),
    [
        ({"meta_phone_number_id": "999"}, "META_PHONE_NUMBER_ID", "number"),
        ({"meta_waba_id": "999"}, "META_WABA_ID", "account"),
    ],
)
def test_a_wrong_id_names_its_setting(
    sqlite_clinic: Clinic, sandbox: Sandbox, changes: dict[str, str], setting: str, line: str
) -> None:
    found = by_name(online(sqlite_clinic, sandbox, **changes))[line]

    assert found.level is Level.PROBLEM
    assert setting in found.text


def test_a_number_of_another_account_is_a_problem(sqlite_clinic: Clinic, sandbox: Sandbox) -> None:
    sandbox.script("/phone_numbers", Scripted(status=200, body='{"data": [{"id": "5"}]}'))

    found = by_name(online(sqlite_clinic, sandbox))["account"]

    assert found.level is Level.PROBLEM
    assert "META_PHONE_NUMBER_ID" in found.text


def test_without_an_account_id_the_templates_are_not_looked_at(
    sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    assert wrong(sqlite_clinic, sandbox, meta_waba_id=None) == {"account": Level.WARNING}


@pytest.mark.parametrize(
    ("field", "value", "level"),
    [
        ("status", "FLAGGED", Level.PROBLEM),
        ("status", "BANNED", Level.PROBLEM),
        ("platform_type", "ON_PREMISE", Level.PROBLEM),
        ("name_status", "DECLINED", Level.PROBLEM),
        ("health_status", {"can_send_message": "BLOCKED"}, Level.PROBLEM),
        ("health_status", {"can_send_message": "LIMITED"}, Level.WARNING),
        ("quality_rating", "RED", Level.WARNING),
        ("quality_rating", "YELLOW", None),
        ("account_mode", "SANDBOX", Level.WARNING),
        ("code_verification_status", "EXPIRED", None),
    ],
)
def test_the_state_of_the_number_is_judged(
    sqlite_clinic: Clinic, sandbox: Sandbox, field: str, value: object, level: Level | None
) -> None:
    sandbox.account.phone[field] = value

    assert wrong(sqlite_clinic, sandbox) == ({"number": level} if level else {})


def test_a_number_that_tells_little_is_no_problem(sqlite_clinic: Clinic, sandbox: Sandbox) -> None:
    for field in ("throughput", "health_status", "whatsapp_business_manager_messaging_limit"):
        del sandbox.account.phone[field]

    assert wrong(sqlite_clinic, sandbox) == {}


@pytest.mark.parametrize(
    ("fields", "rate", "level"),
    [
        ({}, 80, Level.OK),
        ({}, 81, Level.PROBLEM),
        ({"throughput": {"level": "HIGH"}}, 1000, Level.OK),
        ({"is_on_biz_app": True}, 20, Level.OK),
        ({"is_on_biz_app": True}, 21, Level.PROBLEM),
        ({"throughput": None}, 20, Level.OK),
        ({"throughput": None}, 80, Level.WARNING),
    ],
)
def test_the_rate_is_compared_with_what_the_number_may_send(
    sqlite_clinic: Clinic, sandbox: Sandbox, fields: dict[str, object], rate: int, level: Level
) -> None:
    sandbox.account.phone.update(fields)

    # Four tasks share the rate.
    found = online(sqlite_clinic, sandbox, send_rate=rate / 4, task_count=4)

    assert by_name(found)["throughput"].level is level


@pytest.mark.parametrize(
    ("tier", "level"),
    [
        ("TIER_50", Level.PROBLEM),
        ("TIER_250", Level.OK),
        ("TIER_UNLIMITED", Level.OK),
        ("TIER_OF_TOMORROW", Level.OK),
        ("UNTIERED", Level.OK),
    ],
)
def test_the_daily_limit_is_compared_with_tomorrows_patients(
    sqlite_clinic: Clinic, sandbox: Sandbox, tier: str, level: Level
) -> None:
    sandbox.account.phone["whatsapp_business_manager_messaging_limit"] = tier
    for _ in range(51):
        patient = sqlite_clinic.add_patient()
        sqlite_clinic.add_appointment(patient, wall("2026-11-24T14:30"))
        sqlite_clinic.add_appointment(patient, wall("2026-11-25T14:30"))

    found = by_name(online(sqlite_clinic, sandbox))["daily_limit"]

    assert found.level is level
    assert "51 patients" in found.text


def test_an_account_without_a_tier_has_no_limit_that_is_known(
    sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    sandbox.account.phone["whatsapp_business_manager_messaging_limit"] = "UNTIERED"

    found = by_name(online(sqlite_clinic, sandbox))["daily_limit"]

    assert "no tier" in found.text


def test_a_limit_that_is_nearly_used_is_a_warning(sqlite_clinic: Clinic, sandbox: Sandbox) -> None:
    sandbox.account.phone["whatsapp_business_manager_messaging_limit"] = "TIER_50"
    for _ in range(45):
        sqlite_clinic.add_appointment(sqlite_clinic.add_patient(), wall("2026-11-24T14:30"))

    assert wrong(sqlite_clinic, sandbox) == {"daily_limit": Level.WARNING}


@pytest.mark.parametrize(
    ("field", "value", "level"),
    [
        ("health_status", {"can_send_message": "BLOCKED"}, Level.PROBLEM),
        ("health_status", {"can_send_message": "LIMITED"}, Level.WARNING),
        ("account_review_status", "REJECTED", Level.PROBLEM),
        ("disable_marketing_messages_on_cloud_api", True, Level.PROBLEM),
        ("business_verification_status", "not_verified", None),
    ],
)
def test_the_state_of_the_account_is_judged(
    sqlite_clinic: Clinic, sandbox: Sandbox, field: str, value: object, level: Level | None
) -> None:
    sandbox.account.waba[field] = value

    assert wrong(sqlite_clinic, sandbox) == ({"account": level} if level else {})


@pytest.mark.parametrize(
    "status",
    [
        "ARCHIVED",
        "DELETED",
        "DISABLED",
        "IN_APPEAL",
        "LIMIT_EXCEEDED",
        "PAUSED",
        "PENDING",
        "PENDING_DELETION",
        "REJECTED",
    ],
)
def test_only_an_approved_template_will_do(
    sqlite_clinic: Clinic, sandbox: Sandbox, status: str
) -> None:
    sandbox.templates.change(*DAY_AHEAD, status=status, rejected_reason="INVALID_FORMAT")

    found = by_name(online(sqlite_clinic, sandbox))["template_24h"]

    assert found.level is Level.PROBLEM
    assert status in found.text
    assert "INVALID_FORMAT" in found.details[0]
    assert found.next_step


def test_a_category_that_meta_changed_is_a_problem(sqlite_clinic: Clinic, sandbox: Sandbox) -> None:
    sandbox.templates.change(
        *DAY_AHEAD, category="MARKETING", previous_category="UTILITY", message_send_ttl_seconds=None
    )

    found = by_name(online(sqlite_clinic, sandbox))["template_24h"]

    assert found.level is Level.PROBLEM
    assert "MARKETING instead of UTILITY" in found.text
    # Meta forgets the time to live with the category.
    assert any("30 days" in detail for detail in found.details)


def test_a_category_that_meta_is_about_to_change_is_a_warning(
    sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    sandbox.templates.change(*DAY_AHEAD, correct_category="MARKETING")

    assert wrong(sqlite_clinic, sandbox) == {"template_24h": Level.WARNING}


@pytest.mark.parametrize(
    ("components", "level", "word"),
    [
        ([{"type": "BODY", "text": "Olá {{nome}}, até amanhã então!",
           "example": {"body_text_named_params": [{"param_name": "nome", "example": "Ana"}]}}],
         Level.PROBLEM, "variables"),
        ([{"type": "FOOTER", "text": "Clínica"}], Level.WARNING, "footer"),
        ([{"type": "HEADER", "format": "TEXT", "text": "Olá"}], Level.WARNING, "header"),
    ],
)  # fmt: skip
def test_a_template_that_differs_is_told_by_what_it_means(
    sqlite_clinic: Clinic,
    sandbox: Sandbox,
    components: list[dict[str, Any]],
    level: Level,
    word: str,
) -> None:
    (body,) = (one["components"] for one in definitions() if one["name"] == DAY_AHEAD[0])
    if components[0]["type"] != "BODY":
        components = [*body, *components]
    sandbox.templates.change(*DAY_AHEAD, components=components)

    found = by_name(online(sqlite_clinic, sandbox))["template_24h"]

    assert found.level is level
    assert found.details[0].startswith(f"{word}:")
    assert "_v2" in found.next_step


def test_a_button_that_must_be_filled_in_is_a_problem_and_a_fixed_one_a_warning(
    sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    link = {"type": "URL", "text": "Ver", "url": "https://clinica.example/"}
    filled = {**link, "url": "https://clinica.example/{{1}}", "example": ["a"]}
    levels = []
    for button in (link, filled):
        buttons = {"type": "BUTTONS", "buttons": [button]}
        hours_ahead = next(one for one in definitions() if "_2h_" in one["name"])
        components = [*hours_ahead["components"], buttons]
        sandbox.templates.change(hours_ahead["name"], "pt_BR", components=components)
        levels.append(by_name(online(sqlite_clinic, sandbox))["template_2h"].level)

    assert levels == [Level.WARNING, Level.PROBLEM]


def test_a_template_of_bad_quality_is_a_warning(sqlite_clinic: Clinic, sandbox: Sandbox) -> None:
    sandbox.templates.change(*DAY_AHEAD, quality_score={"score": "RED"})

    assert wrong(sqlite_clinic, sandbox) == {"template_24h": Level.WARNING}


def test_a_time_to_live_at_meta_that_is_too_long_is_a_warning(
    sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    sandbox.templates.change(*DAY_AHEAD, message_send_ttl_seconds=43_200)

    assert wrong(sqlite_clinic, sandbox) == {"template_24h": Level.WARNING}


def test_a_missing_template_says_how_to_submit_it(sqlite_clinic: Clinic) -> None:
    with Sandbox() as empty:
        found = by_name(online(sqlite_clinic, empty))["template_2h"]

    assert found.level is Level.PROBLEM
    assert found.next_step == "run: smartia-jobs templates submit 2h"


@pytest.mark.parametrize(
    ("offset", "level"),
    [
        (timedelta(seconds=20), Level.OK),
        (timedelta(minutes=2), Level.WARNING),
        (timedelta(minutes=-2), Level.WARNING),
        (timedelta(hours=3), Level.PROBLEM),
    ],
)
def test_a_wrong_clock_is_told(
    sqlite_clinic: Clinic, sandbox: Sandbox, offset: timedelta, level: Level
) -> None:
    sandbox.clock_offset += offset

    assert by_name(online(sqlite_clinic, sandbox))["clock"].level is level


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/debug_token", "token"),
        ("GET /100000000000001", "number"),
        ("GET /200000000000001", "account"),
        ("/message_templates", "templates"),
    ],
)
def test_a_gateway_in_the_way_is_unreachable_and_ends_the_asking(
    sqlite_clinic: Clinic, sandbox: Sandbox, path: str, line: str
) -> None:
    sandbox.script(path, Scripted(status=502, body="<html>Bad Gateway</html>"), repeat_last=True)

    found = online(sqlite_clinic, sandbox)

    assert by_name(found)[line].level is Level.UNREACHABLE
    assert [f.level for f in found.findings].count(Level.UNREACHABLE) == 1
    assert found.exit_status is ExitStatus.UNAVAILABLE


def test_whatsapp_that_is_not_there_is_unreachable(sqlite_clinic: Clinic, sandbox: Sandbox) -> None:
    found = online(sqlite_clinic, sandbox, meta_api_url="http://127.0.0.1:9")

    assert by_name(found)["token"].level is Level.UNREACHABLE
    assert found.exit_status is ExitStatus.UNAVAILABLE


def test_a_quota_is_waited_for(sqlite_clinic: Clinic, sandbox: Sandbox) -> None:
    sandbox.script("/message_templates", Scripted(code=80008))

    assert wrong(sqlite_clinic, sandbox) == {}


def test_to_be_asked_online_without_a_token_is_a_problem(
    sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    settings = replace(online_settings(sandbox), meta_access_token=None)

    found = by_name(checked(sqlite_clinic, settings, online=True))

    assert found["token"].level is Level.PROBLEM


@pytest.mark.parametrize("script", [None, 190, 10, 100, 80008, 131000])
def test_no_secret_is_shown_or_logged_whatever_meta_says(
    sqlite_clinic: Clinic,
    sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
    script: int | None,
) -> None:
    caplog.set_level(logging.DEBUG)
    if script is not None:
        for path in ("/debug_token", "/message_templates", "/100000000000001"):
            sandbox.script(path, Scripted(code=script, details=TOKEN), repeat_last=True)

    found = online(sqlite_clinic, sandbox)

    shown = json.dumps(found.as_json(), ensure_ascii=False) + caplog.text
    shown += "".join(str(vars(record)) for record in caplog.records)
    assert "GET /v25.0" not in shown
    for secret in (TOKEN, APP_SECRET, "appsecret_proof", "input_token"):
        assert secret not in shown
