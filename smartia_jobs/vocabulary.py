"""The words that patients answer with: how a text is spelled for comparing, and the lists."""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

#: Stands in a phrase for the one word that is somebody's name.
ANY_NAME = "*"

_QUESTION_MARKS = frozenset("?¿؟❓❔🤔")

#: Letters by category that show nothing.
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")

_SAME_LETTER = re.compile(r"([^\W\d_])\1+")


class WordList(StrEnum):
    """The lists of the catalogue, by their keys in ``[words]``."""

    #: The patient will come.
    CONFIRM = "confirm"
    #: The same; may also stand before or after a confirmation.
    YES = "yes"
    #: A confirmation where a question was asked, and courtesy elsewhere.
    THUMBS_UP = "thumbs_up"
    #: A confirmation where a question was asked, and unclear elsewhere.
    CONFIRM_IF_ASKED = "confirm_if_asked"
    #: Of a visit that is confirmed it is courtesy, of others unclear.
    ALREADY_CONFIRMED = "already_confirmed"
    #: The patient cannot come.
    CANCEL = "cancel"
    #: Why the patient cannot; may also stand before or after that.
    REASON = "reason"
    #: May stand before or after that, and is unclear alone.
    AROUND_CANCEL = "around_cancel"
    #: The same where a question was asked, and unclear elsewhere.
    CANCEL_IF_ASKED = "cancel_if_asked"
    #: The patient wants another time.
    MOVE = "move"
    #: The same where a question was asked, and unclear elsewhere.
    MOVE_IF_ASKED = "move_if_asked"
    #: The patient wants no more messages.
    STOP = "stop"
    #: The patient wants messages again.
    START = "start"
    #: The number is somebody else's.
    NOT_ME = "not_me"
    #: Says nothing, alone or around other words.
    COURTESY = "courtesy"


_COURTESY = frozenset({WordList.COURTESY})
_THUMBS = _COURTESY | {WordList.THUMBS_UP}
_YES = _THUMBS | {WordList.YES}
_AROUND_CANCEL = _COURTESY | {WordList.AROUND_CANCEL}
_REASONS = _AROUND_CANCEL | {WordList.REASON}


@dataclass(frozen=True, slots=True)
class Spelled:
    """A text as it is compared.

    Attributes:
        words: small letters without accents, a repeated letter once; digits as they are; every
            symbol is a word of its own. No punctuation.
        asks: there was a question mark.
    """

    words: tuple[str, ...]
    asks: bool


def spell(text: str) -> Spelled:
    """Spell a text so that ways of typing the same are the same, in time linear in its length.

    What cannot be seen (zero-width characters, marks that set the direction) separates no words.
    """
    plain = "".join(map(_plain, unicodedata.normalize("NFKD", text).casefold()))
    words = _SAME_LETTER.sub(r"\1", plain).split()
    return Spelled(tuple(word for word in words if word != "?"), "?" in words)


