"""Statuses from WhatsApp, applied to the rows they are about: on both engines."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import combinations, count
from typing import Any

import pytest
from sqlalchemy import event, insert, select, update

from smartia_jobs.clock import ShiftedClock
from smartia_jobs.database import Database, now_plus
from smartia_jobs.outbox.recovery import recover_lost
from smartia_jobs.outbox.statuses import Applied, Ignored, Rules, apply_statuses
from smartia_jobs.run import Run
from smartia_jobs.settings import Settings
from smartia_jobs.store.installation import installation_id
from smartia_jobs.store.schema import ensure
from smartia_jobs.store.states import State
from smartia_jobs.store.tables import opt_outs, outbox, statuses
from smartia_jobs.whatsapp.codes import explain_failure
from tests.support import Clinic

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SENT_AT = NOW - timedelta(hours=1)
MINUTE = timedelta(minutes=1)
#: When each status says that it happened.
SAID_AT = {
    "sent": NOW - 40 * MINUTE,
    "delivered": NOW - 30 * MINUTE,
    "read": NOW - 20 * MINUTE,
    "failed": NOW - 10 * MINUTE,
}

#: Codes that are the patient's, and Meta's own.
THEIRS, METAS = 131026, 131000

#: A row as each way to this state leaves it.
SENT_ROW: dict[str, Any] = {"state": "sent", "sent_at": SENT_AT, "message_id": "wamid"}
ROWS: Mapping[str, dict[str, Any]] = {
    "claimed": {"state": "claimed", "lease_until": now_plus("sqlite", 120)},
    "lapsed": {"state": "claimed", "lease_until": now_plus("sqlite", -1)},
    "sent": SENT_ROW,
    "delivered": SENT_ROW | {"state": "delivered", "delivered_at": NOW - 35 * MINUTE},
    "read": SENT_ROW
    | {"state": "read", "delivered_at": NOW - 35 * MINUTE, "read_at": NOW - 25 * MINUTE},
    "undelivered": SENT_ROW | {"state": "undelivered", "error_code": 131026, "error": "no"},
    "retry": SENT_ROW | {"state": "retry", "error_code": 131000, "error": "no"},
    "never accepted": {"state": "retry", "error_code": 131000, "error": "no"},
    "failed": {"state": "failed", "error_code": 131026, "error": "no"},
    "expired": {"state": "expired"},
    "unknown": {"state": "unknown", "error": "no answer"},
    "erased": SENT_ROW | {"phone": None, "message_id": None},
}
_as_if_sent = "sent delivered read undelivered retry sent… undelivered"
#: What the statuses make of each: sent, delivered, read, failed for the patient's sake; failed
#: for Meta's own, a while ago, just now, and when it is of no use any more. "…": it waits.
MATRIX = {
    "claimed": "claimed… claimed… claimed… claimed… claimed… claimed… claimed…",
    "lapsed": _as_if_sent,
    "sent": _as_if_sent,
    "delivered": "delivered delivered read delivered delivered delivered delivered",
    "read": "read read read read read read read",
    "undelivered": "undelivered delivered read undelivered undelivered undelivered undelivered",
    "retry": "retry delivered read retry retry retry retry",
    "never accepted": _as_if_sent,
    "failed": "failed delivered read failed failed failed failed",
    "expired": _as_if_sent,
    "unknown": _as_if_sent,
    "erased": _as_if_sent,
}


@dataclass
class StatusDesk:
    """The outbox of a clinic, and what WhatsApp says of its messages."""

    clinic: Clinic
    database: Database
    settings: Settings = field(default_factory=Settings)
    now: datetime = NOW
    installation: str = ""
    useful_until: datetime = NOW + timedelta(hours=5)
    _ids: Iterator[int] = field(default_factory=lambda: count(1))

    def row(self, **values: Any) -> int:
        """Write a row of the outbox and return its id; ``message_id`` gets that id at its end."""
        number = next(self._ids)
        row = {
            "id": number,
            "appointment_id": number,
            "kind": "24h",
            "start": datetime.fromisoformat("2026-11-24T09:00"),
            "patient_id": number,
            "phone": f"+55119876{number:05d}",
            "run_id": "the owner",
            "created_at": SENT_AT,
            "updated_at": SENT_AT,
            "claimed_at": SENT_AT,
            **values,
        }
        if row.get("message_id"):
            row["message_id"] = f"{row['message_id']}.{values.get('leader_id') or number}"
        if (lease := row.get("lease_until")) is not None:
            seconds = 120 if lease is ROWS["claimed"]["lease_until"] else -1
            row["lease_until"] = now_plus(self.database.dialect, seconds)
        with self.database.write() as connection:
            connection.execute(insert(outbox).values(row))
        return number

    def receive(
        self,
        row: int,
        status: str,
        code: int | None = None,
        *,
        wamid: str | None = None,
        callback: str | None = "",
        came_at: datetime | None = None,
        attempt: int = 1,
    ) -> None:
        """Store a status of a row's message, as the webhook does it."""
        with self.database.write() as connection:
            connection.execute(
                insert(statuses).values(
                    wamid=wamid or f"wamid.{row}",
                    status=status,
                    said_at=SAID_AT[status],
                    received_at=came_at or NOW - 9 * MINUTE,
                    callback=f"{self.installation}:{row}:{attempt}" if callback == "" else callback,
                    code=code,
                )
            )

    def apply(self, *, dry_run: bool = False, limit: int | None = None) -> Applied:
        """Take in what has come, as one run of ``replies``."""
        run = Run(
            id=f"replies-{next(_runs)}",
            settings=self.settings,
            clock=ShiftedClock(self.now, speed=0),
            database=self.database,
            now=self.now,
            dry_run=dry_run,
            limit=limit,
        )
        if not dry_run:
            recover_lost(run)
        return apply_statuses(run, Rules(explain_failure, lambda kind, start: self.useful_until))

    def state(self, row: int) -> str:
        """Return where a row stands; "…" says that a status of it still waits."""
        with self.database.read() as connection:
            state = connection.scalar(select(outbox.c.state).where(outbox.c.id == row))
            waiting = connection.scalars(
                select(statuses.c.wamid).where(statuses.c.applied_at.is_(None))
            ).all()
        return f"{state}{'…' if f'wamid.{row}' in waiting else ''}"

    def values(self, row: int) -> Any:
        """Return a row."""
        with self.database.read() as connection:
            return connection.execute(select(outbox).where(outbox.c.id == row)).one()


