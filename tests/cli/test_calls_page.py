"""The page for the reception: complete, harmless, and of use on a phone and on paper."""

import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from smartia_jobs.cli.calls.html import to_html
from smartia_jobs.cli.calls.lines import Shown
from smartia_jobs.cli.calls.wording import PORTUGUESE, what_to_do
from smartia_jobs.clinic.rules.calls import WHAT, Why
from smartia_jobs.jobs.calls import Call
from smartia_jobs.settings import Settings
from tests.jobs.calls_desk import TODAY_16, TOMORROW_14, WEDNESDAY_10, CallsDesk
from tests.support import Clinic

HOSTILE = '<script>alert("1")</script><img src=x onerror=alert(1)>'


class Page(HTMLParser):
    """The tags of a page, its text, and where its links lead."""

    def __init__(self, text: str) -> None:
        """Read a page."""
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data

    @property
    def links(self) -> list[str]:
        """Where they lead."""
        return [attributes["href"] or "" for tag, attributes in self.tags if tag == "a"]


@pytest.fixture
def desk(sqlite_clinic: Clinic) -> CallsDesk:
    """A clinic on SQLite, with our tables."""
    return CallsDesk(sqlite_clinic)


def page_of(desk: CallsDesk) -> Page:
    """Return the page that a file gets."""
    settings = Settings(clinic_name="Clínica <Aurora>")
    return Page(to_html(Shown.of(desk.calls(), settings, persons=True, phones=True)))


def test_it_escapes_everything_and_loads_nothing(desk: CallsDesk) -> None:
    visit = desk.visit(name=HOSTILE, phone="+5511987650077")
    desk.answer(desk.remind(visit), text=HOSTILE)
    desk.clinic.execute("UPDATE appointments SET calendar_event_id = '<b>'")

    page = page_of(desk)

    assert page.text.count(HOSTILE) == 2
    assert "Clínica <Aurora>" in page.text
    assert not {"script", "img", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
    policy = [
        a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert [a for _, a in page.tags if a.get("http-equiv") == "refresh"]


def test_it_has_today_tomorrow_and_what_is_unsettled(desk: CallsDesk) -> None:
    for start, name in (
        (TODAY_16, "Ana"),
        (TOMORROW_14, "Bia"),
        (TOMORROW_14 + timedelta(days=3), "Caio"),
        (WEDNESDAY_10 - timedelta(hours=2), "Davi"),
    ):
        visit = desk.visit(start, name=name)
        desk.answer(desk.remind(visit), "cancel", holds=visit)
    desk.answer(None, text="oi", phone="5511987650077")

    text = page_of(desk).text

    titles = ["Hoje, quarta-feira, 25/11/2026", "Amanhã, quinta-feira, 26/11/2026", "Pendências"]
    _, today, tomorrow, unsettled = re.split("|".join(titles), text)
    assert [name in today for name in ("Ana", "Bia", "Caio", "Davi")] == [True] + [False] * 3
    assert [name in tomorrow for name in ("Ana", "Bia", "Caio", "Davi")] == [False, True] + [
        False
    ] * 2
    assert "Caio" in unsettled
    assert "Davi" in unsettled
    assert "(11) 98765-0077" in unsettled


def test_an_empty_list_says_so_in_each_part(desk: CallsDesk) -> None:
    assert page_of(desk).text.count("Ninguém para ligar.") == 3


def test_phones_call_and_open_a_chat_where_that_is_allowed(desk: CallsDesk) -> None:
    reached, silent, disputed = (desk.visit(phone=f"+551198765007{digit}") for digit in range(3))
    desk.answer(desk.remind(reached), text="?")
    desk.opt_out(desk.phone(silent))
    desk.answer(desk.remind(disputed), "not_me")

    assert page_of(desk).links == [
        "tel:+5511987650070",
        "https://wa.me/5511987650070",
        "tel:+5511987650071",
    ]


def test_every_reason_has_words_in_both_languages() -> None:
    for why in Why:
        assert PORTUGUESE[why]
        assert WHAT[why]
        assert what_to_do(Call(why))
    assert [why.urgency for why in Why] == list(range(1, len(Why) + 1))


def test_the_reception_s_guide_explains_every_reason_in_the_page_s_words_and_order() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "recepcao.pt-BR.md").read_text("utf-8")

    assert re.findall(r"^\| \*\*(.+?)\*\* \|", guide, re.M) == list(PORTUGUESE.values())


def test_the_readme_lists_every_reason_in_its_order() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")

    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| ", readme, re.M)

    assert rows == [(str(why), str(why.urgency)) for why in Why]
