"""How settings that are right one by one fit together, and what sending needs."""

import os
from collections.abc import Iterator
from datetime import timedelta
from os.path import isfile  # it says no where Path's own raises
from urllib.parse import urlsplit

from smartia_jobs.errors import ConfigurationError
from smartia_jobs.kinds import REMINDERS, longest_latest, too_long
from smartia_jobs.settings.database_url import sqlite_path
from smartia_jobs.settings.declarations import VARIABLES, Settings
from smartia_jobs.settings.readers import is_loopback

#: A POST may start on a claim that is 20 s old, take long to connect, and wait 30 s for its
#: answer: a lease that ends earlier would let another process send the message once more.
SHORTEST_LEASE = timedelta(seconds=100)


def require_sending(settings: Settings) -> None:
    """Check that messages can be sent at all, and from this database to this WhatsApp.

    Raises:
        ConfigurationError: naming each variable that is missing or wrong.
    """
    needed = {
        "META_ACCESS_TOKEN": settings.meta_access_token,
        "META_PHONE_NUMBER_ID": settings.meta_phone_number_id,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise ConfigurationError(
            [f"{name} is not set; without it nothing can be sent." for name in missing]
        )
    mismatch = wrong_database(settings)
    if mismatch is not None:
        raise ConfigurationError(f"{mismatch[0]} {mismatch[1]}.")


def wrong_database(settings: Settings) -> tuple[str, str] | None:
    """Return why database and WhatsApp do not belong together, and what to do; None: they do.

    What a sandbox accepts counts as sent: with the clinic's own database no patient would get
    those reminders. What WhatsApp accepts from a copy, patients get twice.
    """
    if is_sandbox(settings) and not settings.database_is_a_copy:
        return (
            "META_API_URL is this machine itself, a sandbox, and DATABASE_IS_A_COPY is not set:"
            " what a sandbox gets counts as sent, and the patients would never get it.",
            "For the clinic itself remove META_API_URL; to try things make a copy of the database,"
            " point DATABASE_URL to it, and set DATABASE_IS_A_COPY=1",
        )
    if settings.database_is_a_copy and not is_sandbox(settings):
        return (
            "DATABASE_IS_A_COPY is set, and META_API_URL is WhatsApp itself: patients would get"
            " the reminders of a copy besides those of the clinic.",
            "Unset DATABASE_IS_A_COPY if this is the clinic's own database; else point"
            " META_API_URL to the sandbox",
        )
    return None


def is_sandbox(settings: Settings) -> bool:
    """Whether WhatsApp is an address of this machine itself."""
    return is_loopback(urlsplit(settings.meta_api_url).hostname or "")


def require_service(settings: Settings) -> None:
    """Check that the HTTP service has something to serve, and serves it to nobody else.

    Raises:
        ConfigurationError: with everything that is wrong.
    """
    problems = list(_service_problems(settings))
    if problems:
        raise ConfigurationError(problems)


def has_webhook(settings: Settings) -> bool:
    """Return whether ``serve`` takes what Meta posts."""
    return settings.meta_verify_token is not None and settings.meta_app_secret is not None


def _service_problems(settings: Settings) -> Iterator[str]:
    if settings.http_auth is None and not has_webhook(settings):
        yield (
            "There is nothing to serve: set META_VERIFY_TOKEN and META_APP_SECRET for WhatsApp's "
            "webhook, or HTTP_AUTH=token and HTTP_TOKEN to start jobs over HTTP."
        )
    if settings.meta_verify_token is not None and settings.meta_app_secret is None:
        yield (
            "META_APP_SECRET is not set, so nobody could tell what Meta has signed; the webhook "
            "(META_VERIFY_TOKEN) needs it."
        )
    if has_webhook(settings) and settings.meta_phone_number_id is None:
        yield (
            "META_PHONE_NUMBER_ID is not set; Meta posts what happens on every number of the "
            "account, and the webhook keeps what is about this one."
        )
    if settings.webhook_forward_url is not None and not has_webhook(settings):
        yield (
            "WEBHOOK_FORWARD_URL forwards what the webhook receives, and there is none: set "
            "META_VERIFY_TOKEN and META_APP_SECRET, or remove it."
        )
    if settings.http_auth == "iam" and has_webhook(settings):
        yield (
            "HTTP_AUTH=iam needs a service that Google keeps private, and Meta reaches a webhook "
            "(META_VERIFY_TOKEN) only on a public one; serve them as two services."
        )
    if settings.http_auth == "token" and settings.http_token is None:
        yield "HTTP_TOKEN is not set; HTTP_AUTH=token lets in whoever sends it, so it is needed."
    if settings.http_auth == "iam" and settings.http_token is not None:
        yield "HTTP_TOKEN is not asked for with HTTP_AUTH=iam; remove it, or set HTTP_AUTH=token."
    if settings.http_auth == "iam" and settings.cloud_run_service is None:
        yield (
            "HTTP_AUTH=iam relies on Cloud Run to check every caller, and this is no Cloud Run "
            "service (K_SERVICE is not set), so anybody could start jobs; use HTTP_AUTH=token."
        )


def contradictions(settings: Settings) -> Iterator[str]:
    """Yield what is wrong with settings that are right one by one."""
    yield from _reminders_of_no_run(settings)
    after = settings.reengage_after
    if (settings.no_show_grace if after is None else after) >= settings.reengage_within:
        yield (
            "REENGAGE_WITHIN_HOURS must be longer than REENGAGE_AFTER_MINUTES (unless that is "
            "set, NO_SHOW_GRACE_MINUTES); as it is, nobody would ever be invited back."
        )
    if settings.messages_file is not None and not isfile(settings.messages_file):
        yield f"MESSAGES_FILE: there is no such file: {settings.messages_file}."
    if settings.claim_lease < SHORTEST_LEASE and not is_sandbox(settings):
        yield (
            f"CLAIM_LEASE_SECONDS must be at least {SHORTEST_LEASE.total_seconds():g}, or a "
            "message could be sent twice; it may be shorter only while META_API_URL is the "
            "sandbox on this machine."
        )
    is_sqlite = settings.database_url.startswith("sqlite")
    is_relative = is_sqlite and not sqlite_path(settings.database_url).is_absolute()
    if is_relative and not _started_in_a_folder():
        yield (
            "DATABASE_URL is a relative path, and the folder in which this was started has been "
            "removed; start it in one that exists, or give the whole path (sqlite:////path)."
        )
    on_cloud_run = settings.cloud_run_job or settings.cloud_run_service
    if on_cloud_run and is_sqlite:
        yield (
            "DATABASE_URL is an SQLite file, and this is Cloud Run: the file would vanish with "
            "the container, and with it the memory of what was sent. Use PostgreSQL "
            "(postgresql://user:password@/database?host=/cloudsql/PROJECT:REGION:INSTANCE)."
        )


def _started_in_a_folder() -> bool:
    try:
        return bool(os.getcwd())
    except FileNotFoundError:
        return False


def _reminders_of_no_run(settings: Settings) -> Iterator[str]:
    """Yield which times of a reminder leave visits that no run would remind."""
    variables = {variable.name: variable for variable in VARIABLES}
    for kind in REMINDERS:
        times, lead, every = settings.times_of(kind), kind.setting("lead"), kind.setting("cadence")
        latest = variables[kind.setting("latest")]
        wrong = too_long(times)
        if wrong == "cadence":
            yield (
                f"{every} is too long: it must be less than twice {lead}, or some visits would "
                "be reminded by no run."
            )
        elif wrong == "latest":
            most = latest.shown(longest_latest(times))
            yield (
                f"{latest.name} is too long: with {lead} and {every} as they are, some visits "
                f"would be reminded by no run. It can be at most {most}: the lead less half of "
                "the time between two runs."
            )
