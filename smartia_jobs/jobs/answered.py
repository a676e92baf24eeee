"""What patients answered that is for a person: looked at, settled, taken back."""

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from smartia_jobs.clinic import status_changes
from smartia_jobs.clinic.schema import require_smartia
from smartia_jobs.clinic.times import to_instant
from smartia_jobs.clock import Clock
from smartia_jobs.database import Database
from smartia_jobs.incoming import Meaning
from smartia_jobs.jobs.opening import our_tables
from smartia_jobs.outbox.words_back import withdraw
from smartia_jobs.settings import Settings
from smartia_jobs.store import answers
from smartia_jobs.store.effects import Effect
from smartia_jobs.store.schema import tables_exist
from smartia_jobs.store.told import told_by
from smartia_jobs.store.unsettled import Unsettled, unsettled_answers

#: An answer leaves the list this long after its visit, or after it came if no visit is known.
_OVER_AFTER = timedelta(days=7)

#: Who changes visits and rows here: no run.
_COMMAND = "replies undo"

#: What has changed a visit, or holds something back.
_CAN_BE_UNDONE = (Effect.CONFIRMED, Effect.CANCELLED, Effect.LISTED)


def list_answers(settings: Settings, clock: Clock) -> list[Unsettled]:
    """Return what waits for a person, the oldest first; nothing is changed.

    Left out are what the reception has dealt with in SmartIA, and what is more than a week old.

    Raises:
        ConfigurationError: the database is not SmartIA's.
    """
    with (
        closing(Database(settings.database_url, read_only=True)) as database,
        database.read() as connection,
    ):
        require_smartia(connection)
        if not tables_exist(connection):
            return []
        waiting = unsettled_answers(connection, now=clock.now())
        over = status_changes.ended(connection, {one.id for one in waiting})
    return [
        one
        for one in reversed(waiting)
        if (one.id not in over or _outlives_its_visit(one))
        and not _is_past(one, settings.clinic_timezone, clock.now())
    ]


class Done(StrEnum):
    """What came of settling or undoing one answer."""

    DONE = "done"
    #: There is no answer with this id.
    UNKNOWN = "unknown"
    #: It was for nobody, or is settled already.
    NOTHING_TO_DO = "nothing_to_do"
    #: Somebody has changed the visit since, and it stays as they left it.
    CHANGED_SINCE = "changed_since"


def settle(settings: Settings, clock: Clock, ids: Sequence[int]) -> dict[int, Done]:
    """Note that a person is done with these answers: they hold nothing back any more.

    Raises:
        ConfigurationError: the database has no tables of ours.
    """
    done = {}
    with our_tables(settings) as database, database.write() as connection:
        settled = answers.settle(connection, ids, at=clock.now())
        for one in dict.fromkeys(ids):
            known = one in settled or answers.find(connection, one) is not None
            done[one] = Done.NOTHING_TO_DO if known else Done.UNKNOWN
    return done | dict.fromkeys(settled, Done.DONE)


def undo(settings: Settings, clock: Clock, ids: Sequence[int]) -> dict[int, Done]:
    """Take back what answers have done: visits get their status back, and nothing is held back.

    A visit that somebody has changed since stays as it is. The answer no longer counts, and stays
    on the list until somebody has told the patient.

    Raises:
        ConfigurationError: the database has no tables of ours.
    """
    with our_tables(settings) as database:
        with database.read() as connection:
            require_smartia(connection)
        done: dict[int, Done] = {}
        for answer_id in dict.fromkeys(ids):
            with database.write() as connection:
                done[answer_id] = _undo(connection, answer_id, clock.now())
        return done


def _undo(connection: Connection, answer_id: int, at: datetime) -> Done:
    answer = answers.find(connection, answer_id)
    if answer is None:
        return Done.UNKNOWN
    if answer.effect not in _CAN_BE_UNDONE or answer.settled_at is not None:
        return Done.NOTHING_TO_DO
    restored = status_changes.undo(connection, answer_id, at=at)
    if answer.outbox_id is not None:
        visits = {row.appointment_id for row in told_by(connection, answer.outbox_id)}
        withdraw(connection, visits, run_id=_COMMAND, at=at)
    answers.void(connection, answer_id, why="taken back by a person: the patient must be told")
    return Done.DONE if all(restored.values()) else Done.CHANGED_SINCE


def _outlives_its_visit(one: Unsettled) -> bool:
    """Whether somebody has something to do about it, whatever became of its visit since.

    After an undo the patient must still be told. A number that is somebody else's gets no message
    until that is settled.
    """
    return one.effect is Effect.UNDONE or one.meaning == Meaning.NOT_ME


def _is_past(one: Unsettled, zone: ZoneInfo, now: datetime) -> bool:
    """Whether it is too old for anybody to do something about it."""
    if one.meaning == Meaning.NOT_ME:
        return False  # until somebody corrects the number
    last_at = max((to_instant(visit.start, zone) for visit in one.told), default=one.received_at)
    return now - max(last_at, one.received_at) > _OVER_AFTER
