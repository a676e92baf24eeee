"""How long one message waits before it is tried again, as tenacity's strategies.

Tenacity is asked for the numbers only; the outbox does the waiting, because a message that
waits must first be committed as ``retry``.
"""

from dataclasses import dataclass
from typing import assert_never

from tenacity import RetryCallState, Retrying, stop_after_attempt
from tenacity.stop import stop_base
from tenacity.wait import wait_base, wait_exponential, wait_random

from smartia_jobs.message import Answer, Verdict


@dataclass(frozen=True, slots=True)
class _Policy:
    wait: wait_base
    stop: stop_base


#: Refused or never connected: 2-4, 4-6, 8-10 seconds, four tries in all.
_SOON = _Policy(wait_exponential(multiplier=2) + wait_random(0, 2), stop_after_attempt(4))

#: WhatsApp is down or overloaded (code 2): outages last minutes; 30-35 and 55-60 seconds.
_OUTAGE = _Policy(
    wait_exponential(multiplier=30, max=55) + wait_random(0, 5), stop_after_attempt(3)
)
_OUTAGE_CODE = 2

#: Too many to one recipient: 4^n, as Meta prescribes (1, 4, 16); 64 would be too long for a run.
_RECIPIENT = _Policy(wait_exponential(multiplier=1, exp_base=4), stop_after_attempt(4))


def retry_wait_s(answer: Answer, attempt: int) -> float | None:
    """Return for how many seconds a message waits before it is tried again in this run.

    Args:
        answer: what the last attempt brought.
        attempt: how many attempts there have been in this run, from 1.

    Returns:
        0 for a throttle of everyone (the pacer holds them all); None when the message is not
        tried again in this run, because it was tried often enough or is final.

    Source: Meta, "Error codes" (2026-09-11) for 131056; the rest is this program's choice.
    """
    match answer.verdict:
        case Verdict.SLOW_DOWN:
            return 0.0
        case Verdict.SLOW_DOWN_RECIPIENT:
            policy = _RECIPIENT
        case Verdict.RETRY:
            policy = _OUTAGE if answer.code == _OUTAGE_CODE else _SOON
        case Verdict.SENT | Verdict.GIVE_UP | Verdict.BAD_REQUEST | Verdict.UNKNOWN | Verdict.STOP:
            return None
        case _:
            assert_never(answer.verdict)
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = attempt
    return None if policy.stop(state) else policy.wait(state)
