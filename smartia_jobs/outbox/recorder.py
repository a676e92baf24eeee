"""Recording outcomes in a database that may be busy, away, or refuse one of them."""

import logging
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from smartia_jobs.database import wait_for_no_lock
from smartia_jobs.database.errors import is_lock_timeout, is_transient, why
from smartia_jobs.outbox.records import Finished, record, record_alone, sent_message
from smartia_jobs.outbox.source import Source
from smartia_jobs.outbox.workers import Gate
from smartia_jobs.run import Run
from smartia_jobs.store.states import State

logger = logging.getLogger(__name__)

#: Nothing more is posted once an outcome has waited this long for the database.
GATE_AFTER_S = 5.0
#: The run ends once the database has failed for this long, and logs what it could not record.
GIVE_UP_AFTER_S = 60.0


class Recorder:
    """The outcomes that wait for the database, and how long they have waited.

    Attributes:
        waiting: to be written in the next turn.
        refused: outcomes that the database will not take at all.
        in_doubt: the last commit's fate is not known: each outcome is checked before it is
            written.
        was_in_doubt: whether any commit of this run was ever in doubt.
        interactions_missing: messages on record that SmartIA's ``interactions`` will not have.
    """

    def __init__(self, run: Run, source: Source, gate: Gate) -> None:
        """Begin with nothing to write."""
        self._run = run
        self._source = source
        self._gate = gate
        self._clock = run.clock
        self.waiting: list[Finished] = []
        self.refused: list[Finished] = []
        self.interactions_missing = 0
        self._without_interaction: list[Finished] = []
        #: Interactions that another program's lock keeps out; they are tried once more at the end.
        self._kept_out: list[Finished] = []
        self._failing_since_s: float | None = None
        self._failing_s = 0.0
        self.in_doubt = False
        self.was_in_doubt = False
        #: Since a wait for a lock timed out: no outcome waits for a lock again.
        self._locked_out = False

    def take(self, finished: Sequence[Finished]) -> None:
        """Add outcomes to write in the next turn; the gate closes when one has waited long."""
        self.waiting.extend(finished)
        self._close_gate_if_late()

    def write(self, connection: Connection) -> None:
        """Write what waits in the caller's transaction, interactions unless a lock timed out."""
        record(connection, self.waiting, run_id=self._run.id)
        if not self._locked_out:
            self._source.write_interactions(connection, [sent_message(one) for one in self._sent()])

    def written(self) -> list[Finished]:
        """Note that the turn was committed; return what it wrote."""
        if self._locked_out:
            self._without_interaction += self._sent()
        done, self.waiting = self.waiting, []
        self._database_answered()
        self.in_doubt = self._gate.closed = False
        return done

    def on_failure(self, error: DBAPIError) -> None:
        """Note that the turn's transaction was lost; the gate closes after a while."""
        self._locked_out = self._locked_out or is_lock_timeout(error)
        now_s = self._clock.monotonic()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        self._failing_s = now_s - self._failing_since_s
        self.in_doubt = self.was_in_doubt = True
        self._close_gate_if_late()

    @property
    def has_given_up(self) -> bool:
        """Whether the database has failed for so long that the run must end.

        Measured from one failure to another: while it is not asked, it may be available.
        """
        return self._failing_s > GIVE_UP_AFTER_S

    def write_one_by_one(self) -> Iterator[Finished]:
        """Commit each outcome alone, else without its interaction; yield what was written.

        Used when a group could not be committed, so that one row the database refuses does not
        cost the others their record. What it refuses altogether goes to ``refused``.

        Raises:
            sqlalchemy.exc.DBAPIError: the database is away; the rest still waits.
        """
        while self.waiting:
            one = self.waiting[0]
            try:
                self._write_alone(one)
            except DBAPIError as error:
                if is_transient(error):
                    raise
                self.refused.append(self.waiting.pop(0))
                continue
            del self.waiting[0]
            self._database_answered()
            yield one
        self.in_doubt = self._gate.closed = False
        self.write_interactions()

    def _write_alone(self, one: Finished) -> None:
        if not self._locked_out:
            try:
                self._write(one, interaction=True)
                return
            except DBAPIError as error:
                self._locked_out = is_lock_timeout(error)
                if is_transient(error) and not self._locked_out:
                    raise
        if self._write(one, interaction=False) and one.state is State.SENT:
            self._without_interaction.append(one)

    def _write(self, one: Finished, *, interaction: bool) -> bool:
        with self._run.database.write() as connection:
            is_new = record_alone(connection, one, run_id=self._run.id)
            if is_new and interaction and one.state is State.SENT:
                self._source.write_interactions(connection, [sent_message(one)])
        return is_new

    def _sent(self) -> list[Finished]:
        return [one for one in self.waiting if one.state is State.SENT]

    def write_interactions(self, *, last_try: bool = False) -> None:
        """Try to write each interaction that is still missing, alone, and wait for no lock.

        Args:
            last_try: nothing more is sent: one lock may be waited for, and what it keeps out is
                given up.
        """
        missing, self._without_interaction = self._without_interaction, []
        if last_try:
            missing, self._kept_out = [*self._kept_out, *missing], []
        may_wait = last_try
        for place, one in enumerate(missing):
            try:
                with self._run.database.write() as connection:
                    if not may_wait:
                        wait_for_no_lock(connection)
                    self._source.write_interactions(connection, [sent_message(one)])
            except DBAPIError as error:
                is_away = is_transient(error) and not is_lock_timeout(error)
                kept_out = missing[place:] if is_away else [one]
                if last_try or not is_transient(error):
                    self._give_up(kept_out, error)
                else:
                    self._kept_out += kept_out
                if is_away:
                    return
                may_wait = False

    def _give_up(self, missing: Sequence[Finished], error: DBAPIError) -> None:
        self.interactions_missing += len(missing)
        for one in missing:
            logger.warning(
                "an interaction could not be written; its message is recorded without it",
                extra={"ctx": {"outbox_id": one.claim.outbox_ids[0], "why": why(error)}},
            )

    def log(self, one: Finished) -> None:
        """Log what became of one message."""
        duration_s = one.finished_s - one.started_s if one.started_s is not None else 0.0
        logger.info(
            "message",
            extra={
                "ctx": {
                    "action": "message",
                    "outbox_id": one.claim.outbox_ids[0],
                    "kind": self._source.kind,
                    "status": str(one.state),
                    "code": one.answer.code if one.answer else None,
                    "attempts": one.claim.attempts + int(one.started_s is not None),
                    "duration_ms": round(duration_s * 1000),
                }
            },
        )

    def log_unrecorded(self, uncollected: Sequence[Finished] = ()) -> None:
        """Log each outcome that could not be written, for ``smartia-jobs outbox settle``.

        Args:
            uncollected: what has finished and was not collected.
        """
        for one in (*self.waiting, *self.refused, *uncollected):
            for outbox_id in one.claim.outbox_ids:
                logger.error(
                    "not recorded: settle it by hand",
                    extra={
                        "ctx": {
                            "action": "unrecorded",
                            "outbox_id": outbox_id,
                            "kind": self._source.kind,
                            "status": str(one.state),
                        }
                    },
                )

    def _close_gate_if_late(self) -> None:
        oldest_s = min((one.finished_s for one in self.waiting), default=None)
        if oldest_s is not None and self._clock.monotonic() - oldest_s > GATE_AFTER_S:
            self._gate.closed = True

    def _database_answered(self) -> None:
        self._failing_since_s, self._failing_s = None, 0.0
