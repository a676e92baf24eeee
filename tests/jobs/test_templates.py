"""``templates``: the catalogue beside Meta's, what is registered, previews; no database."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from smartia_jobs.errors import ConfigurationError, RefusedError, UnavailableError, UsageError
from smartia_jobs.jobs.checks.finding import Level
from smartia_jobs.jobs.templates import (
    Registration,
    preview_templates,
    send_preview,
    show_templates,
    submit_templates,
)
from smartia_jobs.message import Verdict
from smartia_jobs.sandbox import WABA_ID, Sandbox, Scripted
from smartia_jobs.whatsapp.management import Management
from smartia_jobs.whatsapp.templates import registered_templates
from tests.jobs.check_desk import NOW, TOKEN, Patient, definitions, online_settings

DAY_AHEAD = ("smartia_lembrete_24h_v2", "pt_BR")
CLOCK = Patient(NOW)

#: The sections of the shipped catalogue.
SHIPPED = ("72h", "24h", "24h.confirmed", "2h", "no_show")


@pytest.fixture
def sandbox(no_threads_left: None) -> Iterator[Sandbox]:
    """A fresh account without a template."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def full(no_threads_left: None) -> Iterator[Sandbox]:
    """An account with the shipped messages approved."""
    with Sandbox(templates=definitions()) as running:
        yield running


def registered(sandbox: Sandbox, name: str = DAY_AHEAD[0]) -> dict[str, Any]:
    """Return a template as the sandbox has it."""
    with closing(Management(online_settings(sandbox), CLOCK)) as management:
        found = registered_templates(management, WABA_ID)
    return next(dict(one.definition) for one in found if one.name == name)


def test_a_fresh_account_gets_every_message_with_all_that_meta_wants(sandbox: Sandbox) -> None:
    settings = online_settings(sandbox, clinic_name="Aurora", clinic_phone="11 3333-4444")

    done = submit_templates(settings, CLOCK)

    assert [(s.template.kind, s.result, s.status) for s in done] == [
        (kind, Registration.SUBMITTED, "PENDING") for kind in SHIPPED
    ]
    assert "review" in done[0].next_step
    day, hours = registered(sandbox), registered(sandbox, "smartia_lembrete_2h_v2")
    assert (day["category"], day["parameter_format"]) == ("UTILITY", "NAMED")
    assert day["message_send_ttl_seconds"] == 21_600
    assert hours["message_send_ttl_seconds"] == 2_700
    examples = day["components"][0]["example"]["body_text_named_params"]
    assert {"param_name": "clinica", "example": "Aurora"} in examples
    assert {"param_name": "contato", "example": "pelo telefone (11) 3333-4444"} in examples
    invitation = registered(sandbox, "smartia_novo_horario_v1")
    (button,) = invitation["components"][-1]["buttons"]
    assert (button["type"], button["phone_number"]) == ("PHONE_NUMBER", "+551133334444")
    assert invitation["category"] == "MARKETING"
    assert "message_send_ttl_seconds" not in invitation


def test_what_was_submitted_stands_as_wanted_once_it_is_approved(sandbox: Sandbox) -> None:
    settings = online_settings(sandbox, clinic_phone="+551133334444")
    submit_templates(settings, CLOCK)
    for standing in show_templates(settings, CLOCK):
        assert (standing.status, standing.level) == ("PENDING", "problem")
        sandbox.templates.change(standing.template.name, "pt_BR", status="APPROVED")

    standings = show_templates(settings, CLOCK)

    assert [(s.status, s.level, s.differences) for s in standings] == [
        ("APPROVED", "ok", ()) for _ in SHIPPED
    ]


def test_a_reminder_is_never_registered_to_live_longer_than_its_use(sandbox: Sandbox) -> None:
    settings = online_settings(sandbox)
    earlier = replace(settings.reminders["24h"], latest=timedelta(hours=4))

    submit_templates(replace(settings, reminders={**settings.reminders, "24h": earlier}), CLOCK)

    assert registered(sandbox)["message_send_ttl_seconds"] == 14_400


