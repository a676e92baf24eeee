"""How fast messages leave, beside a loop of threads that does nothing but post."""

import bisect
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.clinics import Clinic, postgresql_clinic, sqlite_clinic
from benchmarks.measure import Cost, interleaved, run, together
from benchmarks.results import Result
from benchmarks.start import PROGRAM, settings
from tests.support.postgres import create_database

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"

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

    @property
    def cpu_ms(self) -> float:
        """Processor time a message, start-up included."""
        return self.cost.cpu_s / len(self.arrived) * 1000


class Post:
    """Servers with a made-up certificate, and the senders that are measured against them."""

    def __init__(self, folder: Path, postgresql: str) -> None:
        """Make the certificate; ``postgresql`` is the URL of a server, see ``tests.support``."""
        self.folder = folder
        self._postgresql = postgresql
        self._databases = (f"due{number}" for number in count())
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
        self,
        command: Callable[[str], Sequence[str | Path]],
        latency_ms: int,
        *,
        tasks: int = 1,
        told: bool = True,
        **env: str,
    ) -> Sent:
        """Run a sender against a fresh server, whose address its command and environment get.

        Several tasks run at one time, as Cloud Run starts them.

        Args:
            command: returns the arguments of the interpreter, given the address.
            latency_ms: how long the server takes to answer.
            tasks: how many run.
            told: whether the environment has the address, too.
            env: of the sender.
        """
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
            programs = [
                partial(
                    run,
                    [sys.executable, *command(url)],
                    folder=self.folder,
                    env={
                        **env,
                        **({"META_API_URL": url} if told else {}),
                        "DATABASE_IS_A_COPY": "1",
                        "CLOUD_RUN_TASK_INDEX": str(task),
                        "CLOUD_RUN_TASK_COUNT": str(tasks),
                    },
                    log=f"log.{task}",
                )
                for task in range(tasks)
            ]
            try:
                cost = together(programs)
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
        self,
        clinic: Clinic,
        latency_ms: int,
        *,
        rate: int | None = None,
        workers: int | None = None,
        tasks: int = 1,
    ) -> Sent:
        """Measure a whole run of ``24h``.

        Our own tables are there already: a clinic's first run alone has to make them.

        Args:
            clinic: in which nothing was sent yet.
            latency_ms: how long the server takes to answer.
            rate: SEND_RATE; None for no cap at all.
            workers: SEND_WORKERS; None for as many as the program itself chooses.
            tasks: processes that share the rate.
        """
        run([*PROGRAM, "db", "upgrade"], folder=self.folder, env=settings(clinic))
        env = settings(clinic)
        if workers is not None:
            env["SEND_WORKERS"] = str(workers)
        if rate is not None:
            env["SEND_RATE"] = str(rate)
        pace = "uncapped" if rate is None else "capped"
        return self.measure(
            lambda _: [_SENDERS / "smartia.py", self.bundle, pace, "24h", "--json"],
            latency_ms,
            tasks=tasks,
            **env,
        )

    def fresh(self, due: int, *, engine: str = SQLITE, journal: str = "delete") -> Clinic:
        """Make a clinic in which nothing was sent yet."""
        if engine == POSTGRESQL:
            name = next(self._databases)
            create_database(self._postgresql, name)
            return postgresql_clinic(self._postgresql.format(database=name), due=due)
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


def clinic_pace(post: Post) -> Iterator[Result]:
    """A clinic's morning, at the rate that is set unless somebody changes it."""
    for engine in (SQLITE, POSTGRESQL):
        sent = post.program(post.fresh(200, engine=engine), 200, rate=20)
        yield _achieved(sent, f"`SEND_RATE=20`, 200 ms, {engine}", 20)


def number_pace(post: Post, *, quick: bool) -> Iterator[Result]:
    """The highest rate of an ordinary number: held, never exceeded, and with little work."""
    messages = 400 if quick else 2000
    for engine in (SQLITE, POSTGRESQL):
        sent = post.program(post.fresh(messages, engine=engine), 300, rate=80)
        yield _achieved(sent, f"`SEND_RATE=80`, 300 ms, {engine}", 80)
        yield Result(
            f"the same, {engine}: messages in its worst second",
            sent.worst_second,
            "any second, sliding",
            at_most=82,
        )
        yield Result(
            f"the same, {engine}: share of a core",
            sent.cost.cpu_s / sent.cost.wall_s,
            f"{sent.cpu_ms:.2f} ms CPU a message, start-up included",
            at_most=0.35,
        )


