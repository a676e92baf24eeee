"""What of a post goes on: piece by piece, as Meta would have written it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from smartia_jobs.inbox.forwarding import keep_only, pieces
from tests.web.meta import post, status, value, written


def test_a_post_is_left_as_it_is_when_everything_is_wanted() -> None:
    payload = post(value(statuses=[status()], messages=[written()], contacts=[{"wa_id": "55"}]))

    assert keep_only(payload, [piece.digest for piece in pieces(payload)]) == payload


def test_nothing_is_left_when_nothing_is_wanted() -> None:
    assert keep_only(post(value(statuses=[status()]), value(messages=[written()])), []) is None


def test_only_what_is_wanted_is_left_with_what_stands_around_it() -> None:
    payload = post(value(statuses=[status("a"), status("b")]), value(messages=[written()]))

    left = keep_only(
        payload, [piece.digest for piece in pieces(payload) if piece.element["id"] == "b"]
    )

    assert left == post(value(statuses=[status("b")]))


def test_a_change_of_another_kind_is_one_piece() -> None:
    payload = post({"event": "PAUSED"}, field="message_template_status_update")

    (piece,) = pieces(payload)

    assert piece.part_of == "change"
    assert keep_only(payload, [piece.digest]) == payload


def test_a_mark_is_the_same_when_it_comes_again_and_tells_nothing() -> None:
    first, again = (
        list(pieces(post(value(statuses=[status("wamid.A", "read", timestamp=one)]))))
        for one in ("1795000007", "1795000099")
    )

    assert [one.digest for one in first] == [one.digest for one in again]
    assert len(first[0].digest) == 64
    others = pieces(post(value(statuses=[status("wamid.A", "sent"), status("wamid.B", "read")])))
    assert first[0].digest not in {one.digest for one in others}


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

    digests = {piece.digest for piece in pieces(payload)}

    assert keep_only(payload, digests) == expected
