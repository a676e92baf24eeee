"""Marking: which visits become NO_SHOW, once, and who is never accused."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest

from smartia_jobs.clinic.times import to_wall
from smartia_jobs.errors import ExitStatus, UsageError
from smartia_jobs.jobs.reminders import send_reminders
from smartia_jobs.kinds import DAY_AHEAD
from smartia_jobs.report import Reason, Result
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.server import Sandbox
from tests.jobs.no_show_desk import TEMPLATES, DisturbedDatabase, NoShowDesk
from tests.support import Clinic

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def sandbox(no_threads_left: None) -> Iterator[Sandbox]:
    with Sandbox(templates=TEMPLATES) as running:
        yield running


@pytest.fixture
def desk(clinic: Clinic, sandbox: Sandbox) -> NoShowDesk:
    """On each engine."""
    return NoShowDesk(clinic, sandbox)


@pytest.fixture
def sqlite_desk(sqlite_clinic: Clinic, sandbox: Sandbox) -> NoShowDesk:
    """For what the engine has no part in."""
    return NoShowDesk(sqlite_clinic, sandbox)


# -- what is missed -----------------------------------------------------------------------------


def test_a_visit_is_marked_from_the_minute_it_is_over_and_no_minute_earlier(
    desk: NoShowDesk,
) -> None:
    lasts = {30: 60, 60: 60, 90: 90, None: 60}
    over = [desk.visit(after * MINUTE, duration=minutes) for minutes, after in lasts.items()]
    not_yet = [
        desk.visit((after - 1) * MINUTE, duration=minutes) for minutes, after in lasts.items()
    ]

    report = desk.run(invite=False)

    assert desk.statuses(over) == ["NO_SHOW"] * 4
    assert desk.statuses(not_yet) == ["SCHEDULED"] * 4
    assert report.extra == {"marked": 4, "left_open": 0}


def test_only_open_visits_are_marked_and_a_null_status_is_not_touched(desk: NoShowDesk) -> None:
    names = ["SCHEDULED", "CONFIRMED", "COMPLETED", "CANCELLED", "NO_SHOW", None]
    visits = [desk.visit(3 * HOUR, status) for status in names]

    report = desk.run(invite=False)

    assert desk.statuses(visits) == [
        "NO_SHOW", "NO_SHOW", "COMPLETED", "CANCELLED", "NO_SHOW", None,
    ]  # fmt: skip
    assert report.warnings == ["Left alone, as their status or date cannot be read: 1."]


def test_the_clinic_chooses_which_statuses_are_marked(desk: NoShowDesk) -> None:
    desk.setting(no_show_statuses=frozenset({"SCHEDULED"}))
    visits = [desk.visit(3 * HOUR, status) for status in ("SCHEDULED", "CONFIRMED")]

    desk.run(invite=False)

    assert desk.statuses(visits) == ["NO_SHOW", "CONFIRMED"]


def test_a_date_that_is_no_date_costs_nobody_else_anything(sqlite_desk: NoShowDesk) -> None:
    clinic = sqlite_desk.clinic
    odd = clinic.add_appointment(clinic.add_patient(), "2026-11-25 xx:00:00.000000")
    fine = sqlite_desk.visit(3 * HOUR)

    report = sqlite_desk.run(invite=False)

    assert sqlite_desk.statuses([odd, fine]) == ["SCHEDULED", "NO_SHOW"]
    assert report.warnings == ["Left alone, as their status or date cannot be read: 1."]


def test_what_was_marked_is_remembered_and_the_row_says_when_it_changed(desk: NoShowDesk) -> None:
    visit = desk.visit(3 * HOUR, "CONFIRMED")

    desk.run(invite=False)

    (mark,) = desk.marks()
    stored = desk.clinic.value("SELECT updated_at FROM appointments WHERE id = :id", id=visit)
    changed_at = datetime.fromisoformat(stored) if isinstance(stored, str) else stored
    assert mark["appointment_id"] == visit
    assert mark["before"] == "CONFIRMED"
    assert mark["run_id"].startswith("run-")
    assert str(mark["start"]).startswith("2026-11-25 15:00:00")
    assert changed_at.replace(tzinfo=UTC).isoformat()[:16] == "2026-11-25T21:00"


@pytest.mark.parametrize(
    ("zone", "start", "not_yet", "over"),
    [
        # The hour before midnight came twice: sixty minutes later it is 23:30 once more.
        ("America/Sao_Paulo", "2018-02-17T23:30", "2018-02-18T02:29Z", "2018-02-18T02:30Z"),
        # Midnight did not exist: sixty minutes later it is half past one.
        ("America/Sao_Paulo", "2018-11-03T23:30", "2018-11-04T03:29Z", "2018-11-04T03:30Z"),
        ("Europe/Madrid", "2024-10-27T01:30", "2024-10-27T00:29Z", "2024-10-27T00:30Z"),
        ("Europe/Madrid", "2024-03-31T01:30", "2024-03-31T01:29Z", "2024-03-31T01:30Z"),
    ],
)
def test_an_hour_is_sixty_minutes_on_the_night_the_clocks_change(
    desk: NoShowDesk, zone: str, start: str, not_yet: str, over: str
) -> None:
    desk.setting(clinic_timezone=ZoneInfo(zone))
    visit = desk.visit(start)

    seen = []
    for moment in (not_yet, over):
        run_at_instant(desk, datetime.fromisoformat(moment))
        seen.append(desk.clinic.status(visit))

    assert seen == ["SCHEDULED", "NO_SHOW"]


def run_at_instant(desk: NoShowDesk, instant: datetime) -> None:
    """Run when a wall time alone would not say which of two hours is meant."""
    zone = desk.settings.clinic_timezone
    wall = to_wall(instant, zone)
    desk.now = wall.replace(fold=instant.astimezone(zone).fold)
    desk.run(invite=False)


def test_true_instants_are_read_as_such(postgres_clinic: Clinic, sandbox: Sandbox) -> None:
    postgres_clinic.stored_times = "instant"
    desk = NoShowDesk(postgres_clinic, sandbox)
    over, not_yet = desk.visit(60 * MINUTE), desk.visit(59 * MINUTE)
    older = [desk.visit(7 * DAY), desk.visit(7 * DAY + MINUTE)]

    report = desk.run()

    assert desk.statuses([over, not_yet]) == ["NO_SHOW", "SCHEDULED"]
    assert desk.statuses(older) == ["NO_SHOW", "SCHEDULED"]
    assert report.extra == {"marked": 2, "left_open": 1}
    assert len(desk.accepted) == 1


def test_a_column_without_a_zone_holds_wall_time(
    plain_timestamp_clinic: Clinic, sandbox: Sandbox
) -> None:
    desk = NoShowDesk(plain_timestamp_clinic, sandbox)
    over, not_yet = desk.visit(60 * MINUTE), desk.visit(59 * MINUTE)

    report = desk.run()

    assert desk.statuses([over, not_yet]) == ["NO_SHOW", "SCHEDULED"]
    assert report.messages == 1


# -- how far back --------------------------------------------------------------------------------


def test_a_first_run_on_years_of_open_visits_marks_the_last_week_and_points_out_the_rest(
    desk: NoShowDesk,
) -> None:
    edge = desk.visit(7 * DAY)
    older = [desk.visit(7 * DAY + MINUTE), desk.visit(90 * DAY)]
    ancient = [desk.visit(90 * DAY + MINUTE), *(desk.visit(n * 365 * DAY) for n in (1, 2, 3))]

    report = desk.run()

    assert desk.clinic.status(edge) == "NO_SHOW"
    assert desk.statuses(older + ancient) == ["SCHEDULED"] * 6
    assert report.extra == {"marked": 1, "left_open": 2}
    assert [line for line in report.warnings if "never marked: 2." in line]
    assert report.exit_status is ExitStatus.OK


def test_a_second_run_marks_nothing(desk: NoShowDesk) -> None:
    desk.visit(3 * HOUR)

    first, second = desk.run(), desk.run()

    assert (first.extra["marked"], second.extra["marked"]) == (1, 0)
    assert len(desk.marks()) == 1


# -- the reception wins ----------------------------------------------------------------------------


def test_a_visit_completed_between_reading_and_marking_stays_completed(desk: NoShowDesk) -> None:
    came, missed = desk.visit(3 * HOUR), desk.visit(3 * HOUR)
    desk.make_tables()
    receptionist = DisturbedDatabase(
        desk.clinic.url, lambda: desk.clinic.set_status(came, "COMPLETED")
    )

    report = desk.run(database=receptionist)

    assert desk.statuses([came, missed]) == ["COMPLETED", "NO_SHOW"]
    assert report.extra["marked"] == 1
    assert [mark["appointment_id"] for mark in desk.marks()] == [missed]
    assert len(desk.accepted) == 1


def test_a_visit_moved_between_reading_and_marking_is_not_marked(desk: NoShowDesk) -> None:
    visit = desk.visit(3 * HOUR)
    desk.make_tables()
    receptionist = DisturbedDatabase(
        desk.clinic.url, lambda: desk.clinic.move(visit, desk.now + DAY)
    )

    desk.run(database=receptionist)

    assert desk.clinic.status(visit) == "SCHEDULED"
    assert desk.marks() == []


def test_a_visit_that_is_being_changed_is_not_waited_for_and_whoever_changes_it_wins(
    postgres_clinic: Clinic, sandbox: Sandbox
) -> None:
    desk = NoShowDesk(postgres_clinic, sandbox)
    came, missed = desk.visit(3 * HOUR), desk.visit(3 * HOUR)
    url = desk.clinic.url.replace("postgresql+psycopg://", "postgresql://")

    with psycopg.connect(url) as receptionist:
        receptionist.execute("UPDATE appointments SET status = 'COMPLETED' WHERE id = %s", [came])
        report = desk.run()

    assert report.extra["marked"] == 1
    assert desk.statuses([came, missed]) == ["COMPLETED", "NO_SHOW"]


def test_a_visit_that_was_reopened_is_not_marked_again(desk: NoShowDesk) -> None:
    visit = desk.visit(3 * HOUR)
    desk.run()
    desk.clinic.set_status(visit, "SCHEDULED")

    report = desk.run()

    assert desk.clinic.status(visit) == "SCHEDULED"
    assert report.extra["marked"] == 0


def test_a_visit_that_another_run_marked_and_the_reception_reopened_meanwhile_is_left_alone(
    desk: NoShowDesk,
) -> None:
    visit = desk.visit(3 * HOUR)
    desk.make_tables()

    def marked_elsewhere_and_reopened() -> None:
        desk.run(invite=False)
        desk.clinic.set_status(visit, "SCHEDULED")

    report = desk.run(
        database=DisturbedDatabase(desk.clinic.url, marked_elsewhere_and_reopened), invite=False
    )

    assert desk.clinic.status(visit) == "SCHEDULED"
    assert report.extra["marked"] == 0
    assert len(desk.marks()) == 1


def test_a_visit_that_was_moved_can_be_missed_again_at_its_new_time(desk: NoShowDesk) -> None:
    visit = desk.visit(27 * HOUR)
    desk.run(invite=False)
    desk.clinic.move(visit, desk.now - 3 * HOUR)
    desk.clinic.set_status(visit, "CONFIRMED")

    desk.run(invite=False)

    assert desk.clinic.status(visit) == "NO_SHOW"
    assert [mark["before"] for mark in desk.marks()] == ["SCHEDULED", "CONFIRMED"]


def test_two_runs_at_once_mark_and_invite_each_patient_once(desk: NoShowDesk) -> None:
    desk.setting(no_show_without_attendance=True)
    visits = [desk.visit(3 * HOUR) for _ in range(30)]
    desk.make_tables()
    together = threading.Barrier(2)
    marked = []

    def meet() -> None:
        together.wait(10)

    def run() -> None:
        database = DisturbedDatabase(desk.clinic.url, meet)
        marked.append(desk.run(database=database).extra["marked"])

    other = threading.Thread(target=run)
    other.start()
    run()
    other.join()

    assert sum(marked) == 30
    assert desk.statuses(visits) == ["NO_SHOW"] * 30
    assert len(desk.marks()) == 30
    assert len(desk.accepted) == len({message["to"] for message in desk.accepted}) == 30


# -- who cancelled in SmartIA's chat ------------------------------------------------------------


def cancel_by_chat(desk: NoShowDesk, patient: int, ago: timedelta) -> None:
    """Let a patient tell the chatbot so long ago that they cancel; it leaves the visit open."""
    at = (desk.now - ago).replace(tzinfo=desk.settings.clinic_timezone)
    desk.clinic.add_conversation(patient, intent="cancel", created_at=at)


@pytest.mark.parametrize("invite", [True, False])
def test_who_cancelled_in_the_chat_before_the_visit_is_neither_marked_nor_invited(
    desk: NoShowDesk, invite: bool
) -> None:
    patient = desk.clinic.add_patient()
    visit = desk.visit(3 * HOUR, "CONFIRMED", patient_id=patient)
    cancel_by_chat(desk, patient, DAY)

    dry, real = desk.run(dry_run=True, invite=invite), desk.run(invite=invite)

    assert desk.clinic.status(visit) == "CONFIRMED"
    assert desk.sandbox.received == []
    assert desk.marks() == []
    assert dry.skipped == real.skipped == {Reason.CANCELLED_BY_CHAT: 1}
    assert (dry.extra["would_mark"], real.extra["marked"]) == (0, 0)
    (decision,) = dry.decisions
    assert (decision["appointment_id"], decision["decision"]) == (visit, "skipped")
    assert decision["reason"] == "cancelled_by_chat"
    assert f"neither marked nor invited: 1 (appointments {visit})" in real.warnings[0]


def test_who_cancelled_in_the_chat_after_the_visit_had_begun_missed_it(desk: NoShowDesk) -> None:
    patient = desk.clinic.add_patient()
    visit = desk.visit(3 * HOUR, patient_id=patient)
    cancel_by_chat(desk, patient, 2 * HOUR)

    desk.run()

    assert desk.outbox() == {visit: "sent"}


def test_a_visit_that_the_reception_marked_brings_no_invitation_to_who_cancelled_in_the_chat(
    desk: NoShowDesk,
) -> None:
    patient = desk.clinic.add_patient()
    desk.visit(3 * HOUR, "NO_SHOW", patient_id=patient)
    cancel_by_chat(desk, patient, DAY)

    dry, real = desk.run(dry_run=True), desk.run()

    assert desk.sandbox.received == []
    assert dry.skipped == real.skipped == {Reason.CANCELLED_BY_CHAT: 1}


def test_a_visit_cancelled_in_the_chat_takes_no_invitation_from_one_that_was_missed(
    desk: NoShowDesk,
) -> None:
    patient = desk.clinic.add_patient()
    cancelled = desk.visit(27 * HOUR, "NO_SHOW", patient_id=patient)
    cancel_by_chat(desk, patient, 2 * DAY)
    missed = desk.visit(3 * HOUR, "NO_SHOW", patient_id=patient)
    booked_at = (desk.now - 30 * HOUR).replace(tzinfo=UTC)
    desk.clinic.execute(
        "UPDATE appointments SET created_at = :at WHERE id = :id",
        at=f"{booked_at:%Y-%m-%d %H:%M:%S}",
        id=missed,
    )

    report = desk.run()

    assert desk.outbox() == {missed: "sent"}
    assert cancelled not in desk.outbox()
    assert report.skipped == {Reason.CANCELLED_BY_CHAT: 1}


def test_visits_cancelled_in_the_chat_do_not_count_for_the_brake(sqlite_desk: NoShowDesk) -> None:
    sqlite_desk.setting(no_show_brake=1)
    for _ in range(3):
        patient = sqlite_desk.clinic.add_patient()
        sqlite_desk.visit(3 * HOUR, patient_id=patient)
        cancel_by_chat(sqlite_desk, patient, DAY)
    missed = sqlite_desk.visit(3 * HOUR)

    report = sqlite_desk.run()

    assert report.exit_status is ExitStatus.OK
    assert [mark["appointment_id"] for mark in sqlite_desk.marks()] == [missed]


def test_a_chat_that_cancelled_vetoes_no_reminder(desk: NoShowDesk) -> None:
    patient = desk.clinic.add_patient()
    desk.visit(-DAY, patient_id=patient)
    cancel_by_chat(desk, patient, HOUR)

    report = desk.perform(lambda run: send_reminders(run, DAY_AHEAD))

    assert report.results[Result.SENT] == 1


# -- the brakes ---------------------------------------------------------------------------------


def test_more_visits_than_the_brake_allows_are_neither_marked_nor_messaged(
    desk: NoShowDesk,
) -> None:
    desk.setting(no_show_brake=2)
    visits = [desk.visit(3 * HOUR) for _ in range(3)]
    desk.visit(4 * HOUR, "NO_SHOW")

    report = desk.run()

    assert desk.statuses(visits) == ["SCHEDULED"] * 3
    assert desk.sandbox.received == []
    assert report.exit_status is ExitStatus.CONFIGURATION
    assert report.due == 0
    assert report.stopped is not None
    assert "3 visits would be marked" in report.stopped
    assert "--mark-all" in report.stopped


def test_as_many_visits_as_the_brake_allows_are_marked(sqlite_desk: NoShowDesk) -> None:
    sqlite_desk.setting(no_show_brake=2)
    visits = [sqlite_desk.visit(3 * HOUR) for _ in range(2)]

    report = sqlite_desk.run(invite=False)

    assert sqlite_desk.statuses(visits) == ["NO_SHOW"] * 2
    assert report.exit_status is ExitStatus.OK


def test_a_person_can_have_them_all_marked(desk: NoShowDesk) -> None:
    desk.setting(no_show_brake=2)
    visits = [desk.visit(3 * HOUR) for _ in range(3)]

    report = desk.run(mark_all=True)

    assert desk.statuses(visits) == ["NO_SHOW"] * 3
    assert report.exit_status is ExitStatus.OK
    assert len(desk.accepted) == 3


@pytest.mark.parametrize("mark_all", [False, True])
def test_where_nobody_records_who_comes_nobody_is_accused(desk: NoShowDesk, mark_all: bool) -> None:
    visits = [desk.visit(3 * HOUR) for _ in range(12)]
    visits += [desk.visit(4 * HOUR, "NO_SHOW") for _ in range(8)]

    report = desk.run(mark_all=mark_all)

    assert desk.statuses(visits) == ["SCHEDULED"] * 12 + ["NO_SHOW"] * 8
    assert desk.sandbox.received == []
    assert report.exit_status is ExitStatus.CONFIGURATION
    assert report.stopped is not None
    assert "NO_SHOW_WITHOUT_ATTENDANCE=1" in report.stopped


def test_nineteen_visits_are_too_few_to_tell(sqlite_desk: NoShowDesk) -> None:
    for _ in range(19):
        sqlite_desk.visit(3 * HOUR)

    report = sqlite_desk.run(invite=False)

    assert report.extra["marked"] == 19


def test_nobody_is_accused_where_another_program_writes_the_dates(sqlite_desk: NoShowDesk) -> None:
    clinic = sqlite_desk.clinic
    started = f"{sqlite_desk.now - 3 * HOUR:%Y-%m-%dT%H:%M:%S}"
    visits = [clinic.add_appointment(clinic.add_patient(), started) for _ in range(25)]

    report = sqlite_desk.run()

    assert report.exit_status is ExitStatus.CONFIGURATION
    assert set(sqlite_desk.statuses(visits)) == {"SCHEDULED"}


def test_one_completed_visit_shows_that_somebody_records_who_comes(desk: NoShowDesk) -> None:
    for _ in range(20):
        desk.visit(3 * HOUR)
    desk.visit(6 * DAY, "COMPLETED")

    report = desk.run(invite=False)

    assert report.extra["marked"] == 20


def test_a_completed_visit_before_the_look_back_does_not_count(sqlite_desk: NoShowDesk) -> None:
    for _ in range(20):
        sqlite_desk.visit(3 * HOUR)
    sqlite_desk.visit(8 * DAY, "COMPLETED")

    report = sqlite_desk.run(invite=False)

    assert report.exit_status is ExitStatus.CONFIGURATION


def test_a_clinic_can_say_that_it_records_no_attendance(desk: NoShowDesk) -> None:
    desk.setting(no_show_without_attendance=True)
    for _ in range(20):
        desk.visit(3 * HOUR)

    report = desk.run(invite=False)

    assert report.extra["marked"] == 20
    assert report.exit_status is ExitStatus.OK


def test_both_brakes_say_both_ways_to_go_on(sqlite_desk: NoShowDesk) -> None:
    sqlite_desk.setting(no_show_brake=2)
    for _ in range(20):
        sqlite_desk.visit(3 * HOUR)

    report = sqlite_desk.run(dry_run=True)

    assert report.exit_status is ExitStatus.CONFIGURATION
    assert report.decisions == []
    assert report.stopped is not None
    assert "--mark-all" in report.stopped
    assert "NO_SHOW_WITHOUT_ATTENDANCE=1" in report.stopped


@pytest.mark.parametrize("by", ["the reception", "undo"])
def test_visits_that_were_reopened_count_neither_for_the_brake_nor_in_a_dry_run(
    desk: NoShowDesk, by: str
) -> None:
    reopened = [desk.visit(3 * HOUR) for _ in range(3)]
    run_id = desk.run(invite=False).run_id
    if by == "undo":
        desk.undo(run_id)
    else:
        for visit in reopened:
            desk.clinic.set_status(visit, "CONFIRMED")
    desk.setting(no_show_brake=1)
    missed = desk.visit(3 * HOUR)

    dry, real = desk.run(dry_run=True), desk.run()

    assert dry.exit_status is real.exit_status is ExitStatus.OK
    assert dry.extra["would_mark"] == real.extra["marked"] == 1
    assert [(one["appointment_id"], one["decision"]) for one in dry.decisions] == [
        (missed, "would_mark"), (missed, "would_send"),
    ]  # fmt: skip
    assert desk.outbox() == {missed: "sent"}


def test_a_reopened_visit_that_was_moved_counts_again_for_the_brake_and_in_a_dry_run(
    desk: NoShowDesk,
) -> None:
    visits = [desk.visit(27 * HOUR) for _ in range(2)]
    desk.undo(desk.run(invite=False).run_id)
    for visit in visits:
        desk.clinic.move(visit, desk.now - 3 * HOUR)

    dry = desk.run(dry_run=True, invite=False)
    desk.setting(no_show_brake=1)
    braked = desk.run()

    assert dry.extra["would_mark"] == 2
    assert braked.exit_status is ExitStatus.CONFIGURATION
    assert "2 visits would be marked" in (braked.stopped or "")


# -- taking it back -----------------------------------------------------------------------------


def test_undo_restores_what_is_still_no_show(desk: NoShowDesk) -> None:
    scheduled, confirmed = desk.visit(3 * HOUR), desk.visit(3 * HOUR, "CONFIRMED")
    came, by_staff = desk.visit(4 * HOUR), desk.visit(4 * HOUR, "NO_SHOW")
    run_id = desk.run(invite=False).run_id
    desk.clinic.set_status(came, "COMPLETED")

    report = desk.undo(run_id)

    assert desk.statuses([scheduled, confirmed, came, by_staff]) == [
        "SCHEDULED", "CONFIRMED", "COMPLETED", "NO_SHOW",
    ]  # fmt: skip
    assert report.extra == {"restored": 2, "left_alone": 1, "already_undone": 0}
    undone = {mark["appointment_id"] for mark in desk.marks() if mark["undone_at"]}
    assert undone == {scheduled, confirmed}


def test_what_was_undone_is_not_marked_again(desk: NoShowDesk) -> None:
    visit = desk.visit(3 * HOUR)
    desk.undo(desk.run(invite=False).run_id)

    report = desk.run()

    assert desk.clinic.status(visit) == "SCHEDULED"
    assert report.extra["marked"] == 0
    assert desk.sandbox.received == []


def test_undo_leaves_other_runs_alone(desk: NoShowDesk) -> None:
    first = desk.visit(3 * HOUR)
    run_id = desk.run(invite=False).run_id
    second = desk.visit(3 * HOUR)
    desk.run(invite=False)

    desk.undo(run_id)

    assert desk.statuses([first, second]) == ["SCHEDULED", "NO_SHOW"]


def test_a_visit_moved_since_is_not_restored(desk: NoShowDesk) -> None:
    visit = desk.visit(3 * HOUR)
    run_id = desk.run(invite=False).run_id
    desk.clinic.move(visit, desk.now - 2 * HOUR)

    report = desk.undo(run_id)

    assert desk.clinic.status(visit) == "NO_SHOW"
    assert report.extra == {"restored": 0, "left_alone": 1, "already_undone": 0}


def test_undo_restores_what_was_marked_under_a_wrong_zone(sqlite_desk: NoShowDesk) -> None:
    clinic = sqlite_desk.clinic
    visit = clinic.add_appointment(clinic.add_patient(), "2026-11-25T15:00:00+00:00", "CONFIRMED")
    sqlite_desk.setting(clinic_timezone=ZoneInfo("Europe/Lisbon"))
    run_id = sqlite_desk.run(invite=False).run_id
    sqlite_desk.setting(clinic_timezone=ZoneInfo("America/Sao_Paulo"))

    report = sqlite_desk.undo(run_id)

    assert clinic.status(visit) == "CONFIRMED"
    assert report.extra == {"restored": 1, "left_alone": 0, "already_undone": 0}


def test_undo_restores_what_was_marked_while_stored_times_were_read_wrongly(
    postgres_clinic: Clinic, sandbox: Sandbox
) -> None:
    desk = NoShowDesk(postgres_clinic, sandbox)
    visit = desk.visit(6 * HOUR)  # 12:00Z: at noon as a wall time, at nine as an instant
    postgres_clinic.stored_times = "instant"
    run_id = desk.run(invite=False).run_id
    postgres_clinic.stored_times = "wall"

    report = desk.undo(run_id)

    assert desk.clinic.status(visit) == "SCHEDULED"
    assert report.extra == {"restored": 1, "left_alone": 0, "already_undone": 0}


def test_a_second_undo_restores_nothing_more(desk: NoShowDesk) -> None:
    visit = desk.visit(3 * HOUR)
    run_id = desk.run(invite=False).run_id
    desk.undo(run_id)
    desk.clinic.set_status(visit, "NO_SHOW")

    report = desk.undo(run_id)

    assert desk.clinic.status(visit) == "NO_SHOW"
    assert report.extra == {"restored": 0, "left_alone": 0, "already_undone": 1}


def test_a_dry_undo_only_counts(desk: NoShowDesk) -> None:
    visit = desk.visit(3 * HOUR)
    run_id = desk.run(invite=False).run_id

    report = desk.undo(run_id, dry_run=True)

    assert desk.clinic.status(visit) == "NO_SHOW"
    assert report.extra == {"would_restore": 1, "left_alone": 0, "already_undone": 0}
    assert [mark["undone_at"] for mark in desk.marks()] == [None]


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_run_that_marked_nothing_cannot_be_undone(sqlite_desk: NoShowDesk, dry_run: bool) -> None:
    with pytest.raises(UsageError, match="run_id"):
        sqlite_desk.undo("run-that-never-was", dry_run=dry_run)


def test_undo_stops_an_invitation_that_has_not_left_yet(desk: NoShowDesk) -> None:
    visit = desk.visit(3 * HOUR)
    desk.sandbox.script("/messages", Scripted(code=190), repeat_last=True)
    refused = desk.run()
    desk.sandbox.script("/messages")
    desk.undo(refused.run_id)

    report = desk.run()

    assert desk.accepted == []
    assert report.due == 0
    assert desk.outbox() == {visit: "expired"}
