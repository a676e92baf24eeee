"""Polling what SmartIA's own webhook stored, where ours has stored nothing."""

from collections.abc import Sequence
from datetime import timedelta

from smartia_jobs.clinic.incoming import incoming_after, newest_interaction
from smartia_jobs.incoming import Status
from smartia_jobs.run import Run
from smartia_jobs.store.inbox import store_answers, store_statuses
from smartia_jobs.store.listening import (
    interactions_seen,
    see_interactions,
    webhook_has_stored,
)

#: How many ids are read again each time: a slow transaction commits a smaller id late.
_OVERLAP = 500
#: How long statuses are kept after they arrived; older interactions are not even read.
KEEP_STATUSES = timedelta(days=7)


def poll_smartia(run: Run) -> Sequence[Status]:
    """Store what came in at SmartIA since the last run, if ``LISTEN_TO`` allows it.

    The first run only notes the newest id: what came in before that is not looked at.

    Returns:
        the statuses that a dry run found, as it stores nothing.
    """
    unstored: list[Status] = []
    with run.database.read() as connection:
        if not _is_listened_to(run, webhook_stored=webhook_has_stored(connection)):
            return unstored
        seen = interactions_seen(connection)
        newest = newest_interaction(connection)
    if seen is None:
        if not run.dry_run:
            with run.database.write() as connection:
                see_interactions(connection, newest)
        return unstored
    while True:
        with run.database.read() if run.dry_run else run.database.write() as connection:
            page = incoming_after(
                connection,
                seen,
                country=run.settings.clinic_country,
                since=run.now - KEEP_STATUSES,
                now=run.now,
            )
            if run.dry_run:
                unstored += page.statuses
            else:
                store_statuses(connection, page.statuses, received_at=run.now)
                store_answers(connection, page.answers, received_at=run.now)
                last = newest if page.is_last or page.last is None else page.last
                see_interactions(connection, max(0, last - _OVERLAP))
        if page.is_last or page.last is None or run.stop.requested:
            return unstored
        seen = page.last


def _is_listened_to(run: Run, *, webhook_stored: bool) -> bool:
    if run.settings.listen_to == "auto":
        return not webhook_stored
    return run.settings.listen_to == "smartia"
