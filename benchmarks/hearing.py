"""How fast the service takes what Meta posts, how soon it is there, and how much it needs."""

import hmac
import json
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import requests

from benchmarks.clinics import postgresql_clinic, sqlite_clinic
from benchmarks.measure import environment, peak_mib, run
from benchmarks.results import Result
from benchmarks.start import PROGRAM, settings
from tests.support.postgres import create_database

_META = Path(__file__).with_name("senders") / "meta.py"
_SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105 - made up

#: As if all visits of the next day had been reminded an hour ago.
_REMINDED = """
    INSERT INTO smartia_outbox (appointment_id, kind, start, patient_id, phone, state, run_id,
        template, message_id, created_at, updated_at, sent_at, claimed_at)
    SELECT appointments.id, '24h', appointment_date, patient_id, '+' || phone_number, 'sent', 'r',
        'smartia_lembrete_24h_v2', 'wamid.' || appointments.id, sent, sent, sent, sent
    FROM appointments JOIN patients ON patients.id = patient_id,
        (SELECT strftime('%Y-%m-%d %H:%M:%S.000000', 'now', '-1 hour') AS sent)
    WHERE status = 'SCHEDULED' ORDER BY appointments.id DESC LIMIT ?
"""
#: No tap is waited for any longer.
_LONGEST_S = 60

#: Meta asks for three times the rate of sending; 80 a second is the usual highest.
_RATE = 400


@dataclass(frozen=True, slots=True)
class _Taken:
    """What Meta saw of its posts."""

    all_s: float
    each_s: list[float]

    @property
    def rate(self) -> float:
        return len(self.each_s) / self.all_s

    @property
    def p99_ms(self) -> float:
        return sorted(self.each_s)[int(len(self.each_s) * 0.99)] * 1000


