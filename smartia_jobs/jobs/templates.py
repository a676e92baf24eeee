"""The templates: comparing the catalogue with Meta's, registering what is missing, previews.

What exists at Meta is never edited or deleted, and no database is touched.
"""

from collections.abc import Collection, Iterable
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum

from smartia_jobs.catalogue.contact import contact
from smartia_jobs.catalogue.definition import unseen_on_computers
from smartia_jobs.catalogue.loading import Catalogue, MessageTemplate, load_catalogue
from smartia_jobs.catalogue.render import example_message, preview_text
from smartia_jobs.clock import Clock
from smartia_jobs.errors import ConfigurationError, ExitStatus, SmartiaJobsError, UsageError
from smartia_jobs.jobs.checks.standing import Standing, compare, wanted_definition
from smartia_jobs.message import Answer, CallbackData, Message, Unsendable
from smartia_jobs.phones import parse_phone
from smartia_jobs.settings import Settings
from smartia_jobs.whatsapp.client import Client
from smartia_jobs.whatsapp.graph import GraphRefusalError
from smartia_jobs.whatsapp.management import Management
from smartia_jobs.whatsapp.templates import registered_templates

#: Meta's subcode for a name that already has a template in this language.
_EXISTS = 2388024


class Registration(StrEnum):
    """What came of submitting one kind of message."""

    #: Meta has it now, and reviews it.
    SUBMITTED = "submitted"
    #: Meta had it already, and it is what we would submit; nothing was done.
    EXISTS = "exists"
    #: Meta has another text, category or button under this name; nothing was done.
    DIFFERS = "differs"
    #: Meta does not take it.
    REFUSED = "refused"
    #: Meta gave no answer, or refuses us; the rest was not tried.
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Submission:
    """What came of submitting one kind of message.

    Attributes:
        template: ours.
        result: what came of it.
        status: Meta's word: ``PENDING``, ``APPROVED`` …; empty when it was refused.
        text: what happened, in a sentence or two.
        next_step: what to do; empty when there is nothing to do.
        exit_status: the exit status if this were the only one.
    """

    template: MessageTemplate
    result: Registration
    status: str
    text: str
    next_step: str = ""
    exit_status: ExitStatus = ExitStatus.OK


def show_templates(settings: Settings, clock: Clock) -> list[Standing]:
    """Return how each kind of message stands at Meta, in the catalogue's order.

    Raises:
        RefusedError: Meta refuses token or account.
        ConfigurationError: ``META_WABA_ID`` or the token is missing, the catalogue is wrong.
        UnavailableError: Meta gave no answer.
    """
    catalogue, waba_id = load_catalogue(settings.messages_file), _account(settings)
    with closing(Management(settings, clock)) as management:
        return compare(catalogue, settings, registered_templates(management, waba_id))


def submit_templates(
    settings: Settings, clock: Clock, *, kinds: Collection[str] = ()
) -> list[Submission]:
    """Register the kinds that Meta does not have yet; all of them unless some are named.

    What was done is always returned: an error while registering is the last item of the list.

    Raises:
        UsageError: one of ``kinds`` is none.
        RefusedError, ConfigurationError, UnavailableError: as for :func:`show_templates`, before
            anything was registered.
    """
    catalogue, waba_id = load_catalogue(settings.messages_file), _account(settings)
    wanted = chosen(catalogue, kinds)
    submissions: list[Submission] = []
    with closing(Management(settings, clock)) as management:
        standings = compare(catalogue, settings, registered_templates(management, waba_id))
        names: set[tuple[str, str]] = set()
        for standing in standings:
            template = standing.template
            if template not in wanted:
                continue
            key = (template.name, template.language)
            if standing.registered is not None:
                submissions.append(_left_alone(standing))
            elif key in names:  # another kind has just registered it
                submissions.append(Submission(template, Registration.EXISTS, "PENDING", _SHARED))
            else:
                submissions.append(_submit(management, waba_id, template, settings))
                names.add(key)
            if submissions[-1].result is Registration.STOPPED:
                break
    return submissions


def preview_templates(settings: Settings, *, kind: str | None = None) -> list[tuple[str, str]]:
    """Return each kind and its message as the patient would read it, for example values.

    Raises:
        UsageError: there is no such kind.
        ConfigurationError: the catalogue is wrong.
    """
    catalogue = load_catalogue(settings.messages_file)
    return [
        (
            template.kind,
            preview_text(
                template,
                _example(template, settings),
                clinic_phone=settings.clinic_phone,
            ),
        )
        for template in chosen(catalogue, () if kind is None else (kind,))
    ]


