"""A clinic's inbox: what Meta posts about it is stored and passed on, and a job told of it."""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any

from sqlalchemy.exc import DataError, SQLAlchemyError

from smartia_jobs.clock import Clock
from smartia_jobs.database import Database
from smartia_jobs.database.errors import explain
from smartia_jobs.errors import SmartiaJobsError
from smartia_jobs.inbox.payload import Post, read
from smartia_jobs.logs import log_event, tell
from smartia_jobs.store.inbox import store_answers, store_notices, store_statuses
from smartia_jobs.store.schema import require
from smartia_jobs.web.clinics import ServedClinic
from smartia_jobs.web.forwarding import Forwarding, Underway

logger = logging.getLogger(__name__)

#: Connections to PostgreSQL, for the only clinic; SQLite has one writer at a time.
_CONNECTIONS = {"postgresql": 4, "sqlite": 1}
#: A post that is stored takes milliseconds.
_HANGS_AFTER_S = 1.0


class Inbox:
    """Stores in threads of its own, each with a connection; nothing is connected yet."""

    def __init__(
        self, clinic: ServedClinic, clock: Clock, *, on_stored: Callable[[str], None], alone: bool
    ) -> None:
        """Prepare.

        Args:
            clinic: whose it is.
            clock: says when a post came.
            on_stored: told the clinic's name after something was stored that a job has to act on.
            alone: there is no other clinic; else there is but one connection.
        """
        self._clinic = clinic
        self._settings = settings = clinic.settings
        self._clock = clock
        self._on_stored = on_stored
        self._own = threading.local()
        self._has_tables = False
        dialect = "sqlite" if settings.database_url.startswith("sqlite") else "postgresql"
        connections = _CONNECTIONS[dialect] if alone else 1
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="inbox")
        #: And since when it has been under way.
        self._work: dict[Future[Any], float] = {}
        self._forwarding = (
            Forwarding(clinic, clock, inbox=self._threads, database=self._database)
            if settings.webhook_forward_url is not None
            else None
        )

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being stored or passed on."""
        return not self._work

    @property
    def hangs(self) -> bool:
        """Whether something has been under way for long, as when the database says nothing."""
        # A copy, made at once: the threads take out what is done.
        began_s = min(list(self._work.values()), default=math.inf)
        return time.monotonic() - began_s > _HANGS_AFTER_S

    def store(self, payload: Mapping[str, Any]) -> "asyncio.Future[tuple[int, Underway | None]]":
        """Store what a post holds, and begin to pass on what is not for us.

        Returns:
            the HTTP status, and what SmartIA is told of it. It is 200 once it is committed, and
            503 when Meta is to come again with it.
        """
        work = self._threads.submit(self._store, payload)
        self._busy_until_done(work)
        return asyncio.wrap_future(work)

    async def has_left(self, underway: Underway) -> bool:
        """Return whether what SmartIA is told left or may have; False: it surely did not."""
        return self._forwarding is None or await self._forwarding.has_left(underway)

    def close(self) -> None:
        """Close the one connection and end the threads; it must be idle, and is not used again."""
        self._threads.submit(self._close_database)
        self._threads.shutdown(wait=False)
        if self._forwarding is not None:
            self._forwarding.close()

    def _busy_until_done(self, work: "Future[Any]") -> None:
        self._work[work] = time.monotonic()
        work.add_done_callback(self._work.pop)

    def _store(self, payload: Mapping[str, Any]) -> tuple[int, Underway | None]:
        received_at = self._clock.now()
        post = read(
            payload,
            phone_number_id=self._settings.meta_phone_number_id,
            received_at=received_at,
        )
        try:
            if post.statuses or post.answers or post.notices:
                self._write(post, received_at)
        except (SQLAlchemyError, SmartiaJobsError) as error:
            self._log_failure("a post was not stored", error)
            return 503, None
        self._log_heard(post)
        status, underway = 200, None
        try:
            if self._forwarding is not None:
                underway = self._forwarding.begin(payload, post.answers, received_at=received_at)
                if underway is not None:
                    self._busy_until_done(underway.left)
        except (SQLAlchemyError, SmartiaJobsError) as error:
            self._log_failure("a post was stored, and is not passed on yet", error)
            status = 503
        if post.statuses or post.answers:
            self._on_stored(self._clinic.name)
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
            self._log(
                logging.WARNING,
                "the database refused a part of a post, which is left out",
                refused=post.ignored["refused"],
            )

    def _write_all(self, post: Post, received_at: datetime) -> None:
        with self._database().write() as connection:
            store_statuses(connection, post.statuses, received_at=received_at)
            store_answers(connection, post.answers, received_at=received_at)
            store_notices(connection, post.notices, received_at=received_at)

    def _database(self) -> Database:
        """Return the database that one of the threads owns; only within it.

        Raises:
            SmartiaJobsError: our tables are missing or too old.
        """
        database: Database | None = getattr(self._own, "database", None)
        if database is None:
            database = self._own.database = Database(self._settings.database_url)
        if not self._has_tables:
            with database.read() as connection:
                require(connection, upgrade=self._clinic.upgrade)
            self._has_tables = True
        return database

    def _close_database(self) -> None:
        database: Database | None = getattr(self._own, "database", None)
        if database is not None:
            database.close()

    def _log_heard(self, post: Post) -> None:
        log_post(post, self._clinic.labels)
        if post.notices:
            self._log(
                logging.WARNING,
                "Meta tells something of the account or a template; smartia-jobs check lists it",
                notices=len(post.notices),
            )

    def _log_failure(self, what: str, error: SQLAlchemyError | SmartiaJobsError) -> None:
        why = explain(error) if isinstance(error, SQLAlchemyError) else error
        self._log(logging.ERROR, f"{what}: {why}")

    def _log(self, level: int, what: str, **fields: Any) -> None:
        log_event(logger, level, what, event="webhook", **fields, **self._clinic.labels)


def log_post(post: Post, labels: Mapping[str, str] = {}) -> None:
    """Log how much a post said, and how much of it was left out."""
    log_event(
        logger,
        logging.INFO if post.ignored else logging.DEBUG,
        "heard",
        event="webhook",
        statuses=len(post.statuses),
        answers=len(post.answers),
        notices=len(post.notices),
        ignored=dict(post.ignored),
        **labels,
    )
    tell(logger, f"heard {_in_words(post)}", **labels)


def _in_words(post: Post) -> str:
    kept = [
        *_counted(post.statuses, "status", "statuses"),
        *_counted(post.answers, "answer", "answers"),
        *_counted(post.notices, "notice", "notices"),
    ]
    left_out = [f"{count} {reason.replace('_', ' ')}" for reason, count in post.ignored.items()]
    said = ", ".join(kept) or "nothing for us"
    return f"{said}; left out: {', '.join(left_out)}" if left_out else said


def _counted(found: Sized, one: str, more: str) -> Iterator[str]:
    if count := len(found):
        yield f"{count} {one if count == 1 else more}"
