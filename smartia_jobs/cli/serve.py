"""``smartia-jobs serve``: the old HTTP endpoints, with authentication."""

import os
from typing import Annotated

import typer

from smartia_jobs.cli.context import errors_as_status, read_settings
from smartia_jobs.cli.options import EnvFile
from smartia_jobs.errors import ConfigurationError, InterruptedRunError, how_to_install

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
    env_file: EnvFile = None,
) -> None:
    """Hear what WhatsApp says, and start jobs when asked over HTTP, until a signal.

    /webhook stores what Meta posts; META_VERIFY_TOKEN and META_APP_SECRET
    turn it on. HTTP_AUTH turns on the jobs under SmartIA's old paths, each a
    process of its own; callers need a token (HTTP_TOKEN).
    GET /health tells that the service is there.

    Example: smartia-jobs serve --port 8080
    """
    with errors_as_status("serve"):
        settings = read_settings(env_file)
        from smartia_jobs.launch import start_logs

        start_logs(settings, "serve", "serve")
        from smartia_jobs.clock import SystemClock
        from smartia_jobs.settings.checks import require_service

        require_service(settings)
        try:
            from smartia_jobs.web.service import serve as serve_until_a_signal
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "The HTTP service needs two libraries that are not installed. "
                f"Install them with: {how_to_install(*LIBRARIES)}"
            ) from error
        from smartia_jobs.web.children import Children

        try:
            serve_until_a_signal(
                settings,
                Children(env_file),
                SystemClock(),
                address=(host or _usual_host(), port),
                announce=_announce,
            )
        except InterruptedRunError as error:
            raise typer.Exit(int(error.exit_status)) from None


def _usual_host() -> str:
    """Return this machine alone, or where a platform that names the port looks for us."""
    return "0.0.0.0" if os.environ.get("PORT") else "127.0.0.1"  # noqa: S104 (asks for a token)


def _announce(url: str, routes: list[str]) -> None:
    typer.echo(f"Listening on {url} for {', '.join(routes)}")
