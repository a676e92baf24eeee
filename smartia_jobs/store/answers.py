"""What patients answered: what waits to be acted on, what came of it, and how long it is kept."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, false, func, select, update

from smartia_jobs.incoming import Meaning, PatientAnswer, Source
from smartia_jobs.store.effects import FOR_A_PERSON, Effect
from smartia_jobs.store.tables import answers, outbox

#: What a column holds.
_LONGEST_WHY = 100
#: Effects that matter to later answers about the same visit.
_ABOUT_A_VISIT = (Effect.CONFIRMED, Effect.CANCELLED, Effect.LISTED, Effect.REPEATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer(PatientAnswer):
    """One answer as it came, and what became of it.

    Its phone may be erased since, and its text is None when it is kept no longer. A clock that was
    ahead does not reach beyond its arrival.

    Attributes:
        id: what ``replies settle`` and ``replies undo`` are given.
        received_at: when it came here.
        outbox_id: the row that leads the message it answers; None: not known.
        meaning: what it was understood as; None: not yet.
        effect: what was done; None: nothing yet.
        why: in plain words.
        acted_at: when.
        settled_at: when a person was done with it.
    """

    id: int
    received_at: datetime
    outbox_id: int | None = None
    meaning: str | None = None
    effect: Effect | None = None
    why: str | None = None
    acted_at: datetime | None = None
    settled_at: datetime | None = None


class Waiting(NamedTuple):
    """An answer that nobody has acted on, and who gave it."""

    id: int
    phone: str | None


def unacted(connection: Connection) -> list[Waiting]:
    """Return the answers that nobody has acted on, in the order they were given.

    What people choose in WhatsApp's own settings is no answer.
    """
    query = select(answers.c.id, answers.c.phone, answers.c.said_at, answers.c.received_at).where(
        answers.c.acted_at.is_(None), answers.c.type != "user_preferences"
    )
    in_order = sorted(connection.execute(query), key=lambda row: (_said_at(row), row.id))
    return [Waiting(row.id, row.phone) for row in in_order]


def take(connection: Connection, answer_id: int) -> StoredAnswer | None:
    """Return an answer that nobody has acted on, for this transaction alone; None: somebody has."""
    query = select(answers).where(answers.c.id == answer_id, answers.c.acted_at.is_(None))
    row = connection.execute(query.with_for_update()).first()
    return None if row is None else StoredAnswer(**values_of(row))


def find(connection: Connection, answer_id: int) -> StoredAnswer | None:
    """Return an answer; None: there is none with this id."""
    row = connection.execute(select(answers).where(answers.c.id == answer_id)).first()
    return None if row is None else StoredAnswer(**values_of(row))


def record_effect(
    connection: Connection,
    answer: StoredAnswer,
    *,
    meaning: str | None,
    effect: Effect,
    why: str,
    outbox_id: int | None,
    run_id: str,
    at: datetime,
) -> bool:
    """Record what became of an answer; return False when it had been acted on already.

    One that is ignored is about no message of ours: its text and phone are deleted at once.
    """
    values: dict[str, Any] = {
        "meaning": meaning,
        "effect": effect,
        "why": why[:_LONGEST_WHY] or None,
        "outbox_id": outbox_id,
        "run_id": run_id,
        "acted_at": at,
    }
    if effect is Effect.IGNORED:
        values |= {"text": None, "payload": None, "phone": None}
    changed = connection.execute(
        update(answers)
        .where(answers.c.id == answer.id, answers.c.acted_at.is_(None))
        .values(values)
    )
    return changed.rowcount == 1


def settle(connection: Connection, answer_ids: Collection[int], *, at: datetime) -> set[int]:
    """Note that a person is done with these answers; return those that were still open."""
    changed = connection.execute(
        update(answers)
        .where(
            answers.c.id.in_(sorted(answer_ids)),
            answers.c.effect.in_(sorted(FOR_A_PERSON)),
            answers.c.settled_at.is_(None),
        )
        .values(settled_at=at)
        .returning(answers.c.id)
    )
    return set(changed.scalars())


def settle_disputes(connection: Connection, phone: str, *, at: datetime) -> None:
    """Settle that a phone is somebody else's: it has confirmed, so it is its patient's.

    Args:
        connection: the transaction that acts on the confirmation.
        phone: canonical.
        at: now.
    """
    # The outbox has the canonical phone, the answer the one that WhatsApp wrote.
    theirs = select(outbox.c.id).where(outbox.c.phone == phone)
    connection.execute(
        update(answers)
        .where(
            answers.c.meaning == Meaning.NOT_ME,
            answers.c.settled_at.is_(None),
            answers.c.outbox_id.in_(theirs),
        )
        .values(settled_at=at)
    )


def void(connection: Connection, answer_id: int, *, why: str) -> None:
    """Note that what an answer had done was taken back: somebody must tell the patient."""
    connection.execute(
        update(answers)
        .where(answers.c.id == answer_id)
        .values(effect=Effect.UNDONE, why=why[:_LONGEST_WHY], settled_at=None)
    )


@dataclass(frozen=True, slots=True)
class ActedOn:
    """An answer about a visit that was acted on before.

    Attributes:
        answer_id: which.
        appointment_id: about which visit.
        start: as it was told then.
        meaning: what it was understood as.
        effect: what was done.
        said_at: when it was given.
        settled: a person is done with it.
    """

    answer_id: int
    appointment_id: int
    start: datetime
    meaning: str
    effect: Effect
    said_at: datetime
    settled: bool


def acted_on(
    connection: Connection, appointment_ids: Collection[int], meanings: Collection[str]
) -> list[ActedOn]:
    """Return the answers of these meanings about these visits, in the order they were given."""
    about = outbox.alias("about")
    query = (
        select(answers, about.c.appointment_id, about.c.start)
        .join(about, answers.c.outbox_id.in_((about.c.id, about.c.leader_id)))
        .where(
            about.c.appointment_id.in_(sorted(appointment_ids)),
            answers.c.meaning.in_(sorted(meanings)),
            answers.c.effect.in_(sorted(_ABOUT_A_VISIT)),
        )
    )
    found = [
        ActedOn(
            answer_id=row.id,
            appointment_id=row.appointment_id,
            start=row.start,
            meaning=row.meaning,
            effect=Effect(row.effect),
            said_at=_said_at(row),
            settled=row.settled_at is not None,
        )
        for row in connection.execute(query)
    ]
    return sorted(found, key=lambda one: (one.said_at, one.answer_id))


# -- for how long they are kept -------------------------------------------------------------


#: How long Meta may deliver an answer again, which must not be acted on again.
_DELIVERED_AGAIN = timedelta(days=8)


def forget(connection: Connection, *, keep: timedelta, now: datetime) -> None:
    """Delete texts of answers older than ``keep``, and old answers that were ignored."""
    texts = (answers.c.received_at < now - keep, answers.c.text.is_not(None))
    connection.execute(update(answers).where(*texts).values(text=None))
    past = answers.c.received_at < now - max(keep, _DELIVERED_AGAIN)
    connection.execute(delete(answers).where(answers.c.effect == Effect.IGNORED, past))


def delete_before(connection: Connection, before_at: datetime, *, most: int) -> int:
    """Delete answers that came before a moment; return how many.

    An answer that the number is somebody else's stays until a person has settled it.

    Args:
        connection: a writing transaction.
        before_at: old enough that earlier answers hold nothing else back.
        most: how many at once.
    """
    old = (
        select(answers.c.id)
        .where(answers.c.received_at < before_at, func.coalesce(_disputes(), false()).is_(False))
        .limit(most)
    )
    return connection.execute(
        delete(answers).where(answers.c.id.in_(old.scalar_subquery()))
    ).rowcount


def disputes_number() -> ColumnElement[bool]:
    """Return whether somebody said below an outbox row's message that its number is theirs.

    As long as nobody has settled that, the row tells which number it is.
    """
    return exists().where(answers.c.outbox_id == outbox.c.id, _disputes())


def _disputes() -> ColumnElement[bool]:
    return and_(
        answers.c.meaning == Meaning.NOT_ME,
        answers.c.effect == Effect.LISTED,
        answers.c.settled_at.is_(None),
    )


def erase_answers(
    connection: Connection,
    is_theirs: Callable[[str], bool],
    outbox_ids: Collection[int],
    *,
    before_at: datetime,
) -> int:
    """Remove what one person answered; return of how many answers something went.

    Those that came before ``before_at``, or that nobody has acted on, are deleted. The others
    lose everything that says who wrote, and what: the rest keeps a person who cannot come from
    being reminded.

    Args:
        connection: the caller's transaction, for writing.
        is_theirs: whether a stored phone is theirs.
        outbox_ids: the rows of messages to them.
        before_at: old enough that no earlier answer holds anything back.
    """
    found = connection.execute(
        select(answers.c.id, answers.c.phone, answers.c.outbox_id, answers.c.received_at,
               answers.c.acted_at)
    )  # fmt: skip
    theirs = [
        row
        for row in found
        if row.outbox_id in outbox_ids or (row.phone is not None and is_theirs(row.phone))
    ]
    for row in theirs:
        one = answers.c.id == row.id
        if row.acted_at is None or row.received_at < before_at:
            connection.execute(delete(answers).where(one))
        else:
            connection.execute(
                update(answers)
                .where(one)
                .values(
                    message_id=f"erased {row.id}",
                    phone=None,
                    text=None,
                    payload=None,
                    context_id=None,
                )
            )
    return len(theirs)


def _said_at(row: Any) -> datetime:
    """Return when an answer was given: by a clock that is ahead, when it came."""
    said_at: datetime = min(row.said_at, row.received_at)
    return said_at


def values_of(row: Any) -> dict[str, Any]:
    """Return what a row of answers holds, by the attributes of :class:`StoredAnswer`."""
    values = {one.name: getattr(row, one.name) for one in fields(StoredAnswer)}
    return values | {
        "source": Source(row.source),
        "said_at": _said_at(row),
        "effect": None if row.effect is None else Effect(row.effect),
    }
