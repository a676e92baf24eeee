"""What people chose in WhatsApp itself: no marketing from this clinic, or marketing again."""

from smartia_jobs.phones import canonical_phone
from smartia_jobs.run import Run
from smartia_jobs.store.preferences import Preference, act_on, preferences, undecided


def take_in_preferences(run: Run) -> None:
    """Apply each phone's newest choice, in whatever order they arrived; not in a dry run.

    ``stop`` ends invitations and leaves reminders. ``resume`` undoes only such a ``stop``, never an
    opt-out that a person at the clinic wrote down.
    """
    if run.dry_run:
        return
    with run.database.write() as connection:
        new = undecided(connection)
        if not new:
            return
        newest: dict[str, Preference] = {}
        for one in preferences(connection):
            phone = canonical_phone(one.phone, run.settings.clinic_country)
            if phone is not None:
                pair = newest.get(phone, one), one
                newest[phone] = max(pair, key=lambda choice: (choice.said_at, choice.id))
        act_on(
            connection,
            new,
            newest={phone: one for phone, one in newest.items() if one.id in new},
            run_id=run.id,
            at=run.clock.now(),
        )
