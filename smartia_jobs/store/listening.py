"""What was heard, from whichever side: forgotten in time."""

from datetime import datetime

from sqlalchemy import Connection, delete

from smartia_jobs.store.tables import statuses


def forget_statuses(connection: Connection, *, before: datetime) -> int:
    """Delete statuses that came before a moment, taken in or not; return how many."""
    return connection.execute(delete(statuses).where(statuses.c.received_at < before)).rowcount
