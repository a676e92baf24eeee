"""``smartia-jobs templates``: statuses, JSON and secrets, as a process."""

from collections.abc import Iterator

import pytest

from smartia_jobs.sandbox import PHONE_NUMBER_ID, WABA_ID, Sandbox, Scripted
from tests.jobs.check_desk import APP_SECRET, TOKEN, definitions
from tests.support import RunCli


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A fresh account without a template."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def env(sandbox: Sandbox) -> dict[str, str]:
    """Settings in order; the database is not there, and is not missed."""
    return {
        "DATABASE_URL": "sqlite:////nowhere/smartia.db",
        "META_ACCESS_TOKEN": TOKEN,
        "META_APP_SECRET": APP_SECRET,
        "META_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
        "META_WABA_ID": WABA_ID,
        "META_API_URL": sandbox.url,
        "LOG_LEVEL": "DEBUG",
    }


def test_from_a_fresh_account_to_a_message_on_the_operators_phone(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox
) -> None:
    missing = run_cli("templates", "--json", env=env)
    submitted = run_cli("templates", "submit", "--json", env=env)
    pending = run_cli("templates", "preview", "24h", "--send-to", "+5511987654321", env=env)
    for definition in definitions():
        sandbox.templates.change(definition["name"], "pt_BR", status="APPROVED")
    approved = run_cli("templates", "--json", env=env)
    sent = run_cli("templates", "preview", "24h", "--send-to", "+5511987654321", env=env)

    assert {t["status"] for t in missing.json["templates"]} == {"MISSING"}
    assert {t["result"] for t in submitted.json["templates"]} == {"submitted"}
    assert pending.exit_code == 78
    assert {t["status"] for t in approved.json["templates"]} == {"APPROVED"}
    statuses = [r.exit_code for r in (missing, submitted, approved, sent)]
    assert statuses == [0, 0, 0, 0]
    assert "To +55 11 9****-4321: WhatsApp accepted it" in sent.stdout
    assert [one["accepted"] for one in sandbox.received] == [False, True]


def test_the_json_of_a_template_is_what_is_documented(run_cli: RunCli, env: dict[str, str]) -> None:
    (first, *_) = run_cli("templates", "--json", env=env).json["templates"]

    assert first.keys() == {
        "kind",
        "name",
        "language",
        "status",
        "level",
        "wanted_category",
        "category",
        "quality",
        "rejected_reason",
        "wanted_time_to_live_s",
        "time_to_live_s",
        "differences",
        "problems",
        "warnings",
        "next_step",
    }


def test_a_refused_token_is_status_77(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox
) -> None:
    sandbox.account.refused_tokens.add(TOKEN)

    results = [
        run_cli("templates", "--json", env=env),
        run_cli("templates", "submit", "--json", env=env),
        run_cli("templates", "preview", "2h", "--send-to", "+5511987654321", "--json", env=env),
    ]

    assert [(r.exit_code, r.json["exit_code"]) for r in results] == [(77, 77)] * 3


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Scripted(code=131026), 65),
        (Scripted(cut=True), 69),
        (Scripted(code=131016), 75),
        (Scripted(code=130429), 75),
        (Scripted(code=131031), 77),
    ],
)
def test_the_status_of_a_sent_preview_tells_what_came_of_it(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox, answer: Scripted, status: int
) -> None:
    for definition in definitions():
        sandbox.templates.create(definition, status="APPROVED")
    sandbox.script("*", answer)

    result = run_cli(
        "templates", "preview", "24h", "--send-to", "+5511987654321", "--json", env=env
    )

    assert (result.exit_code, result.json["exit_code"]) == (status, status)


def test_a_refused_or_a_changed_template_is_status_78(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox
) -> None:
    sandbox.script("POST /message_templates", Scripted(code=100, details="Bad example"))

    result = run_cli("templates", "submit", "24h", env=env)

    assert result.exit_code == 78
    assert "Bad example" in result.stdout
    (ours,) = (one for one in definitions() if one["name"] == "smartia_lembrete_24h_v2")
    sandbox.templates.create({**ours, "category": "MARKETING", "message_send_ttl_seconds": 43_200})
    assert run_cli("templates", "submit", "24h", env=env).exit_code == 78


def test_what_was_registered_before_whatsapp_fell_silent_is_told(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox
) -> None:
    silent = Scripted(cut=True)
    sandbox.script("POST /message_templates", Scripted(), silent, repeat_last=True)

    result = run_cli("templates", "submit", "--json", env=env)

    assert (result.exit_code, result.json["exit_code"]) == (69, 69)
    assert [one["result"] for one in result.json["templates"]] == ["submitted", "stopped"]
    assert "submit again" in result.json["templates"][-1]["next_step"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("templates", "submit", "48h"),
        ("templates", "preview", "48h"),
        ("templates", "preview", "--send-to", "+5511987654321"),
        ("templates", "preview", "24h", "--send-to", "12345"),
        ("templates", "delete"),
    ],
)
def test_a_wrong_command_line_is_status_2(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox, arguments: tuple[str, ...]
) -> None:
    result = run_cli(*arguments, env=env)

    assert result.exit_code == 2
    assert result.stderr
    assert "Traceback" not in result.stderr
    assert sandbox.received == []


def test_previews_need_no_account(run_cli: RunCli) -> None:
    result = run_cli("templates", "preview", "no_show")

    assert result.exit_code == 0, result.stderr
    assert "  | Olá, Marina!" in result.stdout


@pytest.mark.parametrize("code", [None, 190, 100])
def test_secrets_and_phones_appear_in_no_stream(
    run_cli: RunCli, env: dict[str, str], sandbox: Sandbox, code: int | None
) -> None:
    if code is not None:
        script = Scripted(code=code, details=f"{TOKEN} {APP_SECRET}")
        sandbox.script("/message_templates", script, repeat_last=True)

    results = [
        run_cli("templates", env=env),
        run_cli("templates", "submit", env=env),
        run_cli("templates", "preview", "24h", "--send-to", "+5511987654321", env=env),
    ]

    shown = "".join(result.stdout + result.stderr for result in results)
    for secret in (TOKEN, APP_SECRET, "appsecret_proof", "987654321"):
        assert secret not in shown


@pytest.mark.parametrize(
    "arguments", [("check",), ("templates",), ("templates", "submit"), ("templates", "preview")]
)
def test_help_has_an_example(run_cli: RunCli, arguments: tuple[str, ...]) -> None:
    result = run_cli(*arguments, "--help")

    assert result.exit_code == 0
    assert f"Example: smartia-jobs {' '.join(arguments)}" in result.stdout