_runs = count(1)


@pytest.fixture(name="desk")
def status_desk(clinic: Clinic) -> Iterator[StatusDesk]:
    database = Database(clinic.url)
    ensure(database, auto_migrate=True)
    with database.read() as connection:
        installation = installation_id(connection)
    yield StatusDesk(clinic, database, installation=installation)
    database.close()


def test_every_status_moves_every_row_as_the_diagram_says(desk: StatusDesk) -> None:
    just_now = NOW - 4 * MINUTE
    told: list[tuple[str, dict[str, Any]]] = [
        ("sent", {}), ("delivered", {}), ("read", {}), ("failed", {"code": THEIRS}),
        ("failed", {"code": METAS}), ("failed", {"code": METAS, "came_at": just_now}),
    ]  # fmt: skip
    found: dict[str, list[str]] = {}
    for name, values in ROWS.items():
        rows = []
        for status, how in told:
            rows.append(desk.row(**values))
            desk.receive(rows[-1], status, **how)
        desk.apply()
        found[name] = [desk.state(row) for row in rows]
        useless = desk.row(**values)
        desk.receive(useless, "failed", METAS)
        desk.useful_until = NOW
        desk.apply()
        desk.useful_until = NOW + timedelta(hours=1)
        found[name].append(desk.state(useless))

    assert found == {name: states.split() for name, states in MATRIX.items()}


@pytest.mark.parametrize("code", [THEIRS, METAS])
def test_two_statuses_come_to_the_same_in_either_order(desk: StatusDesk, code: int) -> None:
    codes = {"failed": code}
    pairs = list(combinations(SAID_AT, 2))
    orders = [
        (name, pair, [desk.row(**values) for _ in range(3)])
        for name, values in ROWS.items()
        for pair in pairs
    ]
    for _, (one, other), (as_said, reversed_, _) in orders:
        desk.receive(as_said, one, codes.get(one))
        desk.receive(reversed_, other, codes.get(other))
    desk.apply()
    for _, (one, other), (as_said, reversed_, together) in orders:
        desk.receive(as_said, other, codes.get(other))
        desk.receive(reversed_, one, codes.get(one))
        desk.receive(together, other, codes.get(other))
        desk.receive(together, one, codes.get(one))

    desk.apply()

    columns = ("state", "sent_at", "delivered_at", "read_at", "error_code", "error", "claims")
    for name, pair, rows in orders:
        stand = [
            (desk.state(row), [getattr(desk.values(row), one) for one in columns]) for row in rows
        ]
        assert stand[0] == stand[1] == stand[2], (name, pair)


