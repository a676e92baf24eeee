"""What a section says of its reminder: which visits it leaves alone."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from smartia_jobs.kinds import REMINDERS, Conditions, ReminderKind

#: The keys of a section that are conditions.
CONDITIONS = tuple(one.name for one in fields(Conditions))

#: More is a slip: no clinic books so far ahead.
_MOST_DAYS = 365

_BUILT_IN = {kind.name: kind for kind in REMINDERS}


def problems(section: str, table: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with what a section says of its reminder.

    Args:
        section: its name.
        table: values have the right types.
    """
    if section not in _BUILT_IN:
        yield from (f"{key}: is only for reminders" for key in CONDITIONS if key in table)
    elif not 0 <= table.get("booked_days_ahead", 0) <= _MOST_DAYS:
        yield f"booked_days_ahead: must be from 0 to {_MOST_DAYS} days"


def reminder(section: str, table: Mapping[str, Any]) -> ReminderKind | None:
    """Return the reminder of a section, with the conditions it sets; None when it is none."""
    kind = _BUILT_IN.get(section)
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
