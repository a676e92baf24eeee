"""What Meta demands of one message, checked in the order a client would notice."""

import base64
import itertools
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from smartia_jobs.sandbox.exchange import GraphError, mapping, sequence
from smartia_jobs.sandbox.people import People
from smartia_jobs.sandbox.phones import digits_of
from smartia_jobs.sandbox.received import Received
from smartia_jobs.sandbox.template_rules import Shape, fill_in, is_too_long, length_of
from smartia_jobs.sandbox.templates import Templates

_MAX_CALLBACK_DATA = 512
_MAX_PAYLOAD = 256
_MAX_TEXT = 4096
_REFUSED_SPACE = re.compile(r"[\n\r\t]| {5,}")
_serial = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Good:
    """What a good message shows.

    Attributes:
        text: the body as the patient would read it.
        category: the template's; None of free text.
        buttons: labels of quick replies by index.
    """

    text: str
    category: str | None = None
    buttons: Mapping[str, str] = field(default_factory=dict)


def check(payload: object, templates: Templates, people: People) -> Good:
    """Return what the patient would see.

    Args:
        payload: the request's JSON value; None when there was none.
        templates: where the template must stand approved.
        people: free text goes only to those who have written within a day.

    Raises:
        GraphError: the code that Meta would refuse this message with.
    """
    if not isinstance(payload, dict):
        raise GraphError(100, details="the body is not a JSON object")
    if payload.get("messaging_product") != "whatsapp":
        raise GraphError(100, "(#100) The parameter messaging_product is required.")
    _check_recipient(payload)
    callback_data = payload.get("biz_opaque_callback_data", "")
    if not isinstance(callback_data, str) or len(callback_data) > _MAX_CALLBACK_DATA:
        raise GraphError(100, details="biz_opaque_callback_data: text of up to 512 characters")
    context = payload.get("context")
    if context is not None and not _text_or_none(mapping(context).get("message_id")):
        raise GraphError(100, "(#100) The parameter context['message_id'] is required.")
    if payload.get("type", "text") == "text":
        return _check_text(mapping(payload.get("text")), people, str(payload["to"]))
    if payload["type"] != "template":
        raise GraphError(131051)
    return _check_template(mapping(payload.get("template")), templates)


def describe(record: Received, payload: object) -> None:
    """Note in ``record`` what can be read of a request, good or bad."""
    message = mapping(payload)
    template = mapping(message.get("template"))
    record["to"] = _text_or_none(message.get("to"))
    record["type"] = _text_or_none(message.get("type", "text"))
    record["context_id"] = _text_or_none(mapping(message.get("context")).get("message_id"))
    record["callback_data"] = _text_or_none(message.get("biz_opaque_callback_data"))
    record["template"] = _text_or_none(template.get("name"))
    record["language"] = _text_or_none(mapping(template.get("language")).get("code"))
    for component in map(mapping, sequence(template.get("components"))):
        parameters = [mapping(parameter) for parameter in sequence(component.get("parameters"))]
        type_ = _word(component.get("type"))
        if type_ == "body":
            for position, parameter in enumerate(parameters, start=1):
                name = parameter.get("parameter_name", position)
                record["parameters"][str(name)] = str(parameter.get("text"))
        elif type_ == "button" and parameters:
            index = str(component.get("index"))
            record["payloads"][index] = str(parameters[0].get("payload"))


def new_wamid(digits: str) -> str:
    """Return an id like WhatsApp's: unique, opaque, with the phone in it."""
    unique = f"{next(_serial):x}{secrets.token_hex(6)}"
    opaque = b"\x1c\x18" + bytes([len(digits)]) + f"{digits}\x15{unique}".encode()
    return f"wamid.{base64.b64encode(opaque).decode()}"


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _word(value: object) -> str:
    """Return a word of Graph's in lower case; some clients write them in upper case."""
    return value.lower() if isinstance(value, str) else ""


def _check_recipient(payload: Mapping[str, object]) -> None:
    to = payload.get("to")
    if to is None or to == "":
        raise GraphError(131008, details="to")
    if not isinstance(to, str):
        raise GraphError(100, "(#100) Param to must be a string")
    if digits_of(to) is None:
        raise GraphError(131009, details="to is not a phone number")
    if payload.get("recipient_type", "individual") != "individual":
        raise GraphError(131009, details="recipient_type")


