"""What came of a job at all clinics, and whether running it again would help any of them."""

import json
import signal
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from smartia_jobs.errors import PRECEDENCE, ExitStatus
from smartia_jobs.fleet.choice import Shard
from smartia_jobs.fleet.processes import Ended

#: What a clinic's own object has that the fleet's leaves out: one line a visit, or told elsewhere.
_LEFT_OUT = frozenset({"decisions", "job", "dry_run"})
#: Figures of a clinic that are no counts, so that no sum of them means anything.
_NO_COUNTS = frozenset({"exit_code", "duration_s", "interactions_missing", "unreadable_dates"})

#: How a process ends that was told to.
_TOLD_TO_END = (ExitStatus.INTERRUPTED, ExitStatus.TERMINATED)

#: Where a clinic's own object has further counts.
_GROUPS = ("skipped", "appointments")

#: What to do about an exit status that a clinic's process gave no reason for.
_ADVICE = {
    ExitStatus.BUG: "a bug in smartia-jobs; please report it with this clinic's log lines",
    ExitStatus.UNREACHED: "many patients were not reached; see its outbox --state failed",
    ExitStatus.UNAVAILABLE: "its database or WhatsApp gave no answer; running again helps",
    ExitStatus.RETRY: "some messages were not accepted; running again sends them",
    ExitStatus.REFUSED: "WhatsApp refuses its account; see its check",
    ExitStatus.CONFIGURATION: "one of its settings is wrong; see its check",
    ExitStatus.USAGE: "it does not take these options",
}


@dataclass(frozen=True, slots=True)
class ClinicEnd:
    """What came of one clinic.

    Attributes:
        name: the clinic's.
        exit_status: what it means to the fleet: a process that was killed or ended is
            :attr:`ExitStatus.RETRY`, because what it had not done is still due.
        figures: its own JSON object.
        advice: what happened and what to do; empty where all is well.
        duration_s: how long it took.
    """

    name: str
    exit_status: ExitStatus
    figures: Mapping[str, Any]
    advice: str
    duration_s: float

    @property
    def counts(self) -> dict[str, int]:
        """What it counted, without zeros, in its own order."""
        figures = dict(self.figures)
        for group in _GROUPS:
            figures |= self.figures.get(group, {})
        figures["calls"] = len(self.figures.get("calls", ()))
        findings = self.figures.get("findings", ())
        figures["warnings"] = sum(one["level"] == "warning" for one in findings)
        return {
            name: count
            for name, count in figures.items()
            if type(count) is int and count and name not in _NO_COUNTS
        }

    def as_json(self) -> dict[str, Any]:
        """Return its own object, with the exit status and what to do."""
        return {
            **self.figures,
            "duration_s": round(self.duration_s, 3),
            "advice": self.advice or None,
            "exit_code": int(self.exit_status),
        }


def end_of(ended: Ended, *, time_limit: timedelta) -> ClinicEnd:
    """Return what a clinic's end means."""
    figures = _figures(ended.output)
    if ended.exit_code < 0 or ended.exit_code in _TOLD_TO_END:
        status, advice = ExitStatus.RETRY, _why_cut_off(ended, time_limit)
    else:
        status = _status(ended.exit_code)
        said = figures.get("error") or figures.get("stopped") or _findings(figures)
        advice = " ".join(str(said or _ADVICE.get(status, "")).split()).rstrip(".")
    return ClinicEnd(ended.name, status, figures, advice, ended.duration_s)


