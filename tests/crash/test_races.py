"""Many processes at once, on an empty schema: each due visit is one process's, and only one's."""

import pytest

from tests.crash.site import WORKERS, Site, kill

PROCESSES = 8


def race(site: Site, *, due: int) -> None:
    """Let eight processes share the work, and look at what they did."""
    site.book(due)

    results = site.run_together(PROCESSES, {})

    assert [result.exit_code for result in results] == [0] * PROCESSES, [r.stderr for r in results]
    assert sum(result.json["sent"] for result in results) == due
    assert sorted(set(site.accepted().values())) == [1]
    assert site.accepted().total() == due
    assert site.states() == {"sent": due}
    for result in results:
        assert "lock" not in result.stderr
        assert result.json["due"] == due


def test_eight_processes_send_five_hundred_messages_once(site: Site) -> None:
    race(site, due=500)


@pytest.mark.long
@pytest.mark.parametrize("round_", range(5))
def test_eight_processes_race_again_and_again(site: Site, round_: int) -> None:
    site.sandbox.latency_s = 0.02 * round_
    race(site, due=500)


def same_container(site: Site) -> dict[str, str]:
    """Return what two processes share that Cloud Run takes for one and the same attempt."""
    site.sandbox.latency_s = 0.05
    return {
        "CLOUD_RUN_JOB": "smartia-24h",
        "CLOUD_RUN_EXECUTION": "smartia-24h-abc",
        "CLOUD_RUN_TASK_INDEX": "0",
        "CLOUD_RUN_TASK_COUNT": "1",
        "CLOUD_RUN_TASK_ATTEMPT": "0",
    }


def test_processes_that_cloud_run_calls_alike_send_each_message_once(postgres_site: Site) -> None:
    site = postgres_site
    alike = same_container(site)
    site.book(40)

    results = site.run_together(2, {0: alike, 1: alike})

    assert [result.exit_code for result in results] == [0, 0]
    assert site.accepted().total() == len(site.accepted()) == 40
    assert sum(result.json["sent"] for result in results) == 40
    site.check()


def test_a_restart_in_the_same_container_sends_nothing_twice(postgres_site: Site) -> None:
    site = postgres_site
    alike = same_container(site)
    site.book(12)
    first = site.start(**alike)
    site.wait_for_messages(4, first)
    kill(first)

    again = site.run(**alike)

    assert again.exit_code == 0
    assert again.json["skipped"].get("being_sent_elsewhere", 0) <= WORKERS
    assert max(site.accepted().values()) == 1
    site.lapse()
    assert site.run(**alike).exit_code == 0
    site.check()


def test_cloud_run_tasks_share_the_work_and_the_rate(postgres_site: Site) -> None:
    site, tasks = postgres_site, 3
    site.book(60)
    shares = {
        n: {
            "CLOUD_RUN_TASK_INDEX": str(n),
            "CLOUD_RUN_TASK_COUNT": str(tasks),
            "CLOUD_RUN_EXECUTION": "smartia-24h-abc",
            "SEND_RATE": "30",
        }
        for n in range(tasks)
    }

    results = site.run_together(tasks, shares)

    assert [result.exit_code for result in results] == [0] * tasks
    assert site.accepted().total() == len(site.accepted()) == 60
    moments = sorted(one["monotonic"] for one in site.sandbox.received)
    # 30 a second together: 60 take two seconds, less a burst that each may begin with.
    assert moments[-1] - moments[0] > 1.0
