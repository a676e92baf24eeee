"""One kind of message compared with Meta's template of that name, and what to do next."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from smartia_jobs.catalogue.definition import definition, differences, unseen_on_computers
from smartia_jobs.catalogue.loading import Catalogue, MessageTemplate
from smartia_jobs.errors import ConfigurationError
from smartia_jobs.jobs.checks.finding import Level
from smartia_jobs.jobs.time_to_live import in_words
from smartia_jobs.message import Phone
from smartia_jobs.phones import parse_phone
from smartia_jobs.settings import Settings
from smartia_jobs.whatsapp.templates import APPROVED, RegisteredTemplate

#: What to do about a template that cannot be sent, by Meta's status.
_NEXT_STEPS: Mapping[str, str] = {
    "PENDING": "wait: Meta's review takes minutes, at most about a day",
    "IN_APPEAL": "wait: Meta looks at your appeal",
    "REJECTED": "change the text as the reason asks, under a new name (…_v2), and submit that",
    "PAUSED": "Meta paused it for poor quality: see WhatsApp Manager, and wait or resume it",
    "DISABLED": "Meta disabled it for good: submit another text under a new name (…_v2)",
    "LIMIT_EXCEEDED": "delete templates that are no longer used, in WhatsApp Manager",
    "ARCHIVED": "restore it in WhatsApp Manager, or submit it under a new name (…_v2)",
}
_OTHER_STATUS = "submit it under a new name (…_v2), which goes into MESSAGES_FILE"
_DIFFERS = (
    "an approved text is never changed: put Meta's text into MESSAGES_FILE, or give yours a new"
    " name (…_v2) and submit that"
)
#: Buttons that a message must fill in; the catalogue has none of them.
_FILLED_BUTTONS = ("COPY_CODE", "OTP", "FLOW", "CATALOG", "MPM", "SPM")


@dataclass(frozen=True, slots=True)
class Standing:
    """One kind of message compared with Meta's template.

    Attributes:
        template: ours.
        wanted: its definition, as it would be submitted.
        registered: Meta's; None when it has none of this name and language.
        problems: why messages of this kind cannot be sent, or not as meant; most urgent first.
        warnings: what is worth a look.
        differences: every part in which Meta's differs from ours, in sentences.
    """

    template: MessageTemplate
    wanted: Mapping[str, Any]
    registered: RegisteredTemplate | None
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    differences: tuple[str, ...]

    @property
    def status(self) -> str:
        """Meta's word, or ``MISSING``."""
        return self.registered.status if self.registered else "MISSING"

    @property
    def level(self) -> Level:
        """How serious its state is."""
        if self.problems:
            return Level.PROBLEM
        return Level.WARNING if self.warnings else Level.OK

    @property
    def next_step(self) -> str:
        """What to do; empty when all is well."""
        if self.registered is None:
            return f"run: smartia-jobs templates submit {self.template.kind}"
        if self.registered.status != APPROVED:
            return _NEXT_STEPS.get(self.registered.status, _OTHER_STATUS)
        return _DIFFERS if self.problems or self.warnings else ""


def compare(
    catalogue: Catalogue, settings: Settings, registered: Sequence[RegisteredTemplate]
) -> list[Standing]:
    """Compare each kind of message, in the catalogue's order.

    Raises:
        ConfigurationError: ``CLINIC_PHONE`` cannot be read.
    """
    by_key = {(one.name, one.language): one for one in registered}
    return [
        _standing(template, settings, by_key.get((template.name, template.language)))
        for template in catalogue.templates.values()
    ]


def wanted_definition(template: MessageTemplate, settings: Settings) -> dict[str, Any]:
    """Return the definition that registers a template, with this clinic's phone.

    Whatever the catalogue says, Meta does not try to deliver a reminder for longer than it is
    useful.

    Raises:
        ConfigurationError: ``CLINIC_PHONE`` cannot be read.
    """
    wanted = definition(
        template,
        clinic_name=settings.clinic_name,
        clinic_phone=_clinic_phone(settings),
        country=settings.clinic_country,
    )
    latest = latest_of(template, settings)
    if latest is not None and template.category == "UTILITY":
        longest = template.time_to_live or _LONGEST_UTILITY
        wanted["message_send_ttl_seconds"] = int(min(longest, latest).total_seconds())
    return wanted