def test_a_reminder_without_a_time_to_live_gets_that_of_its_use(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "messages.toml"
    file.write_text(
        '[24h]\nname = "oi"\nlanguage = "pt_BR"\ncategory = "UTILITY"\n'
        'body = "Olá, seu horário está marcado. Até breve!"\n'
    )
    settings = online_settings(sandbox, messages_file=file)

    submit_templates(settings, CLOCK, kinds=["24h"])

    assert registered(sandbox, "oi")["message_send_ttl_seconds"] == 21_600


@pytest.mark.parametrize("kind", ["2h", "24h", "24h.confirmed"])
def test_only_the_named_kinds_are_submitted(sandbox: Sandbox, kind: str) -> None:
    done = submit_templates(online_settings(sandbox), CLOCK, kinds=[kind])

    assert [s.template.kind for s in done] == [kind]
    standings = show_templates(online_settings(sandbox), CLOCK)
    assert {s.template.kind: s.status for s in standings} == {
        **dict.fromkeys(SHIPPED, "MISSING"),
        kind: "PENDING",
    }


def test_a_text_for_who_confirmed_that_meta_does_not_have_is_a_problem_of_its_own(
    no_threads_left: None,
) -> None:
    usual = [one for one in definitions() if "confirmado" not in one["name"]]
    with Sandbox(templates=usual) as some:
        standings = show_templates(online_settings(some), CLOCK)

    (wrong,) = (s for s in standings if s.level is not Level.OK)
    assert (wrong.template.kind, wrong.level) == ("24h.confirmed", Level.PROBLEM)
    assert wrong.next_step == "run: smartia-jobs templates submit 24h.confirmed"


def test_a_message_that_a_clinic_may_do_without_is_no_problem_while_meta_has_none(
    sandbox: Sandbox,
) -> None:
    standings = show_templates(online_settings(sandbox), CLOCK)

    levels = {s.template.kind: s.level for s in standings}
    assert levels == {**dict.fromkeys(SHIPPED, Level.PROBLEM), "72h": Level.WARNING}


def test_what_exists_is_never_edited_or_submitted_again(full: Sandbox) -> None:
    full.script("POST /message_templates", Scripted(code=190), repeat_last=True)
    before = registered(full)

    done = submit_templates(online_settings(full), CLOCK)

    assert {s.result for s in done} == {Registration.EXISTS}
    assert registered(full) == before


def test_a_changed_text_is_explained_to_be_a_new_version(full: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "messages.toml"
    file.write_text(
        f'[24h]\nname = "{DAY_AHEAD[0]}"\nlanguage = "pt_BR"\ncategory = "UTILITY"\n'
        'body = "Olá, seu horário está marcado. Até breve!"\n'
    )
    settings = online_settings(full, messages_file=file)
    before = registered(full)

    (done,) = submit_templates(settings, CLOCK, kinds=["24h"])

    assert done.result is Registration.DIFFERS
    assert "never edited" in done.text
    assert "_v2" in done.next_step
    assert registered(full) == before
    (standing,) = (s for s in show_templates(settings, CLOCK) if s.template.kind == "24h")
    parts = [part.partition(":")[0] for part in standing.differences]
    assert parts == ["variables", "text", "buttons"]


def test_a_template_that_meta_refuses_does_not_cost_the_others(sandbox: Sandbox) -> None:
    sandbox.script(
        "POST /message_templates", Scripted(code=100, subcode=2388293, details="Too few words")
    )

    first, *others = submit_templates(online_settings(sandbox), CLOCK)

    assert first.result is Registration.REFUSED
    assert "Too few words" in first.text
    assert {s.result for s in others} == {Registration.SUBMITTED}


def test_a_template_registered_at_the_same_moment_is_no_failure(sandbox: Sandbox) -> None:
    sandbox.script("POST /message_templates", Scripted(code=100, subcode=2388024))

    (done,) = submit_templates(online_settings(sandbox), CLOCK, kinds=["24h"])

    assert done.result is Registration.EXISTS


def test_a_category_that_meta_chose_is_told(sandbox: Sandbox) -> None:
    answer = '{"id": "1", "status": "PENDING", "category": "MARKETING"}'
    sandbox.script("POST /message_templates", Scripted(status=200, body=answer))

    (done,) = submit_templates(online_settings(sandbox), CLOCK, kinds=["24h"])

    assert "MARKETING instead of UTILITY" in done.text


def test_two_kinds_of_one_template_register_it_once(sandbox: Sandbox, tmp_path: Path) -> None:
    section = (
        'name = "oi"\nlanguage = "pt_BR"\ncategory = "UTILITY"\ntime_to_live_seconds = 2700\n'
        'body = "Olá, seu horário está marcado. Até breve!"\n'
    )
    file = tmp_path / "messages.toml"
    file.write_text(f"[24h]\n{section}\n[2h]\n{section}")
    settings = online_settings(sandbox, messages_file=file)

    done = submit_templates(settings, CLOCK, kinds=["24h", "2h"])

    assert [s.result for s in done] == [Registration.SUBMITTED, Registration.EXISTS]


@pytest.mark.parametrize("typed", ["0800 123 4567", "nosso telefone"])
def test_a_clinic_phone_that_cannot_be_read_says_how_to_write_it(
    sandbox: Sandbox, typed: str
) -> None:
    with pytest.raises(ConfigurationError, match="CLINIC_PHONE"):
        submit_templates(online_settings(sandbox, clinic_phone=typed), CLOCK)


def test_a_clinic_may_be_called_at_a_service_number(sandbox: Sandbox) -> None:
    submit_templates(online_settings(sandbox, clinic_phone="+55 800 123 4567"), CLOCK)

    invitation = registered(sandbox, "smartia_novo_horario_v1")
    (button,) = invitation["components"][-1]["buttons"]
    assert button["phone_number"] == "+558001234567"


@pytest.mark.parametrize("call", [show_templates, submit_templates])
def test_without_the_accounts_id_it_is_named(sandbox: Sandbox, call: Any) -> None:
    with pytest.raises(ConfigurationError, match="META_WABA_ID"):
        call(online_settings(sandbox, meta_waba_id=None), CLOCK)


@pytest.mark.parametrize("call", [show_templates, submit_templates])
def test_a_dead_token_a_wrong_id_and_a_gateway_have_their_own_errors(
    sandbox: Sandbox, call: Any
) -> None:
    with pytest.raises(RefusedError, match="META_WABA_ID"):
        call(online_settings(sandbox, meta_waba_id=WABA_ID + "9"), CLOCK)
    sandbox.account.refused_tokens.add(TOKEN)
    with pytest.raises(RefusedError, match="token"):
        call(online_settings(sandbox), CLOCK)
    sandbox.script("/message_templates", Scripted(status=502), repeat_last=True)
    with pytest.raises(UnavailableError):
        call(online_settings(sandbox), CLOCK)


def test_a_kind_that_is_none_is_told_with_those_that_are(sandbox: Sandbox) -> None:
    with pytest.raises(UsageError, match=r"24h, 24h\.confirmed, 2h, no_show"):
        submit_templates(online_settings(sandbox), CLOCK, kinds=["48h"])
    assert registered_count(sandbox) == 0


def registered_count(sandbox: Sandbox) -> int:
    """Return how many templates the sandbox has."""
    return sum(s.registered is not None for s in show_templates(online_settings(sandbox), CLOCK))


@pytest.mark.parametrize("clinic_phone", ["+551133334444", None])
def test_buttons_that_hide_a_message_on_computers_are_warned_of_and_work(
    sandbox: Sandbox, tmp_path: Path, clinic_phone: str | None
) -> None:
    file = tmp_path / "messages.toml"
    file.write_text(
        '[24h]\nname = "oi"\nlanguage = "pt_BR"\ncategory = "UTILITY"\ncall_button = "Ligar"\n'
        'body = "Olá, seu horário está marcado. Você vem?"\ntime_to_live_seconds = 21600\n'
        'buttons = [{type = "quick_reply", text = "Sim", means = "confirm"}]\n'
    )
    settings = online_settings(sandbox, messages_file=file, clinic_phone=clinic_phone)

    (missing,) = (s for s in show_templates(settings, CLOCK) if s.template.kind == "24h")
    (done,) = submit_templates(settings, CLOCK, kinds=["24h"])
    sandbox.templates.change("oi", "pt_BR", status="APPROVED")
    (standing,) = (s for s in show_templates(settings, CLOCK) if s.template.kind == "24h")
    answer = send_preview(settings, kind="24h", phone="+5511987654321")

    warned = "a call or link button beside quick replies"
    assert done.result is Registration.SUBMITTED
    assert (standing.level, answer.verdict) == (
        Level.WARNING if clinic_phone else Level.OK,
        Verdict.SENT,
    )
    for told in (*missing.warnings, *standing.warnings, done.text):
        assert (warned in told) is (clinic_phone is not None)
    assert len(missing.warnings) == len(standing.warnings) == int(clinic_phone is not None)
    assert sandbox.received[0]["payloads"] == {"0": "confirm:preview:0"}


def test_previews_read_as_a_patient_would_read_them(full: Sandbox) -> None:
    settings = online_settings(full, clinic_name="Clínica Aurora", clinic_phone="+551133334444")

    texts = dict(preview_templates(settings))

    assert list(texts) == list(SHIPPED)
    assert "Olá, Marina!" in texts["24h"]
    assert "Clínica Aurora" in texts["24h"]
    assert "pelo telefone (11) 3333-4444" in texts["24h"]
    assert texts["24h"].endswith("[ Confirmar presença ]\n[ Não poderei ir ]")
    assert texts["24h.confirmed"].endswith("!\n\n[ Não poderei ir ]")
    assert texts["2h"].endswith("Até logo!")
    assert texts["no_show"].endswith("[ Ligar para nós ]")
    assert "{{" not in "".join(texts.values())


def test_a_preview_is_sent_once_to_the_phone_that_was_named(full: Sandbox) -> None:
    answer = send_preview(online_settings(full), kind="24h", phone="11 98765-4321")

    assert answer.verdict is Verdict.SENT
    (message,) = full.received
    assert message["to"] == "+5511987654321"
    shown = dict(preview_templates(online_settings(full)))["24h"]
    assert shown == f"{message['text']}\n\n[ Confirmar presença ]\n[ Não poderei ir ]"


def test_a_preview_that_may_have_been_accepted_is_not_sent_again(full: Sandbox) -> None:
    full.script("*", Scripted(cut=True, accepted=True))

    answer = send_preview(online_settings(full), kind="24h", phone="+5511987654321")

    assert answer.verdict is Verdict.UNKNOWN
    assert len(full.received) == 1


def test_a_preview_to_no_phone_sends_nothing(full: Sandbox) -> None:
    with pytest.raises(UsageError, match="--send-to"):
        send_preview(online_settings(full), kind="24h", phone="12345")

    assert full.received == []
