"""``check`` of what comes back: statuses, who hears them, Meta's notices, the webhook."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from smartia_jobs.database import Database
from smartia_jobs.jobs.checks.finding import Finding, Level
from smartia_jobs.sandbox import WABA_ID, Sandbox, Scripted
from smartia_jobs.store.tables import notices, statuses
from tests.jobs.check_desk import NOW, by_name, checked, definitions, online_settings
from tests.jobs.metrics_desk import Desk
from tests.jobs.test_check import READY
from tests.support import Clinic

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ADDRESS = "https://clinica.example/webhook"
TEMPLATE = ("message_template_status_update", "smartia_lembrete_24h_v1 pt-BR")


@pytest.fixture
def desk(clinic: Clinic) -> Desk:
    """Our tables, empty, beside a clinic's."""
    return Desk(clinic)


@pytest.fixture
def sandbox(no_threads_left: None) -> Iterator[Sandbox]:
    """An account in order, on the tests' Monday."""
    with Sandbox(templates=definitions()) as running:
        running.clock_offset = NOW - datetime.now(UTC)
        yield running


def offline(desk: Desk, name: str) -> Finding:
    """Return one line of a check that asks nobody."""
    return by_name(checked(desk.clinic, READY, online=False))[name]


def store(desk: Desk, table: Any, **values: Any) -> None:
    """Write what a webhook would have stored."""
    with closing(Database(desk.clinic.url)) as database, database.write() as connection:
        connection.execute(insert(table), values)


def came(desk: Desk, at: datetime, *, applied: bool = True) -> None:
    """Let a status come in."""
    store(
        desk, statuses, wamid=f"wamid.{at}", status="sent", said_at=at, received_at=at,
        applied_at=at if applied else None,
    )  # fmt: skip


def told(desk: Desk, field: str, subject: str, event: str, at: datetime, **more: str) -> None:
    """Let Meta tell something."""
    store(
        desk, notices, field=field, subject=subject, event=event, said_at=at, received_at=at, **more
    )


def test_that_nobody_hears_what_patients_answer_is_a_warning_once_messages_left(
    desk: Desk,
) -> None:
    before = offline(desk, "statuses")
    desk.add(sent_at=NOW - 3 * DAY)

    found = offline(desk, "statuses")

    assert (before.level, before.next_step) == (Level.OK, "")
    assert found.level is Level.WARNING
    assert "None ever came" in found.text
    assert "deploy/README.md" in found.next_step


@pytest.mark.parametrize(
    "row",
    [
        {"state": "delivered", "delivered_at": NOW - 9 * DAY},
        {"state": "read", "read_at": NOW - 9 * DAY},
        {"state": "undelivered", "updated_at": NOW - 9 * DAY},
    ],
    ids=lambda row: str(row["state"]),
)
def test_the_outbox_remembers_that_statuses_came(desk: Desk, row: dict[str, Any]) -> None:
    desk.add(**row, sent_at=NOW - 10 * DAY)

    found = offline(desk, "statuses")

    assert found.level is Level.OK
    assert "The newest came on Sat 14 Nov 2026, 09:00" in found.text


def test_statuses_that_stopped_coming_are_a_warning(desk: Desk) -> None:
    came(desk, NOW - 2 * DAY)
    desk.add(appointment_id=1, sent_at=NOW - 2 * DAY)
    before = offline(desk, "statuses").level

    desk.add(appointment_id=2, sent_at=NOW - HOUR)
    found = offline(desk, "statuses")

    assert (before, found.level) == (Level.OK, Level.WARNING)
    assert "silence since" in found.text
    assert found.next_step


@pytest.mark.parametrize(("waited", "level"), [(MINUTE, Level.OK), (2 * HOUR, Level.WARNING)])
def test_statuses_that_nobody_takes_in_are_a_warning(
    desk: Desk, waited: timedelta, level: Level
) -> None:
    came(desk, NOW - waited, applied=False)

    found = offline(desk, "statuses")

    assert found.level is level
    assert ("smartia-jobs replies" in found.next_step) == (level is Level.WARNING)


