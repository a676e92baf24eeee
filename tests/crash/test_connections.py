"""PostgreSQL's connections cut in the middle of a run; its server gone for a while, or for good."""

import os
import pwd
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartia_jobs.sandbox.server import Sandbox
from tests.crash.site import Site, ended, log_lines
from tests.support import Clinic, StartCli
from tests.support.postgres import create_database, find_binaries, private_cluster

_CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'smartia-jobs'"
)
#: On a slow machine no transaction at all might fit between cuts that never end.
_MOST_CUTS = 100


class Server:
    """A private cluster that can be stopped and started again."""

    def __init__(self, url: str) -> None:
        """Learn how it runs from what it wrote down itself."""
        self.url = url
        self._data = Path(url.partition("?host=")[2]) / "data"
        command = shlex.split((self._data / "postmaster.opts").read_text())
        self._options = shlex.join(command[command.index("-c") :])
        self._running = True

    def stop(self) -> None:
        """End it, cutting every connection."""
        self._run("stop", "--mode=fast")
        self._running = False

    def start(self) -> None:
        """Start it again, unless it runs."""
        if not self._running:
            self._run("start", f"--log={self._data.parent / 'log'}", "-o", self._options)
        self._running = True

    def _run(self, *arguments: str) -> None:
        user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        subprocess.run(
            [find_binaries() / "pg_ctl", "--pgdata", self._data, "--wait", "--silent", *arguments],
            check=True,
            cwd=self._data.parent,
            stdout=subprocess.DEVNULL,
            user=user and user.pw_uid,
            group=user and user.pw_gid,
            extra_groups=user and [],
        )


def reopen(site: Site) -> None:
    """Give the test a new connection of its own, after the server was away."""
    site.clinic.close()
    site.clinic = Clinic(site.clinic.url)


def cut_again_and_again(site: Site, *, due: int, pause_s: float) -> None:
    """Cut every connection of a run, over and over, while it sends."""
    site.sandbox.latency_s = 0.1
    site.book(due)
    process = site.start()
    site.wait_for_messages(1, process)
    cuts = 0

    while process.poll() is None:
        if cuts < _MOST_CUTS:
            cuts += len(site.clinic.rows(_CUT))
        time.sleep(pause_s)

    result = ended(process)
    assert result.exit_code == 0, result.stderr
    assert result.json["sent"] == due
    assert cuts > 1
    site.check()
    assert site.clinic.value("SELECT count(*) FROM interactions") == due


def test_cut_connections_are_taken_up_again_and_nothing_is_sent_twice(postgres_site: Site) -> None:
    cut_again_and_again(postgres_site, due=60, pause_s=0.4)


@pytest.mark.long
@pytest.mark.parametrize("pause_s", [0.05, 0.1, 0.2, 0.7])
def test_connections_cut_ever_more_often_send_nothing_twice(
    postgres_site: Site, pause_s: float
) -> None:
    cut_again_and_again(postgres_site, due=200, pause_s=pause_s)


@pytest.fixture
def server() -> Iterator[Server]:
    """A PostgreSQL of the test's own, which it may stop."""
    with private_cluster() as url:
        one = Server(url)
        yield one
        one.start()  # the cluster's own end expects it to run


@pytest.fixture
def site_on_server(server: Server, sandbox: Sandbox, start_cli: StartCli) -> Iterator[Site]:
    create_database(server.url, "smartia")
    site = Site(Clinic(server.url.format(database="smartia")), sandbox, start_cli)
    sandbox.latency_s = 0.2
    site.book(150)
    yield site
    site.clinic.close()


@pytest.mark.long
def test_a_server_that_restarts_in_the_middle_is_waited_for(
    server: Server, site_on_server: Site
) -> None:
    site = site_on_server
    process = site.start()
    site.wait_for_messages(10, process)

    server.stop()

    time.sleep(6)  # the gate closes after five
    posted = len(site.sandbox.received)
    time.sleep(4)
    assert len(site.sandbox.received) == posted
    server.start()
    result = ended(process)
    assert result.exit_code == 0, result.stderr
    assert result.json["sent"] == 150
    reopen(site)
    site.check()
    assert site.states() == {"sent": 150}


@pytest.mark.long
def test_a_server_that_stays_away_ends_the_run_and_each_unrecorded_outcome_is_named(
    server: Server, site_on_server: Site
) -> None:
    site = site_on_server
    process = site.start()
    site.wait_for_messages(10, process)

    server.stop()

    result = ended(process)
    assert result.exit_code == 69, result.stderr
    unrecorded = {
        line["outbox_id"]: line["status"]
        for line in log_lines(result)
        if line.get("action") == "unrecorded"
    }
    server.start()
    reopen(site)
    claimed = site.clinic.rows("SELECT id FROM smartia_outbox WHERE state = 'claimed'")
    assert {row["id"] for row in claimed} == unrecorded.keys()
    site.lapse()
    for outbox_id, status in unrecorded.items():
        if status == "sent":
            assert site.run("outbox", "settle", str(outbox_id), "--sent").exit_code == 0
    rest = site.run()
    assert rest.exit_code == 0, rest.stderr
    site.check()
    assert site.accepted().total() == 150
