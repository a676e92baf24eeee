"""A dry run: the decision for each appointment, with its reason; nothing is sent or written."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from sqlalchemy import Connection

from smartia_jobs.appointment import Appointment, PersonDay
from smartia_jobs.message import Unsendable
from smartia_jobs.outbox.claims import Claimant, judge
from smartia_jobs.outbox.recovery import lost_claims
from smartia_jobs.outbox.sender import Sender
from smartia_jobs.outbox.source import Source
from smartia_jobs.outbox.tellings import Known, look_up
from smartia_jobs.phones import mask_phone
from smartia_jobs.report import Outcome, Reason, Result
from smartia_jobs.run import Run
from smartia_jobs.store.schema import tables_exist
from smartia_jobs.store.states import State

#: A person-day, and the reasons against visits of its page, by id.
_Decided = tuple[PersonDay, Mapping[int, Reason | None]]


def preview(run: Run, source: Source, sender: Sender) -> Iterator[Outcome]:
    """Yield what a run at this moment would do with each appointment, in the order of visits.

    Our tables are not created: where they are missing, nothing was sent yet.
    """
    claimant = replace(Claimant.of(run), now=run.now)
    messages = 0
    while (decisions := _page(run, source, sender, claimant)) is not None:
        for day, reasons in decisions:
            full = run.limit is not None and messages >= run.limit
            outcomes = [_decision(run, sender, visit, reasons, full=full) for visit in day]
            told = [one.appointment_id for one in outcomes if one.result is Result.WOULD_SEND]
            messages += bool(told)
            for one in outcomes:
                follows = one.appointment_id in told[1:]
                yield replace(one, together_with=told[0]) if follows else one


def _page(run: Run, source: Source, sender: Sender, claimant: Claimant) -> list[_Decided] | None:
    """Read and judge the next page in a transaction of its own; None after the last."""
    with run.database.read() as connection:
        page = source.next_page(connection)
        if page is None:
            return None
        visits = [visit for day in page for visit in day]
        if tables_exist(connection):
            known = _as_recovered(connection, source, look_up(connection, source, sender, visits))
        else:
            known = Known({}, {}, source.vetoes(connection, visits))
    reasons = {v.id: judge(source, sender, v, v, known, claimant).reason for v in visits}
    return [(day, reasons) for day in page]


def _as_recovered(connection: Connection, source: Source, known: Known) -> Known:
    """Return the rows as a real run would find them after its recovery."""
    lost = lost_claims(connection, source.kind)
    rows = {
        appointment_id: [
            replace(row, state=State.UNKNOWN) if row.id in lost else row for row in theirs
        ]
        for appointment_id, theirs in known.rows.items()
    }
    return replace(known, rows=rows)


def _decision(
    run: Run,
    sender: Sender,
    visit: Appointment,
    reasons: Mapping[int, Reason | None],
    *,
    full: bool,
) -> Outcome:
    phone = mask_phone(visit.phone, run.settings.clinic_country)
    outcome = Outcome(visit.id, Result.WOULD_SEND, start=visit.start, phone=phone)
    reason = reasons[visit.id]
    if reason is not None:
        return replace(outcome, result=Result.SKIPPED, reason=reason)
    if full:
        return replace(outcome, result=Result.LEFT)
    address = sender.address(visit)
    if isinstance(address, Unsendable):
        return replace(outcome, result=Result.FAILED, reason=address.reason)
    return outcome
