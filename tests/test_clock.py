"""Clocks: aware, steady, and waiting no longer than somebody lets them."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from smartia_jobs.clock import Clock, ShiftedClock, SystemClock
from tests.clinic.wall_clock import wall

MONDAY = datetime.fromisoformat("2026-11-23T09:00:00-03:00")

clocks = pytest.mark.parametrize(
    "clock",
    [SystemClock(), ShiftedClock(MONDAY), ShiftedClock(MONDAY, speed=0)],
    ids=["system", "shifted", "still"],
)


@clocks
def test_a_clock_shows_utc_and_never_goes_back(clock: Clock) -> None:
    instants = [clock.now() for _ in range(100)]
    seconds = [clock.monotonic() for _ in range(100)]

    assert {instant.tzinfo for instant in instants} == {UTC}
    assert seconds == sorted(seconds)


@clocks
def test_a_wait_ends_at_once_when_the_event_is_set(clock: Clock) -> None:
    event = threading.Event()
    event.set()

    assert clock.wait(event, 3600) is True


@clocks
@pytest.mark.parametrize("seconds", [0, -1])
def test_a_wait_of_no_time_only_looks(clock: Clock, seconds: float) -> None:
    assert clock.wait(threading.Event(), seconds) is False


@pytest.mark.parametrize("clock", [SystemClock(), ShiftedClock(MONDAY)], ids=["system", "shifted"])
def test_a_wait_is_ended_by_somebody_else(clock: Clock, no_threads_left: None) -> None:
    event = threading.Event()
    threading.Timer(0.01, event.set).start()

    assert clock.wait(event, 60) is True


def test_the_system_clock_is_the_machines() -> None:
    before = datetime.now(UTC)

    shown = SystemClock().now()

    assert before <= shown <= datetime.now(UTC)


def test_a_shifted_clock_starts_where_it_is_told_and_then_runs() -> None:
    clock = ShiftedClock(MONDAY)
    first = clock.now()

    clock.wait(threading.Event(), 0.01)

    assert first >= MONDAY
    assert clock.now() >= first + timedelta(seconds=0.01)


def test_a_fast_clock_lets_a_minute_pass_in_less() -> None:
    clock = ShiftedClock(MONDAY, speed=6_000)
    began = time.monotonic()

    clock.wait(threading.Event(), 60)

    assert clock.now() >= MONDAY + timedelta(minutes=1)
    assert clock.monotonic() >= 60
    assert time.monotonic() - began < 60


def test_a_clock_that_stands_still_waits_for_nobody() -> None:
    clock = ShiftedClock(MONDAY, speed=0)
    began = time.monotonic()

    woken = clock.wait(threading.Event(), 60)

    assert not woken
    assert clock.now() == MONDAY
    assert clock.monotonic() == 0
    assert time.monotonic() - began < 60


def test_a_clock_does_not_guess_the_zone_it_starts_in() -> None:
    with pytest.raises(ValueError, match="aware"):
        ShiftedClock(wall("2026-11-23 09:00"))
