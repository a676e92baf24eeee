"""Phone numbers as WhatsApp sees them: plausible or not, and Brazil's ninth digit."""

import re

_TOLERATED = re.compile(r"\+?[0-9 ()\-.]+")
_NOT_DIGITS = re.compile(r"[^0-9]")

#: Area codes from 31 on mostly have ids without the ninth digit (below: SP, RJ, ES).
_FIRST_SHORT_AREA_CODE = 31


def digits_of(phone: str) -> str | None:
    """Return the digits of what can be a phone in international form, otherwise None."""
    digits = _NOT_DIGITS.sub("", phone)
    plausible = _TOLERATED.fullmatch(phone) and 8 <= len(digits) <= 15 and digits[0] != "0"
    return digits if plausible else None


def same_phone_key(phone: str) -> str:
    """Return the digits that are equal for every spelling of one phone.

    A Brazilian mobile number without its ninth digit gets it.
    """
    digits = _NOT_DIGITS.sub("", phone)
    if len(digits) == 12 and digits.startswith("55") and digits[4] in "6789":
        return f"{digits[:4]}9{digits[4:]}"
    return digits


def wa_id_of(digits: str) -> str:
    """Return WhatsApp's own id of a phone, which in Brazil may lack the ninth digit."""
    if digits.startswith("55") and int(digits[2:4]) >= _FIRST_SHORT_AREA_CODE:
        return without_ninth_digit(digits)
    return digits


def without_ninth_digit(digits: str) -> str:
    """Return a Brazilian mobile number as it was before 2012; every other one as it is."""
    mobile = len(digits) == 13 and digits.startswith("55") and digits[4] == "9"
    return digits[:4] + digits[5:] if mobile else digits
