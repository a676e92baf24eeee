"""What Meta's error codes mean when they come late, for a message that WhatsApp had accepted."""

from dataclasses import replace

from smartia_jobs.message import Answer, Verdict
from smartia_jobs.whatsapp.codes import ANSWERS

#: Meta gave up for reasons that are not this patient's: its own servers and limits, the account,
#: a template that it paused. The same message may arrive when it is sent again.
_METAS_OWN = frozenset(
    {
        1, 131000, 131016, 130429, 131056, 131057,
        132015, 132016,
        131031, 131037, 131042, 131048, 131064, 133010,
    }
)  # fmt: skip


def explain_failure(code: int | None) -> Answer:
    """Say why an accepted message did not arrive, and whether it may be sent again.

    Args:
        code: Meta's, as the status has it; None: none was given, as SmartIA keeps none.

    Returns:
        ``RETRY`` where Meta gave up for reasons of its own, else ``GIVE_UP``.
    """
    if code is None:
        return Answer(Verdict.GIVE_UP, "WhatsApp did not deliver it; the reason was not told.")
    known = ANSWERS.get(code)
    if known is None:
        reason = "WhatsApp did not deliver it, for a reason this program does not know."
        return Answer(Verdict.GIVE_UP, reason, code=code)
    verdict = Verdict.RETRY if code in _METAS_OWN else Verdict.GIVE_UP
    return replace(known, verdict=verdict, code=code, stop=None, wait_s=None)
