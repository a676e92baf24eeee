"""When a run may claim more and when it must end: answers and seconds in, an allowance out."""

import pytest

from smartia_jobs.errors import ExitStatus
from smartia_jobs.message import Answer, Verdict
from smartia_jobs.outbox.brakes import (
    BUSY_AFTER,
    PATIENCE_S,
    STALL_AFTER,
    STALL_TRIES,
    STALL_WAIT_S,
    Brakes,
    End,
)
from tests.support.fake_courier import ACCEPTED, BUSY, LOST, NOT_SENT, REFUSED

EXPIRED_TOKEN = Answer(Verdict.STOP, "the token expired", code=190, stop=ExitStatus.REFUSED)
NO_TEMPLATE = Answer(Verdict.STOP, "no such template", code=132001, stop=ExitStatus.CONFIGURATION)
BAD_REQUEST = Answer(Verdict.BAD_REQUEST, "a parameter is missing", code=131008)
TOO_FAST = Answer(Verdict.SLOW_DOWN, "too many messages a second", code=130429)
ALSO_BUSY = Answer(Verdict.RETRY, "something went wrong", code=131000)

#: As many as the pace and the workers let through.
NO_BOUND = None
NOW_S = 1_000.0


def after(*answers: Answer, now_s: float = NOW_S) -> Brakes:
    brakes = Brakes()
    for answer in answers:
        brakes.heard(answer, now_s)
    return brakes


def stalled() -> Brakes:
    """Return brakes that have just noticed that WhatsApp fell silent."""
    return after(ACCEPTED, *[LOST] * STALL_AFTER)


def try_alone(brakes: Brakes, answer: Answer, now_s: float) -> None:
    """Claim one message, as the run does when it is allowed to, and hear what came of it."""
    assert brakes.allowance(now_s, in_flight=0) == 1
    brakes.claimed()
    assert brakes.allowance(now_s, in_flight=1) == 0
    brakes.heard(answer, now_s)


# -- the first message --------------------------------------------------------------------------


def test_the_first_message_goes_alone() -> None:
    brakes = Brakes()

    assert brakes.allowance(NOW_S, in_flight=0) == 1
    assert brakes.allowance(NOW_S, in_flight=1) == 0


@pytest.mark.parametrize("answer", [ACCEPTED, REFUSED, BAD_REQUEST, BUSY, TOO_FAST])
def test_any_word_from_whatsapp_lets_the_others_start(answer: Answer) -> None:
    assert after(answer).allowance(NOW_S, in_flight=3) is NO_BOUND


@pytest.mark.parametrize("silence", [LOST, NOT_SENT])
def test_after_silence_the_next_one_goes_alone_again(silence: Answer) -> None:
    brakes = after(silence)

    assert brakes.allowance(NOW_S, in_flight=0) == 1
    assert brakes.allowance(NOW_S, in_flight=1) == 0


@pytest.mark.parametrize("answer", [EXPIRED_TOKEN, NO_TEMPLATE])
def test_an_answer_that_stops_the_run_stops_it_with_its_status(answer: Answer) -> None:
    brakes = after(ACCEPTED, answer)

    assert answer.stop is not None
    assert brakes.end == End(answer.reason, answer.stop)
    assert brakes.allowance(NOW_S, in_flight=0) == 0


def test_the_first_reason_to_end_stays() -> None:
    brakes = after(EXPIRED_TOKEN, NO_TEMPLATE)

    brakes.stop("interrupted", ExitStatus.TERMINATED)

    assert brakes.end == End("the token expired", ExitStatus.REFUSED)


# -- silence ------------------------------------------------------------------------------------


def test_a_little_silence_stalls_nothing() -> None:
    brakes = after(ACCEPTED, *[LOST] * (STALL_AFTER - 1))

    assert brakes.allowance(NOW_S, in_flight=5) is NO_BOUND
    assert brakes.resumes_in_s(NOW_S) == 0


@pytest.mark.parametrize("silence", [LOST, NOT_SENT])
def test_a_longer_silence_stalls_the_run(silence: Answer) -> None:
    brakes = after(ACCEPTED, *[silence] * STALL_AFTER)

    assert brakes.allowance(NOW_S, in_flight=0) == 0
    assert brakes.allowance(NOW_S + STALL_WAIT_S - 0.001, in_flight=0) == 0
    assert brakes.allowance(NOW_S + STALL_WAIT_S, in_flight=0) == 1
    assert brakes.end is None


def test_silence_counts_in_a_row_only() -> None:
    brakes = after(ACCEPTED, LOST, LOST, REFUSED, LOST, LOST, BUSY, LOST, LOST)

    assert brakes.allowance(NOW_S, in_flight=0) is NO_BOUND


