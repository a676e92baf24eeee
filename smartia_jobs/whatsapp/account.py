"""Token, number and account as Meta has them: how they are asked for, what the answers say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from smartia_jobs.whatsapp.management import Management, Rows, as_text

#: The scope that a token needs to read templates, number and account.
MANAGEMENT_SCOPE = "whatsapp_business_management"
#: The scopes that a token needs: to send, and to read.
NEEDED_SCOPES = ("whatsapp_business_messaging", MANAGEMENT_SCOPE)

#: Messages a second, by throughput level.
#: Source: Meta, "Throughput" (2026-09).
RATES: Mapping[str, int] = {"STANDARD": 80, "HIGH": 1000}
#: The same for a number that is also used in the WhatsApp Business app.
RATE_WITH_APP = 20

#: People who may be written to in any 24 hours, by the portfolio's tier; None: any number.
#: ``TIER_1K`` is an older one; ``UNTIERED``, which is not here, names no number.
#: Source: Meta, "Messaging limits" (2026-09), and the tiers of Meta's own SDK.
DAILY_LIMITS: Mapping[str, int | None] = {
    "TIER_50": 50,
    "TIER_250": 250,
    "TIER_1K": 1_000,
    "TIER_2K": 2_000,
    "TIER_10K": 10_000,
    "TIER_100K": 100_000,
    "TIER_UNLIMITED": None,
}

#: Where Meta looks for the address of a webhook, in this order.
#: Source: Meta, "Webhook overrides" (2026-06-28).
WEBHOOK_LEVELS = ("phone_number", "whatsapp_business_account", "application")

_LIMIT = "whatsapp_business_manager_messaging_limit"


@dataclass(frozen=True, slots=True)
class Token:
    """What Meta knows about the access token.

    Attributes:
        is_valid: whether it is taken at all.
        expires_at: None when it never does.
        scopes: what it may do.
        accounts: the objects that a scope is limited to; a scope without limits is left out.
        app_id: of the app that made it; empty when Meta did not say.
    """

    is_valid: bool
    expires_at: datetime | None
    scopes: frozenset[str]
    accounts: Mapping[str, frozenset[str]]
    app_id: str = ""


@dataclass(frozen=True, slots=True)
class Number:
    """The sender's number; a text that Meta did not give is empty.

    Attributes:
        name: as patients see it.
        display: the number itself.
        status: ``CONNECTED`` when all is well.
        quality: ``GREEN``, ``YELLOW``, ``RED`` or ``UNKNOWN``.
        name_status: whether the name is approved.
        platform: ``CLOUD_API`` when it can be sent from here.
        mode: ``LIVE``, or ``SANDBOX`` for a test number.
        rate: messages a second it may send; None when Meta did not say.
        tier: how many people may be written to a day, a key of :data:`DAILY_LIMITS`.
        health: ``AVAILABLE``, ``LIMITED`` or ``BLOCKED``.
        webhooks: where Meta posts what becomes of its messages: address by level, the one in
            force first.
    """

    name: str
    display: str
    status: str
    quality: str
    name_status: str
    platform: str
    mode: str
    rate: int | None
    tier: str
    health: str
    webhooks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class App:
    """An app that is subscribed to an account.

    Attributes:
        id: its Graph id.
        name: as Meta has it.
        override: the address that the account uses for it instead of its own; empty: none.
    """

    id: str
    name: str
    override: str


@dataclass(frozen=True, slots=True)
class Account:
    """The WhatsApp Business account; a text that Meta did not give is empty.

    Attributes:
        name: as Meta has it.
        review: ``APPROVED`` when Meta has looked at it.
        verification: of the business behind it.
        health: ``AVAILABLE``, ``LIMITED`` or ``BLOCKED``.
        no_marketing: whether marketing templates are switched off for it.
    """

    name: str
    review: str
    verification: str
    health: str
    no_marketing: bool


def token(management: Management) -> Token:
    """Ask about the token itself."""
    data = management.debug_token()
    expires = data.get("expires_at")
    granular = [one for one in _list(data.get("granular_scopes")) if isinstance(one, dict)]
    return Token(
        is_valid=data.get("is_valid") is True,
        expires_at=(
            datetime.fromtimestamp(expires, UTC)
            if isinstance(expires, int) and 0 < expires < 10**11
            else None
        ),
        scopes=frozenset(map(str, _list(data.get("scopes")))),
        accounts={
            str(one.get("scope")): frozenset(map(str, one["target_ids"]))
            for one in granular
            if isinstance(one.get("target_ids"), list)
        },
        app_id=str(data.get("app_id") or ""),
    )


def number(management: Management, phone_number_id: str) -> Number:
    """Ask about the sender's number."""
    told = management.node(
        phone_number_id,
        ("display_phone_number", "verified_name", "quality_rating"),
        optional=(
            "status",
            "throughput",
            "name_status",
            "platform_type",
            "account_mode",
            "is_on_biz_app",
            _LIMIT,
            "health_status",
            "webhook_configuration",
        ),
        of="META_PHONE_NUMBER_ID",
    )
    row = _row(told)
    rate = RATES.get(as_text(_inside(row, "throughput", "level")))
    return Number(
        name=as_text(row.get("verified_name")),
        display=as_text(row.get("display_phone_number")),
        status=as_text(row.get("status")),
        quality=as_text(row.get("quality_rating")) or "UNKNOWN",
        name_status=as_text(row.get("name_status")),
        platform=as_text(row.get("platform_type")),
        mode=as_text(row.get("account_mode")),
        rate=RATE_WITH_APP if row.get("is_on_biz_app") is True else rate,
        tier=as_text(row.get(_LIMIT)),
        health=as_text(_inside(row, "health_status", "can_send_message")),
        webhooks={
            level: address
            for level in WEBHOOK_LEVELS
            if (address := as_text(_inside(row, "webhook_configuration", level)))
        },
    )


def account(management: Management, waba_id: str) -> Account:
    """Ask about the WhatsApp Business account."""
    told = management.node(
        waba_id,
        ("name",),
        optional=(
            "account_review_status",
            "business_verification_status",
            "health_status",
            "disable_marketing_messages_on_cloud_api",
        ),
        of="META_WABA_ID",
    )
    row = _row(told)
    return Account(
        name=as_text(row.get("name")),
        review=as_text(row.get("account_review_status")),
        verification=as_text(row.get("business_verification_status")),
        health=as_text(_inside(row, "health_status", "can_send_message")),
        no_marketing=row.get("disable_marketing_messages_on_cloud_api") is True,
    )


def number_ids(management: Management, waba_id: str) -> frozenset[str]:
    """Return the ids of the account's numbers."""
    told = management.listing(f"{waba_id}/phone_numbers", (), of="META_WABA_ID")
    return frozenset(str(row.get("id")) for row in told.rows)


def subscribed_apps(management: Management, waba_id: str) -> tuple[App, ...]:
    """Return the apps that are subscribed to the account."""
    apps = []
    for row in management.subscribed_apps(waba_id):
        about = row.get("whatsapp_business_api_data")
        about = about if isinstance(about, dict) else row
        override = as_text(row.get("override_callback_uri"))
        apps.append(App(str(about.get("id") or ""), as_text(about.get("name")), override))
    return tuple(apps)


def _row(told: Rows) -> Mapping[str, Any]:
    return told.rows[0] if told.rows else {}


def _inside(row: Mapping[str, Any], field: str, name: str) -> object:
    value = row.get(field)
    return value.get(name) if isinstance(value, dict) else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
