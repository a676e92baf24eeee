"""Owners that are slow, not dead: never sent twice, and nobody waits for them."""

import signal
import subprocess

from smartia_jobs.sandbox.scripts import Scripted
from tests.crash.site import Site, ended


def frozen_in_flight(site: Site, answer: Scripted) -> subprocess.Popen[str]:
    """Start a run and freeze it while its first message is under way, which goes alone."""
    site.sandbox.script("*", answer)
    process = site.start()
    site.wait_for_messages(1, process)
    process.send_signal(signal.SIGSTOP)
    return process


def thawed(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    """Let a frozen process go on."""
    process.send_signal(signal.SIGCONT)
    return process


def test_a_claim_that_outlives_its_lease_is_sent_once_and_recorded_late(site: Site) -> None:
    site.book(20)
    slow = frozen_in_flight(site, Scripted(delay_s=1))
    site.lapse()

    other = site.run()

    assert (other.exit_code, other.json["sent"], other.json["held_unknown"]) == (0, 19, 1)
    assert site.states() == {"sent": 19, "unknown": 1}
    late = ended(thawed(slow))
    assert (late.json["sent"], late.json["skipped"]) == (1, {"already_sent": 19})
    assert site.states() == {"sent": 20}
    assert site.clinic.value("SELECT sum(attempts) FROM smartia_outbox") == 20
    assert site.clinic.value("SELECT count(*) FROM interactions") == 20
    site.check()


def test_what_a_slow_process_has_not_claimed_is_sent_by_the_others(postgres_site: Site) -> None:
    site = postgres_site
    site.book(30)
    slow = frozen_in_flight(site, Scripted(delay_s=1))

    others = site.run_together(2, {})

    assert [one.exit_code for one in others] == [0, 0]
    assert sum(one.json["sent"] for one in others) == 29
    assert ended(thawed(slow)).json["sent"] == 1
    site.check()


def test_a_claim_settled_meanwhile_is_not_overwritten_by_its_slow_owner(
    sqlite_site: Site,
) -> None:
    sqlite_site.book(1)
    slow = frozen_in_flight(sqlite_site, Scripted(delay_s=1, code=131026))
    sqlite_site.lapse()
    outbox_id = sqlite_site.clinic.value("SELECT id FROM smartia_outbox")

    settled = sqlite_site.run("outbox", "settle", str(outbox_id), "--sent")

    assert settled.exit_code == 0
    assert ended(thawed(slow)).exit_code == 0
    assert sqlite_site.states() == {"sent": 1}
