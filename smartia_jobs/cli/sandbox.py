"""``smartia-jobs sandbox``: a local WhatsApp Cloud API to try things on; it is not Meta."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartia_jobs.cli.context import errors_as_status
from smartia_jobs.errors import ConfigurationError, InterruptedRunError

if TYPE_CHECKING:
    from smartia_jobs.sandbox.server import Sandbox


def sandbox(
    *,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="On 127.0.0.1; 0 takes a free one.")
    ] = 8025,
    webhook: Annotated[
        str | None,
        typer.Option(
            "--webhook",
            metavar="URL",
            help="Tell this webhook on this machine what becomes of each message.",
            show_default=False,
        ),
    ] = None,
    app_secret: Annotated[
        str,
        typer.Option(
            "--app-secret",
            envvar="META_APP_SECRET",
            metavar="SECRET",
            help="Sign what is posted. Better in the environment: others see arguments.",
            show_default=False,
        ),
    ] = "",
    verify_token: Annotated[
        str | None,
        typer.Option(
            "--verify-token",
            envvar="META_VERIFY_TOKEN",
            metavar="TOKEN",
            help="Play Meta's handshake with it first.",
            show_default=False,
        ),
    ] = None,
    clinic: Annotated[
        Path | None,
        typer.Option(
            "--clinic",
            metavar="FILE",
            help="Make this SQLite file, a made-up clinic to try the jobs on, unless it is there.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run a local WhatsApp Cloud API that reaches no phone, until Ctrl-C.

    It knows the shipped messages as approved templates, checks requests as
    Meta would, and shows what it received at /sandbox/messages. With a webhook
    it answers back: sent, delivered, read, and what people tap and write at
    /sandbox/people.

    Example: smartia-jobs sandbox --clinic clinic.db
    """
    from smartia_jobs.catalogue.definition import shipped_definitions
    from smartia_jobs.sandbox.server import Sandbox

    with errors_as_status("sandbox"):
        templates = shipped_definitions(clinic_name="sua clínica")
        try:
            server = Sandbox(port=port, templates=templates)
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} on 127.0.0.1 cannot be used ({error.strerror}); try --port 0."
            ) from None
        try:
            with server:
                if webhook is not None:
                    token = verify_token or None
                    server.subscribe(webhook, app_secret=app_secret, verify_token=token)
                made_up = _made_up(clinic) if clinic is not None else ()
                for line in (*_how_to_use(server.url, clinic, made_up), *_how_it_answers(server)):
                    typer.echo(line)
                server.wait()
        except InterruptedRunError as error:  # the way to stop it, and nothing that went wrong
            raise typer.Exit(int(error.exit_status)) from None


def _made_up(path: Path) -> tuple[str, ...]:
    """Make the made-up clinic unless it is there, and return what is to be known of it."""
    from smartia_jobs.clock import SystemClock
    from smartia_jobs.sandbox.clinic import ZONE, make_clinic_of_today, told_on

    now = SystemClock().now()
    try:
        made = make_clinic_of_today(path, now=now)
    except FileExistsError:
        day = told_on(path)
        if day is None:
            raise ConfigurationError(
                f"{path} is there already and is no made-up clinic, so it was left alone; give"
                " --clinic the name of a new file."
            ) from None
        if day != now.astimezone(ZONE).date():
            return (
                f"The made-up clinic in {path} is there already, and was made for {day}.",
                "Remove the file to have it made for today.",
            )
        return (f"The made-up clinic in {path} is there already.",)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be made ({error.strerror}); give --clinic another place."
        ) from None
    return (f"Made a clinic of {made.patients} patients and {made.visits} visits: {path}",)


def _how_to_use(url: str, clinic: Path | None, made_up: tuple[str, ...]) -> tuple[str, ...]:
    from urllib.parse import quote

    from smartia_jobs.sandbox.account import PHONE_NUMBER_ID, WABA_ID

    if clinic is None:
        database = "sqlite:///copy.db"
        advice: tuple[str, ...] = (
            "Stop it with Ctrl-C. Give it a copy of your database, never the clinic's own:",
            "what it gets counts as sent.",
            "In another terminal:",
            '  sqlite3 /path/to/smartia.db ".backup copy.db"     (PostgreSQL: pg_dump)',
        )
    else:
        database = f"sqlite:///{quote(str(clinic.absolute()))}"
        advice = (*made_up, "Stop the sandbox with Ctrl-C. In another terminal:")
    return (
        f"This is not Meta: a sandbox on {url} that reaches no phone.",
        *advice,
        f"  export DATABASE_URL={database} DATABASE_IS_A_COPY=1",
        f"  export META_API_URL={url} META_ACCESS_TOKEN=any-token",
        f"  export META_PHONE_NUMBER_ID={PHONE_NUMBER_ID} META_WABA_ID={WABA_ID}",
        "  smartia-jobs 24h",
        f"  curl {url}/sandbox/messages",
    )


def _how_it_answers(server: "Sandbox") -> tuple[str, ...]:
    if server.webhook.url is None:
        return ()
    person = '{"phone": "+5511987654321", "does": "tap", "button": 0}'
    return (
        f"It tells {server.webhook.url} what becomes of each message.",
        f"Somebody answers (curl {server.url}/ lists what else can be done):",
        f"  curl {server.url}/sandbox/people \\",
        f"       -d '{person}'",
    )
