"""What of a post is forwarded to another program with the same number, known by a digest."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

#: The lists of a change that are forwarded piece by piece; every other change goes whole.
_LISTS = ("statuses", "messages")


@dataclass(frozen=True, slots=True)
class Piece:
    """One status, one message, or one whole change of another field.

    Attributes:
        part_of: ``statuses`` or ``messages``; ``change`` for a whole change.
        element: as Meta wrote it.
    """

    part_of: str
    element: Any

    @property
    def digest(self) -> str:
        """By which it is recognised; it tells nothing of the content."""
        named: Any = self.element
        if self.part_of in _LISTS and isinstance(named, dict) and isinstance(named.get("id"), str):
            named = [named["id"], named.get("status")]
        text = json.dumps([self.part_of, named], sort_keys=True)
        return sha256(text.encode("utf-8", "replace")).hexdigest()


def pieces(payload: Mapping[str, Any]) -> Iterator[Piece]:
    """Yield everything of a post that could be forwarded."""
    for entry in _list(payload.get("entry")):
        for change in _list(entry.get("changes")) if isinstance(entry, dict) else ():
            lists = _lists_in(change)
            if not lists and isinstance(change, dict):
                yield Piece("change", change)
            for name in lists:
                yield from (Piece(name, element) for element in change["value"][name])


def keep_only(payload: Mapping[str, Any], digests: Collection[str]) -> dict[str, Any] | None:
    """Return a post of these pieces, each once, as Meta would write it; None: none is left."""
    entries, wanted = [], set(digests)
    for entry in _list(payload.get("entry")):
        if not isinstance(entry, dict):
            continue
        changes = [_reduced(change, wanted) for change in _list(entry.get("changes"))]
        if kept := [change for change in changes if change is not None]:
            entries.append({**entry, "changes": kept})
    return {**payload, "entry": entries} if entries else None


def _reduced(change: Any, wanted: set[str]) -> dict[str, Any] | None:
    if not isinstance(change, dict):
        return None
    names = _lists_in(change)
    if not names:
        return change if _take(Piece("change", change), wanted) else None
    value = {name: part for name, part in change["value"].items() if name not in names}
    for name in names:
        if kept := [one for one in change["value"][name] if _take(Piece(name, one), wanted)]:
            value[name] = kept
    return {**change, "value": value} if any(name in value for name in names) else None


def _take(piece: Piece, wanted: set[str]) -> bool:
    """Whether a piece is wanted, the first time."""
    digest = piece.digest
    is_wanted = digest in wanted
    wanted.discard(digest)
    return is_wanted


def _lists_in(change: Any) -> list[str]:
    """Return which lists of pieces a change has; without any it is one piece."""
    value = change.get("value") if isinstance(change, dict) else None
    if not isinstance(value, dict):
        return []
    return [name for name in _LISTS if isinstance(value.get(name), list)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
