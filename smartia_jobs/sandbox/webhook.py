"""The other direction: signed posts to a webhook on this machine, retried as Meta does."""

import heapq
import itertools
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import TypedDict
from urllib.parse import SplitResult, urlencode, urlsplit

from smartia_jobs.errors import ConfigurationError
from smartia_jobs.sandbox.payloads import Change, body_of, signature
from smartia_jobs.settings.readers import is_loopback

#: Seconds before each further try: at once, then less and less often, for about a minute.
#: (Meta's go on for days.)
RETRY_AFTER_S = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)

_TIMEOUT_S = 5.0
_PATIENCE_S = 0.3  # a bundle waits so long for more
_REMEMBERED = 1000


class PostStats(TypedDict):
    """Numbers since the start.

    Attributes:
        posted: posts that were answered with 200.
        waiting: posts and statuses that are still to come.
        retried: tries that were answered otherwise, or not at all.
        dropped: posts that were given up.
    """

    posted: int
    waiting: int
    retried: int
    dropped: int


@dataclass(order=True, slots=True)
class _Post:
    """What is posted next, when it is due; ``body`` is made when it is posted first."""

    due: float
    number: int
    entries: Sequence[Sequence[Change]] = field(compare=False, default=())
    body: bytes = field(compare=False, default=b"")
    bundle: int = field(compare=False, default=1)
    over: int = field(compare=False, default=1)
    tries: int = field(compare=False, default=0)


class Webhook:
    """Posts what happens to a webhook, from one thread, once it is connected.

    Until then what is put into it is forgotten, as at Meta while no app is subscribed.

    Args:
        waba_id: the account that every post names.
        now: the time in Unix seconds.

    Attributes:
        url: where it posts to; None: nowhere yet.
        retry_after_s: seconds before each further try; afterwards a post is dropped.
    """

    def __init__(self, waba_id: str, *, now: Callable[[], float]) -> None:
        """Post nothing yet."""
        self.url: str | None = None
        self.retry_after_s: Sequence[float] = RETRY_AFTER_S
        self._waba_id = waba_id
        self._now = now
        self._app_secret = ""
        self._address = urlsplit("")
        self._connection: HTTPConnection | None = None
        self._condition = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._waiting: list[_Post] = []
        self._bundle: list[_Post] = []
        self._bundle_until = 0.0
        self._in_flight = 0
        self._numbers = itertools.count()
        self._bodies: deque[bytes] = deque(maxlen=_REMEMBERED)
        self._stats = PostStats(posted=0, waiting=0, retried=0, dropped=0)

    def connect(self, url: str, *, app_secret: str, verify_token: str | None = None) -> None:
        """Post to ``url`` from now on, after the handshake.

        Args:
            url: on this machine itself: what is made up here must reach no real service.
            app_secret: signs every post.
            verify_token: plays Meta's handshake with it first; None leaves it out.

        Raises:
            ConfigurationError: the address is another, or the handshake failed; nothing is
                posted then.
        """
        address = urlsplit(url)
        if address.scheme != "http" or not is_loopback(address.hostname or ""):
            raise ConfigurationError(
                "The sandbox posts to a webhook on this machine alone; give an address such as"
                " http://127.0.0.1:8080/webhook."
            )
        if not app_secret:
            raise ConfigurationError(
                "The sandbox signs what it posts and needs the secret that the webhook checks"
                " it with: set META_APP_SECRET."
            )
        if verify_token is not None:
            _shake_hands(address, verify_token)
        with self._condition:
            self.url, self._address, self._app_secret = url, address, app_secret
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="sandbox-webhook", daemon=True
                )
                self._thread.start()

    def put(self, change: Change, *, after_s: float = 0.0, bundle: int = 1, over: int = 1) -> None:
        """Post one change.

        Args:
            change: what happened.
            after_s: seconds from now.
            bundle: how many changes make one post; what does not fill one waits for a moment.
            over: how many entries a bundle is spread over.
        """
        with self._condition:
            if self.url is not None and not self._closing:
                self._push(after_s, entries=[[change]], bundle=bundle, over=over)

    def redeliver(self, count: int = 1) -> None:
        """Post the last bodies once more, as Meta does when it is not sure of an answer."""
        with self._condition:
            for body in list(self._bodies)[-count:]:
                self._push(0.0, body=body)

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Return whether everything has been posted or dropped within so many seconds."""
        with self._condition:
            return self._condition.wait_for(lambda: self._left() == 0, timeout_s)

    def stats(self) -> PostStats:
        """Return the numbers."""
        with self._condition:
            return PostStats(**{**self._stats, "waiting": self._left()})

    def close(self) -> None:
        """Stop at once; what was not posted is forgotten, and no thread is left."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
            connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):  # it ended by itself
                connection.sock.shutdown(socket.SHUT_RDWR)
        if self._thread is not None:
            self._thread.join()

    # With the condition's lock held.

    def _left(self) -> int:
        return len(self._waiting) + len(self._bundle) + self._in_flight

    def _push(
        self,
        after_s: float,
        *,
        entries: Sequence[Sequence[Change]] = (),
        body: bytes = b"",
        bundle: int = 1,
        over: int = 1,
        tries: int = 0,
    ) -> None:
        due, number = time.monotonic() + after_s, next(self._numbers)
        heapq.heappush(self._waiting, _Post(due, number, entries, body, bundle, over, tries))
        self._condition.notify_all()

    def _take(self) -> _Post | None:
        """Wait for what is due and return it; None when closing."""
        while not self._closing:
            now = time.monotonic()
            while self._waiting and self._waiting[0].due <= now:
                post = heapq.heappop(self._waiting)
                if post.bundle <= 1:
                    return post
                self._bundle.append(post)
                self._bundle_until = now + _PATIENCE_S
                if len(self._bundle) >= post.bundle:
                    return self._bundled()
            if self._bundle and self._bundle_until <= now:
                return self._bundled()
            deadlines = [post.due for post in self._waiting[:1]]
            deadlines += [self._bundle_until] if self._bundle else []
            self._condition.wait(min(deadlines) - now if deadlines else None)
        return None

    def _bundled(self) -> _Post:
        gathered, self._bundle = self._bundle, []
        changes = [change for post in gathered for entry in post.entries for change in entry]
        over = min(gathered[-1].over, len(changes))
        entries = [changes[start::over] for start in range(over)]
        return _Post(0.0, next(self._numbers), entries)

    # In the thread.

    def _run(self) -> None:
        while True:
            with self._condition:
                post = self._take()
                if post is None:
                    break
                self._in_flight = 1
            body = post.body or body_of(self._waba_id, post.entries, at=int(self._now()))
            taken = self._send(body)
            with self._condition:
                self._in_flight = 0
                self._note(body, post.tries, taken=taken)
                self._condition.notify_all()
        if self._connection is not None:
            self._connection.close()

    def _note(self, body: bytes, tries: int, *, taken: bool) -> None:
        if tries == 0:
            self._bodies.append(body)
        if taken:
            self._stats["posted"] += 1
        elif tries < len(self.retry_after_s):
            self._stats["retried"] += 1
            self._push(self.retry_after_s[tries], body=body, tries=tries + 1)
        else:
            self._stats["dropped"] += 1

    def _send(self, body: bytes) -> bool:
        """Return whether the webhook answered with 200; anything else is tried again."""
        host, port = _host_and_port(self._address)
        connection = self._connection
        if connection is None or (connection.host, connection.port) != (host, port):
            connection = self._connection = HTTPConnection(host, port, timeout=_TIMEOUT_S)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "smartia-jobs-sandbox",
            "X-Hub-Signature-256": signature(body, self._app_secret),
        }
        try:
            connection.request("POST", _target(self._address), body, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, HTTPException):
            connection.close()  # the next try opens it anew
            return False
        return answer.status == 200


