"""Text from the clinic's database made fit for a message: cleaned, shortened, first name only."""

import re
import unicodedata
from functools import lru_cache

from smartia_jobs.catalogue.name_words import (
    ABBREVIATIONS,
    COMPANIES,
    DOTTED_TITLES,
    PARTICLES,
    PLACEHOLDERS,
    RELATIONS,
    SURNAMES,
    TITLES,
)
from smartia_jobs.catalogue.variables import length

#: Control, format (zero-width and bidirectional marks), surrogate, private, unassigned.
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})

#: Letters and symbols by category that nevertheless show nothing (fillers, blank braille).
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")

#: In UTF-16 units. A longer word in a name column is no first name.
_LONGEST_NAME = 40

#: Nobody has one of these as a first name.
_NO_NAMES = (TITLES, RELATIONS, PARTICLES, ABBREVIATIONS, PLACEHOLDERS, COMPANIES, SURNAMES)

_BRACES = str.maketrans("{}", "()")

#: The raised letters of abbreviations ("Mª", "Profª", "Antº"), which the normal form makes plain.
_RAISED = str.maketrans(dict.fromkeys("ªºᵃᵒ°", "."))

_DOT_IN_WORD = re.compile(r"\.(?=\w)")
_THREE_ALIKE = re.compile(r"(.)\1\1")
_NO_VOWEL = re.compile(r"[b-df-hj-np-tv-xz]+")


@lru_cache(maxsize=512)  # clinic, weekday and time are the same in message after message
def clean(text: str) -> str:
    """Return the text as Meta takes it for a parameter: one line, nothing unseen, no braces.

    Every run of white space (no-break spaces and line separators too) becomes one space;
    curly braces become round ones, so that a value never looks like a variable.

    Returns:
        The cleaned text; empty when nothing of it can be seen.
    """
    # Nearly every name is plainly seen; only others are gone through.
    if not (text.isprintable() and _UNSEEN.isdisjoint(text)):
        text = "".join(filter(_is_seen, text))
    return " ".join(text.split()).translate(_BRACES)


def _is_seen(character: str) -> bool:
    if character.isspace():
        return True
    return character not in _UNSEEN and unicodedata.category(character) not in _UNSEEN_CATEGORIES


def shorten(text: str, longest: int) -> str:
    """Return the text, cut at a space where possible and ended by "…" if it is too long.

    Args:
        text: cleaned.
        longest: in UTF-16 units.
    """
    if length(text) <= longest:
        return text
    kept = text
    while length(kept) >= longest:
        kept = kept[:-1]
    at_space = kept.rpartition(" ")[0] if text[len(kept)] != " " else kept
    return (at_space or kept).rstrip(" ,") + "…"


def first_name(stored: str | None) -> str | None:
    """Return the first name to greet a patient by, or None rather than something doubtful.

    Titles are skipped ("Dr. João", "Seu José"); a name written all in capitals or all in small
    letters is given its capital ("MARIA DA SILVA" → "Maria"). What is no name (numbers,
    addresses, initials, "None", "Silva, Maria", a word that would not fit), or somebody else's
    ("RN de Ana"), or a company's, gives None: a greeting without a name is kinder than a wrong
    one. The words are in :mod:`smartia_jobs.catalogue.name_words`.
    """
    text = clean(unicodedata.normalize("NFKC", (stored or "").translate(_RAISED)))
    words = _DOT_IN_WORD.sub(". ", text).split()
    if not COMPANIES.isdisjoint(map(folded, words)):
        return None
    while words and _is_title(words[0]):
        del words[0]
    if not words or not _is_name(words[0]) or _are_initials(words[0], text):
        return None
    name = words[0]
    if name == name.upper() or name == name.lower():
        return _capitalised(name)
    return name


@lru_cache(maxsize=512)
def folded(word: str) -> str:
    """Return the letters and digits of a word, small and without accents, to be looked up."""
    apart = unicodedata.normalize("NFKD", word.casefold())
    return "".join(filter(str.isalnum, apart))


def _is_title(word: str) -> bool:
    plain = folded(word)
    return plain in TITLES or (plain in DOTTED_TITLES and word.endswith("."))


def _are_initials(word: str, text: str) -> bool:
    """Return whether two capitals stand in a text that is not all in capitals: "JP Souza"."""
    return len(word) == 2 and word == word.upper() != word.lower() and text != text.upper()


def _is_name(word: str) -> bool:
    plain = word.isalpha()
    letters = len(word) if plain else sum(character.isalpha() for character in word)
    written = plain or all(
        character.isalpha() or character in "'’-" or unicodedata.category(character) in {"Mn", "Mc"}
        for character in word
    )
    # One letter is an initial, except in scripts without capitals, where it can be a name.
    long_enough = letters > 1 or (letters == 1 and word.upper() == word.lower())
    return (
        written
        and long_enough
        and word[0].isalpha()
        and not _is_no_name(folded(word))
        and not _is_no_name(folded(word.split("-")[0]))
        and length(word) <= _LONGEST_NAME
    )


def _is_no_name(plain: str) -> bool:
    return (
        any(plain in words for words in _NO_NAMES)
        or _THREE_ALIKE.search(plain) is not None
        or _NO_VOWEL.fullmatch(plain) is not None
    )


def _capitalised(name: str) -> str:
    starts = True
    written = []
    for character in name:
        written.append(character.title() if starts else character.lower())
        starts = character in "'’-"
    return "".join(written)
