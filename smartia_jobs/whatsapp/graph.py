"""One call of the Graph API to read or register: retries that wait, and refusals as errors."""

import json
import logging
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, assert_never

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
from smartia_jobs.whatsapp.connections import NoAnswerError, NotSentError
from smartia_jobs.whatsapp.transport import Reply, Transport

logger = logging.getLogger(__name__)

#: One wait, and the longest that is waited for at all, in seconds.
_LONGEST_WAIT_S = 60.0
_WORTH_WAITING_S = 300.0
_TRIES = 4
_backoff = wait_exponential(multiplier=2, max=_LONGEST_WAIT_S) + wait_random(0, 1)


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


class _Again(Exception):
    """This attempt failed; another may help."""

    def __init__(self, error: SmartiaJobsError, answer: Answer) -> None:
        super().__init__()
        self.error = error
        self.answer = answer


class Graph:
    """The Graph API; a read is repeated when it was throttled or went unanswered.

    Registering is repeated only when it was surely refused for the moment.

    Args:
        settings: token and address.
        clock: for waits, and to compare with Meta's clock.

    Attributes:
        clock_skew: how far Meta's clock is ahead of ours, by the last answer; None before it.

    Raises:
        ConfigurationError: there is no token.

    Every call raises
        RefusedError: token, permission or id; a person must act.
        GraphRefusalError, ConfigurationError: the request itself is wrong.
        UnavailableError: no answer, or still throttled after some waiting.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Connect to nothing yet."""
        if not settings.meta_access_token:
            raise ConfigurationError("META_ACCESS_TOKEN is not set; nothing can be asked of Meta.")
        self._secrets = (settings.meta_access_token, settings.meta_app_secret or "")
        self._clock = clock
        self._transport = Transport(settings, workers=1)
        self._stop = threading.Event()
        self.clock_skew: timedelta | None = None

    def get(self, path: str, params: Mapping[str, str], *, of: str = "") -> Mapping[str, Any]:
        """Return the JSON object at a path.

        Args:
            path: below the API version.
            params: the query.
            of: the setting that holds the path's id, for the advice when there is no such object.
        """
        return self._call(self._transport.prepare("GET", path, params), None, of=of)

    def post(self, path: str, body: Mapping[str, Any], *, of: str) -> Mapping[str, Any]:
        """Post a JSON object and return the answer; arguments as for :meth:`get`."""
        request = self._transport.prepare("POST", path)
        return self._call(request, json.dumps(body).encode(), of=of)

    def close(self) -> None:
        """Close every idle connection."""
        self._transport.close()

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
        match answer.verdict:
            case Verdict.RETRY | Verdict.SLOW_DOWN:
                raise _Again(UnavailableError(_with_code(answer)), answer)
            case Verdict.UNKNOWN | Verdict.SENT:  # accepted is what a message is, not a call
                text = f"An answer came that is not WhatsApp's (HTTP {reply.status})."
                raise self._unanswered(text, registering=body is not None)
            case Verdict.GIVE_UP | Verdict.BAD_REQUEST | Verdict.SLOW_DOWN_RECIPIENT | Verdict.STOP:
                raise self._refusal(answer, reply, of=of, quoted=body is not None)
            case _:
                assert_never(answer.verdict)

    def _unanswered(self, text: str, *, registering: bool) -> Exception:
        """Return what to raise when no answer came: a read can be repeated."""
        if registering:
            return UnavailableError(
                f"{text} It may have been registered: see `smartia-jobs templates`."
            )
        return _Again(UnavailableError(text), _no_answer(Verdict.UNKNOWN))

    def _refusal(self, answer: Answer, reply: Reply, *, of: str, quoted: bool) -> SmartiaJobsError:
        if answer.stop is ExitStatus.REFUSED:
            if answer.reason == SENDER.reason and of:
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
        theirs = reply.answered_at
        if theirs is None:
            return
        middle = asked_at + (self._clock.now() - asked_at) / 2
        # The header has whole seconds: on average half a second is cut off.
        self.clock_skew = theirs + timedelta(seconds=0.5) - middle


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
