"""``PING_URL``: a monitor is told of each run, and nothing that it does changes the run."""

import os
import re
import socket
import threading
from base64 import b64encode
from pathlib import Path

import pytest

from tests.support.program import RunCli
from tests.whatsapp.loopback import (
    Loopback,
    Talk,
    after_request,
    answer,
    answering,
    be_silent,
    loopback,
    reset,
    trickling,
)

TAKEN = answering(answer(b"OK"))
ELSEWHERE = answering(answer(b"", status="302 Found", headers="Location: http://127.0.0.1:1/\r\n"))
SECRET = "a1b2c3d4"


def never_ending(connection: socket.socket, server: Loopback) -> None:
    """Begin an answer, byte by byte, each of them in time, and never come to its end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    trickling(b"X: y\r\n")(connection, server)
    be_silent(connection, server)


def environment(
    database: Path, server: Loopback, path: str = f"/{SECRET}/smartia-{{job}}"
) -> dict[str, str]:
    return {
        "DATABASE_URL": f"sqlite:///{database}",
        "META_ACCESS_TOKEN": "made-up-token",
        "META_PHONE_NUMBER_ID": "1",
        "CLINIC_NAME": "Clínica Aurora",
        "PING_URL": f"{server.url}{path}",
    }


def asked(server: Loopback) -> list[str]:
    return [request.split(b" ")[1].decode() for request in server.requests]


def test_a_monitor_is_told_of_the_begin_and_the_status_of_each_job(
    smartia_sqlite: Path, run_cli: RunCli
) -> None:
    jobs = ("2h", "no-show", "replies", "calls", "metrics")
    with loopback(TAKEN) as server:
        env = environment(smartia_sqlite, server)
        ended = [run_cli(job, "--json", env=env).exit_code for job in jobs]

    assert set(ended) == {0}
    assert asked(server) == [
        f"/{SECRET}/smartia-{job}/{end}" for job in jobs for end in ("start", "0")
    ]
    assert not any(b"Aurora" in request for request in server.requests)


def test_a_host_that_cannot_be_is_a_warning_like_any_other(
    smartia_sqlite: Path, run_cli: RunCli
) -> None:
    with loopback(TAKEN) as server:
        env = environment(smartia_sqlite, server)

    result = run_cli("2h", env={**env, "PING_URL": f"https://hc..example.org/{SECRET}"})

    assert result.exit_code == 0
    assert "PING_URL did not take the news of this run: LocationParseError" in result.stderr
    assert "Traceback" not in result.stderr
    assert SECRET not in result.stderr


def test_a_run_that_fails_is_told_by_its_status(tmp_path: Path, run_cli: RunCli) -> None:
    empty = tmp_path / "empty.db"
    empty.touch()
    with loopback(TAKEN) as server:
        ended = run_cli("24h", env=environment(empty, server))

    assert ended.exit_code == 78
    assert asked(server)[-1] == f"/{SECRET}/smartia-24h/78"


@pytest.mark.parametrize("job", ["2h", "no-show", "replies", "calls", "metrics"])
def test_a_run_whose_settings_are_wrong_is_told_of_as_any_other(
    smartia_sqlite: Path, run_cli: RunCli, job: str
) -> None:
    with loopback(TAKEN) as server:
        env = environment(smartia_sqlite, server)
        ended = run_cli(job, env={**env, "QUIET_HOURS": "13-14", "LOG_LEVEL": "much"})

    assert ended.exit_code == 78
    assert asked(server) == [f"/{SECRET}/smartia-{job}/{end}" for end in ("start", "78")]


def test_names_are_filled_in_wherever_they_stand(smartia_sqlite: Path, run_cli: RunCli) -> None:
    with loopback(TAKEN) as server:
        env = environment(smartia_sqlite, server, path="/{clinic}/{job}?create=1")
        run_cli("2h", env=env)

    assert asked(server) == ["/clinic/2h/start?create=1", "/clinic/2h/0?create=1"]


@pytest.mark.parametrize(("user", "sent"), [("", False), ("us:pw@", True)])
def test_a_monitor_gets_no_password_but_that_of_its_address(
    smartia_sqlite: Path, run_cli: RunCli, tmp_path: Path, user: str, sent: bool
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login of-another password s3cret\n")
    with loopback(TAKEN) as server:
        env = environment(smartia_sqlite, server)
        url = env["PING_URL"].replace("://", f"://{user}")
        run_cli("2h", env={**env, "PING_URL": url, "NETRC": str(tmp_path / "netrc")})

    own = f"Authorization: Basic {b64encode(b'us:pw').decode()}".encode()
    assert [b"Authorization" in request for request in server.requests] == [sent] * 2
    assert [own in request for request in server.requests] == [sent] * 2


def test_an_address_that_comes_through_a_pipe_is_read_once(
    smartia_sqlite: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    os.mkfifo(pipe := tmp_path / "ping")
    with loopback(TAKEN) as server:
        env = environment(smartia_sqlite, server)
        writer = threading.Thread(target=pipe.write_text, args=[env.pop("PING_URL")], daemon=True)
        writer.start()
        ended = run_cli("2h", env={**env, "PING_URL_FILE": str(pipe)})

    assert ended.exit_code == 0, ended.stderr
    assert asked(server) == [f"/{SECRET}/smartia-2h/{end}" for end in ("start", "0")]


def test_a_dry_run_is_nobodys_news(smartia_sqlite: Path, run_cli: RunCli) -> None:
    with loopback(TAKEN) as server:
        run_cli("24h", "--dry-run", env=environment(smartia_sqlite, server))

    assert server.requests == []


@pytest.mark.parametrize(
    ("talk", "why"),
    [
        (ELSEWHERE, "HTTP 302"),
        (answering(answer(b"", status="404 Not Found")), "HTTP 404"),
        (after_request(reset), "ConnectionError"),
        (be_silent, "no answer within 5 s|ReadTimeout"),
        (after_request(never_ending), "no answer within 5 s"),
    ],
    ids=["elsewhere", "unknown", "reset", "silent", "never ending"],
)
def test_whatever_a_monitor_does_the_status_stays_and_the_address_is_not_logged(
    smartia_sqlite: Path, run_cli: RunCli, talk: Talk, why: str
) -> None:
    with loopback(talk) as server:
        ended = run_cli("2h", env=environment(smartia_sqlite, server))

    assert ended.exit_code == 0
    assert re.search(rf"PING_URL did not take the news of this run: ({why})", ended.stderr)
    assert SECRET not in ended.stderr
    assert ended.stderr.count("PING_URL did not take") == 2


def test_a_monitor_that_is_away_changes_nothing(smartia_sqlite: Path, run_cli: RunCli) -> None:
    with loopback(TAKEN) as server:
        env = environment(smartia_sqlite, server)

    ended = run_cli("2h", env=env)

    assert ended.exit_code == 0
    assert ended.stderr.count("PING_URL did not take") == 2


@pytest.mark.parametrize(
    "url", ["hc-ping.com/x", "https://", "https://h/{patient}", "https://h/{", "ftp://h/x"]
)
def test_an_address_that_is_none_is_an_error(
    smartia_sqlite: Path, run_cli: RunCli, url: str
) -> None:
    ended = run_cli("2h", env={"DATABASE_URL": f"sqlite:///{smartia_sqlite}", "PING_URL": url})

    assert ended.exit_code == 78
    assert "PING_URL must be an address" in ended.stderr