def test_an_unknown_message_is_settled_and_gets_its_id(desk: StatusDesk) -> None:
    rows = [desk.row(**ROWS["unknown"]) for _ in range(4)]
    for row, status in zip(rows, SAID_AT, strict=True):
        desk.receive(row, status, THEIRS if status == "failed" else None)

    applied = desk.apply()

    assert applied.settled == 4
    assert [desk.values(row).message_id for row in rows] == [f"wamid.{row}" for row in rows]
    assert [desk.values(row).sent_at for row in rows] == [SENT_AT] * 4
    # Its owner, should it live and answer late, has no say any more.
    assert {desk.values(row).run_id for row in rows}.isdisjoint({"the owner"})
    assert {desk.values(row).updated_at for row in rows} == {NOW}
    read = desk.values(rows[2])
    assert (read.delivered_at, read.read_at, read.error) == (SAID_AT["read"], SAID_AT["read"], None)
    undelivered = desk.values(rows[3])
    assert undelivered.error_code == THEIRS
    assert "perhaps it has no WhatsApp" in undelivered.error


def test_an_erased_person_gets_no_message_id_back(desk: StatusDesk) -> None:
    row = desk.row(**ROWS["erased"])
    desk.receive(row, "delivered")

    desk.apply()

    assert (desk.values(row).state, desk.values(row).message_id) == ("delivered", None)


def test_what_does_not_fit_touches_no_row(desk: StatusDesk) -> None:
    again = desk.row(**SENT_ROW | {"claims": 2})
    sent = desk.row(**SENT_ROW)
    before = [desk.values(row) for row in (again, sent)]
    desk.receive(again, "failed", THEIRS, wamid="earlier")
    desk.receive(sent, "failed", THEIRS, wamid="other")
    desk.receive(sent, "delivered", callback=f"another:{sent}:1")
    desk.receive(sent, "read", callback="42")
    desk.receive(999, "read", wamid="gone")
    desk.receive(999, "delivered", wamid="smartias", callback=None)

    applied = desk.apply()

    assert applied.ignored == {
        Ignored.EARLIER_TRY: 1,
        Ignored.ANOTHER_MESSAGE: 1,
        Ignored.NOT_OURS: 3,
        Ignored.ROW_GONE: 1,
    }
    assert applied.statuses == 6
    assert [desk.values(row) for row in (again, sent)] == before
    assert desk.apply().statuses == 0


def test_a_status_without_callback_data_finds_its_message_by_the_id_alone(desk: StatusDesk) -> None:
    sent, unknown = desk.row(**SENT_ROW), desk.row(**ROWS["unknown"])
    desk.receive(sent, "read", callback=None)
    desk.receive(unknown, "read", callback=None)

    applied = desk.apply()

    assert (desk.state(sent), desk.state(unknown)) == ("read", "unknown")
    assert applied.ignored == {Ignored.NOT_OURS: 1}


def test_a_status_that_overtook_its_senders_commit_waits_for_it(desk: StatusDesk) -> None:
    row = desk.row(**ROWS["claimed"])
    desk.receive(row, "delivered", callback=None, came_at=NOW - MINUTE)
    assert desk.apply().statuses == 0
    with desk.database.write() as connection:
        values = {"state": "sent", "message_id": f"wamid.{row}", "lease_until": None}
        connection.execute(update(outbox).where(outbox.c.id == row).values(values))

    desk.apply()

    assert desk.state(row) == "delivered"


def test_leader_and_followers_move_together(desk: StatusDesk) -> None:
    unknown = desk.row(**ROWS["unknown"])
    lost = [desk.row(**ROWS["unknown"] | {"leader_id": unknown, "phone": "+551198765000" + n})
            for n in "12"]  # fmt: skip
    phone = desk.values(unknown).phone
    with desk.database.write() as connection:
        connection.execute(update(outbox).where(outbox.c.id.in_(lost)).values(phone=phone))
    sent = desk.row(**SENT_ROW)
    phone = desk.values(sent).phone
    follower = desk.row(**SENT_ROW | {"leader_id": sent, "phone": phone})
    twin = desk.row(state="sent", leader_id=sent, phone=phone, run_id="a later run")
    desk.receive(unknown, "delivered")
    desk.receive(sent, "read", callback=None)

    applied = desk.apply()

    assert [desk.values(row).state for row in (unknown, *lost)] == ["delivered"] * 3
    assert {desk.values(row).message_id for row in (unknown, *lost)} == {f"wamid.{unknown}"}
    assert [desk.values(row).state for row in (sent, follower, twin)] == ["read"] * 3
    assert desk.values(twin).message_id == f"wamid.{sent}"
    assert applied.moved == {State.DELIVERED: 1, State.READ: 1}  # messages, not visits