def _check_text(message: Mapping[str, object], people: People, to: str) -> Good:
    body = message.get("body")
    if not isinstance(body, str) or not body.strip():
        raise GraphError(100, "(#100) The parameter text['body'] is required.")
    if length_of(body) > _MAX_TEXT:
        message_of_meta = f"Param text['body'] must be at most {_MAX_TEXT} characters long."
        raise GraphError(100, f"(#100) {message_of_meta}")
    if not isinstance(message.get("preview_url", False), bool):
        raise GraphError(100, "(#100) Param text['preview_url'] must be a boolean.")
    if not people.may_be_answered(to):
        details = (
            "Message failed to send because more than 24 hours have passed since the customer"
            " last replied to this number."
        )
        raise GraphError(131047, details=details)
    return Good(body)


def _check_template(message: Mapping[str, object], templates: Templates) -> Good:
    name, language = message.get("name"), mapping(message.get("language")).get("code")
    if not name or not language:
        raise GraphError(131008, details="template.name and template.language.code")
    if not isinstance(name, str) or not isinstance(language, str):
        raise GraphError(131009, details="template.name and template.language.code")
    template = templates.find(name, language)
    shape = template.shape

    given: dict[str, Sequence[object]] = {}
    buttons: dict[str, Mapping[str, object]] = {}
    for component in map(mapping, sequence(message.get("components"))):
        type_, index = _word(component.get("type")), str(component.get("index"))
        if type_ in ("header", "body") and type_ not in given:
            given[type_] = sequence(component.get("parameters"))
        elif type_ == "button" and index not in buttons:
            buttons[index] = component
        else:
            raise GraphError(100, details="components: header, body or button, each once")

    named = shape.named
    header = _values("header", given.get("header", ()), shape.header_variables, named=named)
    body = _values("body", given.get("body", ()), shape.body_variables, named=named)
    _check_buttons(buttons, shape)
    text = fill_in(shape.body, body)
    if is_too_long(header=fill_in(shape.header, header), body=text):
        raise GraphError(132005)
    return Good(text, str(template.node["category"]), template.quick_replies)


def _values(
    part: str, parameters: Sequence[object], variables: tuple[str, ...], *, named: bool
) -> dict[str, str]:
    if len(parameters) != len(variables):
        details = (
            f"{part}: number of localizable_params ({len(parameters)}) does not match"
            f" the expected number of params ({len(variables)})"
        )
        raise GraphError(132000, details=details)
    values: dict[str, str] = {}
    for variable, parameter in zip(variables, map(mapping, parameters), strict=True):
        name = parameter.get("parameter_name")
        if named and (not isinstance(name, str) or not name):
            raise GraphError(100, details="Parameter name is missing or empty")
        if not named and name is not None:
            raise GraphError(100, details="this template's parameters are numbered, not named")
        if parameter.get("type") != "text":
            raise GraphError(132012, details=f"{part}: expected a text parameter")
        values[str(name) if named else variable] = _value(part, parameter)
    if set(values) != set(variables):
        raise GraphError(132012, details=f"{part}: parameter names differ from the template's")
    return values


def _value(part: str, parameter: Mapping[str, object]) -> str:
    if "text" not in parameter:
        raise GraphError(131008, details=f"{part}: a parameter has no text")
    text = parameter["text"]
    if not isinstance(text, str):
        raise GraphError(131009, details=f"{part}: a parameter's text is not a string")
    if _REFUSED_SPACE.search(text):
        details = "Param text cannot have new-line/tab characters or more than 4 consecutive spaces"
        raise GraphError(132018, details=details)
    if not text.strip():
        raise GraphError(131008, details=f"{part}: a parameter's text is empty")
    return text


def _check_buttons(given: Mapping[str, Mapping[str, object]], shape: Shape) -> None:
    by_index = {str(index): type_ for index, type_ in enumerate(shape.buttons)}
    for index, component in given.items():
        parameters = [mapping(parameter) for parameter in sequence(component.get("parameters"))]
        match by_index.get(index), _word(component.get("sub_type")):
            case "QUICK_REPLY", "quick_reply":
                _check_texts(parameters, "payload")
            case "URL_SUFFIX", "url":
                _check_texts(parameters, "text")
            case _:
                raise GraphError(132018, details=f"button {index} takes no such parameter")
    if any(type_ == "URL_SUFFIX" and index not in given for index, type_ in by_index.items()):
        raise GraphError(131008, details="a link button needs the end of its url")


def _check_texts(parameters: Iterable[Mapping[str, object]], key: str) -> None:
    texts = [parameter.get(key) for parameter in parameters if parameter.get("type") == key]
    if len(texts) != 1 or not isinstance(texts[0], str) or not 0 < len(texts[0]) <= _MAX_PAYLOAD:
        raise GraphError(131009, details=f"a button takes one {key} of up to {_MAX_PAYLOAD}")
