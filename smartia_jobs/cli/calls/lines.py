"""The list as it may be shown: phones whole or masked, names and texts or none."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from smartia_jobs.jobs.calls import Call, CallList, as_json
from smartia_jobs.phones import mask_phone, phone_for_people
from smartia_jobs.settings import Settings


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the list.

    Attributes:
        call: what it says; without name and text where they may not be seen.
        phone: as people write it, or masked; None: none is known.
        dial: canonical, to be called or written to; None: none, or it may not be seen.
    """

    call: Call
    phone: str | None
    dial: str | None


@dataclass(frozen=True, slots=True)
class Shown:
    """The whole list, as whoever reads it may see it.

    Attributes:
        found: what was found.
        lines: its lines, in its order.
        clinic: the clinic's name.
        persons: names and texts may be seen.
    """

    found: CallList
    lines: tuple[Line, ...]
    clinic: str
    persons: bool

    @classmethod
    def of(cls, found: CallList, settings: Settings, *, persons: bool, phones: bool) -> "Shown":
        """Return what may be seen.

        Args:
            found: the list.
            settings: the clinic's.
            persons: names and texts may be seen.
            phones: so may whole phones.
        """
        lines = []
        for call in found.calls:
            is_phone = call.phone is not None and call.phone.startswith("+")
            line = Line(
                call if persons else replace(call, name=None, text=None),
                mask_phone(call.phone) if call.phone else None,
                None,
            )
            if phones and call.phone is not None:
                readable = phone_for_people(call.phone, settings.clinic_country)
                line = replace(line, phone=readable, dial=call.phone if is_phone else None)
            lines.append(line)
        return cls(found, tuple(lines), settings.clinic_name, persons)

    @property
    def today(self) -> date:
        """The clinic's day on which the list was made."""
        return self.found.made_at.date()

    def parts(self) -> Iterator[tuple[date | None, list[Line]]]:
        """Yield the lines by day, each in the list's order: what is neither of them at the end.

        Without a day asked for, the rest of today, tomorrow, and under None what is unsettled.
        """
        if self.found.day is not None:
            yield self.found.day, list(self.lines)
            return
        days = (self.today, self.today + timedelta(days=1))
        wall_now = self.found.made_at.replace(tzinfo=None)
        by_day: dict[date | None, list[Line]] = {day: [] for day in (*days, None)}
        for line in self.lines:
            start = line.call.start
            is_ahead = start is not None and start >= wall_now and start.date() in by_day
            by_day[start.date() if start is not None and is_ahead else None].append(line)
        yield from by_day.items()

    def as_json(self) -> dict[str, Any]:
        """Return the stable JSON object (documented in the README)."""
        found = self.found
        return {
            "job": "calls",
            "made_at": found.made_at.isoformat(timespec="seconds"),
            "day": found.day and found.day.isoformat(),
            "calls": [as_json(line.call, phone=line.dial or line.phone) for line in self.lines],
            "notes": [] if found.knows_messages else ["no_outbox"],
            "exit_code": 0,
        }


def when(start: datetime | None, weekdays: tuple[str, ...], form: str) -> str:
    """Return a visit's time with its weekday; empty without one."""
    return "" if start is None else f"{weekdays[start.weekday()]} {start.strftime(form)}"