def test_a_visit_that_was_not_told_again_with_its_leader_is_left_alone(desk: StatusDesk) -> None:
    leader = desk.row(**ROWS["unknown"] | {"claims": 2, "run_id": "a later run"})
    phone = desk.values(leader).phone
    states = ("unknown", "expired", "retry", "expired")
    stale = [desk.row(state=state, leader_id=leader, phone=phone) for state in states[:3]]
    # By the very run that sent the other: its visit was moved.
    stale.append(desk.row(state="expired", leader_id=leader, phone=phone, run_id="a later run"))
    desk.receive(leader, "read", attempt=2)

    desk.apply()

    assert desk.values(leader).state == "read"
    assert tuple(desk.values(row).state for row in stale) == states


def test_whoever_wants_no_marketing_is_put_on_the_list_once(desk: StatusDesk) -> None:
    one, other = desk.row(**SENT_ROW), desk.row(**SENT_ROW)
    typed = {"phone": desk.values(other).phone, "source": "person", "created_at": NOW}
    with desk.database.write() as connection:
        connection.execute(insert(opt_outs).values(typed))
    desk.receive(one, "failed", 131050)
    desk.receive(other, "failed", 131050)

    desk.apply()

    rows = desk.clinic.rows("SELECT phone, source, scope FROM smartia_opt_outs ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [
        (desk.values(other).phone, "person", "invitations"),
        (desk.values(one).phone, "whatsapp", "invitations"),
    ]


def test_a_young_failure_waits_for_a_word_that_it_did_arrive(desk: StatusDesk) -> None:
    contradicted, alone = desk.row(**SENT_ROW), desk.row(**SENT_ROW)
    for row in (contradicted, alone):
        desk.receive(row, "failed", METAS, came_at=NOW - 4 * MINUTE)
    desk.apply()
    assert [desk.state(row) for row in (contradicted, alone)] == ["sent…", "sent…"]
    desk.receive(contradicted, "delivered")
    desk.now = NOW + 2 * MINUTE

    applied = desk.apply()

    assert [desk.state(row) for row in (contradicted, alone)] == ["delivered", "retry"]
    assert applied.moved == {State.DELIVERED: 1, State.RETRY: 1}
    assert desk.values(alone).message_id == f"wamid.{alone}"


def test_a_failure_is_overruled_by_a_stored_word_that_is_still_to_be_taken_in(
    desk: StatusDesk,
) -> None:
    row = desk.row(**SENT_ROW)
    desk.receive(row, "failed", METAS)
    desk.receive(row, "delivered")

    states = [desk.apply(limit=1) and desk.state(row) for _ in range(2)]

    assert states == ["sent…", "delivered"]


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(desk: StatusDesk) -> None:
    rows = [desk.row(**ROWS[name]) for name in ("lapsed", "sent", "claimed")]
    for row in rows:
        desk.receive(row, "delivered")
    before = [desk.values(row) for row in rows]
    with_nothing = Database(desk.clinic.url, read_only=True)

    applied = replace(desk, database=with_nothing).apply(dry_run=True)

    with_nothing.close()
    assert (applied.statuses, applied.settled) == (2, 1)
    assert [move.appointment_id for move in applied.moves] == rows[:2]
    assert [desk.values(row) for row in rows] == before
    assert desk.apply().statuses == 2


def test_a_limit_leaves_the_rest_to_the_next_run(desk: StatusDesk) -> None:
    rows = [desk.row(**SENT_ROW) for _ in range(5)]
    for row in rows:
        desk.receive(row, "delivered")

    first, second = desk.apply(limit=3), desk.apply()

    assert (first.statuses, second.statuses) == (3, 2)


