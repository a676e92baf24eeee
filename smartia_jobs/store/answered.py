"""What patients were told of their visits, and what they answered before them, to be counted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from itertools import chain
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, exists, false, func, or_, select

from smartia_jobs.appointment import AppointmentStatus
from smartia_jobs.incoming import SAYS_NO, Meaning
from smartia_jobs.kinds import INVITATION, WORDS_BACK
from smartia_jobs.store.effects import Effect
from smartia_jobs.store.states import ACCEPTED, MAYBE_ACCEPTED, State
from smartia_jobs.store.tables import answers, outbox, status_changes

#: Rows held at once, however many there are.
_ROWS = 1000

#: What a patient may have been told; a claim of a visit that is over was left by a dead process.
_MAY_BE_TOLD = MAYBE_ACCEPTED | {State.CLAIMED}

_AT_ONCE = timedelta(0)

#: What somebody chose in WhatsApp's own settings is no answer, and comes another way.
_FROM_PATIENTS = answers.c.type != "user_preferences"


class Answered(StrEnum):
    """What a patient had said of a visit before it began, of several answers the last that counts.

    A person had to look at what is ``unclear``, also where it was a plain yes or no to a visit
    that nobody could tell, or that was no longer as it was told.
    """

    CONFIRMED = "confirmed"
    CANNOT_COME = "cannot_come"
    ANOTHER_TIME = "another_time"
    UNCLEAR = "unclear"
    #: Thanks, no more messages, not this person's number: nothing about coming.
    OTHER = "other"
    #: Was asked, and said nothing.
    NONE = "none"
    NOT_ASKED = "not_asked"


#: Their time could be given to somebody else.
SAID_NO = frozenset({Answered.CANNOT_COME, Answered.ANOTHER_TIME})

_DECIDED = {
    Meaning.CONFIRM: Answered.CONFIRMED,
    Meaning.CANCEL: Answered.CANNOT_COME,
    Meaning.MOVE: Answered.ANOTHER_TIME,
}


class Answer(NamedTuple):
    """What the answers to one message, or about one visit, come to.

    Attributes:
        answered: what was said.
        said_at: when that was, aware UTC.
        id: of the answer.
        waited: from the message to the first answer, whatever that was.
    """

    answered: Answered
    said_at: datetime
    id: int
    waited: timedelta

    def and_also(self, other: "Answer") -> "Answer":
        """Return what both come to, whichever was given first."""
        last = max(self, other, key=_weight)
        return last._replace(waited=min(self.waited, other.waited))


def _weight(answer: Answer) -> tuple[int, datetime, int]:
    """Order answers by what they decide, and then by their time and their coming."""
    undecided = {Answered.UNCLEAR: 1, Answered.OTHER: 0}
    return undecided.get(answer.answered, 2), answer.said_at, answer.id


def answers_since(connection: Connection) -> datetime | None:
    """Return when the first answer came that is remembered, whoever gave it; None: none ever did.

    Only what a purge takes tells: it leaves a number's dispute where it is, however old.
    """
    disputes = and_(answers.c.meaning == Meaning.NOT_ME, answers.c.settled_at.is_(None))
    query = select(func.min(answers.c.received_at)).where(
        _FROM_PATIENTS, func.coalesce(disputes, false()).is_(False)
    )
    since: datetime | None = connection.execute(query).scalar_one()
    return since


def count_waiting(connection: Connection) -> int:
    """Return how many answers nobody has read."""
    waiting = select(func.count()).where(answers.c.acted_at.is_(None), _FROM_PATIENTS)
    return connection.execute(waiting).scalar_one()


def count_effects(connection: Connection, from_at: datetime, to_at: datetime) -> dict[Effect, int]:
    """Return how many answers of a half-open span had which effect, those that had any.

    Args:
        connection: a reading transaction.
        from_at: when the first of them came.
        to_at: the first instant after the span.
    """
    query = (
        select(answers.c.effect, func.count())
        .where(
            answers.c.received_at >= from_at,
            answers.c.received_at < to_at,
            answers.c.effect.is_not(None),
            answers.c.effect != Effect.IGNORED,
        )
        .group_by(answers.c.effect)
    )
    found = {Effect(effect): number for effect, number in connection.execute(query)}
    return {effect: found[effect] for effect in Effect if effect in found}


@dataclass(frozen=True, slots=True)
class Span:
    """Which messages are read: those about visits of a time, and those sent in a time.

    Attributes:
        from_wall: naive clinic wall time; the first are about visits at or after it,
        to_wall: and at or before this.
        from_at: the others were first claimed at or after this instant,
        to_at: and before this.
    """

    from_wall: datetime
    to_wall: datetime
    from_at: datetime
    to_at: datetime

    @property
    def is_claimed(self) -> ColumnElement[bool]:
        """Whether a message was first claimed in this time."""
        return (outbox.c.created_at >= self.from_at) & (outbox.c.created_at < self.to_at)

    @property
    def is_read(self) -> ColumnElement[bool]:
        """Whether a message is read at all."""
        return or_(outbox.c.start.between(self.from_wall, self.to_wall), self.is_claimed)


def read_answers(
    connection: Connection, span: Span, *, begins_at: Callable[[datetime], datetime]
) -> dict[int, Answer]:
    """Return what was answered to each message before its visit, by the row that leads it.

    What a person took back counts for nothing. What was answered to a word back counts as an
    answer to the message that the word was about.

    Args:
        connection: a reading transaction.
        span: to which messages.
        begins_at: the instant that a wall time means.
    """
    # A word back is about an answer, and that about the message.
    before = answers.alias("before")
    leader = func.coalesce(before.c.outbox_id, answers.c.outbox_id)
    # A no that neither changed nor held back a visit was about one that nobody could tell.
    is_held = exists().where(status_changes.c.answer_id == answers.c.id)
    query = (
        select(
            leader,
            answers.c.id,
            answers.c.meaning,
            answers.c.effect,
            case((answers.c.effect == Effect.LISTED, is_held), else_=false()),
            # A clock that is ahead does not reach beyond its arrival.
            case(
                (answers.c.said_at < answers.c.received_at, answers.c.said_at),
                else_=answers.c.received_at,
            ),
            outbox.c.start,
            func.coalesce(outbox.c.sent_at, outbox.c.claimed_at, outbox.c.updated_at),
        )
        .join(outbox, outbox.c.id == answers.c.outbox_id)
        .join(before, before.c.id == outbox.c.answer_id, isouter=True)
        .where(
            span.is_read,
            answers.c.meaning.is_not(None),
            answers.c.effect.not_in([Effect.IGNORED, Effect.UNDONE]),
        )
    )
    found: dict[int, Answer] = {}
    rows = connection.execute(query.execution_options(yield_per=_ROWS))
    for leader_id, id_, meaning, effect, held, said_at, start, sent_at in chain.from_iterable(
        rows.partitions()
    ):
        if said_at >= begins_at(start):
            continue
        waited = max(said_at - sent_at, _AT_ONCE)
        answer = Answer(_answered(meaning, effect, held), said_at, id_, waited)
        seen = found.get(leader_id)
        found[leader_id] = answer if seen is None else seen.and_also(answer)
    return found


@cache  # asked for each answer, and there are few
def _answered(meaning: str, effect: str, held: bool) -> Answered:
    decided = _DECIDED.get(Meaning(meaning))
    if decided is None:
        return Answered.UNCLEAR if meaning == Meaning.UNCLEAR else Answered.OTHER
    is_sure = effect != Effect.LISTED or (held and meaning in SAYS_NO)
    return decided if is_sure else Answered.UNCLEAR


#: A row of :func:`read_reminders`, which says what stands where. There may be very many: a tuple is
#: made in a third of the time.
Reminder = tuple[int, datetime, str, int, int | None, str | None, bool, bool, bool, bool, bool]


def read_reminders(
    connection: Connection, span: Span, *, heard_from: datetime | None
) -> Iterator[Reminder]:
    """Yield the reminders that WhatsApp accepted or may have, one for each visit they told of.

    Args:
        connection: inside a short transaction.
        span: which.
        heard_from: since when answers are known; None: no answer ever came.

    Yields:
        the appointment's id, the wall time told, the kind, the row's id, that of the row that
        leads its message (None: this one), the template at Meta (None: not recorded), whether
        WhatsApp surely accepted it, whether the visit was confirmed when it was claimed, whether
        this kind had told of this time before, whether it was first claimed in the span's time,
        and whether answers were known then.
    """
    columns, earlier = outbox.c, outbox.alias("earlier").c
    told = sorted(_MAY_BE_TOLD)
    told_before = exists().where(
        earlier.appointment_id == columns.appointment_id,
        earlier.kind == columns.kind,
        earlier.start == columns.start,
        earlier.turn < columns.turn,
        earlier.state.in_(told),
    )
    query = select(
        columns.appointment_id,
        columns.start,
        columns.kind,
        columns.id,
        columns.leader_id,
        columns.template,
        columns.state.in_(sorted(ACCEPTED)),
        func.coalesce(columns.appointment_status == AppointmentStatus.CONFIRMED, false()),
        and_(columns.turn > 1, told_before),
        span.is_claimed,
        false() if heard_from is None else columns.created_at >= heard_from,
    ).where(
        columns.state.in_(told),
        # Every other kind is a reminder, also one that the clinic's catalogue has no longer.
        columns.kind.not_in((INVITATION, WORDS_BACK)),
        span.is_read,
    )
    rows = connection.execute(query.execution_options(yield_per=_ROWS))
    yield from chain.from_iterable(rows.partitions())
