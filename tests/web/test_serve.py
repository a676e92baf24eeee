"""``smartia-jobs serve`` over a real port: old paths, who may call them, and what they answer."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest

from smartia_jobs.catalogue.definition import shipped_definitions
from smartia_jobs.cli.serve import LIBRARIES
from smartia_jobs.errors import how_to_install
from smartia_jobs.sandbox.account import PHONE_NUMBER_ID
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.server import Sandbox
from tests.support import Clinic, RunCli, StartCli

TOKEN = "a-made-up-token-of-32-characters"
META_TOKEN = "secret-token-1234"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
#: What Google's scheduler sends with a plain trigger.
SCHEDULER = {
    "User-Agent": "Google-Cloud-Scheduler",
    "X-CloudScheduler": "true",
    "X-CloudScheduler-JobName": "24h-reminders",
}
#: The old program's routes, and the jobs behind them.
OLD_ROUTES = {
    "24h": ("POST", "/jobs/reminders/24h"),
    "2h": ("POST", "/jobs/reminders/2h"),
    "no-show": ("POST", "/jobs/no-shows"),
    "metrics": ("GET", "/jobs/metrics"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said."""

    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Service:
    """The program, serving."""

    process: subprocess.Popen[str]
    url: str

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] = BEARER, body: str = ""
    ) -> Answer:
        """Ask over a connection of its own."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        try:
            connection.request(method, path, body=body or None, headers=dict(headers))
            answer = connection.getresponse()
            text = answer.read().decode()
            kind = answer.headers.get_content_type()
            said = json.loads(text) if kind == "application/json" else text
            return Answer(answer.status, said, dict(answer.headers))
        finally:
            connection.close()

    def end(self) -> tuple[int, str]:
        """Send SIGTERM; return the exit status and what was logged."""
        self.process.send_signal(signal.SIGTERM)
        _, logged = self.process.communicate(timeout=30)
        return self.process.returncode, logged

    def children(self) -> list[list[str]]:
        """Return the command line of each child process."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                line = (entry / "cmdline").read_text().split("\0")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended meanwhile
            if int(parent) == self.process.pid:
                found.append(line)
        return found


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(templates=shipped_definitions(clinic_name="Clínica Aurora")) as server:
        yield server


def env_of(clinic: Clinic, sandbox: Sandbox, **more: str) -> dict[str, str]:
    stored = {"STORED_TIMES": clinic.stored_times} if clinic.dialect == "postgresql" else {}
    return {
        "DATABASE_URL": clinic.url,
        "META_ACCESS_TOKEN": META_TOKEN,
        "META_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
        "META_API_URL": sandbox.url,
        "DATABASE_IS_A_COPY": "1",
        "HTTP_AUTH": "token",
        "HTTP_TOKEN": TOKEN,
        **stored,
        **more,
    }


Serve = Callable[..., Service]


@pytest.fixture
def serve(start_cli: StartCli) -> Serve:
    """Start the service on a free port of this machine."""

    def start(env: Mapping[str, str], *options: str) -> Service:
        arguments = options or ("--port", "0")
        process = start_cli("serve", *arguments, env=env)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Listening on http://"), process.communicate()
        return Service(process, line.split()[2])

    return start


@pytest.fixture
def service(serve: Serve, sqlite_clinic: Clinic, sandbox: Sandbox) -> Service:
    return serve(env_of(sqlite_clinic, sandbox))


def book(clinic: Clinic, patients: int = 1) -> None:
    """Book a visit for so many new patients, tomorrow at this hour."""
    now = datetime.now(ZoneInfo("America/Sao_Paulo")).replace(tzinfo=None, microsecond=0)
    for _ in range(patients):
        clinic.add_appointment(clinic.add_patient(), now + timedelta(hours=24))


def wait_until(true: Callable[[], bool]) -> None:
    """Look a bounded number of times, so that a test cannot hang."""
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it never came true")


# What a job over HTTP does and answers


def test_an_old_call_sends_once_and_is_answered_in_old_and_new_fields(
    serve: Serve, clinic: Clinic, sandbox: Sandbox
) -> None:
    book(clinic, 2)
    service = serve(env_of(clinic, sandbox))

    first = service.ask("POST", "/jobs/reminders/24h", body='{"ignored": true}')

    assert first.status == 200
    assert first.body["job"] == "24h_reminders"
    assert first.body["success"] is True
    assert (first.body["appointments_found"], first.body["reminders_sent"]) == (2, 2)
    assert (first.body["due"], first.body["sent"], first.body["exit_code"]) == (2, 2, 0)
    again = service.ask("POST", "/jobs/reminders/24h")
    assert again.body["skipped"] == {"already_sent": 2}
    assert len(sandbox.received) == 2
    assert service.end()[0] == 143


