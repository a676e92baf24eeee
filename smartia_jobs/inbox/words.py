"""What an answer says: from what a patient wrote to one of eight meanings, never by guessing."""

from typing import assert_never

from smartia_jobs.incoming import Meaning, PatientAnswer
from smartia_jobs.vocabulary import Vocabulary, WordList, spell

#: WhatsApp's own limit, in characters.
_LONGEST = 4096

#: A wish and a doubt can be put as a question; a promise, a refusal and an opt-out cannot.
_MAY_BE_A_QUESTION = frozenset({Meaning.MOVE, Meaning.NOT_ME})


def meaning_of(
    answer: PatientAnswer,
    words: Vocabulary,
    *,
    asked: bool,
    confirmed: bool = False,
) -> Meaning:
    """Return what an answer says that is no tap on a button of ours.

    A reaction is its emoji, and says nothing when it was taken away. What needs to be listened to,
    looked at or compared with an earlier text (voice, pictures, edits) is unclear.

    Args:
        answer: what the patient did.
        words: as for :func:`read`, like the others.
        asked: the message that it is about asked a question.
        confirmed: all visits that it is about are confirmed.
    """
    if answer.type == "reaction" and not answer.text:
        return Meaning.COURTESY
    if answer.type not in ("text", "button", "reaction"):
        return Meaning.UNCLEAR
    return read(answer.text, words, asked=asked, confirmed=confirmed)


def read(
    text: object,
    words: Vocabulary,
    *,
    asked: bool,
    confirmed: bool = False,
) -> Meaning:
    """Return what a text says: the whole of it, less courtesy at both ends, must be in one list.

    Nothing is looked for inside a text, not even an opt-out: "não vou sair de casa" holds "sair".
    Whatever else somebody writes is unclear, so that a person reads it.

    Args:
        text: as written; what is no text is unclear.
        words: the lists.
        asked: the newest message to this phone asked a question; "não" and digits then answer it.
        confirmed: all visits that it can be about are confirmed, so "já confirmei" adds nothing.
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        return Meaning.UNCLEAR
    spelled = spell(text)
    meaning = _meaning(words.understood(spelled.words), asked=asked, confirmed=confirmed)
    if spelled.asks and meaning not in _MAY_BE_A_QUESTION:
        return Meaning.UNCLEAR
    return meaning


def _meaning(found: WordList | None, *, asked: bool, confirmed: bool) -> Meaning:
    match found:
        case None | WordList.AROUND_CANCEL:
            return Meaning.UNCLEAR
        case WordList.CONFIRM | WordList.YES:
            return Meaning.CONFIRM
        case WordList.THUMBS_UP:
            return Meaning.CONFIRM if asked else Meaning.COURTESY
        case WordList.CONFIRM_IF_ASKED:
            return Meaning.CONFIRM if asked else Meaning.UNCLEAR
        case WordList.ALREADY_CONFIRMED:
            return Meaning.COURTESY if confirmed else Meaning.UNCLEAR
        case WordList.CANCEL | WordList.REASON:
            return Meaning.CANCEL
        case WordList.CANCEL_IF_ASKED:
            return Meaning.CANCEL if asked else Meaning.UNCLEAR
        case WordList.MOVE:
            return Meaning.MOVE
        case WordList.MOVE_IF_ASKED:
            return Meaning.MOVE if asked else Meaning.UNCLEAR
        case WordList.STOP:
            return Meaning.STOP
        case WordList.START:
            return Meaning.START
        case WordList.NOT_ME:
            return Meaning.NOT_ME
        case WordList.COURTESY:
            return Meaning.COURTESY
        case _:
            assert_never(found)
