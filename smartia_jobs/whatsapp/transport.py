"""HTTP to Meta's Graph API: one pool, one TLS context, and what surely was or was not sent."""

import hashlib
import hmac
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests
import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH

import smartia_jobs
from smartia_jobs.errors import ConfigurationError
from smartia_jobs.settings import Settings
from smartia_jobs.whatsapp.connections import LONGEST_ANSWER, Adapter, NoAnswerError, SharedTLS

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer.

    Attributes:
        status: the HTTP status.
        headers: looked up without regard to case.
        body: the parsed JSON; None when it is no JSON, is too long, or is ``null``.
    """

    status: int
    headers: Mapping[str, str]
    body: object

    @property
    def answered_at(self) -> datetime | None:
        """When it was answered, by the ``Date`` header: aware UTC, in whole seconds."""
        try:
            at = parsedate_to_datetime(self.headers.get("Date", ""))
            return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
        except (ValueError, OverflowError):
            return None


class Transport:
    """Sends requests to the Graph API; safe to use from as many threads as it has workers.

    The token travels in the ``Authorization`` header alone. Redirects are handed back, not
    followed; proxies and ``.netrc`` of the environment are not looked at.

    Args:
        settings: address, version, token and app secret.
        workers: how many requests may be under way at once; the next one waits.
        timeouts_s: seconds to connect (to each address of the host, handshake included), and
            seconds from the request to the last byte of the answer.
        tls: whom to trust; by default the certificate authorities that requests trusts.

    Raises:
        ConfigurationError: the token is missing or cannot be put into a header.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        workers: int,
        timeouts_s: tuple[float, float] = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Build pool, TLS context and headers once for the run; connect to nothing yet."""
        token = settings.meta_access_token or ""
        if not (token.isascii() and token.isprintable() and token.split() == [token]):
            raise ConfigurationError("META_ACCESS_TOKEN is missing or holds spaces or odd signs.")
        self._root = f"{settings.meta_api_url.rstrip('/')}/{settings.meta_api_version}"
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # a small answer cannot be a compressed large one
            "User-Agent": f"smartia-jobs/{smartia_jobs.__version__}",
        }
        self._query: dict[str, str] = {}
        if settings.meta_app_secret:
            secret = settings.meta_app_secret.encode()
            proof = hmac.new(secret, token.encode(), hashlib.sha256).hexdigest()
            self._query = {"appsecret_proof": proof}
        if tls is None:
            tls = SharedTLS(ssl.PROTOCOL_TLS_CLIENT)
            tls.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
        self._adapter = Adapter(workers, tls)
        self._timeouts_s = timeouts_s

    def prepare(
        self, method: str, path: str, params: Mapping[str, str] | None = None
    ) -> requests.PreparedRequest:
        """Build a request to ``path`` below the API version, to be sent once or often."""
        return requests.Request(
            method,
            f"{self._root}/{path}",
            headers=self._headers,
            params={**(params or {}), **self._query},
        ).prepare()

    def send(self, prepared: requests.PreparedRequest, body: bytes | None = None) -> Reply:
        """Send what was prepared, with ``body`` if given, and read the whole answer.

        Raises:
            NotSentError: no connection; nothing left this machine.
            NoAnswerError: whether the request arrived is not known.
        """
        request = prepared.copy()
        if body is not None:
            request.prepare_body(body, None)
        try:
            with self._adapter.send(request, stream=True, timeout=self._timeouts_s) as response:
                content = response.raw.read(LONGEST_ANSWER + 1, decode_content=False)
        except (requests.Timeout, urllib3.exceptions.TimeoutError):
            raise NoAnswerError("WhatsApp did not answer in time.") from None
        except (OSError, ValueError, urllib3.exceptions.HTTPError):
            raise NoAnswerError("The connection to WhatsApp broke before its answer.") from None
        return Reply(response.status_code, response.headers, _json(content))

    def close(self) -> None:
        """Close every idle connection."""
        self._adapter.close()


def _json(content: bytes) -> object:
    """Read the answer as JSON; None when it is anything else."""
    if len(content) > LONGEST_ANSWER:
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
