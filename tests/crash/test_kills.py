"""``kill -9`` at random moments: nobody is told twice, nobody is forgotten, little is unknown."""

import logging
import os
import random
import secrets
import time

import pytest

from tests.crash.site import WORKERS, Site, kill

#: So that a failure can be seen again: CRASH_SEED=… pytest tests/crash
SEED = int(os.environ.get("CRASH_SEED") or secrets.randbelow(10**9))


def one_death(site: Site, chance: random.Random) -> None:
    """Start a run and kill it at a random moment of its life; its lease ends."""
    before = len(site.sandbox.received)
    unknown = site.states()["unknown"]
    process = site.start()
    if chance.random() < 0.7:  # while it sends
        site.wait_for_messages(before + 1 + chance.randrange(8), process)
        time.sleep(chance.uniform(0, 0.3))
    else:  # at any moment, also while it starts, migrates, recovers
        time.sleep(chance.uniform(0, 1.2))
    kill(process)
    in_flight = site.states()["claimed"]
    assert in_flight <= WORKERS
    assert site.states()["unknown"] - unknown <= WORKERS  # those of the death before this one
    site.lapse()


def deaths_and_reruns(site: Site, *, rounds: int, seed: int) -> int:
    """Let runs die and the next ones go on, round after round; return how many died."""
    logging.getLogger(__name__).warning("the seed is %d", seed)
    chance = random.Random(seed)  # noqa: S311 - no secret
    site.sandbox.latency_s = 0.05
    died = 0
    for _ in range(rounds):
        site.book(25)
        site.book_a_day_twice()
        site.book_who_cannot_be_reached()
        for _ in range(chance.choice((1, 1, 2))):
            one_death(site, chance)
            died += 1

        rest = site.run()

        assert rest.exit_code == 0, rest.stderr
        site.check()
        assert site.states()["unknown"] <= WORKERS * died
        unknown_visits = site.clinic.value(
            "SELECT count(*) FROM smartia_outbox WHERE state = 'unknown'"
        )
        assert rest.json["held_unknown"] == unknown_visits
    return died


def test_a_killed_run_is_finished_by_the_next_and_tells_nobody_twice(site: Site) -> None:
    assert deaths_and_reruns(site, rounds=3, seed=SEED) >= 3


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEED, SEED + 3))
def test_dozens_of_killed_runs_tell_nobody_twice(site: Site, seed: int) -> None:
    assert deaths_and_reruns(site, rounds=12, seed=seed) >= 12
