"""Scripted answers: what the sandbox answers instead, to whom, and in which order."""

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Self

from smartia_jobs.sandbox.exchange import GraphError, Reply
from smartia_jobs.sandbox.phones import same_phone_key

#: The target that stands for every recipient.
EVERYONE = "*"

_JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "code": (int,),
    "subcode": (int,),
    "details": (str,),
    "status": (int,),
    "body": (str,),
    "content_type": (str,),
    "headers": (dict,),
    "delay_s": (int, float),
    "cut": (bool,),
    "held": (bool,),
    "accepted": (bool,),
    "statuses": (list,),
    "failure": (int,),
    "statuses_delay_s": (int, float),
    "bundle": (int,),
    "entries": (int,),
}

#: What a script may say becomes of an accepted message.
_STATUSES = ("sent", "delivered", "read", "failed")


@dataclass(frozen=True, slots=True)
class Scripted:
    """One scripted answer; with nothing set it is the ordinary one.

    Attributes:
        code: refuse with this Graph error code (and ``subcode``, ``details``).
        status: HTTP status; with neither ``code`` nor ``body`` the answer is empty.
        body: the answer's body, as it is (HTML, broken JSON, a 200 without an id).
        headers: sent besides the usual ones.
        delay_s: seconds to wait before answering, after the message was recorded.
        cut: close the connection instead of answering.
        held: accepted, but held by Meta for a quality check.
        accepted: whether the message is recorded as accepted. Without it: not when
            there is a code, an HTTP status of 300 or more, or a cut.
        statuses: what the webhook is told of the accepted message, in this order; a word may
            come twice; an empty list is silence. Without it: sent, delivered, read.
        failure: the code of ``failed``; without ``statuses``, the message only fails.
        statuses_delay_s: seconds before each status.
        bundle: how many statuses are posted together; they wait a moment for more.
        entries: how many entries of a post a bundle is spread over.
    """

    code: int | None = None
    subcode: int | None = None
    details: str = ""
    status: int | None = None
    body: str | None = None
    content_type: str = "text/html; charset=UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    cut: bool = False
    held: bool = False
    accepted: bool | None = None
    statuses: Sequence[str] | None = None
    failure: int | None = None
    statuses_delay_s: float = 0.0
    bundle: int = 1
    entries: int = 1

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return the answer that a JSON object describes by these same names.

        Raises:
            ValueError: not an object, an unknown name, or a value of another type.
        """
        if not isinstance(value, dict):
            raise ValueError('an answer is an object, such as {"code": 131056}')
        for name, given in value.items():
            types = _JSON_TYPES.get(name)
            if types is None:
                raise ValueError(f"an answer has no {name!r}; it has {', '.join(_JSON_TYPES)}")
            if not isinstance(given, types) or (isinstance(given, bool) and bool not in types):
                raise ValueError(f"{name!r} must be {' or '.join(t.__name__ for t in types)}")
        if any(word not in _STATUSES for word in value.get("statuses", ())):
            raise ValueError(f"'statuses' lists {', '.join(_STATUSES)}")
        if value.get("bundle", 1) < 1 or value.get("entries", 1) < 1:
            raise ValueError("'bundle' and 'entries' are 1 or more")
        return cls(**value)

    @property
    def replaces(self) -> bool:
        """Whether it answers by itself, whatever the request was."""
        return self.cut or not (self.code is None and self.status is None and self.body is None)

    @property
    def accepts(self) -> bool:
        """Whether a message answered so counts as accepted."""
        if self.accepted is not None:
            return self.accepted
        return self.code is None and not self.cut and (self.status or 200) < 300

    def apply(self, ordinary: Reply) -> Reply:
        """Return the reply to give in place of the ``ordinary`` one."""
        reply = ordinary
        if self.body is not None or (self.code is None and self.status is not None):
            body = (self.body or "").encode("utf-8", "replace")
            reply = Reply(self.status or 200, body, self.content_type)
        elif self.code is not None:
            error = GraphError(
                self.code, details=self.details, subcode=self.subcode, status=self.status
            )
            reply = error.reply()
        return replace(reply, headers=self.headers, delay_s=self.delay_s, cut=self.cut)


class Scripts:
    """The answers still to be given, by target; each is used up in order.

    A target is a recipient's phone (digits are compared, Brazil's ninth digit or not),
    ``*`` for every recipient, or the end of a path, with or without a method:
    ``/message_templates``, ``POST /message_templates``, ``/messages``. What is scripted
    for a path comes before everything else, even before the token is checked; what is
    scripted for a recipient comes once the request is known to be good, and before ``*``.
    """

    def __init__(self) -> None:
        """Start with no script."""
        self._queues: dict[str, deque[Scripted]] = {}
        self._repeating: set[str] = set()
        self._lock = threading.Lock()

    def put(self, target: str, answers: Iterable[Scripted], *, repeat_last: bool = False) -> None:
        """Replace the script of ``target``; with no answers, remove it.

        Args:
            target: see the class.
            answers: in the order they are to be given.
            repeat_last: repeat the last one, instead of going back to normal.

        Raises:
            ValueError: ``target`` is neither a phone, nor ``*``, nor a path.
        """
        key, queue = _key(target), deque(answers)
        with self._lock:
            self._queues.pop(key, None)
            self._repeating.discard(key)
            if queue:
                self._queues[key] = queue
                if repeat_last:
                    self._repeating.add(key)

    def clear(self) -> None:
        """Remove every script."""
        with self._lock:
            self._queues.clear()
            self._repeating.clear()

    def for_path(self, method: str, path: str) -> Scripted | None:
        """Use up and return the next answer scripted for this method and path, if any."""
        if not self._queues:  # the common case costs no lock
            return None
        with self._lock:
            for key in self._queues:
                wanted_method, _, wanted_path = key.rpartition(" ")
                fits = wanted_path.startswith("/") and path.endswith(wanted_path)
                if fits and wanted_method in ("", method):
                    return self._next(key)
        return None

    def for_recipient(self, to: str) -> Scripted | None:
        """Use up and return the next answer scripted for this phone or for everyone."""
        if not self._queues:
            return None
        phone = same_phone_key(to)
        with self._lock:
            for key in (phone, EVERYONE):
                if key in self._queues:
                    return self._next(key)
        return None

    def listing(self) -> list[dict[str, object]]:
        """Return what is still to be given, as JSON values."""
        usual = asdict(Scripted())
        with self._lock:
            return [
                {
                    "target": key,
                    "answers": [
                        {k: v for k, v in asdict(answer).items() if v != usual[k]}
                        for answer in queue
                    ],
                    "repeat_last": key in self._repeating,
                }
                for key, queue in self._queues.items()
            ]

    def _next(self, key: str) -> Scripted:
        queue = self._queues[key]
        if len(queue) == 1 and key in self._repeating:
            return queue[0]
        answer = queue.popleft()
        if not queue:
            del self._queues[key]
        return answer


def _key(target: str) -> str:
    method, _, path = target.rpartition(" ")
    if target == EVERYONE or (path.startswith("/") and (not method or method.isupper())):
        return target
    if not any(c.isdigit() for c in target) or "/" in target:
        raise ValueError("a target is a phone, * for everyone, or the end of a path (/messages)")
    return same_phone_key(target)
