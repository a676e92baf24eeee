"""How long WhatsApp may try to deliver a message, against how long it is of use."""

from datetime import timedelta

from smartia_jobs.catalogue.loading import MessageTemplate
from smartia_jobs.settings import Settings


def outlives(template: MessageTemplate, settings: Settings) -> str | None:
    """Say that WhatsApp may try longer than a reminder is of use; None when it may not.

    A phone that was off could show it after the visit.
    """
    kind = template.reminder
    if kind is None:
        return None
    latest = settings.times_of(kind).latest
    if template.time_to_live is not None and template.time_to_live <= latest:
        return None
    return (
        f"The {kind.name} reminder may reach a phone that was off for up to"
        f" {in_words(template.time_to_live)}, which is longer than {kind.setting('latest')}"
        f" ({in_words(latest)})."
    )


def in_words(duration: timedelta | None) -> str:
    """Write a time to live for a person; None stands for Meta's default."""
    if duration is None:
        return "30 days"
    seconds = int(duration.total_seconds())
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds > length and seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
