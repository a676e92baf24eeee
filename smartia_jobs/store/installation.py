"""Which database this is: the random word that its messages carry."""

from sqlalchemy import Connection, select

from smartia_jobs.store.tables import installation


def installation_word(connection: Connection) -> str:
    """Return the word by which what comes back is known to be about a row of this database.

    Every program that is subscribed to a number hears of all its messages, those of a test
    database or of a second clinic among them, and their rows have the same small ids.
    """
    word: str = connection.execute(select(installation.c.word)).scalar_one()
    return word