def send_preview(settings: Settings, *, kind: str, phone: str) -> Answer:
    """Send one message with example values for real, once, and return what came of it.

    Raises:
        UsageError: there is no such kind, or the phone cannot be one.
        ConfigurationError: token or number is missing, the catalogue is wrong.
    """
    (template,) = chosen(load_catalogue(settings.messages_file), (kind,))
    to = parse_phone(phone, settings.clinic_country)
    if isinstance(to, Unsendable):
        raise UsageError(f"--send-to: {to.reason}")
    message = _example(template, settings)
    with closing(Client(settings, workers=1)) as client:
        return client.send(to, message, callback=CallbackData("preview", 0, 0))


def chosen(catalogue: Catalogue, kinds: Iterable[str]) -> list[MessageTemplate]:
    """Return the templates of these kinds, or of all when none is named.

    Raises:
        UsageError: one of them is none.
    """
    named = set(kinds)
    if wrong := sorted(named - catalogue.templates.keys()):
        known = ", ".join(catalogue.templates)
        raise UsageError(f"There is no message kind {', '.join(wrong)}; there are {known}.")
    return [t for t in catalogue.templates.values() if not named or t.kind in named]


def _example(template: MessageTemplate, settings: Settings) -> Message:
    reach = contact(settings.clinic_phone, settings.clinic_country)
    return example_message(template, clinic_name=settings.clinic_name, contact=reach)


_SHARED = "Another kind has the same template."
_NEVER_CHANGED = (
    "Nothing was changed: what exists at Meta is never edited here, because patients get the"
    " approved text until the new one is approved"
)
_NEW_VERSION = (
    "for a changed text give it a new name (…_v2) in MESSAGES_FILE and submit that; the old one"
    " is sent until then"
)
_REVIEW = "wait for Meta's review: minutes, at most about a day; then run: smartia-jobs templates"


def _account(settings: Settings) -> str:
    if settings.meta_waba_id is None:
        raise ConfigurationError(
            "META_WABA_ID is not set: it is the id of the WhatsApp Business account, shown in"
            " WhatsApp Manager (not the phone number's id)."
        )
    return settings.meta_waba_id


def _left_alone(standing: Standing) -> Submission:
    if standing.differences:
        text = f"Meta has another one of this name ({standing.status}). {_NEVER_CHANGED}."
        return Submission(
            standing.template,
            Registration.DIFFERS,
            standing.status,
            text,
            _NEW_VERSION,
            ExitStatus.CONFIGURATION,
        )
    text = f"Meta has it already: {standing.status}."
    return Submission(
        standing.template, Registration.EXISTS, standing.status, text, standing.next_step
    )


def _submit(
    management: Management, waba_id: str, template: MessageTemplate, settings: Settings
) -> Submission:
    wanted = wanted_definition(template, settings)
    try:
        answer = management.create_template(waba_id, wanted)
    except GraphRefusalError as error:
        if error.subcode == _EXISTS:
            text = "Somebody registered it at the same moment; nothing was done."
            return Submission(template, Registration.EXISTS, "PENDING", text, _REVIEW)
        step = "change the template in MESSAGES_FILE as Meta asks, and submit it again"
        wrong = ExitStatus.CONFIGURATION
        return Submission(template, Registration.REFUSED, "", str(error), step, wrong)
    except SmartiaJobsError as error:
        if error.exit_status is ExitStatus.BUG:
            raise
        step = "see what Meta has: smartia-jobs templates; then submit again, which adds the rest"
        return Submission(template, Registration.STOPPED, "", str(error), step, error.exit_status)
    status, category = str(answer.get("status", "PENDING")), str(answer.get("category", ""))
    text = f"Registered as {template.name}: {status}."
    if category and category != template.category:
        text += f" Meta put it into the category {category} instead of {template.category}."
    if template.call_button and settings.clinic_phone is None:
        text += " It has no call button, because CLINIC_PHONE is not set."
    if (unseen := unseen_on_computers(wanted)) is not None:
        text += f" Warning: {unseen}."
    return Submission(
        template, Registration.SUBMITTED, status, text, "" if status == "APPROVED" else _REVIEW
    )
