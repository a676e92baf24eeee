"""What patients answered that is for a person and not settled, with the visits it is about."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Row, or_, select

from smartia_jobs.incoming import SAYS_NO, Meaning
from smartia_jobs.store.effects import FOR_A_PERSON, Effect
from smartia_jobs.store.status_changes import NO_ANSWER
from smartia_jobs.store.tables import answers, outbox, status_changes

#: A message tells of a visit at most some weeks ahead: nobody waits for older answers.
_LOOKED_AT_FOR = timedelta(days=60)
#: Ids in one IN list.
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Told:
    """One visit of the message that was answered, as the patient was told it.

    Attributes:
        appointment_id: which visit.
        patient_id: whose it was.
        start: what the patient was told, clinic wall time.
        phone: canonical; None: erased since.
        status: SmartIA's when the message was claimed; None: not known.
    """

    appointment_id: int
    patient_id: int
    start: datetime
    phone: str | None
    status: str | None


@dataclass(frozen=True, slots=True)
class Unsettled:
    """One answer that somebody must look at.

    Attributes:
        id: what ``replies settle`` is given.
        phone: who wrote, as it came; None: hidden, or erased since.
        type: as Meta says it: ``text``, ``button``, ``audio``, ...
        text: what was written; None: nothing, or kept no longer.
        meaning: what it was read as.
        effect: what was done: ``listed``, ``cancelled`` or ``undone``.
        said_at: when it was given, aware UTC.
        received_at: when it came here.
        told: the visits it is about, the leader's first; empty where nobody can tell.
    """

    id: int
    phone: str | None
    type: str
    text: str | None
    meaning: str | None
    effect: str
    said_at: datetime
    received_at: datetime
    told: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Noted:
    """What this program did to a visit because of an answer, or held it back in.

    Attributes:
        answer_id: which answer.
        patient_id: whose visit it was.
        start: when it was to begin, clinic wall time.
        before: its status before.
        after: and after; the same when it was only held back.
        changed_at: when, aware UTC.
        undone: whether it was taken back.
    """

    answer_id: int
    patient_id: int
    start: datetime
    before: str
    after: str
    changed_at: datetime
    undone: bool


def unsettled_answers(connection: Connection, *, now: datetime) -> list[Unsettled]:
    """Return what somebody has something to do about, the newest first."""
    query = select(answers).where(
        answers.c.effect.in_(sorted(FOR_A_PERSON)),
        answers.c.settled_at.is_(None),
        or_(answers.c.received_at > now - _LOOKED_AT_FOR, answers.c.meaning == Meaning.NOT_ME),
    )
    rows = connection.execute(query.order_by(answers.c.said_at.desc(), answers.c.id.desc())).all()
    told = _told(connection, {row.outbox_id for row in rows if row.outbox_id is not None})
    return [
        Unsettled(
            id=row.id,
            phone=row.phone,
            type=row.type,
            text=row.text,
            meaning=row.meaning,
            effect=row.effect,
            said_at=row.said_at,
            received_at=row.received_at,
            told=tuple(told.get(row.outbox_id, ())),
        )
        for row in rows
    ]


def notes_of(connection: Connection, appointment_ids: Collection[int]) -> dict[int, list[Noted]]:
    """Return what answers have done to these visits, by appointment, the oldest first."""
    found: dict[int, list[Noted]] = {}
    for some in _chunks(appointment_ids):
        query = select(status_changes).where(
            status_changes.c.appointment_id.in_(some), status_changes.c.answer_id != NO_ANSWER
        )
        for row in connection.execute(query.order_by(status_changes.c.id)):
            found.setdefault(row.appointment_id, []).append(
                Noted(
                    answer_id=row.answer_id,
                    patient_id=row.patient_id,
                    start=row.start,
                    before=row.before,
                    after=row.after,
                    changed_at=row.changed_at,
                    undone=row.undone_at is not None,
                )
            )
    return found


def visits_answered(
    connection: Connection, appointment_ids: Collection[int]
) -> set[tuple[int, datetime]]:
    """Return which of these visits, at which told time, their patients said no to, settled or not.

    By appointment and clinic wall time: whoever asked to cancel or to move knows of it.
    """
    found: set[tuple[int, datetime]] = set()
    for some in _chunks(appointment_ids):
        query = (
            select(outbox.c.appointment_id, outbox.c.start)
            .join(answers, or_(answers.c.outbox_id == outbox.c.id,
                               answers.c.outbox_id == outbox.c.leader_id))
            .where(
                outbox.c.appointment_id.in_(some),
                answers.c.meaning.in_(SAYS_NO),
                answers.c.effect != Effect.UNDONE,
            )
        )  # fmt: skip
        found.update((row.appointment_id, row.start) for row in connection.execute(query))
    return found


def _told(connection: Connection, outbox_ids: Collection[int]) -> dict[int, list[Told]]:
    """Return the visits of the messages that these rows belong to, by row."""
    leaders: dict[int, int] = {}
    for some in _chunks(outbox_ids):
        query = select(outbox.c.id, outbox.c.leader_id).where(outbox.c.id.in_(some))
        leaders |= {row.id: row.leader_id or row.id for row in connection.execute(query)}
    by_leader: dict[int, list[Told]] = {}
    for some in _chunks(leaders.values()):
        theirs = or_(outbox.c.id.in_(some), outbox.c.leader_id.in_(some))
        for row in connection.execute(select(outbox).where(theirs).order_by(outbox.c.id)):
            by_leader.setdefault(row.leader_id or row.id, []).append(_one(row))
    return {outbox_id: by_leader.get(leader, []) for outbox_id, leader in leaders.items()}


def _one(row: Row[tuple[object, ...]]) -> Told:
    return Told(row.appointment_id, row.patient_id, row.start, row.phone, row.appointment_status)


def _chunks(ids: Collection[int]) -> Iterator[Sequence[int]]:
    wanted = sorted(set(ids))
    for first in range(0, len(wanted), _CHUNK):
        yield wanted[first : first + _CHUNK]
