"""``smartia-jobs sandbox``: a local WhatsApp Cloud API to try things on; it is not Meta."""

from typing import Annotated

import typer

from smartia_jobs.cli.context import errors_as_status
from smartia_jobs.errors import ConfigurationError


def sandbox(
    *,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="On 127.0.0.1; 0 takes a free one.")
    ] = 8025,
) -> None:
    """Run a local WhatsApp Cloud API that reaches no phone, until Ctrl-C.

    It knows the shipped messages as approved templates, checks requests as
    Meta would, and shows what it received at /sandbox/messages.

    Example: smartia-jobs sandbox --port 8025
    """
    from smartia_jobs.catalogue.definition import definition
    from smartia_jobs.catalogue.loading import load_catalogue
    from smartia_jobs.sandbox.server import Sandbox

    with errors_as_status("sandbox"):
        templates = [
            definition(template, clinic_name="sua clínica", clinic_phone=None)
            for template in load_catalogue(None).templates.values()
        ]
        try:
            server = Sandbox(port=port, templates=templates)
        except OSError as error:
            raise ConfigurationError(
                f"port {port} on 127.0.0.1 cannot be used ({error.strerror}); try --port 0."
            ) from None
        with server:
            for line in _how_to_use(server.url):
                typer.echo(line)
            server.wait()


def _how_to_use(url: str) -> tuple[str, ...]:
    from smartia_jobs.sandbox.account import PHONE_NUMBER_ID, WABA_ID

    return (
        f"This is not Meta: a sandbox on {url} that reaches no phone. Stop it with Ctrl-C.",
        "Give it a copy of your database, never the clinic's own: what it gets counts as sent.",
        "In another terminal:",
        '  sqlite3 /path/to/smartia.db ".backup copy.db"     (PostgreSQL: pg_dump)',
        "  export DATABASE_URL=sqlite:///copy.db DATABASE_IS_A_COPY=1",
        f"  export META_API_URL={url} META_ACCESS_TOKEN=any-token \\",
        f"         META_PHONE_NUMBER_ID={PHONE_NUMBER_ID} META_WABA_ID={WABA_ID}",
        "  smartia-jobs 24h",
        f"  curl {url}/sandbox/messages",
    )
