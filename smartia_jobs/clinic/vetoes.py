"""Vetoes against a message: what people answered or asked for, or that none reaches them."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, select

from smartia_jobs.appointment import Appointment
from smartia_jobs.database import any_of, chunks
from smartia_jobs.incoming import SAYS_NO, Meaning
from smartia_jobs.phones import canonical_phone
from smartia_jobs.report import Reason
from smartia_jobs.run import Run
from smartia_jobs.store.effects import Effect
from smartia_jobs.store.opt_outs import wants_no_message
from smartia_jobs.store.schema import tables_exist
from smartia_jobs.store.states import State
from smartia_jobs.store.tables import answers, outbox, status_changes

#: How long after the visit's time an answer's veto lasts.
_VETOED_FOR = timedelta(days=7)
#: WhatsApp's code for a phone that it cannot reach, and how long that is believed.
_UNREACHABLE, _ASKED_AGAIN_AFTER = 131026, timedelta(days=7)


def said_no(connection: Connection, visits: Collection[Appointment], *, run: Run) -> set[int]:
    """Return the visits whose patients said that they cannot come, or want another time.

    Such an answer belongs to its visit at that start, recipient and status. It ends when anybody
    changes one of these, when a person settles it, or a week after the visit.
    """
    by_id = {visit.id: visit for visit in visits if visit.start_at is not None}
    country, found = run.settings.clinic_country, set()
    for ids in chunks(by_id):
        for row in connection.execute(_noes(), {"ids": ids}):
            visit = by_id[row.appointment_id]
            same = (visit.patient_id, visit.start, visit.status) == (
                row.patient_id,
                row.start,
                row.after,
            )
            lately = visit.start_at is not None and run.now < visit.start_at + _VETOED_FOR
            theirs = row.phone in (None, canonical_phone(visit.phone, country))
            if same and lately and theirs:
                found.add(visit.id)
    return found


def vetoes(
    run: Run, connection: Connection, visits: Collection[Appointment]
) -> Mapping[int, Reason]:
    """Return the vetoes against messages about these visits, by id.

    Asked again in the transaction that claims, in a few queries however many visits there are.
    """
    if not visits or (run.dry_run and not tables_exist(connection)):
        return {}
    country = run.settings.clinic_country
    phones = {visit.id: canonical_phone(visit.phone, country) for visit in visits}
    known = {phone for phone in phones.values() if phone is not None}
    silent = wants_no_message(connection, known)
    disputed = _disputed(connection, known)
    unreachable = _unreachable(connection, known, run)
    cannot_come = said_no(connection, visits, run=run)
    reasons: dict[int, Reason] = {}
    for visit in visits:
        phone = phones[visit.id]
        if phone in silent:
            reasons[visit.id] = Reason.OPTED_OUT
        elif visit.id in cannot_come:
            reasons[visit.id] = Reason.SAID_NO
        elif phone in disputed:
            reasons[visit.id] = Reason.NUMBER_DISPUTED
        elif phone in unreachable:
            reasons[visit.id] = Reason.UNREACHABLE
    return reasons


def _disputed(connection: Connection, phones: Collection[str]) -> set[str]:
    """Return the phones that somebody answered are not the patient's."""
    return set(connection.execute(_disputes(), {"phones": sorted(phones)}).scalars())


def _unreachable(connection: Connection, phones: Collection[str], run: Run) -> set[str]:
    """Return the phones that WhatsApp could not reach lately, and has not reached since."""
    wanted = {"phones": sorted(phones), "lately": run.now - _ASKED_AGAIN_AFTER}
    return {
        row.phone
        for row in connection.execute(_refusals(), wanted)
        if row.delivered_at is None or row.refused_at is None or row.delivered_at < row.refused_at
    }


@cache
def _noes() -> Select[Any]:
    return (
        select(
            status_changes.c.appointment_id,
            status_changes.c.patient_id,
            status_changes.c.start,
            status_changes.c.after,
            outbox.c.phone,
        )
        .join(answers, answers.c.id == status_changes.c.answer_id)
        .join(outbox, outbox.c.id == answers.c.outbox_id, isouter=True)
        .where(
            any_of(status_changes.c.appointment_id, "ids"),
            status_changes.c.undone_at.is_(None),
            *_unsettled(SAYS_NO),
        )
    )


@cache
def _disputes() -> Select[Any]:
    return (
        select(outbox.c.phone)
        .join(answers, answers.c.outbox_id == outbox.c.id)
        .where(any_of(outbox.c.phone, "phones"), *_unsettled((Meaning.NOT_ME,)))
    )


@cache
def _refusals() -> Select[Any]:
    refused = (outbox.c.state == str(State.UNDELIVERED)) & (outbox.c.error_code == _UNREACHABLE)
    lately = bindparam("lately", type_=outbox.c.updated_at.type)
    return (
        select(
            outbox.c.phone,
            func.max(outbox.c.sent_at).filter(refused).label("refused_at"),
            func.max(outbox.c.delivered_at).label("delivered_at"),
        )
        .where(any_of(outbox.c.phone, "phones"))
        .group_by(outbox.c.phone)
        .having(func.max(outbox.c.updated_at).filter(refused) > lately)
    )


def _unsettled(meanings: Collection[str]) -> tuple[ColumnElement[bool], ...]:
    return (
        answers.c.meaning.in_(meanings),
        answers.c.effect != Effect.UNDONE,
        answers.c.settled_at.is_(None),
    )
