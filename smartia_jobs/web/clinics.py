"""The clinics that one webhook serves: whose number is whose, and whose secret signs for whom."""

import logging
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from smartia_jobs.database import Database
from smartia_jobs.database.errors import explain, is_transient
from smartia_jobs.errors import ConfigurationError
from smartia_jobs.inbox.parts import parts
from smartia_jobs.logs import log_event
from smartia_jobs.settings import Settings
from smartia_jobs.settings.clinics import Clinic
from smartia_jobs.settings.environment import understand
from smartia_jobs.store.schema import UPGRADE, require

logger = logging.getLogger(__name__)

#: Whose part holds what is about a number of no clinic, while not every clinic's own is known.
UNCLEAR = "?"

#: As Meta writes the id of a number.
_NUMBER = re.compile(rb'"phone_number_id"\s*:\s*"?([0-9]+)')


@dataclass(frozen=True, slots=True)
class ServedClinic:
    """One clinic that a webhook serves.

    Attributes:
        name: its file's, where there are many; empty: the only one.
        settings: with the app's secret and the id of its number.
        upgrade: the command that makes our tables in its database.
    """

    name: str
    settings: Settings
    upgrade: str = UPGRADE

    @property
    def labels(self) -> dict[str, str]:
        """What log lines about it say besides."""
        return {"clinic": self.name} if self.name else {}

    @property
    def secrets(self) -> frozenset[bytes]:
        """Whatever signs for it: two, while the app's secret is changed."""
        given = (self.settings.meta_app_secret, self.settings.meta_app_secret_old)
        return frozenset(secret.encode() for secret in given if secret)


class OneClinic:
    """The only clinic of a webhook: every post that it believes is about it."""

    def __init__(self, settings: Settings) -> None:
        """Serve it."""
        self.all: Sequence[ServedClinic] = (ServedClinic("", settings),)
        self.without_number: Sequence[str] = ()

    def may_have_signed(self, body: bytes) -> Iterator[bytes]:
        """Yield the clinic's secrets."""
        del body
        yield from self.all[0].secrets

    def parts(self, payload: dict[str, Any], signed_by: bytes) -> Mapping[str, dict[str, Any]]:
        """Return the whole post; the inbox leaves out what is about another number."""
        del signed_by
        return {self.all[0].name: payload}


class ManyClinics:
    """The clinics of a folder: a post is taken apart by the ids of their numbers."""

    def __init__(
        self,
        clinics: Sequence[ServedClinic],
        owners: Mapping[str, Sequence[str]],
        without_number: Sequence[str],
    ) -> None:
        """Serve clinics, each with a number of its own.

        Args:
            clinics: those that can be served.
            owners: the names of all clinics of the folder by the ids of their numbers.
            without_number: the names of those that have no number of their own that can be read:
                what is about a number of nobody may be about them.
        """
        self.all = clinics
        self.without_number = without_number
        self._owners = owners
        self._secrets_of = {
            (one.settings.meta_phone_number_id or "").encode(): one.secrets for one in clinics
        }
        self._secrets = {secret for one in clinics for secret in one.secrets}
        self._by_account: dict[str, list[ServedClinic]] = {}
        for one in clinics:
            if one.settings.meta_waba_id is not None:
                self._by_account.setdefault(one.settings.meta_waba_id, []).append(one)

    def may_have_signed(self, body: bytes) -> Iterator[bytes]:
        """Yield all secrets once, first those of the clinics whose numbers a post names.

        It is not parsed for that: until it is known who has signed it, anybody may have sent it.
        """
        numbers = set(_NUMBER.findall(body))
        likely = {secret for number in numbers for secret in self._secrets_of.get(number, ())}
        yield from likely
        yield from (secret for secret in self._secrets if secret not in likely)

    def parts(self, payload: dict[str, Any], signed_by: bytes) -> Mapping[str, dict[str, Any]]:
        """Return each clinic's part of a post, and what is nobody's.

        What names a number is about its clinic, whoever signed it, also if that is left out; a
        number of nobody is unclear as long as a clinic's own is not known. What Meta tells of the
        account is about all clinics of it that believe the post: each of its apps gets its own.
        """
        unclear = (UNCLEAR,) if self.without_number else ()

        def whose(account: str, number: str | None) -> Sequence[str]:
            if number is not None:
                return self._owners.get(number, unclear)
            of_account = self._by_account.get(account, ())
            return [one.name for one in of_account if signed_by in one.secrets]

        return parts(payload, whose)


