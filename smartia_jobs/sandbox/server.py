"""The sandbox: a WhatsApp Cloud API that runs in a thread until it is closed."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from email.utils import formatdate
from typing import Self

from smartia_jobs.sandbox.account import PHONE_NUMBER_ID, WABA_ID
from smartia_jobs.sandbox.api import Api
from smartia_jobs.sandbox.exchange import Reply, Request
from smartia_jobs.sandbox.listener import Listener
from smartia_jobs.sandbox.person import Person
from smartia_jobs.sandbox.received import Received
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.state import State


class Sandbox:
    """A WhatsApp Cloud API that runs from here until it is closed.

    It reaches no phone. Every attribute may be changed while it runs.

    Args:
        port: on 127.0.0.1; 0 takes a free one.
        templates: definitions as POSTed to ``message_templates``; they are approved.
        phone_number_id: the sender's Graph id.
        waba_id: the account's Graph id.
        auto_approve: approve at once what is created over HTTP; otherwise it stays pending.
        keep: how many received requests are kept.

    Attributes:
        url: where it listens, ``http://127.0.0.1:PORT``.
        account: the phone number's, the account's and the token's state.
        templates: what is registered; ``templates.change(name, language, status=…)``.
        scripts: the scripted answers.
        webhook: posts what becomes of messages, and what people write, once it is connected.
        notices: what Meta tells of templates and of the account.
        latency_s: seconds before each answer, besides what a script says.
        clock_offset: how much its clock is ahead of this machine's: the ``Date`` header, the
            times it posts, and the day within which free text may be sent.

    Raises:
        OSError: the port is taken.
        GraphError: Meta would refuse one of ``templates``.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        templates: Iterable[Mapping[str, object]] = (),
        phone_number_id: str = PHONE_NUMBER_ID,
        waba_id: str = WABA_ID,
        auto_approve: bool = False,
        keep: int = 100_000,
    ) -> None:
        """Listen and answer."""
        self.latency_s = 0.0
        self.clock_offset = timedelta(0)
        self._state = State.new(
            phone_number_id=phone_number_id,
            waba_id=waba_id,
            auto_approve=auto_approve,
            keep=keep,
            now=self._now,
        )
        self.account, self.templates = self._state.account, self._state.templates
        self.scripts, self.webhook = self._state.scripts, self._state.webhook
        for definition in templates:
            self.templates.create(definition, status="APPROVED")
        self._api = Api(self._state)
        self.notices = self._api.control.notices
        self._listener = Listener(port, self._answer)
        self.url = f"http://127.0.0.1:{self._listener.server_address[1]}"
        self._listener.start()

    @property
    def received(self) -> list[Received]:
        """Copies of every request to send so far, accepted or refused, oldest first."""
        return self._state.received.snapshot()

    def script(self, target: str, *answers: Scripted, repeat_last: bool = False) -> None:
        """Set what to answer instead, replacing what was scripted for ``target``.

        Args:
            target: a recipient's phone, ``*`` for every recipient, or the end of a path
                (``/messages``, ``GET /message_templates``).
            answers: in order; after them answers are ordinary again.
            repeat_last: repeat the last one.

        Raises:
            ValueError: ``target`` is none of these.
        """
        self.scripts.put(target, answers, repeat_last=repeat_last)

    def person(
        self,
        phone: str,
        *,
        name: str | None = None,
        ninth_digit: bool | None = None,
        hidden: bool = False,
    ) -> Person:
        """Return the person with this phone, who can tap, write, quote, react and more.

        Args:
            phone: with its country code.
            name: what the person calls themselves.
            ninth_digit: whether WhatsApp's id of a Brazilian mobile has it; None: as usual.
            hidden: WhatsApp tells the user id alone.

        Raises:
            ValueError: ``phone`` cannot be one.
        """
        return Person(phone, self._state, name=name, ninth_digit=ninth_digit, hidden=hidden)

    def subscribe(self, url: str, *, app_secret: str, verify_token: str | None = None) -> None:
        """Post what happens to a webhook on this machine, as Meta posts to an app.

        Args:
            url: the webhook's address.
            app_secret: what posts are signed with.
            verify_token: plays Meta's handshake first; None skips it.

        Raises:
            ConfigurationError: no address of this machine, or the handshake failed.
        """
        self.webhook.connect(url, app_secret=app_secret, verify_token=verify_token)
        self.account.phone["webhook_configuration"] = {"application": url}

    def wait(self) -> None:
        """Block until somebody closes the sandbox."""
        self._listener.closing.wait()

    def close(self) -> None:
        """Stop at once, cutting every connection; no thread and no socket is left."""
        self._listener.close()
        self.webhook.close()

    def __enter__(self) -> Self:
        """Return the running sandbox."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _answer(self, request: Request) -> Reply | None:
        reply = self._api.answer(request)
        delay_s = reply.delay_s + self.latency_s
        if delay_s > 0 and self._listener.closing.wait(delay_s):
            return None
        if reply.cut:
            return None
        date = formatdate(self._now(), usegmt=True)
        return replace(reply, headers={"Date": date, **reply.headers})

    def _now(self) -> float:
        return time.time() + self.clock_offset.total_seconds()
