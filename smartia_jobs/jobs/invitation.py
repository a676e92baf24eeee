"""The errand of inviting patients back after a missed visit, and what speaks against it."""

from collections.abc import Collection, Mapping
from functools import partial

from sqlalchemy import Connection

from smartia_jobs.appointment import Appointment
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.reengagement import MissedVisits, ReengagementRule, veto
from smartia_jobs.jobs.clinic_calendar import ClinicCalendar
from smartia_jobs.jobs.courier import OnlyTo, WhatsAppCourier, person
from smartia_jobs.messages.catalogue import load_catalogue
from smartia_jobs.outbox.errand import Errand
from smartia_jobs.outbox.opt_outs import opted_out
from smartia_jobs.outbox.rows import rows_of
from smartia_jobs.outbox.schema import tables_exist
from smartia_jobs.outbox.states import ACCEPTED, State
from smartia_jobs.report import Reason
from smartia_jobs.run import Run

#: The kind of its messages, in the outbox and in the catalogue.
KIND = "no_show"

#: The patient has the invitation, or may have it.
_TOLD = ACCEPTED | {State.CLAIMED, State.UNKNOWN}


def invitation(run: Run, appointments: Appointments, *, foreseen: Collection[int]) -> Errand:
    """Return the errand of inviting everybody back whose missed visit is due for it.

    Args:
        run: what to work with.
        appointments: the questions asked of the clinic's database.
        foreseen: visits that a dry run would have marked: to be read as NO_SHOW.

    Raises:
        ConfigurationError: the catalogue or ``ONLY_TO`` is wrong.
    """
    settings = run.settings
    template = load_catalogue(settings.messages_file)[KIND]
    courier = WhatsAppCourier(settings, template, run.clock)
    rule = ReengagementRule.of(settings)
    visits = MissedVisits(
        appointments,
        rule.window(run.now),
        identify=partial(person, country=settings.clinic_country),
        foreseen=foreseen,
    )
    calendar = ClinicCalendar(
        appointments=appointments,
        pages=visits.next_page,
        refusals=(OnlyTo(settings).refusal, rule.refusal),
        until=rule.send_before,
        ask_vetoes=partial(_vetoes, run, visits),
    )
    return Errand(
        kind=KIND,
        template=template.name,
        workers=courier.workers,
        calendar=calendar,
        courier=courier,
        resend_unknown=settings.on_unknown == "resend",
    )


def _vetoes(
    run: Run, missed: MissedVisits, connection: Connection, visits: Collection[Appointment]
) -> Mapping[int, Reason]:
    """Ask what else these people have in the book, what they were told, and who opted out."""
    others = missed.others(connection, visits)
    told: set[int] = set()
    silent: set[str] = set()
    if not run.dry_run or tables_exist(connection):
        told = _told(connection, [other for found in others.values() for other in found])
        silent = opted_out(connection, {missed.identify(visit) for visit in visits})
    reasons = {
        visit.id: Reason.OPTED_OUT
        if missed.identify(visit) in silent
        else veto(visit, others.get(visit.id, ()), due=missed.window, told=told)
        for visit in visits
    }
    return {appointment_id: reason for appointment_id, reason in reasons.items() if reason}


def _told(connection: Connection, visits: Collection[Appointment]) -> set[int]:
    """Return which of these visits their patient was, or may have been, written to about."""
    rows = rows_of(connection, KIND, {visit.id for visit in visits})
    told = {key for key, row in rows.items() if row.state in _TOLD}
    return {visit.id for visit in visits if (visit.id, visit.start) in told}
