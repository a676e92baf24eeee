"""WhatsApp's webhook: who may post, how much, and what is answered. It stores; a job decides."""

import hmac
import logging
import re
from collections.abc import Callable
from hashlib import sha256

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from smartia_jobs.clock import Clock
from smartia_jobs.inbox.payload import parse
from smartia_jobs.logs import log_event
from smartia_jobs.settings import Settings
from smartia_jobs.web.inbox import Inbox

logger = logging.getLogger(__name__)

PATH = "/webhook"
#: The most that one post may hold. Source: Meta, "Create a webhook endpoint" (2026-11).
MOST_BYTES = 3 << 20

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{1,256}")
_SIGNATURE = re.compile(r"sha256=([0-9a-f]{64})")


def webhook_routes(settings: Settings, clock: Clock, *, heard: Callable[[], None]) -> list[Route]:
    """Return the handshake and the post.

    Args:
        settings: with verify token and app secret.
        clock: says when a post came.
        heard: called after something was stored that a job has to act on.
    """
    webhook = _Webhook(settings, Inbox(settings, clock, heard=heard))
    return [
        Route(PATH, webhook.shake_hands, methods=["GET"]),
        Route(PATH, webhook.take, methods=["POST"]),
    ]


class _Webhook:
    def __init__(self, settings: Settings, inbox: Inbox) -> None:
        self._settings = settings
        self._inbox = inbox
        given = (settings.meta_app_secret, settings.meta_app_secret_old)
        self._secrets = [secret.encode() for secret in given if secret]

    async def shake_hands(self, request: Request) -> Response:
        """Answer Meta's handshake: whoever knows the verify token gets its challenge back."""
        query = request.query_params
        token, challenge = query.get("hub.verify_token", ""), query.get("hub.challenge", "")
        wanted = (self._settings.meta_verify_token or "").encode()
        known = hmac.compare_digest(token.encode("utf-8", "replace"), wanted)
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
        if not self._is_signed(body, request.headers.get("x-hub-signature-256", "")):
            return _refused(401, "a post was not signed with the app's secret")
        payload = parse(body)
        if payload is None:
            # Sent again for days, it would be understood no better.
            log_event(logger, logging.WARNING, "a signed post was not understood", event="webhook")
            return PlainTextResponse("")
        return PlainTextResponse("", await self._inbox.take(payload))

    def _is_signed(self, body: bytes, signature: str) -> bool:
        match = _SIGNATURE.fullmatch(signature.lower())
        given = match[1] if match else ""
        digests = (hmac.new(secret, body, sha256).hexdigest() for secret in self._secrets)
        return any(hmac.compare_digest(given, digest) for digest in digests)


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
    log_event(logger, logging.WARNING, why, event="webhook", status=status)
    return PlainTextResponse("refused", status)
