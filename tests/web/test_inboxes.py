"""Of many clinics only some inboxes are open: which is closed, and who waits for it."""

import asyncio
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from smartia_jobs.clock import SystemClock
from smartia_jobs.settings import Settings
from smartia_jobs.web.clinics import ServedClinic
from smartia_jobs.web.inbox import Inbox
from smartia_jobs.web.inboxes import Inboxes
from tests.support import Clinic
from tests.web.folder import Folder
from tests.web.meta import PHONE_NUMBER_ID, post, status, value
from tests.web.test_webhook_of_many import _hanging

NAMES = ("centro", "norte", "sul")


class Opened(Inboxes):
    """Remembers which are open, in the order in which they were opened."""

    def __init__(self, most_open: int) -> None:
        """Begin without one."""
        super().__init__(self._opened, most_open=most_open)
        self.names: list[str] = []

    def _opened(self, clinic: ServedClinic) -> Inbox:
        inbox = _Remembered(clinic, self.names.remove)
        self.names.append(clinic.name)
        return inbox

    def say(self, name: str, url: str, wamid: str = "a") -> Coroutine[Any, Any, int]:
        """Take a status for a clinic."""
        settings = Settings(database_url=url, meta_phone_number_id=PHONE_NUMBER_ID)
        return self.take(ServedClinic(name, settings), post(value(statuses=[status(wamid)])))

    def close(self) -> None:
        """Close all of them."""
        for inbox in self._open.values():
            inbox.close()


class _Remembered(Inbox):
    def __init__(self, clinic: ServedClinic, forget: Callable[[str], None]) -> None:
        super().__init__(clinic, SystemClock(), on_stored=lambda _: None, alone=False)
        self._forget = forget

    def close(self) -> None:
        self._forget(self._clinic.name)
        super().close()


@pytest.fixture(params=["sqlite", "postgresql"])
def clinics(
    request: pytest.FixtureRequest, tmp_path: Path, _empty_smartia: Path
) -> Iterator[dict[str, Clinic]]:
    """Three clinics on either engine; nobody has forgotten a connection to them at the end."""
    server = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    folder = Folder(tmp_path, _empty_smartia, server)
    for name in NAMES:
        folder.add(name)
    yield folder.clinics
    assert folder.close() == 0


def test_the_one_that_was_idle_longest_is_closed_for_the_next(clinics: dict[str, Clinic]) -> None:
    async def posts() -> tuple[Sequence[int], list[str]]:
        inboxes = Opened(most_open=2)
        said = ("centro", "norte", "centro", "sul", "centro")
        try:
            answers = [await inboxes.say(name, clinics[name].url) for name in said]
            return answers, list(inboxes.names)
        finally:
            inboxes.close()

    answers, opened = asyncio.run(posts())

    assert (answers, opened) == ([200] * 5, ["centro", "sul"])
    assert {_statuses(clinic) for clinic in clinics.values()} == {1}


def test_one_that_is_at_work_is_not_closed_and_the_next_waits_for_it(
    clinics: dict[str, Clinic],
) -> None:
    async def posts() -> tuple[bool, list[int], list[str]]:
        inboxes = Opened(most_open=1)
        try:
            with _hanging(clinics["centro"]):
                at_work = asyncio.create_task(inboxes.say("centro", clinics["centro"].url))
                waiting = asyncio.create_task(inboxes.say("norte", clinics["norte"].url))
                await asyncio.sleep(0.5)
                answered = at_work.done() or waiting.done()
            return answered, [await at_work, await waiting], list(inboxes.names)
        finally:
            inboxes.close()

    answered, answers, opened = asyncio.run(posts())

    assert (answered, answers, opened) == (False, [200, 200], ["norte"])


def test_those_that_hang_stop_no_other_and_what_was_opened_besides_is_closed_again(
    clinics: dict[str, Clinic],
) -> None:
    async def posts() -> tuple[list[int], list[bool], list[str], list[int], list[str]]:
        inboxes = Opened(most_open=1)
        try:
            with _hanging(clinics["centro"]), _hanging(clinics["norte"]):
                hanging = [
                    asyncio.create_task(inboxes.say(name, clinics[name].url))
                    for name in ("centro", "norte")
                ]
                async with asyncio.timeout(30):
                    while inboxes.names != ["centro", "norte"]:
                        await asyncio.sleep(0.01)
                good = [await inboxes.say("sul", clinics["sul"].url, wamid) for wamid in "ab"]
                answered, meanwhile = [one.done() for one in hanging], list(inboxes.names)
            late = [await one for one in hanging]
            good.append(await inboxes.say("sul", clinics["sul"].url, "c"))
            return good, answered, meanwhile, late, list(inboxes.names)
        finally:
            inboxes.close()

    good, answered, meanwhile, late, afterwards = asyncio.run(posts())

    assert (good, answered, late) == ([200] * 3, [False, False], [200, 200])
    assert meanwhile == ["centro", "norte", "sul"]
    assert afterwards == ["sul"]


def test_hundreds_of_clinics_at_once_share_the_few_that_may_be_open(
    tmp_path: Path, _empty_smartia: Path
) -> None:
    folder = Folder(tmp_path, _empty_smartia, None)
    first = Path(folder.add("centro").url.removeprefix("sqlite:///"))
    folder.close()
    names = [f"clinic-{number}" for number in range(200)]
    urls = {name: f"sqlite:///{shutil.copy(first, tmp_path / name)}" for name in names}
    most = 0

    async def posts() -> Sequence[int]:
        inboxes = Opened(most_open=8)

        async def said(name: str, url: str, wamid: str) -> int:
            nonlocal most
            answer = await inboxes.say(name, url, wamid)
            most = max(most, _inbox_threads())
            return answer

        try:
            return await asyncio.gather(
                *(said(name, url, wamid) for wamid in ("a", "b") for name, url in urls.items())
            )
        finally:
            inboxes.close()

    answers = asyncio.run(posts())

    assert answers == [200] * 400
    stored = []
    for url in urls.values():
        clinic = Clinic(url)
        stored.append(_statuses(clinic))
        clinic.close()
    assert stored == [2] * 200
    # Beside those that are open stand the few that are just ending.
    assert 0 < most < 40


def _inbox_threads() -> int:
    return sum(thread.name.startswith("inbox") for thread in threading.enumerate())


def _statuses(clinic: Clinic) -> int:
    return int(clinic.value("SELECT count(*) FROM smartia_statuses"))
