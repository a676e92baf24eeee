"""What SmartIA's own webhook stored: the INCOMING rows of its ``interactions``, as values.

It checks no signature. It stores a status as a message of the patient whose text is the status and
whose id is that of our message, without the reason of a failure. Of a button it keeps the label.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Text, cast, func, select

from smartia_jobs.clinic.tables import interactions, patients
from smartia_jobs.clinic.times import read_booked_at
from smartia_jobs.incoming import Delivery, PatientAnswer, Source, Status
from smartia_jobs.phones import canonical_phone

#: Rows read at once.
PAGE_SIZE = 1000
#: What our own columns can hold.
_LONGEST_ID, _LONGEST_TEXT, _LONGEST_PHONE = 255, 4096, 64

_STATUS, _ANSWERS = "status", ("text", "button")
_DELIVERIES = {str(delivery): delivery for delivery in Delivery}


@dataclass(frozen=True, slots=True)
class Page:
    """What a page of interactions says.

    Attributes:
        statuses: of our messages and SmartIA's.
        answers: what patients wrote or tapped.
        last: the greatest id that was read; None when there was none.
        is_last: nothing follows.
    """

    statuses: Sequence[Status]
    answers: Sequence[PatientAnswer]
    last: int | None
    is_last: bool


def newest_interaction(connection: Connection) -> int:
    """Return the greatest id there is; 0 when there is none."""
    newest: int | None = connection.execute(select(func.max(interactions.c.id))).scalar_one()
    return newest or 0


def incoming_after(
    connection: Connection, seen: int, *, country: str, since: datetime, now: datetime
) -> Page:
    """Return what the next interactions after an id say, in their order.

    Args:
        connection: inside a short transaction.
        seen: begin after this id.
        country: of phones without a country code.
        since: older rows are left out: nobody needs them any more.
        now: the time of rows without one.
    """
    # As text: enums differ in the case of their labels, and on PostgreSQL a comparison with a label
    # that does not exist is an error.
    type_ = func.lower(cast(interactions.c.message_type, Text))
    query = (
        select(
            interactions.c.id,
            type_.label("type"),
            cast(interactions.c.message_text, Text).label("text"),
            cast(interactions.c.provider_message_id, Text).label("message_id"),
            interactions.c.created_at,
            patients.c.phone_number,
        )
        .join_from(interactions, patients, patients.c.id == interactions.c.patient_id, isouter=True)
        .where(
            interactions.c.id > seen,
            func.lower(cast(interactions.c.type, Text)) == "incoming",
            type_.in_([_STATUS, *_ANSWERS]),
        )
        .order_by(interactions.c.id)
        .limit(PAGE_SIZE)
    )
    rows = connection.execute(query).all()
    statuses: list[Status] = []
    answers: list[PatientAnswer] = []
    for row in rows:
        said_at = read_booked_at(row.created_at) or now
        if said_at < since:
            continue
        if row.type != _STATUS:
            answers.append(_answer(row, said_at, country))
        elif (status := _status(row, said_at)) is not None:
            statuses.append(status)
    return Page(statuses, answers, rows[-1].id if rows else None, len(rows) < PAGE_SIZE)


def _status(row: Row[Any], said_at: datetime) -> Status | None:
    delivery = _DELIVERIES.get(str(row.text or "").strip().lower())
    wamid = row.message_id
    if delivery is None or not wamid or len(wamid) > _LONGEST_ID:
        return None
    return Status(wamid, delivery, said_at)


def _answer(row: Row[Any], said_at: datetime, country: str) -> PatientAnswer:
    phone = canonical_phone(row.phone_number, country)
    digits = row.phone_number if phone is None else phone.removeprefix("+")
    known = row.message_id and len(row.message_id) <= _LONGEST_ID
    return PatientAnswer(
        message_id=row.message_id if known else f"smartia:{row.id}",
        source=Source.SMARTIA,
        phone=digits and str(digits)[:_LONGEST_PHONE],
        type=row.type,
        said_at=said_at,
        text=row.text and row.text[:_LONGEST_TEXT],
    )
