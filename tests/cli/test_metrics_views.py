"""The same numbers as text for a terminal and as a page for the clinic's owner."""

import re
import shutil
import subprocess
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from smartia_jobs.cli.metrics.csv import to_csv
from smartia_jobs.cli.metrics.html import to_html
from smartia_jobs.cli.metrics.over_time import OverTime
from smartia_jobs.cli.metrics.table import to_text
from smartia_jobs.cli.metrics.wording import ENGLISH, PORTUGUESE, portuguese_reason, sentences
from smartia_jobs.clinic.effect import Effect, Group, LeadTime
from smartia_jobs.clinic.period import Period
from smartia_jobs.clinic.statistics import StatusCounts
from smartia_jobs.clinic.told import AnswerCounts, Reminded
from smartia_jobs.jobs.metrics import Figures, Metrics, Note, Reengagement
from smartia_jobs.kinds import KINDS
from smartia_jobs.message import Verdict
from smartia_jobs.outbox.statistics import Category, FailureReason, MessageCounts
from smartia_jobs.store import effects
from smartia_jobs.store.answered import Answered
from smartia_jobs.whatsapp.codes import ANSWERS
from tests.jobs.metrics_desk import SAO_PAULO, local

PERIOD = Period.last(30, local(2026, 3, 31, 15), SAO_PAULO)

#: As many visits as in the public data of Vitória: no column may be cut.
VISITS = StatusCounts(
    total=110_527, scheduled=12, confirmed=7, completed=88_208, cancelled=1, no_show=22_299
)
EMPTY = Metrics(
    figures=Figures(PERIOD, StatusCounts()),
    previous=Figures(PERIOD.before, StatusCounts()),
    by_day=dict.fromkeys(PERIOD.local_days(), StatusCounts()),
    by_weekday=(StatusCounts(),) * 7,
    by_hour={},
)
MEDIAN = timedelta(hours=3, minutes=7)
#: One of a clinic's own, its name as long as any may be.
OWN_KIND = "a_name_of_20_letters"
LARGE = Metrics(
    figures=Figures(
        PERIOD,
        VISITS,
        {
            "72h": MessageCounts(11_482, 201, 9, 11_010, 9_877, 300),
            "24h": MessageCounts(35_482, 1_204, 17, 33_010, 29_877, 2_000),
            "2h": MessageCounts(30_001, 0, 0, 29_000, 20_000, 0),
            "no_show": MessageCounts(9_784, 12, 3, 9_000, 0, 1),
            OWN_KIND: MessageCounts(35_481, 1_203, 16, 35_481, 35_481, 0),
        },
        {
            Category.UTILITY: MessageCounts(112_446, 0, 0, 108_501),
            Category.MARKETING: MessageCounts(9_784, 0, 0, 9_000),
            Category.SERVICE: MessageCounts(1_001, 0, 0, 1_000),
            Category.UNKNOWN: MessageCounts(1, 0, 0, 0),
        },
        cancelled_in_advance=1_202,
    ),
    previous=Figures(
        PERIOD.before,
        replace(VISITS, total=100_527, no_show=12_299),
        dict.fromkeys((*KINDS, OWN_KIND), MessageCounts(1, 0, 0, 0, 0, 0)),
        dict.fromkeys(Category, MessageCounts(1, 0, 0, 0, 0, 0)),
    ),
    by_day=dict.fromkeys(
        PERIOD.local_days(), StatusCounts(total=3_565, completed=2_800, no_show=700, cancelled=65)
    ),
    by_weekday=(VISITS,) * 6 + (StatusCounts(),),
    by_hour=dict.fromkeys(range(7, 20), VISITS),
    effect=Effect(
        tuple(
            Group(lead_time, reminded, 35_482 if reminded is Reminded.ONE else 4, 3)
            for lead_time in LeadTime
            for reminded in Reminded
        ),
        left_out=3,
    ),
    reengagement=Reengagement(9_784, 1_234),
    answered={
        said: StatusCounts(total=15_790, completed=12_000, no_show=3_000, cancelled=790)
        for said in Answered
    },
    answers={
        "72h": AnswerCounts(11_482, 11_482, median_wait=timedelta(minutes=42)),
        "24h": AnswerCounts(35_482, 20_001, 3_001, 301, 1_201, 900, 9_000, 1_078, MEDIAN),
        OWN_KIND: AnswerCounts(1, none=1),
    },
    answer_effects={
        str(effect): 1_201 for effect in effects.Effect if effect is not effects.Effect.IGNORED
    },
    answers_waiting=4,
    failure_reasons=(
        FailureReason(1_000, "WhatsApp cannot deliver to this number.", 131026),
        FailureReason(204, "Tags like <b> & such are <i>text</i>.", None),
    ),
    undelivered_reasons=(FailureReason(2_301, "WhatsApp cannot deliver.", 131026),),
    messages_since=local(2026, 3, 5),
    heard_since=local(2026, 3, 7),
    answers_since=local(2026, 3, 9),
    notes=tuple(Note),
)


