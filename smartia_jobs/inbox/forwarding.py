"""What of a post goes on to another program that hears the same number, and by which mark."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

#: The lists of a change that are passed on piece by piece; every other change goes whole.
_LISTS = ("statuses", "messages")


@dataclass(frozen=True, slots=True)
class Piece:
    """One status, one message, or one whole change of another kind.

    Attributes:
        kind: ``statuses``, ``messages`` or ``change``.
        element: as Meta wrote it.
    """

    kind: str
    element: Any

    @property
    def mark(self) -> str:
        """By which it is known again; nothing can be read out of it."""
        named: Any = self.element
        if self.kind in _LISTS and isinstance(named, dict) and isinstance(named.get("id"), str):
            named = [named["id"], named.get("status")]
        text = json.dumps([self.kind, named], sort_keys=True)
        return sha256(text.encode("utf-8", "replace")).hexdigest()


def pieces(payload: Mapping[str, Any]) -> Iterator[Piece]:
    """Yield everything of a post that could be passed on."""
    for entry in _list(payload.get("entry")):
        for change in _list(entry.get("changes")) if isinstance(entry, dict) else ():
            yield from _of_change(change)


def only(payload: Mapping[str, Any], marks: Collection[str]) -> dict[str, Any] | None:
    """Return a post of these pieces, each once, as Meta would write it; None: nothing is left."""
    entries, wanted = [], set(marks)
    for entry in _list(payload.get("entry")):
        if not isinstance(entry, dict):
            continue
        changes = [_left(change, wanted) for change in _list(entry.get("changes"))]
        if kept := [change for change in changes if change is not None]:
            entries.append({**entry, "changes": kept})
    return {**payload, "entry": entries} if entries else None


def _left(change: Any, wanted: set[str]) -> dict[str, Any] | None:
    if not isinstance(change, dict):
        return None
    names = _names(change)
    if not names:
        return change if _take(Piece("change", change), wanted) else None
    value = {name: part for name, part in change["value"].items() if name not in names}
    for name in names:
        if kept := [one for one in change["value"][name] if _take(Piece(name, one), wanted)]:
            value[name] = kept
    return {**change, "value": value} if any(name in value for name in names) else None


def _take(piece: Piece, wanted: set[str]) -> bool:
    """Whether a piece is wanted; not a second time."""
    mark = piece.mark
    is_wanted = mark in wanted
    wanted.discard(mark)
    return is_wanted


def _of_change(change: Any) -> Iterator[Piece]:
    names = _names(change)
    if not names and isinstance(change, dict):
        yield Piece("change", change)
    for name in names:
        yield from (Piece(name, element) for element in change["value"][name])


def _names(change: Any) -> list[str]:
    """Return which lists of pieces a change has; none: it is one piece itself."""
    value = change.get("value") if isinstance(change, dict) else None
    if not isinstance(value, dict):
        return []
    return [name for name in _LISTS if isinstance(value.get(name), list)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
