"""How fast everybody sends: one steady rate, slower after a throttle, recovering with success."""

import threading

from smartia_jobs.clock import Clock

#: A pause never lasts longer than this.
LONGEST_PAUSE_S = 60.0

#: The rate never falls below this share of the nominal one, nor (if nominal is above it)
#: below this many a second: enough to notice that the throttle is over.
_FLOOR_SHARE = 1 / 64
_FLOOR_RATE = 0.2

#: Seconds of success that bring the rate from nothing to nominal.
_RECOVERY_S = 60.0

#: Slots are this much further apart than they need be, so that no rounding of a clock's
#: seconds ever lets one more into a second.
_MARGIN = 1 + 1e-6


class Pacer:
    """Hands out the moments at which requests may start, to any number of threads.

    Slots are strictly spaced: time that nobody used is lost, never caught up in a burst, so
    any second holds at most ``rate`` of them (rounded up).

    Args:
        rate: nominal starts a second, above 0.
        clock: its monotonic seconds are the unit of every moment here.
    """

    def __init__(self, rate: float, clock: Clock) -> None:
        """Begin at the nominal rate, with nothing reserved."""
        if not rate > 0:
            raise ValueError("a rate is above 0")
        self._clock = clock
        self._lock = threading.Lock()
        self._nominal = rate
        self._floor = min(rate, max(rate * _FLOOR_SHARE, _FLOOR_RATE))
        self._rate = rate
        self._last_slot = float("-inf")
        self._paused_until = float("-inf")
        self._slowed_at = float("-inf")
        self._recovered_at = float("-inf")
        self._throttles = 0  # in a row, without a success between them
        self._epoch = 0

    @property
    def rate(self) -> float:
        """How many may start in a second now."""
        return self._rate

    @property
    def epoch(self) -> int:
        """How often everyone was slowed down: a slot reserved in an older epoch is void."""
        return self._epoch

    def slot(self) -> float:
        """Reserve the next start and return its moment; wait for it, then look at ``epoch``."""
        with self._lock:
            self._last_slot = self._next(self._clock.monotonic())
            return self._last_slot

    def room(self, horizon_s: float) -> int:
        """Count the free slots that start within ``horizon_s`` seconds from now.

        Returns:
            0 while everyone waits; at least 1 when nothing is reserved ahead.
        """
        with self._lock:
            now = self._clock.monotonic()
            if now < self._paused_until:
                return 0
            left_s = now + horizon_s - self._next(now)
            return int(left_s / self._interval_s) + 1 if left_s >= 0 else 0

    def slow_down(self, started_at: float, wait_s: float | None = None) -> float:
        """Halve the rate and make everyone wait, once for each burst of throttles.

        An answer to a request that started before the last slow-down tells nothing new.
        The pause doubles from 1 s with each throttle that no success parts from the last.

        Args:
            started_at: when the throttled request started.
            wait_s: how long Meta asks to wait; the pause is not shorter, up to 60 s.

        Returns:
            The pause in seconds; 0 when this answer did not count.
        """
        with self._lock:
            if started_at <= self._slowed_at:
                return 0.0
            now = self._clock.monotonic()
            pause_s = min(max(2.0**self._throttles, wait_s or 0.0), LONGEST_PAUSE_S)
            self._throttles = min(self._throttles + 1, 6)
            self._rate = max(self._rate / 2, self._floor)
            self._slowed_at = now
            self._paused_until = now + pause_s
            self._recovered_at = self._paused_until
            self._epoch += 1
            return pause_s

    def success(self) -> None:
        """Let the rate recover a little: from nothing to nominal in a minute of successes.

        An answer that arrives during a pause is one to a request from before it, and is no
        sign that the throttle is over.
        """
        with self._lock:
            if self._rate == self._nominal and not self._throttles:
                return
            now = self._clock.monotonic()
            if now < self._paused_until:
                return
            # Silence is no success, however long it lasted: a step counts at most one second.
            step_s = min(now - self._recovered_at, 1.0)
            self._rate = min(self._rate + self._nominal * step_s / _RECOVERY_S, self._nominal)
            self._recovered_at = now
            self._throttles = 0

    def pause_left(self) -> float:
        """Return for how many seconds everyone still waits, 0 when nobody does."""
        with self._lock:
            return max(self._paused_until - self._clock.monotonic(), 0.0)

    @property
    def _interval_s(self) -> float:
        return _MARGIN / self._rate

    def _next(self, now: float) -> float:
        return max(now, self._paused_until, self._last_slot + self._interval_s)
