"""Asking Meta, in the order in which one answer makes the next question worth asking."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from smartia_jobs.catalogue.loading import load_catalogue
from smartia_jobs.errors import SmartiaJobsError
from smartia_jobs.jobs.checks import whatsapp
from smartia_jobs.jobs.checks.finding import Finding, Findings, Level, failure
from smartia_jobs.jobs.checks.standing import Standing, compare
from smartia_jobs.settings import Settings
from smartia_jobs.whatsapp import account as meta
from smartia_jobs.whatsapp.account import App, Number
from smartia_jobs.whatsapp.graph import GraphRefusalError
from smartia_jobs.whatsapp.management import Management
from smartia_jobs.whatsapp.templates import registered_templates


def ask_meta(
    settings: Settings,
    management: Management,
    found: Findings,
    *,
    now: datetime,
    people: int | None,
    silent: bool,
) -> None:
    """Look at token, number, account and templates; a dead token or network costs one question.

    Args:
        settings: whose account.
        management: who is asked.
        found: where to note it.
        now: when, aware UTC.
        people: patients expected tomorrow; None when that is not known.
        silent: messages were accepted a while ago, and no status of any ever came.
    """
    asked = _Asked()
    if (
        _look_at_token(settings, management, found, asked, now=now)
        and _look_at_number(settings, management, people, found, asked)
        and _look_at_account(settings, management, found, asked, silent=silent)
    ):
        _look_at_templates(settings, management, found)
    if management.clock_skew is not None:
        found.all.append(whatsapp.clock(management.clock_skew))


@dataclass(slots=True)
class _Asked:
    """What later questions need of earlier answers."""

    app_id: str = ""
    number: Number | None = None


def _look_at_token(
    settings: Settings, management: Management, found: Findings, asked: _Asked, *, now: datetime
) -> bool:
    """Return whether the rest can be asked with this token."""
    try:
        token = meta.token(management)
    except GraphRefusalError as error:
        # Whether a token may ask about itself is Meta's affair; the others will tell.
        text = f"Meta does not tell about it: {error}"
        found.all.append(Finding("token", Level.WARNING, text))
        return True
    except SmartiaJobsError as error:
        found.all.append(failure("token", error))
        return False
    asked.app_id = token.app_id
    found.all.append(whatsapp.token(token, settings, now))
    return token.is_valid and meta.MANAGEMENT_SCOPE in token.scopes


def _look_at_number(
    settings: Settings,
    management: Management,
    people: int | None,
    found: Findings,
    asked: _Asked,
) -> bool:
    number_id = settings.meta_phone_number_id
    if number_id is None:
        return True  # the settings' own finding says so
    asked.number = number = found.ask("number", lambda: meta.number(management, number_id))
    if number is not None:
        found.all.append(whatsapp.number(number))
        found.all.append(whatsapp.throughput(number, settings))
        found.all.append(whatsapp.daily_limit(number, people))
    return not found.unreachable


def _look_at_account(
    settings: Settings, management: Management, found: Findings, asked: _Asked, *, silent: bool
) -> bool:
    """Return whether the account's templates can be asked for."""
    waba_id = settings.meta_waba_id
    if waba_id is None:
        text = "META_WABA_ID is not set: account and templates are not looked at."
        step = "set it: WhatsApp Manager shows the account's id"
        found.all.append(Finding("account", Level.WARNING, text, step))
        _note_webhook(asked, None, found, silent=silent)
        return False
    account = found.ask("account", lambda: meta.account(management, waba_id))
    if account is None:
        return False
    numbers = found.ask("account", lambda: meta.number_ids(management, waba_id))
    if numbers is not None:
        owns = settings.meta_phone_number_id in (None, *numbers)
        found.all.append(whatsapp.account(account, owns_number=owns))
    if found.unreachable:
        return False
    apps = found.ask("webhook", lambda: meta.subscribed_apps(management, waba_id))
    if apps is not None:
        _note_webhook(asked, apps, found, silent=silent)
    return not found.unreachable


def _note_webhook(
    asked: _Asked, apps: Sequence[App] | None, found: Findings, *, silent: bool
) -> None:
    if asked.number is not None:
        found.all.append(whatsapp.webhook(asked.number, apps, app_id=asked.app_id, silent=silent))


def _look_at_templates(settings: Settings, management: Management, found: Findings) -> None:
    def standings() -> list[Standing]:
        registered = registered_templates(management, settings.meta_waba_id or "")
        return compare(load_catalogue(settings.messages_file), settings, registered)

    found.all += map(whatsapp.template, found.ask("templates", standings) or ())
