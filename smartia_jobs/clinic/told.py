"""What visits had been told, and what their patients had answered, gathered row by row."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from statistics import median
from typing import Any

from smartia_jobs.appointment import Key
from smartia_jobs.kinds import KINDS
from smartia_jobs.store.answered import SAID_NO, Answer, Answered, Reminder


class Reminded(StrEnum):
    """What reached the patient before the visit, as far as WhatsApp accepted it."""

    NONE = "none"
    ONE = "one"
    TWO_OR_MORE = "two_or_more"
    #: The visit was already confirmed when a reminder was claimed: these patients differ.
    CONFIRMED = "confirmed"
    #: The patient answered before the visit, whatever was sent: that they come,
    CONFIRMED_BY_ANSWER = "confirmed_by_answer"
    #: or that they cannot, or want another time.
    SAID_NO = "said_no"

    #: Of one reminder it is not known whether WhatsApp accepted it.
    UNKNOWN = "unknown"

    #: Those with one, with two or more, and who answered, together. Whoever confirms comes more
    #: often than others, reminded or not: without them reminders would look harmful.
    ANY = "any"

    @cache  # asked for each reminder, and there are twenty answers
    def and_one_more(self, accepted: bool, confirmed: bool) -> "Reminded":
        """Return what a visit had with one more reminder, in whichever order they are told.

        Args:
            accepted: whether WhatsApp accepted it; else it may have.
            confirmed: whether the visit was confirmed when it was claimed.
        """
        if not accepted or self is Reminded.UNKNOWN:
            return Reminded.UNKNOWN
        if confirmed or self is Reminded.CONFIRMED:
            return Reminded.CONFIRMED
        return Reminded.ONE if self is Reminded.NONE else Reminded.TWO_OR_MORE


#: Who is in ``Reminded.ANY``.
TOGETHER = frozenset(
    {Reminded.ONE, Reminded.TWO_OR_MORE, Reminded.CONFIRMED_BY_ANSWER, Reminded.SAID_NO}
)


@dataclass(frozen=True, slots=True, eq=False)  # one object of each, compared by being it
class Had:
    """What one visit had: reminders, and an answer.

    Attributes:
        reminders: by how many, or what else is known of them.
        asked: whether one of them asked if the patient will come, and an answer would be known;
            None: that is not known.
        answer: what was answered; None: nothing.
    """

    reminders: Reminded
    asked: bool | None
    answer: Answered | None = None

    @property
    def reminded(self) -> Reminded:
        """What the effect of reminders is compared by."""
        if self.answer is Answered.CONFIRMED:
            return Reminded.CONFIRMED_BY_ANSWER
        return Reminded.SAID_NO if self.answer in SAID_NO else self.reminders

    @property
    def answered(self) -> Answered | None:
        """What was answered; None: nobody knows, as nobody knows whether it was asked."""
        if self.answer is not None or self.asked is None:
            return self.answer
        return Answered.NONE if self.asked else Answered.NOT_ASKED

    @cache  # noqa: B019 - asked for each reminder, and there are few answers
    def and_one_more(
        self, accepted: bool, confirmed: bool, again: bool, asked: bool | None
    ) -> "Had":
        """Return what a visit had with one more reminder, in whichever order they are told.

        Args:
            accepted: whether WhatsApp accepted it; else it may have.
            confirmed: whether the visit was confirmed when it was claimed.
            again: it was one of the same time by the same kind, which is no further reminder.
            asked: as of the visit.
        """
        more = self.reminders if again else self.reminders.and_one_more(accepted, confirmed)
        both = (self.asked, asked)
        return _had(more, True if True in both else None if None in both else False, self.answer)

    @cache  # noqa: B019 - likewise
    def and_answered(self, answer: Answered) -> "Had":
        """Return what a visit had with this answer in place of any other."""
        return _had(self.reminders, self.asked, answer)


@cache
def _had(reminders: Reminded, asked: bool | None, answer: Answered | None) -> Had:
    return Had(reminders, asked, answer)


_NOTHING = _had(Reminded.NONE, False, None)


def _median(durations: Sequence[timedelta]) -> timedelta | None:
    if not durations:
        return None
    return timedelta(seconds=median(one.total_seconds() for one in durations))


@dataclass(frozen=True, slots=True)
class AnswerCounts:
    """What was answered to messages of one kind that asked, each in one of the counts.

    Attributes:
        asked: how many messages; the other numbers add up to it.
        none: no answer, and the visit has begun;
        pending: or it is still ahead.
        median_wait: from the message to the first answer; None without any.
    """

    asked: int = 0
    confirmed: int = 0
    cannot_come: int = 0
    another_time: int = 0
    unclear: int = 0
    other: int = 0
    none: int = 0
    pending: int = 0
    median_wait: timedelta | None = None

    @classmethod
    def of(cls, answers: Collection[Answer], *, none: int, pending: int) -> "AnswerCounts":
        """Return the counts of messages by what was answered to them.

        Args:
            answers: to each that was answered.
            none: how many others are about visits that have begun.
            pending: and how many about visits ahead.
        """
        counted = Counter(answer.answered for answer in answers)
        return cls(
            asked=len(answers) + none + pending,
            **{str(answered): number for answered, number in counted.items()},
            none=none,
            pending=pending,
            median_wait=_median([answer.waited for answer in answers]),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the JSON of these counts (documented in docs/reference.md)."""
        counts = asdict(self)
        wait: timedelta | None = counts.pop("median_wait")
        return {**counts, "median_wait_s": wait and round(wait.total_seconds())}


