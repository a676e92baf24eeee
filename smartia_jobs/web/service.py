"""The HTTP service itself: which routes exist, and its life from socket to SIGTERM."""

import socket
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from smartia_jobs.clock import Clock
from smartia_jobs.errors import ConfigurationError
from smartia_jobs.settings import Settings
from smartia_jobs.settings.checks import has_webhook
from smartia_jobs.web.children import Children
from smartia_jobs.web.clinics import ManyClinics, OneClinic
from smartia_jobs.web.connections import BoundedProtocol
from smartia_jobs.web.jobs import job_routes
from smartia_jobs.web.webhook import webhook_routes

#: How long callers may still wait for their answers after SIGTERM. A job leaves 9 s after its
#: own at the latest, and Cloud Run kills what is there after 10.
_GRACE_S = 9

Routes = list[Route]

#: For how many of many clinics at a time a job acts on stored posts.
_JOBS_AT_ONCE = 4


def routes_of_one(settings: Settings, children: Children, clock: Clock) -> Routes:
    """Return what a clinic has configured; everything else is 404."""
    found = [Route("/health", _health)]
    if has_webhook(settings):
        on_stored = _leave_it if settings.cloud_run_service else children.after("replies")
        found += webhook_routes(OneClinic(settings), clock, on_stored=on_stored)
    if settings.http_auth is not None:
        found += job_routes(settings, children, clock)
    return found


def routes_of_many(
    clinics: ManyClinics, children: Children, clock: Clock, *, on_cloud_run: bool
) -> Routes:
    """Return one webhook for many clinics."""
    on_stored = _leave_it if on_cloud_run else children.after("replies", at_once=_JOBS_AT_ONCE)
    webhook = webhook_routes(clinics, clock, on_stored=on_stored)
    return [Route("/health", _health), *webhook]


def _leave_it(_: str) -> None:
    """Leave what was stored to the scheduled job.

    Cloud Run stops the processor when a request is answered.
    """


def serve(
    found: Routes,
    children: Children,
    *,
    address: tuple[str, int],
    announce: Callable[[str, list[str]], None],
    on_signal: Callable[[int], None],
) -> None:
    """Serve until a signal, which is raised again at the end.

    Args:
        found: the routes.
        children: the jobs that are started.
        address: host and port; port 0 takes a free one.
        announce: told the service's URL and its routes, once it listens.
        on_signal: told the first signal's number, when it comes. Threads that hang in a database
            would be waited for at the end of the interpreter.

    Raises:
        ConfigurationError: nothing can listen there.
    """
    config = uvicorn.Config(
        Starlette(routes=found),
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        # Lines of our own say what happened, without addresses and parameters.
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    with _listen(address) as listener:
        host, port = listener.getsockname()[:2]
        announce(f"http://{f'[{host}]' if ':' in host else host}:{port}", _shown(found))
        try:
            _Server(config, children, on_signal).run([listener])
        finally:
            children.end()
            children.wait(_GRACE_S)


class _Server(uvicorn.Server):
    """Ends the jobs first, so that whoever waits for them is answered before it ends itself."""

    def __init__(
        self, config: uvicorn.Config, children: Children, on_signal: Callable[[int], None]
    ) -> None:
        super().__init__(config)
        self._children = children
        self._on_signal = on_signal

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            self._on_signal(sig)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A job may be starting, which takes its time; and no pool's turn is waited for.
        threading.Thread(target=self._children.end, daemon=True).start()
        await super().shutdown(sockets)


def _listen(address: tuple[str, int]) -> socket.socket:
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server(address, family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(
            f"port {port} on {host} cannot be used ({error.strerror}); "
            "try another --port or --host."
        ) from None


def _shown(found: Routes) -> list[str]:
    return [f"{min((route.methods or set()) - {'HEAD'})} {route.path}" for route in found]


async def _health(_: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})
