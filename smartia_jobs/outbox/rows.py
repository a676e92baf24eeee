"""Reading outbox rows, and the pure decision what an existing row allows."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from smartia_jobs.outbox.states import ACCEPTED, State
from smartia_jobs.outbox.tables import outbox
from smartia_jobs.report import Reason


@dataclass(frozen=True, slots=True)
class Row:
    """One outbox row, as far as deciding needs it."""

    id: int
    state: State
    run_id: str
    phone: str | None
    resends: int


#: (appointment id, wall-clock start)
Key = tuple[int, datetime]


def rows_of(connection: Connection, kind: str, ids: Collection[int]) -> dict[Key, Row]:
    """Return the rows of one kind for these appointments, at whichever start."""
    query = select(
        outbox.c.id,
        outbox.c.appointment_id,
        outbox.c.start,
        outbox.c.state,
        outbox.c.run_id,
        outbox.c.phone,
        outbox.c.resends,
    ).where(outbox.c.appointment_id.in_(sorted(ids)), outbox.c.kind == kind)
    return {
        (row.appointment_id, row.start): Row(
            row.id, State(row.state), row.run_id, row.phone, row.resends
        )
        for row in connection.execute(query)
    }


def obstacle(
    row: Row,
    *,
    run_id: str,
    in_flight: Collection[int],
    phone: str | None,
    resend_unknown: bool,
) -> Reason | None:
    """Return why this row forbids a message; None when it may be claimed anew.

    Args:
        row: what the outbox remembers of (appointment, kind, start).
        run_id: this process, and no other.
        in_flight: rows whose message this process is sending, or whose outcome it has not
            recorded yet: its dispatcher knows them, the rows do not tell.
        phone: the patient's canonical phone now, to tell whether a failed number was mended.
        resend_unknown: whether the clinic chose ``ON_UNKNOWN=resend``.
    """
    if row.state in ACCEPTED:
        return Reason.ALREADY_SENT
    if row.state is State.CLAIMED:
        # A claim of this process that its dispatcher does not know of was committed although
        # the database's answer got lost: nobody is sending it.
        stray = row.run_id == run_id and row.id not in in_flight
        return None if stray else Reason.BEING_SENT_ELSEWHERE
    if row.state is State.UNKNOWN:
        once_more = resend_unknown and row.resends == 0 and row.run_id != run_id
        return None if once_more else Reason.HELD_UNKNOWN
    if row.state is State.FAILED:
        return Reason.ALREADY_FAILED if row.phone == phone else None
    return None  # RETRY and EXPIRED were never accepted
