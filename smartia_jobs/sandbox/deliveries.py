"""What becomes of an accepted message: the statuses that Meta would post."""

from collections.abc import Mapping, Sequence

from smartia_jobs.sandbox.exchange import title_of
from smartia_jobs.sandbox.payloads import Change, contact, of_number
from smartia_jobs.sandbox.people import Known
from smartia_jobs.sandbox.received import Received
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.state import State

#: What follows unless a script says otherwise.
_USUAL = ("sent", "delivered", "read")
_NOT_REACHABLE = 131026
_STOPPED_MARKETING = 131050
_ERROR_PAGE = "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/"


def follow(record: Received, scripted: Scripted, state: State) -> None:
    """Hand what becomes of an accepted message to the webhook.

    Args:
        record: the message.
        scripted: what was scripted for it.
        state: the sandbox's.
    """
    person, now = state.people.known(record["to"] or ""), state.now()
    words, failure = _outcome(record, scripted, person)
    for number, word in enumerate(words, start=1):
        after_s = scripted.statuses_delay_s * number
        at = int(now + after_s)
        change = _change(record, word, words, failure, state.account.phone, person, at=at)
        state.webhook.put(change, after_s=after_s, bundle=scripted.bundle, over=scripted.entries)


def _outcome(record: Received, scripted: Scripted, person: Known) -> tuple[Sequence[str], int]:
    """Return the statuses in their order, and Meta's reason for a failure among them."""
    if scripted.statuses is not None:
        return scripted.statuses, scripted.failure or _NOT_REACHABLE
    if scripted.failure is not None:
        return ("failed",), scripted.failure
    if scripted.held:
        return (), _NOT_REACHABLE  # nothing is known until Meta lets it go
    if record["category"] == "MARKETING" and person.stopped_marketing:
        return ("failed",), _STOPPED_MARKETING
    return _USUAL, _NOT_REACHABLE


def _change(
    record: Received,
    word: str,
    words: Sequence[str],
    failure: int,
    phone: Mapping[str, object],
    person: Known,
    *,
    at: int,
) -> Change:
    wa_id = record["wa_id"] or ""
    status: dict[str, object] = {
        "id": record["wamid"],
        "status": word,
        "timestamp": str(at),
        "recipient_id": wa_id,
    }
    if record["callback_data"] is not None:
        status["biz_opaque_callback_data"] = record["callback_data"]
    if word == "failed":  # of a message sent to a phone: nothing else about the person
        title = title_of(failure)
        error = {"code": failure, "title": title, "message": title, "href": _ERROR_PAGE}
        status["errors"] = [{**error, "error_data": {"details": title}}]
        return of_number(phone, "messages", statuses=[status])
    status["recipient_user_id"] = person.user_id
    if word in ("sent", "delivered") or (word == "read" and "delivered" not in words):
        status["pricing"] = {
            "billable": True,
            "pricing_model": "PMP",
            "type": "regular",
            "category": (record["category"] or "service").lower(),
        }
    contacts = [contact(name=person.name, wa_id=wa_id, user_id=person.user_id)]
    return of_number(phone, "messages", contacts=contacts, statuses=[status])
