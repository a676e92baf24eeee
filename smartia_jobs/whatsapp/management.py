"""Asking Meta about token, number and account, and registering templates.

Each call says what it wants in its own words: the address of a next page, which holds the
token, is never followed, and an asked field that this version of Graph does not know costs
that field alone.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from requests import PreparedRequest
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from smartia_jobs.clock import Clock
from smartia_jobs.errors import (
    ConfigurationError,
    ExitStatus,
    RefusedError,
    SmartiaJobsError,
    UnavailableError,
)
from smartia_jobs.logs import log_event
from smartia_jobs.message import Answer, Verdict
from smartia_jobs.settings import Settings
from smartia_jobs.whatsapp.answers import classify
from smartia_jobs.whatsapp.codes import SENDER
from smartia_jobs.whatsapp.connections import NotSentError
from smartia_jobs.whatsapp.transport import NoAnswerError, Reply, Transport

logger = logging.getLogger(__name__)

#: Rows asked for at once, and the most pages of them: Meta has at most 6000 templates.
_PAGE_SIZE = 100
_MOST_PAGES = 100

#: One wait, and the longest that is waited for at all, in seconds (design: waits in a run).
_LONGEST_WAIT_S = 60.0
_WORTH_WAITING_S = 300.0
_TRIES = 4
_backoff = wait_exponential(multiplier=2, max=_LONGEST_WAIT_S) + wait_random(0, 1)

_UNKNOWN_FIELD = 100
_CURSOR_EXPIRED = 131059
_SENDER_UNKNOWN = SENDER.reason


class GraphRefusalError(ConfigurationError):
    """Graph found something wrong in the request itself.

    Attributes:
        code: Graph's error code.
        subcode: Graph's hint, where it gave one.
    """

    def __init__(self, text: str, *, code: int | None, subcode: int | None = None) -> None:
        """Keep what a caller may decide by."""
        super().__init__(text)
        self.code = code
        self.subcode = subcode


@dataclass(frozen=True, slots=True)
class Rows:
    """What Graph told of one or more objects.

    Attributes:
        rows: field to value; fields without a value are left out.
        unknown: asked fields that this version of Graph does not know.
    """

    rows: tuple[Mapping[str, Any], ...]
    unknown: frozenset[str] = frozenset()


class _Again(Exception):
    """This attempt failed; another may help."""

    def __init__(self, error: SmartiaJobsError, answer: Answer) -> None:
        super().__init__()
        self.error = error
        self.answer = answer


class Management:
    """The clinic's account at Meta, for reading and for registering templates.

    Reading is tried again when it was throttled or went unanswered; registering only when it
    was surely refused for the moment.

    Args:
        settings: token and address.
        clock: waits, and tells how far Meta's clock is from ours.
        transport: to share one; by default its own.

    Attributes:
        clock_skew: how far Meta's clock is ahead of ours, by the last answer; None before it.

    Raises:
        ConfigurationError: there is no token.

    Every call raises
        RefusedError: token, permission or id; a person must act.
        GraphRefusalError, ConfigurationError: the request itself is wrong.
        UnavailableError: no answer, or still throttled after some polite waiting.
    """

    def __init__(
        self, settings: Settings, clock: Clock, *, transport: Transport | None = None
    ) -> None:
        """Connect to nothing yet."""
        if not settings.meta_access_token:
            raise ConfigurationError("META_ACCESS_TOKEN is not set; nothing can be asked of Meta.")
        self._token = settings.meta_access_token
        self._secrets = (settings.meta_access_token, settings.meta_app_secret or "")
        self._clock = clock
        self._transport = transport or Transport(settings, workers=1)
        self._stop = threading.Event()
        self.clock_skew: timedelta | None = None

    def node(
        self, node_id: str, fields: Sequence[str], *, optional: Sequence[str] = (), of: str
    ) -> Rows:
        """Return one object's fields as the only row.

        Args:
            node_id: its Graph id.
            fields: those that every version knows.
            optional: those that it may not know; they are asked for in calls of their own.
            of: the setting that holds the id, for the advice when there is no such object.
        """
        path = quote(node_id, safe="")

        def fetch(asked: Sequence[str]) -> list[Mapping[str, Any]]:
            return [self._get(path, {"fields": ",".join(asked)}, of=of)]

        return _merged(fetch, ["id", *fields], optional, key=lambda _: path)

    def listing(
        self, path: str, fields: Sequence[str], *, optional: Sequence[str] = (), of: str
    ) -> Rows:
        """Return all rows of a list, over all its pages; arguments as for :meth:`node`."""

        def fetch(asked: Sequence[str]) -> list[Mapping[str, Any]]:
            return self._all_pages(path, ["id", *asked], of=of)

        return _merged(fetch, fields, optional, key=lambda row: str(row.get("id")))

    def debug_token(self) -> Mapping[str, Any]:
        """Return what Meta knows about the token; it then stands in the address, never logged."""
        data = self._get("debug_token", {"input_token": self._token}).get("data")
        if not isinstance(data, dict):
            raise UnavailableError("WhatsApp's answer about the token cannot be read.")
        return data

    def create_template(self, waba_id: str, definition: Mapping[str, Any]) -> Mapping[str, Any]:
        """Register a template once; return Meta's ``id``, ``status`` and ``category``."""
        request = self._transport.prepare("POST", f"{quote(waba_id, safe='')}/message_templates")
        body = json.dumps(definition).encode()
        return self._call(request, body, of="META_WABA_ID")

    def close(self) -> None:
        """Close every idle connection."""
        self._transport.close()

    def _all_pages(self, path: str, fields: Sequence[str], *, of: str) -> list[Mapping[str, Any]]:
        for anew in (True, True, False):
            try:
                return [row for page in self._pages(path, fields, of=of) for row in page]
            except GraphRefusalError as error:
                # A cursor may expire while a quota is waited for: then the list is read anew.
                if error.code != _CURSOR_EXPIRED or not anew:
                    raise
        raise AssertionError("the last try returns or raises")

    def _pages(
        self, path: str, fields: Sequence[str], *, of: str
    ) -> Iterator[list[Mapping[str, Any]]]:
        params = {"fields": ",".join(fields), "limit": str(_PAGE_SIZE)}
        for _ in range(_MOST_PAGES):
            page = self._get(path, params, of=of)
            data = page.get("data")
            yield [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []
            after = _next_cursor(page)
            if after is None or after == params.get("after"):
                return
            params["after"] = after

    def _get(self, path: str, params: Mapping[str, str], *, of: str = "") -> Mapping[str, Any]:
        return self._call(self._transport.prepare("GET", path, params), None, of=of)

    def _call(self, request: PreparedRequest, body: bytes | None, *, of: str) -> Mapping[str, Any]:
        attempts = Retrying(
            stop=stop_after_attempt(_TRIES),
            wait=_wait_s,
            retry=retry_if_exception(_is_worth_waiting),
            sleep=self._sleep,
            before_sleep=_log_wait,
            reraise=True,
        )
        try:
            return attempts(self._once, request, body, of=of)
        except _Again as again:
            raise again.error from None

    def _sleep(self, seconds: float) -> None:
        self._clock.wait(self._stop, seconds)

    def _once(self, request: PreparedRequest, body: bytes | None, *, of: str) -> Mapping[str, Any]:
        asked_at = self._clock.now()
        try:
            reply = self._transport.send(request, body)
        except NotSentError as error:
            raise _Again(UnavailableError(str(error)), _no_answer(Verdict.RETRY)) from None
        except NoAnswerError as error:
            raise self._unanswered(str(error), registering=body is not None) from None
        self._compare_clocks(reply, asked_at)
        if reply.status < 300 and isinstance(reply.body, dict) and "error" not in reply.body:
            return reply.body
        answer = classify(reply.status, reply.body, reply.headers)
        if answer.verdict in (Verdict.RETRY, Verdict.SLOW_DOWN):
            raise _Again(UnavailableError(_with_code(answer)), answer)
        if answer.verdict is Verdict.UNKNOWN:
            text = f"An answer came that is not WhatsApp's (HTTP {reply.status})."
            raise self._unanswered(text, registering=body is not None)
        raise self._refusal(answer, reply, of=of, quoted=body is not None)

    def _unanswered(self, text: str, *, registering: bool) -> Exception:
        """Return what to raise when no answer came: reading is harmless to repeat."""
        if registering:
            return UnavailableError(
                f"{text} It may have been registered: see `smartia-jobs templates`."
            )
        return _Again(UnavailableError(text), _no_answer(Verdict.UNKNOWN))

    def _refusal(self, answer: Answer, reply: Reply, *, of: str, quoted: bool) -> SmartiaJobsError:
        if answer.stop is ExitStatus.REFUSED:
            if answer.reason == _SENDER_UNKNOWN and of:
                return RefusedError(
                    f"WhatsApp knows no object with the id in {of} for this token: check the id,"
                    " and that the WhatsApp account is assigned to the token's system user."
                )
            return RefusedError(_with_code(answer))
        error = reply.body.get("error") if isinstance(reply.body, dict) else None
        subcode = error.get("error_subcode") if isinstance(error, dict) else None
        # Only of what we ourselves submitted: elsewhere Meta's words may quote anything.
        words = self._words(error) if quoted and isinstance(error, dict) else ""
        return GraphRefusalError(
            f"{_with_code(answer)} {words}".strip(),
            code=answer.code,
            subcode=subcode if isinstance(subcode, int) else None,
        )

    def _words(self, error: Mapping[str, Any]) -> str:
        data = error.get("error_data")
        details = data.get("details") if isinstance(data, dict) else data
        told = (error.get("error_user_title"), error.get("error_user_msg"), details)
        words = " ".join(" ".join(text.split()) for text in told if isinstance(text, str))
        for secret in filter(None, self._secrets):
            words = words.replace(secret, "****")
        words = "".join(character for character in words if character.isprintable())
        return f"Meta says: {words[:400]}" if words else ""

    def _compare_clocks(self, reply: Reply, asked_at: datetime) -> None:
        try:
            theirs = parsedate_to_datetime(reply.headers.get("Date", ""))
        except ValueError:
            return
        if theirs.tzinfo is None:
            theirs = theirs.replace(tzinfo=UTC)
        middle = asked_at + (self._clock.now() - asked_at) / 2
        # The header has whole seconds: on average half a second is cut off.
        self.clock_skew = theirs + timedelta(seconds=0.5) - middle


def _merged(
    fetch: Callable[[Sequence[str]], list[Mapping[str, Any]]],
    fields: Sequence[str],
    optional: Sequence[str],
    *,
    key: Callable[[Mapping[str, Any]], str],
) -> Rows:
    """Ask for the safe fields, then for the risky ones, together and if need be one by one."""
    rows = {key(row): dict(row) for row in fetch(fields)}
    unknown: set[str] = set()
    groups = [tuple(optional)] if optional and rows else []
    while groups:
        group = groups.pop()
        try:
            found = fetch(group)
        except GraphRefusalError as error:
            if error.code != _UNKNOWN_FIELD:
                raise
            if len(group) == 1:
                unknown.update(group)
            else:
                groups += [(field,) for field in group]
            continue
        for row in found:
            rows.get(key(row), {}).update(row)
    return Rows(tuple(rows.values()), frozenset(unknown))


def _next_cursor(page: Mapping[str, Any]) -> str | None:
    """Return where the next page begins; ``next`` only tells that there is one."""
    paging = page.get("paging")
    if not isinstance(paging, dict) or not paging.get("next"):
        return None
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    return after if isinstance(after, str) and after else None


def _no_answer(verdict: Verdict) -> Answer:
    return Answer(verdict, from_graph=False)


def _with_code(answer: Answer) -> str:
    return f"{answer.reason} (code {answer.code})" if answer.code is not None else answer.reason


def _is_worth_waiting(error: BaseException) -> bool:
    return isinstance(error, _Again) and (error.answer.wait_s or 0) <= _WORTH_WAITING_S


def _wait_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked_s = error.answer.wait_s if isinstance(error, _Again) else None
    return min(asked_s or _backoff(state), _LONGEST_WAIT_S)


def _log_wait(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    code = error.answer.code if isinstance(error, _Again) else None
    log_event(
        logger,
        logging.WARNING,
        "waiting before asking WhatsApp again",
        action="wait",
        code=code,
        attempt=state.attempt_number,
        wait_s=round(state.upcoming_sleep, 1),
    )
