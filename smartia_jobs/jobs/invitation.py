"""Inviting patients back after a no-show: who is due, and what forbids it."""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from functools import partial

from sqlalchemy import Connection

from smartia_jobs.appointment import Appointment, AppointmentStatus, Key
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.chats import Cancellations
from smartia_jobs.clinic.interactions import write_interactions
from smartia_jobs.clinic.no_show_visits import NoShowVisits
from smartia_jobs.clinic.rules.reengagement import ReengagementRule, veto
from smartia_jobs.clinic.vetoes import vetoes
from smartia_jobs.jobs.sender import OnlyTo, person
from smartia_jobs.outbox.source import Source
from smartia_jobs.outbox.tellings import rows_of
from smartia_jobs.report import Reason
from smartia_jobs.run import Run
from smartia_jobs.store.opt_outs import opted_out
from smartia_jobs.store.schema import tables_exist
from smartia_jobs.store.states import ACCEPTED, State
from smartia_jobs.store.told import told_since

#: The kind of its messages, in the outbox and in the catalogue.
KIND = "no_show"

#: States in which the patient has the invitation, or may have it, with the reason for the skip.
_TOLD: Mapping[State, Reason] = {
    **dict.fromkeys(ACCEPTED, Reason.ALREADY_SENT),
    State.CLAIMED: Reason.BEING_SENT_ELSEWHERE,
    State.UNKNOWN: Reason.HELD_UNKNOWN,
}

#: (appointment id, local day)
_Day = tuple[int, date | None]


def invitation(
    run: Run,
    appointments: Appointments,
    *,
    foreseen: Collection[int],
    cancellations: Cancellations,
) -> Source:
    """Return who is invited back: everybody whose no-show is due for it.

    Args:
        run: what to work with.
        appointments: SmartIA's.
        foreseen: visits that a dry run would have marked; they count as NO_SHOW.
        cancellations: which visits were cancelled in SmartIA's chat.

    Raises:
        ConfigurationError: ``ONLY_TO`` is wrong.
    """
    settings = run.settings
    rule = ReengagementRule.of(settings)
    visits = NoShowVisits(
        appointments,
        rule.window(run.now),
        identify=partial(person, country=settings.clinic_country),
        foreseen=foreseen,
    )
    return Source(
        kind=KIND,
        next_page=visits.next_page,
        reread=appointments.by_id,
        refusals=(OnlyTo(settings).refusal, rule.refusal),
        send_before=rule.send_before,
        write_interactions=write_interactions,
        vetoes=partial(_vetoes, run, visits, cancellations),
        to_patient=True,
    )


def _vetoes(
    run: Run,
    no_shows: NoShowVisits,
    cancellations: Cancellations,
    connection: Connection,
    visits: Collection[Appointment],
) -> Mapping[int, Reason]:
    """Return why these people are not invited: other visits, earlier messages, opt-outs."""
    others = no_shows.others(connection, visits)
    written_about = {*visits, *(one for found in others.values() for one in found)}
    cancelled = cancellations.among(
        connection, {one for one in written_about if one.status is AppointmentStatus.NO_SHOW}
    )
    vetoed = vetoes(run, connection, visits)
    told: Mapping[_Day, Mapping[datetime, Reason]] = {}
    invited: Mapping[str, set[Key]] = {}
    silent: set[str] = set()
    if not run.dry_run or tables_exist(connection):
        told = _told(connection, {visit.id for visit in visits})
        people = {no_shows.identify(visit) for visit in visits}
        invited = told_since(connection, KIND, people, run.now - run.settings.reengage_within)
        silent = opted_out(connection, people)
    reasons: dict[int, Reason | None] = {}
    for visit in visits:
        person_, beside = no_shows.identify(visit), others.get(visit.id, ())
        # The outbox itself judges a row at the visit's own time.
        rows = told.get(_day(visit), {}).items()
        already = next((reason for start, reason in rows if start != visit.start), None)
        if visit.id in vetoed:
            reasons[visit.id] = vetoed[visit.id]
        elif person_ in silent:
            reasons[visit.id] = Reason.OPTED_OUT
        elif already is None and invited.get(person_, set()) - {(visit.id, visit.start)}:
            reasons[visit.id] = Reason.ALREADY_INVITED
        else:
            reasons[visit.id] = already or veto(
                visit, beside, due=no_shows.window, cancelled=cancelled
            )
    return {appointment_id: reason for appointment_id, reason in reasons.items() if reason}


def _told(connection: Connection, ids: Collection[int]) -> Mapping[_Day, Mapping[datetime, Reason]]:
    """Return for which day and time patients were, or may have been, invited.

    Only the day counts: correcting the time of a no-show invites nobody twice.
    """
    told: dict[_Day, dict[datetime, Reason]] = {}
    for appointment_id, rows in rows_of(connection, KIND, ids).items():
        for row in rows:
            if row.state in _TOLD:
                day = appointment_id, row.start.date()
                told.setdefault(day, {})[row.start] = _TOLD[row.state]
    return told


def _day(visit: Appointment) -> _Day:
    return visit.id, visit.start.date() if visit.start else None
