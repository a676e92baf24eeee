"""The other direction: signed posts to a webhook on this machine, retried as Meta does."""

import heapq
import itertools
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import TypedDict

from smartia_jobs.errors import ConfigurationError
from smartia_jobs.sandbox.handshake import Address, shake_hands
from smartia_jobs.sandbox.payloads import Change, body_of, signature

#: Seconds before each retry: at once, then less and less often, for about a minute.
#: (Meta goes on for days.)
RETRY_AFTER_S = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)

_PATIENCE_S = 0.3  # how long a bundle waits for more
_REMEMBERED = 1000


class PostStats(TypedDict):
    """Numbers since the start.

    Attributes:
        posted: posts that were answered with 200.
        waiting: posts and statuses that are still to be sent.
        retried: tries that got another answer, or none.
        dropped: posts that were given up.
    """

    posted: int
    waiting: int
    retried: int
    dropped: int


@dataclass(frozen=True, slots=True)
class _App:
    """An app that is subscribed: its webhook's address, and the secret that signs posts."""

    address: Address
    secret: str = field(repr=False)


@dataclass(order=True, slots=True)
class _Post:
    """A post that waits until it is due; ``body`` is made on the first try."""

    due: float
    number: int
    app: _App = field(compare=False)
    entries: Sequence[Sequence[Change]] = field(compare=False, default=())
    body: bytes = field(compare=False, default=b"")
    bundle: int = field(compare=False, default=1)
    over: int = field(compare=False, default=1)
    tries: int = field(compare=False, default=0)


class Webhook:
    """Posts what happens to a webhook, from one thread, once it is connected.

    Before that, changes are dropped, as at Meta while no app is subscribed.

    Args:
        waba_id: the account that every post names.
        now: the time in Unix seconds.

    Attributes:
        retry_after_s: seconds before each retry; after the last one a post is dropped.
    """

    def __init__(self, waba_id: str, *, now: Callable[[], float]) -> None:
        """Post nothing yet."""
        self.retry_after_s: Sequence[float] = RETRY_AFTER_S
        self._waba_id = waba_id
        self._now = now
        self._app: _App | None = None
        self._connected: tuple[_App, HTTPConnection] | None = None
        self._condition = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._waiting: list[_Post] = []
        self._bundle: list[_Post] = []
        self._bundle_until = 0.0
        self._in_flight = 0
        self._numbers = itertools.count()
        self._posted: deque[tuple[_App, bytes]] = deque(maxlen=_REMEMBERED)
        self._stats = PostStats(posted=0, waiting=0, retried=0, dropped=0)

    @property
    def url(self) -> str | None:
        """Where it posts to; None: nowhere yet."""
        return None if self._app is None else self._app.address.url

    def connect(self, url: str, *, app_secret: str, verify_token: str | None = None) -> None:
        """Post to ``url`` from now on, after the handshake.

        Args:
            url: on this machine itself: what is made up here must reach no real service.
            app_secret: signs every post.
            verify_token: plays Meta's handshake with it first; None skips it.

        Raises:
            ConfigurationError: the address is of another machine, or the handshake failed;
                nothing is posted.
        """
        address = Address.of(url)
        if not app_secret:
            raise ConfigurationError(
                "The sandbox signs what it posts and needs the secret that the webhook checks"
                " it with: set META_APP_SECRET."
            )
        if verify_token is not None:
            shake_hands(address, verify_token)
        with self._condition:
            self._app = _App(address, app_secret)
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
            bundle: how many changes make one post; fewer wait a moment for more.
            over: how many entries a bundle is spread over.
        """
        with self._condition:
            if self._app is not None and not self._closing:
                self._push(self._app, after_s, entries=[[change]], bundle=bundle, over=over)

    def redeliver(self, count: int = 1) -> None:
        """Post the last bodies again, as Meta does when it is not sure of an answer."""
        with self._condition:
            for app, body in list(self._posted)[-count:]:
                self._push(app, 0.0, body=body)

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Return whether everything has been posted or dropped within this time."""
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
            open_socket = None if self._connected is None else self._connected[1].sock
        if open_socket is not None:
            with suppress(OSError):  # it ended by itself
                open_socket.shutdown(socket.SHUT_RDWR)
        if self._thread is not None:
            self._thread.join()

    # With the condition's lock held.

    def _left(self) -> int:
        return len(self._waiting) + len(self._bundle) + self._in_flight

    def _push(
        self,
        app: _App,
        after_s: float,
        *,
        entries: Sequence[Sequence[Change]] = (),
        body: bytes = b"",
        bundle: int = 1,
        over: int = 1,
        tries: int = 0,
    ) -> None:
        due, number = time.monotonic() + after_s, next(self._numbers)
        heapq.heappush(self._waiting, _Post(due, number, app, entries, body, bundle, over, tries))
        self._condition.notify_all()

    def _take(self) -> _Post | None:
        """Wait for the next due post and return it; None when closing."""
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
        return _Post(0.0, next(self._numbers), gathered[-1].app, entries)

    # In the thread.

    def _run(self) -> None:
        while True:
            with self._condition:
                post = self._take()
                if post is None:
                    break
                self._in_flight = 1
            body = post.body or body_of(self._waba_id, post.entries, at=int(self._now()))
            taken = self._send(post.app, body)
            with self._condition:
                self._in_flight = 0
                self._note(post, body, taken=taken)
                self._condition.notify_all()
        if self._connected is not None:
            self._connected[1].close()

    def _note(self, post: _Post, body: bytes, *, taken: bool) -> None:
        if post.tries == 0:
            self._posted.append((post.app, body))
        if taken:
            self._stats["posted"] += 1
        elif post.tries < len(self.retry_after_s):
            self._stats["retried"] += 1
            after_s = self.retry_after_s[post.tries]
            self._push(post.app, after_s, body=body, tries=post.tries + 1)
        else:
            self._stats["dropped"] += 1

    def _send(self, app: _App, body: bytes) -> bool:
        """Return whether the webhook answered with 200; anything else is tried again."""
        connection = self._connection(app)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "smartia-jobs-sandbox",
            "X-Hub-Signature-256": signature(body, app.secret),
        }
        try:
            connection.request("POST", app.address.target, body, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, HTTPException):
            connection.close()  # the next try opens it again
            return False
        return answer.status == 200

    def _connection(self, app: _App) -> HTTPConnection:
        """Return the connection that is kept, or one to another webhook."""
        if self._connected is None or self._connected[0] is not app:
            if self._connected is not None:
                self._connected[1].close()
            self._connected = (app, app.address.connection())
        return self._connected[1]
