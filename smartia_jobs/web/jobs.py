"""The old HTTP endpoints: who may start a job, with which parameters, and what is answered."""

import hmac
import json
import logging
import re
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from smartia_jobs.clock import Clock
from smartia_jobs.errors import ExitStatus
from smartia_jobs.logs import log_event
from smartia_jobs.settings import Settings
from smartia_jobs.web.children import Children, Ended, NotStarted
from smartia_jobs.web.old_fields import with_old_fields

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """One command behind its old path.

    Attributes:
        method: the only one that the path takes.
        path: as the old program had it.
        command: of this program.
        parameters: which query parameters it takes.
    """

    method: str
    path: str
    command: str
    parameters: frozenset[str]


_SENDING, _COUNTING = frozenset({"dry_run", "limit"}), frozenset({"days", "until"})

JOBS = (
    Job("POST", "/jobs/reminders/72h", "72h", _SENDING),
    Job("POST", "/jobs/reminders/24h", "24h", _SENDING),
    Job("POST", "/jobs/reminders/2h", "2h", _SENDING),
    Job("POST", "/jobs/no-shows", "no-show", _SENDING),
    Job("POST", "/jobs/replies", "replies", _SENDING),
    Job("GET", "/jobs/metrics", "metrics", _COUNTING),
)

#: The form of each parameter; the command itself checks the rest.
_FORMS = {
    "dry_run": (r"[01]", "1 or 0"),
    "limit": (r"[0-9]{1,9}", "a whole number"),
    "days": (r"[0-9]{1,9}", "a whole number"),
    "until": (r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "a day such as 2026-03-31"),
}

_HTTP_STATUS = {
    ExitStatus.OK: 200,
    ExitStatus.UNREACHED: 200,
    ExitStatus.USAGE: 400,
    ExitStatus.UNAVAILABLE: 503,
    ExitStatus.RETRY: 503,
    ExitStatus.INTERRUPTED: 503,
    ExitStatus.TERMINATED: 503,
    ExitStatus.REFUSED: 500,
    ExitStatus.CONFIGURATION: 500,
    ExitStatus.BUG: 500,
}


def job_routes(settings: Settings, children: Children, clock: Clock) -> list[Route]:
    """Return a route for each job."""
    return [_route(job, settings, children, clock) for job in JOBS]


def _route(job: Job, settings: Settings, children: Children, clock: Clock) -> Route:
    async def answer(request: Request) -> Response:
        began_s = clock.monotonic()
        if not _may_start(request, settings):
            status, body = 401, _refusal("Authorization: Bearer and the right token are needed")
        else:
            status, body = await _answer(job, request.query_params)
        log_event(
            logger,
            logging.INFO if status < 400 else logging.WARNING,
            "job asked for over HTTP",
            event="http_job",
            path=job.path,
            http_status=status,
            exit_code=body.get("exit_code"),
            duration_ms=round(1000 * (clock.monotonic() - began_s)),
        )
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
        return JSONResponse(body, status, headers=headers)

    async def _answer(job: Job, query: QueryParams) -> tuple[int, dict[str, Any]]:
        try:
            options = _options(job, query)
        except ValueError as error:
            return 400, _refusal(str(error))
        ended = await run_in_threadpool(children.run, job.command, options)
        match ended:
            case NotStarted.RUNNING:
                return 409, _refusal(ended)
            case NotStarted.ENDING:
                return 503, _refusal(ended)
            case Ended():
                at = clock.now().astimezone(settings.clinic_timezone)
                report = _report(job, ended)
                body = with_old_fields(job.command, report, ended.exit_code, at=at)
                return _http_status(ended.exit_code), {**body, "exit_code": ended.exit_code}

    return Route(job.path, answer, methods=[job.method])


def _may_start(request: Request, settings: Settings) -> bool:
    """Return whether the caller has shown the token; with ``iam`` Cloud Run has asked already.

    Cloud Scheduler's own headers prove nothing: anybody can send them.
    """
    if settings.http_auth == "iam":
        return True
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    token = (settings.http_token or "").encode()
    same = hmac.compare_digest(given.strip().encode("latin-1"), token)
    return bool(token) and scheme.lower() == "bearer" and same


def _options(job: Job, query: QueryParams) -> list[str]:
    """Return the command's options for a query.

    Raises:
        ValueError: saying which parameter is wrong; its value is not quoted.
    """
    options = []
    for name, value in query.multi_items():
        if name not in job.parameters:
            known = ", ".join(sorted(job.parameters))
            raise ValueError(f"a query parameter is unknown; this job takes {known}")
        expression, form = _FORMS[name]
        if not re.fullmatch(expression, value) or len(query.getlist(name)) > 1:
            raise ValueError(f"{name} must be {form}, and given once")
        if name != "dry_run":
            options.append(f"--{name}={value}")
        elif value == "1":
            options.append("--dry-run")
    return options


def _report(job: Job, ended: Ended) -> dict[str, Any]:
    """Return the JSON object that a job printed, or that it printed none."""
    try:
        report: dict[str, Any] = json.loads(ended.output)
    except ValueError:
        return {"job": job.command, "error": "the job ended without a report; its log says why"}
    return report


def _http_status(exit_code: int) -> int:
    """Return the HTTP status for a job's exit status; 500 also for a job that was killed."""
    try:
        return _HTTP_STATUS[ExitStatus(exit_code)]
    except ValueError:
        return 500


def _refusal(why: str) -> dict[str, Any]:
    return {"error": str(why), "success": False}