@pytest.mark.parametrize("metrics", [EMPTY, LARGE], ids=["empty", "large"])
def test_text_for_a_pipe_is_plain_and_complete_at_80_columns(metrics: Metrics) -> None:
    text = to_text(metrics, terminal=False)

    assert "\x1b" not in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_every_kind_has_its_row_in_the_text_however_long_its_name() -> None:
    text = to_text(LARGE, terminal=False)

    rows = (
        r"reminder 72h +11482 ",
        r"re-engagement +9784 ",
        rf"reminder {OWN_KIND} +35481 .* \+35480\n",
        r"reminder +35481 +35481 \(100\.0 %\) ",
    )
    assert not [row for row in rows if not re.search(f"^{row}", text, re.MULTILINE)]
    assert OWN_KIND in "".join(text.split())


def test_every_kind_has_its_place_on_the_page() -> None:
    text = to_html(LARGE)

    labels = ("lembrete de 72\N{NO-BREAK SPACE}h", "convite após falta", f"lembrete {OWN_KIND}")
    assert not [label for label in labels if f">{label}</th>" not in text]
    assert "<td>35.481</td>" in text


def test_large_numbers_are_not_cut() -> None:
    text = to_text(LARGE, terminal=False)

    assert "(22299/110527)" in text
    assert "(3/35482)" in text


def test_rates_stand_with_their_denominators_and_their_change() -> None:
    now = StatusCounts(total=20, completed=9, no_show=3, cancelled=4, scheduled=4)
    before = StatusCounts(total=10, completed=6, no_show=1, cancelled=3)
    metrics = replace(EMPTY, figures=Figures(PERIOD, now), previous=Figures(PERIOD.before, before))

    text = to_text(metrics, terminal=False)

    assert re.search(r"no-show of all +15\.0 % \(3/20\) +10\.0 % \(1/10\) +\+5\.0 pts", text)
    assert re.search(r"no-show of kept or missed +25\.0 % \(3/12\) +14\.3 % \(1/7\)", text)
    assert re.search(r"unresolved \(over, open\) +4 +0 +\+4", text)


def test_what_is_not_known_is_a_dash_and_not_zero() -> None:
    text = to_text(EMPTY, terminal=False)

    assert re.search(r"no-show of all +- +- +-\n", text)
    assert "Deliveries" not in text
    cells = re.findall(r"<tr><th [^>]*>Entregues</th>(.*?)</tr>", to_html(EMPTY), re.DOTALL)
    assert re.sub(r"<.*?>|\s", "", cells[0]) == "–" * len(KINDS)


def test_deliveries_stand_with_their_rates_of_what_was_accepted() -> None:
    text, page = to_text(LARGE, terminal=False), " ".join(to_html(LARGE).split())

    assert re.search(
        r"reminder 24h +35482 +33010 \(93\.0 %\) +29877 \(84\.2 %\) +2000 \(5\.6 %\)\n", text
    )
    assert re.search(r"2301 +not delivered: WhatsApp cannot deliver \(code 131026\)\n", text)
    assert "<td>33.010 <small>(93,0 %)</small>" in page
    assert "Por que não foram entregues" in page
    assert "2.301 × O WhatsApp não consegue entregar nesse número" in page


