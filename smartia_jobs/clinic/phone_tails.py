"""Comparing stored phones in SQL by their last digits, to find candidates."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Text, case, func, select
from sqlalchemy.ext.compiler import compiles

from smartia_jobs.clinic.tables import patients

#: What most people type between the digits of a phone.
_BETWEEN_DIGITS = " +-()."

#: The zeros of the scripts that have digits of their own, which ``parse_phone`` reads: nine
#: more follow each. Unicode 16, which no Python that we support goes beyond.
_ZEROS = (
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6,
    0x0D66, 0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0,
    0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0,
    0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x10D40, 0x11066, 0x110F0, 0x11136, 0x111D0,
    0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x116D0, 0x116DA, 0x11730, 0x118E0, 0x11950,
    0x11BF0, 0x11C50, 0x11D50, 0x11DA0, 0x11F50, 0x16130, 0x16A60, 0x16AC0, 0x16B50, 0x16D70,
    0x1CCF0, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E5F1,
    0x1E950, 0x1FBF0,
)  # fmt: skip

#: The digits of the number in a text, whatever stands between them and however they are
#: written. Each step takes the leading digits and the one character after them: dropped, or a
#: digit of another script, told by its code point. Copied phones bring dozens of spaces, dashes
#: and unseen marks. After a whole number, what WhatsApp's ids and links add ends it.
_WALK = (
    "(WITH RECURSIVE walk(rest, digits) AS ("
    "SELECT CAST(patients.phone_number AS TEXT), CAST('' AS TEXT) UNION ALL "
    "SELECT CASE WHEN substr({after}, 1, 1) IN (':', '@', '?', '#', '&')"
    " AND length(digits) + length(rest) - length({after}) >= 8"
    " THEN '' ELSE substr({after}, 2) END, "
    "digits || substr(rest, 1, length(rest) - length({after})) || "
    "coalesce((SELECT CAST({code_point} - column1 AS TEXT)"
    " FROM (VALUES {zeros}) AS zeros WHERE {code_point} - column1 BETWEEN 0 AND 9), '') "
    "FROM walk WHERE length(rest) > 0"
    ") SELECT digits FROM walk WHERE length(rest) = 0)"
)
_AFTER = "ltrim(rest, '0123456789')"
_CODE_POINT = {
    "sqlite": f"unicode({_AFTER})",
    # Any other encoding either lacks these digits or counts them otherwise.
    "postgresql": (
        f"CASE current_setting('server_encoding') WHEN 'UTF8' THEN ascii({_AFTER}) ELSE 0 END"
    ),
}


class _DigitsOnly(ColumnElement[str]):
    """The digits of ``patients.phone_number``, read character by character."""

    inherit_cache = True
    type = Text()


@compiles(_DigitsOnly)
def _walk(_: _DigitsOnly, compiler: Any, **__: Any) -> str:
    return _WALK.format(
        after=_AFTER,
        code_point=_CODE_POINT[compiler.dialect.name],
        zeros=", ".join(f"({zero})" for zero in _ZEROS),
    )


def phone_ends_like(patient_ids: Collection[int]) -> ColumnElement[bool]:
    """Return whether a patient's phone ends like that of one of these patients."""
    theirs = select(phone_tail()).where(patients.c.id.in_(sorted(patient_ids)))
    alike: ColumnElement[bool] = phone_tail().in_(theirs.correlate(None))
    return alike


def phone_tail() -> ColumnElement[Any]:
    """Return the last eight digits of a phone, which find candidates for grouping."""
    stored = patients.c.phone_number
    typed: Any = stored
    for character in _BETWEEN_DIGITS:
        typed = func.replace(typed, character, "")
    # Most are bare digits, as WhatsApp writes them: three times as fast without replacing.
    digits = case(
        (func.ltrim(stored, "0123456789") == "", stored),
        # A phone that a spreadsheet stored as a number.
        (func.ltrim(stored, "0123456789") == ".0", func.rtrim(func.rtrim(stored, "0"), ".")),
        (func.ltrim(stored, f"0123456789{_BETWEEN_DIGITS}") == "", typed),
        else_=_DigitsOnly(),
    )
    return func.substr(digits, func.length(digits) - 7)