def latest_of(template: MessageTemplate, settings: Settings) -> timedelta | None:
    """Return how long before the visit a reminder stops being useful; None: it is no reminder."""
    return None if template.reminder is None else settings.times_of(template.reminder).latest


#: Source: Meta, "Time to live" (2026-09).
_LONGEST_UTILITY = timedelta(hours=12)


def _standing(
    template: MessageTemplate, settings: Settings, registered: RegisteredTemplate | None
) -> Standing:
    wanted = wanted_definition(template, settings)
    unseen = unseen_on_computers(registered.definition if registered else wanted)
    warnings = () if unseen is None else (unseen,)
    if registered is None:
        text = f"WhatsApp has no template {template.name} in {template.language}."
        if template.reminder is not None and template.reminder.optional:
            text = f"{text} It is needed for {template.kind} alone."
            return Standing(template, wanted, None, (), (text, *warnings), ())
        return Standing(template, wanted, None, (text,), warnings, ())
    parts = tuple(differences(wanted, registered.definition))
    serious = [part for part in parts if _is_serious(part, template, registered)]
    minor = [part for part in parts if part not in serious]
    return Standing(
        template=template,
        wanted=wanted,
        registered=registered,
        problems=(*_not_sendable(registered), *serious),
        warnings=(*minor, *warnings, *_worth_a_look(template, settings, registered)),
        differences=parts,
    )


def _not_sendable(registered: RegisteredTemplate) -> Iterator[str]:
    if registered.status != APPROVED:
        reason = f" ({registered.rejected_reason})" if registered.rejected_reason else ""
        yield f"WhatsApp sends nothing of it: its status is {registered.status}{reason}."


def _is_serious(part: str, template: MessageTemplate, registered: RegisteredTemplate) -> bool:
    """Whether messages are refused, or withheld as marketing, because of a difference."""
    name = part.partition(":")[0]
    if name == "header":
        header = _component(registered, "HEADER")
        return header.get("format", "TEXT") != "TEXT" or "{{" in str(header.get("text"))
    if name == "buttons":
        theirs = _component(registered, "BUTTONS").get("buttons") or []
        return any(button.means or button.payload for button in template.buttons) or any(
            "{{" in str(button.get("url")) or button.get("type") in _FILLED_BUTTONS
            for button in theirs
        )
    return name in ("category", "variables")


def _worth_a_look(
    template: MessageTemplate, settings: Settings, registered: RegisteredTemplate
) -> Iterator[str]:
    moves_to = registered.correct_category
    if moves_to and moves_to != registered.category:
        yield f"category: Meta is about to move it to {moves_to}"
    if registered.quality == "RED":
        yield "quality: patients often block or report it; Meta may pause it"
    latest = latest_of(template, settings)
    lives = registered.time_to_live
    if latest is None or not registered.time_to_live_known:
        return
    if lives is None or lives > latest:
        yield (
            f"time to live: WhatsApp may deliver it for up to {in_words(lives)}, but it is of use"
            f" for {in_words(latest)} at least: a phone that was off may show it after the visit"
        )


def _component(registered: RegisteredTemplate, kind: str) -> Mapping[str, Any]:
    components = registered.definition.get("components") or []
    return next((c for c in components if str(c.get("type")).upper() == kind), {})


def _clinic_phone(settings: Settings) -> str | None:
    """Return the clinic's phone in international form; also that of a service (0800)."""
    raw = settings.clinic_phone
    if raw is None:
        return None
    phone = parse_phone(raw, settings.clinic_country)
    if isinstance(phone, Phone):
        return phone.wire
    if raw.startswith("+"):
        return "+" + "".join(character for character in raw if character.isdigit())
    raise ConfigurationError(
        "CLINIC_PHONE cannot be read: write it with + and its country code, such as +551133334444."
    )