def memory(post: Post, *, quick: bool) -> Iterator[Result]:
    """Whether memory grows with the number of visits that are due.

    The middle one of three: how many heaps the C library makes for the threads is chance.
    """
    few, many, rounds = 1000, 10_000 if quick else 100_000, 1 if quick else 3
    taken = {
        due: statistics.median(
            post.program(post.fresh(due, journal="wal"), 0, workers=64).cost.peak_mib
            for _ in range(rounds)
        )
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
    ours = post.program(post.fresh(max(messages, 500)), 200, workers=64)
    for kind, what in (("requests", "`requests.post`"), ("pywa", "pywa")):
        theirs = post.loop(kind, messages, 200)
        yield Result(
            f"{what} and a commit for each message, in a loop, 200 ms: × faster than it",
            ours.rate / theirs.rate,
            f"{ours.rate:.0f}/s / {theirs.rate:.1f}/s",
            at_least=55,
        )


def without_cap(post: Post, *, quick: bool) -> Iterator[Result]:
    """What 64 workers can do, beside the bare loop."""
    messages = 1000 if quick else 6000

    def on(engine: str) -> Sent:
        return post.program(post.fresh(messages, engine=engine), 200, workers=64)

    taken = interleaved(
        1 if quick else 3,
        bare=lambda: post.bare(messages, 64, 200),
        **{engine: partial(on, engine) for engine in (SQLITE, POSTGRESQL)},
    )
    bare = taken["bare"]
    for engine in (SQLITE, POSTGRESQL):
        ours = taken[engine]
        yield Result(
            f"64 workers, 200 ms, no cap, {engine}: messages/s / the bare loop's",
            _rate(ours) / _rate(bare),
            f"{_rate(ours):.0f}/s / {_rate(bare):.0f}/s",
        )
        yield Result(
            f"the same, {engine}: CPU a message / the bare loop's",
            _cpu_ms(ours) / _cpu_ms(bare),
            f"{_cpu_ms(ours):.2f} ms / {_cpu_ms(bare):.2f} ms, start-up included",
        )


def highest_tier(post: Post, *, quick: bool) -> Iterator[Result]:
    """Meta's highest rate, everything recorded, from one process and from two that share it."""
    messages = 2000 if quick else 20_000

    def on(engine: str, tasks: int) -> Sent:
        return post.program(post.fresh(messages, engine=engine), 200, rate=1000, tasks=tasks)

    senders = {
        f"{engine}, {name}": partial(on, engine, tasks)
        for engine, name, tasks in (
            (SQLITE, "one process", 1),
            (POSTGRESQL, "one process", 1),
            (POSTGRESQL, "two processes", 2),
        )
    }
    taken = interleaved(1 if quick else 2, bare=lambda: post.bare(messages, 256, 200), **senders)
    held = min(1000.0, _rate(taken["bare"]))
    for name in senders:
        rate = _rate(taken[name])
        yield Result(
            f"`SEND_RATE=1000`, 200 ms, {messages:,} messages, {name}: rate / what the bare loop"
            " holds, at most 1,000/s",
            rate / held,
            f"{rate:.0f}/s / {held:.0f}/s; {_cpu_ms(taken[name]):.2f} ms CPU a message",
        )


def _achieved(sent: Sent, what: str, rate: int) -> Result:
    return Result(
        f"{what}: achieved / {rate}",
        sent.rate / rate,
        f"{sent.rate:.1f}/s over {len(sent.arrived):,} messages",
        at_least=0.97,
    )


def _rate(sent: Sequence[Sent]) -> float:
    return statistics.median(one.rate for one in sent)


def _cpu_ms(sent: Sequence[Sent]) -> float:
    return statistics.median(one.cpu_ms for one in sent)
