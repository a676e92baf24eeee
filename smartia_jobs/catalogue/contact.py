"""How patients are told to reach the clinic: what ``{{contato}}`` stands for."""

from functools import lru_cache

#: Holds for every clinic, behind any verb of telling or asking: "fale com a gente …".
WITHOUT_PHONE = "pelos nossos canais de atendimento"


@lru_cache(maxsize=8)
def contact(clinic_phone: str | None, country: str) -> str:
    """Return the part of a sentence that says how to reach the clinic, in Portuguese.

    Args:
        clinic_phone: as in ``CLINIC_PHONE``; None, or what is no phone at all, names none.
        country: the clinic's, two letters: its own numbers are written as people there know
            them, "(11) 3333-4444" or "0800 123 4567", others with + and country code.
    """
    import phonenumbers

    try:
        number = phonenumbers.parse(clinic_phone or "", country)
    except phonenumbers.NumberParseException:
        return WITHOUT_PHONE
    is_abroad = number.country_code != phonenumbers.country_code_for_region(country)
    form = phonenumbers.PhoneNumberFormat
    written = phonenumbers.format_number(number, form.INTERNATIONAL if is_abroad else form.NATIONAL)
    return f"pelo telefone {written}"
