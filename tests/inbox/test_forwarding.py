"""What of a post goes on: piece by piece, as Meta would have written it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from smartia_jobs.inbox.passing_on import only, pieces
from tests.web.meta import post, status, value, written


def test_a_post_is_left_as_it_is_when_everything_is_wanted() -> None:
    payload = post(value(statuses=[status()], messages=[written()], contacts=[{"wa_id": "55"}]))

    assert only(payload, [piece.mark for piece in pieces(payload)]) == payload


def test_nothing_is_left_when_nothing_is_wanted() -> None:
    assert only(post(value(statuses=[status()]), value(messages=[written()])), []) is None


def test_only_what_is_wanted_is_left_with_what_stands_around_it() -> None:
    payload = post(value(statuses=[status("a"), status("b")]), value(messages=[written()]))

    left = only(payload, [piece.mark for piece in pieces(payload) if piece.element["id"] == "b"])

    assert left == post(value(statuses=[status("b")]))


def test_a_change_of_another_kind_is_one_piece() -> None:
    payload = post({"event": "PAUSED"}, field="message_template_status_update")

    (piece,) = pieces(payload)

    assert piece.kind == "change"
    assert only(payload, [piece.mark]) == payload


def test_a_mark_is_the_same_when_it_comes_again_and_tells_nothing() -> None:
    first, again = (
        list(pieces(post(value(statuses=[status("wamid.A", "read", timestamp=one)]))))
        for one in ("1795000007", "1795000099")
    )

    assert [one.mark for one in first] == [one.mark for one in again]
    assert len(first[0].mark) == 64
    others = pieces(post(value(statuses=[status("wamid.A", "sent"), status("wamid.B", "read")])))
    assert first[0].mark not in {one.mark for one in others}


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(_ANYTHING)
def test_anything_in_place_of_a_change_is_a_piece_or_left_out(anything: Any) -> None:
    payload = post(value(messages=[written()]))
    expected = post(value(messages=[written()]))
    payload["entry"][0]["changes"].append(anything)
    if isinstance(anything, dict):
        expected["entry"][0]["changes"].append(anything)

    marks = {piece.mark for piece in pieces(payload)}

    assert only(payload, marks) == expected