def _plain(character: str) -> str:
    if character in _QUESTION_MARKS:
        return " ? "
    category = unicodedata.category(character)
    if category[0] == "M" or category in ("Cf", "Sk") or character in _FILLERS:
        return ""
    if category[0] in "LN":
        return character
    # An emoji that is younger than this Python is unassigned to it.
    return f" {character} " if category[0] == "S" or category == "Cn" else " "


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Which list a phrase is in.

    Attributes:
        lists: phrase, spelled, its words separated by one space, to its list.
        longest: the most words that a phrase has.
        symbols: those that stand in a phrase; others say nothing next to words.
        short: a word to the word that it is short for, both spelled.
    """

    lists: Mapping[str, WordList]
    longest: int
    symbols: frozenset[str]
    short: Mapping[str, str]

    @classmethod
    def of(cls, lists: Mapping[str, WordList], short: Mapping[str, str]) -> "Vocabulary":
        """Return the vocabulary of these phrases, whose words are written in full."""
        words = [word for phrase in lists for word in phrase.split()]
        return cls(
            lists,
            max((len(phrase.split()) for phrase in lists), default=0),
            frozenset(word for word in words if not word.isalnum()),
            short,
        )

    def understood(self, spelled: Sequence[str]) -> WordList | None:
        """Return the list that has the whole of a message, a repeated word once or as often.

        Courtesy at both ends is no part of it. A yes may stand around a yes or a confirmation,
        reasons and days around reasons or a cancellation; no other phrases are read together.
        """
        full = self.in_full(spelled)
        said = [word for word in full if word.isalnum() or word in self.symbols]
        once = [word for word, _ in groupby(said)]
        return self._whole(said) or self._whole(once)

    def _whole(self, said: Sequence[str]) -> WordList | None:
        rest = self.without(said, _COURTESY)
        if not rest:
            return WordList.COURTESY if said else None
        return self.list_of(rest) or self._agreement(rest) or self._refusal(rest)

    def _agreement(self, said: Sequence[str]) -> WordList | None:
        """Read a yes beside a yes, or around one confirmation: "sim, estarei lá, combinado 👍"."""
        if not self.without(said, _THUMBS):
            return WordList.THUMBS_UP
        is_yes = not self.without(said, _YES)
        return WordList.CONFIRM if is_yes or self._has(WordList.CONFIRM, said, _YES) else None

    def _refusal(self, said: Sequence[str]) -> WordList | None:
        """Read reasons, or a cancellation among them: "infelizmente não vou, estou doente"."""
        are_reasons = self.without(said, _AROUND_CANCEL) and not self.without(said, _REASONS)
        if are_reasons or self._has(WordList.CANCEL, said, _REASONS):
            return WordList.CANCEL
        return None

    def _has(self, one: WordList, said: Sequence[str], around: Collection[WordList]) -> bool:
        """Whether it is one phrase of a list, with nothing around it but phrases of others."""
        starts, ends = self.starts(said, around), set(self.ends(said, around))
        return any(
            self.list_of(said[start:end]) is one
            for start in starts
            for end in range(start + 1, start + self.longest + 1)
            if end in ends
        )

    def in_full(self, words: Sequence[str]) -> list[str]:
        """Return the words with what the short ones stand for."""
        return [self.short.get(word, word) for word in words]

    def list_of(self, words: Sequence[str]) -> WordList | None:
        """Return the list that has exactly these words; None: no list has."""
        if not 0 < len(words) <= self.longest:
            return None
        found = self.lists.get(" ".join(words))
        if found is None and words[-1].isalpha():
            found = self.lists.get(" ".join((*words[:-1], ANY_NAME)))
        return found

    def without(self, words: Sequence[str], lists: Collection[WordList]) -> Sequence[str]:
        """Return the words without phrases of these lists at either end."""
        rest = words[self.starts(words, lists)[-1] :]
        return rest[: self.ends(rest, lists)[-1]]

    def starts(self, words: Sequence[str], lists: Collection[WordList]) -> list[int]:
        """Return 0, and the end of each phrase of these lists at the beginning."""
        found = [0]
        while size := self._size(words, found[-1], lists):
            found.append(found[-1] + size)
        return found

    def ends(self, words: Sequence[str], lists: Collection[WordList]) -> list[int]:
        """Return the length, and the beginning of each phrase of these lists at the end."""
        found = [len(words)]
        while size := self._size(words, found[-1], lists, back=True):
            found.append(found[-1] - size)
        return found

    def _size(
        self, words: Sequence[str], at: int, lists: Collection[WordList], *, back: bool = False
    ) -> int:
        """Return how many words the longest such phrase has that begins, or ends, here."""
        room = at if back else len(words) - at
        for size in range(min(self.longest, room), 0, -1):
            phrase = words[at - size : at] if back else words[at : at + size]
            if self.list_of(phrase) in lists:
                return size
        return 0
