"""The templates registered with the sandbox, and the listing that Graph gives of them."""

import base64
import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from smartia_jobs.sandbox import graph_fields
from smartia_jobs.sandbox.exchange import GraphError, Request, mapping, read_json, select, sequence
from smartia_jobs.sandbox.template_rules import Shape, shape_of

_LANGUAGE_EXISTS = 2388024
_TOO_MANY_TEMPLATES = 2388019
_MADE_AT = 1_790_000_000  # Unix seconds
_MAX_TEMPLATES = 250
_DEFAULT_LIMIT = 25
_MAX_LIMIT = 1000
_DEFAULT_FIELDS = ("name", "parameter_format", "components", "language", "status", "category")


@dataclass(frozen=True, slots=True)
class Template:
    """One template in one language.

    Attributes:
        node: its Graph fields; None for those without a value.
        shape: what a message must fill in.
    """

    node: Mapping[str, object]
    shape: Shape

    @property
    def status(self) -> object:
        """Meta's word; only ``APPROVED`` can be sent."""
        return self.node["status"]

    @property
    def quick_replies(self) -> dict[str, str]:
        """The labels of the quick replies, by index among all buttons."""
        parts = map(mapping, sequence(self.node["components"]))
        lists = [sequence(part.get("buttons")) for part in parts if part.get("type") == "BUTTONS"]
        buttons = [mapping(button) for buttons in lists for button in buttons]
        return {
            str(index): str(button.get("text"))
            for index, button in enumerate(buttons)
            if button.get("type") == "QUICK_REPLY"
        }


class Templates:
    """Every template, by name and language.

    Args:
        auto_approve: approve at once what is created; otherwise it stays ``PENDING``.
    """

    def __init__(self, *, auto_approve: bool = False) -> None:
        """Start with none."""
        self.auto_approve = auto_approve
        self._templates: dict[tuple[str, str], Template] = {}
        self._ids = itertools.count(300_000_000_000_001)
        self._lock = threading.Lock()

    def create(self, definition: object, *, status: str | None = None) -> Template:
        """Register a definition as POSTed to ``message_templates``.

        Raises:
            GraphError: 100, as Meta would refuse it.
        """
        fields = mapping(definition)
        shape = shape_of(fields)
        key = (str(fields["name"]), str(fields["language"]))
        status = status or ("APPROVED" if self.auto_approve else "PENDING")
        node = {
            **dict.fromkeys(graph_fields.TEMPLATE),
            "id": str(next(self._ids)),
            "name": fields["name"],
            "language": fields["language"],
            "status": status,
            "category": fields["category"],
            "components": fields["components"],
            "parameter_format": "NAMED" if shape.named else "POSITIONAL",
            "quality_score": {"score": "UNKNOWN", "date": _MADE_AT},
            "rejected_reason": "NONE",
            "message_send_ttl_seconds": fields.get("message_send_ttl_seconds"),
        }
        with self._lock:
            if key in self._templates:
                message = "Content in this language already exists"
                raise GraphError(100, details=message, subcode=_LANGUAGE_EXISTS)
            if len(self._templates) >= _MAX_TEMPLATES:
                raise GraphError(100, details="Template limit", subcode=_TOO_MANY_TEMPLATES)
            self._templates[key] = template = Template(node, shape)
        return template

    def change(self, name: str, language: str, **fields: object) -> None:
        """Set Graph fields of one template, as Meta does without asking.

        Args:
            name: of a registered template.
            language: its language code.
            fields: ``status``, ``category``, ``rejected_reason``, ``quality_score`` …; new
                ``components`` change what a message must fill in.
        """
        with self._lock:
            node = {**self._templates[name, language].node, **fields}
            self._templates[name, language] = Template(node, shape_of(node))

    def node(self, name: str, language: str) -> Mapping[str, object]:
        """Return the Graph fields of a registered template.

        Raises:
            KeyError: there is no such template.
        """
        return self._templates[name, language].node

    def find(self, name: str, language: str) -> Template:
        """Return the template that a message names, if it may be sent.

        Raises:
            GraphError: 132015 paused, 132016 disabled, 132001 missing or not approved.
        """
        template = self._templates.get((name, language))
        if template is not None and template.status == "APPROVED":
            return template
        if template is not None and template.status == "PAUSED":
            raise GraphError(132015)
        if template is not None and template.status == "DISABLED":
            raise GraphError(132016)
        raise GraphError(132001, details=f"template name ({name}) does not exist in {language}")

    def one(self, node_id: str, fields: str | None) -> dict[str, object] | None:
        """Return the fields of the template with this Graph id; None: there is none.

        Raises:
            GraphError: 100, an unknown field.
        """
        for template in list(self._templates.values()):
            if template.node["id"] == node_id:
                return select(template.node, fields, default=_DEFAULT_FIELDS)
        return None

    def page(self, request: Request) -> dict[str, object]:
        """Return one page of the listing, by ``fields``, ``limit``, ``after`` and filters.

        The filters are ``name``, ``status``, ``category`` and ``language``; ``summary`` adds
        numbers over all pages.

        Raises:
            GraphError: 100 unknown field or bad limit; 131059 a cursor that is not ours.
        """
        limit = request.query.get("limit", str(_DEFAULT_LIMIT))
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= _MAX_LIMIT):
            raise GraphError(100, details="limit")
        everything = [template.node for template in list(self._templates.values())]
        nodes = [node for node in everything if _fits(node, request.query)]
        start = _position(nodes, request.query.get("after"))
        shown = nodes[start : start + int(limit)]
        fields = request.query.get("fields")
        page: dict[str, object] = {
            "data": [select(node, fields, default=_DEFAULT_FIELDS) for node in shown]
        }
        if "summary" in request.query:
            page["summary"] = _summary(request.query["summary"], len(nodes), len(everything))
        if shown:
            cursors = {"before": _cursor(shown[0]), "after": _cursor(shown[-1])}
            page["paging"] = paging = {"cursors": cursors}
            if start + len(shown) < len(nodes):
                # As at Meta: whoever follows this address puts the token into a URL.
                token = (request.authorization or "").rpartition(" ")[2]
                query = {**request.query, "access_token": token, "after": cursors["after"]}
                address = f"http://{request.host}{request.path}?{urlencode(query)}"
                page["paging"] = {**paging, "next": address}
        return page


def _fits(node: Mapping[str, object], query: Mapping[str, str]) -> bool:
    """Return whether a template is asked for: part of a name, lists of everything else."""
    if query.get("name", "") not in str(node["name"]):
        return False
    return all(
        node[name] in _list(query[name])
        for name in ("status", "category", "language")
        if name in query
    )


def _list(text: str) -> Sequence[object]:
    """Return what a filter lists: a JSON array, or words with commas between them."""
    return sequence(read_json(text.encode())) or text.split(",")


def _summary(fields: str, found: int, everything: int) -> dict[str, object]:
    summary: dict[str, object] = {
        "id": None,
        **dict.fromkeys(graph_fields.TEMPLATE_SUMMARY),
        "are_translations_complete": True,
        "message_template_count": everything,
        "message_template_limit": _MAX_TEMPLATES,
        "total_count": found,
    }
    return select(summary, fields, default=())


def _cursor(node: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(str(node["id"]).encode()).decode()


def _position(nodes: list[Mapping[str, object]], after: str | None) -> int:
    if after is None:
        return 0
    for position, node in enumerate(nodes, start=1):
        if _cursor(node) == after:
            return position
    raise GraphError(131059)
