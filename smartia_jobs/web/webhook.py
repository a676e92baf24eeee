"""WhatsApp's webhook: who may post, how much, and what is answered. It stores; a job decides."""

import asyncio
import hmac
import logging
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from smartia_jobs.clock import Clock
from smartia_jobs.inbox.parts import NOBODY
from smartia_jobs.inbox.payload import nobodys, parse
from smartia_jobs.logs import log_event, tell
from smartia_jobs.web.bodies import Bodies, RefusedError
from smartia_jobs.web.clinics import UNCLEAR, ManyClinics, OneClinic
from smartia_jobs.web.inbox import Inbox, log_post
from smartia_jobs.web.inboxes import Inboxes

logger = logging.getLogger(__name__)

PATH = "/webhook"
#: The most that is hashed to find out who has signed a post: the largest one for 8 apps, or one of
#: 50 kB for 500.
_MOST_HASHED_BYTES = 24 << 20
#: Posts whose signatures are looked at at one time; nothing else waits for them.
_CHECKED_AT_ONCE = 2

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
        self._bodies = Bodies()
        self._checks = ThreadPoolExecutor(_CHECKED_AT_ONCE, thread_name_prefix="signatures")

    async def shake_hands(self, request: Request) -> Response:
        """Answer Meta's handshake: whoever knows a verify token gets its challenge back."""
        query = request.query_params
        token, challenge = query.get("hub.verify_token", ""), query.get("hub.challenge", "")
        given = token.encode("utf-8", "replace")
        known = {wanted for wanted in self._tokens if hmac.compare_digest(given, wanted)}
        if query.get("hub.mode") == "subscribe" and known and _CHALLENGE.fullmatch(challenge):
            tell(logger, "a handshake was accepted: Meta knows this address now")
            return PlainTextResponse(challenge, headers={"X-Content-Type-Options": "nosniff"})
        return _refused(403, "a handshake was refused")

    async def take(self, request: Request) -> Response:
        """Store what Meta posts, and say so only when it is stored."""
        signature = _SIGNATURE.fullmatch(request.headers.get("x-hub-signature-256", "").lower())
        if signature is None:
            return _refused(401, "a post has no signature")
        try:
            signed_by, payload = await self._read(request, bytes.fromhex(signature[1]))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except RefusedError as refused:
            return _refused(refused.status, str(refused))
        if signed_by is None:
            return _refused(401, "a post was not signed with the app's secret")
        if payload is None:
            # Sent again for days, it would be understood no better.
            log_event(logger, logging.WARNING, "a signed post was not understood", event="webhook")
            return PlainTextResponse("")
        parts = self._clinics.parts(payload, signed_by)
        statuses = await asyncio.gather(
            *(self._take_part(name, part, signed_by) for name, part in parts.items())
        )
        return PlainTextResponse("", max(statuses))

    async def _read(
        self, request: Request, given: bytes
    ) -> tuple[bytes | None, dict[str, Any] | None]:
        """Return which secret has signed a post, and what it holds if one has."""
        async with self._bodies.read(request) as body:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._checks, self._check, body, given)

    def _check(self, body: bytes, given: bytes) -> tuple[bytes | None, dict[str, Any] | None]:
        affordable = _MOST_HASHED_BYTES // max(1, len(body))
        for secret in islice(self._clinics.may_have_signed(body), affordable):
            if hmac.compare_digest(given, hmac.digest(secret, body, "sha256")):
                return secret, parse(body)
        return None, None

    async def _take_part(self, name: str, payload: dict[str, Any], signed_by: bytes) -> int:
        """Return the HTTP status for a clinic's part: not 200 as long as Meta is to keep it."""
        clinic = self._by_name.get(name)
        if clinic is None and name == NOBODY:
            log_post(nobodys(payload))
            return 200
        # Until somebody mends a clinic's settings, Meta's queue keeps what its patients answer.
        if clinic is None and name == UNCLEAR:
            _log_refusal(
                503,
                "a post is about a number of no clinic, while these have none that can be read",
                {"clinics": list(self._clinics.without_number)},
            )
            return 503
        if clinic is None:
            _log_refusal(503, "a post is about a clinic that is not served", {"clinic": name})
            return 503
        if signed_by not in clinic.secrets:
            _log_refusal(401, "a post was not signed with this clinic's secret", clinic.labels)
            return 401
        return await self._inboxes.take(clinic, payload)


def _refused(status: int, why: str) -> Response:
    _log_refusal(status, why)
    return PlainTextResponse("refused", status)


def _log_refusal(status: int, why: str, labels: Mapping[str, Any] = {}) -> None:
    log_event(logger, logging.WARNING, why, event="webhook", status=status, **labels)
