"""Who is at the other end: what WhatsApp knows of each phone that was written to or wrote."""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from smartia_jobs.sandbox.phones import same_phone_key

#: How long a business may answer freely after a person wrote.
WINDOW_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Known:
    """What WhatsApp knows of one person.

    Attributes:
        user_id: the id that stands for the person towards this business (BSUID).
        name: what the person calls themselves.
        wrote_at: when the person wrote last, in Unix seconds; None: never.
        stopped_marketing: whether the person wants no marketing from this business.
    """

    user_id: str
    name: str = "Paciente"
    wrote_at: float | None = None
    stopped_marketing: bool = False


class People:
    """Everybody, by phone: a Brazilian one is the same with and without its ninth digit.

    Args:
        now: the time in Unix seconds.
    """

    def __init__(self, *, now: Callable[[], float]) -> None:
        """Know nobody yet."""
        self._now = now
        self._people: dict[str, Known] = {}
        self._lock = threading.Lock()

    def known(self, phone: str) -> Known:
        """Return what is known of a phone's person; everybody is known."""
        key = same_phone_key(phone)
        with self._lock:
            return self._people.get(key) or Known(_user_id(key))

    def wrote(self, phone: str, *, name: str | None = None) -> None:
        """Note that a person has just written or tapped, and what they call themselves."""
        at = self._now()
        self._change(phone, lambda person: replace(person, wrote_at=at, name=name or person.name))

    def stop_marketing(self, phone: str, *, stopped: bool) -> None:
        """Note whether a person wants no marketing from this business."""
        self._change(phone, lambda person: replace(person, stopped_marketing=stopped))

    def may_be_answered(self, phone: str) -> bool:
        """Return whether free text may be sent: for 24 hours after the person wrote."""
        wrote_at = self.known(phone).wrote_at
        return wrote_at is not None and self._now() - wrote_at < WINDOW_S

    def _change(self, phone: str, change: Callable[[Known], Known]) -> None:
        key = same_phone_key(phone)
        with self._lock:
            self._people[key] = change(self._people.get(key) or Known(_user_id(key)))


def _user_id(key: str) -> str:
    return f"BR.{hashlib.sha256(key.encode()).hexdigest()[:16].upper()}"
