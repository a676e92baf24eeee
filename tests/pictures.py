"""The pictures in docs/pictures: both pages, of the demo's clinic at the end of its Monday.

`make pictures` photographs them with headless Chromium. Four weeks are played before that Monday,
so that there are the figures of a month: the real jobs run over the demo's own history, patients
answer, and the reception closes their visits. Days, patients and answers are fixed, so that a
picture changes when its page does.
"""

import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path

from smartia_jobs.catalogue.definition import shipped_definitions
from smartia_jobs.cli.calls.html import to_html as calls_page
from smartia_jobs.cli.calls.lines import Shown
from smartia_jobs.cli.demo import listening
from smartia_jobs.cli.metrics.html import to_html as metrics_page
from smartia_jobs.clock import ShiftedClock, SystemClock
from smartia_jobs.jobs.calls import list_calls
from smartia_jobs.jobs.metrics import build_metrics
from smartia_jobs.jobs.no_show import mark_no_shows
from smartia_jobs.jobs.reminders import send_reminders
from smartia_jobs.jobs.replies import take_in_replies
from smartia_jobs.kinds import DAY_AHEAD, HOURS_AHEAD
from smartia_jobs.launch import launch, run_that_reads
from smartia_jobs.message import Phone
from smartia_jobs.phones import parse_phone
from smartia_jobs.report import Report
from smartia_jobs.run import Run, Stop
from smartia_jobs.sandbox.account import PHONE_NUMBER_ID
from smartia_jobs.sandbox.clinic import make_clinic
from smartia_jobs.sandbox.phones import same_phone_key
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.server import Sandbox
from smartia_jobs.sandbox.story import ANSWERS, BECOMES, PATIENTS
from smartia_jobs.settings import Settings

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
#: Each picture, its page, and the headings of the sections that it shows: of the figures at the
#: top, which have none, an empty one. Without any, the whole page.
SHOWN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "recepcao.png": ("calls", ()),
    "proprietario-consultas.png": ("metrics", ("", "Consultas")),
    "proprietario-respostas.png": ("metrics", ("Respostas", "Faltas conforme a resposta")),
    "proprietario-mensagens.png": ("metrics", ("Mensagens",)),
    "proprietario-efeito.png": ("metrics", ("Os lembretes ajudam?",)),
}
WIDTH = 1000
#: A picture that takes longer to load than the text beside it does is too large.
LARGEST_BYTES = 150_000

_MONDAY = datetime.fromisoformat("2026-11-23T00:00-03:00")
_FIRST_DAY, _LAST_DAY = -28, -3  # its weekend is left out, as the demo begins on the Monday
_PAGES_AT = _MONDAY + timedelta(hours=14, minutes=10)

_CONFIRMS, _CANNOT, _MOVES = "Confirmar presença", "Não poderei ir", "Posso remarcar?"
#: What patients answer in the weeks before, by how their visits then go; None: nothing.
_REACTIONS: Mapping[str, tuple[str | None, ...]] = {
    "COMPLETED": (_CONFIRMS, _CONFIRMS, None, _CONFIRMS, None),
    "CANCELLED": (_CANNOT, _CANNOT, _MOVES),
    "NO_SHOW": (_CANNOT, None, None, _CONFIRMS, None),
    "SCHEDULED": (None,),
    "CONFIRMED": (None,),
}
#: On these days the first message does not arrive.
_NOT_DELIVERED = {-20, -11, -6}
#: Who lets nobody see what they have read.
_READ_UNSEEN = ("Alice Monteiro", "Cecília Prado", "Davi Moraes", "Lucas Guimarães", "Sofia Aguiar")


def main() -> None:
    """Make every picture again."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("The pictures are photographed with Chromium: sudo apt install chromium")
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="smartia-pictures-") as name:
        folder = Path(name)
        pages = pages_of(Aurora.played(folder))
        for picture, (page, headings) in SHOWN.items():
            file, taken = folder / f"{picture}.html", folder / picture
            file.write_text(with_sections(pages[page], headings), encoding="utf-8")
            _photograph(chromium, file, taken, profile=folder / "profile")
            print(f"{picture}: {_reduce(taken, PICTURES / picture) / 1000:.0f} kB")  # noqa: T201


@dataclass(frozen=True, slots=True)
class Aurora:
    """The demo's clinic at the end of its Monday."""

    settings: Settings

    @classmethod
    def played(cls, folder: Path, *, first_day: int = _FIRST_DAY) -> "Aurora":
        """Play the demo's Monday and days before it, counted from it, in a new file there."""
        file = folder / "smartia.db"
        made = make_clinic(file, monday_at=_MONDAY + timedelta(hours=9))
        with Sandbox(templates=shipped_definitions(clinic_name="Clínica Aurora")) as sandbox:
            settings = Settings(
                meta_access_token="made-up-token",
                meta_phone_number_id=PHONE_NUMBER_ID,
                meta_api_url=sandbox.url,
                database_url=made.url,
                database_is_a_copy=True,
                clinic_name="Clínica Aurora",
                log_level="ERROR",
            )
            with listening(sandbox, settings), closing(sqlite3.connect(file)) as smartia:
                play = _Play(sandbox, settings, _Reception(smartia))
                for number in range(first_day, _LAST_DAY + 1):
                    play.day(number)
                play.story()
        return cls(settings)


