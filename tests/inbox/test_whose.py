"""Which message an answer is about: its own, the only one it can be about, or nobody's."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartia_jobs.inbox.whose import (
    By,
    Candidate,
    NotAnAnswer,
    Purpose,
    Tap,
    Whose,
    canonical,
    whose,
)
from smartia_jobs.incoming import Meaning, PatientAnswer, Source
from smartia_jobs.message import Scope

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MARINA, JOAO = "+5511987654321", "+5541998765432"
FRIDAY, TUESDAY, THURSDAY = (datetime.fromisoformat(f"2026-11-{day}T09:00") for day in (20, 24, 26))
OURS = "1a2b3c4d"

VISIT = frozenset({(7, TUESDAY)})
REMINDER = Candidate(42, "wamid.OUT1", MARINA, Purpose.REMINDER, True, VISIT, NOW - 3 * HOUR)
INVITATION = replace(
    REMINDER,
    outbox_id=50,
    wamid="wamid.OUT2",
    purpose=Purpose.INVITATION,
    asked=False,
    visits=frozenset({(5, FRIDAY)}),
)
INVITATION_SINCE = replace(INVITATION, sent_at=REMINDER.sent_at + HOUR)
TEXT = PatientAnswer("wamid.IN", Source.WEBHOOK, "5511987654321", "text", NOW, "sim")
TAP = replace(TEXT, type="button", text="Confirmar presença", payload=f"confirm:{OURS}:42")


def found(answer: PatientAnswer, *messages: Candidate) -> Whose:
    result = whose(answer, messages, installation=OURS)
    assert isinstance(result, Whose), result
    return result


def ignored(answer: PatientAnswer, *messages: Candidate) -> NotAnAnswer:
    result = whose(answer, messages, installation=OURS, clinic_phone="+551130000000")
    assert isinstance(result, NotAnAnswer), result
    return result


def test_a_tap_is_about_its_message_however_old() -> None:
    old = replace(REMINDER, sent_at=NOW - timedelta(days=60))

    assert found(replace(TAP, context_id="wamid.OUT1"), old) == Whose(
        By.TAPPED, old, MARINA, means=Meaning.CONFIRM, asked=True
    )


def test_a_tap_on_a_message_of_which_whatsapp_never_told_the_id_is_known_by_its_phone() -> None:
    unknown = replace(REMINDER, wamid=None)

    assert found(replace(TAP, context_id="wamid.OUT9"), unknown).message is unknown


def test_a_tap_from_a_changed_or_hidden_number_is_known_by_the_message_it_was_on() -> None:
    tapped = replace(TAP, context_id="wamid.OUT1")

    assert found(replace(tapped, phone="5521987654321"), REMINDER).message is REMINDER
    hidden = found(replace(tapped, phone=None), REMINDER)
    assert (hidden.message, hidden.phone) == (REMINDER, MARINA)
    assert found(replace(TEXT, phone="", context_id="wamid.OUT1"), REMINDER).message is REMINDER


@pytest.mark.parametrize("phone", ["5521987654321", None])
@pytest.mark.parametrize("context_id", ["wamid.OUT9", None])
@pytest.mark.parametrize("wamid", ["wamid.OUT1", None])
def test_another_patients_button_or_a_forged_one_is_about_no_message(
    phone: str | None, context_id: str | None, wamid: str | None
) -> None:
    forged = replace(TAP, payload=f"stop:{OURS}:42", phone=phone, context_id=context_id)
    theirs = replace(REMINDER, wamid=wamid)

    result = found(forged, theirs)

    assert (result.by, result.message, result.means) == (By.TAPPED, None, Meaning.UNCLEAR)
    assert result.why


def test_a_button_of_a_message_that_is_gone_is_shown_to_a_person() -> None:
    result = found(replace(TAP, context_id="wamid.OUT1"))

    assert (result.message, result.means, result.counts(Meaning.UNCLEAR)) == (
        None,
        Meaning.UNCLEAR,
        True,
    )


def test_another_databases_and_another_programs_buttons_are_not_ours() -> None:
    for payload in ("confirm:ffff0000:42", "confirmar:42", f"confirm:{OURS}:4²", f"{OURS}:42"):
        tapped = replace(TAP, payload=payload, context_id="wamid.OUT1")
        assert ignored(tapped, REMINDER) is NotAnAnswer.NOT_OURS, payload


@pytest.mark.parametrize("payload", ["Confirmar presença", None])
def test_a_label_without_a_payload_is_words_and_never_a_tap(payload: str | None) -> None:
    label = replace(TAP, payload=payload)

    assert found(replace(label, context_id="wamid.OUT1"), REMINDER).by is By.QUOTED
    assert found(label, REMINDER).by is By.BARE
    assert found(label, REMINDER).means is None


def test_a_button_tells_one_of_four_things_and_anything_else_is_unclear() -> None:
    said = {word: Tap(word, OURS, 42).meaning for word in ("confirm", "cancel", "move", "stop")}

    assert said == {word: Meaning(word) for word in said}
    assert Tap("start", OURS, 42).meaning is Meaning.UNCLEAR
    assert found(replace(TAP, payload=f"call:{OURS}:42"), REMINDER).means is Meaning.UNCLEAR


def test_a_quote_or_a_reaction_is_about_the_message_it_is_on_and_not_the_newest() -> None:
    newer = replace(
        REMINDER, outbox_id=43, wamid="wamid.OUT3", visits=frozenset({(8, THURSDAY)}), sent_at=NOW
    )

    for type in ("text", "reaction", "audio"):
        result = found(replace(TEXT, type=type, context_id="wamid.OUT1"), REMINDER, newer)
        assert (result.by, result.message) == (By.QUOTED, REMINDER)


def test_words_below_a_message_that_is_not_ours_are_about_nobody_knows_what() -> None:
    result = found(replace(TEXT, context_id="wamid.RECEPTION"), REMINDER)

    assert (result.by, result.message, result.asked) == (By.QUOTED, None, False)


def test_bare_words_are_about_the_one_visit_that_all_reminders_told() -> None:
    days_ahead = replace(REMINDER, outbox_id=40, wamid="wamid.OUT0", sent_at=NOW - 48 * HOUR)
    plain = replace(REMINDER, asked=False)

    assert found(TEXT, plain, days_ahead) == Whose(By.BARE, plain, MARINA)
    assert found(TEXT, REMINDER, days_ahead).asked


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(REMINDER, visits=frozenset({(8, TUESDAY)})), id="another visit"),
        pytest.param(replace(REMINDER, visits=frozenset({(7, THURSDAY)})), id="moved"),
        pytest.param(replace(REMINDER, visits=VISIT | {(8, TUESDAY)}), id="one more visit"),
    ],
)
def test_bare_words_after_reminders_of_several_visits_are_about_nobody_knows_which(
    other: Candidate,
) -> None:
    result = found(TEXT, REMINDER, replace(other, outbox_id=43, sent_at=NOW - 90 * HOUR))

    assert (result.message, result.means) == (None, None)
    assert result.why == "reminders of several visits were sent to this phone"
    assert result.counts(Meaning.UNCLEAR)


def test_bare_words_about_a_visit_that_changed_or_after_an_invitation_are_nobodys() -> None:
    changed = found(TEXT, replace(REMINDER, stands=False))
    invited = found(TEXT, REMINDER, replace(INVITATION, sent_at=NOW - HOUR))

    assert (changed.message, invited.message) == (None, None)
    assert changed.why == "the visit is not as it was told"
    assert invited.why == "the newest message was an invitation"


def test_the_newest_message_says_whether_a_question_is_open() -> None:
    word_back = replace(
        REMINDER, outbox_id=60, purpose=Purpose.WORD_BACK, asked=False, sent_at=NOW - HOUR
    )

    result = found(TEXT, REMINDER, word_back)

    assert (result.message, result.asked) == (REMINDER, False)


@pytest.mark.parametrize(
    ("said_after", "is_recent"),
    [
        pytest.param(timedelta(0), True, id="at once"),
        pytest.param(96 * HOUR, True, id="at the last moment"),
        pytest.param(96 * HOUR + timedelta(seconds=1), False, id="too late"),
        pytest.param(-timedelta(seconds=30), True, id="by a clock that is behind"),
    ],
)
def test_bare_words_answer_reminders_of_the_last_96_hours(
    said_after: timedelta, is_recent: bool
) -> None:
    result = found(replace(TEXT, said_at=REMINDER.sent_at + said_after), REMINDER)

    assert (result.message is not None, result.is_recent) == (is_recent, is_recent)
    assert [meaning for meaning in Meaning if not result.counts(meaning)] == (
        []
        if is_recent
        else [Meaning.CONFIRM, Meaning.CANCEL, Meaning.MOVE, Meaning.COURTESY, Meaning.UNCLEAR]
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (replace(TEXT, phone="5541912345678"), NotAnAnswer.NO_REMINDER),
        (replace(TEXT, said_at=NOW - 4 * HOUR), NotAnAnswer.NO_REMINDER),
        (replace(TEXT, phone=None), NotAnAnswer.NO_PHONE),
        (replace(TEXT, phone="not a phone"), NotAnAnswer.NO_PHONE),
        (replace(TEXT, phone=None, context_id="wamid.OUT9"), NotAnAnswer.NO_PHONE),
        (replace(TEXT, phone="551130000000"), NotAnAnswer.OWN_NUMBER),
        (replace(TEXT, type="system"), NotAnAnswer.NOT_WRITTEN),
        (replace(TEXT, type="interactive", payload="remarcar"), NotAnAnswer.NOT_WRITTEN),
        (replace(TEXT, type="user_preferences", payload="stop"), NotAnAnswer.NOT_WRITTEN),
        (replace(TEXT, type="", payload=f"stop:{OURS}:42"), NotAnAnswer.NOT_WRITTEN),
    ],
    ids=lambda value: value.value if isinstance(value, NotAnAnswer) else "",
)
def test_what_is_no_answer_to_us_is_ignored_and_says_why(
    answer: PatientAnswer, reason: NotAnAnswer
) -> None:
    assert ignored(answer, REMINDER) is reason


def test_an_opt_out_goes_as_far_as_what_it_answers() -> None:
    invitation = replace(INVITATION, sent_at=NOW - timedelta(days=200))
    below = replace(TEXT, text="SAIR", context_id="wamid.OUT2")

    assert found(below, REMINDER, invitation).scope is Scope.INVITATIONS
    assert found(TEXT, REMINDER, invitation).scope is Scope.ALL
    assert found(TEXT, REMINDER, INVITATION_SINCE).scope is Scope.INVITATIONS
    lonely = found(TEXT, invitation)
    assert (lonely.scope, lonely.counts(Meaning.STOP)) == (Scope.INVITATIONS, True)


def test_a_phone_without_the_ninth_digit_is_the_same_phone() -> None:
    theirs = replace(REMINDER, phone=JOAO)

    assert canonical("554198765432") == canonical("5541998765432") == canonical(JOAO) == JOAO
    assert found(replace(TEXT, phone="554198765432"), theirs).message is theirs


def test_an_erased_message_is_not_taken_for_one_to_a_hidden_phone() -> None:
    erased = replace(REMINDER, wamid=None, phone=None)

    assert found(replace(TAP, phone=None), erased).message is None
    assert ignored(replace(TEXT, phone=None), erased) is NotAnAnswer.NO_PHONE


short = st.none() | st.text(max_size=20)


@given(
    phone=short | st.just(TEXT.phone),
    type=st.sampled_from(["text", "button", "reaction", "audio", "new"]),
    payload=short | st.from_regex(rf"[a-z]+:({OURS}|[0-9a-f]{{8}}):[0-9]+", fullmatch=True),
    context_id=short,
    said_at=st.datetimes(timezones=st.just(UTC)) | st.just(datetime.max.replace(tzinfo=UTC)),
)
def test_nothing_that_comes_in_acts_on_a_message_to_somebody_else(
    phone: str | None, type: str, payload: str | None, context_id: str | None, said_at: datetime
) -> None:
    answer = PatientAnswer("", Source.WEBHOOK, phone, type, said_at, "sim", payload, context_id)

    result = whose(answer, [REMINDER], installation=OURS)

    if isinstance(result, Whose) and result.message is not None:
        assert result.phone == MARINA or context_id == REMINDER.wamid
