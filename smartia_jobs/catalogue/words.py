"""The lists of what patients answer: those that are shipped, and what a clinic adds to them."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from smartia_jobs.errors import ConfigurationError
from smartia_jobs.vocabulary import ANY_NAME, Vocabulary, WordList, spell

#: The section of the clinic's catalogue.
SECTION = "words"

_SHIPPED = "words.pt_BR.toml"

#: Stands in an entry, as its last word, for a name.
_NAME = "{{nome}}"

#: What a word means, whatever it depends on. The same word twice for one meaning is no mistake.
_MEANINGS: Mapping[WordList, str] = {
    WordList.YES: "confirm",
    WordList.THUMBS_UP: "confirm",
    WordList.CONFIRM_IF_ASKED: "confirm",
    WordList.REASON: "cancel",
    WordList.CANCEL_IF_ASKED: "cancel",
    WordList.MOVE_IF_ASKED: "move",
}

#: What can be asked for; elsewhere a question mark makes an answer unclear.
_MAY_BE_A_QUESTION = (WordList.MOVE, WordList.NOT_ME)


def load_words(own: object, *, clinic_name: str | None = None) -> Vocabulary:
    """Return the shipped lists with what a clinic adds to them.

    Args:
        own: the section ``[words]`` of the clinic's catalogue, as written there; an empty
            mapping for none.
        clinic_name: is courtesy as well: "Olá, Clínica Aurora".

    Raises:
        ConfigurationError: with everything that is wrong in ``own``.
    """
    words, wrong = _read(own)
    if wrong:
        raise ConfigurationError([f"[{SECTION}] in MESSAGES_FILE: {problem}" for problem in wrong])
    name = " ".join(words.in_full(spell(clinic_name or "").words))
    lists = {name: WordList.COURTESY, **words.lists} if name else words.lists
    return Vocabulary.of(lists, words.short)


def problems(own: object) -> Iterator[str]:
    """Yield what is wrong with a clinic's section of words, each with what to do."""
    yield from _read(own)[1]


def _read(own: object) -> tuple[Vocabulary, list[str]]:
    """Return the shipped lists with the clinic's entries, and what is wrong with these."""
    shipped, short = _shipped()
    if not isinstance(own, dict):
        return Vocabulary.of({}, short), [f"must be a section, begun by [{SECTION}]"]
    entries, wrong = _entries(own)
    lists, clashes = _lists([*shipped, *entries], short)
    # Some shipped phrases are understood in combination, and are in no list as written.
    as_shipped = Vocabulary.of(_lists(shipped, short)[0], short)
    for word_list, entry in entries:
        first = as_shipped.understood(_spelled(entry))
        clashes += [] if first is None else _clash(first, word_list, entry)
    return Vocabulary.of(lists, short), [*wrong, *dict.fromkeys(clashes)]


def _lists(
    entries: Sequence[tuple[WordList, str]], short: Mapping[str, str]
) -> tuple[dict[str, WordList], list[str]]:
    """Return phrase, spelled, to its list, and which of them are in two."""
    bare = Vocabulary.of({}, short)
    written = [(key, entry, bare.in_full(_spelled(entry))) for key, entry in entries]
    polite = {" ".join(words): key for key, _, words in written if key is WordList.COURTESY}
    courtesy = Vocabulary.of(polite, short)
    lists: dict[str, WordList] = {}
    clashes: list[str] = []
    for word_list, entry, words in written:
        # What an entry has of courtesy around its words is no part of it, as in an answer.
        is_polite = word_list is WordList.COURTESY
        phrase = " ".join(words if is_polite else courtesy.without(words, (WordList.COURTESY,)))
        first = lists.setdefault(phrase, word_list) if phrase else WordList.COURTESY
        clashes += _clash(first, word_list, entry)
    return lists, clashes


def _clash(first: WordList, second: WordList, entry: str) -> list[str]:
    if _meaning(first) == _meaning(second):
        return []
    return [
        f"{second}: {entry!r} is in {first} as well; a word has one meaning: take it "
        "out of one of them, or out of yours when the other is shipped"
    ]


def _meaning(word_list: WordList) -> str:
    return _MEANINGS.get(word_list, word_list)


def _shipped() -> tuple[list[tuple[WordList, str]], dict[str, str]]:
    """Return the shipped entries, and which words are short for others."""
    from importlib import resources

    text = resources.files("smartia_jobs.catalogue").joinpath(_SHIPPED).read_text("utf-8")
    shipped = tomllib.loads(text)
    entries = [(WordList(key), one) for key, listed in shipped[SECTION].items() for one in listed]
    return entries, {short: spell(word).words[0] for short, word in shipped["short"].items()}


def _entries(own: Mapping[str, Any]) -> tuple[list[tuple[WordList, str]], list[str]]:
    """Return the entries that can be read, and what is wrong with the others."""
    fit: list[tuple[WordList, str]] = []
    wrong: list[str] = []
    for key, entries in own.items():
        if key not in list(WordList):
            near = get_close_matches(key, list(WordList), n=1)
            advice = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(WordList)}"
            wrong.append(f"{key}: is unknown{advice}")
        elif not isinstance(entries, list) or not all(isinstance(one, str) for one in entries):
            wrong.append(f'{key}: must be a list of texts in quotes, like ["vou com certeza"]')
        else:
            for entry in entries:
                problem = _problem(WordList(key), entry)
                wrong += [f"{key}: {problem}"] if problem else []
                fit += [] if problem else [(WordList(key), entry)]
    return fit, wrong


def _problem(word_list: WordList, entry: str) -> str | None:
    without_name = entry.removesuffix(f" {_NAME}")
    spelled = spell(without_name)
    if "{" in without_name or (without_name != entry and word_list is not WordList.NOT_ME):
        return f"{entry!r}: {_NAME} may stand in not_me alone, once, as the last word"
    if not spelled.words:
        return f"{entry!r} has neither letters, digits nor an emoji"
    if spelled.asks and word_list not in _MAY_BE_A_QUESTION:
        return f"{entry!r} is a question, which means nothing here: leave out the question mark"
    return None


def _spelled(entry: str) -> list[str]:
    named = entry.endswith(_NAME)
    return [*spell(entry.removesuffix(_NAME)).words, *([ANY_NAME] if named else [])]
