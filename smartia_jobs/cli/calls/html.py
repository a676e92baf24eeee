"""The list as one page for the reception, in Portuguese: no script, nothing to load."""

from datetime import date
from functools import cache

from jinja2 import Template

from smartia_jobs.cli.calls.lines import Line, Shown, when
from smartia_jobs.cli.calls.wording import (
    LONG_WEEKDAYS,
    PORTUGUESE,
    WEEKDAYS,
    instead_of_words,
    what_to_do,
)
from smartia_jobs.cli.page import page_template
from smartia_jobs.clinic.rules.calls import Why

#: A page that is open shows a new list so soon; the list is made every 15 minutes.
_RELOAD_S = 120
#: Nobody is to be written to, or called, about a visit at such a number.
_NOT_TO_BE_WRITTEN_TO = {Why.ASKED_FOR_NO_MESSAGES, Why.NUMBER_DISPUTED}
_NOT_TO_BE_CALLED = {Why.NUMBER_DISPUTED}


def to_html(shown: Shown) -> str:
    """Return a complete page: today, tomorrow, and what is unsettled, or the day asked for."""
    return _page().render(
        clinic=shown.clinic,
        made_at=shown.found.made_at,
        made_on=_long(shown.today),
        reload_s=_RELOAD_S,
        total=len(shown.lines),
        persons=shown.persons,
        parts=[(_title(shown, day), day is not None, lines) for day, lines in shown.parts()],
        knows_messages=shown.found.knows_messages,
    )


def _title(shown: Shown, day: date | None) -> str:
    if day is None:
        return "Pendências"
    words = {0: "Hoje, ", 1: "Amanhã, "}.get((day - shown.today).days, "")
    title = f"{words}{_long(day)}"
    return title[0].upper() + title[1:]


def _long(day: date) -> str:
    return f"{LONG_WEEKDAYS[day.weekday()]}, {day:%d/%m/%Y}"


def _tel(line: Line) -> str | None:
    called = {line.call.why, *line.call.also}
    return f"tel:{line.dial}" if line.dial and not called & _NOT_TO_BE_CALLED else None


def _chat(line: Line) -> str | None:
    """Return the address that opens a chat with this number in WhatsApp."""
    written_to = {line.call.why, *line.call.also}
    if not line.dial or written_to & _NOT_TO_BE_WRITTEN_TO:
        return None
    return f"https://wa.me/{line.dial.removeprefix('+')}"


def _when(line: Line) -> str:
    return when(line.call.start, WEEKDAYS, "%d/%m")


@cache
def _page() -> Template:
    return page_template(
        "smartia_jobs.cli.calls",
        {
            "reason": PORTUGUESE.__getitem__,
            "instead": instead_of_words,
            "what": what_to_do,
            "tel": _tel,
            "chat": _chat,
            "day": _when,
        },
    )
