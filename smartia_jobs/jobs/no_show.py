"""The no-show job: mark visits that nobody came to, and invite their patients back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.catalogue.loading import load_catalogue
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.chats import Cancellations
from smartia_jobs.clinic.no_shows import (
    Attendance,
    count_attendance,
    count_left_open,
    find_no_shows,
)
from smartia_jobs.clinic.rules.no_shows import NoShowRule
from smartia_jobs.clinic.rules.reengagement import ReengagementRule
from smartia_jobs.clinic.vetoes import said_no
from smartia_jobs.errors import ExitStatus, UsageError
from smartia_jobs.jobs.invitation import KIND, invitation
from smartia_jobs.jobs.marking import mark_visits, take_back
from smartia_jobs.jobs.opening import open_clinic
from smartia_jobs.jobs.sender import WhatsAppSender, person_of
from smartia_jobs.jobs.sending import expect, new_report, send_due
from smartia_jobs.jobs.unreadable import judge, note_dates_out_of_reach
from smartia_jobs.phones import mask_phone
from smartia_jobs.report import MOST_NAMED, Outcome, Reason, Report, Result
from smartia_jobs.run import Run
from smartia_jobs.settings import Settings
from smartia_jobs.store.schema import tables_exist
from smartia_jobs.store.status_changes import marked, marks_of

COMMAND = "no-show"

#: Why visits are not marked, in words about their patients.
_KEPT = {
    Reason.CANCELLED_BY_CHAT: "cancelled in SmartIA's chat",
    Reason.SAID_NO: "answered that they cannot come",
}

#: When this many visits are over and none is COMPLETED, nobody is recording who comes.
_ATTENDANCE_EXPECTED_FROM = 20


def mark_no_shows(run: Run, *, mark_all: bool = False, invite: bool = True) -> Report:
    """Mark every no-show, once, and invite its patient back, once.

    Whom to invite depends on the visits' status alone: a crash after the marking loses nobody, and
    visits that the reception has marked count as well.

    Args:
        run: what to work with.
        mark_all: mark even more visits than ``NO_SHOW_BRAKE``.
        invite: send messages; without it, and where ``INVITATIONS`` is 0, visits are only marked.

    Raises:
        ConfigurationError: a setting, the catalogue or the schema is wrong; nothing was done.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read or written.
    """
    report = new_report(run, COMMAND)
    appointments = open_clinic(run)
    note_dates_out_of_reach(run, report)
    cancellations = Cancellations(partial(person_of, country=run.settings.clinic_country))
    past = _look_back(run, appointments, cancellations)
    report.extra = {"marked": 0, "left_open": past.left_open}
    report.warnings += _warnings(run.settings, past)
    judge(report, past.unreadable, looked_at=past.looked_at)
    brake = _brake(run.settings, past, mark_all=mark_all)
    if brake is not None:
        report.stop(brake, ExitStatus.CONFIGURATION)
        return report
    foreseen = {visit.id for visit in past.no_shows} if run.dry_run else set()
    source = sender = None
    if invite and run.settings.invitations:
        template = load_catalogue(run.settings.messages_file)[KIND]
        sender = WhatsAppSender(run.settings, template, run.clock)
        source = invitation(run, appointments, foreseen=foreseen, cancellations=cancellations)
    country = run.settings.clinic_country
    if run.dry_run:
        report.extra["would_mark"] = len(past.no_shows)
        for visit in past.no_shows:
            why, phone = f"still {visit.status} after it was over", mask_phone(visit.phone, country)
            report.decide(visit.id, visit.start, "would_mark", why, phone=phone)
    else:
        report.extra["marked"] = mark_visits(run, appointments, past.no_shows)
    for visit, reason in past.kept:
        phone = mask_phone(visit.phone, country)
        report.add(Outcome(visit.id, Result.SKIPPED, reason, start=visit.start, phone=phone))
    if source is not None and sender is not None:
        window = ReengagementRule.of(run.settings).window(run.now)
        expect(run, appointments, window, statuses={AppointmentStatus.NO_SHOW})
        send_due(run, source, sender, report)
    return report


def undo_no_shows(run: Run, marked_by: str) -> Report:
    """Give the visits that one run has marked their status back, where they are still NO_SHOW.

    It is remembered that they were marked, so no later run marks them again. Invitations that are
    not sent yet stop by themselves, because the status is read again before each is claimed.

    Args:
        run: what to work with.
        marked_by: the id of the run that marked them, as its report showed it.

    Raises:
        UsageError: that run has marked nothing.
    """
    report = new_report(run, COMMAND)
    appointments = open_clinic(run)
    with run.database.read() as connection:
        marks = marks_of(connection, marked_by) if tables_exist(connection) else []
    if not marks:
        raise UsageError("--undo takes the run_id of a run that has marked visits; this is none.")
    standing = [mark for mark in marks if not mark.undone]
    restored = take_back(run, appointments, standing)
    word = "would_restore" if run.dry_run else "restored"
    report.extra = {
        word: restored,
        "left_alone": len(standing) - restored,
        "already_undone": len(marks) - len(standing),
    }
    return report


@dataclass(frozen=True, slots=True)
class _Past:
    """What a run finds in the look-back, before it marks anything.

    Attributes:
        no_shows: what is to be marked, earliest first: never marked before for this start.
        kept: other open visits that are over, whose patients cancelled in SmartIA's chat or
            answered that they cannot come; with the reason.
        attendance: whether anybody records who comes.
        left_open: open visits that are too old to be marked.
        unreadable: visits of the look-back that cannot be understood, by the column.
    """

    no_shows: tuple[Appointment, ...]
    kept: tuple[tuple[Appointment, Reason], ...]
    attendance: Attendance
    left_open: int
    unreadable: Mapping[str, int]

    @property
    def looked_at(self) -> int:
        """How many visits of the look-back are no-shows, may become some, or took place."""
        seen = self.attendance.missing + self.attendance.completed
        return seen + sum(self.unreadable.values())


def _look_back(run: Run, appointments: Appointments, cancellations: Cancellations) -> _Past:
    rule, times = NoShowRule.of(run.settings), appointments.times
    with run.database.read() as connection:
        found = find_no_shows(connection, appointments, rule, run.now)
        known = tables_exist(connection)
        before = marked(connection, {visit.id for visit in found.no_shows}) if known else set()
        new = [visit for visit in found.no_shows if (visit.id, visit.start) not in before]
        reasons = dict.fromkeys(cancellations.among(connection, new), Reason.CANCELLED_BY_CHAT)
        if known:
            reasons |= dict.fromkeys(said_no(connection, new, run=run), Reason.SAID_NO)
        return _Past(
            no_shows=tuple(visit for visit in new if visit.id not in reasons),
            kept=tuple((visit, reasons[visit.id]) for visit in new if visit.id in reasons),
            attendance=count_attendance(connection, appointments, rule, run.now),
            left_open=count_left_open(connection, times, rule, run.now),
            unreadable={
                "appointments.status": found.unreadable_statuses,
                "appointments.appointment_date": found.unreadable_dates,
            },
        )


def _brake(settings: Settings, past: _Past, *, mark_all: bool) -> str | None:
    """Return why nothing may be marked, and what to do; None when marking is fine."""
    reasons = []
    seen, missing = past.attendance.completed, past.attendance.missing
    unattended = missing >= _ATTENDANCE_EXPECTED_FROM and not seen
    if unattended and not settings.no_show_without_attendance:
        reasons.append(
            f"{missing} visits are over and not one is COMPLETED, so nobody seems to record who"
            " comes, and everyone would be marked: set visits that took place to COMPLETED, or"
            " set NO_SHOW_WITHOUT_ATTENDANCE=1"
        )
    if len(past.no_shows) > settings.no_show_brake and not mark_all:
        reasons.append(
            f"{len(past.no_shows)} visits would be marked, more than NO_SHOW_BRAKE"
            f" ({settings.no_show_brake}): look at them with --dry-run --mark-all, and if they"
            " are right, go on with --mark-all"
        )
    return f"nothing was marked or sent; {'; '.join(reasons)}" if reasons else None


def _warnings(settings: Settings, past: _Past) -> Iterator[str]:
    if past.left_open:
        days = settings.no_show_lookback / timedelta(days=1)
        yield (
            f"Still open, begun more than {days:g} days ago, never marked: {past.left_open}."
            " The reception should close them."
        )
    if unreadable := sum(past.unreadable.values()):
        yield f"Left alone, as their status or date cannot be read: {unreadable}."
    for reason, how in _KEPT.items():
        kept = [visit for visit, why in past.kept if why is reason]
        if kept:
            named = ", ".join(str(visit.id) for visit in kept[:MOST_NAMED])
            more = ", …" if len(kept) > MOST_NAMED else ""
            yield (
                f"Still open although their patients {how}, so neither marked nor invited:"
                f" {len(kept)} (appointments {named}{more}). The reception should close them."
            )
