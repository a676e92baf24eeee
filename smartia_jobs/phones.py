"""Phone numbers: from what the clinic stored to what WhatsApp is given, or why not."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from smartia_jobs.message import Phone, Unsendable

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

#: Typed around the digits of one number. A slash or a comma is not here: it separates two numbers.
_PUNCTUATION = frozenset(".()")

_ONE_NUMBER = re.compile(r"\+?[0-9]+")
#: Written in front of one number: by programs (``tel:``, ``whatsapp:``, a vCard's
#: ``TEL;TYPE=CELL:``) and by people (``Cel.:``).
_LABELS = re.compile(
    r"(?:(?:tel(?:efone)?|phone|fone|cel(?:ular)?|mobile|whats(?:app)?|wpp|zap|sms(?:to)?|callto)"
    r"(?:;[^:0-9]*|\.)?:\s*)+",
    re.IGNORECASE,
)
#: A number that a spreadsheet or a data frame took for a quantity.
_QUANTITY = re.compile(r"([0-9]{10,15})\.0")
#: WhatsApp's own ways of writing one number, which there has its country code: a chat's id, with
#: or without a device, and links that open a chat.
_IDS = (
    re.compile(r"(\+?[0-9]+)(?::[0-9]{1,3})?@(?:c\.us|s\.whatsapp\.net)", re.IGNORECASE),
    re.compile(r"(?:https?://)?(?:www\.)?wa\.me/(\+?[0-9]+)/?(?:[?#].*)?", re.IGNORECASE),
    re.compile(
        r"(?:(?:https?://)?(?:api|web|www)\.whatsapp\.com|whatsapp:/)/send/?\?"
        r"(?:(?!phone=)[^&]*&)*phone=(?:%20|%2B|\+)?([0-9]+)(?:&(?!phone=)[^&]*)*",
        re.IGNORECASE,
    ),
)
_WITHOUT_NINTH_DIGIT = re.compile(r"\+55[0-9]{2}[6-9][0-9]{7}")

#: No country's WhatsApp ids are shorter than this; a number without its area code is.
_SHORTEST_ID = 10

_MISSING = Unsendable("No phone number is recorded.")
_NOT_ONE_NUMBER = Unsendable("The phone field must hold one phone number and nothing else.")
_NO_AREA_CODE = Unsendable("The number is incomplete: write it with its area code.")
_NO_NINTH_DIGIT = Unsendable("The mobile number lacks the ninth digit after its area code.")
_AMBIGUOUS = Unsendable(
    "The number can be one of this country or one from abroad: write it with + and country code."
)
_NO_SUCH_NUMBER = Unsendable(
    "No person can have this number: check country code, area code and digits."
)
_NOT_OF_THIS_COUNTRY = Unsendable(
    "No person can have this number in the clinic's country: check area code and digits;"
    " a number from abroad needs + and its country code in front."
)


@lru_cache(maxsize=1024)  # read when a visit is found due, and again when it is claimed
def parse_phone(raw: str | None, country: str) -> Phone | Unsendable:
    """Return the one number that a stored text must mean, or why that is not sure.

    With ``+`` or ``00`` in front a number is international. Otherwise it is first taken as a
    number of the clinic's country, with or without country code, and if it can be one, it is:
    the stored numbers of that country are many, those of foreigners few, and WhatsApp's ids of
    the country's own people carry its code. Only what cannot be such a number is taken as a
    foreign WhatsApp id, and only when it looks like one: bare digits, ten or more, a mobile,
    and no mobile of this country that merely lost a digit. Somebody who types a foreign
    number must write the ``+``.

    The number may stand in WhatsApp's own ids and links, behind ``tel:`` and its like, and be
    written in any script's digits. Ids and links should have the country code, but programs make
    them of numbers without it: one that can mean two numbers is refused.

    A number must be valid, not just possible, and a person's: 4004 and its like have no area
    code, so a landline that lost its own would pass for one. Brazil's ids from before the
    ninth digit (12 digits, 55, subscriber 6-9) count as valid when that digit makes them so.

    Args:
        raw: as stored: a WhatsApp id (``5511987654321``) or what somebody typed.
        country: the clinic's country, ISO 3166 letters in upper case (``BR``).

    Returns:
        The number as WhatsApp is given it and as it is compared, or a reason that holds no
        digit of it.

    Source: Meta, "Business phone numbers" (2026-09): the ninth digit in WhatsApp's ids.
    """
    text = _visible(raw)
    if not text:
        return _MISSING
    inner, is_id = _unwrapped(text)
    compact = _compact(inner)
    if compact is None:
        return _NOT_ONE_NUMBER
    if compact.startswith(("+", "00")):
        # phonenumbers would take the 55 of 0055 for a Brazilian carrier code.
        return _international(compact.removeprefix("+").removeprefix("00")) or _NO_SUCH_NUMBER
    here = _of_this_country(compact, country)
    if here is None:
        return _id_from_abroad(compact, country, is_bare=inner == compact)
    if is_id and _international(compact) not in (None, here):
        return _AMBIGUOUS
    return here


def canonical_phone(raw: str | None, country: str) -> str | None:
    """Return a stored phone as phones are compared; None: it cannot be a phone."""
    phone = parse_phone(raw, country)
    return phone.canonical if isinstance(phone, Phone) else None


def mask_phone(raw: str | None, country: str | None = None) -> str:
    """Return what a screen may show of a stored number: ``+55 11 9****-4321``.

    At most the last four digits are shown, with country and area code where they are sure;
    of anything that does not look like a phone, nothing.

    Args:
        raw: as stored.
        country: the clinic's: one person's number is then shown in one way, however it is
            written. None: as it is written, for a number that is canonical already.
    """
    if country is not None:
        phone = parse_phone(raw, country)
        raw = phone.canonical if isinstance(phone, Phone) else raw
    text = _visible(raw)
    digits = (_compact(_unwrapped(text)[0]) or "").removeprefix("+")
    if not text:
        return "(none)"
    if not 8 <= len(digits) <= 15:
        return "****"
    hidden = f"****-{digits[-4:]}"
    if digits.startswith("55") and len(digits) in (12, 13):
        return f"+55 {digits[2:4]} {digits[4:-8]}{hidden}"
    return hidden


def phone_for_people(phone: str, country: str) -> str:
    """Return a canonical number as people of a country write it; any other text as it is.

    Args:
        phone: canonical E.164, or what was stored where that cannot be a phone.
        country: the clinic's, ISO 3166 letters; a number of another one keeps its code.
    """
    number = parse_number(phone) if phone.startswith("+") else None
    if number is None:
        return phone
    return write_number(number, country)


def write_number(number: "PhoneNumber", country: str) -> str:
    """Return a number as people of a country write it: one from abroad keeps its country code."""
    import phonenumbers

    here = number.country_code == phonenumbers.country_code_for_region(country)
    form = phonenumbers.PhoneNumberFormat
    return str(phonenumbers.format_number(number, form.NATIONAL if here else form.INTERNATIONAL))


def _visible(raw: str | None) -> str:
    """Return the text in ASCII's digits, without marks that cannot be seen.

    Copying from a phone's contact list adds such marks, and some keyboards write full-width
    characters or their own script's digits.
    """
    text = raw or ""
    if not text.isascii():  # ASCII has none of these
        text = "".join(_plain(c) for c in text if unicodedata.category(c) != "Cf")
    return text.strip().strip("'\"")  # spreadsheets mark a text like this


def _plain(character: str) -> str:
    if unicodedata.east_asian_width(character) == "F":
        return unicodedata.normalize("NFKC", character)
    return str(unicodedata.decimal(character, character))


def _unwrapped(text: str) -> tuple[str, bool]:
    """Take a number out of what programs put around it, and say whether that was WhatsApp's."""
    if text.isdigit():  # as nearly all are
        return text, False
    for written in _IDS:
        if match := written.fullmatch(text):
            return match[1], True
    if match := _QUANTITY.fullmatch(text):
        return match[1], False
    label = _LABELS.match(text)
    return text[label.end() :] if label else text, False