def test_answers_stand_with_their_share_of_the_messages_that_asked() -> None:
    text, page = to_text(LARGE, terminal=False), " ".join(to_html(LARGE).split())

    rows = (
        r"asked +11482 +35482 +1\n",
        r"confirmed +11482 \(100\.0 %\) +20001 \(56\.4 %\) +0 \(0\.0 %\)\n",
        r"none yet, visit ahead +0 \(0\.0 %\) +1078 \(3\.0 %\) +0 \(0\.0 %\)\n",
        r"until the first +42 min +3 h 07 min +-\n",
    )
    assert not [row for row in rows if not re.search(f"^{row}", text, re.MULTILINE)]
    assert "Done about the answers that came, 10809 in all: confirmed 1201, cancelled" in text
    assert "<td>20.001 <small>(56,4 %)</small></td>" in page
    assert "<td>42 min</td> <td>3 h 07 min</td> <td>–</td>" in page
    assert "<li>1.201 × para a recepção ver</li>" in page


def test_the_bar_of_each_kind_is_as_long_as_its_answers() -> None:
    page = to_html(LARGE)

    (bars,) = re.findall(r'class="stacks".*?</table>', page, re.DOTALL)
    widths = [
        sum(float(width) for width in re.findall(r'width="([\d.]+)"', bar))
        for bar in re.findall(r"<svg.*?</svg>", bars, re.DOTALL)
    ]
    assert widths == pytest.approx([100, 100, 100], abs=0.1)


def test_cancellations_in_advance_are_a_success_beside_no_shows() -> None:
    text, page = to_text(LARGE, terminal=False), " ".join(to_html(LARGE).split())

    assert re.search(r"^  in advance +1202 +- +-\n", text, re.MULTILINE)
    assert "1202 visits were cancelled in advance, beside no-shows: 22299." in text
    assert (
        "1.202 consultas foram canceladas com antecedência, por uma resposta; faltas: 22.299."
        in page
    )
    assert "<strong>1.202</strong> <small>sem comparação</small>" in page


def test_the_visits_of_each_answer_stand_with_their_no_show_rate() -> None:
    text, page = to_text(LARGE, terminal=False), " ".join(to_html(LARGE).split())

    assert re.search(r"^no answer +15790 +790 +15000 +3000 +20\.0 %\n", text, re.MULTILINE)
    assert "<td>3.000/<wbr>15.000</td> <td>20,0 %</td>" in page


def test_categories_are_told_with_what_meta_charges() -> None:
    text, page = to_text(LARGE, terminal=False), " ".join(to_html(LARGE).split())

    assert re.search(r"^service \(words back\) +1001 +1000 +1 +\+1000\n", text, re.MULTILINE)
    assert "1,000 of a month and number" in " ".join(text.split())
    assert "Marketing</th><td>9.784</td> <td>9.000</td>" in page
    assert "1.000 por mês e número" in page


def test_where_no_answer_was_heard_nothing_is_said_of_answers() -> None:
    silent = replace(LARGE, answers=None, answered={}, answer_effects={})
    silent = replace(silent, figures=replace(LARGE.figures, cancelled_in_advance=None))

    text, page = to_text(silent, terminal=False), to_html(silent)

    assert not re.findall(r"^(?:Answers to|  in advance|No-shows by answer)", text, re.MULTILINE)
    assert "<h2>Respostas" not in page
    assert "com antecedência" not in page
    assert page.count("<strong>") == 4


def test_answers_stand_before_any_visit_can_be_compared() -> None:
    metrics = replace(
        LARGE,
        figures=replace(LARGE.figures, cancelled_in_advance=0),
        previous=replace(LARGE.previous, cancelled_in_advance=None),
        effect=Effect(),
        answered={},
    )

    text, page = to_text(metrics, terminal=False), to_html(metrics)
    rows = to_csv(metrics).splitlines()

    assert re.search(r"^  in advance +0 +- +-\n", text, re.MULTILINE)
    assert "Answers to messages that asked" in text
    assert "Done about the answers that came, 10809 in all" in text
    assert '<table class="stacks">' in page
    assert "das quais com antecedência" in page
    assert "O que se fez com as respostas" in page
    assert "No-shows by answer" not in text
    # What had been said before that day's visits is not known, and none was cancelled in advance.
    assert rows[-1].endswith(",0" + "," * len(Answered))


def test_what_was_done_about_answers_is_told_also_where_no_message_asked() -> None:
    metrics = replace(LARGE, answers={})

    text, page = to_text(metrics, terminal=False), to_html(metrics)

    assert "Done about the answers that came, 10809 in all" in text
    assert "O que se fez com as respostas" in page
    assert '<table class="stacks">' not in page