def test_ten_thousand_statuses_are_taken_in_with_a_few_statements_for_hundreds(
    desk: StatusDesk,
) -> None:
    numbers = range(1, 10_001)
    with desk.database.write() as connection:
        for first in range(0, len(numbers), 1000):
            connection.execute(
                insert(outbox),
                [
                    {
                        "id": number,
                        "appointment_id": number,
                        "kind": "24h",
                        "start": datetime.fromisoformat("2026-11-24T09:00"),
                        "patient_id": number,
                        "phone": f"+55119{number:08d}",
                        "run_id": "the owner",
                        "created_at": SENT_AT,
                        "updated_at": SENT_AT,
                        **SENT_ROW,
                        "message_id": f"wamid.{number}",
                    }
                    for number in numbers[first : first + 1000]
                ],
            )
            connection.execute(
                insert(statuses),
                [
                    {
                        "wamid": f"wamid.{number}",
                        "status": "delivered",
                        "said_at": SAID_AT["delivered"],
                        "received_at": NOW,
                        "callback": f"{desk.installation}:{number}:1",
                    }
                    for number in numbers[first : first + 1000]
                ],
            )
        asked: list[str] = []
        note = "before_cursor_execute", lambda *given: asked.append(given[2])
        event.listen(connection.engine, *note)

    applied = desk.apply()

    assert applied.moved == {State.DELIVERED: 10_000}
    assert 0 < len(asked) <= 200  # nine a chunk


def test_two_runs_at_once_take_each_status_in_once(postgres_clinic: Clinic) -> None:
    def one_run(_: int) -> Applied:
        database = Database(postgres_clinic.url)
        try:
            return replace(desk, database=database).apply()
        finally:
            database.close()

    database = Database(postgres_clinic.url)
    ensure(database, auto_migrate=True)
    with database.read() as connection:
        desk = StatusDesk(postgres_clinic, database, installation=installation_id(connection))
    rows = [desk.row(**SENT_ROW) for _ in range(60)]
    for row in rows:
        for status in ("delivered", "sent", "read"):
            desk.receive(row, status)
    with ThreadPoolExecutor(4) as runs:
        results = list(runs.map(one_run, range(4)))

    results.append(desk.apply())  # what one of them was writing waited for another

    states = {desk.state(row) for row in rows}
    database.close()
    assert states == {"read"}
    assert sum(result.statuses for result in results) == 180
    assert sum(result.moved[State.READ] for result in results) == 60


def test_what_another_process_is_taking_in_is_left_to_it(postgres_clinic: Clinic) -> None:
    database, other = Database(postgres_clinic.url), Database(postgres_clinic.url)
    ensure(database, auto_migrate=True)
    with database.read() as connection:
        desk = StatusDesk(postgres_clinic, database, installation=installation_id(connection))
    row = desk.row(**SENT_ROW)
    desk.receive(row, "delivered")

    with other.write() as connection:
        connection.execute(update(statuses).values(applied_at=NOW))
        applied = desk.apply()

    assert applied.statuses == 0
    database.close()
    other.close()


def test_a_row_that_another_process_is_writing_is_not_waited_for(postgres_clinic: Clinic) -> None:
    database, other = Database(postgres_clinic.url), Database(postgres_clinic.url)
    ensure(database, auto_migrate=True)
    with database.read() as connection:
        desk = StatusDesk(postgres_clinic, database, installation=installation_id(connection))
    busy, free = desk.row(**SENT_ROW), desk.row(**SENT_ROW)
    desk.receive(busy, "delivered")
    desk.receive(free, "delivered")

    with other.write() as connection:
        connection.execute(update(outbox).where(outbox.c.id == busy).values(run_id="another"))
        desk.apply()
    states = [desk.state(row) for row in (busy, free)]
    desk.apply()

    assert (states, desk.state(busy)) == (["sent…", "delivered"], "delivered")
    database.close()
    other.close()


def test_a_message_waits_whole_while_another_process_is_writing_one_of_its_rows(
    postgres_clinic: Clinic,
) -> None:
    database, other = Database(postgres_clinic.url), Database(postgres_clinic.url)
    ensure(database, auto_migrate=True)
    with database.read() as connection:
        desk = StatusDesk(postgres_clinic, database, installation=installation_id(connection))
    leader = desk.row(**SENT_ROW)
    phone = desk.values(leader).phone
    follower = desk.row(**SENT_ROW | {"leader_id": leader, "phone": phone})
    desk.receive(leader, "delivered")
    desk.receive(leader, "read", callback=None)

    with other.write() as connection:
        connection.execute(update(outbox).where(outbox.c.id == follower).values(run_id="another"))
        waits = desk.apply().statuses
    desk.apply()

    assert waits == 0
    assert [desk.values(row).state for row in (leader, follower)] == ["read", "read"]
    database.close()
    other.close()
