"""Passing on to SmartIA's API what is not for us, where it hears the same number.

Its chatbot answers whatever it is given: it gets neither statuses of our messages, nor taps on
our buttons, nor words that we understand as an answer to a message of ours.
"""

import hmac
import json
import logging
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clock import Clock
from smartia_jobs.database import Database
from smartia_jobs.inbox.passing_on import Piece, only, pieces
from smartia_jobs.inbox.whose import Tap
from smartia_jobs.inbox.words import Meaning
from smartia_jobs.incoming import PatientAnswer
from smartia_jobs.jobs.opening import open_clinic
from smartia_jobs.jobs.understanding import Understanding
from smartia_jobs.logs import log_event
from smartia_jobs.message import CallbackData
from smartia_jobs.run import Run
from smartia_jobs.settings import Settings
from smartia_jobs.store.answers import StoredAnswer
from smartia_jobs.store.forwarded import give_back, take
from smartia_jobs.store.installation import installation_word
from smartia_jobs.whatsapp.connections import Adapter, NotSentError, SharedTLS

logger = logging.getLogger(__name__)

#: To connect, and then for the whole answer: Meta waits meanwhile.
_TIMEOUTS_S = (2.0, 3.0)
#: Posts that may be under way at once; the next one waits.
_MOST_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class _Ours:
    """What of a post is for us alone.

    Attributes:
        installation: the word that our messages carry.
        understood: the ids of the answers that we act on.
    """

    installation: str
    understood: frozenset[str]

    def has(self, piece: Piece) -> bool:
        """Whether a piece is ours, so that SmartIA's chatbot must not answer it."""
        element = piece.element if isinstance(piece.element, dict) else {}
        match piece.kind:
            case "statuses":
                sent_along = CallbackData.parse(str(element.get("biz_opaque_callback_data")))
                return sent_along is not None and sent_along.installation == self.installation
            case "messages":
                return element.get("id") in self.understood
            case _:
                return False


class Forwarding:
    """Safe to use from as many threads as there are databases."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Prepare; nothing is connected yet.

        Args:
            settings: with ``WEBHOOK_FORWARD_URL`` and the app's secret.
            clock: for what has to be decided by the time.
        """
        self._settings = settings
        self._clock = clock
        self._url = settings.webhook_forward_url or ""
        self._secret = (settings.meta_app_secret or "").encode()
        tls = SharedTLS(ssl.PROTOCOL_TLS_CLIENT)
        tls.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
        self._adapter = Adapter(_MOST_AT_ONCE, tls)
        self._appointments: Appointments | None = None

    def pass_on(
        self,
        database: Database,
        body: bytes,
        answers: Collection[PatientAnswer],
        *,
        received_at: datetime,
    ) -> bool:
        """Pass on, once, what of a post is not ours; return False when it surely did not leave.

        Args:
            database: with the rights of the jobs, which understanding an answer needs.
            body: as Meta posted it: JSON, and of a WhatsApp account.
            answers: what was read in it.
            received_at: when it came.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database is away; nothing was passed on.
            SmartiaJobsError: it is not SmartIA's.
        """
        payload: dict[str, Any] = json.loads(body)
        ours = self._ours(database, answers, received_at)
        theirs = {piece.mark: not ours.has(piece) for piece in pieces(payload)}
        # Ours are noted, too: when they come again, what they are about may have changed.
        with database.write() as connection:
            new = take(connection, theirs, at=received_at)
        wanted = {mark for mark in new if theirs[mark]}
        rest = only(payload, lambda piece: piece.mark in wanted)
        if rest is None:
            return True
        left = self._post(json.dumps(rest).encode())
        if not left:
            with database.write() as connection:
                give_back(connection, wanted)
        return left

    def _ours(
        self, database: Database, answers: Collection[PatientAnswer], received_at: datetime
    ) -> _Ours:
        run = Run("webhook", self._settings, self._clock, database, received_at, dry_run=True)
        if answers and self._appointments is None:
            self._appointments = open_clinic(run)
        with database.read() as connection:
            installation = installation_word(connection)
            understood: set[str] = set()
            if self._appointments is not None:
                understanding = Understanding(run, self._appointments)
                is_ours = partial(_is_ours, installation=installation)
                for answer in answers:
                    found = understanding.of(connection, _unstored(answer, received_at))
                    acted_on = found.ignored is None and found.meaning is not Meaning.UNCLEAR
                    if acted_on or is_ours(answer):
                        understood.add(answer.message_id)
        return _Ours(installation, frozenset(understood))

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
            _log(logging.ERROR, "SmartIA's API cannot be reached; Meta is asked to come again")
            return False
        except (OSError, ValueError):
            status = None
        if status is None or status >= 300:
            _log(logging.WARNING, "SmartIA's API did not take a post", status=status)
        return True


def _is_ours(answer: PatientAnswer, *, installation: str) -> bool:
    """Whether it is a tap on a button of ours, whatever has become of its message."""
    tap = Tap.parse(answer.payload)
    return tap is not None and tap.installation == installation


def _unstored(answer: PatientAnswer, received_at: datetime) -> StoredAnswer:
    return StoredAnswer(
        id=0,
        message_id=answer.message_id,
        source=answer.source,
        phone=answer.phone,
        type=answer.type,
        text=answer.text,
        payload=answer.payload,
        context_id=answer.context_id,
        said_at=answer.said_at,
        received_at=received_at,
    )


def _log(level: int, what: str, **context: Any) -> None:
    log_event(logger, level, what, event="forwarding", **context)
