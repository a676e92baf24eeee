"""Many processes at once, on an empty schema: each due visit is one process's, and only one's."""

import pytest

from tests.crash.site import Site

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
    owners = site.clinic.rows("SELECT DISTINCT run_id FROM smartia_outbox")
    assert {row["run_id"] for row in owners} <= {f"smartia-24h-abc/{n}/0" for n in range(tasks)}
    moments = sorted(one["monotonic"] for one in site.sandbox.received)
    # 30 a second together: 60 take two seconds, less a burst that each may begin with.
    assert moments[-1] - moments[0] > 1.0
