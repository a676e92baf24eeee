"""What follows from an answer: every row of the table, and who wins when answers contradict."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.inbox.effects import Decision, Earlier, Said, Told, WordBack, decide
from smartia_jobs.incoming import Meaning, Source
from smartia_jobs.store.effects import Effect

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
START = datetime.fromisoformat("2026-11-24T14:30")
PHONE = "+5511987654321"
VISIT = Appointment(
    7, 3, AppointmentStatus.SCHEDULED, datetime(2026, 11, 24, 17, 30, tzinfo=UTC), START
)
STANDS = Told(7, START, PHONE, VISIT, PHONE)
OTHER = Told(
    8,
    START + timedelta(hours=1),
    PHONE,
    replace(VISIT, id=8, start=START + timedelta(hours=1)),
    PHONE,
)


def said(meaning: Meaning, *, tapped: bool = True, source: Source = Source.WEBHOOK) -> Said:
    return Said(meaning, tapped, source, NOW - timedelta(minutes=1))


def earlier(meaning: Meaning, effect: Effect, *, stands: bool = True, minutes: int = 10) -> Earlier:
    return Earlier(meaning, effect, NOW - timedelta(minutes=minutes), stands)


def act(
    answer: Said, *visits: Told, before: tuple[Earlier, ...] = (), on_cancel: str = "tap"
) -> Decision:
    return decide(answer, visits, before, on_cancel=on_cancel, now=NOW)


def status(visit: Told, status: AppointmentStatus | None) -> Told:
    assert visit.visit is not None
    return replace(visit, visit=replace(visit.visit, status=status))


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("tapped", [True, False])
def test_a_confirmation_confirms_all_visits_of_the_message(source: Source, tapped: bool) -> None:
    done = act(said(Meaning.CONFIRM, tapped=tapped, source=source), STANDS, OTHER)

    assert (done.effect, done.word, done.holds_back) == (
        Effect.CONFIRMED,
        WordBack.CONFIRMED,
        False,
    )


def test_a_visit_that_the_reception_had_confirmed_stays_as_it_is() -> None:
    visit = status(STANDS, AppointmentStatus.CONFIRMED)

    assert act(said(Meaning.CONFIRM), visit).effect is Effect.CONFIRMED


@pytest.mark.parametrize(
    ("on_cancel", "tapped", "source", "effect"),
    [
        ("tap", True, Source.WEBHOOK, Effect.CANCELLED),
        ("tap", False, Source.WEBHOOK, Effect.LISTED),
        ("tap", True, Source.SMARTIA, Effect.LISTED),
        ("any", True, Source.WEBHOOK, Effect.CANCELLED),
        ("any", False, Source.WEBHOOK, Effect.CANCELLED),
        ("any", False, Source.SMARTIA, Effect.LISTED),
        ("list", True, Source.WEBHOOK, Effect.LISTED),
        ("list", False, Source.WEBHOOK, Effect.LISTED),
    ],
)
def test_a_cancellation_changes_the_agenda_only_where_the_clinic_lets_it(
    on_cancel: str, tapped: bool, source: Source, effect: Effect
) -> None:
    answer = said(Meaning.CANCEL, tapped=tapped, source=source)

    done = act(answer, STANDS, on_cancel=on_cancel)

    assert done.effect is effect
    assert done.holds_back is (effect is Effect.LISTED)
    assert done.word is (WordBack.CANCELLED if effect is Effect.CANCELLED else WordBack.PASSED_ON)


@pytest.mark.parametrize("on_cancel", ["tap", "any"])
def test_a_cancellation_of_a_message_about_two_visits_is_listed(on_cancel: str) -> None:
    done = act(said(Meaning.CANCEL), STANDS, OTHER, on_cancel=on_cancel)

    assert (done.effect, done.holds_back) == (Effect.LISTED, True)


def test_the_wish_to_move_is_listed_and_holds_back() -> None:
    done = act(said(Meaning.MOVE), STANDS)

    assert (done.effect, done.word, done.holds_back) == (Effect.LISTED, WordBack.PASSED_ON, True)


@pytest.mark.parametrize(
    ("meaning", "effect", "word"),
    [
        (Meaning.STOP, Effect.OPTED_OUT, WordBack.STOPPED),
        (Meaning.START, Effect.OPTED_IN, None),
        (Meaning.NOT_ME, Effect.LISTED, None),
        (Meaning.COURTESY, Effect.COURTESY, None),
        (Meaning.UNCLEAR, Effect.LISTED, None),
    ],
)
def test_what_needs_no_visit_asks_for_none(
    meaning: Meaning, effect: Effect, word: WordBack | None
) -> None:
    done = act(said(meaning))

    assert (done.effect, done.word, done.holds_back) == (effect, word, False)


@pytest.mark.parametrize(
    "changed",
    [
        replace(STANDS, visit=None),
        replace(STANDS, start=START - timedelta(hours=1)),
        replace(STANDS, phone_now="+5511999990000"),
        replace(STANDS, phone_now=None),
        status(STANDS, AppointmentStatus.CANCELLED),
        status(STANDS, AppointmentStatus.COMPLETED),
        status(STANDS, AppointmentStatus.NO_SHOW),
        status(STANDS, None),
        replace(STANDS, visit=replace(VISIT, start_at=None, start=None)),
    ],
)
@pytest.mark.parametrize("meaning", [Meaning.CONFIRM, Meaning.CANCEL, Meaning.MOVE])
@pytest.mark.parametrize("beside", [(), (OTHER,)])
def test_a_visit_that_no_longer_stands_as_told_makes_the_whole_answer_a_persons(
    changed: Told, meaning: Meaning, beside: tuple[Told, ...]
) -> None:
    done = act(said(meaning), *beside, changed, on_cancel="any")

    assert (done.effect, done.word, done.holds_back) == (Effect.LISTED, WordBack.PASSED_ON, False)
    assert done.why


@pytest.mark.parametrize(
    ("meaning", "holds"), [(Meaning.CONFIRM, False), (Meaning.CANCEL, True), (Meaning.MOVE, True)]
)
def test_a_no_that_is_read_after_the_visit_began_is_a_persons_and_still_a_no(
    meaning: Meaning, holds: bool
) -> None:
    begun = replace(STANDS, visit=replace(VISIT, start_at=NOW))

    done = act(said(meaning), begun, on_cancel="any")

    assert (done.effect, done.word, done.holds_back) == (Effect.LISTED, WordBack.PASSED_ON, holds)


def test_a_row_that_was_erased_counts_as_this_patients() -> None:
    assert act(said(Meaning.CONFIRM), replace(STANDS, phone=None)).effect is Effect.CONFIRMED


def test_an_answer_about_nobody_knows_which_visit_is_a_persons() -> None:
    assert act(said(Meaning.CONFIRM)).effect is Effect.LISTED


@pytest.mark.parametrize(
    ("meaning", "effect", "now"),
    [
        (Meaning.CONFIRM, Effect.CONFIRMED, AppointmentStatus.CONFIRMED),
        (Meaning.CANCEL, Effect.CANCELLED, AppointmentStatus.CANCELLED),
        (Meaning.MOVE, Effect.LISTED, AppointmentStatus.SCHEDULED),
    ],
)
def test_the_same_answer_again_does_nothing(
    meaning: Meaning, effect: Effect, now: AppointmentStatus
) -> None:
    done = act(said(meaning), status(STANDS, now), before=(earlier(meaning, effect),))

    assert (done.effect, done.word) == (Effect.REPEATED, None)


def test_a_tap_cancels_what_words_had_only_listed() -> None:
    done = act(said(Meaning.CANCEL), STANDS, before=(earlier(Meaning.CANCEL, Effect.LISTED),))

    assert done.effect is Effect.CANCELLED


def test_a_cancellation_after_a_confirmation_is_the_last_word() -> None:
    visit = status(STANDS, AppointmentStatus.CONFIRMED)

    done = act(said(Meaning.CANCEL), visit, before=(earlier(Meaning.CONFIRM, Effect.CONFIRMED),))

    assert done.effect is Effect.CANCELLED


@pytest.mark.parametrize(
    ("before", "visit"),
    [
        (earlier(Meaning.CANCEL, Effect.CANCELLED), status(STANDS, AppointmentStatus.CANCELLED)),
        (earlier(Meaning.CANCEL, Effect.LISTED), STANDS),
        (earlier(Meaning.MOVE, Effect.LISTED), STANDS),
    ],
)
def test_a_confirmation_after_a_no_is_a_persons(before: Earlier, visit: Told) -> None:
    done = act(said(Meaning.CONFIRM), visit, before=(before,))

    assert (done.effect, done.word) == (Effect.LISTED, WordBack.PASSED_ON)


def test_a_no_that_somebody_has_taken_back_is_no_contradiction() -> None:
    over = earlier(Meaning.CANCEL, Effect.CANCELLED, stands=False)

    assert act(said(Meaning.CONFIRM), STANDS, before=(over,)).effect is Effect.CONFIRMED
    assert act(said(Meaning.CANCEL), STANDS, before=(over,)).effect is Effect.CANCELLED


@pytest.mark.parametrize("meaning", [Meaning.CONFIRM, Meaning.CANCEL, Meaning.MOVE])
def test_what_is_older_than_an_answer_acted_on_is_overtaken(meaning: Meaning) -> None:
    later = earlier(Meaning.CONFIRM, Effect.CONFIRMED, minutes=0, stands=False)

    assert act(said(meaning), STANDS, before=(later,)) == Decision(
        Effect.OVERTAKEN, "a later answer had been acted on"
    )


def test_of_two_answers_of_one_second_the_later_arrival_counts() -> None:
    at_once = replace(
        earlier(Meaning.CONFIRM, Effect.CONFIRMED), said_at=said(Meaning.MOVE).said_at
    )

    assert act(said(Meaning.MOVE), STANDS, before=(at_once,)).effect is Effect.LISTED
