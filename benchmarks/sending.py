"""How fast messages leave, beside a loop of threads that does nothing but post."""

import bisect
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clinics import Clinic, postgresql_clinic, sqlite_clinic
from benchmarks.measure import Cost, interleaved, run
from benchmarks.results import Result
from benchmarks.start import PROGRAM, settings

_HERE = Path(__file__).parent
_SENDERS = _HERE / "senders"


@dataclass(frozen=True, slots=True)
class Sent:
    """What a sender took, and when its messages arrived, in the server's seconds."""

    cost: Cost
    arrived: Sequence[float]

    @property
    def rate(self) -> float:
        """Messages a second, from the first to the last as the server saw them."""
        return (len(self.arrived) - 1) / (self.arrived[-1] - self.arrived[0])

    @property
    def worst_second(self) -> int:
        """The most messages that arrived within any one second."""
        return max(
            bisect.bisect_left(self.arrived, first + 1, lo=index) - index
            for index, first in enumerate(self.arrived)
        )


class Post:
    """Servers with a made-up certificate, and the senders that are measured against them."""

    def __init__(self, folder: Path) -> None:
        """Make the certificate."""
        self.folder = folder
        self.bundle, self._key = folder / "certificate.pem", folder / "key.pem"
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                "-addext", "subjectAltName=DNS:localhost", "-keyout", self._key, "-out",
                self.bundle,
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def measure(
        self, command: Callable[[str], Sequence[str | Path]], latency_ms: int, **env: str
    ) -> Sent:
        """Run a sender against a fresh server, whose address its command and environment get."""
        server = subprocess.Popen(
            [sys.executable, _HERE / "server.py", str(latency_ms), self.bundle, self._key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with server:
            if server.stdout is None:
                raise RuntimeError("the server has no standard output")
            url = f"https://localhost:{int(server.stdout.readline())}"
            try:
                cost = run(
                    [sys.executable, *command(url)],
                    folder=self.folder,
                    env={**env, "META_API_URL": url, "DATABASE_IS_A_COPY": "1"},
                )
            finally:
                arrived, _ = server.communicate()
        return Sent(cost, json.loads(arrived))

    def bare(self, messages: int, workers: int, latency_ms: int) -> Sent:
        """Measure the floor."""
        return self.measure(
            lambda url: [_SENDERS / "bare.py", url, self.bundle, str(messages), str(workers)],
            latency_ms,
        )

    def program(
        self, clinic: Clinic, workers: int, latency_ms: int, *, rate: float | None = None
    ) -> Sent:
        """Measure a whole run of ``24h``; without a rate it is not capped at all.

        Our own tables are there already: a clinic's first run alone has to make them.
        """
        run([*PROGRAM, "db", "upgrade"], folder=self.folder, env=settings(clinic))
        pace = "capped" if rate else "uncapped"
        return self.measure(
            lambda _: [_SENDERS / "smartia.py", self.bundle, pace, "24h", "--json"],
            latency_ms,
            **settings(clinic),
            SEND_RATE=f"{rate or 1000:g}",
            SEND_WORKERS=str(workers),
        )

    def fresh(self, due: int, *, journal: str = "delete") -> Clinic:
        """Make a clinic in which nothing was sent yet."""
        for old in self.folder.glob("due.db*"):
            old.unlink()
        return sqlite_clinic(self.folder / "due.db", due=due, journal=journal)

    def loop(self, kind: str, messages: int, latency_ms: int) -> Sent:
        """Measure a request and a commit for each message, one after the other."""
        clinic = self.fresh(messages)
        return self.measure(
            lambda url: [
                _SENDERS / "loop.py", kind, clinic.url, url, self.bundle, str(messages),
            ],
            latency_ms,
        )  # fmt: skip


def throughput(post: Post, *, quick: bool) -> Iterator[Result]:
    """Compare rate and processor time with the bare loop's."""
    rounds = 1 if quick else 3
    for workers, latency_ms, messages, at_least in (
        (64, 200, 1000 if quick else 6000, 0.95),
        (16, 0, 1000 if quick else 6000, 0.6),
    ):
        taken = interleaved(
            rounds,
            bare=lambda: post.bare(messages, workers, latency_ms),  # noqa: B023 - called at once
            delete=lambda: post.program(post.fresh(messages), workers, latency_ms),  # noqa: B023
            wal=lambda: post.program(post.fresh(messages, journal="wal"), workers, latency_ms),  # noqa: B023
        )
        for journal in ("delete", "wal"):
            yield from _compared(
                f"{workers} workers, {latency_ms} ms, no cap, SQLite {journal}",
                taken[journal],
                taken["bare"],
                at_least=at_least if journal == "delete" else None,
                at_most_cpu=1.5 if journal == "delete" else None,
            )


def highest_tier(post: Post, postgresql: str, *, quick: bool) -> Iterator[Result]:
    """Meta's highest tier from one process, everything recorded."""
    messages = 2000 if quick else 20_000
    rounds = 1 if quick else 2
    databases = iter(range(rounds))

    def on_postgresql() -> Sent:
        url = postgresql.format(database=f"tier{next(databases)}")
        return post.program(postgresql_clinic(url, due=messages), 256, 200, rate=1000)

    taken = interleaved(
        rounds,
        bare=lambda: post.bare(messages, 256, 200),
        delete=lambda: post.program(post.fresh(messages), 256, 200, rate=1000),
        wal=lambda: post.program(post.fresh(messages, journal="wal"), 256, 200, rate=1000),
        postgresql=on_postgresql,
    )
    held = min(1000.0, statistics.median(sent.rate for sent in taken["bare"]))
    for name, what in (
        ("delete", "SQLite delete"),
        ("wal", "SQLite wal"),
        ("postgresql", "PostgreSQL"),
    ):
        rate = statistics.median(sent.rate for sent in taken[name])
        cpu = statistics.median(sent.cost.cpu_s for sent in taken[name]) / messages * 1000
        yield Result(
            f"`SEND_RATE=1000`, 256 workers, 200 ms, {messages:,} messages, {what}: rate / what the"
            " bare loop holds, at most 1,000/s",
            rate / held,
            f"{rate:.0f}/s / {held:.0f}/s; {cpu:.2f} ms CPU a message",
            at_least=None if name == "wal" else 0.95,
        )


def steady(post: Post, *, quick: bool) -> Iterator[Result]:
    """The pace of an ordinary number, as the server sees it."""
    messages = 400 if quick else 2000
    sent = post.program(post.fresh(messages), 60, 300, rate=80)
    yield Result(
        "`SEND_RATE=80`, 300 ms: achieved / 80",
        sent.rate / 80,
        f"{sent.rate:.1f}/s over {messages:,} messages",
        at_least=0.97,
    )
    yield Result(
        "the same: messages in its worst second",
        sent.worst_second,
        "any second, sliding",
        at_most=84,
    )


def memory(post: Post, *, quick: bool) -> Iterator[Result]:
    """Whether memory grows with the number of visits that are due."""
    few, many = 1000, 10_000 if quick else 100_000
    taken = {
        due: post.program(post.fresh(due, journal="wal"), 64, 0).cost.peak_mib
        for due in (few, many)
    }
    yield Result(
        f"peak memory, {many:,} due / {few:,} due",
        taken[many] / taken[few],
        f"{taken[many]:.0f} MiB / {taken[few]:.0f} MiB",
        at_most=1.15,
    )


def loops(post: Post, *, quick: bool) -> Iterator[Result]:
    """How much faster this is than a loop with a commit for each message."""
    messages = 25 if quick else 1000
    ours = post.program(post.fresh(max(messages, 500)), 64, 200)
    for kind, what in (("requests", "`requests.post`"), ("pywa", "pywa")):
        theirs = post.loop(kind, messages, 200)
        yield Result(
            f"{what} and a commit for each message, in a loop, 200 ms: × faster than it",
            ours.rate / theirs.rate,
            f"{ours.rate:.0f}/s / {theirs.rate:.1f}/s",
        )


def _compared(
    what: str,
    ours: Sequence[Sent],
    bare: Sequence[Sent],
    *,
    at_least: float | None,
    at_most_cpu: float | None,
) -> Iterator[Result]:
    def middle(value: Callable[[Sent], float], of: Sequence[Sent]) -> float:
        return statistics.median(value(sent) for sent in of)

    def cpu_ms(sent: Sent) -> float:
        return sent.cost.cpu_s / len(sent.arrived) * 1000

    rate, floor = (middle(lambda sent: sent.rate, of) for of in (ours, bare))
    yield Result(
        f"{what}: messages/s / the bare loop's",
        rate / floor,
        f"{rate:.0f}/s / {floor:.0f}/s",
        at_least=at_least,
    )
    yield Result(
        f"{what}: CPU a message / the bare loop's",
        middle(cpu_ms, ours) / middle(cpu_ms, bare),
        f"{middle(cpu_ms, ours):.2f} ms / {middle(cpu_ms, bare):.2f} ms, start-up included",
        at_most=at_most_cpu,
    )
