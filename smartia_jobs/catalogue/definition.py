"""A template as Meta keeps it: the definition to submit, and how an approved one differs."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from smartia_jobs.catalogue.contact import contact
from smartia_jobs.catalogue.loading import MessageTemplate, load_catalogue
from smartia_jobs.catalogue.render import example_message

#: Buttons that WhatsApp on computers shows below a message.
_MOST_SEEN = 3


def definition(
    template: MessageTemplate, *, clinic_name: str, clinic_phone: str | None, country: str = "BR"
) -> dict[str, Any]:
    """Return the JSON body that registers a template (``POST /{waba_id}/message_templates``).

    Args:
        template: from the catalogue.
        clinic_name: the setting; stands in the examples Meta's reviewers see.
        clinic_phone: the setting, in international form; adds the call button. None: none.
        country: the setting; says how the phone is written in an example.
    """
    body: dict[str, Any] = {"type": "BODY", "text": template.body}
    if template.parameters:
        body["example"] = _example(template, clinic_name, contact(clinic_phone, country))
    components = [body]
    if template.footer:
        components.append({"type": "FOOTER", "text": template.footer})
    buttons = [
        {"type": button.type.upper(), "text": button.text}
        | ({"url": button.url} if button.url else {})
        for button in template.buttons
    ]
    if template.call_button and clinic_phone:
        buttons.append(
            {"type": "PHONE_NUMBER", "text": template.call_button, "phone_number": clinic_phone}
        )
    if buttons:
        components.append({"type": "BUTTONS", "buttons": buttons})
    registered: dict[str, Any] = {
        "name": template.name,
        "language": template.language,
        "category": template.category,
        "parameter_format": "NAMED" if template.named else "POSITIONAL",
        "components": components,
    }
    if template.time_to_live is not None:
        registered["message_send_ttl_seconds"] = int(template.time_to_live.total_seconds())
    return registered


def shipped_definitions(*, clinic_name: str) -> list[dict[str, Any]]:
    """Return the definitions of all shipped templates, for an account that has no call button.

    Args:
        clinic_name: as for :func:`definition`.
    """
    return [
        definition(template, clinic_name=clinic_name, clinic_phone=None)
        for template in load_catalogue(None).templates.values()
    ]


def unseen_on_computers(definition: Mapping[str, Any]) -> str | None:
    """Say that WhatsApp on computers does not show such a message; None when it does.

    Args:
        definition: ours, from :func:`definition`, or Meta's.

    Source: reported of WhatsApp on computers (2026-11); not tried by us.
    """
    buttons = _component(definition, "BUTTONS").get("buttons") or []
    replies = [str(button.get("type")).upper() == "QUICK_REPLY" for button in buttons]
    if any(replies) and not all(replies):
        mix = "a call or link button beside quick replies"
    elif len(replies) > _MOST_SEEN:
        mix = f"more than {_MOST_SEEN} buttons"
    else:
        return None
    return (
        f"buttons: WhatsApp on computers does not show a message that has {mix}; keep the quick"
        " replies alone, and write the clinic's phone into the text ({{contato}})"
    )


def differences(ours: Mapping[str, Any], metas: Mapping[str, Any]) -> list[str]:
    """Return what differs between our definition and Meta's template, in sentences.

    Each begins with the part it is about: ``category:``, ``header:``, ``text:``,
    ``variables:``, ``footer:`` or ``buttons:``. Different variables or a header mean that
    every message is refused; another text means that our record shows what nobody has read.
    Examples, time to live and status are not compared.

    Args:
        ours: from :func:`definition`.
        metas: an object of Meta's template list, of the same name and language.
    """
    return list(_differences(ours, metas))


def _differences(ours: Mapping[str, Any], metas: Mapping[str, Any]) -> Iterator[str]:
    if metas.get("category") != ours["category"]:
        yield f"category: we ask for {ours['category']}, WhatsApp has {metas.get('category')}"
    if header := _component(metas, "HEADER"):
        yield f"header: WhatsApp has one ({header.get('format', 'TEXT')}), the catalogue has none"
    our_text, their_text = _text(ours, "BODY"), _text(metas, "BODY")
    our_variables, their_variables = _variables(ours), _variables(metas)
    if our_variables != their_variables:
        yield (
            f"variables: the catalogue has {_listed(our_variables)}, "
            f"WhatsApp has {_listed(their_variables)}"
        )
    if our_text != their_text:
        yield f"text: {_where(our_text, their_text)}"
    our_footer, their_footer = _text(ours, "FOOTER"), _text(metas, "FOOTER")
    if our_footer != their_footer:
        yield f"footer: the catalogue has {_quoted(our_footer)}, WhatsApp {_quoted(their_footer)}"
    our_buttons, their_buttons = _buttons(ours), _buttons(metas)
    if our_buttons != their_buttons:
        yield (
            f"buttons: the catalogue has {_listed(our_buttons)}, "
            f"WhatsApp has {_listed(their_buttons)}"
        )


def _example(template: MessageTemplate, clinic_name: str, contact: str) -> dict[str, Any]:
    values = example_message(template, clinic_name=clinic_name, contact=contact).parameters
    if template.named:
        named = [{"param_name": name, "example": value} for name, value in values.items()]
        return {"body_text_named_params": named}
    return {"body_text": [list(values.values())]}


def _component(definition: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    components = definition.get("components") or []
    return next((c for c in components if str(c.get("type")).upper() == type_), {})


def _text(definition: Mapping[str, Any], type_: str) -> str:
    return str(_component(definition, type_).get("text") or "").replace("\r\n", "\n").strip()


def _variables(definition: Mapping[str, Any]) -> list[str]:
    names = dict.fromkeys(re.findall(r"\{\{\s*(\w+)\s*\}\}", _text(definition, "BODY")))
    # Named parameters are sent by name, numbered ones by number: their order in the text is free.
    return sorted(names, key=lambda name: (len(name), name) if name.isdigit() else (0, name))


def _buttons(definition: Mapping[str, Any]) -> list[str]:
    """Describe each button, so that two that do the same have the same description."""
    described = []
    for button in _component(definition, "BUTTONS").get("buttons") or []:
        leads_to = button.get("url") or re.sub(r"\D", "", str(button.get("phone_number") or ""))
        type_ = str(button.get("type")).upper().replace("_", " ").lower()
        described.append(
            f"{type_} {_quoted(button.get('text'))}" + (f" to {leads_to}" * bool(leads_to))
        )
    return described


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _quoted(text: str | None) -> str:
    return f"“{text}”" if text else "none"


def _where(ours: str, theirs: str) -> str:
    """Show the first place where two texts part, with a little of what follows."""
    same = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
    start = min(len(ours), len(theirs)) if same is None else same
    start = ours.rfind(" ", 0, start) + 1
    return (
        f"from character {start + 1} on the catalogue has {_quoted(ours[start : start + 40])}, "
        f"WhatsApp has {_quoted(theirs[start : start + 40])}"
    )
