"""The reminder jobs: tell every patient about the visit this run is nearest to, once."""

from collections.abc import Collection, Iterator, Mapping
from functools import partial

from sqlalchemy import Connection

from smartia_jobs.appointment import Appointment
from smartia_jobs.catalogue.loading import MessageTemplate, load_catalogue
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.interactions import write_interactions
from smartia_jobs.clinic.rules.reminders import EXPECTED, ReminderRule
from smartia_jobs.clinic.rules.window import Window
from smartia_jobs.clinic.visit_days import VisitDays
from smartia_jobs.errors import UsageError
from smartia_jobs.jobs.opening import open_clinic
from smartia_jobs.jobs.sender import OnlyTo, WhatsAppSender, person
from smartia_jobs.jobs.sending import expect, new_report, send_due
from smartia_jobs.jobs.time_to_live import outlives
from smartia_jobs.jobs.unreadable import note_dates_out_of_reach, note_unreadable
from smartia_jobs.kinds import ReminderKind
from smartia_jobs.outbox.sender import Sender
from smartia_jobs.outbox.source import Source
from smartia_jobs.report import MOST_NAMED, Reason, Report
from smartia_jobs.run import Run
from smartia_jobs.settings import Settings
from smartia_jobs.store.schema import tables_exist


def send_reminders(run: Run, kind: ReminderKind) -> Report:
    """Remind every patient whose visit this run is nearest to, once.

    Raises:
        ConfigurationError: a setting, the catalogue or the schema is wrong; nothing was sent.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    report = new_report(run, kind.command)
    catalogue = load_catalogue(run.settings.messages_file)
    kind, template = catalogue.reminders[kind.name], catalogue[kind.name]
    appointments = open_clinic(run)
    note_dates_out_of_reach(run, report)
    rule = ReminderRule.of(run.settings, kind, catalogue.reminders.get(kind.conditions.followed_by))
    window, zone = rule.window(run.now), run.settings.clinic_timezone
    report.window = window.from_at.astimezone(zone), window.until_at.astimezone(zone)
    report.warnings += _warnings(run.settings, template, kind, window)
    only_to = OnlyTo(run.settings)
    identify = partial(person, country=run.settings.clinic_country)
    source = Source(
        kind=kind.name,
        next_page=VisitDays(appointments, window, identify).next_page,
        reread=appointments.by_id,
        refusals=(only_to.refusal, rule.refusal),
        send_before=rule.send_before,
        write_interactions=write_interactions,
        vetoes=partial(_vetoes, run),
    )
    sender = WhatsAppSender(run.settings, template, run.clock)
    missed = _missed(run, source, sender, appointments, rule=rule, only_to=only_to)
    report.missed = len(missed)
    expect(run, appointments, window)
    send_due(run, source, sender, report)
    note_unreadable(report)
    if rule.followed_by is not None:  # the next kind takes over
        report.missed = 0
    if report.missed:
        more = ["…"] if report.missed > MOST_NAMED else []
        named = ", ".join([*map(str, missed[:MOST_NAMED]), *more])
        report.warnings.append(
            f"Too late to remind of {report.missed} visits that were booked in time"
            f"{f' (appointments {named})' if named else ''}: call the patients whose visit is"
            " still ahead, and see that the job runs when it should."
        )
    return report


def _vetoes(
    run: Run, connection: Connection, visits: Collection[Appointment]
) -> Mapping[int, Reason]:
    """Return why visits are not reminded of; without visits, load and ask nothing."""
    if not visits:
        return {}
    from smartia_jobs.clinic.vetoes import vetoes

    return vetoes(run, connection, visits)


def own_reminder(settings: Settings, name: str) -> ReminderKind:
    """Return a reminder that the clinic's own catalogue defines.

    Raises:
        UsageError: it defines none of this name.
        ConfigurationError: the catalogue is wrong.
    """
    reminders = load_catalogue(settings.messages_file).reminders
    own = {one: kind for one, kind in reminders.items() if kind.own}
    if name in own:
        return own[name]
    if name in reminders:
        raise UsageError(f"{name} is a command of its own; run: smartia-jobs {name}")
    raise UsageError(
        f"There is no reminder {name!r}; MESSAGES_FILE defines {', '.join(own) or 'none'}."
        " A section of it that has lead_hours is one."
    )


def _warnings(
    settings: Settings, template: MessageTemplate, kind: ReminderKind, window: Window
) -> Iterator[str]:
    """Yield what a person should fix; the run goes on."""
    if window.from_at > window.until_at:
        yield (
            f"{kind.name} reminds nobody, because {kind.conditions.followed_by} reminds of the same"
            f" visits: set {kind.setting('lead')} to more than its lead, or do without {kind.name}."
        )
    if (outliving := outlives(template, settings)) is not None:
        yield outliving


def _missed(
    run: Run,
    source: Source,
    sender: Sender,
    appointments: Appointments,
    *,
    rule: ReminderRule,
    only_to: OnlyTo,
) -> list[int]:
    """Return the ids of visits, booked in time, that no run reminded of while it was useful.

    Visits that were already too near at the first run of a kind on a database do not count. Nothing
    is missed that another kind takes over.
    """
    missed: list[int] = []
    if rule.followed_by is not None:
        return missed
    window, after = rule.missed_window(run.now), None
    while True:
        with run.database.read() as connection:
            page = appointments.page(connection, window, after=after, statuses=EXPECTED)
            visits = [
                visit
                for visit in page.appointments
                if rule.could_have_been_reminded(visit) and only_to.refusal(visit, run.now) is None
            ]
            if visits:
                missed += _untold(connection, source, sender, visits, rule)
        if page.next is None:
            return missed
        after = page.next


def _untold(
    connection: Connection,
    source: Source,
    sender: Sender,
    visits: Collection[Appointment],
    rule: ReminderRule,
) -> list[int]:
    """Return the ids of those visits that were booked in time, and of which nobody was told."""
    from smartia_jobs.outbox.tellings import rows_of, told_by_another
    from smartia_jobs.store.reminded import first_used_at

    first_at = first_used_at(connection, source.kind) if tables_exist(connection) else None
    visits = [visit for visit in visits if rule.was_in_time(visit, first_at)]
    rows = rows_of(connection, source.kind, {visit.id for visit in visits})
    visits = [
        visit for visit in visits if all(row.start != visit.start for row in rows.get(visit.id, ()))
    ]
    told = told_by_another(connection, source, sender, visits)
    vetoed = source.vetoes(connection, visits)
    return [visit.id for visit in visits if visit.id not in {*told, *vetoed}]