class _Service:
    """``serve``, listening until the block ends; then it is known how much memory it took."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder = folder
        self._env = env
        self.peak_mib = 0.0

    def __enter__(self) -> Self:
        began_s = time.perf_counter()
        self._process = subprocess.Popen(
            [*PROGRAM, "serve", "--port", "0"],
            cwd=self._folder,
            env={**environment(), **self._env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if self._process.stdout is None:
            raise RuntimeError("the service has no standard output")
        self._url = urlsplit(self._process.stdout.readline().split()[2])
        self.start_s = time.perf_counter() - began_s
        return self

    def __exit__(self, *_: object) -> None:
        self.peak_mib = peak_mib(self._process.pid)
        self._process.terminate()
        self._process.wait()

    @property
    def webhook(self) -> str:
        return f"{self._url.geturl()}/webhook"

    def take(self, posts: int, *, statuses: int = 1, rate: float = 0) -> _Taken:
        """Post to it as Meta does."""
        where = [str(self._url.hostname), str(self._url.port)]
        account = [_SECRET, self._env["META_PHONE_NUMBER_ID"]]
        numbers = [str(posts), str(statuses), str(rate)]
        command = [sys.executable, str(_META), *where, *account, *numbers]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        return _Taken(**json.loads(done.stdout))


def hearing(folder: Path, postgresql: str, *, quick: bool) -> Iterator[Result]:
    """One process on PostgreSQL, beside the database and whoever posts on the same machine."""
    name = "heard"
    create_database(postgresql, name)
    clinic = postgresql_clinic(postgresql.format(database=name))
    env = {
        **settings(clinic),
        "META_VERIFY_TOKEN": "made-up",
        "META_APP_SECRET": _SECRET,
        "K_SERVICE": "webhook",  # as on Cloud Run, where the service itself starts nothing
    }
    run([*PROGRAM, "db", "upgrade"], folder=folder, env=env)
    idle = [_Service(folder, env) for _ in range(3 if quick else 9)]
    for service in idle:
        with service:
            pass
    starts = [service.start_s for service in idle]
    yield Result(
        "`serve`: from its start until it listens, in seconds",
        statistics.median(starts),
        f"{min(starts):.2f} to {max(starts):.2f} s",
    )
    with _Service(folder, env) as service:
        service.take(200)
        steady = service.take(1000 if quick else 12_000, rate=_RATE)
        bundle = [service.take(1, statuses=1000).all_s for _ in range(3 if quick else 9)]
        most = service.take(1000 if quick else 8000)
    yield Result(
        f"webhook, PostgreSQL, one status a post: answered / {_RATE} a second",
        steady.rate / _RATE,
        f"{steady.rate:.0f}/s over {len(steady.each_s):,} posts",
        at_least=0.97,
    )
    yield Result(
        "the same: 99th percentile of the answers, in milliseconds",
        steady.p99_ms,
        f"median {statistics.median(steady.each_s) * 1000:.1f} ms",
        at_most=250,
    )
    yield Result(
        "webhook, PostgreSQL, 1,000 statuses in one post: seconds until they are stored",
        statistics.median(bundle),
        f"{min(bundle):.2f} to {max(bundle):.2f} s",
        at_most=1,
    )
    yield Result(
        "webhook, PostgreSQL, 32 connections, as fast as they are answered: posts a second",
        most.rate,
        f"99th percentile {most.p99_ms:.0f} ms",
        at_least=_RATE,
    )
    yield Result(
        "`serve`: most memory in all this, in MiB",
        service.peak_mib,
        f"{statistics.median(one.peak_mib for one in idle):.0f} MiB when it listened",
    )


def taps(folder: Path, *, quick: bool) -> Iterator[Result]:
    """From a patient's tap to the change in the agenda, on a server: one tap after the other."""
    path, number = folder / "taps.db", 3 if quick else 20
    clinic = sqlite_clinic(path, due=number, others=10_000)
    env = {**settings(clinic), "META_VERIFY_TOKEN": "made-up", "META_APP_SECRET": _SECRET}
    del env["META_ACCESS_TOKEN"]  # nobody is to be written back
    run([*PROGRAM, "db", "upgrade"], folder=folder, env=env)
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE appointments SET status = 'SCHEDULED' WHERE status = 'CONFIRMED'")
        database.execute(_REMINDED, (number,))
        database.commit()
        (word,) = database.execute("SELECT word FROM smartia_installation").fetchone()
        rows = database.execute(
            "SELECT id, appointment_id, phone FROM smartia_outbox ORDER BY id"
        ).fetchall()
    with _Service(folder, env) as service:
        taken = [_tap(service, path, word, row, env["META_PHONE_NUMBER_ID"]) for row in rows]
    yield Result(
        "`serve`, SQLite: the longest from a tap to its visit's CONFIRMED, in seconds",
        max(taken),
        f"{len(taken)} taps, median {statistics.median(taken):.2f} s",
        at_most=3,
    )


def _tap(
    service: _Service, path: Path, word: str, row: tuple[int, int, str], number_id: str
) -> float:
    """Post one tap, and return after how many seconds its visit is confirmed."""
    outbox_id, visit, phone = row
    button = {"payload": f"confirm:{word}:{outbox_id}", "text": "Confirmar presença"}
    message = {
        "from": phone.removeprefix("+"),
        "id": f"wamid.TAP{outbox_id}",
        "timestamp": str(int(time.time())),
        "type": "button",
        "context": {"id": f"wamid.{visit}"},
        "button": button,
    }
    value = {"metadata": {"phone_number_id": number_id}, "messages": [message]}
    entry = {"id": "1", "changes": [{"field": "messages", "value": value}]}
    body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
    signature = hmac.new(_SECRET.encode(), body, sha256).hexdigest()
    began_s = time.perf_counter()
    headers = {"X-Hub-Signature-256": f"sha256={signature}"}
    requests.post(service.webhook, body, headers=headers, timeout=10).raise_for_status()
    with closing(sqlite3.connect(path)) as database:
        while time.perf_counter() - began_s < _LONGEST_S:
            asked = "SELECT status FROM appointments WHERE id = ?"
            if database.execute(asked, (visit,)).fetchone() == ("CONFIRMED",):
                break
            time.sleep(0.01)
    return time.perf_counter() - began_s
