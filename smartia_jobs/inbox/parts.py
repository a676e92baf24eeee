"""Which part of a post is about which clinic, where one webhook hears for many."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

#: Whose part holds what is about none of the clinics.
NOBODY = ""


def parts(
    payload: Mapping[str, Any], whose: Callable[[str, str | None], Collection[str]]
) -> dict[str, dict[str, Any]]:
    """Return the part of each clinic that a post is about, shaped as Meta would post it alone.

    Args:
        payload: what the post holds.
        whose: returns the names of the clinics that a change is about, for the account that
            Meta names in the entry, and the id of the number in the change; None: it names none.

    Returns:
        the parts by the clinics' names; what is no clinic's, and what makes no sense, is in
        that of ``NOBODY``.
    """
    entries: dict[str, list[Any]] = {}
    for entry in _list(payload, "entry"):
        account = str(_dict(entry).get("id"))
        changes: dict[str, list[Any]] = {}
        for change in _list(entry, "changes"):
            for name in whose(account, _number(change)) or (NOBODY,):
                changes.setdefault(name, []).append(change)
        if not changes:
            entries.setdefault(NOBODY, []).append(entry)
        for name, kept in changes.items():
            entries.setdefault(name, []).append({**entry, "changes": kept})
    if not entries:
        return {NOBODY: dict(payload)}
    return {name: {**payload, "entry": kept} for name, kept in entries.items()}


def _number(change: Any) -> str | None:
    metadata = _dict(_dict(_dict(change).get("value")).get("metadata"))
    number = metadata.get("phone_number_id")
    return None if number is None else str(number)


def _list(parent: Any, name: str) -> list[Any]:
    found = _dict(parent).get(name)
    return found if isinstance(found, list) else []


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
