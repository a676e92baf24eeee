"""Forwarding to SmartIA's API what is not for us, where it serves the same number.

Its chatbot answers whatever it is given: it gets neither statuses of our messages, nor taps on
our buttons, nor words that we understand as an answer to a message of ours.
"""

import asyncio
import hmac
import json
import logging
import ssl
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from hashlib import sha256
from typing import Any

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from sqlalchemy.exc import SQLAlchemyError

from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clock import Clock
from smartia_jobs.database import Database
from smartia_jobs.database.errors import explain
from smartia_jobs.errors import SmartiaJobsError
from smartia_jobs.inbox.forwarding import Piece, keep_only, pieces
from smartia_jobs.inbox.whose import Tap
from smartia_jobs.incoming import Meaning, PatientAnswer
from smartia_jobs.jobs.opening import open_clinic
from smartia_jobs.jobs.understanding import Understanding
from smartia_jobs.logs import log_event
from smartia_jobs.message import CallbackData
from smartia_jobs.run import Run
from smartia_jobs.store.forwarded import give_back, sent_among, take
from smartia_jobs.store.installation import installation_id
from smartia_jobs.web.clinics import ServedClinic
from smartia_jobs.whatsapp.connections import Adapter, NotSentError, SharedTLS

logger = logging.getLogger(__name__)

#: How long Meta is let wait for it: for a turn, to connect, and then for the whole answer.
_IN_ALL_S = 5.0
_TURN_S, _TIMEOUTS_S = 1.0, (1.5, 2.0)
#: Posts that may be under way at once; the next one waits for its turn.
_MOST_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class _Ours:
    """What of a post is for us alone.

    Attributes:
        installation: the id that our messages carry.
        sent: the ids by which WhatsApp knows messages that we sent.
        understood: the ids of the answers that we act on.
    """

    installation: str
    sent: frozenset[str]
    understood: frozenset[str]

    def has(self, piece: Piece) -> bool:
        """Whether a piece is ours, so that SmartIA's chatbot must not answer it."""
        element = piece.element if isinstance(piece.element, dict) else {}
        match piece.part_of:
            case "statuses":
                sent_along = CallbackData.parse(str(element.get("biz_opaque_callback_data")))
                if sent_along is not None and sent_along.installation == self.installation:
                    return True
                return element.get("id") in self.sent
            case "messages":
                return element.get("id") in self.understood
            case _:
                return False


@dataclass(frozen=True, slots=True)
class Underway:
    """A post on its way to SmartIA's API.

    Attributes:
        digests: what it is made of.
        left: whether it left, or may have.
    """

    digests: frozenset[str]
    left: "Future[bool]"


