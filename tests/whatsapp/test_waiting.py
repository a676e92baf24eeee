"""How long one message waits before its next try in this run."""

import pytest

from smartia_jobs.message import Answer, Verdict
from smartia_jobs.whatsapp.waiting import retry_wait_s


def test_a_refused_message_waits_longer_each_time_and_is_left_after_four_tries() -> None:
    answer = Answer(Verdict.RETRY, code=131000)

    first, second, third, fourth = (retry_wait_s(answer, attempt) for attempt in range(1, 5))

    assert first is not None and 2 <= first <= 4
    assert second is not None and 4 <= second <= 6
    assert third is not None and 8 <= third <= 10
    assert fourth is None


def test_waits_are_not_the_same_for_everybody() -> None:
    answer = Answer(Verdict.RETRY, from_graph=False)

    assert len({retry_wait_s(answer, 1) for _ in range(20)}) > 1


def test_an_outage_gets_half_a_minute_and_never_more_than_one() -> None:
    answer = Answer(Verdict.RETRY, code=2)

    first, second, third = (retry_wait_s(answer, attempt) for attempt in range(1, 4))

    assert first is not None and 30 <= first <= 35
    assert second is not None and 55 <= second <= 60
    assert third is None


def test_a_recipient_who_got_too_many_waits_in_powers_of_four() -> None:
    answer = Answer(Verdict.SLOW_DOWN_RECIPIENT, code=131056)

    assert [retry_wait_s(answer, attempt) for attempt in range(1, 6)] == [1, 4, 16, None, None]


def test_a_throttled_message_waits_with_everyone_else_however_often() -> None:
    answer = Answer(Verdict.SLOW_DOWN, code=130429, wait_s=30)

    assert [retry_wait_s(answer, attempt) for attempt in (1, 10, 1000)] == [0, 0, 0]


@pytest.mark.parametrize(
    "verdict",
    [Verdict.SENT, Verdict.GIVE_UP, Verdict.BAD_REQUEST, Verdict.UNKNOWN, Verdict.STOP],
)
def test_what_is_final_or_unknown_is_not_tried_again(verdict: Verdict) -> None:
    assert retry_wait_s(Answer(verdict), 1) is None
