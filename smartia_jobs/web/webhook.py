"""WhatsApp's webhook: who may post, how much, and what is answered. It stores; a job decides."""

import asyncio
import hmac
import logging
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from hashlib import sha256
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from smartia_jobs.clock import Clock
from smartia_jobs.inbox.parts import NOBODY
from smartia_jobs.inbox.payload import nobodys, parse
from smartia_jobs.logs import log_event
from smartia_jobs.web.clinics import ManyClinics, OneClinic
from smartia_jobs.web.inbox import Inbox, log_post
from smartia_jobs.web.inboxes import Inboxes

logger = logging.getLogger(__name__)

PATH = "/webhook"
#: The most that one post may hold. Source: Meta, "Create a webhook endpoint" (2026-11).
MOST_BYTES = 3 << 20

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{1,256}")
_SIGNATURE = re.compile(r"sha256=([0-9a-f]{64})")


def webhook_routes(
    clinics: OneClinic | ManyClinics, clock: Clock, *, on_stored: Callable[[str], None]
) -> list[Route]:
    """Return the handshake and the post.

    Args:
        clinics: whom it serves.
        clock: says when a post came.
        on_stored: told a clinic's name after something was stored that a job has to act on.
    """
    make = partial(Inbox, clock=clock, on_stored=on_stored, alone=len(clinics.all) == 1)
    webhook = _Webhook(clinics, Inboxes(make))
    return [
        Route(PATH, webhook.shake_hands, methods=["GET"]),
        Route(PATH, webhook.take, methods=["POST"]),
    ]


class _Webhook:
    def __init__(self, clinics: OneClinic | ManyClinics, inboxes: Inboxes) -> None:
        self._clinics = clinics
        self._by_name = {clinic.name: clinic for clinic in clinics.all}
        self._inboxes = inboxes
        tokens = {clinic.settings.meta_verify_token for clinic in clinics.all}
        self._tokens = [token.encode() for token in tokens if token]
        self._secrets = sorted({secret for clinic in clinics.all for secret in clinic.secrets})

    async def shake_hands(self, request: Request) -> Response:
        """Answer Meta's handshake: whoever knows a verify token gets its challenge back."""
        query = request.query_params
        token, challenge = query.get("hub.verify_token", ""), query.get("hub.challenge", "")
        given = token.encode("utf-8", "replace")
        known = {wanted for wanted in self._tokens if hmac.compare_digest(given, wanted)}
        if query.get("hub.mode") == "subscribe" and known and _CHALLENGE.fullmatch(challenge):
            return PlainTextResponse(challenge, headers={"X-Content-Type-Options": "nosniff"})
        return _refused(403, "a handshake was refused")

    async def take(self, request: Request) -> Response:
        """Store what Meta posts, and say so only when it is stored."""
        try:
            body = await _body(request)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        if body is None:
            return _refused(413, "a post was larger than Meta's are")
        signature = request.headers.get("x-hub-signature-256", "")
        # Of a large body and the secrets of many clinics it takes seconds.
        signed_by = await run_in_threadpool(self._signed_by, body, signature)
        if not signed_by:
            return _refused(401, "a post was not signed with the app's secret")
        payload = parse(body)
        if payload is None:
            # Sent again for days, it would be understood no better.
            log_event(logger, logging.WARNING, "a signed post was not understood", event="webhook")
            return PlainTextResponse("")
        parts = self._clinics.parts(payload, signed_by)
        statuses = await asyncio.gather(
            *(self._take_part(name, part, signed_by) for name, part in parts.items())
        )
        return PlainTextResponse("", max(statuses))

    def _signed_by(self, body: bytes, signature: str) -> set[bytes]:
        """Return which of the secrets have signed a post; which is not told by the time taken."""
        match = _SIGNATURE.fullmatch(signature.lower())
        given = match[1] if match else ""
        return {
            secret
            for secret in self._secrets
            if hmac.compare_digest(given, hmac.new(secret, body, sha256).hexdigest())
        }

    async def _take_part(
        self, name: str, payload: dict[str, Any], signed_by: Collection[bytes]
    ) -> int:
        """Return the HTTP status for a clinic's part: not 200 as long as Meta is to keep it."""
        clinic = self._by_name.get(name)
        if clinic is None and name == NOBODY:
            log_post(nobodys(payload))
            return 200
        if clinic is None:
            # Until somebody mends its settings, Meta's queue keeps what its patients answer.
            _log_refusal(503, "a post is about a clinic that is not served", {"clinic": name})
            return 503
        if clinic.secrets.isdisjoint(signed_by):
            _log_refusal(401, "a post was not signed with this clinic's secret", clinic.labels)
            return 401
        return await self._inboxes.take(clinic, payload)


async def _body(request: Request) -> bytes | None:
    """Return what was posted; None when it is too large, of which no more is read."""
    if int(request.headers.get("content-length", "0")) > MOST_BYTES:
        return None
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _refused(status: int, why: str) -> Response:
    _log_refusal(status, why)
    return PlainTextResponse("refused", status)


def _log_refusal(status: int, why: str, labels: Mapping[str, str] = {}) -> None:
    log_event(logger, logging.WARNING, why, event="webhook", status=status, **labels)
