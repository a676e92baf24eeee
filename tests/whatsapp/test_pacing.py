"""How fast everybody sends, on a clock that is moved by hand."""

import math
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartia_jobs.whatsapp.pacing import Pacer


class HandClock:
    """A clock that moves only when it is told to."""

    def __init__(self, at_s: float = 1000.0) -> None:
        self.at_s = at_s

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=self.at_s)

    def monotonic(self) -> float:
        return self.at_s

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.at_s += max(seconds, 0.0)
        return event.is_set()


def most_in_a_second(starts: list[float]) -> int:
    """The largest number of starts in any second, its end not counted."""
    ordered = sorted(starts)
    return max(sum(first <= s < first + 1 for s in ordered) for first in ordered)


def test_slots_are_evenly_spaced_from_now() -> None:
    pacer = Pacer(10, HandClock(1000))

    slots = [pacer.slot() for _ in range(4)]

    assert slots == pytest.approx([1000, 1000.1, 1000.2, 1000.3], abs=1e-5)


def test_time_that_nobody_used_is_not_caught_up() -> None:
    clock = HandClock()
    pacer = Pacer(10, clock)
    pacer.slot()
    clock.at_s += 5

    slots = [pacer.slot() for _ in range(3)]

    assert slots == pytest.approx([1005, 1005.1, 1005.2], abs=1e-5)


@given(
    st.integers(1, 1000),
    st.floats(0, 1e9),
    st.lists(st.floats(0, 0.5), min_size=50, max_size=200),
)
def test_no_second_holds_more_than_the_rate(rate: int, at_s: float, moves: list[float]) -> None:
    clock = HandClock(at_s)
    pacer = Pacer(rate, clock)
    starts = []
    for move in moves:
        clock.at_s += move
        starts.append(pacer.slot())

    assert most_in_a_second(starts) <= rate


@pytest.mark.parametrize("rate", [3, 7, 20, 80, 1000])
def test_no_second_holds_more_than_the_rate_with_everything_reserved_ahead(rate: int) -> None:
    pacer = Pacer(rate, HandClock(1e6 + 0.1))

    slots = [pacer.slot() for _ in range(rate * 3)]

    gaps = [slots[n + rate] - slots[n] for n in range(len(slots) - rate)]
    assert min(gaps) >= 1
    assert max(gaps) < 1.001


