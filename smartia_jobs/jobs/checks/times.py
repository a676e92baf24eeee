"""Time: the clinic's clock, and whether the visits' times are understood correctly."""

from collections import Counter
from datetime import datetime, timedelta

from smartia_jobs.appointment import Appointment
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.findings import hours_of_visits
from smartia_jobs.clinic.rules.window import Window
from smartia_jobs.clinic.times import StoredTimes, to_instant, to_wall
from smartia_jobs.jobs.checks.finding import Finding, Level
from smartia_jobs.jobs.opening import ChosenTimes, both_ways, choose_times
from smartia_jobs.run import Run

_SHOWN = 3
_AHEAD = timedelta(days=60)
#: Hours in which hardly any clinic sees patients, and those in which nearly all do.
_NIGHT = frozenset({22, 23, 0, 1, 2, 3, 4, 5})
_DAY = range(7, 20)
#: A warning needs at least this many more visits outside the day than the other way has.
_CLEARLY = 3


def chosen_times(run: Run) -> ChosenTimes:
    """Return how dates are understood here.

    Raises:
        ConfigurationError: the column is of no type for dates.
    """
    with run.database.read() as connection:
        return choose_times(connection, run.settings)


def time_zone(run: Run, chosen: ChosenTimes) -> Finding:
    """Show the clinic's clock, and the next visits as they are understood."""
    zone = run.settings.clinic_timezone
    times = chosen.times or chosen.other
    visits = _next_visits(run, times) if times else ()
    both = chosen.other is not None
    lines = tuple(both_ways(visit, times) if both and times else _line(visit) for visit in visits)
    clock = f"It is {to_wall(run.now, zone):%a %d %b %Y, %H:%M} in {zone.key}."
    if chosen.times is None:
        text = f"{clock} STORED_TIMES is not set, and dates may be read in two ways."
        step = "set STORED_TIMES=wall or =instant, whichever shows the visits as they are"
        return Finding("time_zone", Level.PROBLEM, text, step, lines)
    if not visits:
        return Finding("time_zone", Level.OK, f"{clock} No visit lies ahead to compare with.")
    text = f"{clock} The next visits, as patients would be told: does this look right?"
    step = "if not, correct CLINIC_TIMEZONE, STORED_TIMES (PostgreSQL) or the visits"
    return Finding("time_zone", Level.OK, text, step, lines)


def hours(run: Run, chosen: ChosenTimes) -> Finding:
    """Find out whether visits are at the hours of a clinic, or seem to be shifted."""
    if chosen.times is None:
        return Finding("hours", Level.OK, "Not looked at before STORED_TIMES is set.")
    visits = _hours(run, chosen.times)
    if not visits:
        return Finding("hours", Level.OK, f"No open visit in the next {_AHEAD.days} days.")
    text = f"Visits begin from {min(visits)}:00 to {max(visits)}:59."
    at_night = sum(count for hour, count in visits.items() if hour in _NIGHT)
    step = "look at the visits above; correct CLINIC_TIMEZONE, STORED_TIMES or the visits"
    if chosen.other is not None:
        odd, odd_otherwise = _outside_the_day(visits), _outside_the_day(_hours(run, chosen.other))
        if odd - odd_otherwise >= _CLEARLY:
            text = (
                f"{text} Read the other way, only {odd_otherwise} instead of {odd} of"
                f" {visits.total()} would lie outside 7:00 to 20:00."
            )
            return Finding("hours", Level.WARNING, text, f"STORED_TIMES may be wrong: {step}")
    if at_night:
        text = f"Visits that begin between 22:00 and 6:00: {at_night} of {visits.total()}. Shifted?"
        return Finding("hours", Level.WARNING, text, step)
    return Finding("hours", Level.OK, text)


def tomorrow(run: Run) -> tuple[datetime, datetime]:
    """Return the next local day as instants, half-open."""
    zone = run.settings.clinic_timezone
    today = to_wall(run.now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    first, last = (to_instant(today + timedelta(days=days), zone) for days in (1, 2))
    return first, last


def _hours(run: Run, times: StoredTimes) -> Counter[int]:
    with run.database.read() as connection:
        return hours_of_visits(connection, times, run.now, run.now + _AHEAD)


def _outside_the_day(visits: Counter[int]) -> int:
    return sum(count for hour, count in visits.items() if hour not in _DAY)


def _next_visits(run: Run, times: StoredTimes) -> tuple[Appointment, ...]:
    window = Window(run.now, run.now + _AHEAD)
    shown: list[Appointment] = []
    with run.database.read() as connection:
        for page in Appointments(times).pages(connection, window):
            shown += [visit for visit in page if visit.start is not None and visit.is_open]
            if len(shown) >= _SHOWN:
                break
    return tuple(shown[:_SHOWN])


def _line(visit: Appointment) -> str:
    return f"appointment {visit.id}: {visit.start:%a %d %b %H:%M}"
