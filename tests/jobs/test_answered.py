"""What waits for a person: listed until somebody sees to it, settled, taken back."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from smartia_jobs.clock import ShiftedClock
from smartia_jobs.jobs.answered import Done, list_answers, settle, undo
from smartia_jobs.sandbox.server import Sandbox
from tests.jobs.answer_desk import AnswerDesk
from tests.support import Clinic


@pytest.fixture
def desk(clinic: Clinic) -> Iterator[AnswerDesk]:
    with Sandbox() as sandbox:
        yield AnswerDesk(clinic, sandbox)


def waiting(desk: AnswerDesk, *, days: float = 0) -> list[int]:
    clock = ShiftedClock(desk.instant() + timedelta(minutes=5, days=days))
    return [one.id for one in list_answers(desk.settings, clock)]


def clock(desk: AnswerDesk) -> ShiftedClock:
    return ShiftedClock(desk.instant() + timedelta(minutes=10))


def test_what_is_for_a_person_is_listed_and_nothing_else(desk: AnswerDesk) -> None:
    rows = [desk.tell(desk.book()) for _ in range(4)]
    said = [
        desk.tap(rows[0], "confirm"),
        desk.tap(rows[1], "cancel", minute=0.1),
        desk.write(rows[2], "quero remarcar", minute=0.2),
        desk.write(rows[3], "obrigada", minute=0.3),
    ]
    desk.act()

    assert waiting(desk) == said[1:3]


def test_how_many_queries_the_list_takes_does_not_grow_with_it(desk: AnswerDesk) -> None:
    def answer(count: int) -> None:
        for _ in range(count):
            desk.write(desk.tell(desk.book()), "quero remarcar")
        desk.act()

    def queries() -> int:
        seen: list[object] = []

        def note(*given: object) -> None:
            seen.append(given[2])

        event.listen(Engine, "before_cursor_execute", note)
        try:
            waiting(desk)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        return len(seen)

    answer(2)
    few = queries()
    answer(8)

    assert queries() == few
    assert len(waiting(desk)) == 10


def test_whoever_settles_an_answer_ends_what_it_holds_back(desk: AnswerDesk) -> None:
    answer = desk.write(desk.tell(desk.book(hours=24), kind="72h"), "não posso")
    desk.act()

    assert settle(desk.settings, clock(desk), [answer, 9999]) == {
        answer: Done.DONE,
        9999: Done.UNKNOWN,
    }

    assert waiting(desk) == []
    assert "said_no" not in desk.remind(minute=11).skipped
    assert settle(desk.settings, clock(desk), [answer]) == {answer: Done.NOTHING_TO_DO}


def test_what_the_reception_sees_to_in_smartia_is_listed_no_more(desk: AnswerDesk) -> None:
    moved, called, freed = (desk.book() for _ in range(3))
    desk.write(desk.tell(moved), "quero remarcar")
    desk.write(desk.tell(called), "preciso de jejum?")
    desk.tap(desk.tell(freed), "cancel")
    desk.act()
    assert len(waiting(desk)) == 3

    desk.clinic.move(moved, desk.now + timedelta(hours=50))
    desk.clinic.set_status(called, "CONFIRMED")
    desk.clinic.set_status(freed, "SCHEDULED")

    assert waiting(desk) == []


def test_a_disputed_number_is_listed_while_it_gets_no_message(desk: AnswerDesk) -> None:
    patient = desk.clinic.add_patient()
    first, _ = (desk.book(hours=hours, patient=patient) for hours in (23, 24))
    answer = desk.write(desk.tell(first), "número errado")
    desk.act()

    desk.clinic.set_status(first, "COMPLETED")

    assert desk.remind(minute=3).skipped["number_disputed"] == 1
    assert waiting(desk) == [answer]


def test_a_week_after_the_visit_nobody_has_anything_to_do_about_it(desk: AnswerDesk) -> None:
    visit = desk.book(hours=24)
    answer = desk.write(desk.tell(visit), "preciso de jejum?")
    desk.act()

    assert waiting(desk, days=7.9) == [answer]
    assert waiting(desk, days=8.1) == []


@pytest.mark.parametrize("means", ["confirm", "cancel"])
def test_an_undone_answer_gives_the_visit_its_status_back_and_the_patient_must_be_told(
    desk: AnswerDesk, means: str
) -> None:
    visit = desk.book()
    row = desk.tell(visit)
    answer = desk.tap(row, means)
    desk.act()

    assert undo(desk.settings, clock(desk), [answer]) == {answer: Done.DONE}

    assert desk.clinic.status(visit) == "SCHEDULED"
    assert waiting(desk) == [answer]
    assert undo(desk.settings, clock(desk), [answer]) == {answer: Done.NOTHING_TO_DO}
    desk.tap(row, "confirm", minute=20)
    assert desk.act(minute=21).extra["confirmed"] == 1  # it counts for nothing


def test_an_undo_after_the_reception_cancelled_as_well_leaves_the_visit_to_it(
    desk: AnswerDesk,
) -> None:
    visit = desk.book()
    answer = desk.tap(desk.tell(visit), "cancel")
    desk.act()
    desk.clinic.set_status(visit, "SCHEDULED")
    later = desk.instant() + timedelta(minutes=5)
    at = later if desk.clinic.dialect != "sqlite" else f"{later:%Y-%m-%d %H:%M:%S}"
    desk.clinic.execute(
        "UPDATE appointments SET status = 'CANCELLED', updated_at = :at WHERE id = :id",
        at=at,
        id=visit,
    )

    assert undo(desk.settings, clock(desk), [answer]) == {answer: Done.CHANGED_SINCE}

    assert desk.clinic.status(visit) == "CANCELLED"


def test_an_undo_takes_back_the_word_that_waits(desk: AnswerDesk) -> None:
    desk.setting(meta_api_url="http://127.0.0.1:1")  # nobody answers there
    answer = desk.tap(desk.tell(desk.book()), "cancel")
    desk.act()
    assert [state for _, _, state in desk.words()] == ["retry"]

    undo(desk.settings, clock(desk), [answer])

    assert [state for _, _, state in desk.words()] == ["expired"]


def test_what_changed_no_visit_cannot_be_undone(desk: AnswerDesk) -> None:
    answer = desk.write(desk.tell(desk.book()), "SAIR")
    desk.act()

    assert undo(desk.settings, clock(desk), [answer, 9999]) == {
        answer: Done.NOTHING_TO_DO,
        9999: Done.UNKNOWN,
    }
