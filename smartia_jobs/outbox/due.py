"""The due appointments, read a page at a time, less those the outbox already has."""

from collections import deque
from collections.abc import Iterator, Sequence

from smartia_jobs.appointment import Appointment, PersonDay
from smartia_jobs.outbox.claims import Claimant, Pending, judge
from smartia_jobs.outbox.sender import Sender
from smartia_jobs.outbox.source import Source
from smartia_jobs.outbox.tellings import look_up
from smartia_jobs.report import Outcome, Reason, Result
from smartia_jobs.run import Run


class Due:
    """Person-days that may be claimed, nearest first; a page of them in memory."""

    def __init__(self, run: Run, source: Source, sender: Sender, page: Sequence[PersonDay]) -> None:
        """Begin with a page that was read, and go on with those after it."""
        self._run = run
        self._source = source
        self._sender = sender
        self._page: Sequence[PersonDay] | None = page
        self._ready: deque[Pending] = deque()
        self._skipped: deque[Outcome] = deque()
        self._ended = False

    @property
    def exhausted(self) -> bool:
        """Whether every page was read and handed out."""
        return self._ended and not self._ready

    def next(self) -> Pending | None:
        """Return the next person-day; None at the end.

        Raises:
            sqlalchemy.exc.DBAPIError: the next page could not be read; it can be tried again.
        """
        while not self._ready and not self._ended:
            self._read_page()
        return self._ready.popleft() if self._ready else None

    def skipped(self) -> Iterator[Outcome]:
        """Yield the outcomes of appointments that need no message."""
        while self._skipped:
            yield self._skipped.popleft()

    def rest(self, *, quick: bool) -> Iterator[Outcome]:
        """Account for everything not handed out: left, or rightly skipped.

        Args:
            quick: only what is in memory; the process must leave, or the database is away.
        """
        while True:
            yield from self.skipped()
            while self._ready:
                pending = self._ready.popleft()
                yield from (Outcome(visit.id, Result.LEFT) for visit in pending.visits)
            if self._ended or quick:
                return
            self._read_page()

    def _read_page(self) -> None:
        """Read, look up and sort one page; a failure leaves everything as it was."""
        run, source = self._run, self._source
        with run.database.read() as connection:
            if self._page is None:
                self._page = source.next_page(connection)
            if self._page is None:
                self._ended = True
                return
            visits = [visit for day in self._page for visit in day]
            known = look_up(connection, source, self._sender, visits)
        claimant = Claimant.of(run)
        for day in self._page:
            ready: list[Appointment] = []
            for visit in day:
                decision = judge(source, self._sender, visit, visit, known, claimant)
                # To expire rows, or to let one follow another, is the claim's.
                reason = decision.reason
                if reason is None or decision.useless or reason is Reason.ALREADY_TOLD:
                    ready.append(visit)
                else:
                    self._skipped.append(Outcome(visit.id, Result.SKIPPED, reason))
            if ready:
                self._ready.append(Pending(tuple(ready)))
        self._page = None