@pytest.mark.parametrize(
    ("kind", "type_", "ago", "level"),
    [
        ("status", "INCOMING", HOUR, Level.WARNING),
        ("status", "INCOMING", 9 * DAY, Level.OK),
        ("text", "INCOMING", HOUR, Level.OK),
        ("template", "OUTGOING", HOUR, Level.OK),
    ],
)
def test_smartia_s_hearing_the_same_number_is_a_warning(
    clinic: Clinic, kind: str, type_: str, ago: timedelta, level: Level
) -> None:
    dialogue = clinic.add_conversation(clinic.add_patient())
    for number in range(2):
        clinic.execute(
            "INSERT INTO interactions (conversation_id, patient_id, type, message_text,"
            " message_type, provider_message_id, created_at)"
            " VALUES (:dialogue, 1, :type, 'delivered', :kind, :wamid, :at)",
            dialogue=dialogue,
            type=type_,
            kind=kind,
            wamid=f"wamid.{number}",
            at=f"{NOW - ago:%Y-%m-%d %H:%M:%S}",
        )

    found = by_name(checked(clinic, READY, online=False))["smartia_hears"]

    assert found.level is level
    if level is Level.WARNING:
        assert "interaction 2" in found.text
        assert "chatbot" in found.text


def test_notices_are_listed_newest_first(desk: Desk) -> None:
    told(desk, *TEMPLATE, "APPROVED", NOW - 5 * DAY)
    told(desk, "account_update", "", "VOLUME_BASED_PRICING_TIER_UPDATE", NOW - 2 * DAY)
    told(desk, *TEMPLATE, "REINSTATED", NOW - 100 * DAY)

    found = offline(desk, "notices")

    assert (found.level, found.next_step) == (Level.OK, "")
    assert [line.split(", 09:00 ")[1] for line in found.details] == [
        "account: VOLUME_BASED_PRICING_TIER_UPDATE",
        "smartia_lembrete_24h_v1 pt-BR: APPROVED",
    ]


@pytest.mark.parametrize(
    ("field", "subject", "event", "detail"),
    [
        (*TEMPLATE, "PAUSED", "FIRST_PAUSE"),
        (*TEMPLATE, "DISABLED", ""),
        (*TEMPLATE, "REJECTED", "PROMOTIONAL"),
        ("template_category_update", TEMPLATE[1], "MARKETING", "it was UTILITY"),
        ("account_update", "", "ACCOUNT_RESTRICTION", "RESTRICTED_UTILITY_TEMPLATES"),
        ("account_update", "", "ACCOUNT_VIOLATION", ""),
        ("account_update", "", "DISABLED_UPDATE", "SCHEDULE_FOR_DISABLE"),
    ],
)
def test_what_may_stop_messages_is_a_warning(
    desk: Desk, field: str, subject: str, event: str, detail: str
) -> None:
    told(desk, field, subject, event, NOW - DAY, detail=detail)
    told(desk, "account_update", "", "VOLUME_BASED_PRICING_TIER_UPDATE", NOW - HOUR)

    found = offline(desk, "notices")

    assert found.level is Level.WARNING
    assert event in found.text
    assert detail in found.text
    assert len(found.details) == 2
    assert found.next_step


@pytest.mark.parametrize(
    ("field", "subject", "first", "then"),
    [
        (*TEMPLATE, "PAUSED", "UNPAUSED"),
        (*TEMPLATE, "REJECTED", "APPROVED"),
        ("template_category_update", TEMPLATE[1], "MARKETING", "UTILITY"),
    ],
)
def test_what_was_taken_back_alarms_nobody(
    desk: Desk, field: str, subject: str, first: str, then: str
) -> None:
    told(desk, field, subject, first, NOW - 2 * DAY)
    told(desk, field, subject, then, NOW - DAY)

    assert offline(desk, "notices").level is Level.OK


@pytest.mark.parametrize(
    ("event", "detail", "ago"),
    [("DISABLED_UPDATE", "REINSTATE", DAY), ("ACCOUNT_RESTRICTION", "", 40 * DAY)],
)
def test_what_is_lifted_or_long_ago_alarms_nobody(
    desk: Desk, event: str, detail: str, ago: timedelta
) -> None:
    told(desk, "account_update", "", event, NOW - ago, detail=detail)

    assert offline(desk, "notices").level is Level.OK


def test_before_our_tables_are_made_nothing_was_heard(sqlite_clinic: Clinic) -> None:
    found = by_name(checked(sqlite_clinic, READY, online=False))

    assert not {"statuses", "notices"} & found.keys()
    assert found["smartia_hears"].level is Level.OK


# -- the webhook, online ------------------------------------------------------------------


def webhook(clinic: Clinic, sandbox: Sandbox, **changes: Any) -> Finding:
    """Return what a check says of the webhook."""
    return by_name(checked(clinic, online_settings(sandbox, **changes)))["webhook"]


