"""All that the sandbox knows, in one place: what requests change, and answers depend on."""

from collections.abc import Callable
from dataclasses import dataclass

from smartia_jobs.sandbox.account import Account
from smartia_jobs.sandbox.people import People
from smartia_jobs.sandbox.received import ReceivedMessages
from smartia_jobs.sandbox.scripts import Scripts
from smartia_jobs.sandbox.templates import Templates
from smartia_jobs.sandbox.webhook import Webhook


@dataclass(frozen=True, slots=True)
class State:
    """Whatever the parts of one sandbox share.

    Attributes:
        account: the phone number's, the account's and the token's state.
        templates: what is registered.
        scripts: the scripted answers.
        received: the requests to send, accepted or refused.
        people: what WhatsApp knows of each phone.
        webhook: posts what becomes of messages, and what people write.
        now: the sandbox's clock, in Unix seconds.
    """

    account: Account
    templates: Templates
    scripts: Scripts
    received: ReceivedMessages
    people: People
    webhook: Webhook
    now: Callable[[], float]

    @classmethod
    def new(
        cls,
        *,
        phone_number_id: str,
        waba_id: str,
        auto_approve: bool = False,
        keep: int,
        now: Callable[[], float],
    ) -> "State":
        """Return a healthy account that has received nothing; see ``Sandbox`` for the arguments."""
        return cls(
            account=Account.healthy(phone_number_id=phone_number_id, waba_id=waba_id),
            templates=Templates(auto_approve=auto_approve),
            scripts=Scripts(),
            received=ReceivedMessages(keep=keep),
            people=People(now=now),
            webhook=Webhook(waba_id, now=now),
            now=now,
        )
