"""Getting outcomes into the database although it may be busy, gone, or refuse one of them."""

import logging
from collections.abc import Iterator, Sequence

from sqlalchemy.exc import DBAPIError

from smartia_jobs.clock import Clock
from smartia_jobs.database import is_transient
from smartia_jobs.outbox.errand import Errand
from smartia_jobs.outbox.records import Finished, record_alone
from smartia_jobs.outbox.workers import Gate
from smartia_jobs.run import Run

logger = logging.getLogger(__name__)

#: After an outcome has waited so long for the database, nothing more is posted.
GATE_AFTER_S = 5.0
#: After so long the run ends and says what it could not write down.
GIVE_UP_AFTER_S = 60.0


class Ledger:
    """The outcomes that wait for the database, and how long they have waited."""

    def __init__(self, run: Run, errand: Errand, gate: Gate) -> None:
        """Begin with nothing to write."""
        self._run = run
        self._errand = errand
        self._gate = gate
        self._clock: Clock = run.clock
        self.waiting: list[Finished] = []
        #: Outcomes that the database will not take at all.
        self.refused: list[Finished] = []
        self._failing_since_s: float | None = None
        self._failing_s = 0.0
        # The last commit's fate is not known: each outcome is checked before it is written.
        self.doubtful = False
        #: Whether any commit of this run was ever in doubt.
        self.was_doubtful = False

    def take(self, finished: Sequence[Finished]) -> None:
        """Add outcomes to write in the next turn."""
        self.waiting.extend(finished)

    def written(self) -> list[Finished]:
        """Note that the turn was committed; return what it wrote."""
        done, self.waiting = self.waiting, []
        self._reached()
        self.doubtful = self._gate.closed = False
        return done

    def failed(self) -> None:
        """Note that the turn's transaction was lost; the gate closes after a while."""
        now_s = self._clock.monotonic()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        self._failing_s = now_s - self._failing_since_s
        self.doubtful = self.was_doubtful = True
        self.close_gate_if_late()

    def close_gate_if_late(self) -> None:
        """Close the gate when the oldest outcome has waited too long."""
        oldest_s = min((one.finished_s for one in self.waiting), default=None)
        if oldest_s is not None and self._clock.monotonic() - oldest_s > GATE_AFTER_S:
            self._gate.closed = True

    @property
    def hopeless(self) -> bool:
        """Whether the database has failed for so long that the run must end.

        Measured from one failure to another: while nothing is asked of it, it may be well.
        """
        return self._failing_s > GIVE_UP_AFTER_S

    def _reached(self) -> None:
        self._failing_since_s, self._failing_s = None, 0.0

    def write_one_by_one(self) -> Iterator[Finished]:
        """Commit each outcome alone, else without its interaction; yield what was written.

        Used when a group could not be committed, so that one row the database refuses does
        not cost the others their record. What it refuses altogether goes to ``refused``.

        Raises:
            sqlalchemy.exc.DBAPIError: the database is away; the rest still waits.
        """
        while self.waiting:
            one = self.waiting[0]
            try:
                self._write(one, interaction=True)
                written = True
            except DBAPIError as error:
                if is_transient(error):
                    raise
                written = self._write_bare(one)
            del self.waiting[0]
            self._reached()
            if written:
                yield one
            else:
                self.refused.append(one)
        self.doubtful = self._gate.closed = False

    def _write_bare(self, one: Finished) -> bool:
        try:
            self._write(one, interaction=False)
        except DBAPIError as error:
            if is_transient(error):
                raise
            return False
        logger.warning(
            "an interaction could not be written; its message is recorded without it",
            extra={"ctx": {"outbox_id": one.claim.outbox_ids[0]}},
        )
        return True

    def _write(self, one: Finished, *, interaction: bool) -> None:
        with self._run.database.write() as connection:
            record_alone(
                connection, self._errand, one, run_id=self._run.id, interaction=interaction
            )

    def log_unrecorded(self) -> None:
        """Name each outcome that could not be written, for ``smartia-jobs outbox settle``."""
        for one in (*self.waiting, *self.refused):
            for outbox_id in one.claim.outbox_ids:
                logger.error(
                    "not recorded: settle it by hand",
                    extra={
                        "ctx": {
                            "action": "unrecorded",
                            "outbox_id": outbox_id,
                            "kind": self._errand.kind,
                            "status": str(one.state),
                        }
                    },
                )