def _compact(text: str) -> str | None:
    """Return ASCII digits with at most a leading plus; None for anything but one number."""
    if text.isascii() and text.isdigit():  # as WhatsApp writes them, and so nearly all are
        return text
    compact = "".join(
        c for c in text if not (c.isspace() or c in _PUNCTUATION or unicodedata.category(c) == "Pd")
    )
    return compact if _ONE_NUMBER.fullmatch(compact) else None


def _of_this_country(digits: str, country: str) -> Phone | None:
    coded = _with_country_code(digits, country)
    if coded is not None and _can_be_a_persons(coded):
        return _as_phone(coded)
    number = parse_number(digits, country)
    if number is None or number.country_code != _shape(country).code:
        return None
    if _can_be_a_persons(number):
        return _as_phone(number)
    # Without its country code, a Brazilian number without ninth digit is a typing error.
    return _as_valid_phone(number) if f"+{digits}" == _e164(number) else None


def _as_phone(number: "PhoneNumber") -> Phone:
    wire = _e164(number)
    return Phone(wire, _with_ninth_digit(wire) or wire)


@dataclass(frozen=True, slots=True)
class _Shape:
    """A country's code, and the most digits that its numbers have without it."""

    code: int
    longest: int


@cache
def _shape(country: str) -> _Shape:
    import phonenumbers

    metadata = phonenumbers.PhoneMetadata.metadata_for_region(country)
    general = metadata.general_desc if metadata else None
    lengths = general.possible_length if general else ()
    return _Shape(phonenumbers.country_code_for_region(country), max(lengths, default=99))


