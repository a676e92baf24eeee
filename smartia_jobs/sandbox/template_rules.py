"""What Meta demands of a template's definition, and what a message must then fill in.

Source: the error codes and the template pages of Meta's documentation, September 2026;
the subcodes are those that clients have seen (100 with ``error_subcode``).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smartia_jobs.sandbox.exchange import GraphError, mapping, sequence

_CHARACTER_LIMIT = 2388040
_HEADER_FORMAT = 2388047
_BODY_FORMAT = 2388072
_FOOTER_FORMAT = 2388073
_TOO_MANY_VARIABLES = 2388293
_VARIABLE_AT_THE_EDGE = 2388299

_MAX_BODY = 1024
_MAX_LINE = 60  # header and footer
_MAX_LABEL = 25
_MAX_BUTTONS = 10
_MAX_URL = 2000
_MAX_PHONE = 20

#: Seconds a message may wait for the phone; -1 is 30 days (not for marketing).
_TTL_RANGES = {
    "UTILITY": (30, 43_200),
    "MARKETING": (43_200, 2_592_000),
    "AUTHENTICATION": (30, 900),
}

_NAME = re.compile(r"[a-z0-9_]{1,512}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Z]{2,3})?")
_VARIABLE = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_NAMED_VARIABLE = re.compile(r"[a-z][a-z0-9_]*")
_ADJACENT = re.compile(r"\}\}\s*\{\{")


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a template a message fills in.

    Attributes:
        named: whether parameters go by name.
        header: the header's text, empty when there is none.
        body: the body's text.
        header_variables: in order of first use.
        body_variables: in order of first use.
        buttons: type (``QUICK_REPLY``, ``URL``, ``PHONE_NUMBER``) by index; a URL that needs
            its suffix is ``URL_SUFFIX``.
    """

    named: bool
    header: str
    body: str
    header_variables: tuple[str, ...]
    body_variables: tuple[str, ...]
    buttons: tuple[str, ...]


def shape_of(definition: Mapping[str, object]) -> Shape:
    """Return the shape of a definition as POSTed to ``message_templates``.

    Raises:
        GraphError: 100, where Meta names one with its subcode: the first rule broken.
    """
    _check_identity(definition)
    parameter_format = definition.get("parameter_format", "POSITIONAL")
    _require(parameter_format in ("POSITIONAL", "NAMED"), "parameter_format must be one of")
    named = parameter_format == "NAMED"

    components: dict[object, Mapping[str, object]] = {}
    for component in map(mapping, sequence(definition.get("components"))):
        type_ = component.get("type")
        _require(type_ in ("HEADER", "BODY", "FOOTER", "BUTTONS"), "unknown component type")
        _require(type_ not in components, f"more than one component of type {type_}")
        components[type_] = component

    header, body = components.get("HEADER"), components.get("BODY")
    _require(body is not None, "a BODY component is required")
    _check_footer(components.get("FOOTER"))
    return Shape(
        named=named,
        header="" if header is None else _text(header),
        body=_text(body or {}),
        header_variables=_header_variables(header, named=named),
        body_variables=_body_variables(body or {}, named=named),
        buttons=_buttons(components.get("BUTTONS")),
    )


def fill_in(text: str, values: Mapping[str, str]) -> str:
    """Return a header's or body's text with every variable replaced by its value."""
    return _VARIABLE.sub(lambda match: values[match[1]], text)