def clinics_to_serve(clinics: Sequence[Clinic]) -> ManyClinics:
    """Return the clinics of a folder, and log which cannot be served and why.

    Raises:
        ConfigurationError: none can.
    """
    owners: dict[str, list[str]] = {}
    for clinic in clinics:
        if number := _number(clinic):
            owners.setdefault(number, []).append(clinic.name)
    served: list[ServedClinic] = []
    for clinic in clinics:
        others = [name for name in owners.get(_number(clinic), ()) if name != clinic.name]
        try:
            served.append(_served(clinic, others))
        except ConfigurationError as error:
            for problem in error.problems:
                _warn(f"clinic {clinic.name} is not served: {problem}", clinic=clinic.name)
    if not served:
        raise ConfigurationError(
            "There is nothing to serve: no clinic of the folder has META_APP_SECRET, a "
            "META_PHONE_NUMBER_ID of its own, and nothing else that is wrong; see the warnings."
        )
    _warn_of_what_is_not_heard(served)
    for one in served:
        if why := _why_nothing_is_stored(one):
            _warn(f"clinic {one.name} can store nothing yet: {why}", clinic=one.name)
    with_number = {names[0] for names in owners.values() if len(names) == 1}
    without_number = [clinic.name for clinic in clinics if clinic.name not in with_number]
    if without_number:
        _warn(
            "Until these clinics have a META_PHONE_NUMBER_ID of their own, posts about a number of "
            "no clinic are not acknowledged: they may be about them.",
            clinics=without_number,
        )
    return ManyClinics(served, owners, without_number)


def _served(clinic: Clinic, same_number: Sequence[str]) -> ServedClinic:
    """Return a clinic, or raise with everything that keeps it from being served."""
    settings = understand(clinic.given)
    problems = []
    if settings.meta_app_secret is None:
        problems.append("META_APP_SECRET is not set, so nobody could tell what Meta has signed.")
    if settings.meta_phone_number_id is None:
        problems.append(
            "META_PHONE_NUMBER_ID is not set, so nobody could tell which posts are about it."
        )
    elif same_number:
        problems.append(
            f"its META_PHONE_NUMBER_ID is that of {same_number[0]} as well, so nobody could tell "
            "whose patients write there."
        )
    if problems:
        raise ConfigurationError(problems)
    folder = shlex.quote(str(clinic.given.file.parent))
    upgrade = f"smartia-jobs fleet db upgrade --clinics {folder} --only {clinic.name}"
    return ServedClinic(clinic.name, settings, upgrade)


def _warn_of_what_is_not_heard(served: Sequence[ServedClinic]) -> None:
    if not any(one.settings.meta_verify_token for one in served):
        _warn(
            "META_VERIFY_TOKEN is set for no clinic that is served, so Meta's handshake is "
            "refused: the webhook's address can be set there only once it is."
        )
    without = [one.name for one in served if one.settings.meta_waba_id is None]
    if without:
        _warn(
            "META_WABA_ID is not set, so what Meta tells of templates and the account reaches "
            "nobody there.",
            clinics=without,
        )


def _why_nothing_is_stored(clinic: ServedClinic) -> str | None:
    """Return why a clinic on SQLite could store nothing now.

    A PostgreSQL server is not asked: it might not answer, and the others must not wait for it.
    """
    url = clinic.settings.database_url
    if not url.startswith("sqlite"):
        return None
    try:
        with (
            closing(Database(url, read_only=True, busy_timeout_s=0)) as database,
            database.read() as connection,
        ):
            require(connection, upgrade=clinic.upgrade)
    except ConfigurationError as error:
        return str(error)
    except SQLAlchemyError as error:
        return None if is_transient(error) else str(explain(error))
    return None


def _number(clinic: Clinic) -> str:
    """Return the id of a clinic's number, whatever else is wrong; empty: it has none."""
    text = clinic.given.texts.get("META_PHONE_NUMBER_ID", "").strip()
    return text if text.isascii() and text.isdigit() else ""


def _warn(what: str, **fields: Any) -> None:
    log_event(logger, logging.WARNING, what, event="settings_warning", **fields)
