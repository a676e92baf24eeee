"""What people chose in WhatsApp itself: no more marketing from this clinic, or some again."""

from datetime import datetime

from smartia_jobs.message import Phone
from smartia_jobs.phones import parse_phone
from smartia_jobs.run import Run
from smartia_jobs.store.preferences import Preference, act_on, preferences, undecided


def take_in_preferences(run: Run) -> None:
    """Let each phone's newest choice hold, whichever came first; a dry run changes nothing.

    ``stop`` ends invitations and leaves reminders; ``resume`` takes back what came from WhatsApp
    and concerns invitations, never what a person at the clinic wrote down.
    """
    if run.dry_run:
        return
    with run.database.write() as connection:
        new = undecided(connection)
        if not new:
            return
        newest: dict[str, Preference] = {}
        for one in preferences(connection):
            phone = _canonical(one, run.settings.clinic_country)
            if phone is not None and _order(one) >= _order(newest.get(phone, one)):
                newest[phone] = one
        act_on(
            connection,
            new,
            newest={phone: one for phone, one in newest.items() if one.id in new},
            run_id=run.id,
            at=run.clock.now(),
        )


def _canonical(one: Preference, country: str) -> str | None:
    phone = parse_phone(one.phone, country)
    return phone.canonical if isinstance(phone, Phone) else None


def _order(one: Preference) -> tuple[datetime, int]:
    return one.said_at, one.id
