"""The variables of a message's body: which there are, how long each can be, how they are filled."""

import re
from collections.abc import Mapping

#: What a body may say, each with the most UTF-16 units its value takes. A catalogue is
#: accepted only if its bodies hold their longest values, so no patient's message is too long.
LONGEST: Mapping[str, int] = {
    "paciente": 60,
    "clinica": 60,
    "data": 50,
    "dia_da_semana": 30,
    "hora": 60,
    "contato": 40,
}

PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


def placeholders(body: str) -> tuple[str, ...]:
    """Return what is between double braces, each once, in the order of the body."""
    return tuple(dict.fromkeys(PLACEHOLDER.findall(body)))


def fill(body: str, values: Mapping[str, str]) -> str:
    """Put the values in, in one pass: braces inside a value are never filled in again."""
    return PLACEHOLDER.sub(lambda found: values[found[1]], body)


def length(text: str) -> int:
    """Return the length as Meta may count it at worst: in UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
