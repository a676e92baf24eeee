"""What must not be in a log, looked for in every form it could have taken there."""

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_SEPARATOR = r"[\s().+\-]{0,3}"
_OPAQUE = re.compile(r"[A-Za-z0-9+/_-]{12,}")


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is personal or secret in one test.

    Attributes:
        names: of people, looked for word by word.
        phones: in any spelling; the last eight digits are looked for, so that a number without
            its ninth digit is found as well, and one that is masked is not.
        texts: messages, looked for line by line.
        words: looked for as they are (tokens, ids of messages).
    """

    names: Collection[str] = ()
    phones: Collection[str] = ()
    texts: Collection[str] = ()
    words: Collection[str] = ()


def leaks(output: str, secrets: Secrets) -> list[str]:
    """Return what of ``secrets`` stands in ``output``: plainly, escaped, or in base64."""
    corpus = "\n".join([output, *_unescaped(output)]).casefold()
    found = [name for name in _words(secrets.names) if name.casefold() in corpus]
    found += [word for word in secrets.words if word.casefold() in corpus]
    found += [line for line in _lines(secrets.texts) if line.casefold() in corpus]
    hidden = [decoded for opaque in _OPAQUE.findall(output) for decoded in _decoded(opaque)]
    for phone in secrets.phones:
        tail = re.sub(r"\D", "", phone)[-8:]
        if re.search(_SEPARATOR.join(tail), corpus) or any(tail in text for text in hidden):
            found.append(phone)
    return found


def _unescaped(output: str) -> Iterator[str]:
    for line in output.splitlines():
        try:
            yield json.dumps(json.loads(line), ensure_ascii=False)
        except ValueError:
            continue


def _words(names: Collection[str]) -> Iterator[str]:
    return (word for name in names for word in name.split() if len(word) > 3)


def _lines(texts: Collection[str]) -> Iterator[str]:
    return (line.strip() for text in texts for line in text.splitlines() if len(line.strip()) > 8)


def _decoded(opaque: str) -> Iterator[str]:
    """Yield what a piece of text says as base64, begun at any of its first four letters."""
    plain = opaque.replace("-", "+").replace("_", "/")
    for first in range(4):
        piece = plain[first : first + (len(plain) - first) // 4 * 4]
        try:
            yield base64.b64decode(piece, validate=True).decode("latin-1")
        except binascii.Error:
            continue
