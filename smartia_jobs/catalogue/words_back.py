"""What a patient is told in return for an answer: free texts, which Meta need not approve."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from smartia_jobs.catalogue import rules
from smartia_jobs.catalogue.variables import LONGEST, placeholders

#: The section of the catalogue.
SECTION = "words_back"

#: Each text, with the variables it may have: of a visit only where there surely is one.
_ALWAYS = ("paciente", "clinica", "contato")
_TEXTS: Mapping[str, tuple[str, ...]] = {
    "confirmed": tuple(LONGEST),
    "cancelled": tuple(LONGEST),
    "passed_on": _ALWAYS,
    "stopped": _ALWAYS,
}
_KEYS = (*_TEXTS, "without_name", "language")


@dataclass(frozen=True, slots=True)
class WordsBack:
    """The words back of a clinic.

    Attributes:
        texts: ``confirmed`` and ``cancelled`` say what is now so of a visit; ``passed_on`` that
            the reception will be in touch, ``stopped`` that no more such messages come.
        without_name: what stands for a patient without a usable name.
        language: that of dates and lists, in Meta's code.
    """

    texts: Mapping[str, str]
    without_name: str
    language: str


def problems(table: object) -> Iterator[str]:
    """Yield what is wrong with a section, each with what to do."""
    if not isinstance(table, dict):
        yield f"must be a section, begun by [{SECTION}]"
        return
    texts = {key: value for key, value in table.items() if isinstance(value, str)}
    for key in table:
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, n=1)
            yield f"{key}: is unknown" + (f"; did you mean {near[0]}?" if near else "")
        elif key not in texts:
            yield f"{key}: must be a text in quotes"
    language = texts.get("language", rules.SHIPPED_LANGUAGE)
    if wrong := list(rules.of_language(language)):
        yield from wrong
    elif language != rules.SHIPPED_LANGUAGE:
        missing = [key for key in _KEYS if key not in table]
        yield from (f"{key}: is missing, and the shipped one is Portuguese" for key in missing)
    for key in _TEXTS:
        if key in texts:
            yield from _text(key, texts[key], language)
    if "without_name" in texts:
        yield from rules.one_line(
            "without_name", texts["without_name"], longest=LONGEST["paciente"]
        )


def words_back(own: Mapping[str, Any], shipped: Mapping[str, Any]) -> WordsBack:
    """Return the shipped texts with those that a clinic has instead; nothing is wrong in either."""
    table = {**shipped, **own}
    texts = {key: table[key].strip() for key in _TEXTS}
    return WordsBack(texts, table["without_name"], table["language"])


def _text(key: str, text: str, language: str) -> Iterator[str]:
    for problem in rules.of_free_text(text):
        yield f"{key}: {problem}"
    found = placeholders(text)
    for variable in found:
        if variable not in _TEXTS[key]:
            known = ", ".join(_TEXTS[key])
            yield f"{key}: {{{{{variable}}}}} cannot stand here; there are {known}"
    for problem in rules.of_contact(found, language):
        yield f"{key}: {problem}"