def _with_country_code(digits: str, country: str) -> "PhoneNumber | None":
    """Parse digits that can only have the country's code in front, as nearly all stored ones do.

    Finding out how a number was typed takes most of the time of parsing it.
    """
    import phonenumbers

    shape = _shape(country)
    national = digits.removeprefix(str(shape.code))
    if len(digits) <= shape.longest or national == digits or national.startswith("0"):
        return None
    return phonenumbers.PhoneNumber(country_code=shape.code, national_number=int(national))


def _id_from_abroad(digits: str, country: str, *, is_bare: bool) -> Phone | Unsendable:
    import phonenumbers

    if len(digits) < _SHORTEST_ID:
        return _NO_AREA_CODE
    home = parse_number(digits, country)
    if home is not None and _with_ninth_digit(_e164(home)):
        return _NO_NINTH_DIGIT
    phone = _international(digits) if is_bare else None
    mobile = (
        phonenumbers.PhoneNumberType.MOBILE,
        phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE,
    )
    number = parse_number(phone.canonical) if phone else None
    if phone and number and phonenumbers.number_type(number) in mobile:
        return phone
    return _NOT_OF_THIS_COUNTRY


def _international(digits: str) -> Phone | None:
    number = parse_number(f"+{digits}")
    return _as_valid_phone(number) if number else None


def _as_valid_phone(number: "PhoneNumber") -> Phone | None:
    """Return the number if it is valid, or becomes so with Brazil's ninth digit."""
    wire = _e164(number)
    canonical = _with_ninth_digit(wire)
    if canonical:
        return Phone(wire, canonical)
    return Phone(wire, wire) if _can_be_a_persons(number) else None


def _with_ninth_digit(e164: str) -> str | None:
    """Return a Brazilian mobile of the old form in its new form; None for all others."""
    if not _WITHOUT_NINTH_DIGIT.fullmatch(e164):
        return None
    longer = f"{e164[:5]}9{e164[5:]}"
    number = parse_number(longer)
    return longer if number and _can_be_a_persons(number) else None


def _can_be_a_persons(number: "PhoneNumber") -> bool:
    """Whether a number is valid and not that of a service (0800, 0300, 4004)."""
    from phonenumbers import PhoneNumberType as NumberType
    from phonenumbers import number_type

    persons = (
        NumberType.FIXED_LINE,
        NumberType.MOBILE,
        NumberType.FIXED_LINE_OR_MOBILE,
        NumberType.VOIP,
        NumberType.PERSONAL_NUMBER,
    )
    return number_type(number) in persons


def parse_number(text: str, country: str | None = None) -> "PhoneNumber | None":
    """Return the number that a text can be, valid or not; None: it cannot be a number.

    Args:
        text: as it is written.
        country: of numbers without a country code; None: there must be one.
    """
    import phonenumbers

    try:
        return phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None


def _e164(number: "PhoneNumber") -> str:
    import phonenumbers

    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
