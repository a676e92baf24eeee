"""Writing a message: a template and a patient's visits become what is sent and read."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from functools import lru_cache

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.catalogue.contact import WITHOUT_PHONE
from smartia_jobs.catalogue.contact import contact as reach
from smartia_jobs.catalogue.loading import Catalogue, MessageTemplate
from smartia_jobs.catalogue.names import clean, first_name, shorten
from smartia_jobs.catalogue.variables import LONGEST, fill, placeholders
from smartia_jobs.message import Message
from smartia_jobs.settings import Settings

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
    kind, language = template.kind, template.language
    when = _when(visits, language)
    if all(visit.status is AppointmentStatus.CONFIRMED for visit in visits):
        template = template.confirmed or template
    values = {
        "paciente": first_name(visits[0].patient_name) or template.without_name,
        "clinica": clean(clinic_name) or _NAMELESS_CLINIC,
        "contato": contact,
        **when,
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
        payloads={
            index: button.payload.replace("{{id}}", str(visits[0].id))
            for index, button in enumerate(template.buttons)
            if button.payload is not None
        },
    )


def write_word_back(
    catalogue: Catalogue, which: str, visits: Sequence[Appointment], settings: Settings
) -> str:
    """Write the free text that a patient gets in return for an answer.

    Whatever the database holds, it is not empty, has no braces, and has at most 1024 UTF-16
    units. It has a name only where all visits are of people with that name: of two children it
    names neither.

    Args:
        catalogue: has the texts.
        which: ``confirmed`` or ``cancelled``, which is then so; ``passed_on`` or ``stopped``.
        visits: what was answered about, of one local day; may be empty, or without a start, for
            ``passed_on`` and ``stopped``.
        settings: the clinic's name, phone and country.

    Raises:
        ValueError: what is told of a visit has none, or none with a start.
    """
    words, text = catalogue.words_back, catalogue.words_back.texts[which]
    names = {first_name(visit.patient_name) for visit in visits}
    name = names.pop() if len(names) == 1 else None
    values = {
        "paciente": name or words.without_name,
        "clinica": clean(settings.clinic_name) or _NAMELESS_CLINIC,
        "contato": reach(settings.clinic_phone, settings.clinic_country),
    }
    if not values.keys() >= set(placeholders(text)):
        earliest_first = sorted(visits, key=lambda visit: (visit.start is None, visit.start))
        values |= _when(earliest_first, words.language)
    return fill(text, {key: shorten(clean(value), LONGEST[key]) for key, value in values.items()})


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


def _when(visits: Sequence[Appointment], language: str) -> Mapping[str, str]:
    """Write day and times of visits of one day, earliest first."""
    if not visits or visits[0].start is None:
        raise ValueError("a message tells of at least one visit, and of when it is")
    day = visits[0].start.date()
    # Two visits at the same time are told once.
    times = tuple(dict.fromkeys(visit.start.time() for visit in visits if visit.start))
    return {
        "data": _date(day, language),
        "dia_da_semana": _weekday(day, language),
        "hora": _times(times, language),
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
    pieces[::2] = [
        re.sub(r"E+|c+|M{3,}|L{3,}", lambda letters: letters[0][0] * 4, piece)
        for piece in pieces[::2]
    ]
    return str(format_date(day, "'".join(pieces), locale=locale))


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
