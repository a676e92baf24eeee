"""Who wants no invitations, or no message: one row a phone."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta

import pytest

from smartia_jobs.database import Database
from smartia_jobs.message import Scope
from smartia_jobs.store.opt_outs import (
    OptOut,
    add_opt_out,
    list_opt_outs,
    opted_out,
    remove_opt_out,
    wants_no_message,
)
from smartia_jobs.store.schema import ensure
from tests.support import Clinic

AT = datetime.fromisoformat("2026-11-25T21:00Z")
MARIA, JOAO = "+5511987654321", "+5521987654321"


@pytest.fixture
def database(clinic: Clinic) -> Iterator[Database]:
    with closing(Database(clinic.url)) as opened:
        ensure(opened, auto_migrate=True)
        yield opened


def test_a_phone_is_noted_once(database: Database) -> None:
    with database.write() as connection:
        added = [add_opt_out(connection, MARIA, at=AT + n * timedelta(days=1)) for n in (0, 1)]

    assert added == [True, False]
    with database.read() as connection:
        assert list_opt_outs(connection) == [OptOut(MARIA, "person", Scope.INVITATIONS, AT)]


def test_the_newest_comes_first(database: Database) -> None:
    with database.write() as connection:
        add_opt_out(connection, MARIA, at=AT)
        add_opt_out(connection, JOAO, at=AT + timedelta(seconds=1))

    with database.read() as connection:
        assert [one.phone for one in list_opt_outs(connection)] == [JOAO, MARIA]


def test_only_those_asked_about_are_found(database: Database) -> None:
    with database.write() as connection:
        add_opt_out(connection, MARIA, at=AT)
        add_opt_out(connection, JOAO, at=AT)

    with database.read() as connection:
        assert opted_out(connection, {MARIA, "patient 7"}) == {MARIA}
        assert opted_out(connection, set()) == set()
        many = {f"+55119{number:08}" for number in range(1200)}
        assert opted_out(connection, {*many, JOAO}) == {JOAO}


def test_who_wants_no_message_wants_no_invitation_either(database: Database) -> None:
    with database.write() as connection:
        add_opt_out(connection, MARIA, at=AT)
        add_opt_out(connection, JOAO, scope=Scope.ALL, at=AT)

    with database.read() as connection:
        assert opted_out(connection, {MARIA, JOAO}) == {MARIA, JOAO}
        assert wants_no_message(connection, {MARIA, JOAO}) == {JOAO}


def test_the_wider_wish_takes_the_place_of_the_narrower_with_who_asked_and_when(
    database: Database,
) -> None:
    later = AT + timedelta(days=1)
    with database.write() as connection:
        add_opt_out(connection, MARIA, at=AT)
        made = [
            add_opt_out(connection, MARIA, scope=scope, source="answer", at=later)
            for scope in (Scope.ALL, Scope.ALL, Scope.INVITATIONS)
        ]

    assert made == [True, False, False]
    with database.read() as connection:
        assert list_opt_outs(connection) == [OptOut(MARIA, "answer", Scope.ALL, later)]


def test_a_removed_phone_is_free_again(database: Database) -> None:
    with database.write() as connection:
        add_opt_out(connection, MARIA, at=AT)
        removed = [remove_opt_out(connection, MARIA), remove_opt_out(connection, MARIA)]

    assert removed == [True, False]
    with database.read() as connection:
        assert opted_out(connection, {MARIA}) == set()
