"""What Meta refuses in a template, found before Meta or a patient sees it.

Source: Meta's pages on template components, template management and time to live (2026-09),
https://developers.facebook.com/documentation/business-messaging/whatsapp/templates; the ratio
of words to variables (error 2388293) is not published: it is the limit others have observed.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from smartia_jobs.catalogue.names import clean
from smartia_jobs.catalogue.variables import LONGEST, PLACEHOLDER, length, placeholders

#: The language of the shipped texts, and of what no setting translates.
SHIPPED_LANGUAGE = "pt_BR"

CATEGORIES = ("UTILITY", "MARKETING")
FORMATS = ("named", "positional")

#: Characters of a body, its values filled in.
LONGEST_BODY = 1024

#: Seconds that ``message_send_ttl_seconds`` may have, by category.
TIMES_TO_LIVE: Mapping[str, range] = {
    "UTILITY": range(30, 43_200 + 1),
    "MARKETING": range(43_200, 2_592_000 + 1),
}
#: Meta's word for its default of 30 days; UTILITY only.
THIRTY_DAYS = -1

#: What a tap on a quick reply can mean to this program.
MEANINGS = ("confirm", "cancel", "move", "stop")

#: The keys of a button by its ``type``, besides that: (required, optional).
_BUTTON_KEYS = {
    "quick_reply": ({"text"}, {"means", "payload"}),
    "url": ({"text", "url"}, set[str]()),
}


def problems(table: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with one message kind, each with what to do.

    Args:
        table: the kind's TOML table; values have the right types, required keys may be
            missing (the reader of the file reports that).
    """
    if "name" in table and not re.fullmatch(r"[a-z0-9_]{1,512}", table["name"]):
        yield f"name: {table['name']!r} may only have a-z, 0-9 and _, at most 512 characters"
    if "language" in table:
        yield from of_language(table["language"])
    if table.get("category", "UTILITY") not in CATEGORIES:
        yield f"category: {table['category']!r} is none of {', '.join(CATEGORIES)}"
    if table.get("parameter_format", "named") not in FORMATS:
        yield f"parameter_format: {table['parameter_format']!r} is none of {', '.join(FORMATS)}"
    if "body" in table:
        yield from _body(table["body"])
        yield from _variables(table)
    if "footer" in table:
        yield from one_line("footer", table["footer"], longest=60)
    if "call_button" in table:
        yield from one_line("call_button", table["call_button"], longest=25)
    yield from _buttons(table)
    if "time_to_live_seconds" in table:
        yield from _time_to_live(table["time_to_live_seconds"], table.get("category"))


def parameters(table: Mapping[str, Any]) -> dict[str, str]:
    """Return what each placeholder of the body stands for, in the order it is sent."""
    if table.get("parameter_format") == "positional":
        return {str(n): name for n, name in enumerate(table.get("variables", ()), start=1)}
    return {name: name for name in placeholders(table["body"])}


def of_free_text(text: str) -> Iterator[str]:
    """Yield what is wrong with a text that Meta need not approve, whatever its variables are."""
    if not text.strip():
        yield "is empty"
    yield from _single_brace(text)
    longest = _longest_filled(text, {variable: variable for variable in placeholders(text)})
    if longest > LONGEST_BODY:
        yield f"can reach {longest} characters when long names are filled in; {LONGEST_BODY} fit"


def of_contact(variables: Iterable[str], language: str) -> Iterator[str]:
    """Yield what is wrong where ``{{contato}}`` stands in a text that is not Portuguese."""
    if "contato" in variables and not language.startswith("pt"):
        yield f"{{{{contato}}}} is Portuguese; in {language} write the phone itself into the text"


def of_language(code: str) -> Iterator[str]:
    """Yield what is wrong with a language code."""
    if not re.fullmatch(r"[a-z]{2,3}(_[A-Z]{2,3})?", code):
        yield f"language: {code!r} is no code of Meta's; write it like pt_BR, en_US or es"
    elif code != SHIPPED_LANGUAGE:  # the shipped language is known; babel costs 25 ms
        from babel import Locale, UnknownLocaleError

        try:
            Locale.parse(code)
        except (ValueError, UnknownLocaleError):
            yield f"language: dates cannot be written in {code!r}; is it a language?"


def _body(body: str) -> Iterator[str]:
    text = body.strip()
    if not text:
        yield "body: is empty"
    if length(text) > LONGEST_BODY:
        yield f"body: has {length(text)} characters; Meta takes {LONGEST_BODY}"
    if "     " in text:
        yield "body: has more than 4 spaces in a row, which Meta refuses"
    yield from (f"body: {problem}" for problem in _single_brace(text))
    found = list(PLACEHOLDER.finditer(text))
    if not found:
        return
    if found[0].start() == 0 or found[-1].end() == len(text):
        yield "body: begins or ends with a variable; put words before the first, after the last"
    if any(not text[a.end() : b.start()].strip() for a, b in pairwise(found)):
        yield "body: has two variables with nothing between them; put words between them"
    words = sum(not PLACEHOLDER.search(word) for word in text.split())
    wanted = 2 * len(found) + 1
    if words < wanted:
        yield (
            f"body: has {words} words of its own for {len(found)} variables; "
            f"Meta wants about {wanted}: add words or drop a variable"
        )


