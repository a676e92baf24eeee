"""Acting on what patients answered: each answer once, in the order they were given."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from smartia_jobs.appointment import AppointmentStatus
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.status_changes import change, note, statuses_left
from smartia_jobs.database import lock_names
from smartia_jobs.database.errors import is_lock_timeout, is_transient, why
from smartia_jobs.errors import ExitStatus
from smartia_jobs.inbox.effects import Decision, Earlier, Said, Told, decide, stands
from smartia_jobs.incoming import SAYS_NO, Meaning
from smartia_jobs.jobs.understanding import Understanding, Understood
from smartia_jobs.jobs.writing_back import WritingBack
from smartia_jobs.outbox.answered import settle_answered
from smartia_jobs.phones import mask_phone
from smartia_jobs.report import Report
from smartia_jobs.run import Run
from smartia_jobs.store.answers import (
    ActedOn,
    StoredAnswer,
    acted_on,
    find,
    forget,
    record_effect,
    settle_disputes,
    take,
    unacted,
)
from smartia_jobs.store.effects import Effect
from smartia_jobs.store.opt_outs import add_opt_out, remove_opt_out

logger = logging.getLogger(__name__)

#: What is reported, in the order in which it is shown; what was ignored has reasons.
FIGURES = (
    "answers",
    "confirmed",
    "cancelled",
    "listed",
    "opted_out",
    "opted_in",
    "courtesy",
    "repeated",
    "overtaken",
    "written_back",
)

#: Meanings that decide about a visit, and so about later answers.
_ABOUT_VISITS = (Meaning.CONFIRM, Meaning.CANCEL, Meaning.MOVE)

#: How often an answer is tried while somebody else is changing its visit.
_TRIES = 3
#: The pause before the next try.
_REST_S = 0.2


def act_on_answers(
    run: Run, appointments: Appointments, report: Report, *, show_texts: bool = False
) -> None:
    """Act on every answer that waits, once, and tell the patients so.

    Whatever patients say, the exit status is 0.

    Args:
        run: what to work with; in a dry run nothing is written and nothing sent.
        appointments: SmartIA's.
        report: gets what became of each answer.
        show_texts: let a dry run show what patients wrote, to a person at a terminal.

    Raises:
        sqlalchemy.exc.DBAPIError: the database is away; what was acted on is on record.
    """
    report.extra |= dict.fromkeys(FIGURES, 0)
    with run.database.read() as connection:
        waiting = unacted(connection)
    acting = _Acting(run, appointments, report, show_texts=show_texts)
    ignored: Counter[str] = Counter(report.ignored or {})
    left: list[str | None] = []
    for answer in waiting:
        if answer.phone is not None and answer.phone in left:  # only after the one before it
            left.append(answer.phone)
            continue
        try:
            done = acting.act(answer.id)
        except _NotNowError as error:
            logger.warning(
                "an answer could not be acted on; the next run tries again",
                extra={"ctx": {"answer_id": answer.id, "why": str(error)}},
            )
            left.append(answer.phone)
            continue
        if done is None:
            continue
        report.extra["answers"] += 1
        if done.effect is Effect.IGNORED:
            ignored[f"answer_{done.why}"] += 1
        else:
            report.extra[str(done.effect)] += 1
    report.ignored = dict(sorted(ignored.items()))
    if left:
        why_left = f"{len(left)} answers could not be acted on now; the log says why"
        report.stop(why_left, ExitStatus.RETRY)
    if not run.dry_run:
        with run.database.write() as connection:
            forget(connection, keep=run.settings.keep_answers, now=run.clock.now())
        acting.words.send(report)


class _NotNowError(Exception):
    """One answer cannot be acted on now; the others are not affected."""


class _ChangedError(Exception):
    """Somebody has changed a visit since it was read, so the decision is out of date."""


@dataclass
class _Acting:
    """One run's acting on answers.

    Attributes:
        run: what to work with.
        appointments: SmartIA's.
        report: gets a dry run's decisions.
        show_texts: whether these show what was written.
    """

    run: Run
    appointments: Appointments
    report: Report
    show_texts: bool
    #: A dry run's: what the answers before this one would have done.
    _statuses: dict[int, AppointmentStatus] = field(default_factory=dict)
    _acted_on: list[ActedOn] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Prepare what all answers share."""
        self._understanding = Understanding(self.run, self.appointments)
        self.words = WritingBack(self.run, self.appointments)

    def act(self, answer_id: int) -> Decision | None:
        """Act on one answer, in a transaction of its own; None: another run has.

        Raises:
            _NotNowError: the database did not take it; nothing was done about it.
            sqlalchemy.exc.DBAPIError: the database is away.
        """
        if self.run.dry_run:
            with self.run.database.read() as connection:
                answer = find(connection, answer_id)
                return None if answer is None else self._foresee(connection, answer)
        for _ in range(_TRIES):
            try:
                with self.run.database.write() as connection:
                    # One process at a time, so that answers are acted on in their order.
                    lock_names(connection, {"smartia answers"})
                    answer = take(connection, answer_id)
                    return None if answer is None else self._act(connection, answer)
            except _ChangedError:
                self.run.clock.wait(self.run.stop.event, _REST_S)
            except DBAPIError as error:
                if is_transient(error) and not is_lock_timeout(error):
                    raise
                raise _NotNowError(why(error)) from error
        raise _NotNowError("a visit is being changed by somebody else")

    def _act(self, connection: Connection, answer: StoredAnswer) -> Decision:
        """Decide about one answer and do it; all of it is committed, or nothing."""
        at = self.run.clock.now()
        understood = self._understanding.of(connection, answer)
        told = self._by_now(understood.told)
        decision = self._decide(connection, answer, understood, told, at)
        if understood.proves is not None:
            settle_answered(
                connection,
                understood.proves.leader_id,
                wamid=answer.context_id,
                said_at=answer.said_at,
                at=at,
            )
        self._do(connection, answer, understood, told, decision, at)
        recorded = record_effect(
            connection,
            answer,
            meaning=None if decision.effect is Effect.IGNORED else understood.meaning,
            effect=decision.effect,
            why=decision.why,
            outbox_id=None if understood.about is None else understood.about.leader_id,
            run_id=self.run.id,
            at=at,
        )
        if not recorded:
            raise _ChangedError
        self.words.promise(connection, answer, understood, decision.word, at=at)
        return decision

    def _decide(
        self,
        connection: Connection,
        answer: StoredAnswer,
        understood: Understood,
        told: Sequence[Told],
        at: datetime,
    ) -> Decision:
        if understood.ignored is not None:
            return Decision(Effect.IGNORED, understood.ignored)
        if understood.phone is None and understood.meaning in (Meaning.STOP, Meaning.START):
            return Decision(Effect.LISTED, "nobody knows of which phone: it is hidden, or erased")
        return decide(
            Said(
                understood.meaning,
                tapped=understood.tapped,
                source=answer.source,
                said_at=answer.said_at,
                why_unclear=understood.why,
            ),
            told,
            self._earlier(connection, told),
            on_cancel=self.run.settings.on_cancel,
            now=at,
        )

    def _do(
        self,
        connection: Connection,
        answer: StoredAnswer,
        understood: Understood,
        told: Sequence[Told],
        decision: Decision,
        at: datetime,
    ) -> None:
        """Write what a decision asks for.

        Raises:
            _ChangedError: a visit is no longer as it was read.
        """
        visits = [
            one.visit
            for one in told
            if one.visit is not None and one.visit.start and one.visit.status
        ]
        is_so = decision.effect in (Effect.CONFIRMED, Effect.REPEATED)
        if is_so and understood.meaning is Meaning.CONFIRM and understood.phone is not None:
            settle_disputes(connection, understood.phone, at=at)
        match decision.effect:
            case Effect.CONFIRMED | Effect.CANCELLED:
                after = AppointmentStatus(decision.effect.upper())
                for visit in visits:
                    if visit.status is not after and not change(
                        connection,
                        self.appointments,
                        visit,
                        after,
                        why=decision.effect,
                        answer_id=answer.id,
                        run_id=self.run.id,
                        at=at,
                    ):
                        raise _ChangedError
            case Effect.LISTED if decision.holds_back or understood.meaning not in SAYS_NO:
                # Their state now is noted: any later change to them settles the answer.
                for visit in visits:
                    note(
                        connection,
                        visit,
                        why=understood.meaning,
                        answer_id=answer.id,
                        run_id=self.run.id,
                        at=at,
                    )
            case Effect.OPTED_OUT if understood.phone is not None:
                add_opt_out(
                    connection,
                    understood.phone,
                    scope=understood.scope,
                    source="answer",
                    at=at,
                )
            case Effect.OPTED_IN if understood.phone is not None:
                remove_opt_out(connection, understood.phone)
            case _:
                pass  # recording the effect is enough

    def _by_now(self, told: Sequence[Told]) -> list[Told]:
        """Return visits as they are, or as a dry run's earlier answers would have made them."""
        foreseen = []
        for one in told:
            status = self._statuses.get(one.appointment_id)
            if status is not None and one.visit is not None:
                one = replace(one, visit=replace(one.visit, status=status))
            foreseen.append(one)
        return foreseen

    def _earlier(self, connection: Connection, told: Sequence[Told]) -> list[Earlier]:
        """Return the answers about these visits, at the time that was told, acted on before."""
        by_id = {one.appointment_id: one for one in told}
        found = [*acted_on(connection, by_id, _ABOUT_VISITS), *self._acted_on]
        found = [
            one
            for one in found
            if one.appointment_id in by_id and one.start == by_id[one.appointment_id].start
        ]
        left = statuses_left(connection, {one.answer_id for one in found})
        return [
            Earlier(
                Meaning(one.meaning),
                one.effect,
                one.said_at,
                stands=stands(
                    one.effect,
                    by_id[one.appointment_id],
                    left.get((one.answer_id, one.appointment_id)),
                )
                and not one.settled,
            )
            for one in sorted(found, key=lambda one: (one.said_at, one.answer_id))
        ]

    def _foresee(self, connection: Connection, answer: StoredAnswer) -> Decision:
        """Decide about one answer as a real run would, and remember it for those that follow."""
        understood = self._understanding.of(connection, answer)
        told = self._by_now(understood.told)
        decision = self._decide(connection, answer, understood, told, self.run.clock.now())
        if decision.effect in (Effect.CONFIRMED, Effect.CANCELLED):
            after = AppointmentStatus(decision.effect.upper())
            self._statuses |= {one.appointment_id: after for one in told}
        if understood.meaning in _ABOUT_VISITS and decision.effect is not Effect.OVERTAKEN:
            self._acted_on += [
                ActedOn(
                    answer_id=answer.id,
                    appointment_id=one.appointment_id,
                    start=one.start,
                    meaning=understood.meaning,
                    effect=decision.effect,
                    said_at=answer.said_at,
                    settled=False,
                )
                for one in told
            ]
        first = told[0] if told else None
        text = f": {answer.text}" if self.show_texts and answer.text else ""
        self.report.decide(
            None if first is None else first.appointment_id,
            None if first is None else first.start,
            f"would_be_{decision.effect}",
            f"{decision.why or understood.meaning}{text}",
            phone=mask_phone(answer.phone),
            answer_id=answer.id,
        )
        return decision