@pytest.mark.parametrize("job", OLD_ROUTES)
def test_every_old_route_runs_its_job(service: Service, job: str) -> None:
    answer = service.ask(*OLD_ROUTES[job])

    assert answer.status == 200
    assert answer.body["success"] is True
    assert "timestamp" in answer.body


def test_a_dry_run_over_http_decides_and_sends_nothing(
    service: Service, sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    book(sqlite_clinic, 2)

    answer = service.ask("POST", "/jobs/reminders/24h?dry_run=1")

    assert (answer.status, answer.body["would_send"]) == (200, 2)
    assert len(answer.body["decisions"]) == 2
    assert len(sandbox.received) == 0


def test_a_limit_is_kept_and_no_dry_run_is_none(
    service: Service, sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    book(sqlite_clinic, 3)

    answer = service.ask("POST", "/jobs/reminders/24h?limit=1&dry_run=0")

    assert (answer.status, answer.body["sent"], answer.body["left"]) == (200, 1, 2)
    assert len(sandbox.received) == 1


def test_metrics_are_of_the_days_that_are_asked_for(service: Service) -> None:
    answer = service.ask("GET", "/jobs/metrics?days=7&until=2026-03-31")

    assert answer.status == 200
    assert answer.body["period"] == "last_7_days"
    assert answer.body["report"]["period"]["to"].startswith("2026-04-01T00:00")


@pytest.mark.parametrize(
    ("job", "query"),
    [
        ("24h", "limit=0"),
        ("24h", "limit=many"),
        ("24h", "limit=%00"),
        ("24h", "limit=1&limit=2"),
        ("24h", "limit=--help"),
        ("24h", "limit="),
        ("24h", "dry_run=yes"),
        ("24h", "dry-run=1"),
        ("24h", "days=3"),
        ("24h", "mark_all=1"),
        ("no-show", "undo=run"),
        ("metrics", "days=0"),
        ("metrics", "until=2026-02-30"),
        ("metrics", "dry_run=1"),
        ("metrics", "output=/tmp/x"),
    ],
)
def test_a_wrong_query_is_400_and_nothing_is_sent(
    service: Service, sqlite_clinic: Clinic, sandbox: Sandbox, job: str, query: str
) -> None:
    book(sqlite_clinic)
    method, path = OLD_ROUTES[job]

    answer = service.ask(method, f"{path}?{query}")

    assert answer.status == 400
    assert answer.body["success"] is False
    assert answer.body["error"]
    assert len(sandbox.received) == 0


@pytest.mark.parametrize(
    ("scripted", "exit_code", "status"),
    [
        (Scripted(code=131026, status=400), 65, 200),
        (Scripted(code=190, status=401), 77, 500),
        (Scripted(code=132001, status=404), 78, 500),
        (Scripted(code=131000, status=500), 75, 503),
    ],
)
def test_the_http_status_follows_the_exit_status(
    service: Service,
    sqlite_clinic: Clinic,
    sandbox: Sandbox,
    scripted: Scripted,
    exit_code: int,
    status: int,
) -> None:
    book(sqlite_clinic, 6)
    sandbox.script("*", scripted, repeat_last=True)

    answer = service.ask("POST", "/jobs/reminders/24h")

    assert (answer.body["exit_code"], answer.status) == (exit_code, status)
    assert answer.body["success"] is False


def test_a_database_that_is_away_is_503(
    serve: Serve, sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    away = "postgresql://nobody@127.0.0.1:1/nothing"
    service = serve(env_of(sqlite_clinic, sandbox, DATABASE_URL=away))

    answer = service.ask("POST", "/jobs/reminders/2h")

    assert (answer.status, answer.body["exit_code"]) == (503, 69)
    assert answer.body["error"]


def test_settings_that_a_job_misses_are_500_and_named(
    serve: Serve, sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    service = serve(env_of(sqlite_clinic, sandbox, META_ACCESS_TOKEN=""))

    answer = service.ask("POST", "/jobs/reminders/24h")

    assert (answer.status, answer.body["exit_code"]) == (500, 78)
    assert "META_ACCESS_TOKEN" in answer.body["error"]


# One of each at a time


def test_the_same_job_already_running_here_is_409_and_others_are_not(
    service: Service, sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    book(sqlite_clinic)
    sandbox.script("*", Scripted(delay_s=4))

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(service.ask, "POST", "/jobs/reminders/24h")
        wait_until(lambda: len(sandbox.received) == 1)
        same = service.ask("POST", "/jobs/reminders/24h")
        other = service.ask("GET", "/jobs/metrics")
        alive = service.ask("GET", "/health", {})

    assert (same.status, same.body["success"]) == (409, False)
    assert (other.status, alive.status) == (200, 200)
    assert running.result().body["sent"] == 1
    assert service.ask("POST", "/jobs/reminders/24h").status == 200


def test_a_job_runs_on_when_whoever_asked_for_it_leaves(
    service: Service, sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    book(sqlite_clinic)
    sandbox.script("*", Scripted(delay_s=1))
    parts = urlsplit(service.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as caller:
        lines = ["POST /jobs/reminders/24h HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}"]
        caller.sendall("\r\n".join([*lines, "", ""]).encode())
        wait_until(lambda: len(sandbox.received) == 1)

    def state() -> list[str]:
        return [row["state"] for row in sqlite_clinic.rows("SELECT state FROM smartia_outbox")]

    wait_until(lambda: state() == ["sent"])


def test_a_child_has_no_secret_in_its_arguments(
    serve: Serve, sqlite_clinic: Clinic, sandbox: Sandbox, tmp_path: Path
) -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("there is no /proc to look into")
    book(sqlite_clinic)
    sandbox.script("*", Scripted(delay_s=2))
    file = tmp_path / "clinic.env"
    lines = [f"{name}={value}" for name, value in env_of(sqlite_clinic, sandbox).items()]
    file.write_text("\n".join(lines))
    service = serve({}, "--port", "0", "--env-file", str(file))

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(service.ask, "POST", "/jobs/reminders/24h")
        wait_until(lambda: len(sandbox.received) == 1)
        lines = [" ".join(words) for words in service.children()]

    assert running.result().body["sent"] == 1
    assert any("24h --json" in line for line in lines)
    assert not [line for line in lines if TOKEN in line or META_TOKEN in line]


# Who may call


@pytest.mark.parametrize(
    "headers",
    [
        {},
        SCHEDULER,
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN.upper()}"},
        {"Authorization": "Bearer \u00e3\u00ff"},
        {"X-Authorization": f"Bearer {TOKEN}"},
    ],
)
def test_who_has_not_the_token_is_401_whatever_else_they_send(
    service: Service, headers: dict[str, str]
) -> None:
    answers = [
        service.ask(method, f"{path}?unknown=1", headers) for method, path in OLD_ROUTES.values()
    ]

    assert [answer.status for answer in answers] == [401] * len(OLD_ROUTES)
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
    assert {answer.body["success"] for answer in answers} == {False}


def test_the_token_is_no_query_parameter(service: Service) -> None:
    assert service.ask("POST", f"/jobs/reminders/24h?token={TOKEN}", {}).status == 401


def test_on_cloud_run_its_front_has_asked_for_the_token_already(
    serve: Serve, postgres_clinic: Clinic, sandbox: Sandbox
) -> None:
    env = env_of(postgres_clinic, sandbox, HTTP_AUTH="iam", HTTP_TOKEN="", K_SERVICE="jobs")
    service = serve(env)

    assert service.ask("POST", "/jobs/reminders/24h", SCHEDULER).status == 200


def test_health_needs_no_token_and_tells_nothing(service: Service) -> None:
    answer = service.ask("GET", "/health", {})

    assert (answer.status, answer.body) == (200, {"status": "ok"})
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/jobs", 404),
        ("POST", "/jobs/reminders/48h", 404),
        ("GET", "/jobs/reminders/24h", 405),
        ("POST", "/jobs/metrics", 405),
    ],
)
def test_what_is_not_served_is_404_and_a_wrong_method_405(
    service: Service, method: str, path: str, status: int
) -> None:
    assert service.ask(method, path).status == status


# How it starts and ends


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"HTTP_AUTH": "", "HTTP_TOKEN": ""}, "HTTP_AUTH"),
        ({"HTTP_AUTH": ""}, "HTTP_AUTH"),
        ({"HTTP_TOKEN": ""}, "HTTP_TOKEN"),
        ({"HTTP_TOKEN": "short"}, "HTTP_TOKEN"),
        ({"HTTP_AUTH": "iam", "HTTP_TOKEN": ""}, "K_SERVICE"),
        (
            {"HTTP_AUTH": "iam", "K_SERVICE": "jobs", "DATABASE_URL": "postgresql://x/y"},
            "HTTP_TOKEN",
        ),
        ({"HTTP_AUTH": "basic"}, "HTTP_AUTH"),
        ({"K_SERVICE": "jobs"}, "SQLite"),
        ({"META_VERIFY_TOKEN": "a-word"}, "META_APP_SECRET"),
        (
            {"META_VERIFY_TOKEN": "a-word", "META_APP_SECRET": "b", "META_PHONE_NUMBER_ID": ""},
            "META_PHONE_NUMBER_ID",
        ),
        (
            {"META_VERIFY_TOKEN": "a-word", "META_APP_SECRET": "b", "HTTP_AUTH": "iam"},
            "two services",
        ),
    ],
)
def test_it_refuses_to_start_when_jobs_would_be_nobodys_or_everybodys(
    run_cli: RunCli, sqlite_clinic: Clinic, sandbox: Sandbox, more: dict[str, str], named: str
) -> None:
    result = run_cli("serve", "--port", "0", env=env_of(sqlite_clinic, sandbox, **more))

    assert result.exit_code == 78
    assert named in result.stderr
    assert result.stdout == ""


