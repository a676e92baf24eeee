"""The list of opt-outs as a person keeps it: phones as they are typed, in SmartIA's database."""

from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from smartia_jobs.clock import ShiftedClock
from smartia_jobs.database import Database
from smartia_jobs.errors import ConfigurationError, UsageError
from smartia_jobs.jobs.opt_outs import Change, put_on_list, show_list, take_off_list
from smartia_jobs.message import Scope
from smartia_jobs.settings import Settings
from smartia_jobs.store.opt_outs import OptOut
from smartia_jobs.store.schema import current_version
from tests.support import Clinic

AT = datetime.fromisoformat("2026-11-25T21:00Z")
MARIA, JOAO = "+5511987654321", "+5521987654321"


def at(moment: datetime) -> ShiftedClock:
    """Return a clock that stands still."""
    return ShiftedClock(moment, speed=0)


@pytest.fixture
def settings(clinic: Clinic) -> Settings:
    """Where the list is."""
    return replace(Settings(), database_url=clinic.url)


def test_a_phone_is_put_on_the_list_once_and_taken_off_once(settings: Settings) -> None:
    changes = [
        put_on_list(settings, at(AT), phone="(11) 98765-4321"),
        put_on_list(settings, at(AT), phone=MARIA),
        take_off_list(settings, phone="551187654321"),
        take_off_list(settings, phone=MARIA),
    ]

    assert changes == [Change(MARIA, made) for made in (True, False, True, False)]


def test_the_list_tells_since_when_and_the_newest_first(settings: Settings) -> None:
    put_on_list(settings, at(AT), phone=MARIA)
    put_on_list(settings, at(AT + timedelta(days=1)), phone=JOAO)

    assert show_list(settings) == [
        OptOut(JOAO, "person", Scope.INVITATIONS, AT + timedelta(days=1)),
        OptOut(MARIA, "person", Scope.INVITATIONS, AT),
    ]


def test_no_message_at_all_outranks_no_invitations_in_whichever_order(settings: Settings) -> None:
    put_on_list(settings, at(AT), phone=MARIA)

    changes = [
        put_on_list(settings, at(AT + timedelta(days=days)), phone=MARIA, scope=scope).made
        for days, scope in ((1, Scope.ALL), (2, Scope.ALL), (3, Scope.INVITATIONS))
    ]

    assert changes == [True, False, False]
    assert show_list(settings) == [OptOut(MARIA, "person", Scope.ALL, AT + timedelta(days=1))]
    assert take_off_list(settings, phone=MARIA).made
    assert show_list(settings) == []


def test_listing_makes_no_tables(settings: Settings, clinic: Clinic) -> None:
    assert show_list(settings) == []

    with closing(Database(clinic.url, read_only=True)) as database, database.read() as connection:
        assert current_version(connection) is None


def test_what_cannot_be_a_phone_is_refused_before_the_database_is_asked(tmp_path: Path) -> None:
    nowhere = replace(Settings(), database_url=f"sqlite:///{tmp_path / 'missing.db'}")

    with pytest.raises(UsageError, match="write it with its area code"):
        put_on_list(nowhere, at(AT), phone="98765-4321")
    with pytest.raises(UsageError, match="write it with its area code"):
        take_off_list(nowhere, phone="98765-4321")


def test_a_database_that_is_not_smartias_gets_no_tables(settings: Settings, clinic: Clinic) -> None:
    clinic.execute("DROP TABLE interactions")

    with pytest.raises(ConfigurationError, match="interactions"):
        put_on_list(settings, at(AT), phone=MARIA)

    with pytest.raises(ConfigurationError, match="interactions"):
        show_list(settings)
    with closing(Database(clinic.url, read_only=True)) as database, database.read() as connection:
        assert current_version(connection) is None
