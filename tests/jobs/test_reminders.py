"""The reminder jobs as the clinic set them: every setting reaches what patients are sent."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from smartia_jobs.catalogue.definition import shipped_definitions
from smartia_jobs.clock import ShiftedClock
from smartia_jobs.database import Database
from smartia_jobs.errors import ConfigurationError
from smartia_jobs.jobs.reminders import send_reminders
from smartia_jobs.kinds import DAY_AHEAD, HOURS_AHEAD, ReminderKind
from smartia_jobs.report import Reason, Report, Result
from smartia_jobs.run import Progress, Run
from smartia_jobs.sandbox.account import PHONE_NUMBER_ID
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.server import Sandbox
from smartia_jobs.settings import QuietHours, Settings
from tests.support import Clinic, RunCli
from tests.support.clinic_data import BOOKED_LONG_AGO

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

#: A Monday and a Friday, nine o'clock in the clinic.
MONDAY_9 = datetime.fromisoformat("2026-11-23T09:00")
FRIDAY_9 = datetime.fromisoformat("2026-11-27T09:00")

BOTH_KINDS = pytest.mark.parametrize("kind", [DAY_AHEAD, HOURS_AHEAD], ids=["24h", "2h"])
#: Each kind with visits that are too near for it.
TOO_NEAR = pytest.mark.parametrize(
    ("kind", "ahead"), [(DAY_AHEAD, 5 * HOUR), (HOURS_AHEAD, 30 * MINUTE)], ids=["24h", "2h"]
)

TEMPLATES = shipped_definitions(clinic_name="Clínica Aurora")
_runs = count(1)


@dataclass
class ReminderDesk:
    """A clinic, a sandbox, and runs of a reminder job over them.

    Attributes:
        clinic: to fill and to disturb.
        sandbox: what WhatsApp received.
        now: the clinic's wall time.
        settings: what the environment says, apart from where things are.
    """

    clinic: Clinic
    sandbox: Sandbox
    now: datetime = MONDAY_9
    settings: Settings = field(default_factory=Settings)

    def setting(self, **changes: Any) -> None:
        """Change settings."""
        self.settings = replace(self.settings, **changes)

    def book(
        self,
        ahead: timedelta,
        *,
        booked: timedelta = 30 * DAY,
        phone: str | None = None,
        status: str = "SCHEDULED",
    ) -> int:
        """Book a visit so long after now, ``booked`` before it begins, for a new patient."""
        start = self.now + ahead
        return self.clinic.add_appointment(
            self.clinic.add_patient("Maria Souza", phone),
            start,
            status,
            created_at=(start - booked).replace(tzinfo=self.settings.clinic_timezone),
        )

    def run(
        self, kind: ReminderKind, *, dry_run: bool = False, progress: Progress | None = None
    ) -> Report:
        """Run the job once, as one process would, and check that the numbers add up."""
        settings = replace(
            self.settings,
            database_url=self.clinic.url,
            stored_times=self.clinic.stored_times if self.clinic.dialect != "sqlite" else None,
            meta_access_token="made-up-token",
            meta_phone_number_id=PHONE_NUMBER_ID,
            meta_api_url=self.sandbox.url,
        )
        now_at = self.now.replace(tzinfo=settings.clinic_timezone)
        self.sandbox.clock_offset = now_at - datetime.now(UTC)
        with closing(Database(self.clinic.url, read_only=dry_run)) as database:
            run = Run(
                id=f"run-{next(_runs)}",
                settings=settings,
                clock=ShiftedClock(now_at),
                database=database,
                now=now_at.astimezone(UTC),
                dry_run=dry_run,
                progress=progress,
            )
            report = send_reminders(run, kind)
        body = report.as_json()
        counted = ("sent", "failed", "retry", "unknown", "would_send", "left")
        assert body["due"] == sum(body[one] for one in counted) + sum(body["skipped"].values())
        return report

    def has_run(self, kind: ReminderKind) -> None:
        """Let the job have run before, long ago, for somebody without a usable phone."""
        now, self.now = self.now, self.now - 30 * DAY
        self.book(self.settings.times_of(kind).lead, phone="98765-4321")
        self.run(kind)
        self.now = now

    def states(self) -> dict[int, str]:
        """Return appointment → state of its outbox row."""
        rows = self.clinic.rows("SELECT appointment_id, state FROM smartia_outbox")
        return {row["appointment_id"]: row["state"] for row in rows}

    def told(self) -> set[int]:
        """Return the visits whose reminder was accepted."""
        return {visit for visit, state in self.states().items() if state == "sent"}

    def written_to(self) -> list[str | None]:
        """Return the phones that WhatsApp was asked to write to."""
        return [message["to"] for message in self.sandbox.received]


@pytest.fixture
def sandbox(no_threads_left: None) -> Iterator[Sandbox]:
    with Sandbox(templates=TEMPLATES) as running:
        yield running


@pytest.fixture
def desk(sqlite_clinic: Clinic, sandbox: Sandbox) -> ReminderDesk:
    return ReminderDesk(sqlite_clinic, sandbox)


# -- what is asked ------------------------------------------------------------------------------


def test_who_confirmed_already_is_reminded_and_not_asked_again(
    clinic: Clinic, sandbox: Sandbox
) -> None:
    desk = ReminderDesk(clinic, sandbox)
    asked, confirmed = desk.book(24 * HOUR), desk.book(25 * HOUR, status="CONFIRMED")

    desk.run(DAY_AHEAD)

    rows = clinic.rows("SELECT id, appointment_id, template FROM smartia_outbox")
    rows_of = {row["appointment_id"]: (row["id"], row["template"]) for row in rows}
    word = clinic.value("SELECT word FROM smartia_installation")
    got = {message["template"]: message["payloads"] for message in sandbox.received}
    assert rows_of[asked][1] == "smartia_lembrete_24h_v2"
    assert rows_of[confirmed][1] == "smartia_lembrete_24h_confirmado_v2"
    assert got == {
        "smartia_lembrete_24h_v2": {
            "0": f"confirm:{word}:{rows_of[asked][0]}",
            "1": f"cancel:{word}:{rows_of[asked][0]}",
        },
        "smartia_lembrete_24h_confirmado_v2": {"0": f"cancel:{word}:{rows_of[confirmed][0]}"},
    }


# -- what was missed ----------------------------------------------------------------------------


@TOO_NEAR
def test_a_visit_ahead_that_was_never_reminded_is_reported_as_missed(
    desk: ReminderDesk, kind: ReminderKind, ahead: timedelta
) -> None:
    desk.has_run(kind)
    desk.book(ahead)
    desk.book(ahead, status="CONFIRMED")

    report = desk.run(kind)

    assert (report.missed, report.due) == (2, 0)
    assert report.as_json()["missed"] == 2
    assert any("whose visit is still ahead" in warning for warning in report.warnings)
    assert desk.sandbox.received == []


@BOTH_KINDS
def test_what_grew_too_near_since_the_run_before_is_missed_and_what_is_older_was_its_to_tell(
    clinic: Clinic, sandbox: Sandbox, kind: ReminderKind
) -> None:
    desk = ReminderDesk(clinic, sandbox)
    desk.has_run(kind)
    times = kind.times
    first = desk.book(times.latest - times.cadence)
    desk.book(times.latest - times.cadence - MINUTE)
    last = desk.book(times.latest - MINUTE)

    report = desk.run(kind)

    assert report.missed == 2
    assert f"(appointments {first}, {last})" in report.warnings[-1]


def test_the_visits_of_a_morning_after_a_run_that_never_happened_are_missed(
    desk: ReminderDesk,
) -> None:
    desk.run(DAY_AHEAD)  # on Monday; Tuesday's never happens
    monday, tomorrow = desk.book(23 * HOUR), desk.book(36 * HOUR)
    wednesdays = [desk.book(hours * HOUR) for hours in (47, 48, 49, 53)]
    desk.run(DAY_AHEAD)
    desk.now += 2 * DAY

    report = desk.run(DAY_AHEAD)

    assert report.missed == len(wednesdays)
    assert {monday, tomorrow} <= desk.told()


@BOTH_KINDS
def test_regular_runs_count_each_missed_visit_once(desk: ReminderDesk, kind: ReminderKind) -> None:
    desk.has_run(kind)
    times = kind.times
    start = desk.now + times.latest - MINUTE
    desk.book(times.latest - MINUTE)

    counted = []
    while desk.now < start + times.cadence:
        counted.append(desk.run(kind).missed)
        desk.now += times.cadence

    assert sum(counted) == 1


@pytest.mark.parametrize(
    ("status", "missed"),
    [("COMPLETED", 1), ("NO_SHOW", 1), ("SCHEDULED", 1), ("CONFIRMED", 1), ("CANCELLED", 0)],
)
@pytest.mark.parametrize("ahead", [-HOUR, HOUR], ids=["begun", "ahead"])
def test_whatever_became_of_a_visit_it_should_have_had_its_reminder_unless_it_was_cancelled(
    desk: ReminderDesk, ahead: timedelta, status: str, missed: int
) -> None:
    desk.has_run(DAY_AHEAD)
    desk.book(ahead, status=status)

    assert desk.run(DAY_AHEAD).missed == missed


@TOO_NEAR
def test_the_first_run_on_a_database_has_missed_nothing(
    clinic: Clinic, sandbox: Sandbox, kind: ReminderKind, ahead: timedelta
) -> None:
    desk = ReminderDesk(clinic, sandbox)
    desk.has_run(HOURS_AHEAD if kind is DAY_AHEAD else DAY_AHEAD)  # another kind is no run of it
    desk.book(ahead)

    dry, first = desk.run(kind, dry_run=True), desk.run(kind)

    assert (dry.missed, first.missed) == (0, 0)


@BOTH_KINDS
def test_what_was_too_near_before_the_first_run_is_missed_by_no_later_one(
    clinic: Clinic, sandbox: Sandbox, kind: ReminderKind
) -> None:
    desk = ReminderDesk(clinic, sandbox)
    times = kind.times
    for too_near in (times.latest - MINUTE, MINUTE, -MINUTE):
        desk.book(too_near)
    desk.book(times.lead)
    desk.run(kind)

    again = desk.run(kind)
    desk.now += times.cadence / 2
    in_time = desk.book(times.latest - MINUTE)
    later = desk.run(kind)

    assert again.missed == 0
    assert later.missed == 1
    assert f"(appointments {in_time})" in later.warnings[-1]


@TOO_NEAR
def test_what_nobody_could_have_reminded_is_not_missed(
    desk: ReminderDesk, kind: ReminderKind, ahead: timedelta
) -> None:
    desk.has_run(kind)
    lead = kind.times.lead
    desk.book(ahead, booked=lead)
    desk.book(ahead, status="CANCELLED")

    report = desk.run(kind)

    assert report.missed == 0


@BOTH_KINDS
def test_a_reminded_visit_is_not_missed_when_it_draws_near_or_has_begun(
    desk: ReminderDesk, kind: ReminderKind
) -> None:
    times = kind.times
    desk.book(times.lead)
    desk.run(kind)
    desk.now += times.lead - times.latest + MINUTE

    near = desk.run(kind)
    desk.now += times.latest
    begun = desk.run(kind)

    assert (near.missed, near.due) == (0, 0)
    assert (begun.missed, begun.due) == (0, 0)


@TOO_NEAR
def test_a_reminded_visit_is_missed_when_it_is_moved_too_near_to_be_told_anew(
    desk: ReminderDesk, kind: ReminderKind, ahead: timedelta
) -> None:
    visit = desk.book(kind.times.lead)
    desk.run(kind)
    desk.now += kind.times.cadence
    desk.clinic.move(visit, desk.now + ahead)

    report = desk.run(kind)

    assert (report.missed, report.due) == (1, 0)


def test_a_visit_that_a_sync_writes_again_after_its_reminder_is_not_missed(
    desk: ReminderDesk,
) -> None:
    visit = desk.book(DAY)
    desk.run(DAY_AHEAD)
    patient = desk.clinic.value("SELECT patient_id FROM appointments WHERE id = :id", id=visit)
    desk.book(30 * DAY)  # so that the id does not come again
    desk.clinic.delete_appointment(visit)
    desk.clinic.add_appointment(patient, desk.now + DAY, created_at=BOOKED_LONG_AGO)
    desk.now += DAY - HOUR

    report = desk.run(DAY_AHEAD)

    assert report.missed == 0


def test_a_dry_run_reports_what_was_missed_too(desk: ReminderDesk) -> None:
    desk.has_run(DAY_AHEAD)
    desk.book(5 * HOUR)

    report = desk.run(DAY_AHEAD, dry_run=True)

    assert report.missed == 1


def test_a_dry_run_counts_retries_that_ran_out_of_time_as_a_run_does(
    clinic: Clinic, sandbox: Sandbox
) -> None:
    desk = ReminderDesk(clinic, sandbox)
    late, cancelled = desk.book(DAY), desk.book(DAY)
    desk.book(DAY + 2 * HOUR)  # has an hour left
    desk.run(DAY_AHEAD)
    desk.clinic.execute("UPDATE smartia_outbox SET state = 'retry', sent_at = NULL")
    desk.clinic.set_status(cancelled, "CANCELLED")
    desk.now += 19 * HOUR

    dry, real = desk.run(DAY_AHEAD, dry_run=True), desk.run(DAY_AHEAD)

    assert desk.states()[late] == "expired"
    assert dry.missed == real.missed == 1
    assert dry.results[Result.WOULD_SEND] == real.results[Result.SENT] == 1


@pytest.mark.parametrize("on_unknown", ["hold", "resend"])
@pytest.mark.parametrize("lease_until", ["2020-01-01 00:00:00", "2099-01-01 00:00:00"])
def test_a_dry_run_judges_a_dead_owners_claim_as_a_run_does(
    clinic: Clinic, sandbox: Sandbox, lease_until: str, on_unknown: str
) -> None:
    desk = ReminderDesk(clinic, sandbox)
    desk.setting(on_unknown=on_unknown)
    desk.book(DAY)
    desk.run(DAY_AHEAD)
    desk.clinic.execute(
        f"UPDATE smartia_outbox SET state = 'claimed', lease_until = '{lease_until}'"
    )

    dry, real = desk.run(DAY_AHEAD, dry_run=True), desk.run(DAY_AHEAD)

    assert dry.held_unknown == real.held_unknown == int(lease_until < "2026")
    assert dry.skipped == real.skipped
    assert dry.results[Result.WOULD_SEND] == real.results[Result.SENT]


def test_a_visit_booked_at_too_short_notice_for_this_clinic_is_not_missed(
    desk: ReminderDesk,
) -> None:
    desk.has_run(DAY_AHEAD)
    desk.setting(min_notice=48 * HOUR)
    desk.book(5 * HOUR, booked=47 * HOUR)
    desk.book(5 * HOUR, booked=48 * HOUR)

    report = desk.run(DAY_AHEAD)

    assert report.missed == 1


def test_who_is_not_in_only_to_is_not_missed(desk: ReminderDesk) -> None:
    desk.has_run(DAY_AHEAD)
    desk.setting(only_to=frozenset({"+5511987654321"}))
    desk.book(5 * HOUR, phone="5511987654321")
    desk.book(5 * HOUR)

    report = desk.run(DAY_AHEAD)

    assert report.missed == 1


# -- ONLY_TO ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed", ["+5511987654321", "5511987654321", "(11) 98765-4321", "+55 11 8765-4321"]
)
def test_only_the_phones_in_only_to_are_written_to_however_they_are_spelled(
    desk: ReminderDesk, typed: str
) -> None:
    desk.setting(only_to=frozenset({typed}))
    desk.book(DAY, phone="5511987654321")
    desk.book(DAY, phone="5511987654322")
    desk.book(DAY, phone="5521987654321")

    report = desk.run(DAY_AHEAD)

    assert desk.written_to() == ["+5511987654321"]
    assert report.results[Result.SENT] == 1
    assert report.skipped == {Reason.NOT_IN_ONLY_TO: 2}


def test_only_to_knows_a_phone_that_the_clinic_stored_otherwise(desk: ReminderDesk) -> None:
    desk.setting(only_to=frozenset({"+5511987654321"}))
    for stored in ("551187654321", "(11) 98765-4321", "+55 11 8765-4321"):
        desk.book(DAY, phone=stored)

    report = desk.run(DAY_AHEAD)

    assert report.results[Result.SENT] == 3
    assert len(desk.sandbox.received) == 1


@BOTH_KINDS
def test_something_in_only_to_that_is_no_phone_sends_nothing(
    desk: ReminderDesk, kind: ReminderKind
) -> None:
    desk.setting(only_to=frozenset({"+5511987654321", "12345"}))
    desk.book(kind.times.lead, phone="5511987654321")

    with pytest.raises(ConfigurationError, match="ONLY_TO"):
        desk.run(kind)

    assert desk.sandbox.received == []


# -- settings of the day ------------------------------------------------------------------------


@BOTH_KINDS
def test_a_visit_booked_at_short_notice_gets_no_reminder_where_the_clinic_wants_none(
    desk: ReminderDesk, kind: ReminderKind
) -> None:
    lead = kind.times.lead
    desk.setting(min_notice=48 * HOUR)
    desk.book(lead, booked=48 * HOUR - MINUTE)
    desk.book(lead, booked=48 * HOUR, phone="5511987654321")

    report = desk.run(kind)

    assert desk.written_to() == ["+5511987654321"]
    assert report.skipped == {Reason.SHORT_NOTICE: 1}


@BOTH_KINDS
def test_quiet_hours_hold_a_reminder_until_they_end(desk: ReminderDesk, kind: ReminderKind) -> None:
    desk.now = MONDAY_9.replace(hour=6, minute=59)
    desk.setting(
        quiet_hours=QuietHours(
            datetime.fromisoformat("2026-01-01T21:00").time(),
            datetime.fromisoformat("2026-01-01T07:00").time(),
        )
    )
    desk.book(kind.times.lead)

    quiet = desk.run(kind)
    desk.now += MINUTE
    awake = desk.run(kind)

    assert (quiet.skipped, quiet.messages) == ({Reason.QUIET_HOURS: 1}, 0)
    assert awake.results[Result.SENT] == 1
    assert len(desk.sandbox.received) == 1


def test_fridays_day_ahead_run_reminds_mondays_patients(desk: ReminderDesk) -> None:
    desk.now = FRIDAY_9
    desk.setting(no_send_days=frozenset({5, 6}))
    desk.book(3 * DAY)
    desk.book(3 * DAY + 12 * HOUR)
    desk.book(3 * DAY + 12 * HOUR + MINUTE)

    report = desk.run(DAY_AHEAD)

    assert (report.due, report.results[Result.SENT]) == (2, 2)


def test_without_such_days_fridays_run_leaves_monday_to_later_ones(desk: ReminderDesk) -> None:
    desk.now = FRIDAY_9
    desk.book(3 * DAY)

    report = desk.run(DAY_AHEAD)

    assert report.due == 0


def test_fridays_hours_ahead_run_reminds_nobody_of_monday(desk: ReminderDesk) -> None:
    desk.now = FRIDAY_9
    desk.setting(no_send_days=frozenset({5, 6}))
    desk.book(2 * DAY + 2 * HOUR)
    desk.book(3 * DAY)

    report = desk.run(HOURS_AHEAD)

    assert report.due == 0


@BOTH_KINDS
def test_nothing_leaves_on_a_day_without_sending(desk: ReminderDesk, kind: ReminderKind) -> None:
    desk.now = FRIDAY_9 + DAY
    desk.setting(no_send_days=frozenset({5, 6}))
    desk.book(kind.times.lead)

    report = desk.run(kind)

    assert report.skipped == {Reason.NO_SEND_DAY: 1}
    assert desk.sandbox.received == []


# -- ON_UNKNOWN ---------------------------------------------------------------------------------


@BOTH_KINDS
def test_a_message_that_may_have_arrived_is_resent_once_where_the_clinic_chose_so(
    desk: ReminderDesk, kind: ReminderKind
) -> None:
    desk.book(kind.times.lead)
    desk.sandbox.script("*", Scripted(cut=True), repeat_last=True)
    desk.run(kind)
    held = desk.run(kind)
    desk.setting(on_unknown="resend")

    again = desk.run(kind)
    once_more = desk.run(kind)

    assert (held.skipped, held.held_unknown) == ({Reason.HELD_UNKNOWN: 1}, 1)
    assert again.results[Result.UNKNOWN] == 1
    assert once_more.skipped == {Reason.HELD_UNKNOWN: 1}
    assert len(desk.sandbox.received) == 2


# -- how long WhatsApp tries --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "variable"),
    [(DAY_AHEAD, "REMINDER_24H_LATEST_HOURS"), (HOURS_AHEAD, "REMINDER_2H_LATEST_MINUTES")],
    ids=["24h", "2h"],
)
def test_a_reminder_that_may_arrive_when_it_is_of_no_use_is_warned_of(
    desk: ReminderDesk, kind: ReminderKind, variable: str
) -> None:
    as_shipped = desk.run(kind)
    earlier = replace(kind.times, latest=kind.times.latest - MINUTE)
    desk.setting(reminders={**desk.settings.reminders, kind.name: earlier})

    report = desk.run(kind)

    assert as_shipped.warnings == []
    (warning,) = report.warnings
    assert variable in warning


# -- the command line ---------------------------------------------------------------------------


@pytest.fixture
def env(sqlite_clinic: Clinic, sandbox: Sandbox) -> dict[str, str]:
    return {
        "DATABASE_URL": sqlite_clinic.url,
        "META_ACCESS_TOKEN": "secret-token-1234",
        "META_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
        "META_API_URL": sandbox.url,
    }


def book_from_today(clinic: Clinic, kind: ReminderKind, visits: int) -> None:
    """Book visits that a run at this hour reminds."""
    start = datetime.now(ZoneInfo("America/Sao_Paulo")) + kind.times.lead
    for _ in range(visits):
        clinic.add_appointment(clinic.add_patient(), start.replace(tzinfo=None, microsecond=0))


@BOTH_KINDS
def test_limit_bounds_what_a_command_sends(
    run_cli: RunCli,
    env: dict[str, str],
    sqlite_clinic: Clinic,
    sandbox: Sandbox,
    kind: ReminderKind,
) -> None:
    book_from_today(sqlite_clinic, kind, 3)

    result = run_cli(kind.command, "--limit", "2", "--json", env=env)

    assert result.exit_code == 0, result.stderr
    assert (result.json["job"], result.json["sent"], result.json["left"]) == (kind.command, 2, 1)
    assert len(sandbox.received) == 2


@BOTH_KINDS
def test_strict_makes_one_unreached_patient_the_commands_failure(
    run_cli: RunCli,
    env: dict[str, str],
    sqlite_clinic: Clinic,
    sandbox: Sandbox,
    kind: ReminderKind,
) -> None:
    book_from_today(sqlite_clinic, kind, 2)
    sandbox.script("*", Scripted(code=131026))

    result = run_cli(kind.command, "--strict", "--json", env=env)

    assert (result.json["failed"], result.json["sent"]) == (1, 1), result.stderr
    assert result.json["exit_code"] == result.exit_code == 65


def test_one_unreached_patient_is_a_warning_without_strict(
    run_cli: RunCli, env: dict[str, str], sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    book_from_today(sqlite_clinic, DAY_AHEAD, 2)
    sandbox.script("*", Scripted(code=131026))

    result = run_cli("24h", "--json", env=env)

    assert (result.json["failed"], result.exit_code) == (1, 0)


# -- a dry run ----------------------------------------------------------------------------------


def test_a_dry_run_decides_on_files_that_it_may_only_read(
    run_cli: RunCli, env: dict[str, str], sqlite_clinic: Clinic, smartia_sqlite: Path
) -> None:
    book_from_today(sqlite_clinic, DAY_AHEAD, 1)
    folder = smartia_sqlite.parent / "read only"
    folder.mkdir()
    copy = Path(shutil.copy(smartia_sqlite, folder))
    copy.chmod(0o444)
    folder.chmod(0o555)

    result = run_cli("24h", "--dry-run", "--json", env=env | {"DATABASE_URL": f"sqlite:///{copy}"})

    folder.chmod(0o755)
    assert result.exit_code == 0, result.stderr
    assert result.json["would_send"] == 1


def test_a_dry_run_does_not_even_tidy_up_behind_smartia(
    run_cli: RunCli, env: dict[str, str], sqlite_clinic: Clinic, smartia_sqlite: Path
) -> None:
    # Whoever may write moves what stands in the write-ahead log into the file, when it leaves.
    sqlite_clinic.execute("PRAGMA journal_mode = WAL")
    book_from_today(sqlite_clinic, DAY_AHEAD, 1)
    folder = smartia_sqlite.parent / "after a crash"
    folder.mkdir()
    log = smartia_sqlite.with_name("smartia.db-wal")
    copies = [Path(shutil.copy(one, folder)) for one in (smartia_sqlite, log)]
    before = [one.read_bytes() for one in copies]

    result = run_cli(
        "24h", "--dry-run", "--json", env=env | {"DATABASE_URL": f"sqlite:///{copies[0]}"}
    )

    assert result.json["would_send"] == 1, result.stderr
    assert [one.read_bytes() for one in copies] == before


def test_a_dry_run_shows_which_visits_are_told_together(desk: ReminderDesk) -> None:
    patient = desk.clinic.add_patient()
    first, second, third = (
        desk.clinic.add_appointment(patient, desk.now + DAY + hours * HOUR) for hours in (-1, 0, 2)
    )
    alone = desk.book(DAY + HOUR)

    report = desk.run(DAY_AHEAD, dry_run=True)

    told = {one["appointment_id"]: one["together_with"] for one in report.decisions}
    assert told == {first: None, second: first, third: first, alone: None}


@pytest.mark.parametrize("kind", [DAY_AHEAD, HOURS_AHEAD], ids=lambda kind: kind.command)
def test_a_report_says_between_which_hours_it_looked(
    desk: ReminderDesk, kind: ReminderKind
) -> None:
    report = desk.run(kind, dry_run=True)

    times = desk.settings.times_of(kind)
    now = desk.now.replace(tzinfo=desk.settings.clinic_timezone)
    assert report.due == 0
    assert report.window == (now + times.latest, now + times.lead + times.cadence / 2)
