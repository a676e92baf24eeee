"""What is asked of the clinic's account at Meta: objects, lists, the token; and registering.

Each call says what it wants in its own words: the address of a next page, which holds the
token, is never followed, and an asked field that this version of Graph does not know costs
that field alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from smartia_jobs.clock import Clock
from smartia_jobs.errors import UnavailableError
from smartia_jobs.settings import Settings
from smartia_jobs.whatsapp.graph import Graph, GraphRefusalError

#: Rows asked for at once, and the most pages of them: Meta has at most 6000 templates.
_PAGE_SIZE = 100
_MOST_PAGES = 100

_UNKNOWN_FIELD = 100
_CURSOR_EXPIRED = 131059


@dataclass(frozen=True, slots=True)
class Rows:
    """What Graph told of one or more objects.

    Attributes:
        rows: field to value; fields without a value are left out.
        unknown: asked fields that this version of Graph does not know.
    """

    rows: tuple[Mapping[str, Any], ...]
    unknown: frozenset[str] = frozenset()


class Management:
    """The clinic's account at Meta, for reading and for registering templates.

    Args:
        settings: token and address.
        clock: as for :class:`~smartia_jobs.whatsapp.graph.Graph`, whose errors all calls raise.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Connect to nothing yet."""
        self._graph = Graph(settings, clock)
        self._token = settings.meta_access_token or ""

    @property
    def clock_skew(self) -> timedelta | None:
        """How far Meta's clock is ahead of ours, by the last answer; None before it."""
        return self._graph.clock_skew

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
            return [self._graph.get(path, {"fields": ",".join(asked)}, of=of)]

        return _merged(fetch, ["id", *fields], optional, key=lambda _: path)

    def listing(
        self, path: str, fields: Sequence[str], *, optional: Sequence[str] = (), of: str
    ) -> Rows:
        """Return all rows of a list, over all its pages; arguments as for :meth:`node`."""

        def fetch(asked: Sequence[str]) -> list[Mapping[str, Any]]:
            return self._all_pages(path, ["id", *asked], of=of)

        return _merged(fetch, fields, optional, key=lambda row: str(row.get("id")))

    def debug_token(self) -> Mapping[str, Any]:
        """Return what Meta knows about the token, which is then in the address and never logged."""
        data = self._graph.get("debug_token", {"input_token": self._token}).get("data")
        if not isinstance(data, dict):
            raise UnavailableError("WhatsApp's answer about the token cannot be read.")
        return data

    def subscribed_apps(self, waba_id: str) -> list[Mapping[str, Any]]:
        """Return the apps that are subscribed to an account; they are few, and have no ids."""
        path = f"{quote(waba_id, safe='')}/subscribed_apps"
        data = self._graph.get(path, {}, of="META_WABA_ID").get("data")
        return [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []

    def create_template(self, waba_id: str, definition: Mapping[str, Any]) -> Mapping[str, Any]:
        """Register a template once; return Meta's ``id``, ``status`` and ``category``."""
        path = f"{quote(waba_id, safe='')}/message_templates"
        return self._graph.post(path, definition, of="META_WABA_ID")

    def close(self) -> None:
        """Close every idle connection."""
        self._graph.close()

    def _all_pages(self, path: str, fields: Sequence[str], *, of: str) -> list[Mapping[str, Any]]:
        for may_repeat in (True, True, False):
            try:
                return [row for page in self._pages(path, fields, of=of) for row in page]
            except GraphRefusalError as error:
                # A cursor may expire while a quota is waited for: then the list is read again.
                if error.code != _CURSOR_EXPIRED or not may_repeat:
                    raise
        raise AssertionError("the last try returns or raises")

    def _pages(
        self, path: str, fields: Sequence[str], *, of: str
    ) -> Iterator[list[Mapping[str, Any]]]:
        params = {"fields": ",".join(fields), "limit": str(_PAGE_SIZE)}
        for _ in range(_MOST_PAGES):
            page = self._graph.get(path, params, of=of)
            data = page.get("data")
            yield [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []
            after = _next_cursor(page)
            if after is None or after == params.get("after"):
                return
            params["after"] = after


def _merged(
    fetch: Callable[[Sequence[str]], list[Mapping[str, Any]]],
    fields: Sequence[str],
    optional: Sequence[str],
    *,
    key: Callable[[Mapping[str, Any]], str],
) -> Rows:
    """Ask for the known fields, then for the optional ones, together and if need be one by one."""
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


def as_text(value: object) -> str:
    """Return a text of Meta's; empty for anything else."""
    return value if isinstance(value, str) else ""


def _next_cursor(page: Mapping[str, Any]) -> str | None:
    """Return where the next page begins; ``next`` only says that there is one."""
    paging = page.get("paging")
    if not isinstance(paging, dict) or not paging.get("next"):
        return None
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    return after if isinstance(after, str) and after else None
