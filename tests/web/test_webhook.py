"""``/webhook`` over a real port: who may post, what is answered, and what stands in the tables."""

import http.client
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from smartia_jobs.database import Database
from smartia_jobs.store import schema
from tests.support import Clinic, StartCli
from tests.support.program import start
from tests.web.meta import (
    PHONE_NUMBER_ID,
    SECRET,
    encoded,
    failed,
    message,
    post,
    signature,
    status,
    value,
    written,
)

OLD_SECRET = "fedcba9876543210fedcba9876543210"
TOKEN = "a-word-that-was-made-up"
#: Never in a log line, whatever is posted.
PRIVATE = ("554198765432", "wamid", "Sim", SECRET, OLD_SECRET, TOKEN)

#: Before the statuses of the tests, as SQLite keeps it.
_SENT_AT = "'2026-11-18 10:00:00.000000'"


@dataclass(frozen=True, slots=True)
class Webhook:
    """The service, and the clinic it stores for."""

    process: subprocess.Popen[str]
    url: str
    clinic: Clinic

    def send(self, body: bytes, signed: str | None = None, **headers: str) -> int:
        """Post to it; return the HTTP status."""
        headers = {"X-Hub-Signature-256": signature(body) if signed is None else signed, **headers}
        return self.ask("POST", "/webhook", body, headers)[0]

    def say(self, payload: Any) -> int:
        """Post a payload as Meta does."""
        return self.send(encoded(payload))

    def shake(self, **parameters: str) -> tuple[int, str, str | None]:
        """Shake hands; return the status, the body and its type."""
        query = urlencode({f"hub.{name}": value for name, value in parameters.items()})
        return self.ask("GET", f"/webhook?{query}")

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = {}
    ) -> tuple[int, str, str | None]:
        """Ask over a connection of its own."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        with closing(connection):
            connection.request(method, path, body=body, headers=dict(headers))
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, text, answer.headers.get("Content-Type")

    @property
    def statuses(self) -> list[tuple[str, str]]:
        """What is stored of messages."""
        rows = self.clinic.rows("SELECT wamid, status FROM smartia_statuses ORDER BY wamid, status")
        return [(row["wamid"], row["status"]) for row in rows]

    @property
    def answers(self) -> list[str]:
        """The ids of the answers that are stored."""
        rows = self.clinic.rows("SELECT message_id FROM smartia_answers ORDER BY message_id")
        return [row["message_id"] for row in rows]

    def end(self, number: int = signal.SIGTERM) -> str:
        """End it; return what it logged."""
        self.process.send_signal(number)
        _, logged = self.process.communicate(timeout=30)
        return logged


def env_of(clinic: Clinic, **more: str) -> dict[str, str]:
    return {
        "DATABASE_URL": clinic.url,
        "META_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
        "META_VERIFY_TOKEN": TOKEN,
        "META_APP_SECRET": SECRET,
        "LOG_LEVEL": "DEBUG",
        **({"STORED_TIMES": "wall"} if clinic.dialect == "postgresql" else {}),
        **more,
    }


def listening(process: subprocess.Popen[str], clinic: Clinic) -> Webhook:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("Listening on http://"), process.communicate()
    return Webhook(process, line.split()[2], clinic)


def migrate(clinic: Clinic) -> None:
    with closing(Database(clinic.url)) as database:
        schema.ensure(database, auto_migrate=True)


def add_sent(clinic: Clinic, number: int) -> None:
    """Let a message have been accepted, as ``w`` and its number."""
    clinic.execute(
        "INSERT INTO smartia_outbox (appointment_id, kind, start, patient_id, phone, state,"
        " run_id, message_id, sent_at, created_at, updated_at)"
        f" VALUES ({number}, '24h', '2026-11-19 09:00:00.000000', 1, '+5541987654321', 'sent',"
        f" 'earlier', 'w{number}', {_SENT_AT}, {_SENT_AT}, {_SENT_AT})"
    )


Serve = Callable[..., Webhook]


# Tests name the clinic before it: what serves must end before its database does.
@pytest.fixture
def serve(start_cli: StartCli) -> Serve:
    """Start the service on a free port of this machine."""

    def begin(clinic: Clinic, **more: str) -> Webhook:
        env = env_of(clinic, **{"K_SERVICE": "webhook", **more} if _is_postgres(clinic) else more)
        return listening(start_cli("serve", "--port", "0", env=env), clinic)

    return begin


def _is_postgres(clinic: Clinic) -> bool:
    return clinic.dialect == "postgresql"


@pytest.fixture
def webhook(clinic: Clinic, serve: Serve) -> Webhook:
    """It listens, and our tables are there; once on each engine."""
    migrate(clinic)
    return serve(clinic)


@pytest.fixture(scope="module")
def resting(_empty_smartia: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    """One for all tests that store nothing."""
    folder = tmp_path_factory.mktemp("webhook")
    path = folder / "smartia.db"
    path.write_bytes(_empty_smartia.read_bytes())
    clinic = Clinic(f"sqlite:///{path}")
    migrate(clinic)
    env = env_of(clinic, META_APP_SECRET_OLD=OLD_SECRET)
    process = start(("serve", "--port", "0"), env, folder)
    with process:
        found = listening(process, clinic)
        yield found
        logged = found.end()
    clinic.close()
    assert not [private for private in PRIVATE if private in logged]


# The handshake


def test_a_handshake_with_the_right_token_gets_its_challenge_back(resting: Webhook) -> None:
    answer = resting.shake(mode="subscribe", challenge="1158201444", verify_token=TOKEN)

    assert answer == (200, "1158201444", "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    "parameters",
    [
        {"mode": "subscribe", "challenge": "1", "verify_token": "another"},
        {"mode": "subscribe", "challenge": "1", "verify_token": TOKEN[:-1]},
        {"mode": "subscribe", "challenge": "1", "verify_token": "é"},
        {"mode": "subscribe", "challenge": "1"},
        {"mode": "subscribe", "verify_token": TOKEN},
        {"mode": "unsubscribe", "challenge": "1", "verify_token": TOKEN},
        {"challenge": "1", "verify_token": TOKEN},
        {"mode": "subscribe", "challenge": "<b>", "verify_token": TOKEN},
        {"mode": "subscribe", "challenge": "1" * 257, "verify_token": TOKEN},
        {"mode": "subscribe", "challenge": "1\r\nX: y", "verify_token": TOKEN},
    ],
)
def test_any_other_handshake_is_refused(resting: Webhook, parameters: dict[str, str]) -> None:
    assert resting.shake(**parameters)[:2] == (403, "refused")


# The signature


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_either_secret_signs_while_it_is_changed(resting: Webhook, secret: str) -> None:
    body = encoded(post(value()))

    assert resting.send(body, signature(body, secret)) == 200


@pytest.mark.parametrize(
    "signed",
    [
        "",
        "sha256=",
        f"sha256={'0' * 64}",
        signature(b"another body"),
        signature(encoded(post(value())), "another secret"),
        signature(encoded(post(value()))).replace("sha256", "sha1"),
        signature(encoded(post(value()))).removeprefix("sha256="),
        signature(encoded(post(value())))[:-1],
        "sha256=é" + "0" * 63,
    ],
)
def test_what_is_not_signed_with_the_secret_is_refused(resting: Webhook, signed: str) -> None:
    body = encoded(post(value()))

    assert resting.send(body, signed.encode("latin-1", "replace").decode("latin-1")) == 401


def test_the_signature_is_of_the_raw_bytes(resting: Webhook) -> None:
    escaped = b'{"object": "whatsapp_business_account",  "entry": [], "name": "Jo\\u00e3o"}'
    written_anew = encoded({"object": "whatsapp_business_account", "entry": [], "name": "João"})

    assert resting.send(escaped) == 200
    assert resting.send(escaped, signature(written_anew)) == 401


def test_a_signature_in_capitals_is_the_same(resting: Webhook) -> None:
    body = encoded(post(value()))

    assert resting.send(body, signature(body).upper().replace("SHA256", "sha256")) == 200


def test_an_empty_body_that_is_signed_is_taken_and_means_nothing(resting: Webhook) -> None:
    assert resting.send(b"") == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_no_other_method_is_answered(resting: Webhook, method: str) -> None:
    assert resting.ask(method, "/webhook")[0] == 405


# What is posted


def test_everything_of_a_post_is_stored_and_a_broken_element_costs_no_other(
    webhook: Webhook,
) -> None:
    payload = post(
        value(statuses=[status("a"), {"id": ["b"]}, status("c", "read")]),
        value(statuses=[failed("d")], messages=[written(message_id="m")]),
    )

    assert webhook.say(payload) == 200

    assert webhook.statuses == [("a", "delivered"), ("c", "read"), ("d", "failed")]
    assert webhook.answers == ["m"]
    assert webhook.clinic.value("SELECT code FROM smartia_statuses WHERE wamid = 'd'") == 131026


def test_the_same_post_in_parallel_is_stored_once(webhook: Webhook) -> None:
    statuses = [status(f"w{n}", said) for n in range(20) for said in ("sent", "delivered")]
    backwards = post(value(statuses=statuses[::-1]))
    payload = post(value(statuses=statuses))

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(webhook.say, [payload, backwards] * 8))

    assert answers == [200] * 16
    assert len(webhook.statuses) == 40


def test_a_thousand_statuses_in_one_post_are_stored(webhook: Webhook) -> None:
    payload = post(value(statuses=[status(f"wamid.{n}") for n in range(1000)]))

    assert webhook.say(payload) == 200
    assert len(webhook.statuses) == 1000


@pytest.mark.parametrize("order", [("read", "delivered", "sent"), ("failed", "delivered")])
def test_statuses_in_any_order_are_all_kept(webhook: Webhook, order: tuple[str, ...]) -> None:
    for said in order:
        element = failed() if said == "failed" else status(said=said)
        assert webhook.say(post(value(statuses=[element]))) == 200

    assert [said for _, said in webhook.statuses] == sorted(order)


def test_a_status_of_a_message_nobody_knows_is_kept(webhook: Webhook) -> None:
    assert webhook.say(post(value(statuses=[status("wamid.SMARTIA")]))) == 200

    assert webhook.statuses == [("wamid.SMARTIA", "delivered")]


def test_what_is_about_another_number_is_acknowledged_and_not_kept(webhook: Webhook) -> None:
    sample = {**value(statuses=[status()]), "metadata": {"phone_number_id": "123456123"}}

    assert webhook.say(post(sample)) == 200
    assert webhook.statuses == []


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b'{"object": "page", "entry": [{}]}',
        b'{"object": "whatsapp_business_account", "entry": {"a": 1}}',
        b"[" * (3 << 20),
        b'{"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "new"}]}]}',
    ],
    ids=["no json", "another object", "no list", "brackets", "unknown field"],
)
def test_what_cannot_be_understood_is_acknowledged(resting: Webhook, body: bytes) -> None:
    assert resting.send(body) == 200
    assert resting.statuses == []


def test_a_post_that_is_larger_than_metas_is_refused(resting: Webhook) -> None:
    assert resting.send(b" " * (3 << 20)) == 200  # signed, and nothing
    assert resting.send(b" " * ((3 << 20) + 1)) == 413


def test_elements_of_every_wrong_type_cost_the_others_nothing(webhook: Webhook) -> None:
    wrong: list[Any] = [None, True, 7, 1.5, "text", [], [[]], {}, {"id": None}, {"id": {"a": 1}}]
    said: list[Any] = [None, 7, [], {}, "\0"]
    wrong += [{**status("x"), "status": one} for one in said]
    wrong += [status("w" * 10_000), status("a\0b"), status("\ud800")]

    assert webhook.say(post(value(statuses=[*wrong, status("good")]))) == 200

    assert webhook.statuses == [("good", "delivered")]


def test_the_text_of_an_answer_is_kept_without_what_no_database_takes(webhook: Webhook) -> None:
    assert webhook.say(post(value(messages=[written("a\0\ud83db" + "é" * 5000)]))) == 200

    text = webhook.clinic.value("SELECT text FROM smartia_answers")
    assert text == ("ab" + "é" * 5000)[:4096]


def test_a_clock_that_is_a_day_ahead_makes_nothing_come_from_tomorrow(webhook: Webhook) -> None:
    ahead = int(time.time()) + 86_400

    assert webhook.say(post(value(statuses=[status(timestamp=str(ahead))]))) == 200

    (row,) = webhook.clinic.rows("SELECT said_at, received_at FROM smartia_statuses")
    assert row["said_at"] == row["received_at"]


def test_preferences_and_notices_are_kept(webhook: Webhook) -> None:
    wish = {"wa_id": "554198765432", "category": "marketing_messages", "value": "stop"}
    paused = {"event": "PAUSED", "message_template_name": "lembrete", "reason": "NONE"}

    webhook.say(post(value(user_preferences=[wish]), field="user_preferences"))
    webhook.say(post(paused, field="message_template_status_update"))

    assert webhook.clinic.value("SELECT payload FROM smartia_answers") == "stop"
    assert webhook.clinic.value("SELECT event FROM smartia_notices") == "PAUSED"


# Faults


def test_without_our_tables_meta_is_asked_to_come_again(clinic: Clinic, serve: Serve) -> None:
    webhook = serve(clinic)
    payload = post(value(statuses=[status()]))

    before = webhook.say(payload)
    migrate(clinic)
    after = webhook.say(payload)

    assert (before, after) == (503, 200)
    assert webhook.statuses == [("wamid.OUT1", "delivered")]


def test_a_database_that_is_away_is_not_acknowledged_and_stores_once_when_it_is_back(
    sqlite_clinic: Clinic, serve: Serve, tmp_path: Path
) -> None:
    migrate(sqlite_clinic)
    path = Path(sqlite_clinic.url.removeprefix("sqlite:///"))
    webhook = serve(sqlite_clinic)
    payload = post(value(statuses=[status()]))
    path.rename(tmp_path / "away")

    away = webhook.say(payload)
    (tmp_path / "away").rename(path)
    back = [webhook.say(payload) for _ in range(2)]

    assert (away, back) == (503, [200, 200])
    assert webhook.statuses == [("wamid.OUT1", "delivered")]


def test_a_kill_between_commit_and_answer_changes_nothing_when_it_comes_again(
    clinic: Clinic, serve: Serve
) -> None:
    migrate(clinic)
    first = serve(clinic)
    body = encoded(post(value(statuses=[status()], messages=[written()])))

    parts = urlsplit(first.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
        head = f"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(f"{head}X-Hub-Signature-256: {signature(body)}\r\n\r\n".encode() + body)
        _until(lambda: first.statuses != [])
        first.process.kill()
    again = serve(clinic)

    assert again.send(body) == 200
    assert (again.statuses, again.answers) == ([("wamid.OUT1", "delivered")], ["wamid.IN1"])


def test_two_services_hear_the_same_posts_and_store_each_once(
    postgres_clinic: Clinic, serve: Serve
) -> None:
    migrate(postgres_clinic)
    services = [serve(postgres_clinic) for _ in range(2)]
    payloads = [
        post(value(statuses=[status(f"w{n}"), status(f"w{n + 1}", "read")])) for n in range(20)
    ]

    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(one.say, payload) for payload in payloads for one in services]

    assert {answer.result() for answer in answers} == {200}
    assert len(services[0].statuses) == 40


def test_five_hundred_connections_at_once_are_all_answered(webhook: Webhook) -> None:
    parts = urlsplit(webhook.url)
    opened = [
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30)
        for _ in range(499)
    ]
    try:
        assert webhook.say(post(value(statuses=[status()]))) == 200
        for connection in opened:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        answers = {connection.recv(65536).split(b"\r\n")[0] for connection in opened}
    finally:
        for connection in opened:
            connection.close()

    assert answers == {b"HTTP/1.1 200 OK"}


# What follows


def test_on_a_server_a_job_acts_on_what_was_heard_one_run_at_a_time(
    sqlite_clinic: Clinic, serve: Serve
) -> None:
    migrate(sqlite_clinic)
    for number in range(5):
        add_sent(sqlite_clinic, number)
    webhook = serve(sqlite_clinic)
    most = 0

    for number in range(5):
        webhook.say(post(value(statuses=[status(f"w{number}")])))
        most = max(most, len(_children(webhook.process.pid)))
    delivered = "SELECT count(*) FROM smartia_outbox WHERE state = 'delivered'"
    _until(lambda: sqlite_clinic.value(delivered) == 5)

    assert most == 1


def test_on_cloud_run_nothing_is_started_after_the_answer(
    postgres_clinic: Clinic, serve: Serve
) -> None:
    migrate(postgres_clinic)
    webhook = serve(postgres_clinic)

    webhook.say(post(value(statuses=[status()])))

    time.sleep(0.5)
    assert _children(webhook.process.pid) == []
    assert _unapplied(postgres_clinic) == 1


def test_nothing_of_a_post_is_logged_but_counts(clinic: Clinic, serve: Serve) -> None:
    migrate(clinic)
    webhook = serve(clinic, LOG_FORMAT="json")

    webhook.say(post(value(statuses=[status("wamid.SECRET")], messages=[written("Sim")])))
    webhook.say(post(value(messages=[message("audio", "wamid.IN9"), {"type": "x"}])))
    webhook.send(b"Sim wamid", "sha256=" + "0" * 64)
    webhook.shake(mode="subscribe", challenge="1", verify_token="Sim")
    logged = webhook.end()

    assert '"statuses":1' in logged
    assert not [private for private in PRIVATE if private in logged]


def test_sigterm_ends_it_with_its_status(sqlite_clinic: Clinic, serve: Serve) -> None:
    webhook = serve(sqlite_clinic)

    webhook.end()

    assert webhook.process.returncode == 128 + signal.SIGTERM


def _unapplied(clinic: Clinic) -> int:
    return int(clinic.value("SELECT count(*) FROM smartia_statuses WHERE applied_at IS NULL"))


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return found


def _until(true: Callable[[], bool]) -> None:
    """Look a bounded number of times, so that a test cannot hang."""
    for _ in range(400):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it never came true")