def test_a_port_that_is_taken_is_named(
    run_cli: RunCli, service: Service, sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    port = str(urlsplit(service.url).port)

    result = run_cli("serve", "--port", port, env=env_of(sqlite_clinic, sandbox))

    assert result.exit_code == 78
    assert f"port {port} on 127.0.0.1" in result.stderr


def test_with_port_in_the_environment_it_listens_there_for_everybody(
    serve: Serve, sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    service = serve(env_of(sqlite_clinic, sandbox, PORT=str(port)), "--host", "127.0.0.1")

    assert service.url == f"http://127.0.0.1:{port}"


def test_sigterm_is_passed_on_and_the_waiting_caller_is_told(
    service: Service, sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    book(sqlite_clinic, 40)
    sandbox.script("*", Scripted(delay_s=1), repeat_last=True)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(service.ask, "POST", "/jobs/reminders/24h")
        wait_until(lambda: len(sandbox.received) > 0)
        status, _ = service.end()
        answer = running.result()

    assert (answer.status, answer.body["exit_code"]) == (503, 143)
    assert answer.body["left"] > 0
    assert status == 143
    states = {row["state"] for row in sqlite_clinic.rows("SELECT state FROM smartia_outbox")}
    assert states <= {"sent", "retry"}


def test_a_service_that_is_killed_leaves_its_job_to_finish(
    service: Service, serve: Serve, sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    book(sqlite_clinic)
    sandbox.script("*", Scripted(delay_s=1))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(service.ask, "POST", "/jobs/reminders/24h")
        wait_until(lambda: len(sandbox.received) == 1)
        service.process.kill()
        assert running.exception() is not None

    def state() -> list[str]:
        return [row["state"] for row in sqlite_clinic.rows("SELECT state FROM smartia_outbox")]

    wait_until(lambda: state() == ["sent"])
    again = serve(env_of(sqlite_clinic, sandbox)).ask("POST", "/jobs/reminders/24h")
    assert again.body["skipped"] == {"already_sent": 1}
    assert len(sandbox.received) == 1


def test_neither_token_nor_query_is_logged(
    service: Service, sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    book(sqlite_clinic)
    service.ask("POST", "/jobs/reminders/24h?limit=7")
    service.ask("POST", "/jobs/reminders/24h?secret=abcdef")
    service.ask("POST", "/jobs/reminders/24h", {"Authorization": "Bearer wrong-token"})

    _, logged = service.end()

    lines = [json.loads(line) for line in logged.splitlines()]
    asked = [line for line in lines if line.get("event") == "http_job"]
    assert [line["http_status"] for line in asked] == [200, 400, 401]
    assert asked[0]["exit_code"] == 0
    for secret in (TOKEN, META_TOKEN, "wrong-token", "abcdef", "55119876"):
        assert secret not in logged


def test_without_the_extra_it_says_how_to_install_it(
    run_cli: RunCli, sqlite_clinic: Clinic, sandbox: Sandbox, tmp_path: Path
) -> None:
    blocked = tmp_path / "blocked" / "uvicorn.py"
    blocked.parent.mkdir()
    blocked.write_text("raise ModuleNotFoundError('blocked')\n")
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(blocked.parent), str(root)])

    result = run_cli("serve", env=env_of(sqlite_clinic, sandbox, PYTHONPATH=path))

    assert result.exit_code == 78
    assert how_to_install(*LIBRARIES) in " ".join(result.stderr.split())
