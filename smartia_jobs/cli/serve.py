"""``smartia-jobs serve``: the old HTTP endpoints, with authentication."""

import logging
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartia_jobs.cli.context import errors_as_status, log_as_environment_asks, read_settings
from smartia_jobs.cli.options import EnvFile
from smartia_jobs.errors import ConfigurationError, InterruptedRunError, how_to_install

if TYPE_CHECKING:
    from smartia_jobs.web.children import Children
    from smartia_jobs.web.service import Routes

logger = logging.getLogger(__name__)

#: What the service is made of: the extra ``http``.
LIBRARIES = ("starlette>=1.0,<2", "uvicorn>=0.40,<1")


def serve(
    *,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            help="Listen here (127.0.0.1; with PORT in the environment 0.0.0.0).",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            "--port", envvar="PORT", min=0, max=65535, help="And on this port; 0 takes a free one."
        ),
    ] = 8080,
    clinics: Annotated[
        Path | None,
        typer.Option(
            "--clinics",
            metavar="DIR",
            help="Be the webhook of many clinics: a folder with a settings file NAME.env for each.",
            show_default=False,
        ),
    ] = None,
    env_file: EnvFile = None,
) -> None:
    """Hear what WhatsApp says, and start jobs when asked over HTTP, until a signal.

    /webhook stores what Meta posts; META_VERIFY_TOKEN and META_APP_SECRET
    turn it on. HTTP_AUTH turns on the jobs under SmartIA's old paths, each a
    process of its own; callers need a token (HTTP_TOKEN).
    GET /health tells that the service is there.

    With --clinics it is one webhook for all of them. What Meta posts about a
    number is stored for the clinic with that META_PHONE_NUMBER_ID, if its own
    META_APP_SECRET has signed it.

    Example: smartia-jobs serve --port 8080

    Example: smartia-jobs serve --clinics /srv/clinics
    """
    if clinics is not None and env_file is not None:
        raise typer.BadParameter("each clinic of --clinics has its own", param_hint="--env-file")
    with errors_as_status("serve"):
        service = _of_one(env_file) if clinics is None else _of_many(clinics)
        from smartia_jobs.cli.signals import leave_in_time
        from smartia_jobs.web.service import serve as serve_until_a_signal

        try:
            serve_until_a_signal(
                service.routes,
                service.children,
                address=(host or _usual_host(), port),
                announce=partial(_announce, whom=service.whom),
                on_signal=leave_in_time,
            )
        except InterruptedRunError as error:
            raise typer.Exit(int(error.exit_status)) from None


@dataclass(frozen=True, slots=True)
class _Service:
    """What is served, the jobs that it starts, and for whom, in words."""

    routes: "Routes"
    children: "Children"
    whom: str = ""


def _of_one(env_file: Path | None) -> _Service:
    settings = read_settings(env_file)
    from smartia_jobs.launch import start_logs

    start_logs(settings, "serve", "serve")
    from smartia_jobs.clock import SystemClock
    from smartia_jobs.settings.checks import require_service

    require_service(settings)
    _require_libraries()
    from smartia_jobs.web.children import Children
    from smartia_jobs.web.service import routes_of_one

    children = Children(env_file)
    return _Service(routes_of_one(settings, children, SystemClock()), children)


def _of_many(folder: Path) -> _Service:
    """Return what serves a folder; what is the service's own is in the environment alone."""
    from smartia_jobs.logs import log_event
    from smartia_jobs.settings.clinics import read_clinics

    log_as_environment_asks("serve")
    if os.environ.get("HTTP_AUTH", "").strip():
        raise ConfigurationError(
            "HTTP_AUTH starts the jobs of one clinic over HTTP, and --clinics serves the webhook "
            "of many. Remove it, and schedule their jobs: smartia-jobs fleet."
        )
    found = read_clinics(folder, os.environ)
    for warning in found.warnings:
        log_event(logger, logging.WARNING, warning, event="settings_warning")
    _require_libraries()
    from smartia_jobs.clock import SystemClock
    from smartia_jobs.web.children import Children
    from smartia_jobs.web.clinics import clinics_to_serve
    from smartia_jobs.web.service import routes_of_many

    served = clinics_to_serve(found.all)
    children = Children(clinics=folder)
    on_cloud_run = bool(os.environ.get("K_SERVICE", "").strip())
    routes = routes_of_many(served, children, SystemClock(), on_cloud_run=on_cloud_run)
    return _Service(routes, children, f" of {len(served.all)} of {len(found.all)} clinics")


def _require_libraries() -> None:
    try:
        import smartia_jobs.web.service  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "The HTTP service needs two libraries that are not installed. "
            f"Install them with: {how_to_install(*LIBRARIES)}"
        ) from error


def _usual_host() -> str:
    """Return this machine alone, or where a platform that names the port looks for us."""
    return "0.0.0.0" if os.environ.get("PORT") else "127.0.0.1"  # noqa: S104 (asks for a token)


def _announce(url: str, routes: list[str], *, whom: str) -> None:
    typer.echo(f"Listening on {url} for {', '.join(routes)}{whom}")
