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
from smartia_jobs.settings.checks import has_webhook
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
    """Look at token, number, account and templates; stop at a dead token or network.

    Args:
        settings: whose account.
        management: who is asked.
        found: where to note it.
        now: when, aware UTC.
        people: patients expected tomorrow; None when that is not known.
        silent: messages were accepted a while ago, and no status of any ever came.
    """
    asking = _Asking(settings, management, found, silent)
    if asking.look_at_token(now) and asking.look_at_number(people) and asking.look_at_account():
        asking.look_at_templates()
    if management.clock_skew is not None:
        found.all.append(whatsapp.clock(management.clock_skew))


@dataclass(slots=True)
class _Asking:
    """The questions in their order, and what later ones need of earlier answers."""

    settings: Settings
    management: Management
    found: Findings
    silent: bool
    app_id: str = ""
    number: Number | None = None

    def look_at_token(self, now: datetime) -> bool:
        """Return whether the rest can be asked with this token."""
        try:
            token = meta.token(self.management)
        except GraphRefusalError as error:
            # Some tokens may not ask about themselves; the next questions show whether it works.
            text = f"Meta does not say: {error}"
            step = "go by the lines below, which show whether it works"
            self.found.all.append(Finding("token", Level.WARNING, text, step))
            return True
        except SmartiaJobsError as error:
            self.found.all.append(failure("token", error))
            return False
        self.app_id = token.app_id
        self.found.all.append(whatsapp.token(token, self.settings, now))
        return token.is_valid and meta.MANAGEMENT_SCOPE in token.scopes

    def look_at_number(self, people: int | None) -> bool:
        """Return whether Meta still answers."""
        number_id = self.settings.meta_phone_number_id
        if number_id is None:
            return True  # the settings' own finding says so
        self.number = self.found.ask("number", lambda: meta.number(self.management, number_id))
        if self.number is not None:
            self.found.all.append(whatsapp.number(self.number))
            self.found.all.append(whatsapp.throughput(self.number, self.settings))
            self.found.all.append(whatsapp.daily_limit(self.number, people))
        return not self.found.unreachable

    def look_at_account(self) -> bool:
        """Return whether the account's templates can be asked for."""
        found, waba_id = self.found, self.settings.meta_waba_id
        if waba_id is None:
            text = "META_WABA_ID is not set: account and templates are not looked at."
            step = "set it: WhatsApp Manager shows the account's id"
            found.all.append(Finding("account", Level.WARNING, text, step))
            self.note_webhook(None)
            return False
        account = found.ask("account", lambda: meta.account(self.management, waba_id))
        if account is None:
            return False
        numbers = found.ask("account", lambda: meta.number_ids(self.management, waba_id))
        if numbers is not None:
            owns = self.settings.meta_phone_number_id in (None, *numbers)
            found.all.append(whatsapp.account(account, owns_number=owns))
        if found.unreachable:
            return False
        apps = found.ask("webhook", lambda: meta.subscribed_apps(self.management, waba_id))
        if apps is not None:
            self.note_webhook(apps)
        return not found.unreachable

    def note_webhook(self, apps: Sequence[App] | None) -> None:
        if self.number is not None:
            self.found.all.append(
                whatsapp.webhook(
                    self.number,
                    apps,
                    app_id=self.app_id,
                    silent=self.silent,
                    is_meant=has_webhook(self.settings),
                )
            )

    def look_at_templates(self) -> None:
        def standings() -> list[Standing]:
            registered = registered_templates(self.management, self.settings.meta_waba_id or "")
            catalogue = load_catalogue(self.settings.messages_file)
            return compare(catalogue, self.settings, registered)

        self.found.all += map(whatsapp.template, self.found.ask("templates", standings) or ())
