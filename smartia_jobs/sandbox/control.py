"""The sandbox's own endpoints: what it received, its scripts, what people and Meta do."""

from collections.abc import Mapping, Sequence

from smartia_jobs.sandbox.actions import act, tell
from smartia_jobs.sandbox.exchange import Reply, Request, json_reply, mapping, read_json, sequence
from smartia_jobs.sandbox.notices import Notices
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.state import State

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
Answers are given in order; "repeat_last": true repeats the last one. An answer has any of
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

People answer, which also opens the 24 hours in which free text may be sent to them:
  curl {url}/sandbox/people -d '{{"phone": "+5511987654321", "does": "tap", "button": 0}}'
"does" is tap (button: label or place; payload), write (text), quote (text), react (emoji),
take_reaction_back, speak, change_number (new_phone), stop_marketing or resume_marketing.
"message" names another message than the newest; "ninth_digit": false, "hidden": true and "name"
say how WhatsApp shows the person.

Meta tells:
  curl {url}/sandbox/notices -d '{{"template": "NAME", "language": "pt_BR", "event": "PAUSED"}}'
  curl {url}/sandbox/notices -d '{{"template": "NAME", "category": "MARKETING"}}'
  curl {url}/sandbox/notices -d '{{"event": "ACCOUNT_RESTRICTION"}}'
"""


class Control:
    """Requests to the sandbox itself, not to WhatsApp.

    Attributes:
        notices: what Meta tells of templates and of the account.
    """

    def __init__(self, state: State) -> None:
        """Work on this state."""
        self._state = state
        self.notices = Notices(state)

    def answer(self, request: Request, parts: Sequence[str]) -> Reply:
        """Return the reply to one request; ``parts`` is the path below ``/sandbox``."""
        match request.method, parts:
            case "GET", []:
                return self._welcome(request)
            case "GET", ["messages"]:
                return json_reply(self._state.received.snapshot())
            case "DELETE", ["messages"]:
                self._state.received.clear()
                return json_reply({"success": True})
            case "GET", ["stats"]:
                return json_reply(self._state.received.stats())
            case "GET", ["script"]:
                return json_reply(self._state.scripts.listing())
            case "GET", ["webhook"]:
                return json_reply({"url": self._state.webhook.url, **self._state.webhook.stats()})
            case "DELETE", ["script"]:
                self._state.scripts.clear()
                return json_reply({"success": True})
            case "POST", ["script"]:
                return self._script(mapping(read_json(request.body)))
            case "POST", ["people" | "notices" as whose]:
                return self._act(whose, mapping(read_json(request.body)))
            case _:
                return json_reply({"error": f"no such endpoint; see {request.host}/"}, status=404)

    def _welcome(self, request: Request) -> Reply:
        text = _WELCOME.format(
            url=f"http://{request.host}",
            phone_number_id=self._state.account.phone["id"],
            waba_id=self._state.account.waba["id"],
        )
        return Reply(200, text.encode("utf-8", "replace"), "text/plain; charset=UTF-8")

    def _act(self, whose: str, body: Mapping[str, object]) -> Reply:
        done: dict[str, object] = {"webhook": self._state.webhook.url}
        try:
            if whose == "people":
                done["id"] = act(body, self._state)
            else:
                tell(body, self.notices)
        except ValueError as error:
            return json_reply({"error": str(error)}, status=400)
        return json_reply(done)

    def _script(self, body: Mapping[str, object]) -> Reply:
        try:
            target, given = body.get("target"), sequence(body.get("answers"))
            if not isinstance(target, str) or not given:
                raise ValueError('needs a "target" and a list of "answers"')
            answers = [Scripted.from_json(value) for value in given]
            self._state.scripts.put(target, answers, repeat_last=body.get("repeat_last") is True)
        except ValueError as error:
            return json_reply({"error": str(error)}, status=400)
        return json_reply(self._state.scripts.listing())