def test_an_answer_to_nothing_but_visits_ahead_shows_no_table_of_visits() -> None:
    not_asked = {said: StatusCounts() for said in Answered} | {Answered.NOT_ASKED: VISITS}

    metrics = replace(LARGE, answered=not_asked)

    assert "No-shows by answer" not in to_text(metrics, terminal=False)
    assert "Faltas conforme a resposta" not in to_html(metrics)


def test_one_is_written_as_one() -> None:
    one = StatusCounts(total=4, scheduled=1, completed=1, no_show=1, cancelled=1)
    metrics = replace(
        EMPTY,
        figures=Figures(PERIOD, one),
        effect=Effect(left_out=1),
        unreadable=1,
        out_of_reach=1,
        answers_waiting=1,
        notes=tuple(Note),
    )

    (column,) = OverTime.of({date(2026, 3, 2): one}).columns
    portuguese = sentences(metrics, PORTUGUESE, date_form="%d/%m/%Y")
    english = sentences(metrics, ENGLISH, date_form="%Y-%m-%d")

    assert column.title == "02/03/2026: 1 realizada, 1 falta, 1 cancelada, 1 em aberto"
    assert portuguese[Note.UNRESOLVED_VISITS].startswith(
        "1 de 4 consultas já passou e continua aberta na SmartIA"
    )
    counted = [note for note in Note if f"{portuguese[note]} ".startswith("1 consulta ")]
    assert counted == [
        Note.UNREADABLE_DATES,
        Note.DATES_OUT_OF_REACH,
        Note.VISITS_WITHOUT_LEAD_TIME,
    ]
    assert not [text for text in english.values() if re.match(r"1 (open )?visits ", text)]


def test_the_effect_says_that_it_is_association_and_where_numbers_are_small() -> None:
    text = " ".join(to_text(LARGE, terminal=False).split())

    assert "association, not proof" in text
    assert "* fewer than 30 visits: too few to compare" in text
    assert "75.0 %*" in text


@pytest.mark.parametrize("words", [ENGLISH, PORTUGUESE], ids=["english", "portuguese"])
def test_every_note_has_a_sentence(words: dict[Note, str]) -> None:
    told = sentences(LARGE, words, date_form="%d/%m/%Y")

    assert list(told) == list(Note)
    assert not [sentence for sentence in told.values() if "{" in sentence or "None" in sentence]


