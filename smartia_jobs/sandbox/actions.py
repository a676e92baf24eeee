"""What people and Meta do, requested over HTTP as JSON."""

from collections.abc import Mapping

from smartia_jobs.sandbox.exchange import mapping
from smartia_jobs.sandbox.notices import Notices
from smartia_jobs.sandbox.person import Person
from smartia_jobs.sandbox.state import State

_DOES = (
    "tap, write, quote, react, take_reaction_back, speak, change_number, stop_marketing,"
    " resume_marketing"
)


def act(body: Mapping[str, object], state: State) -> str | None:
    """Let a person do something, and return WhatsApp's id of it, if it has one.

    Args:
        body: ``phone`` and what it ``does``; ``button``, ``text``, ``emoji``, ``payload``,
            ``message`` and ``new_phone`` where that needs them; ``name``, ``ninth_digit`` and
            ``hidden`` say who it is.
        state: the sandbox's.

    Raises:
        ValueError: it makes no sense, and why.
    """
    person = Person(
        _text(body, "phone"),
        state,
        name=_text_or_none(body, "name"),
        ninth_digit=_truth(body, "ninth_digit"),
        hidden=_truth(body, "hidden") or False,
    )
    message = _text_or_none(body, "message")
    match body.get("does"):
        case "tap":
            button = body.get("button", 0)
            if not isinstance(button, str | int):
                raise ValueError('"button" is a label or a number')
            return person.tap(button, message=message, payload=_text_or_none(body, "payload"))
        case "write":
            return person.write(_text(body, "text"))
        case "quote":
            return person.quote(_text(body, "text"), message=message)
        case "react":
            return person.react(_text(body, "emoji"), message=message)
        case "take_reaction_back":
            return person.take_reaction_back(message=message)
        case "speak":
            return person.speak()
        case "change_number":
            return person.change_number(_text(body, "new_phone"))
        case "stop_marketing":
            person.stop_marketing()
        case "resume_marketing":
            person.resume_marketing()
        case _:
            raise ValueError(f'"does" is one of {_DOES}')
    return None


def tell(body: Mapping[str, object], notices: Notices) -> None:
    """Let Meta announce something.

    Args:
        body: ``template`` with ``language`` and an ``event`` (and ``reason``) or a ``category``
            (``impending``); or an ``event`` of the account and its ``details``.
        notices: announces it.

    Raises:
        ValueError: it makes no sense, and why.
    """
    if "template" not in body:
        details = {str(name): value for name, value in mapping(body.get("details")).items()}
        details.pop("event", None)
        notices.account(_text(body, "event"), **details)
        return
    name, language = _text(body, "template"), _text_or_none(body, "language") or "pt_BR"
    try:
        if "category" in body:
            impending = _truth(body, "impending") or False
            notices.category(name, language, _text(body, "category"), impending=impending)
        else:
            reason = _text_or_none(body, "reason") or "NONE"
            notices.template(name, language, _text(body, "event"), reason=reason)
    except KeyError:
        raise ValueError(f"there is no template {name} in {language}") from None


def _text(body: Mapping[str, object], name: str) -> str:
    text = _text_or_none(body, name)
    if not text:
        raise ValueError(f'needs a "{name}"')
    return text


def _text_or_none(body: Mapping[str, object], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f'"{name}" is a text')
    return value


def _truth(body: Mapping[str, object], name: str) -> bool | None:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise ValueError(f'"{name}" is true or false')
    return value
