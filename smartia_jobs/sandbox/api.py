"""The endpoints: which request gets which answer."""

import re
from collections.abc import Callable, Mapping, Sequence

from smartia_jobs.sandbox import sending
from smartia_jobs.sandbox.account import MANAGEMENT, MESSAGING, Account, no_such_object
from smartia_jobs.sandbox.deliveries import follow
from smartia_jobs.sandbox.exchange import (
    GraphError,
    Reply,
    Request,
    json_reply,
    mapping,
    read_json,
    sequence,
)
from smartia_jobs.sandbox.people import People
from smartia_jobs.sandbox.phones import digits_of, wa_id_of
from smartia_jobs.sandbox.received import Received, ReceivedMessages, arrived
from smartia_jobs.sandbox.scripts import Scripted, Scripts
from smartia_jobs.sandbox.templates import Templates
from smartia_jobs.sandbox.webhook import Webhook

_VERSION = re.compile(r"v[0-9]+\.[0-9]+")

_WELCOME = """\
This is the smartia-jobs sandbox: a small WhatsApp Cloud API on this machine.
It is NOT Meta: nothing that is sent here reaches a phone, and any token is good.

  META_API_URL={url}
  META_PHONE_NUMBER_ID={phone_number_id}
  META_WABA_ID={waba_id}
  META_ACCESS_TOKEN=anything
  DATABASE_IS_A_COPY=1            (and DATABASE_URL is one: what is sent here counts as sent)

What it received:    curl {url}/sandbox/messages        (DELETE forgets it)
In numbers:          curl {url}/sandbox/stats
Scripted answers:    curl {url}/sandbox/script          (DELETE removes them)
  curl {url}/sandbox/script -d '{{"target": "+5511987654321", "answers": [{{"code": 131056}}]}}'

A target is a phone, * for everyone, or the end of a path (/messages, GET /message_templates).
Answers are given in order; "repeat_last": true gives the last one for ever. An answer has any of
  code, subcode, details, status, body, content_type, headers, delay_s, cut, held, accepted
  {{"code": 130429}}                 refused with one of Meta's codes
  {{"status": 502, "body": "<html>"}} no Graph answer at all
  {{"delay_s": 40}}                  accepted, answered late
  {{"cut": true}}                    connection cut; with "accepted": true only after accepting
  {{}}                               the ordinary answer
and, for the webhook that is told what becomes of an accepted message (sent, delivered, read),
  {{"failure": 131026}}              it fails after all, for this reason of Meta's
  {{"statuses": ["read", "sent", "sent"], "statuses_delay_s": 2, "bundle": 300, "entries": 3}}
What was posted:     curl {url}/sandbox/webhook
"""


class Api:
    """A WhatsApp Cloud API without its network: requests in, replies out."""

    def __init__(
        self,
        *,
        account: Account,
        templates: Templates,
        scripts: Scripts,
        received: ReceivedMessages,
        people: People,
        webhook: Webhook,
        now: Callable[[], float],
    ) -> None:
        """Answer from this state, and tell the webhook what becomes of messages."""
        self._account = account
        self._templates = templates
        self._scripts = scripts
        self._received = received
        self._people = people
        self._webhook = webhook
        self._now = now

    def answer(self, request: Request) -> Reply:
        """Return the reply to one request; safe to call from many threads."""
        parts = request.path.strip("/").split("/")
        try:
            match request.method, parts:
                case "GET", [""]:
                    return self._welcome(request)
                case _, ["sandbox", *rest]:
                    return self._control(request, rest)
                case _, [version, *rest] if _VERSION.fullmatch(version):
                    return self._graph(request, rest)
            raise GraphError(2500, "Unknown path components")
        except GraphError as error:
            return error.reply()

    def _graph(self, request: Request, parts: Sequence[str]) -> Reply:
        scripted = self._scripts.for_path(request.method, request.path)
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
        self._account.authorize(request.authorization, proof, scope=scope)

    # Sending.

    def _send(self, request: Request, node_id: str, scripted: Scripted | None) -> Reply:
        record = arrived()
        payload = read_json(request.body)
        sending.describe(record, payload)
        if scripted is None or not scripted.replaces:
            try:
                self._authorize(request, MESSAGING)
                if node_id != self._account.phone["id"]:
                    raise no_such_object(node_id)
                good = sending.check(payload, self._templates, self._people)
                record["text"], record["category"] = good.text, good.category
                record["buttons"] = dict(good.buttons)
            except GraphError as error:
                record["status"], record["code"] = error.status, error.code
                self._received.add(record)
                return error.reply()
        scripted = scripted or self._scripts.for_recipient(record["to"] or "") or Scripted()
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
        self._received.add(record)
        if record["accepted"] and self._webhook.url is not None:
            follow(
                record,
                scripted,
                phone=self._account.phone,
                people=self._people,
                webhook=self._webhook,
                now=self._now(),
            )
        return reply

    # Reading and registering.

    def _manage(self, request: Request, parts: Sequence[str]) -> Reply:
        account, fields = self._account, request.query.get("fields")
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
            case "GET", [node_id, "message_templates"] if node_id == waba_id:
                return json_reply(self._templates.page(request))
            case "POST", [node_id, "message_templates"] if node_id == waba_id:
                node = self._templates.create(read_json(request.body)).node
                return json_reply({key: node[key] for key in ("id", "status", "category")})
            case "GET", [node_id] if template := self._templates.one(node_id, fields):
                return json_reply(template)
            case _, [node_id, *_] if node_id not in (phone_number_id, waba_id):
                raise no_such_object(node_id)
        raise GraphError(100, f"Unsupported {request.method.lower()} request")

    # The sandbox's own endpoints.

    def _welcome(self, request: Request) -> Reply:
        text = _WELCOME.format(
            url=f"http://{request.host}",
            phone_number_id=self._account.phone["id"],
            waba_id=self._account.waba["id"],
        )
        return Reply(200, text.encode("utf-8", "replace"), "text/plain; charset=UTF-8")

    def _control(self, request: Request, parts: Sequence[str]) -> Reply:
        match request.method, parts:
            case "GET", ["messages"]:
                return json_reply(self._received.snapshot())
            case "DELETE", ["messages"]:
                self._received.clear()
                return json_reply({"success": True})
            case "GET", ["stats"]:
                return json_reply(self._received.stats())
            case "GET", ["script"]:
                return json_reply(self._scripts.listing())
            case "GET", ["webhook"]:
                return json_reply({"url": self._webhook.url, **self._webhook.stats()})
            case "DELETE", ["script"]:
                self._scripts.clear()
                return json_reply({"success": True})
            case "POST", ["script"]:
                return self._script(mapping(read_json(request.body)))
            case _:
                return json_reply({"error": f"no such endpoint; see {request.host}/"}, status=404)

    def _script(self, body: Mapping[str, object]) -> Reply:
        try:
            target, given = body.get("target"), sequence(body.get("answers"))
            if not isinstance(target, str) or not given:
                raise ValueError('needs a "target" and a list of "answers"')
            answers = [Scripted.from_json(value) for value in given]
            self._scripts.put(target, answers, repeat_last=body.get("repeat_last") is True)
        except ValueError as error:
            return json_reply({"error": str(error)}, status=400)
        return json_reply(self._scripts.listing())
