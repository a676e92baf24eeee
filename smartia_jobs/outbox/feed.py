"""The due appointments, read a page at a time, less those the outbox already has."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from smartia_jobs.appointment import Appointment
from smartia_jobs.message import Conversations
from smartia_jobs.outbox.claims import Claimant, Pending, objection
from smartia_jobs.outbox.errand import Errand
from smartia_jobs.outbox.rows import rows_of
from smartia_jobs.report import Outcome, Reason, Result
from smartia_jobs.run import Run


class Feed:
    """Person-days that may be claimed, nearest first; a page of them in memory, or little more."""

    def __init__(self, run: Run, errand: Errand) -> None:
        """Begin before the first page."""
        self._run = run
        self._errand = errand
        self._page: Sequence[tuple[Appointment, ...]] | None = None
        self._ready: deque[Pending] = deque()
        self._settled: deque[Outcome] = deque()
        self._ended = False
        self._last_at_start: int | None = None

    @property
    def exhausted(self) -> bool:
        """Whether every page was read and handed out."""
        return self._ended and not self._ready

    def is_low(self, least: int) -> bool:
        """Return whether there is more to read and fewer than ``least`` person-days are at hand."""
        return len(self._ready) < least and not self._ended

    def next(self) -> Pending | None:
        """Return the next person-day; None at the end.

        A page that is needed now is not written ahead: its first messages would wait for all.
        """
        while not self._ready and not self._ended:
            self._read_page()
        return self._ready.popleft() if self._ready else None

    def read_on(self) -> None:
        """Read the next page, if there is one, and write its messages ahead.

        Raises:
            sqlalchemy.exc.DBAPIError: nothing was read; it can be tried again.
        """
        before = len(self._ready)
        self._read_page()
        for pending in islice(self._ready, before, None):
            self._errand.courier.prepare(pending.visits)

    def settled(self) -> Iterator[Outcome]:
        """Yield the outcomes of appointments that need nothing."""
        while self._settled:
            yield self._settled.popleft()

    def rest(self, *, quick: bool) -> Iterator[Outcome]:
        """Account for everything not handed out: left, or rightly skipped.

        Args:
            quick: only what is in memory; the process must leave, or the database is away.
        """
        while True:
            yield from self.settled()
            while self._ready:
                pending = self._ready.popleft()
                yield from (Outcome(visit.id, Result.LEFT) for visit in pending.visits)
            if self._ended or quick:
                return
            self._read_page()

    def _read_page(self) -> None:
        """Read, look up and sort one page; a failure leaves everything as it was."""
        run, calendar = self._run, self._errand.calendar
        with run.database.read() as connection:
            if self._page is None:
                self._page = calendar.next_page(connection)
            if self._page is None:
                self._ended = True
                return
            visits = [visit for day in self._page for visit in day]
            rows = rows_of(connection, self._errand.kind, {visit.id for visit in visits})
            vetoes = calendar.vetoes(connection, visits)
            claimant = Claimant.of(run)
            reasons = {v.id: objection(self._errand, v, v, rows, vetoes, claimant) for v in visits}
            ready = {visit.patient_id for visit in visits if reasons[visit.id] is None}
            conversations = self._with_the_start(calendar.conversations(connection, ready))
        for day in self._page:
            self._sort(day, reasons, conversations)
        self._page = None

    def _with_the_start(self, conversations: Conversations) -> Conversations:
        if self._last_at_start is None and conversations.newest:
            self._last_at_start = conversations.last
        return replace(conversations, last_at_start=self._last_at_start or 0)

    def _sort(
        self,
        day: Sequence[Appointment],
        reasons: Mapping[int, Reason | None],
        conversations: Conversations,
    ) -> None:
        ready: list[Appointment] = []
        for visit in day:
            reason = reasons[visit.id]
            if reason is None:
                ready.append(visit)
            else:
                self._settled.append(Outcome(visit.id, Result.SKIPPED, reason))
        if ready:
            self._ready.append(Pending(tuple(ready), conversations))
