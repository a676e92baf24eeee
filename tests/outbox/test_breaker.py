"""When a run may claim more and when it must end: answers and seconds in, an allowance out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from smartia_jobs.errors import ExitStatus
from smartia_jobs.message import Answer, Verdict
from smartia_jobs.outbox.breaker import (
    BUSY_AFTER,
    EQUAL_ERRORS,
    LONGEST_WAIT_S,
    PATIENCE_S,
    STALL_AFTER,
    STALL_TRIES,
    STALL_WAIT_S,
    Breaker,
    End,
)
from tests.support.fake_sender import ACCEPTED, BUSY, LOST, NOT_SENT, REFUSED, FreeRate

EXPIRED_TOKEN = Answer(Verdict.STOP, "the token expired", code=190, stop=ExitStatus.REFUSED)
NO_TEMPLATE = Answer(Verdict.STOP, "no such template", code=132001, stop=ExitStatus.CONFIGURATION)
BAD_REQUEST = Answer(Verdict.BAD_REQUEST, "a parameter is missing", code=131008)
TOO_FAST = Answer(Verdict.SLOW_DOWN, "too many messages a second", code=130429)
ALSO_BUSY = Answer(Verdict.RETRY, "something went wrong", code=131000)

#: As many as the pace and the workers let through.
NO_BOUND = None
NOW_S = 1_000.0
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def after(*answers: Answer, now_s: float = NOW_S) -> Breaker:
    breaker = Breaker(FreeRate())
    for answer in answers:
        give_answer(breaker, answer, now_s)
    return breaker


def give_answer(
    breaker: Breaker,
    answer: Answer,
    now_s: float = NOW_S,
    *,
    template: str = "lembrete",
    at: datetime | None = None,
) -> None:
    breaker.on_answer(answer, template=template, started_s=now_s - 0.2, now_s=now_s, at=at)


def stalled() -> Breaker:
    """Return breaker that have just noticed that WhatsApp fell silent."""
    return after(ACCEPTED, *[LOST] * STALL_AFTER)


def try_alone(breaker: Breaker, answer: Answer, now_s: float) -> None:
    """Claim one message, as the run does when it is allowed to, and learn what came of it."""
    assert breaker.allowance(now_s, in_flight=0) == 1
    breaker.claimed()
    assert breaker.allowance(now_s, in_flight=1) == 0
    give_answer(breaker, answer, now_s)


# -- the clocks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [ACCEPTED, REFUSED, BAD_REQUEST, BUSY, TOO_FAST])
@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        (timedelta(hours=-26), "26 hours behind WhatsApp's"),
        (timedelta(hours=3), "3 hours ahead of WhatsApp's"),
        (timedelta(minutes=11), "11 minutes ahead of WhatsApp's"),
    ],
)
def test_clocks_that_are_apart_end_the_run_with_the_first_answer(
    answer: Answer, ahead: timedelta, told: str
) -> None:
    breaker = Breaker(FreeRate())

    give_answer(breaker, replace(answer, answered_at=NOON), at=NOON + ahead)

    assert breaker.end is not None
    assert breaker.end.status is ExitStatus.CONFIGURATION
    assert told in breaker.end.why
    assert breaker.allowance(NOW_S, in_flight=0) == 0


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(minutes=-10), timedelta(minutes=10)])
def test_clocks_that_are_near_each_other_are_no_reason_to_end(ahead: timedelta) -> None:
    breaker = Breaker(FreeRate())

    give_answer(breaker, replace(ACCEPTED, answered_at=NOON), at=NOON + ahead)

    assert breaker.end is None


@pytest.mark.parametrize("answer", [LOST, NOT_SENT, ACCEPTED])
def test_only_whatsapp_s_own_clock_is_compared(answer: Answer) -> None:
    at = None if answer is ACCEPTED else NOON - timedelta(days=1)
    breaker = Breaker(FreeRate())

    give_answer(breaker, replace(answer, answered_at=at), at=NOON)

    assert breaker.end is None


# -- the first message --------------------------------------------------------------------------


def test_the_first_message_goes_alone() -> None:
    breaker = Breaker(FreeRate())

    assert breaker.allowance(NOW_S, in_flight=0) == 1
    assert breaker.allowance(NOW_S, in_flight=1) == 0


@pytest.mark.parametrize("answer", [ACCEPTED, REFUSED, BAD_REQUEST, BUSY, TOO_FAST])
def test_any_word_from_whatsapp_lets_the_others_start(answer: Answer) -> None:
    assert after(answer).allowance(NOW_S, in_flight=3) is NO_BOUND


@pytest.mark.parametrize("silence", [LOST, NOT_SENT])
def test_after_silence_the_next_one_goes_alone_again(silence: Answer) -> None:
    breaker = after(silence)

    assert breaker.allowance(NOW_S, in_flight=0) == 1
    assert breaker.allowance(NOW_S, in_flight=1) == 0


@pytest.mark.parametrize("answer", [EXPIRED_TOKEN, NO_TEMPLATE])
def test_an_answer_that_stops_the_run_stops_it_with_its_status(answer: Answer) -> None:
    breaker = after(ACCEPTED, answer)

    assert answer.stop is not None
    assert breaker.end == End(answer.reason, answer.stop)
    assert breaker.allowance(NOW_S, in_flight=0) == 0


def test_the_first_reason_to_end_stays() -> None:
    breaker = after(EXPIRED_TOKEN, NO_TEMPLATE)

    breaker.stop("interrupted", ExitStatus.TERMINATED)

    assert breaker.end == End("the token expired", ExitStatus.REFUSED)


# -- silence ------------------------------------------------------------------------------------


def test_a_little_silence_stalls_nothing() -> None:
    breaker = after(ACCEPTED, *[LOST] * (STALL_AFTER - 1))

    assert breaker.allowance(NOW_S, in_flight=5) is NO_BOUND


@pytest.mark.parametrize("silence", [LOST, NOT_SENT])
def test_a_longer_silence_stalls_the_run(silence: Answer) -> None:
    breaker = after(ACCEPTED, *[silence] * STALL_AFTER)

    assert breaker.allowance(NOW_S, in_flight=0) == 0
    assert breaker.allowance(NOW_S + STALL_WAIT_S - 0.001, in_flight=0) == 0
    assert breaker.allowance(NOW_S + STALL_WAIT_S, in_flight=0) == 1
    assert breaker.end is None


def test_silence_counts_in_a_row_only() -> None:
    breaker = after(ACCEPTED, LOST, LOST, REFUSED, LOST, LOST, BUSY, LOST, LOST)

    assert breaker.allowance(NOW_S, in_flight=0) is NO_BOUND


def test_a_stalled_run_waits_for_what_is_still_on_its_way() -> None:
    assert stalled().allowance(NOW_S + STALL_WAIT_S, in_flight=1) == 0


def test_stragglers_are_not_tries() -> None:
    breaker = stalled()

    for _ in range(10):
        give_answer(breaker, LOST, NOW_S + 1)

    assert breaker.end is None


def test_lone_tries_without_an_answer_end_the_run() -> None:
    breaker = stalled()
    now_s = NOW_S

    for _ in range(STALL_TRIES):
        assert breaker.end is None
        now_s += STALL_WAIT_S
        try_alone(breaker, NOT_SENT, now_s)
        assert breaker.allowance(now_s, in_flight=0) == 0

    assert breaker.end is not None
    assert breaker.end.status is ExitStatus.UNAVAILABLE


@pytest.mark.parametrize("answer", [ACCEPTED, REFUSED, BUSY])
def test_one_answer_ends_the_stall_and_forgets_the_tries(answer: Answer) -> None:
    breaker = stalled()
    for attempt in range(1, STALL_TRIES):
        try_alone(breaker, LOST, NOW_S + attempt * STALL_WAIT_S)
    now_s = NOW_S + STALL_TRIES * STALL_WAIT_S

    try_alone(breaker, answer, now_s)

    assert breaker.allowance(now_s, in_flight=9) is NO_BOUND
    for _ in range(STALL_AFTER):
        give_answer(breaker, LOST, now_s)
    try_alone(breaker, LOST, now_s + STALL_WAIT_S)
    assert breaker.end is None


def test_a_straggler_that_was_answered_ends_the_stall() -> None:
    breaker = stalled()

    give_answer(breaker, ACCEPTED, NOW_S + 5)

    assert breaker.allowance(NOW_S + 5, in_flight=0) is NO_BOUND


def test_a_lone_try_that_was_never_posted_is_no_try() -> None:
    breaker = stalled()
    later_s = NOW_S + STALL_WAIT_S
    for _ in range(STALL_TRIES + 1):
        breaker.claimed()  # its time had passed, so it came back without an answer

    assert breaker.allowance(later_s, in_flight=0) == 1
    assert breaker.end is None


# -- slowing down -------------------------------------------------------------------------------


def slow_downs(*answers: Answer) -> int:
    """Return how often everyone was slowed down."""
    rate = FreeRate()
    breaker = Breaker(rate)
    for answer in answers:
        give_answer(breaker, answer)
    return rate.slow_downs


def test_a_throttle_slows_everyone_down() -> None:
    assert slow_downs(TOO_FAST) == 1
    assert slow_downs(ACCEPTED, REFUSED, BUSY, LOST) == 0


def test_whatsapp_calling_itself_busy_in_a_row_slows_everyone_down() -> None:
    assert slow_downs(*[BUSY] * (BUSY_AFTER - 1)) == 0
    assert slow_downs(*[BUSY] * (BUSY_AFTER - 1), ALSO_BUSY) == 1


@pytest.mark.parametrize("answer", [ACCEPTED, REFUSED, NOT_SENT])
def test_any_other_result_begins_the_count_of_busy_answers_again(answer: Answer) -> None:
    assert slow_downs(*[BUSY] * (BUSY_AFTER - 1), answer, *[BUSY] * (BUSY_AFTER - 1)) == 0


def test_after_everyone_has_waited_busy_answers_are_counted_again() -> None:
    assert slow_downs(*[BUSY] * (2 * BUSY_AFTER - 1)) == 1
    assert slow_downs(*[BUSY] * (2 * BUSY_AFTER)) == 2


# -- patience -----------------------------------------------------------------------------------


class SlowRate(FreeRate):
    """Holds everyone for a fifth of the patience with each slow-down."""

    def slow_down(self, started_at: float, wait_s: float | None = None) -> float:
        """Hold everyone."""
        return PATIENCE_S / 5


def patient(*answers: Answer) -> Breaker:
    breaker = Breaker(SlowRate())
    for answer in answers:
        give_answer(breaker, answer)
    return breaker


def test_pauses_are_borne_up_to_a_sum() -> None:
    breaker = patient(ACCEPTED, *[TOO_FAST] * 5)

    assert breaker.end is None
    assert breaker.allowance(NOW_S, in_flight=0) is NO_BOUND


def test_the_pause_that_goes_beyond_it_leaves_the_rest_to_the_next_run() -> None:
    breaker = patient(ACCEPTED, *[TOO_FAST] * 6)

    assert breaker.end is not None
    assert breaker.end.status is ExitStatus.RETRY
    assert breaker.allowance(NOW_S, in_flight=0) == 0


def test_answers_do_not_give_the_patience_back() -> None:
    assert patient(*[TOO_FAST, ACCEPTED] * 6).end is not None


def test_a_wait_of_more_than_a_minute_is_left_to_the_next_run() -> None:
    assert after(replace(TOO_FAST, wait_s=LONGEST_WAIT_S)).end is None
    assert after(replace(TOO_FAST, wait_s=LONGEST_WAIT_S + 1)).end == End(
        "WhatsApp asks for a long wait", ExitStatus.RETRY
    )


# -- request errors -----------------------------------------------------------------------------


def test_equal_request_errors_in_a_row_are_the_requests_fault() -> None:
    assert after(*[BAD_REQUEST] * (EQUAL_ERRORS - 1)).end is None
    assert after(*[BAD_REQUEST] * EQUAL_ERRORS).end == End(
        BAD_REQUEST.reason, ExitStatus.CONFIGURATION
    )


def test_a_busy_server_does_not_break_the_row() -> None:
    assert after(*[BUSY, BAD_REQUEST] * EQUAL_ERRORS).end is not None


@pytest.mark.parametrize("answer", [ACCEPTED, REFUSED, replace(BAD_REQUEST, code=100)])
def test_another_answer_breaks_the_row(answer: Answer) -> None:
    errors = [BAD_REQUEST] * (EQUAL_ERRORS - 1)

    assert after(*errors, answer, *errors).end is None


@pytest.mark.parametrize(
    ("answer", "is_good"),
    [(ACCEPTED, True), (REFUSED, True), (BAD_REQUEST, False), (BUSY, False), (LOST, False)],
)
def test_who_was_taken_or_refused_for_their_own_sake_shows_that_the_request_is_good(
    answer: Answer, is_good: bool
) -> None:
    assert after(answer).was_read("lembrete") is is_good


def test_another_template_shows_nothing_of_one_that_cannot_be_read() -> None:
    breaker = after(ACCEPTED)

    for _ in range(EQUAL_ERRORS):
        assert breaker.end is None
        give_answer(breaker, BAD_REQUEST, template="lembrete_confirmado")
        give_answer(breaker, ACCEPTED)

    assert not breaker.was_read("lembrete_confirmado")
    assert breaker.end == End(BAD_REQUEST.reason, ExitStatus.CONFIGURATION)