def _shake_hands(address: SplitResult, verify_token: str) -> None:
    challenge = str(secrets.randbelow(10**10))
    query = urlencode(
        {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": verify_token}
    )
    target = _target(address)
    connection = HTTPConnection(*_host_and_port(address), timeout=_TIMEOUT_S)
    try:
        connection.request("GET", f"{target}{'&' if '?' in target else '?'}{query}")
        answer = connection.getresponse()
        echoed = answer.read(1024)
    except (OSError, HTTPException) as error:
        raise ConfigurationError(
            f"No webhook answers at {address.geturl()} ({error}); start it first, with"
            " smartia-jobs serve, and then the sandbox."
        ) from None
    finally:
        connection.close()
    if answer.status == 403:
        raise ConfigurationError(
            "The webhook refused the handshake (HTTP 403): it knows another verify token. Give"
            " the sandbox and the webhook the same META_VERIFY_TOKEN."
        )
    if answer.status != 200:
        raise ConfigurationError(
            f"The webhook answered the handshake with HTTP {answer.status} instead of 200; look"
            " at its path (usually /webhook) and whether META_VERIFY_TOKEN and META_APP_SECRET"
            " are set where it runs."
        )
    if echoed != challenge.encode():
        raise ConfigurationError(
            "The webhook answered the handshake with 200, but not with the challenge alone as"
            " its body; Meta would turn nothing on."
        )


def _host_and_port(address: SplitResult) -> tuple[str, int]:
    return address.hostname or "", address.port or 80


def _target(address: SplitResult) -> str:
    return (address.path or "/") + (f"?{address.query}" if address.query else "")
