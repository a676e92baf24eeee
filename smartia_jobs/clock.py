"""Time as a parameter: the one seam through which the program reads a clock or waits."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """A wall clock, a steady clock, and a wait that another thread can end."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back (for waits and ages)."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Sleep for ``seconds`` unless ``event`` is set first; return whether it is set."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds of the machine's monotonic clock."""
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Sleep for ``seconds`` unless ``event`` is set first; return whether it is set."""
        return event.wait(max(seconds, 0.0))


class ShiftedClock:
    """A clock that starts at a chosen instant and then runs, optionally faster than real time.

    Args:
        start_at: the instant it shows when it is made (aware).
        speed: how many of its seconds pass in one second of the machine's; 0 stands still
            (its waits then take no time at all).
    """

    def __init__(self, start_at: datetime, *, speed: float = 1.0) -> None:
        """Start the clock."""
        if start_at.tzinfo is None:
            raise ValueError("a clock starts at an aware instant")
        self._start_at = start_at.astimezone(UTC)
        self._speed = speed
        self._zero = time.monotonic()

    def now(self) -> datetime:
        """Return the instant this clock shows, aware, in UTC."""
        return self._start_at + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Return this clock's seconds since it was made."""
        return (time.monotonic() - self._zero) * self._speed

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Sleep for ``seconds`` of this clock unless ``event`` is set first."""
        if self._speed == 0:
            return event.is_set()
        return event.wait(max(seconds, 0.0) / self._speed)
