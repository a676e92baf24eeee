"""The pictures of the guide: there, small, of one width, and of a clinic worth looking at."""

import re
import struct
from collections.abc import Mapping

import pytest

from tests.pictures import LARGEST_BYTES, PICTURES, SHOWN, WIDTH, Aurora, pages_of, with_sections
from tests.support.process import process_as_before

_DOCS = PICTURES.parent
_SHOWN_ON_A_PAGE = re.compile(r"!\[([^\]]*)\]\(pictures/([^)]+)\)")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Both pages at the end of the Monday, after the Friday before it alone."""
    with process_as_before():
        return pages_of(Aurora.played(tmp_path_factory.mktemp("aurora"), first_day=-3))


def test_each_picture_that_is_taken_is_there_and_no_other() -> None:
    assert {path.name for path in PICTURES.iterdir()} == set(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_a_picture_is_a_small_png_of_the_width_of_a_page(name: str) -> None:
    data = (PICTURES / name).read_bytes()

    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">I", data[16:20]) == (WIDTH,)
    assert len(data) <= LARGEST_BYTES


def test_each_picture_is_shown_on_a_page_and_said_in_words() -> None:
    texts = [path.read_text("utf-8") for path in _DOCS.glob("*.pt-BR.md")]

    shown = {name: words for text in texts for words, name in _SHOWN_ON_A_PAGE.findall(text)}

    assert shown.keys() == SHOWN.keys()
    assert all(len(words) > 40 for words in shown.values())


def test_the_page_of_calls_shows_what_the_receptions_page_tells_of_it(
    pages: Mapping[str, str],
) -> None:
    text = " ".join(re.sub(r"<[^>]+>", " ", pages["calls"]).split())

    for told in (
        "15:30 João Pedro Amaral (11) 99999-0023 WhatsApp Não poderá vir",
        "08:30 Miguel Fontes (11) 99999-0030 WhatsApp Horário livre: cancelou Não poderei ir",
        "10:30 Paulo Henrique Reis (11) 99999-0034 WhatsApp Lembrete não chegou",
    ):
        assert told in text


def test_each_picture_of_the_figures_has_its_sections_and_no_others(
    pages: Mapping[str, str],
) -> None:
    for page, headings in SHOWN.values():
        shown = with_sections(pages[page], headings)

        assert not headings or set(re.findall(r"<h2>(.*?)</h2>", shown)) == {*headings} - {""}


def test_a_section_that_the_page_no_longer_has_is_an_error(pages: Mapping[str, str]) -> None:
    with pytest.raises(ValueError, match="no section called Clima"):
        with_sections(pages["metrics"], ("Consultas", "Clima"))