def test_threads_never_share_a_slot() -> None:
    pacer = Pacer(100, HandClock())
    slots: list[float] = []
    threads = [
        threading.Thread(target=lambda: slots.extend(pacer.slot() for _ in range(50)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    ordered = sorted(slots)

    assert min(b - a for a, b in pairwise(ordered)) > 0.0099


def test_room_counts_the_free_slots_within_the_horizon() -> None:
    pacer = Pacer(10, HandClock())

    assert pacer.room(0) == 1
    assert pacer.room(0.35) == 4
    pacer.slot()
    pacer.slot()
    assert pacer.room(0) == 0
    assert pacer.room(0.35) == 2


@given(st.floats(0.05, 500), st.floats(0, 3), st.integers(0, 20))
def test_room_is_what_can_be_reserved(rate: float, horizon_s: float, reserved: int) -> None:
    clock = HandClock()
    pacer = Pacer(rate, clock)
    for _ in range(reserved):
        pacer.slot()

    room = pacer.room(horizon_s)

    slots = [pacer.slot() for _ in range(room + 1)]
    assert all(slot <= clock.at_s + horizon_s + 1e-6 for slot in slots[:room])
    assert slots[room] > clock.at_s + horizon_s - 1e-6


def test_a_throttle_halves_the_rate_and_makes_everyone_wait() -> None:
    clock = HandClock()
    pacer = Pacer(20, clock)
    pacer.slot()

    pause_s = pacer.slow_down(clock.at_s)

    assert pause_s == pacer.pause_left() == 1
    assert pacer.room(100) == 0
    slots = [pacer.slot() for _ in range(3)]
    assert slots == pytest.approx([1001, 1001.1, 1001.2], abs=1e-5)
    clock.at_s += 1
    assert pacer.pause_left() == 0


def test_pauses_double_up_to_a_minute_and_the_rate_halves_down_to_its_floor() -> None:
    clock = HandClock()
    pacer = Pacer(64, clock)
    pauses, rates = [], []
    for _ in range(9):
        clock.at_s += pacer.pause_left()
        pauses.append(pacer.slow_down(pacer.slot()))
        rates.append(pacer.rate)
        clock.at_s += 0.1

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert rates == [32, 16, 8, 4, 2, 1, 1, 1, 1]


@pytest.mark.parametrize(("nominal", "floor"), [(1000, 15.625), (20, 0.3125), (1, 0.2), (0.1, 0.1)])
def test_the_rate_never_falls_to_nothing(nominal: float, floor: float) -> None:
    clock = HandClock()
    pacer = Pacer(nominal, clock)
    for _ in range(20):
        clock.at_s += 100
        pacer.slow_down(clock.at_s)

    assert pacer.rate == floor


def test_a_burst_of_throttles_counts_once() -> None:
    clock = HandClock()
    pacer = Pacer(20, clock)
    started = [pacer.slot() for _ in range(10)]
    clock.at_s += 1

    pauses = [pacer.slow_down(started_at) for started_at in started]

    assert pauses == [1] + [0] * 9
    assert (pacer.rate, pacer.epoch) == (10, 1)


def test_a_slot_reserved_before_a_slow_down_is_of_an_older_epoch() -> None:
    clock = HandClock()
    pacer = Pacer(20, clock)
    epoch = pacer.epoch
    pacer.slot()

    pacer.slow_down(clock.at_s)

    assert pacer.epoch != epoch


@pytest.mark.parametrize(
    ("asked_s", "pause_s"),
    [(None, 1), (0.5, 1), (30, 30), (60, 60), (3600, 60), (math.inf, 60), (-5, 1), (math.nan, 1)],
)
def test_the_pause_is_as_long_as_meta_asks_within_a_second_and_a_minute(
    asked_s: float | None, pause_s: float
) -> None:
    clock = HandClock()

    assert Pacer(20, clock).slow_down(clock.at_s, asked_s) == pause_s


def test_after_a_success_the_next_pause_is_short_again() -> None:
    clock = HandClock()
    pacer = Pacer(20, clock)
    for _ in range(3):
        clock.at_s += pacer.pause_left() + 1
        pacer.slow_down(clock.at_s)
    clock.at_s += pacer.pause_left()

    pacer.success()

    clock.at_s += 1
    assert pacer.slow_down(clock.at_s) == 1


def test_a_success_during_the_pause_proves_nothing() -> None:
    clock = HandClock()
    pacer = Pacer(20, clock)
    pacer.slow_down(clock.at_s)
    clock.at_s += 0.5

    pacer.success()

    assert (pacer.rate, pacer.pause_left()) == (10, 0.5)
    clock.at_s += 1
    assert pacer.slow_down(clock.at_s) == 2


def test_the_rate_recovers_over_half_a_minute_of_successes() -> None:
    clock = HandClock()
    pacer = Pacer(20, clock)
    pacer.slow_down(clock.at_s)
    clock.at_s += 1
    rates = []
    for _ in range(31):
        clock.at_s += 1
        pacer.success()
        rates.append(pacer.rate)

    assert rates[0] == pytest.approx(10 + 20 / 60)
    assert rates[14] == pytest.approx(15)
    assert rates[28] < 20
    assert rates[30] == 20


def test_a_silence_is_not_a_success() -> None:
    clock = HandClock()
    pacer = Pacer(20, clock)
    pacer.slow_down(clock.at_s)
    clock.at_s += 1000

    pacer.success()

    assert pacer.rate == pytest.approx(10 + 20 / 60)


def test_recovery_never_lets_more_than_the_rate_into_a_second() -> None:
    clock = HandClock()
    pacer = Pacer(20, clock)
    starts: list[float] = []
    for n in range(600):
        starts.append(pacer.slot())
        clock.at_s = starts[-1]
        if n % 150 == 149:
            pacer.slow_down(clock.at_s)
        else:
            pacer.success()

    assert most_in_a_second(starts) <= 20


@pytest.mark.parametrize("rate", [0, -1, math.nan])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Pacer(rate, HandClock())
