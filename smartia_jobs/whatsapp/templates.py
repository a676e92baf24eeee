"""Templates as Meta has them: how they are asked for, and what the answer says."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from smartia_jobs.whatsapp.management import Management, as_text

#: The only status that can be sent.
APPROVED = "APPROVED"

_FIELDS = (
    "name",
    "language",
    "status",
    "category",
    "components",
    "quality_score",
    "rejected_reason",
)
_TIME_TO_LIVE = "message_send_ttl_seconds"
#: An unknown field fails the whole call, and these are not known to every version.
_OPTIONAL = (_TIME_TO_LIVE, "parameter_format", "correct_category")


@dataclass(frozen=True, slots=True)
class RegisteredTemplate:
    """One template in one language, as Meta has it.

    Attributes:
        name: as we know it.
        language: Meta's code, with an underscore.
        status: ``APPROVED``, ``PENDING``, ``REJECTED``, ``PAUSED`` …; only the first is sent.
        category: ``UTILITY``, ``MARKETING`` or ``AUTHENTICATION``.
        quality: ``GREEN``, ``YELLOW``, ``RED`` or ``UNKNOWN``.
        rejected_reason: as Meta puts it; empty when there is none.
        correct_category: the category Meta is about to move it to; empty when there is none.
        time_to_live: how long Meta tries to deliver; None for its default of 30 days.
        time_to_live_known: whether this version of Graph says it.
        definition: Meta's own object, to be compared with ours.
    """

    name: str
    language: str
    status: str
    category: str
    quality: str
    rejected_reason: str
    correct_category: str
    time_to_live: timedelta | None
    time_to_live_known: bool
    definition: Mapping[str, Any]


def registered_templates(management: Management, waba_id: str) -> list[RegisteredTemplate]:
    """Return every template of an account, over all pages.

    Source: Meta, "Template management" (2026-09); one object a language.
    """
    listing = management.listing(
        f"{waba_id}/message_templates", _FIELDS, optional=_OPTIONAL, of="META_WABA_ID"
    )
    known = _TIME_TO_LIVE not in listing.unknown
    return [_read(row, time_to_live_known=known) for row in listing.rows]


def _read(row: Mapping[str, Any], *, time_to_live_known: bool) -> RegisteredTemplate:
    quality = row.get("quality_score")
    seconds = row.get(_TIME_TO_LIVE)
    return RegisteredTemplate(
        name=as_text(row.get("name")),
        language=as_text(row.get("language")).replace("-", "_"),
        status=as_text(row.get("status")) or "UNKNOWN",
        category=as_text(row.get("category")),
        quality=as_text(quality.get("score") if isinstance(quality, dict) else quality)
        or "UNKNOWN",
        rejected_reason=_unless_none(row.get("rejected_reason")),
        correct_category=_unless_none(row.get("correct_category")),
        # -1 stands for the default of 30 days.
        time_to_live=(
            timedelta(seconds=seconds) if isinstance(seconds, int) and seconds > 0 else None
        ),
        time_to_live_known=time_to_live_known,
        definition=row,
    )


def _unless_none(value: object) -> str:
    word = as_text(value)
    return "" if word.upper() == "NONE" else word