@dataclass(slots=True)
class FleetReport:
    """The sum of a fleet's run.

    Attributes:
        job: what was run, as typed.
        dry_run: nothing was sent or written.
        shard: which part of the fleet.
        not_now: the clinics whose hour it is not.
        warnings: what an operator should look at.
        ends: one for each clinic that was run.
        left: the clinics that were not begun, because the run was told to end.
        stopped: with which status it was told to.
        duration_s: of all of it.
    """

    job: str
    dry_run: bool
    shard: Shard
    not_now: tuple[str, ...]
    warnings: tuple[str, ...]
    ends: list[ClinicEnd] = field(default_factory=list)
    left: tuple[str, ...] = ()
    stopped: ExitStatus | None = None
    duration_s: float = 0.0

    @property
    def exit_status(self) -> ExitStatus:
        """Return 69 or 75 if running again would help any clinic, else the worst of all.

        Never 0 when a clinic failed. A run that was told to end says so.
        """
        if self.stopped is not None:
            return self.stopped
        statuses = {end.exit_status for end in self.ends}
        for status in (ExitStatus.UNAVAILABLE, ExitStatus.RETRY):
            if status in statuses:
                return status
        return worst(statuses)

    @property
    def worst_first(self) -> list[ClinicEnd]:
        """The clinics by what a person must look at first, then by name."""
        order = {status: place for place, status in enumerate(_BY_URGENCY)}
        return sorted(self.ends, key=lambda end: (order[end.exit_status], end.name))

    @property
    def totals(self) -> dict[str, int]:
        """The counts of all clinics together."""
        totals = Counter[str]()
        for end in self.ends:
            totals.update(end.counts)
        return dict(totals)

    def as_json(self) -> dict[str, Any]:
        """Return the stable JSON object that docs/reference.md documents."""
        return {
            "job": f"fleet {self.job}",
            "dry_run": self.dry_run,
            "shard": str(self.shard),
            "clinics": {end.name: end.as_json() for end in self.worst_first},
            "totals": self.totals,
            "not_now": list(self.not_now),
            "left": list(self.left),
            "warnings": list(self.warnings),
            "duration_s": round(self.duration_s, 3),
            "exit_code": int(self.exit_status),
        }


#: A wrong command line, which a single clinic has in no run of its own, before its settings.
_SETTINGS = PRECEDENCE.index(ExitStatus.CONFIGURATION)
_BY_URGENCY = (*PRECEDENCE[:_SETTINGS], ExitStatus.USAGE, *PRECEDENCE[_SETTINGS:])


def worst(statuses: Iterable[ExitStatus]) -> ExitStatus:
    """Return the first of them in the order of precedence; 0 when there is none."""
    found = set(statuses)
    return next((status for status in _BY_URGENCY if status in found), ExitStatus.OK)


def _why_cut_off(ended: Ended, time_limit: timedelta) -> str:
    if ended.over_limit:
        return (
            f"took longer than {time_limit.total_seconds():g} s and was ended; running again goes "
            "on. If it is often so, raise --time-limit"
        )
    if ended.exit_code < 0:
        return (
            f"its process was killed ({_signal(-ended.exit_code)}); what was in flight becomes "
            "unknown when its lease ends, and running again goes on"
        )
    return "was told to end; running again goes on"


def _status(exit_code: int) -> ExitStatus:
    try:
        return ExitStatus(exit_code)
    except ValueError:
        return ExitStatus.BUG


def _figures(output: str) -> dict[str, Any]:
    """Return what a clinic printed: its JSON object, on the last line, and the lines before."""
    # Not splitlines: JSON may hold what it takes for the end of a line, such as U+2028.
    lines = output.rstrip("\n").split("\n") if output else []
    figures: dict[str, Any] = {}
    with suppress(ValueError, IndexError):
        body = json.loads(lines[-1])
        if isinstance(body, dict):
            figures = {name: value for name, value in body.items() if name not in _LEFT_OUT}
            del lines[-1]
    return {**figures, "said": lines} if lines else figures


def _findings(figures: Mapping[str, Any]) -> str:
    """Return the first that is wrong of what a ``check`` found."""
    for one in figures.get("findings", ()):
        if one.get("level") in ("problem", "unreachable"):
            return f"{one.get('name')}: {one.get('text')}"
    return ""


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
