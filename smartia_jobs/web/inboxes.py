"""The inboxes of however many clinics, of which only some are open at one time."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from smartia_jobs.logs import log_event
from smartia_jobs.web.clinics import ServedClinic
from smartia_jobs.web.inbox import Inbox

logger = logging.getLogger(__name__)

#: How many are open at one time, besides those whose database hangs. Each holds a connection: a
#: fleet of 16 and the jobs that are started here find room beside them in the hundred that
#: PostgreSQL allows by default.
_MOST_OPEN = 64
#: How soon somebody looks again for one that can be closed, while as many clinics as that have
#: posts that are being stored.
_LOOK_S = 0.05
#: How long a post waits for its turn and the database; then Meta's queue keeps it.
_PATIENCE_S = 10.0


class Inboxes:
    """Opens a clinic's inbox with its first post, and closes the one that was idle longest.

    A clinic whose database hangs holds up its own posts; those of others wait a second for its
    connection at most. Only within the event loop's thread.
    """

    def __init__(
        self, make: Callable[[ServedClinic], Inbox], *, most_open: int = _MOST_OPEN
    ) -> None:
        """Begin without one.

        Args:
            make: returns a clinic's inbox, not connected yet.
            most_open: how many there may be; those that hang are not counted.
        """
        self._make = make
        self._most_open = most_open
        #: By the clinic's name; the one that was used last is last.
        self._open: dict[str, Inbox] = {}

    async def take(self, clinic: ServedClinic, payload: Mapping[str, Any]) -> int:
        """Store what a post holds about a clinic, and pass on what is not for us.

        Returns:
            the HTTP status: 200 once it is committed; 503: Meta is to come again with it.
        """
        try:
            async with asyncio.timeout(_PATIENCE_S):
                inbox = await self._of(clinic)
                status, underway = await inbox.store(payload)
        except TimeoutError:
            # If it was begun it may be stored yet, and is not again when Meta repeats it.
            what = "a post was not stored in time"
            log_event(logger, logging.WARNING, what, event="webhook", status=503, **clinic.labels)
            return 503
        if underway is not None and not await inbox.has_left(underway):
            status = 503
        return status

    async def _of(self, clinic: ServedClinic) -> Inbox:
        """Return a clinic's inbox, to be used at once; wait while all others are at work."""
        while True:
            inbox = self._open.pop(clinic.name, None)
            while self._free() < 1 and self._close_one():
                pass  # there may be several too many, since some hung
            if inbox is None and self._free() > 0:
                inbox = self._make(clinic)
            if inbox is not None:
                self._open[clinic.name] = inbox
                return inbox
            await asyncio.sleep(_LOOK_S)

    def _free(self) -> int:
        """Return how many more may be opened; 0 or less: none."""
        free = self._most_open - len(self._open)
        return free if free > 0 else free + sum(inbox.hangs for inbox in self._open.values())

    def _close_one(self) -> bool:
        idle = next((name for name, inbox in self._open.items() if inbox.is_idle), None)
        if idle is None:
            return False
        self._open.pop(idle).close()
        return True
