"""How patients are told to reach the clinic: what ``{{contato}}`` stands for."""

from functools import lru_cache

from smartia_jobs.phones import parse_number, write_number

#: Fits every clinic, after any verb of telling or asking: "fale com a gente …".
WITHOUT_PHONE = "pelos nossos canais de atendimento"


@lru_cache(maxsize=8)
def contact(clinic_phone: str | None, country: str) -> str:
    """Return the part of a sentence that says how to reach the clinic, in Portuguese.

    Args:
        clinic_phone: as in ``CLINIC_PHONE``; None, or what is no phone at all, names none.
        country: the clinic's, two letters: its own numbers are written as people there know
            them, "(11) 3333-4444" or "0800 123 4567", others with + and country code.
    """
    number = parse_number(clinic_phone or "", country)
    return WITHOUT_PHONE if number is None else f"pelo telefone {write_number(number, country)}"