class Forwarding:
    """Passes on in threads of its own: whoever stores posts waits for SmartIA never.

    Safe to use from as many threads as there are databases.
    """

    def __init__(
        self,
        clinic: ServedClinic,
        clock: Clock,
        *,
        inbox: Executor,
        database: Callable[[], Database],
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            clinic: with ``WEBHOOK_FORWARD_URL``.
            clock: for what has to be decided by the time.
            inbox: the threads that own a database each.
            database: returns it, within one of them. It needs the rights of the jobs: what they
                read decides whether an answer is understood.
        """
        self._settings = settings = clinic.settings
        self._labels = clinic.labels
        self._clock = clock
        self._inbox = inbox
        self._database = database
        self._url = settings.webhook_forward_url or ""
        self._secret = (settings.meta_app_secret or "").encode()
        self._adapter = Adapter(_MOST_AT_ONCE, _tls())
        self._threads = ThreadPoolExecutor(_MOST_AT_ONCE, thread_name_prefix="forwarding")
        self._appointments: Appointments | None = None

    def begin(
        self,
        payload: Mapping[str, Any],
        answers: Collection[PatientAnswer],
        *,
        received_at: datetime,
    ) -> Underway | None:
        """Note what of a post is not ours and begin to pass it on, once; None: nothing of it.

        Only within a thread of the inbox.

        Args:
            payload: what the post holds.
            answers: what was read in it.
            received_at: when it came.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database is away; nothing was passed on.
            SmartiaJobsError: it is not SmartIA's.
        """
        ours = self._ours(payload, answers, received_at)
        theirs = {piece.digest: not ours.has(piece) for piece in pieces(payload)}
        # Ours are noted, too: when they come again, what they are about may have changed.
        with self._database().write() as connection:
            new = take(connection, theirs, at=received_at)
        digests = frozenset(digest for digest in new if theirs[digest])
        rest = keep_only(payload, digests)
        if rest is None:
            return None
        signed = json.dumps(rest).encode()
        return Underway(
            digests, self._threads.submit(self._send, signed, digests, time.monotonic())
        )

    async def has_left(self, underway: Underway) -> bool:
        """Return whether it left or may have, after 5 s at the latest; False: it surely did not."""
        try:
            async with asyncio.timeout(_IN_ALL_S):
                return await asyncio.shield(asyncio.wrap_future(underway.left))
        except TimeoutError:
            if not underway.left.cancel():
                return True
        # Its turn had not come.
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._inbox, self._give_back, underway.digests)
        return False

    def close(self) -> None:
        """End its threads and connections; nothing may be under way."""
        self._threads.shutdown(wait=False)
        self._adapter.close()

    def _send(self, body: bytes, digests: frozenset[str], begun_s: float) -> bool:
        if time.monotonic() - begun_s <= _TURN_S and self._post(body):
            return True
        # Before Meta is answered, as it may post again at once.
        self._inbox.submit(self._give_back, digests).result()
        return False

    def _give_back(self, digests: frozenset[str]) -> None:
        try:
            with self._database().write() as connection:
                give_back(connection, digests)
        except (SQLAlchemyError, SmartiaJobsError) as error:
            why = explain(error) if isinstance(error, SQLAlchemyError) else error
            self._log(
                logging.ERROR, f"SmartIA's API will never get a post that was not sent: {why}"
            )

    def _ours(
        self,
        payload: Mapping[str, Any],
        answers: Collection[PatientAnswer],
        received_at: datetime,
    ) -> _Ours:
        database = self._database()
        run = Run("webhook", self._settings, self._clock, database, received_at, dry_run=True)
        if answers and self._appointments is None:
            self._appointments = open_clinic(run)
        with database.read() as connection:
            installation = installation_id(connection)
            understood: set[str] = set()
            if self._appointments is not None:
                understanding = Understanding(run, self._appointments)
                is_ours = partial(_is_ours, installation=installation)
                for answer in answers:
                    found = understanding.of(connection, answer)
                    acted_on = found.ignored is None and found.meaning is not Meaning.UNCLEAR
                    if acted_on or is_ours(answer):
                        understood.add(answer.message_id)
            sent = sent_among(connection, _status_ids(payload))
        return _Ours(installation, sent, frozenset(understood))

    def _post(self, body: bytes) -> bool:
        """Return whether it left; what came back, or did not, changes nothing."""
        signature = hmac.new(self._secret, body, sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-Hub-Signature-256": f"sha256={signature}",
            "Accept-Encoding": "identity",
        }
        request = requests.Request("POST", self._url, headers=headers, data=body).prepare()
        try:
            with self._adapter.send(request, stream=True, timeout=_TIMEOUTS_S) as answer:
                status: int | None = answer.status_code
        except NotSentError:
            self._log(logging.ERROR, "SmartIA's API cannot be reached; Meta is asked to come again")
            return False
        except (OSError, ValueError):
            status = None
        if status is None or status >= 300:
            self._log(logging.WARNING, "SmartIA's API did not take a post", status=status)
        return True

    def _log(self, level: int, what: str, **fields: Any) -> None:
        log_event(logger, level, what, event="forwarding", **fields, **self._labels)


def _status_ids(payload: Mapping[str, Any]) -> set[str]:
    """Return which messages the statuses of a post are about."""
    elements = (piece.element for piece in pieces(payload) if piece.part_of == "statuses")
    ids = (element.get("id") for element in elements if isinstance(element, dict))
    # PostgreSQL takes no NUL, and nothing that is no UTF-8; no id has them.
    return {one for one in ids if isinstance(one, str) and one.isascii() and one.isprintable()}


def _is_ours(answer: PatientAnswer, *, installation: str) -> bool:
    """Whether it is a tap on a button of ours, whatever has become of its message."""
    tap = Tap.parse(answer.payload)
    return tap is not None and tap.installation == installation


@cache
def _tls() -> SharedTLS:
    """Return whom to trust, read once for all clinics."""
    tls = SharedTLS(ssl.PROTOCOL_TLS_CLIENT)
    tls.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return tls