def _variables(table: Mapping[str, Any]) -> Iterator[str]:
    body, given = table["body"].strip(), table.get("variables")
    named = table.get("parameter_format", "named") == "named"
    if named and given is not None:
        yield 'variables: is only for parameter_format = "positional"'
    stand_for = parameters(table)
    if not named and set(placeholders(body)) != stand_for.keys():
        yield (
            "variables: must say what {{1}}, {{2}} … of the body stand for, one each without a "
            f"gap; the body has {len(placeholders(body))}, variables has {len(stand_for)}"
        )
    for problem in of_contact(stand_for.values(), table.get("language", SHIPPED_LANGUAGE)):
        yield f"body: {problem}"
    for variable in dict.fromkeys(stand_for.values()):
        if variable not in LONGEST:
            hint = ' (numbers need parameter_format = "positional")' if variable.isdigit() else ""
            yield f"unknown variable {{{{{variable}}}}}; there are {', '.join(LONGEST)}{hint}"
    if "without_name" in table:
        yield from one_line("without_name", table["without_name"], longest=LONGEST["paciente"])
    elif "paciente" in stand_for.values():
        yield "without_name: is missing; say what stands for {{paciente}} when there is no name"
    filled = _longest_filled(body, stand_for)
    if length(body) <= LONGEST_BODY < filled:
        yield (
            f"body: can reach {filled} characters when long names are filled in; Meta takes "
            f"{LONGEST_BODY}: shorten it by {filled - LONGEST_BODY}"
        )


def _single_brace(text: str) -> Iterator[str]:
    if re.search(r"[{}]", PLACEHOLDER.sub("", text)):
        yield "has a single brace; a variable is written {{paciente}}"


def _longest_filled(text: str, stand_for: Mapping[str, str]) -> int:
    """Return the length of a text when each placeholder has the longest value of its variable."""
    values = (LONGEST.get(stand_for.get(one, one), 0) for one in PLACEHOLDER.findall(text))
    return length(PLACEHOLDER.sub("", text)) + sum(values)


def one_line(key: str, text: str, *, longest: int) -> Iterator[str]:
    """Check a text that has one line and no variables."""
    if not clean(text):
        yield f"{key}: is empty; leave it out or give it a text"
    elif clean(text) != text:
        yield f"{key}: must be one line without variables, braces or spaces around it"
    if length(text) > longest:
        yield f"{key}: has {length(text)} characters; at most {longest} are taken"


def _buttons(table: Mapping[str, Any]) -> Iterator[str]:
    buttons: list[Mapping[str, Any]] = table.get("buttons", [])
    for number, button in enumerate(buttons, start=1):
        yield from (f"button {number}: {problem}" for problem in _button(button))
    kinds = [button.get("type") for button in buttons]
    # Meta wants quick replies in one block; the call button comes last.
    changes = sum((a == "quick_reply") != (b == "quick_reply") for a, b in pairwise(kinds))
    if changes > 1 or (changes == 1 and kinds[0] != "quick_reply" and "call_button" in table):
        yield "buttons: quick replies must stand together, before or after all others"
    if kinds.count("url") > 2:
        yield "buttons: Meta takes two url buttons"
    labels = [str(button["text"]) for button in buttons if "text" in button]
    if "call_button" in table:
        labels.append(table["call_button"])
    if len(labels) > 10:
        yield f"buttons: there are {len(labels)} with the call button; Meta takes 10"
    if len(set(labels)) < len(labels):
        yield "buttons: two have the same label"


def _button(button: Mapping[str, Any]) -> Iterator[str]:
    if str(button.get("type")) not in _BUTTON_KEYS:
        yield f"type: must be one of {', '.join(_BUTTON_KEYS)}"
        return
    required, optional = _BUTTON_KEYS[button["type"]]
    for key in sorted(required - button.keys()):
        yield f"{key}: is missing"
    for key in sorted(button.keys() - required - optional - {"type"}):
        known = ", ".join(sorted(required | optional))
        yield f"{key}: is unknown; a {button['type']} button has {known}"
    texts = {key: value for key, value in button.items() if isinstance(value, str)}
    for key in sorted(button.keys() - texts.keys()):
        yield f"{key}: must be a text in quotes"
    if "text" in texts:
        yield from one_line("text", texts["text"], longest=25)
    if "url" in texts and not re.fullmatch(r"https?://[^\s{}]{1,1990}", texts["url"]):
        yield "url: must be a fixed http(s) address without variables"
    if texts.get("means", MEANINGS[0]) not in MEANINGS:
        yield f"means: {texts['means']!r} is none of {', '.join(MEANINGS)}"
    if {"means", "payload"} <= texts.keys():
        yield "payload: is for a bot of your own, means for this program; leave one of them out"
    if "payload" in texts:
        # 20 digits stand for the longest id; Meta's limit is 128 or 256, depending on the page.
        yield from one_line("payload", texts["payload"].replace("{{id}}", "0" * 20), longest=128)


def _time_to_live(seconds: int, category: str | None) -> Iterator[str]:
    allowed = TIMES_TO_LIVE.get(category or "")
    if allowed is None or (category == "UTILITY" and seconds == THIRTY_DAYS):
        return
    if seconds not in allowed:
        also = " (or -1 for 30 days)" if category == "UTILITY" else ", or leave it out"
        yield (
            f"time_to_live_seconds: {seconds} is not possible for {category}; "
            f"{allowed.start} to {allowed.stop - 1}{also}"
        )