class _Reception:
    """Who keeps the book of the weeks before.

    The clinic is made with its past closed already. So a visit is opened when it has been booked
    and is ahead, and once it is over it gets the end that it was made with.
    """

    def __init__(self, smartia: sqlite3.Connection) -> None:
        """Note how each visit of the past ends."""
        self._smartia = smartia
        rows = smartia.execute(
            "SELECT id, status, appointment_date, created_at FROM appointments"
            " WHERE appointment_date < ?",
            (f"{_MONDAY:%Y-%m-%d}",),
        )
        self._visits = {id: _Visit(*row) for id, *row in rows}
        self._untouched, self._open = set(self._visits), set[int]()

    def keep_the_book(self, at: datetime) -> None:
        """Open what has been booked by now and is ahead; close what is over."""
        wall, utc = f"{at:%Y-%m-%d %H:%M}", f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        booked = {id for id in self._untouched if self._visits[id].is_ahead(wall, utc)}
        over = {id for id in self._open if self._visits[id].start <= wall}
        ends = {id: self._visits[id].end for id in over if self._visits[id].end != "SCHEDULED"}
        with self._smartia:
            self._smartia.executemany(
                "UPDATE appointments SET status = 'SCHEDULED', updated_at = NULL WHERE id = ?",
                [(id,) for id in booked],
            )
            self._smartia.executemany(
                "UPDATE appointments SET status = ?, updated_at = ?"
                " WHERE id = ? AND status != 'CANCELLED'",
                [(end, utc, id) for id, end in ends.items()],
            )
        self._untouched -= booked
        self._open = (self._open | booked) - over

    def how_the_next_ends(self, patient: str, at: datetime) -> str | None:
        """Return how a patient's next visit ends; None: it is one of the demo's own week."""
        found = self._smartia.execute(
            "SELECT a.id FROM appointments a JOIN patients p ON p.id = a.patient_id"
            " WHERE coalesce(p.name, '') = ? AND a.appointment_date > ?"
            " ORDER BY a.appointment_date LIMIT 1",
            (patient, f"{at:%Y-%m-%d %H:%M}"),
        ).fetchone()
        return self._visits[found[0]].end if found and found[0] in self._visits else None


@dataclass(frozen=True, slots=True)
class _Visit:
    """A visit of the weeks before: how it ends, when it is and was booked, as SmartIA writes it."""

    end: str
    start: str
    booked_at: str

    def is_ahead(self, wall: str, utc: str) -> bool:
        return self.booked_at <= utc and self.start > wall


