"""What Meta's codes mean when they come after a message was accepted."""

import pytest

from smartia_jobs.message import Verdict
from smartia_jobs.whatsapp.codes import explain_failure


@pytest.mark.parametrize("code", [1, 131000, 130429, 131056, 132015, 131042, 133010])
def test_what_meta_gave_up_for_its_own_reasons_may_be_sent_again(code: int) -> None:
    assert explain_failure(code).verdict is Verdict.RETRY


@pytest.mark.parametrize("code", [131026, 131049, 131047, 100, 424242, None])
def test_everything_else_is_final_and_has_a_reason_in_words(code: int | None) -> None:
    failure = explain_failure(code)

    assert failure.verdict is Verdict.GIVE_UP
    assert failure.reason.endswith(".")


def test_only_who_wants_no_marketing_is_an_opt_out() -> None:
    assert explain_failure(131050).opt_out
    assert not explain_failure(131049).opt_out
