"""``make bench``: measure everything, print one table, write it into ``docs/benchmarks.md``.

    python -m benchmarks [--quick]

``--quick`` takes two minutes, proves that everything runs, is too short for a judgement, and
writes nothing.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import fleet, hearing, results, sending, start
from benchmarks.results import Result
from tests.support.postgres import create_database, private_cluster

_PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def _measure(folder: Path, postgresql: str, *, quick: bool) -> Iterator[Result]:
    for name in ("few", "many"):
        create_database(postgresql, name)
    yield from start.starts(folder, rounds=5 if quick else 25)
    yield from start.scale(
        folder, postgresql, many=100_000 if quick else 1_000_000, rounds=3 if quick else 15
    )
    yield from start.metrics(folder, visits=10_000 if quick else 110_000)
    yield from hearing.hearing(folder, postgresql, quick=quick)
    yield from hearing.taps(folder, quick=quick)
    yield from fleet.idle(folder, postgresql, quick=quick)
    post = sending.Post(folder, postgresql)
    yield from sending.clinic_pace(post)
    yield from sending.number_pace(post, quick=quick)
    yield from sending.memory(post, quick=quick)
    yield from sending.loops(post, quick=quick)
    yield from sending.without_cap(post, quick=quick)
    yield from sending.highest_tier(post, quick=quick)
    yield from fleet.morning(post, quick=quick)


def main(*, quick: bool) -> None:
    found: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="smartia-bench-") as folder, private_cluster() as url:
        for result in _measure(Path(folder), url, quick=quick):
            found.append(result)
            what, value, target, verdict, detail = result.cells()
            print(f"{value:>6} {target:>7} {verdict:<7} {what} ({detail})", flush=True)
    results.show(found)
    if not quick:
        results.write(found, _PAGE)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv[1:])