class _Play:
    """The days, one after the other: what the scheduler starts, and what patients do."""

    def __init__(self, sandbox: Sandbox, settings: Settings, reception: _Reception) -> None:
        """Begin before the first day."""
        self._sandbox = sandbox
        self._settings = settings
        self._reception = reception
        self._patients = {_key(phone): name for name, phone in PATIENTS.items()}
        self._reactions = {end: cycle(said) for end, said in _REACTIONS.items()}
        for name in _READ_UNSEEN:
            unseen = Scripted(statuses=("sent", "delivered"))
            sandbox.script(PATIENTS[name], unseen, repeat_last=True)

    def day(self, number: int) -> None:
        """Play a day of the weeks before, counted from the Monday."""
        nine = _MONDAY + timedelta(days=number, hours=9)
        self._reception.keep_the_book(nine)
        fails = number in _NOT_DELIVERED
        if fails:
            self._sandbox.script("*", Scripted(failure=131026))
        asked = self._morning(nine)[fails:]
        for place, phone in enumerate(sorted(asked), start=1):
            name = self._patients[phone]
            end = self._reception.how_the_next_ends(name, nine)
            said = next(self._reactions[end]) if end else None
            if said:
                self._say(phone, name, said, nine + place * timedelta(minutes=7))
        self._run("replies", take_in_replies, nine + timedelta(minutes=90))
        self._reception.keep_the_book(nine + timedelta(hours=5))
        self._afternoon(nine)

    def story(self) -> None:
        """Play the demo's Monday."""
        nine = _MONDAY + timedelta(hours=9)
        self._reception.keep_the_book(nine)
        for patient, statuses in BECOMES.items():
            self._sandbox.script(PATIENTS[patient], Scripted(statuses=statuses))
        self._morning(nine)
        for answer in ANSWERS:
            at = nine + timedelta(minutes=20)
            self._say(PATIENTS[answer.patient], answer.patient, answer.said, at)
        self._run("replies", take_in_replies, nine + timedelta(minutes=25))
        self._afternoon(nine)

    def _morning(self, nine: datetime) -> list[str]:
        """Return the phones of those whom this morning's reminder asks, in its order."""
        before = len(self._sandbox.received)
        self._run("24h", lambda run: send_reminders(run, DAY_AHEAD), nine)
        sent = self._sandbox.received[before:]
        self._run("no-show", mark_no_shows, nine)
        return [same_phone_key(one["to"] or "") for one in sent if one["accepted"]]

    def _afternoon(self, nine: datetime) -> None:
        two = nine + timedelta(hours=5)
        self._run("2h", lambda run: send_reminders(run, HOURS_AHEAD), two)
        self._run("replies", take_in_replies, two + timedelta(minutes=5))

    def _run(self, command: str, job: Callable[[Run], Report], at: datetime) -> None:
        self._sandbox.clock_offset = at - SystemClock().now()
        clock = ShiftedClock(at - timedelta(seconds=10))
        report = launch(command, job, self._settings, clock=clock, stop=Stop(), now=at)
        if report.exit_status:
            raise RuntimeError(f"{command} ended with {report.exit_status} at {at}")
        self._wait_until_heard()

    def _say(self, phone: str, name: str, said: str, at: datetime) -> None:
        self._sandbox.clock_offset = at - SystemClock().now()
        person = self._sandbox.person(phone, name=name or None)
        person.tap(said) if said in (_CONFIRMS, _CANNOT) else person.write(said)
        self._wait_until_heard()

    def _wait_until_heard(self) -> None:
        webhook = self._sandbox.webhook
        if not webhook.wait_until_idle(30) or webhook.stats()["dropped"]:
            raise RuntimeError("what the sandbox told was not stored")


def pages_of(aurora: Aurora) -> Mapping[str, str]:
    """Return both pages as `calls` and `metrics` write them into a file."""
    settings = aurora.settings
    with _looking(settings) as run:
        calls = calls_page(Shown.of(list_calls(run), settings, persons=True, phones=True))
    with _looking(settings) as run:
        return {"calls": calls, "metrics": metrics_page(build_metrics(run))}


@contextmanager
def _looking(settings: Settings) -> Iterator[Run]:
    with run_that_reads("calls", settings, ShiftedClock(_PAGES_AT, speed=0)) as run:
        yield run


def with_sections(page: str, headings: tuple[str, ...]) -> str:
    """Return a page without the sections that have other headings; without any, all of it.

    Raises:
        ValueError: the page has no section of such a heading.
    """
    if not headings:
        return page
    found = set[str]()

    def kept(section: re.Match[str]) -> str:
        title = re.search(r"<h2>(.*?)</h2>", section[0])
        heading = title[1] if title else ""
        found.add(heading)
        return section[0] if heading in headings else ""

    shown = re.sub(r"<section\b.*?</section>", kept, page, flags=re.DOTALL)
    if missing := set(headings) - found:
        raise ValueError(f"the page has no section called {', '.join(missing)}: see SHOWN")
    return shown


def _photograph(chromium: str, page: Path, picture: Path, *, profile: Path) -> None:
    subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--disable-lcd-text", "--hide-scrollbars",
            f"--user-data-dir={profile}", f"--window-size={WIDTH},4000",
            f"--screenshot={picture}", page.as_uri(),
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip


def _reduce(taken: Path, picture: Path) -> int:
    """Cut the empty part below, use few colours, and return how many bytes are left."""
    from PIL import Image, ImageChops

    whole = Image.open(taken).convert("RGB")
    empty = Image.new("RGB", whole.size, whole.getpixel((0, whole.height - 1)))
    box = ImageChops.difference(whole, empty).getbbox() or (0, 0, *whole.size)
    shown = whole.crop((0, 0, whole.width, min(box[3] + 16, whole.height)))
    shown.quantize(64, dither=Image.Dither.NONE).save(picture, optimize=True)
    return picture.stat().st_size


def _key(phone: str) -> str:
    """Return what WhatsApp is given for a phone as the clinic has it; itself where it has none."""
    parsed = parse_phone(phone, "BR")
    return same_phone_key(parsed.canonical if isinstance(parsed, Phone) else phone)


if __name__ == "__main__":
    main()
