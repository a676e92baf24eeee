"""Whose turn it is: which clinics of a folder one process takes, by shard, name and local hour."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from smartia_jobs.errors import ConfigurationError, UsageError
from smartia_jobs.settings.clinics import Clinic
from smartia_jobs.settings.environment import zone_of

#: For how long after its hour a clinic is still taken: a trigger that comes late, or one that
#: was missed, loses nobody's day.
_HOURS_TAKEN = 3


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several equal parts of a fleet.

    Attributes:
        index: which, from 0.
        count: how many there are.
    """

    index: int = 0
    count: int = 1

    def __str__(self) -> str:
        """Return it as ``--shard`` takes it."""
        return f"{self.index}/{self.count}"


@dataclass(frozen=True, slots=True)
class Choice:
    """What one process takes.

    Attributes:
        now: the clinics whose turn it is, by name.
        not_now: the names of those whose local time is another.
    """

    now: tuple[Clinic, ...]
    not_now: tuple[str, ...]


def shard_from(text: str) -> Shard:
    """Read ``2/8``: the third of eight parts.

    Raises:
        ValueError: it is no such thing.
    """
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text, re.ASCII)
    if match is None or int(match[1]) >= int(match[2]):
        raise ValueError(f"{text!r} is no part of a whole such as 0/4, 1/4, 2/4 or 3/4")
    return Shard(int(match[1]), int(match[2]))


def shard_of(environ: Mapping[str, str]) -> Shard:
    """Return the part that the platform gave this process; the whole where there is none.

    Cloud Run tells a task its index and how many there are. Kubernetes tells a pod of an Indexed
    Job its index alone, so ``JOB_COMPLETIONS`` has to say how many there are.

    Source: https://cloud.google.com/run/docs/container-contract and
    https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode (2026-11).

    Raises:
        ConfigurationError: the platform's words do not fit together.
    """
    for index, count in (
        ("CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT"),
        ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"),
    ):
        if not environ.get(index, "").strip():
            continue
        if not environ.get(count, "").strip():
            raise ConfigurationError(
                f"{index} says which part of the fleet is this one's, and {count} is not set: "
                "of how many. Set it, or give --shard INDEX/COUNT."
            )
        try:
            return shard_from(f"{environ[index].strip()}/{environ[count].strip()}")
        except ValueError as error:
            raise ConfigurationError(f"{index}/{count}: {error}.") from None
    return Shard()


def choose(
    clinics: Sequence[Clinic],
    *,
    shard: Shard,
    only: Collection[str] = (),
    at: int | None = None,
    now: datetime,
) -> Choice:
    """Return whose turn it is.

    All shards together take each clinic once, as long as they see the same folder. Should they
    not, a clinic is taken twice or in the next run; the outbox keeps its patients from being told
    twice.

    Args:
        clinics: all of the folder, by name.
        shard: which part of them.
        only: the names of those that are meant; empty: all.
        at: the local hour; a clinic is taken from then on for three hours. None: at any time.
        now: an aware instant.

    Raises:
        UsageError: ``only`` names a clinic that is not there.
    """
    unknown = set(only) - {clinic.name for clinic in clinics}
    if unknown:
        raise UsageError(
            f"--only {', '.join(sorted(unknown))}: there is no such clinic in this folder."
        )
    meant = [clinic for clinic in clinics if not only or clinic.name in only]
    mine = meant[shard.index :: shard.count]
    its_turn = [clinic for clinic in mine if at is None or _is_its_hour(clinic, at, now)]
    names = {clinic.name for clinic in its_turn}
    return Choice(tuple(its_turn), tuple(one.name for one in mine if one.name not in names))


def _is_its_hour(clinic: Clinic, at: int, now: datetime) -> bool:
    """Whether it is this hour at the clinic; one without a readable zone is run, and says so."""
    zone = zone_of(clinic.given)
    return zone is None or (now.astimezone(zone).hour - at) % 24 < _HOURS_TAKEN
