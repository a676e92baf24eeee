"""What a section says of its reminder: when it is due, and which visits it leaves alone."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

from smartia_jobs.kinds import (
    KEYS,
    KINDS,
    LIMITS,
    REMINDERS,
    Conditions,
    ReminderKind,
    is_a_name,
    longest_latest,
    too_long,
)
from smartia_jobs.timing import ReminderTimes

#: The keys of a section that are conditions.
CONDITIONS = tuple(one.name for one in fields(Conditions))

#: The keys that say when a reminder of the clinic's own is due.
TIMES = tuple(KEYS.values())

#: More is a slip: no clinic books so far ahead.
_MOST_DAYS = 365

_BUILT_IN = {kind.name: kind for kind in REMINDERS}
_HOUR = timedelta(hours=1)


def is_own(section: str, table: object) -> bool:
    """Whether a section defines a reminder of the clinic's own: it says when that is due."""
    return section not in KINDS and isinstance(table, dict) and not table.keys().isdisjoint(TIMES)


def problems(section: str, table: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with what a section says of its reminder.

    Args:
        section: its name.
        table: values have the right types; required keys may be missing.
    """
    built_in = _BUILT_IN.get(section)
    if is_own(section, table):
        yield from _own(section, table)
    else:
        for part, key in KEYS.items():
            if key in table:
                advice = f"; set {built_in.setting(part)} instead" if built_in else ""
                yield f"{key}: is only for reminders of your own{advice}"
        if built_in is None:
            only = (*CONDITIONS, "confirmed")
            yield from (f"{key}: is only for reminders" for key in only if key in table)
    if not 0 <= table.get("booked_days_ahead", 0) <= _MOST_DAYS:
        yield f"booked_days_ahead: must be from 0 to {_MOST_DAYS} days"


def reminder(section: str, table: Mapping[str, Any]) -> ReminderKind | None:
    """Return the reminder of a section, with the conditions it sets; None when it is none."""
    own = is_own(section, table)
    kind = ReminderKind(section, _times(table), own=True) if own else _BUILT_IN.get(section)
    if kind is None:
        return None
    given = {key: table[key] for key in CONDITIONS if key in table}
    return replace(kind, conditions=replace(kind.conditions, **given))


def wrong_followers(reminders: Mapping[str, ReminderKind]) -> Iterator[tuple[str, str]]:
    """Yield each section whose ``followed_by`` cannot take over, and what is wrong with it."""
    for name, kind in reminders.items():
        follower = kind.conditions.followed_by
        nearer = [one for one, other in reminders.items() if other.times.lead < kind.times.lead]
        if follower and follower not in nearer:
            known = ", ".join(nearer) or "none"
            yield name, f"followed_by: must be a reminder nearer to the visit; there are: {known}"


def _own(section: str, table: Mapping[str, Any]) -> Iterator[str]:
    if not is_a_name(section):
        yield "the name of a reminder may only have a-z, 0-9, _ and -, at most 20 characters"
    wrong = [key for part, key in KEYS.items() if key in table and not _fits(part, table[key])]
    for part, key in KEYS.items():
        if key in wrong:
            least, most = LIMITS[part]
            yield f"{key}: must be from {least:g} to {most:g} hours"
    if wrong or not table.keys() >= set(TIMES):
        return
    times = _times(table)
    long = too_long(times)
    if long == "cadence":
        yield "every_hours: must be less than twice lead_hours, or no run would remind some visits"
    elif long == "latest":
        most = longest_latest(times) / _HOUR
        yield f"latest_hours: can be at most {most:g}, or no run would remind some visits"


def _fits(part: str, hours: float) -> bool:
    least, most = LIMITS[part]
    return least <= hours <= most


def _times(table: Mapping[str, Any]) -> ReminderTimes:
    return ReminderTimes(**{part: table[key] * _HOUR for part, key in KEYS.items()})
