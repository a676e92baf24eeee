"""WhatsApp's webhook: who may post, how much, and what is answered. It stores; a job decides."""

import asyncio
import hmac
import logging
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, SQLAlchemyError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from smartia_jobs.clock import Clock
from smartia_jobs.database import Database
from smartia_jobs.database.errors import explain
from smartia_jobs.errors import ConfigurationError, SmartiaJobsError
from smartia_jobs.inbox.payload import Post, read
from smartia_jobs.logs import log_event
from smartia_jobs.settings import Settings
from smartia_jobs.store.inbox import store_answers, store_notices, store_statuses
from smartia_jobs.store.schema import tables_exist
from smartia_jobs.web.forwarding import Forwarding, Underway

logger = logging.getLogger(__name__)

PATH = "/webhook"
#: The most that one post may hold. Source: Meta, "Create a webhook endpoint" (2026-11).
MOST_BYTES = 3 << 20
#: Connections to PostgreSQL; SQLite has one writer at a time.
_CONNECTIONS = {"postgresql": 4, "sqlite": 1}

#: How long a post waits for its turn and the database; then Meta's queue keeps it.
_PATIENCE_S = 10.0

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{1,256}")
_SIGNATURE = re.compile(r"sha256=([0-9a-f]{64})")


def webhook_routes(settings: Settings, clock: Clock, *, heard: Callable[[], None]) -> list[Route]:
    """Return the handshake and the post.

    Args:
        settings: with verify token and app secret.
        clock: says when a post came.
        heard: called after something was stored that a job has to act on.
    """
    webhook = _Webhook(settings, clock, heard)
    return [
        Route(PATH, webhook.shake_hands, methods=["GET"]),
        Route(PATH, webhook.take, methods=["POST"]),
    ]


class _Webhook:
    def __init__(self, settings: Settings, clock: Clock, heard: Callable[[], None]) -> None:
        self._settings = settings
        self._clock = clock
        self._heard = heard
        self._inbox = _Inbox(settings.database_url)
        forwards = settings.webhook_forward_url is not None
        self._forwarding = (
            Forwarding(settings, clock, inbox=self._inbox.threads, database=self._inbox.database)
            if forwards
            else None
        )
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
        log_event(logger, logging.WARNING, "a handshake was refused", event="webhook", status=403)
        return PlainTextResponse("refused", 403)

    async def take(self, request: Request) -> Response:
        """Store what Meta posts, and say so only when it is stored."""
        try:
            body = await _body(request)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        if body is None:
            return self._refused(413, "a post was larger than Meta's are")
        if not self._is_signed(body, request.headers.get("x-hub-signature-256", "")):
            return self._refused(401, "a post was not signed with the app's secret")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                stored = loop.run_in_executor(self._inbox.threads, self._store, body)
                status, underway = await stored
        except TimeoutError:
            # If it was begun it may be stored yet, and is not again when Meta repeats it.
            return self._refused(503, "a post was not stored in time")
        if self._forwarding and underway and not await self._forwarding.has_left(underway):
            status = 503  # Meta comes again with it
        return PlainTextResponse("", status)

    def _is_signed(self, body: bytes, signature: str) -> bool:
        match = _SIGNATURE.fullmatch(signature.lower())
        given = match[1] if match else ""
        digests = (hmac.new(secret, body, sha256).hexdigest() for secret in self._secrets)
        return any(hmac.compare_digest(given, digest) for digest in digests)

    def _store(self, body: bytes) -> tuple[int, Underway | None]:
        """Return the HTTP status, and what SmartIA is told of it.

        The status is 200 once it is committed, or can never be understood.
        """
        received_at = self._clock.now()
        post = read(
            body,
            phone_number_id=self._settings.meta_phone_number_id,
            received_at=received_at,
        )
        if post is None:
            # Sent again for days, it would be understood no better.
            log_event(logger, logging.WARNING, "a signed post was not understood", event="webhook")
            return 200, None
        try:
            if post.statuses or post.answers or post.notices:
                self._write(post, received_at)
        except (SQLAlchemyError, SmartiaJobsError) as error:
            _log_failure("a post was not stored", error)
            return 503, None  # Meta sends it again
        _log(post)
        status, underway = 200, None
        try:
            if self._forwarding is not None:
                underway = self._forwarding.begin(body, post.answers, received_at=received_at)
        except (SQLAlchemyError, SmartiaJobsError) as error:
            _log_failure("a post was stored, and is not passed on yet", error)
            status = 503
        if post.statuses or post.answers:
            self._heard()
        return status, underway

    def _write(self, post: Post, received_at: datetime) -> None:
        try:
            self._write_all(post, received_at)
        except DataError:
            # Such as a letter that the database's encoding has not: it would be refused for days,
            # and all others with it.
            for piece in post.pieces():
                try:
                    self._write_all(piece, received_at)
                except DataError:
                    post.ignored["refused"] += 1
            log_event(
                logger,
                logging.WARNING,
                "the database refused a part of a post, which is left out",
                event="webhook",
                refused=post.ignored["refused"],
            )

    def _write_all(self, post: Post, received_at: datetime) -> None:
        with self._inbox.write() as connection:
            store_statuses(connection, post.statuses, received_at=received_at)
            store_answers(connection, post.answers, received_at=received_at)
            store_notices(connection, post.notices, received_at=received_at)

    def _refused(self, status: int, why: str) -> Response:
        log_event(logger, logging.WARNING, why, event="webhook", status=status)
        return PlainTextResponse("refused", status)


class _Inbox:
    """Where posts are stored: a few threads, each with a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._own = threading.local()
        self._has_tables = False
        dialect = "sqlite" if url.startswith("sqlite") else "postgresql"
        self.threads = ThreadPoolExecutor(_CONNECTIONS[dialect], thread_name_prefix="inbox")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a short transaction; only within one of the threads.

        Raises:
            SmartiaJobsError: our tables are missing or too old.
        """
        with self.database().write() as connection:
            yield connection

    def database(self) -> Database:
        """Return the database that one of the threads owns; errors are those of ``write``."""
        database: Database | None = getattr(self._own, "database", None)
        if database is None:
            database = self._own.database = Database(self._url)
        if not self._has_tables:
            with database.read() as connection:
                self._has_tables = tables_exist(connection)
            if not self._has_tables:
                raise ConfigurationError(
                    "smartia-jobs' own tables are missing. Run: smartia-jobs db upgrade"
                )
        return database


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


def _log_failure(what: str, error: SQLAlchemyError | SmartiaJobsError) -> None:
    why = explain(error) if isinstance(error, SQLAlchemyError) else error
    log_event(logger, logging.ERROR, f"{what}: {why}", event="webhook")


def _log(post: Post) -> None:
    log_event(
        logger,
        logging.INFO if post.ignored else logging.DEBUG,
        "heard",
        event="webhook",
        statuses=len(post.statuses),
        answers=len(post.answers),
        notices=len(post.notices),
        ignored=dict(post.ignored),
    )
    if post.notices:
        log_event(
            logger,
            logging.WARNING,
            "Meta tells something of the account or a template; smartia-jobs check lists it",
            event="webhook",
            notices=len(post.notices),
        )
