"""Writing a message: a template and a patient's visits become what is sent and read."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from functools import lru_cache

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.catalogue.contact import WITHOUT_PHONE
from smartia_jobs.catalogue.loading import MessageTemplate
from smartia_jobs.catalogue.names import clean, first_name, shorten
from smartia_jobs.catalogue.variables import LONGEST, fill
from smartia_jobs.message import Message

#: What stands for the clinic when CLINIC_NAME shows nothing (the setting's own default).
_NAMELESS_CLINIC = "sua clínica"


def write_message(
    template: MessageTemplate,
    visits: Sequence[Appointment],
    *,
    clinic_name: str,
    contact: str = WITHOUT_PHONE,
) -> Message:
    """Write the one message that tells a patient of these visits.

    Where all of them are confirmed, it is the text for that, if the template has one.

    Whatever the database holds, no parameter is empty or has a line break, and the text has
    at most 1024 UTF-16 units: one odd name never costs a patient their message.

    Args:
        template: from the catalogue: a kind's usual text.
        visits: one or more of one patient on one local day, earliest first, each with a start.
        clinic_name: the setting.
        contact: how to reach the clinic, from :func:`smartia_jobs.catalogue.contact.contact`.

    Raises:
        ValueError: there is no visit, or the first has no start.
    """
    if not visits or visits[0].start is None:
        raise ValueError("a message tells of at least one visit, and of when it is")
    kind = template.kind
    if all(visit.status is AppointmentStatus.CONFIRMED for visit in visits):
        template = template.confirmed or template
    day = visits[0].start.date()
    # Two visits at the same time are told once.
    times = tuple(dict.fromkeys(visit.start.time() for visit in visits if visit.start))
    language = template.language
    values = {
        "paciente": first_name(visits[0].patient_name) or template.without_name,
        "clinica": clean(clinic_name) or _NAMELESS_CLINIC,
        "data": _date(day, language),
        "dia_da_semana": _weekday(day, language),
        "hora": _times(times, language),
        "contato": contact,
    }
    parameters = {
        placeholder: shorten(clean(values[variable]), LONGEST[variable])
        for placeholder, variable in template.parameters.items()
    }
    return Message(
        kind=kind,
        template=template.name,
        language=language,
        parameters=parameters,
        named=template.named,
        text=fill(template.body, parameters),
        meanings={
            index: button.means for index, button in enumerate(template.buttons) if button.means
        },
        payloads=_payloads(template, visits[0].id),
    )


def example_message(
    template: MessageTemplate, *, clinic_name: str, contact: str = WITHOUT_PHONE
) -> Message:
    """Write the message to a made-up patient, for previews and for Meta's reviewers."""
    visit = Appointment(
        id=1,
        patient_id=1,
        status=AppointmentStatus.SCHEDULED,
        start_at=None,
        start=datetime.fromisoformat("2026-11-23T14:30"),
        patient_name="Marina Souza",
    )
    return write_message(template, [visit], clinic_name=clinic_name, contact=contact)


def preview_text(
    template: MessageTemplate, message: Message, *, clinic_phone: str | None = None
) -> str:
    """Return body, footer and buttons as plain text, as the patient would see them."""
    labels = [button.text for button in template.buttons]
    if template.call_button and clinic_phone:
        labels.append(template.call_button)
    below = [template.footer, "\n".join(f"[ {label} ]" for label in labels)]
    return "\n\n".join([message.text, *filter(None, below)])


def _payloads(template: MessageTemplate, appointment_id: int) -> Mapping[int, str]:
    return {
        index: button.payload.replace("{{id}}", str(appointment_id))
        for index, button in enumerate(template.buttons)
        if button.payload is not None
    }


@lru_cache(maxsize=64)
def _date(day: date, language: str) -> str:
    """Write weekday, day and month in words: "segunda-feira, 23 de novembro"."""
    from babel import Locale
    from babel.dates import format_date, match_skeleton

    locale = Locale.parse(language)
    known = match_skeleton("MMMMEEEEd", locale.datetime_skeletons)
    pattern = locale.datetime_skeletons[known].pattern if known else "EEEE, d MMMM"
    # CLDR abbreviates here ("seg., 23 de nov."); the same pattern, with names written out.
    # Odd pieces stand between quotation marks and are literal text.
    pieces = pattern.split("'")
    pieces[::2] = [_write_out(piece) for piece in pieces[::2]]
    return str(format_date(day, "'".join(pieces), locale=locale))


def _write_out(pattern: str) -> str:
    return re.sub(r"E+|c+|M{3,}|L{3,}", lambda letters: letters[0][0] * 4, pattern)


@lru_cache(maxsize=64)
def _weekday(day: date, language: str) -> str:
    from babel.dates import format_date

    return str(format_date(day, "EEEE", locale=language))


@lru_cache(maxsize=512)
def _times(times: tuple[time, ...], language: str) -> str:
    """Write times without a leading zero, as a list in words: "9:00, 11:00 e 15:00"."""
    from babel import Locale
    from babel.dates import format_time
    from babel.lists import format_list

    locale = Locale.parse(language)
    pattern = re.sub(r"HH|hh", lambda letters: letters[0][0], locale.time_formats["short"].pattern)
    written = [str(format_time(each, pattern, locale=locale)) for each in times]
    return str(format_list(written, locale=locale))