class Told:
    """What visits had been told and their patients had answered, as far as it was read."""

    def __init__(self, asks: Mapping[str, bool], answers: Mapping[int, Answer]) -> None:
        """Begin with no reminder.

        Args:
            asks: whether a template asks if the patient will come, by its name at Meta. Of one
                that is missing nobody knows.
            answers: what was answered to each message before its visit, by the row that leads it.
        """
        self._asks, self._answers = asks, answers
        self._had: dict[Key, Had] = {}
        self._answered: dict[Key, Answer] = {}
        self._messages = defaultdict[str, dict[datetime, list[Answer | None]]](dict)

    def add(self, reminders: Iterable[Reminder]) -> None:
        """Take in reminders."""
        for (
            appointment_id, start, kind, row_id, leader_id, template, accepted, confirmed, again,
            counts, heard,
        ) in reminders:  # fmt: skip
            visit, asked = (appointment_id, start), self._asks.get(template or "")
            if asked and not (accepted and heard):
                asked = None
            had = self._had.get(visit, _NOTHING).and_one_more(accepted, confirmed, again, asked)
            answer = last = self._answers.get(leader_id or row_id)
            if last is not None:
                if had.answer is not None:
                    last = last.and_also(self._answered[visit])
                self._answered[visit] = last
                had = had.and_answered(last.answered)
            self._had[visit] = had
            if asked and counts and leader_id is None:
                self._messages[kind].setdefault(start, []).append(answer)

    def of(self, visit: Key) -> Had:
        """Return what a visit had, by its id and the wall time told."""
        return self._had.get(visit, _NOTHING)

    def answers(self, has_begun: Callable[[datetime], bool]) -> dict[str, AnswerCounts]:
        """Return what was answered to the messages that asked, by kind, those that have any.

        Those of the program stand first.

        Args:
            has_begun: whether a visit at a wall time has.
        """
        found = {}
        for kind in (*KINDS, *sorted(self._messages.keys() - set(KINDS))):
            by_start = self._messages.get(kind, {})
            given: list[Answer] = []
            silent = {True: 0, False: 0}
            for start, answers in by_start.items():
                theirs = [answer for answer in answers if answer is not None]
                given += theirs
                silent[has_begun(start)] += len(answers) - len(theirs)
            if by_start:
                found[kind] = AnswerCounts.of(given, none=silent[True], pending=silent[False])
        return found
