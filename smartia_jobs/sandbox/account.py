"""Whom the sandbox plays: one phone number, its account (WABA) and the token's state."""

import hashlib
import hmac
import time
from dataclasses import dataclass, field
from typing import Self

from smartia_jobs.sandbox import graph_fields
from smartia_jobs.sandbox.exchange import GraphError, select

#: The made-up ids that the sandbox answers to unless it is told others.
PHONE_NUMBER_ID = "100000000000001"
WABA_ID = "200000000000001"
#: The app that every token is of.
APP_ID = "1"

MESSAGING = "whatsapp_business_messaging"
MANAGEMENT = "whatsapp_business_management"


def _available(entity_type: str, node_id: str) -> dict[str, object]:
    entity = {"entity_type": entity_type, "id": node_id, "can_send_message": "AVAILABLE"}
    return {"can_send_message": "AVAILABLE", "entities": [entity]}


def _healthy_phone(phone_number_id: str) -> dict[str, object]:
    return {
        **dict.fromkeys(graph_fields.PHONE_NUMBER),
        "id": phone_number_id,
        "display_phone_number": "+55 11 3000-0000",
        "verified_name": "Clínica Sandbox",
        "status": "CONNECTED",
        "quality_rating": "GREEN",
        "throughput": {"level": "STANDARD"},
        "name_status": "APPROVED",
        "code_verification_status": "VERIFIED",
        "platform_type": "CLOUD_API",
        "account_mode": "LIVE",
        "is_on_biz_app": False,
        "whatsapp_business_manager_messaging_limit": "TIER_2K",
        "health_status": _available("PHONE_NUMBER", phone_number_id),
        "webhook_configuration": {},
    }


def _healthy_waba(waba_id: str) -> dict[str, object]:
    return {
        **dict.fromkeys(graph_fields.ACCOUNT),
        "id": waba_id,
        "name": "Clínica Sandbox",
        "currency": "BRL",
        "timezone_id": "25",
        "country": "BR",
        "account_review_status": "APPROVED",
        "business_verification_status": "verified",
        "status": "ACTIVE",
        "ownership_type": "SELF",
        "health_status": _available("WABA", waba_id),
        "whatsapp_business_manager_messaging_limit": "TIER_2K",
        "disable_marketing_messages_on_cloud_api": False,
        "primary_funding_id": "1",
        "template_auto_archival_enabled": False,
    }


@dataclass(slots=True)
class Account:
    """Phone number, account and token; tests change them while the sandbox runs.

    Attributes:
        phone: the phone number's Graph fields; a field taken out is one this version of
            Graph does not know, a field that is None has no value.
        waba: the same for the account.
        refused_tokens: tokens answered 401, code 190, subcode 463 (expired).
        scopes: what every other token may do.
        token_expires_at: Unix seconds; 0 is never. Once past, every token is refused.
        app_secret: when set, every call needs the right ``appsecret_proof``.
        subscribed_apps: the apps subscribed to the account, as Graph lists them.
    """

    phone: dict[str, object]
    waba: dict[str, object]
    refused_tokens: set[str] = field(default_factory=set)
    scopes: set[str] = field(default_factory=lambda: {MESSAGING, MANAGEMENT})
    token_expires_at: int = 0
    app_secret: str | None = None
    subscribed_apps: list[dict[str, object]] = field(
        default_factory=lambda: [
            {
                "whatsapp_business_api_data": {
                    "id": APP_ID,
                    "link": "https://www.facebook.com/games/?app_id=1",
                    "name": "sandbox",
                }
            }
        ]
    )

    @classmethod
    def healthy(cls, *, phone_number_id: str, waba_id: str) -> Self:
        """Return an account with which everything is in order."""
        return cls(phone=_healthy_phone(phone_number_id), waba=_healthy_waba(waba_id))

    def authorize(self, authorization: str | None, proof: str | None, *, scope: str | None) -> str:
        """Return the token when it may do this.

        Raises:
            GraphError: 190 no or dead token; 100 wrong proof; 10 scope missing.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token or any(c.isspace() for c in token):
            raise GraphError(190, "Invalid OAuth access token - Cannot parse access token")
        if not self._is_valid(token):
            message = "Error validating access token: Session has expired"
            raise GraphError(190, message, subcode=463)
        if self.app_secret is not None:
            key, text = self.app_secret.encode(), token.encode("utf-8", "replace")
            expected = hmac.new(key, text, hashlib.sha256).hexdigest()
            if not hmac.compare_digest(expected.encode(), (proof or "").encode("utf-8", "replace")):
                message = "API calls from the server require an appsecret_proof argument"
                raise GraphError(100, message, type_="GraphMethodException")
        if scope is not None and scope not in self.scopes:
            raise GraphError(10)
        return token

    def debug_token(self, token: str) -> dict[str, object]:
        """Return what Meta knows about a token; a dead one is described, not refused."""
        data: dict[str, object] = {
            "app_id": APP_ID,
            "type": "SYSTEM_USER",
            "application": "sandbox",
            "is_valid": self._is_valid(token),
            "issued_at": 1_790_000_000,
            "expires_at": self.token_expires_at,
            "data_access_expires_at": 0,
            "scopes": sorted(self.scopes),
            "granular_scopes": [{"scope": scope} for scope in sorted(self.scopes)],
            "user_id": "2",
        }
        if not self._is_valid(token):
            message = "Error validating access token: Session has expired"
            data["error"] = {"code": 190, "message": message, "subcode": 463}
        return {"data": data}

    def phone_number(self, fields: str | None) -> dict[str, object]:
        """Return the phone number's fields."""
        default = ("display_phone_number", "verified_name", "quality_rating")
        return select(self.phone, fields, default=(*default, "code_verification_status"))

    def business_account(self, fields: str | None) -> dict[str, object]:
        """Return the account's fields."""
        return select(self.waba, fields, default=("name", "currency", "timezone_id"))

    def _is_valid(self, token: str) -> bool:
        expired = self.token_expires_at != 0 and self.token_expires_at <= time.time()
        return bool(token) and token not in self.refused_tokens and not expired


def no_such_object(node_id: str) -> GraphError:
    """Return what Graph says of an id that is wrong or not assigned to the token."""
    message = (
        f"Unsupported request. Object with ID '{node_id}' does not exist, cannot be loaded due"
        " to missing permissions, or does not support this operation"
    )
    return GraphError(100, message, subcode=33, type_="GraphMethodException")
