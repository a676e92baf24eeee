"""Whose fault a malformed request is: pure, over every order of answers that matters."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from smartia_jobs.message import Answer, Conversations, Message, Phone, Verdict
from smartia_jobs.outbox.claims import Claim
from smartia_jobs.outbox.records import Finished, state_after
from smartia_jobs.outbox.suspects import ANY_ERRORS, EQUAL_ERRORS, Suspects

_NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
_CLAIM = Claim(
    outbox_ids=(1,),
    visits=(),
    conversations=Conversations(),
    phone=Phone("+5511987650001", "+5511987650001"),
    message=Message("24h", "lembrete", "pt_BR", {}, named=True, text=""),
    send_before=_NOW,
    claimed_s=0.0,
    attempts=0,
)


def answered(verdict: Verdict, code: int | None = None) -> Finished:
    return Finished(_CLAIM, Answer(verdict, code=code), state_after(verdict), _NOW, 1.0, 0.5)


SENT, REFUSED = answered(Verdict.SENT), answered(Verdict.GIVE_UP, 131026)
BUSY = answered(Verdict.RETRY, 131016)


def bad(code: int = 131008) -> Finished:
    return answered(Verdict.BAD_REQUEST, code)


def test_equal_errors_in_a_row_are_the_requests_fault() -> None:
    suspects = Suspects()
    verdicts = []

    for _ in range(EQUAL_ERRORS):
        suspects.hear(bad())
        verdicts.append(suspects.request_is_bad)

    assert verdicts == [False] * (EQUAL_ERRORS - 1) + [True]
    assert len(suspects.release()) == EQUAL_ERRORS


@pytest.mark.parametrize("good", [SENT, REFUSED])
def test_a_message_that_was_read_at_all_acquits_the_request(good: Finished) -> None:
    suspects = Suspects()
    for _ in range(EQUAL_ERRORS - 1):
        suspects.hear(bad())

    innocent = suspects.hear(good)

    assert len(innocent) == EQUAL_ERRORS - 1
    assert suspects.release() == []


def test_a_busy_server_neither_acquits_nor_breaks_the_row() -> None:
    suspects = Suspects()
    for _ in range(EQUAL_ERRORS):
        suspects.hear(BUSY)
        suspects.hear(replace(bad()))

    assert suspects.request_is_bad


def test_many_different_errors_are_the_requests_fault_while_nothing_was_read() -> None:
    suspects = Suspects()

    for number in range(ANY_ERRORS):
        suspects.hear(bad(100 if number % 2 else 131009))

    assert suspects.request_is_bad


def test_many_different_errors_are_the_patients_own_once_the_request_is_known_good() -> None:
    suspects = Suspects()
    suspects.hear(SENT)

    innocent = [suspects.hear(bad(100 if number % 2 else 131009)) for number in range(20)]

    assert sum(map(len, innocent)) == 19
    assert not suspects.request_is_bad
