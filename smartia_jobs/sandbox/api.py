"""The endpoints of Graph: which request gets which answer."""

import re
from collections.abc import Sequence

from smartia_jobs.sandbox import sending
from smartia_jobs.sandbox.account import MANAGEMENT, MESSAGING, no_such_object
from smartia_jobs.sandbox.control import Control
from smartia_jobs.sandbox.deliveries import follow
from smartia_jobs.sandbox.exchange import (
    GraphError,
    Reply,
    Request,
    json_reply,
    read_json,
)
from smartia_jobs.sandbox.phones import digits_of, wa_id_of
from smartia_jobs.sandbox.received import Received, arrived
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.state import State

_VERSION = re.compile(r"v[0-9]+\.[0-9]+")


class Api:
    """A WhatsApp Cloud API without its network: requests in, replies out."""

    def __init__(self, state: State) -> None:
        """Answer from this state, and tell the webhook what becomes of messages."""
        self._state = state
        self.control = Control(state)

    def answer(self, request: Request) -> Reply:
        """Return the reply to one request; safe to call from many threads."""
        parts = request.path.strip("/").split("/")
        try:
            match request.method, parts:
                case ("GET", [""]) | (_, ["sandbox", *_]):
                    return self.control.answer(request, parts[1:])
                case _, [version, *rest] if _VERSION.fullmatch(version):
                    return self._graph(request, rest)
            raise GraphError(2500, "Unknown path components")
        except GraphError as error:
            return error.reply()

    def _graph(self, request: Request, parts: Sequence[str]) -> Reply:
        scripted = self._state.scripts.for_path(request.method, request.path)
        if request.method == "POST" and parts[1:] == ["messages"]:
            return self._send(request, parts[0], scripted)
        if scripted is None:
            return self._manage(request, parts)
        if scripted.replaces:
            return scripted.apply(Reply(200))
        try:
            return scripted.apply(self._manage(request, parts))
        except GraphError as error:
            return scripted.apply(error.reply())

    def _authorize(self, request: Request, scope: str | None) -> None:
        proof = request.query.get("appsecret_proof")
        self._state.account.authorize(request.authorization, proof, scope=scope)

    # Sending.

    def _send(self, request: Request, node_id: str, scripted: Scripted | None) -> Reply:
        record = arrived()
        payload = read_json(request.body)
        sending.describe(record, payload)
        if scripted is None or not scripted.replaces:
            try:
                self._authorize(request, MESSAGING)
                if node_id != self._state.account.phone["id"]:
                    raise no_such_object(node_id)
                good = sending.check(payload, self._state.templates, self._state.people)
                record["text"], record["category"] = good.text, good.category
                record["buttons"] = dict(good.buttons)
            except GraphError as error:
                record["status"], record["code"] = error.status, error.code
                self._state.received.add(record)
                return error.reply()
        scripted = scripted or self._state.scripts.for_recipient(record["to"] or "") or Scripted()
        return self._finish(record, scripted)

    def _finish(self, record: Received, scripted: Scripted) -> Reply:
        ordinary = Reply(200)
        if scripted.accepts:
            to = record["to"] or ""
            digits = digits_of(to) or ""
            record["accepted"] = True
            record["wamid"] = wamid = sending.new_wamid(digits)
            record["wa_id"] = wa_id = wa_id_of(digits)
            status = "held_for_quality_assessment" if scripted.held else "accepted"
            ordinary = json_reply(
                {
                    "messaging_product": "whatsapp",
                    "contacts": [{"input": to, "wa_id": wa_id}],
                    "messages": [{"id": wamid, "message_status": status}],
                }
            )
        else:
            record["text"] = None
        reply = scripted.apply(ordinary)
        record["status"] = None if reply.cut else reply.status
        record["code"] = None if reply.cut else scripted.code
        self._state.received.add(record)
        if record["accepted"] and self._state.webhook.url is not None:
            follow(record, scripted, self._state)
        return reply

    # Reading and registering.

    def _manage(self, request: Request, parts: Sequence[str]) -> Reply:
        account, fields = self._state.account, request.query.get("fields")
        phone_number_id, waba_id = account.phone["id"], account.waba["id"]
        self._authorize(request, None if parts == ["debug_token"] else MANAGEMENT)
        match request.method, parts:
            case "GET", ["debug_token"]:
                if "input_token" not in request.query:
                    raise GraphError(100, "(#100) The parameter input_token is required")
                return json_reply(account.debug_token(request.query["input_token"]))
            case "GET", [node_id] if node_id == phone_number_id:
                return json_reply(account.phone_number(fields))
            case "GET", [node_id] if node_id == waba_id:
                return json_reply(account.business_account(fields))
            case "GET", [node_id, "phone_numbers"] if node_id == waba_id:
                return json_reply({"data": [account.phone_number(fields)]})
            case "GET", [node_id, "subscribed_apps"] if node_id == waba_id:
                return json_reply({"data": account.subscribed_apps})
            case "GET", [node_id, "message_templates"] if node_id == waba_id:
                return json_reply(self._state.templates.page(request))
            case "POST", [node_id, "message_templates"] if node_id == waba_id:
                node = self._state.templates.create(read_json(request.body)).node
                return json_reply({key: node[key] for key in ("id", "status", "category")})
            case "GET", [node_id] if template := self._state.templates.one(node_id, fields):
                return json_reply(template)
            case _, [node_id, *_] if node_id not in (phone_number_id, waba_id):
                raise no_such_object(node_id)
        raise GraphError(100, f"Unsupported {request.method.lower()} request")
