"""Which database this is: the random id that its messages carry."""

from sqlalchemy import Connection, select

from smartia_jobs.store.tables import installation


def installation_id(connection: Connection) -> str:
    """Return the id by which what comes back is known to be about a row of this database.

    Every program that is subscribed to a number is told of all its messages, even those of a test
    database or a second clinic, whose rows have the same small ids.
    """
    random_id: str = connection.execute(select(installation.c.word)).scalar_one()
    return random_id