@pytest.mark.parametrize(
    ("levels", "address"),
    [
        ({}, None),
        ({"application": ADDRESS}, f"{ADDRESS} (the app's own)"),
        (
            {"application": ADDRESS, "whatsapp_business_account": f"{ADDRESS}/w"},
            f"{ADDRESS}/w (the account's)",
        ),
        (
            {
                "phone_number": f"{ADDRESS}/n",
                "application": ADDRESS,
                "whatsapp_business_account": f"{ADDRESS}/w",
            },
            f"{ADDRESS}/n (this number's)",
        ),
        (
            {"application": "https://u:geheim@c.example:8443/w?key=geheim"},
            "https://c.example:8443/w?… (",
        ),
    ],
)
def test_the_address_in_force_is_told_without_secrets(
    sqlite_clinic: Clinic, sandbox: Sandbox, levels: dict[str, str], address: str | None
) -> None:
    sandbox.account.phone["webhook_configuration"] = levels

    found = webhook(sqlite_clinic, sandbox)

    assert found.level is Level.OK
    assert (address or "No address is in force") in found.text
    assert "subscribed to the account: sandbox (1)" in found.text
    assert "geheim" not in found.text


@pytest.mark.parametrize("waba_id", [WABA_ID, None])
@pytest.mark.parametrize(
    ("word", "address", "level"),
    [
        ("a-word", None, Level.WARNING),
        ("a-word", ADDRESS, Level.OK),
        (None, None, Level.OK),
    ],
)
def test_a_webhook_that_is_set_up_and_that_meta_does_not_know_is_a_warning(
    sqlite_clinic: Clinic,
    sandbox: Sandbox,
    word: str | None,
    address: str | None,
    level: Level,
    waba_id: str | None,
) -> None:
    sandbox.account.phone["webhook_configuration"] = {"application": address} if address else {}

    found = webhook(sqlite_clinic, sandbox, meta_verify_token=word, meta_waba_id=waba_id)

    assert found.level is level
    assert ("give Meta the address" in found.next_step) == (level is Level.WARNING)


def test_an_override_of_the_account_is_known_from_its_subscriptions_too(
    sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    sandbox.account.phone["webhook_configuration"] = None
    sandbox.account.subscribed_apps[0]["override_callback_uri"] = ADDRESS

    assert f"{ADDRESS} (the account's)" in webhook(sqlite_clinic, sandbox).text


@pytest.mark.parametrize("apps", [[], [{"whatsapp_business_api_data": {"id": "9", "name": "API"}}]])
@pytest.mark.parametrize("has_address", [True, False])
def test_an_app_that_is_not_subscribed_is_a_warning_where_an_address_waits(
    sqlite_clinic: Clinic, sandbox: Sandbox, apps: list[dict[str, object]], has_address: bool
) -> None:
    sandbox.account.subscribed_apps[:] = apps
    sandbox.account.phone["webhook_configuration"] = {"application": ADDRESS} if has_address else {}

    found = webhook(sqlite_clinic, sandbox)

    assert found.level is (Level.WARNING if has_address else Level.OK)
    assert "not subscribed" in found.text
    assert ("API (9)" if apps else "none") in found.text
    assert ("subscribed_apps" in found.next_step) == has_address


def test_a_webhook_that_never_heard_anything_is_a_warning(
    sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    desk = Desk(sqlite_clinic)
    sandbox.account.phone["webhook_configuration"] = {"application": ADDRESS}
    desk.add(sent_at=NOW - 2 * HOUR)
    silent = webhook(sqlite_clinic, sandbox)

    came(desk, NOW - HOUR)
    heard = webhook(sqlite_clinic, sandbox)

    assert (silent.level, heard.level) == (Level.WARNING, Level.OK)
    assert "no status ever came" in silent.text


def test_without_an_account_id_the_address_is_told_all_the_same(
    sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    sandbox.account.phone["webhook_configuration"] = {"application": ADDRESS}

    found = webhook(sqlite_clinic, sandbox, meta_waba_id=None)

    assert ADDRESS in found.text
    assert "META_WABA_ID" in found.text


def test_who_may_not_be_asked_costs_one_line(sqlite_clinic: Clinic, sandbox: Sandbox) -> None:
    sandbox.script("/subscribed_apps", Scripted(code=10), repeat_last=True)

    found = by_name(checked(sqlite_clinic, online_settings(sandbox)))

    assert found["webhook"].level is Level.PROBLEM
    assert found["template_24h"].level is Level.OK