def length_of(text: str) -> int:
    """Return how long Meta, counting in UTF-16 units, finds a text."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def is_too_long(*, header: str = "", body: str = "") -> bool:
    """Return whether a header or body, filled in or not, is longer than WhatsApp shows."""
    return length_of(header) > _MAX_LINE or length_of(body) > _MAX_BODY


def _require(holds: bool, details: str, *, subcode: int | None = None) -> None:
    if not holds:
        raise GraphError(100, details=details, subcode=subcode)


def _text(component: Mapping[str, object]) -> str:
    text = component.get("text")
    return text if isinstance(text, str) else ""


def _check_identity(definition: Mapping[str, object]) -> None:
    name, language = definition.get("name"), definition.get("language")
    _require(isinstance(name, str) and _NAME.fullmatch(name) is not None, "name: a-z, 0-9, _")
    known = isinstance(language, str) and _LANGUAGE.fullmatch(language) is not None
    _require(known, "language: a code such as pt_BR")
    category = definition.get("category")
    _require(isinstance(category, str) and category in _TTL_RANGES, "category is not known")
    ttl_s = definition.get("message_send_ttl_seconds")
    if ttl_s is not None:
        shortest, longest = _TTL_RANGES[str(category)]
        fits = type(ttl_s) is int and shortest <= ttl_s <= longest
        fits = fits or (ttl_s == -1 and category != "MARKETING")
        _require(fits, f"message_send_ttl_seconds must be {shortest} to {longest} for {category}")


def _variables(text: str, *, named: bool) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(_VARIABLE.findall(text)))
    if named:
        for name in found:
            _require(bool(_NAMED_VARIABLE.fullmatch(name)), "variables: lower case, digits and _")
    else:
        in_order = [str(number) for number in range(1, len(found) + 1)]
        _require(sorted(found) == sorted(in_order), "variables must be numbered 1, 2, 3 …")
        found = tuple(in_order)
    return found


def _check_examples(
    component: Mapping[str, object], part: str, variables: Sequence[str], *, named: bool
) -> None:
    example = mapping(component.get("example"))
    if named:
        given = map(mapping, sequence(example.get(f"{part}_named_params")))
        examples = {str(item.get("param_name")) for item in given if item.get("example")}
        complete = examples == set(variables)
    else:
        values = sequence(example.get(part))
        if part == "body_text":  # an array of arrays, of which the first counts
            values = sequence(values[0]) if values else ()
        complete = len(values) == len(variables) and all(values)
    _require(complete, f"{part}: one example for each of the variables")


def _header_variables(header: Mapping[str, object] | None, *, named: bool) -> tuple[str, ...]:
    if header is None:
        return ()
    text = _text(header)
    is_line = header.get("format") == "TEXT" and bool(text.strip()) and "\n" not in text
    _require(is_line, "the sandbox knows one-line TEXT headers only", subcode=_HEADER_FORMAT)
    _require(not is_too_long(header=text), "header", subcode=_CHARACTER_LIMIT)
    variables = _variables(text, named=named)
    _require(len(variables) <= 1, "a header has at most one variable", subcode=_HEADER_FORMAT)
    if variables:
        _check_examples(header, "header_text", variables, named=named)
    return variables


def _body_variables(body: Mapping[str, object], *, named: bool) -> tuple[str, ...]:
    text = _text(body).strip()
    _require(bool(text), "the body has no text", subcode=_BODY_FORMAT)
    _require(not is_too_long(body=text), "body", subcode=_CHARACTER_LIMIT)
    variables = _variables(text, named=named)
    if not variables:
        return ()
    apart = _ADJACENT.search(text) is None
    _require(apart, "two variables stand next to each other", subcode=_BODY_FORMAT)
    inside = not text.startswith("{{") and not text.endswith("}}")
    _require(inside, "a variable stands at the start or end", subcode=_VARIABLE_AT_THE_EDGE)
    # The border is not documented; two variables were seen to need five other words.
    words = len(re.findall(r"\w+", _VARIABLE.sub(" ", text)))
    enough = words > 2 * len(variables)
    _require(enough, "too many variables for the length", subcode=_TOO_MANY_VARIABLES)
    _check_examples(body, "body_text", variables, named=named)
    return variables


def _check_footer(footer: Mapping[str, object] | None) -> None:
    if footer is not None:
        text = _text(footer)
        plain = bool(text.strip()) and "{{" not in text and "\n" not in text
        _require(plain, "the footer is one line without variables", subcode=_FOOTER_FORMAT)
        _require(length_of(text) <= _MAX_LINE, "footer", subcode=_CHARACTER_LIMIT)


def _buttons(component: Mapping[str, object] | None) -> tuple[str, ...]:
    if component is None:
        return ()
    buttons = [mapping(button) for button in sequence(component.get("buttons"))]
    _require(1 <= len(buttons) <= _MAX_BUTTONS, f"1 to {_MAX_BUTTONS} buttons")
    types = tuple(map(_button_type, buttons))
    runs = re.findall(r"q+", "".join("q" if type_ == "QUICK_REPLY" else "-" for type_ in types))
    _require(len(runs) <= 1, "quick replies must stand together")
    return types


def _button_type(button: Mapping[str, object]) -> str:
    type_, label = button.get("type"), _text(button)
    _require(bool(label.strip()) and "{{" not in label, "a button needs a plain label")
    _require(length_of(label) <= _MAX_LABEL, "button label", subcode=_CHARACTER_LIMIT)
    match type_:
        case "QUICK_REPLY":
            return "QUICK_REPLY"
        case "PHONE_NUMBER":
            phone = button.get("phone_number")
            usable = isinstance(phone, str) and 0 < len(phone) <= _MAX_PHONE
            _require(usable, "a call button needs a phone_number")
            return "PHONE_NUMBER"
        case "URL":
            url = button.get("url")
            usable = isinstance(url, str) and 0 < len(url) <= _MAX_URL
            _require(usable, "a link button needs a url")
            if "{{" not in str(url):
                return "URL"
            _require(str(url).endswith("{{1}}"), "a url may only end in a variable, {{1}}")
            _require(len(sequence(button.get("example"))) == 1, "the url's variable: one example")
            return "URL_SUFFIX"
        case _:
            raise GraphError(100, details="the sandbox does not know this type of button")
