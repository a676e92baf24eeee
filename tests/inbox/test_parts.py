"""Taking a post apart: each clinic's part is a post of its own, and nothing is lost."""

from typing import Any

import pytest

from smartia_jobs.inbox.parts import NOBODY, parts
from smartia_jobs.inbox.payload import nobodys
from tests.web.meta import failed, post, status, value, written

NAMES = {"1001": ["centro"], "1002": ["norte"]}
ACCOUNTS = {"WABA": ["centro", "norte"]}
PAUSED = {"event": "PAUSED", "message_template_name": "lembrete"}


def about(number: Any, **more: Any) -> dict[str, Any]:
    """Return a change's value about a number."""
    return {**value(**more), "metadata": {"phone_number_id": number}}


def whose(account: str, number: str | None) -> list[str]:
    return ACCOUNTS.get(account, []) if number is None else NAMES.get(number, [])


def test_each_part_is_what_meta_would_have_posted_alone() -> None:
    centro, norte = about("1001", statuses=[status("a")]), about("1002", messages=[written()])

    found = parts(post(centro, norte, centro), whose)

    assert found == {"centro": post(centro, centro), "norte": post(norte)}


def test_the_changes_of_one_entry_may_be_about_several_clinics() -> None:
    both = post(about("1001", statuses=[status("a")]))
    both["entry"][0]["changes"] += post(about("1002", statuses=[status("b")]))["entry"][0][
        "changes"
    ]

    found = parts(both, whose)

    assert found == {
        "centro": post(about("1001", statuses=[status("a")])),
        "norte": post(about("1002", statuses=[status("b")])),
    }


def test_a_number_may_be_no_text() -> None:
    assert list(parts(post(about(1001, statuses=[status()])), whose)) == ["centro"]


def test_what_names_no_number_is_about_everybody_of_its_account() -> None:
    notice = post(PAUSED, field="message_template_status_update")

    assert parts(notice, whose) == {"centro": notice, "norte": notice}


def test_what_is_about_no_clinic_is_nobodys_and_counted_by_reason() -> None:
    stranger = about("9", statuses=[status(), failed("b")], messages=[written()])
    notice = post(PAUSED, field="message_template_status_update")
    notice["entry"][0]["id"] = "another"
    payload = {**notice, "entry": notice["entry"] + post(stranger)["entry"]}

    found = parts(payload, whose)

    assert found == {NOBODY: payload}
    assert nobodys(found[NOBODY]).ignored == {"another_number": 3, "another_account": 1}


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"entry": None},
        {"entry": {"a": 1}},
        {"entry": []},
        {"entry": [None, 7, [], {}, {"changes": 7}, {"changes": []}, {"id": {"a": 1}}]},
        {"entry": [{"changes": [None, 7, {"value": None}, {"value": {"metadata": []}}]}]},
    ],
)
def test_what_makes_no_sense_is_nobodys(payload: dict[str, Any]) -> None:
    found = parts(payload, whose)

    assert found == {NOBODY: payload}
    nobodys(found[NOBODY])


def test_a_broken_entry_costs_no_clinic_its_part() -> None:
    good = post(about("1001", statuses=[status()]))
    payload = {**good, "entry": [None, *good["entry"], {"changes": [7]}]}

    found = parts(payload, whose)

    assert found["centro"] == good
    assert nobodys(found[NOBODY]).ignored == {"unreadable": 1, "field": 1}