def test_a_stalled_run_knows_when_it_tries_again() -> None:
    brakes = stalled()

    assert brakes.resumes_in_s(NOW_S) == STALL_WAIT_S
    assert brakes.resumes_in_s(NOW_S + 10) == STALL_WAIT_S - 10
    assert brakes.resumes_in_s(NOW_S + STALL_WAIT_S + 10) == 0


def test_a_stalled_run_waits_for_what_is_still_on_its_way() -> None:
    assert stalled().allowance(NOW_S + STALL_WAIT_S, in_flight=1) == 0


def test_stragglers_are_not_tries() -> None:
    brakes = stalled()

    for _ in range(10):
        brakes.heard(LOST, NOW_S + 1)

    assert brakes.end is None
    assert brakes.resumes_in_s(NOW_S + 1) == STALL_WAIT_S - 1


def test_lone_tries_without_an_answer_end_the_run() -> None:
    brakes = stalled()
    now_s = NOW_S

    for _ in range(STALL_TRIES):
        assert brakes.end is None
        now_s += STALL_WAIT_S
        try_alone(brakes, NOT_SENT, now_s)
        assert brakes.allowance(now_s, in_flight=0) == 0

    assert brakes.end is not None
    assert brakes.end.status is ExitStatus.UNAVAILABLE


@pytest.mark.parametrize("answer", [ACCEPTED, REFUSED, BUSY])
def test_one_answer_ends_the_stall_and_forgets_the_tries(answer: Answer) -> None:
    brakes = stalled()
    for attempt in range(1, STALL_TRIES):
        try_alone(brakes, LOST, NOW_S + attempt * STALL_WAIT_S)
    now_s = NOW_S + STALL_TRIES * STALL_WAIT_S

    try_alone(brakes, answer, now_s)

    assert brakes.allowance(now_s, in_flight=9) is NO_BOUND
    assert brakes.resumes_in_s(now_s) == 0
    for _ in range(STALL_AFTER):
        brakes.heard(LOST, now_s)
    try_alone(brakes, LOST, now_s + STALL_WAIT_S)
    assert brakes.end is None


def test_a_straggler_that_was_answered_ends_the_stall() -> None:
    brakes = stalled()

    brakes.heard(ACCEPTED, NOW_S + 5)

    assert brakes.allowance(NOW_S + 5, in_flight=0) is NO_BOUND


def test_a_lone_try_that_was_never_posted_is_no_try() -> None:
    brakes = stalled()
    later_s = NOW_S + STALL_WAIT_S
    for _ in range(STALL_TRIES + 1):
        brakes.claimed()  # its time had passed, so it came back without an answer

    assert brakes.allowance(later_s, in_flight=0) == 1
    assert brakes.end is None


# -- busy ---------------------------------------------------------------------------------------


def test_whatsapp_calling_itself_busy_in_a_row_slows_everyone_down() -> None:
    brakes = after(*[BUSY] * (BUSY_AFTER - 1))
    assert not brakes.busy

    brakes.heard(ALSO_BUSY, NOW_S)

    assert brakes.busy


@pytest.mark.parametrize("answer", [ACCEPTED, REFUSED, TOO_FAST, NOT_SENT])
def test_any_other_result_begins_the_count_of_busy_answers_anew(answer: Answer) -> None:
    brakes = after(*[BUSY] * (BUSY_AFTER - 1), answer, *[BUSY] * (BUSY_AFTER - 1))

    assert not brakes.busy


def test_after_everyone_has_waited_busy_answers_are_counted_anew() -> None:
    brakes = after(*[BUSY] * BUSY_AFTER)

    brakes.waited(1.0)

    assert not brakes.busy


# -- patience -----------------------------------------------------------------------------------


def test_pauses_are_borne_up_to_a_sum() -> None:
    brakes = after(ACCEPTED)

    for _ in range(5):
        brakes.waited(PATIENCE_S / 5)

    assert brakes.end is None
    assert brakes.allowance(NOW_S, in_flight=0) is NO_BOUND


def test_the_pause_that_goes_beyond_it_leaves_the_rest_to_the_next_run() -> None:
    brakes = after(ACCEPTED)
    brakes.waited(PATIENCE_S)

    brakes.waited(0.001)

    assert brakes.end is not None
    assert brakes.end.status is ExitStatus.RETRY
    assert brakes.allowance(NOW_S, in_flight=0) == 0


def test_answers_do_not_give_the_patience_back() -> None:
    brakes = after(ACCEPTED)
    brakes.waited(PATIENCE_S)
    brakes.heard(ACCEPTED, NOW_S)

    brakes.waited(1.0)

    assert brakes.end is not None
