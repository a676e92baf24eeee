"""Whom a kind of reminder leaves alone, and to which other kind it leaves them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from smartia_jobs.kinds import DAY_AHEAD, DAYS_AHEAD
from smartia_jobs.report import Reason, Report, Result
from smartia_jobs.sandbox.server import Sandbox
from tests.jobs.test_reminders import DAY, FRIDAY_9, HOUR, MINUTE, TEMPLATES, ReminderDesk
from tests.support import Clinic

LEAD = DAYS_AHEAD.times.lead


@pytest.fixture
def sandbox(no_threads_left: None) -> Iterator[Sandbox]:
    with Sandbox(templates=TEMPLATES) as running:
        yield running


@pytest.fixture
def desk(clinic: Clinic, sandbox: Sandbox) -> ReminderDesk:
    """A desk on SQLite and on PostgreSQL."""
    return ReminderDesk(clinic, sandbox)


class Confirming:
    """Watches a run, and confirms a visit at the first outcome."""

    def __init__(self, clinic: Clinic, visit: int) -> None:
        """Wait for the first outcome."""
        self._clinic = clinic
        self._visit = visit

    def expect(self, visits: int) -> None:
        """Fulfil the interface."""

    def show(self, report: Report) -> None:
        """Confirm the visit, as the reception would."""
        self._clinic.execute(
            f"UPDATE appointments SET status = 'CONFIRMED' WHERE id = {self._visit}"
        )


def test_three_days_ahead_who_booked_long_ahead_and_has_not_confirmed_is_asked(
    desk: ReminderDesk,
) -> None:
    asked = {desk.book(LEAD), desk.book(LEAD, booked=7 * DAY)}
    desk.book(LEAD, booked=6 * DAY)
    desk.book(LEAD, status="CONFIRMED")

    dry, report = desk.run(DAYS_AHEAD, dry_run=True), desk.run(DAYS_AHEAD)

    assert desk.told() == asked
    assert report.skipped == {Reason.BOOKED_LATELY: 1, Reason.CONFIRMED: 1}
    assert (dry.skipped, dry.results[Result.WOULD_SEND]) == (report.skipped, 2)


def test_a_visit_of_which_nobody_recorded_when_it_was_booked_counts_as_booked_long_ahead(
    desk: ReminderDesk,
) -> None:
    visit = desk.book(LEAD, booked=HOUR)
    desk.clinic.execute("UPDATE appointments SET created_at = NULL")

    desk.run(DAYS_AHEAD)

    assert desk.told() == {visit}


def test_who_confirms_while_the_run_is_under_way_is_not_asked(desk: ReminderDesk) -> None:
    desk.setting(send_workers=1)
    *_, last = [desk.book(LEAD + n * HOUR) for n in range(4)]

    report = desk.run(DAYS_AHEAD, progress=Confirming(desk.clinic, last))

    assert last not in desk.states()
    assert (report.messages, report.skipped) == (3, {Reason.CONFIRMED: 1})


def test_a_question_that_could_not_leave_is_not_asked_once_the_patient_has_confirmed(
    desk: ReminderDesk,
) -> None:
    visit = desk.book(LEAD)
    desk.run(DAYS_AHEAD)
    desk.clinic.execute("UPDATE smartia_outbox SET state = 'retry', sent_at = NULL")
    desk.clinic.execute("UPDATE appointments SET status = 'CONFIRMED'")

    report = desk.run(DAYS_AHEAD)

    assert desk.states() == {visit: "expired"}
    assert (report.skipped, report.missed) == ({Reason.CONFIRMED: 1}, 0)


def test_no_patient_is_told_of_one_visit_by_both_kinds_in_one_morning(desk: ReminderDesk) -> None:
    nearer, farther = desk.book(36 * HOUR), desk.book(36 * HOUR + MINUTE)

    asked, reminded = desk.run(DAYS_AHEAD), desk.run(DAY_AHEAD)

    assert (asked.due, reminded.due) == (1, 1)
    kinds = desk.clinic.rows("SELECT appointment_id, kind FROM smartia_outbox ORDER BY kind")
    assert [tuple(row.values()) for row in kinds] == [(nearer, "24h"), (farther, "72h")]


def test_both_kinds_bridge_the_days_of_a_weekend_without_messages(desk: ReminderDesk) -> None:
    desk.now = FRIDAY_9
    desk.setting(no_send_days=frozenset({5, 6}))
    edge = 3 * DAY + 12 * HOUR  # Monday, 21:00
    for ahead in (edge, edge + MINUTE, edge + 2 * DAY, edge + 2 * DAY + MINUTE):
        desk.book(ahead)

    reports = [desk.run(kind) for kind in (DAY_AHEAD, DAYS_AHEAD)]

    assert [report.messages for report in reports] == [1, 2]


def test_what_another_kind_takes_over_is_never_missed(desk: ReminderDesk) -> None:
    desk.has_run(DAYS_AHEAD)
    overlooked = desk.book(12 * HOUR)
    late = desk.book(LEAD)
    desk.run(DAYS_AHEAD)
    desk.clinic.execute("UPDATE smartia_outbox SET state = 'retry', sent_at = NULL")
    desk.now += 2 * DAY + HOUR

    dry, report = desk.run(DAYS_AHEAD, dry_run=True), desk.run(DAYS_AHEAD)

    assert (dry.missed, report.missed, report.warnings) == (0, 0, [])
    assert desk.states()[late] == "expired"
    assert overlooked not in desk.states()


def test_a_kind_that_the_next_one_leaves_nothing_to_says_so(desk: ReminderDesk) -> None:
    longer = replace(DAY_AHEAD.times, lead=72 * HOUR)
    desk.setting(reminders={**desk.settings.reminders, "24h": longer})
    desk.book(LEAD)

    report = desk.run(DAYS_AHEAD)

    assert report.due == 0
    assert "REMINDER_72H_LEAD_HOURS" in report.warnings[0]


def test_a_clinic_s_catalogue_says_whom_a_reminder_leaves_alone(
    desk: ReminderDesk, tmp_path: Path
) -> None:
    file = tmp_path / "messages.toml"
    file.write_text(
        '[24h]\nname = "smartia_lembrete_24h_v2"\nlanguage = "pt_BR"\ncategory = "UTILITY"\n'
        'body = "Olá, seu horário está marcado. Até breve!"\ntime_to_live_seconds = 21600\n'
        "only_unconfirmed = true\n"
    )
    desk.setting(messages_file=file)
    desk.book(DAY, status="CONFIRMED")

    assert desk.run(DAY_AHEAD).skipped == {Reason.CONFIRMED: 1}


def test_what_a_condition_leaves_alone_is_not_missed(desk: ReminderDesk, tmp_path: Path) -> None:
    file = tmp_path / "messages.toml"
    file.write_text(
        '[24h]\nname = "smartia_lembrete_24h_v2"\nlanguage = "pt_BR"\ncategory = "UTILITY"\n'
        'body = "Olá, seu horário está marcado. Até breve!"\ntime_to_live_seconds = 21600\n'
        "only_unconfirmed = true\nbooked_days_ahead = 7\n"
    )
    desk.has_run(DAY_AHEAD)
    desk.setting(messages_file=file)
    desk.book(5 * HOUR, status="CONFIRMED")
    desk.book(5 * HOUR, booked=3 * DAY)
    desk.book(5 * HOUR)

    assert desk.run(DAY_AHEAD).missed == 1


def test_a_moved_visit_is_asked_about_at_its_new_time(desk: ReminderDesk) -> None:
    visit = desk.book(LEAD)
    desk.run(DAYS_AHEAD)
    start = datetime.fromisoformat("2026-11-26T16:00")
    desk.clinic.execute(
        f"UPDATE appointments SET appointment_date = '{start:%Y-%m-%d %H:%M:%S.%f}'"
        f" WHERE id = {visit}"
    )

    assert desk.run(DAYS_AHEAD).messages == 1
