"""A dry run: the decision for each appointment, with its reason; nothing is sent or written."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from sqlalchemy import Connection

from smartia_jobs.appointment import Appointment
from smartia_jobs.message import Unsendable
from smartia_jobs.outbox.claims import Claimant, objection
from smartia_jobs.outbox.errand import Errand
from smartia_jobs.outbox.recovery import lost_claims
from smartia_jobs.outbox.rows import Key, Row, rows_of
from smartia_jobs.outbox.schema import tables_exist
from smartia_jobs.outbox.states import State
from smartia_jobs.report import Outcome, Reason, Result
from smartia_jobs.run import Run

#: A person-day, and the reasons against visits of its page, by id.
_Decided = tuple[tuple[Appointment, ...], Mapping[int, Reason | None]]


def preview(run: Run, errand: Errand) -> Iterator[Outcome]:
    """Yield what a run at this moment would do with each appointment, in the order of visits.

    Our tables are not made: where they are missing, nothing was sent yet.
    """
    claimant = replace(Claimant.of(run), now=run.now)
    messages = 0
    while (decisions := _page(run, errand, claimant)) is not None:
        for day, reasons in decisions:
            full = run.limit is not None and messages >= run.limit
            outcomes = [_decision(errand, visit, reasons, full=full) for visit in day]
            messages += any(one.result is Result.WOULD_SEND for one in outcomes)
            yield from outcomes


def _page(run: Run, errand: Errand, claimant: Claimant) -> list[_Decided] | None:
    """Read and judge the next page in a transaction of its own; None after the last."""
    with run.database.read() as connection:
        page = errand.calendar.next_page(connection)
        if page is None:
            return None
        visits = [visit for day in page for visit in day]
        ids = {visit.id for visit in visits}
        rows = _rows(connection, errand, ids) if tables_exist(connection) else {}
        vetoes = errand.calendar.vetoes(connection, visits)
    reasons = {v.id: objection(errand, v, v, rows, vetoes, claimant) for v in visits}
    return [(day, reasons) for day in page]


def _rows(connection: Connection, errand: Errand, ids: Collection[int]) -> Mapping[Key, Row]:
    """Return the rows as a run would find them once it had mended what dead owners left."""
    lost = lost_claims(connection, errand.kind)
    return {
        key: replace(row, state=State.UNKNOWN) if row.id in lost else row
        for key, row in rows_of(connection, errand.kind, ids).items()
    }


def _decision(
    errand: Errand, visit: Appointment, reasons: Mapping[int, Reason | None], *, full: bool
) -> Outcome:
    outcome = Outcome(
        visit.id, Result.WOULD_SEND, start=visit.start, phone=errand.courier.mask(visit.phone)
    )
    reason = reasons[visit.id]
    if reason is not None:
        return replace(outcome, result=Result.SKIPPED, reason=reason)
    if full:
        return replace(outcome, result=Result.LEFT)
    address = errand.courier.address(visit)
    if isinstance(address, Unsendable):
        return replace(outcome, result=Result.FAILED, reason=address.reason)
    return outcome