def test_every_refusal_of_a_patient_has_portuguese_words() -> None:
    codes = [code for code, answer in ANSWERS.items() if answer.verdict is Verdict.GIVE_UP]
    # What WhatsApp had accepted it also gives up for reasons of its own.
    codes += [1, 131000, 131016, 130429, 131056, 131057, 132015, 132016]
    codes += [131042, 131031, 131037, 131048, 131064, 133010]

    told = [portuguese_reason(FailureReason(1, "recorded", code)) for code in codes]

    assert codes
    assert not [reason for reason in told if "recorded" in reason]


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        """Read the page."""
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note each element, its id, and whatever it points to."""
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "action", "data"):
                self.links.append(value or "")


@pytest.mark.parametrize("metrics", [EMPTY, LARGE], ids=["empty", "large"])
def test_the_page_needs_no_script_and_loads_nothing(metrics: Metrics) -> None:
    text = to_html(metrics)

    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [link for link in page.links if not link.startswith("#")]
    assert not re.findall(r"url\((?!#)|@import", text)
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("svg") >= 5
    assert page.tags.count("table") >= 3
    assert not [attribute for attribute in page.attributes if attribute.startswith("on")]


def test_the_page_is_portuguese_with_its_numbers_written_so() -> None:
    text = to_html(LARGE)

    assert '<html lang="pt-BR">' in text
    assert "110.527" in text
    assert "20,2 %" in text
    assert "associação, não prova" in text.replace("\n", " ")


def test_what_is_recorded_is_text_on_the_page() -> None:
    text = to_html(LARGE)

    assert "<i>text</i>" not in text
    assert "&lt;i&gt;text&lt;/i&gt;" in text


def test_the_same_numbers_give_the_same_page() -> None:
    text = to_html(LARGE)

    assert text == to_html(LARGE)


def test_a_long_period_is_drawn_by_the_week() -> None:
    days = [date(2024, 1, 1) + timedelta(days=number) for number in range(800)]

    text = to_html(replace(LARGE, by_day=dict.fromkeys(days, VISITS)))

    assert "Cada barra é uma semana." in text
    assert len(text) < 200_000


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (0, (0, 1)),
        (1, (0, 1)),
        (4, (0, 1, 2, 3, 4)),
        (5, (0, 2, 4, 6)),
        (9, (0, 5, 10)),
        (21, (0, 10, 20, 30)),
        (4_000, (0, 1_000, 2_000, 3_000, 4_000)),
        (110_527, (0, 50_000, 100_000, 150_000)),
    ],
)
def test_the_scale_holds_the_highest_column_in_round_numbers(
    highest: int, ticks: tuple[int, ...]
) -> None:
    counts = StatusCounts(total=highest, completed=highest)

    chart = OverTime.of({date(2026, 3, 1): StatusCounts(), date(2026, 3, 2): counts})

    assert (chart.ticks, chart.top) == (ticks, ticks[-1])


def test_a_column_stacks_every_visit_of_its_day_once() -> None:
    counts = StatusCounts(
        total=21, scheduled=1, confirmed=2, completed=9, cancelled=4, no_show=3, unset=2
    )

    (column,) = OverTime.of({date(2026, 3, 2): counts}).columns

    assert column.parts == (
        ("kept", 0, 9), ("missed", 9, 3), ("cancelled", 12, 4), ("open", 16, 5)
    )  # fmt: skip
    assert column.visits == counts.total
    assert column.title == "02/03/2026: 9 realizadas, 3 faltas, 4 canceladas, 5 em aberto"


def test_every_group_that_has_visits_stands_on_the_page_with_its_interval() -> None:
    text = " ".join(to_html(LARGE).split())

    assert text.count("marcada ") >= len(LeadTime)
    assert text.count("<td>75,0 %* <small>(30–95 %)</small></td>") == 28
    assert "<td>3/<wbr>35.482</td> <td>0,0 % <small>(0–0 %)</small></td>" in text


def test_a_lead_time_without_visits_says_so() -> None:
    groups = tuple(Group(lead, had) for lead in LeadTime for had in Reminded)

    text = to_html(replace(EMPTY, effect=Effect(groups)))

    assert text.count("nenhuma consulta") == len(LeadTime)


def test_numbers_in_sentences_are_written_as_elsewhere_on_the_page() -> None:
    text = to_html(LARGE)

    assert "19 de 110.527 consultas" in text
    assert "1.000 × O WhatsApp" in text


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [360, 1000])
def test_chromium_shows_the_whole_page_at_the_width_of_a_phone_and_of_a_desk(
    tmp_path: Path, width: int
) -> None:
    # Headless Chromium's window is never narrower than 500 pixels, a frame in it is.
    page = to_html(LARGE).replace("&", "&amp;").replace('"', "&quot;")
    probe = """
      onload = () => {
        const page = document.querySelector("iframe").contentDocument;
        const boxes = name => [...page.querySelectorAll(name)].map(e => e.getBoundingClientRect());
        const columns = boxes(".chart rect"), chart = boxes(".chart > svg")[0];
        document.title = JSON.stringify({
          overflow: page.documentElement.scrollWidth - page.documentElement.clientWidth,
          tables: [...page.querySelectorAll("section")]
            .filter(section => section.scrollWidth > section.clientWidth).length,
          chart: chart.width > 250 && chart.height > 100,
          outside: columns.filter(c => c.top < chart.top - 1 || c.bottom > chart.bottom + 1).length,
          narrow: boxes("td.bar svg").filter(bar => bar.width < 40 || bar.height < 8).length,
          cards: page.querySelectorAll(".cards div").length,
        });
      }"""
    (tmp_path / "probe.html").write_text(
        f'<title>no answer</title><iframe width="{width}" height="900" srcdoc="{page}"></iframe>'
        f"<script>{probe}</script>",
        encoding="utf-8",
    )

    shown = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
            (tmp_path / "probe.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip

    title = re.search("<title>(.*?)</title>", shown)
    assert title
    assert title[1] == ('{"overflow":0,"tables":0,"chart":true,"outside":0,"narrow":0,"cards":6}')
