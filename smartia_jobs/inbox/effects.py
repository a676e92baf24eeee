"""What follows from an answer: a pure decision over what it says and where its visits stand."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.incoming import Meaning, Source
from smartia_jobs.store.effects import Effect


class WordBack(StrEnum):
    """What the patient is told in return: a key of ``[words_back]`` in the catalogue."""

    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"
    PASSED_ON = "passed_on"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Told:
    """One visit of a message, as its patient was told it, and as it is now.

    Attributes:
        appointment_id: which.
        start: what the patient was told, clinic wall time.
        phone: who was told, canonical; None: erased since, which counts as this patient.
        visit: as it is now; None when it is gone.
        phone_now: canonical; None when its patient has no usable phone now.
    """

    appointment_id: int
    start: datetime
    phone: str | None
    visit: Appointment | None
    phone_now: str | None

    @property
    def is_same_visit(self) -> bool:
        """Whether it is still the same person's visit at the same time, whatever its status."""
        same = self.phone is None or self.phone == self.phone_now
        return same and self.visit is not None and self.visit.start == self.start

    def is_ahead(self, now: datetime) -> bool:
        """Whether the visit, wherever it was moved to, is expected and has not begun."""
        if self.visit is None or self.visit.start_at is None:
            return False
        return self.visit.is_open and self.visit.start_at > now


@dataclass(frozen=True, slots=True)
class Earlier:
    """An answer about one of the same visits that was acted on before.

    Attributes:
        meaning: confirm, cancel or move: what decides about a visit.
        effect: what was done.
        said_at: when it was given.
        stands: nobody has changed its visit since, and no person has settled it.
    """

    meaning: Meaning
    effect: Effect
    said_at: datetime
    stands: bool


@dataclass(frozen=True, slots=True)
class Said:
    """One answer, understood.

    Attributes:
        meaning: what it says.
        tapped: on a button of ours, so that nothing had to be read.
        source: where it came from.
        said_at: when it was given.
        why_unclear: what a person should know of it; for an unclear one.
    """

    meaning: Meaning
    tapped: bool
    source: Source
    said_at: datetime
    why_unclear: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one answer.

    Attributes:
        effect: what becomes of it.
        why: in plain words, for whoever looks: no personal data.
        word: what the patient is told in return; None: nothing.
        holds_back: its visits get no reminder and are not marked as no-shows while it stands.
    """

    effect: Effect
    why: str = ""
    word: WordBack | None = None
    holds_back: bool = False


def decide(
    said: Said,
    visits: Sequence[Told],
    earlier: Sequence[Earlier],
    *,
    on_cancel: str,
    now: datetime,
) -> Decision:
    """Return what follows from one answer.

    Whatever is not surely right is for a person: one visit of the message that differs from what
    was told is enough.

    Args:
        said: the answer.
        visits: of the message that it answers; none when nobody can tell which is meant.
        earlier: what was acted on about these visits before, in the order in which it was said.
        on_cancel: ``tap``: a tap changes the agenda; ``any``: words do too; ``list``: nothing.
        now: a visit that has begun is no longer confirmed or cancelled.
    """
    match said.meaning:
        case Meaning.COURTESY:
            return Decision(Effect.COURTESY)
        case Meaning.STOP:
            return Decision(Effect.OPTED_OUT, word=WordBack.STOPPED)
        case Meaning.START:
            return Decision(Effect.OPTED_IN)
        case Meaning.NOT_ME:
            return Decision(Effect.LISTED, "says that the number is somebody else's")
        case Meaning.UNCLEAR:
            return Decision(Effect.LISTED, said.why_unclear or "was not understood")
        case Meaning.CONFIRM | Meaning.CANCEL | Meaning.MOVE:
            return _about_visits(said, visits, earlier, on_cancel=on_cancel, now=now)
        case _:
            assert_never(said.meaning)


def stands(effect: Effect, told: Told, left: str | None) -> bool:
    """Return whether what an answer did about a visit, or asked for, is still so.

    Whatever anybody else does to the visit afterwards settles it.

    Args:
        effect: what was done.
        told: the visit, as it was told and as it is.
        left: the status in which the answer left the visit, or holds it back; None: it did
            neither.
    """
    if told.visit is None or not told.is_same_visit:
        return False
    match effect:
        case Effect.CONFIRMED:
            return told.visit.status is AppointmentStatus.CONFIRMED
        case Effect.CANCELLED:
            return told.visit.status is AppointmentStatus.CANCELLED
        case Effect.LISTED if left is None:  # listed because the visit was not as it was told
            return not told.visit.is_open
        case Effect.LISTED:
            return told.visit.status == left
        case _:
            return False


def _about_visits(
    said: Said,
    visits: Sequence[Told],
    earlier: Sequence[Earlier],
    *,
    on_cancel: str,
    now: datetime,
) -> Decision:
    """Decide about a confirmation, a cancellation, or the wish to move."""
    if not visits:
        return _for_a_person("it is not clear which visit is meant")
    if any(said.said_at < one.said_at for one in earlier):
        return Decision(Effect.OVERTAKEN, "a later answer had been acted on")
    cancels = said.meaning is Meaning.CANCEL and _may_cancel(said, visits, on_cancel)
    last = next((one for one in reversed(earlier) if one.stands), None)
    if last is not None and last.meaning is said.meaning:
        # What words had only listed, a tap may yet do.
        if last.effect is Effect.CANCELLED or not cancels:
            return Decision(Effect.REPEATED, "the same was said before")
    elif last is not None and said.meaning is Meaning.CONFIRM:
        return _for_a_person("confirms what was cancelled or to be moved before")
    if (why := next(filter(None, map(_not_as_told, visits)), None)) is not None:
        return _for_a_person(why)
    if not all(one.is_ahead(now) for one in visits):
        # Too late for the agenda, but a visit that was declined is no no-show.
        says_no = said.meaning is not Meaning.CONFIRM
        return replace(_for_a_person("the visit had begun"), holds_back=says_no)
    if said.meaning is Meaning.CONFIRM:
        return Decision(Effect.CONFIRMED, word=WordBack.CONFIRMED)
    if cancels:
        return Decision(Effect.CANCELLED, "the slot is free", WordBack.CANCELLED)
    why = "cannot come" if said.meaning is Meaning.CANCEL else "wants another time"
    return Decision(Effect.LISTED, why, WordBack.PASSED_ON, holds_back=True)


def _may_cancel(said: Said, visits: Sequence[Told], on_cancel: str) -> bool:
    """Whether this cancellation changes the agenda: Meta signed it, and it is about one visit."""
    if said.source is not Source.WEBHOOK or len(visits) > 1:
        return False
    return on_cancel == "any" or (on_cancel == "tap" and said.tapped)


def _for_a_person(why: str) -> Decision:
    return Decision(Effect.LISTED, why, WordBack.PASSED_ON)


def _not_as_told(told: Told) -> str | None:
    """Return how a visit differs from what its patient was told; None when it does not."""
    visit = told.visit
    if visit is None:
        return "the visit is gone"
    if not told.is_same_visit:
        moved = visit.start != told.start
        return "the visit was moved since" if moved else "the visit is somebody else's now"
    if not visit.is_open:
        return "the visit is no longer open"
    return None
