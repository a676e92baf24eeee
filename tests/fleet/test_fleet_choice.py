"""Whose turn it is: by shard, by name, by the hour at the clinic."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartia_jobs.errors import ConfigurationError, UsageError
from smartia_jobs.fleet.choice import Shard, choose, shard_from, shard_of
from smartia_jobs.settings.clinics import Clinic
from smartia_jobs.settings.environment import Given

NOON_AT = datetime.fromisoformat("2026-11-23T12:00Z")


def clinic(name: str, zone: str = "") -> Clinic:
    """Return a clinic of that zone; without one, of the default."""
    texts = {"CLINIC_TIMEZONE": zone} if zone else {}
    return Clinic(name, Given(texts, Path(), Path(f"{name}.env"), True, (), ()))


def names(clinics: tuple[Clinic, ...]) -> list[str]:
    return [one.name for one in clinics]


@given(st.integers(0, 60), st.integers(1, 12))
def test_all_shards_together_take_each_clinic_once(clinics: int, shards: int) -> None:
    fleet = [clinic(f"c{number:02}") for number in range(clinics)]

    taken = [
        name
        for index in range(shards)
        for name in names(choose(fleet, shard=Shard(index, shards), now=NOON_AT).now)
    ]

    assert sorted(taken) == names(tuple(fleet))


@pytest.mark.parametrize(
    ("text", "shard"), [("0/1", Shard()), ("3/4", Shard(3, 4)), ("0/500", Shard(0, 500))]
)
def test_a_shard_is_read_as_index_and_count(text: str, shard: Shard) -> None:
    assert shard_from(text) == shard
    assert str(shard) == text


@pytest.mark.parametrize(
    "text", ["", "1", "4/4", "5/4", "0/0", "-1/4", "1/4/2", "a/b", "1 / 4", "١/٤", "1/4\n"]
)
def test_what_is_no_part_of_a_whole_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no part of a whole"):
        shard_from(text)


@pytest.mark.parametrize(
    ("environ", "shard"),
    [
        ({}, Shard()),
        ({"CLOUD_RUN_TASK_INDEX": "2", "CLOUD_RUN_TASK_COUNT": "8"}, Shard(2, 8)),
        ({"JOB_COMPLETION_INDEX": "1", "JOB_COMPLETIONS": "3"}, Shard(1, 3)),
    ],
)
def test_the_platform_says_which_part_is_whose(environ: dict[str, str], shard: Shard) -> None:
    assert shard_of(environ) == shard


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"JOB_COMPLETION_INDEX": "1"}, "JOB_COMPLETIONS is not set"),
        ({"CLOUD_RUN_TASK_INDEX": "1"}, "CLOUD_RUN_TASK_COUNT is not set"),
        ({"JOB_COMPLETION_INDEX": "3", "JOB_COMPLETIONS": "3"}, "JOB_COMPLETION_INDEX"),
        ({"CLOUD_RUN_TASK_INDEX": "x", "CLOUD_RUN_TASK_COUNT": "8"}, "CLOUD_RUN_TASK_INDEX"),
    ],
)
def test_a_platform_whose_words_do_not_fit_together_is_no_whole(
    environ: dict[str, str], named: str
) -> None:
    """Taking all of the fleet in each of its parts would be the wrong guess."""
    with pytest.raises(ConfigurationError, match=named):
        shard_of(environ)


@pytest.mark.parametrize(
    ("utc", "taken"),
    [
        ("2026-11-23T11:59Z", []),
        ("2026-11-23T12:00Z", ["east"]),
        ("2026-11-23T12:59Z", ["east"]),
        ("2026-11-23T13:00Z", ["east", "manaus"]),
        ("2026-11-23T14:59Z", ["acre", "east", "manaus"]),
        ("2026-11-23T15:00Z", ["acre", "manaus"]),
        ("2026-11-23T16:59Z", ["acre"]),
        ("2026-11-23T17:00Z", []),
    ],
)
def test_a_clinic_is_taken_from_nine_to_noon_of_its_own_time(utc: str, taken: list[str]) -> None:
    fleet = [
        clinic("acre", "America/Rio_Branco"),  # UTC-5
        clinic("east"),  # UTC-3
        clinic("manaus", "America/Manaus"),  # UTC-4
    ]

    choice = choose(fleet, shard=Shard(), at=9, now=datetime.fromisoformat(utc))

    assert names(choice.now) == taken
    assert sorted([*choice.not_now, *taken]) == names(tuple(fleet))


@pytest.mark.parametrize(
    ("hour", "taken"), [(22, False), (23, True), (0, True), (1, True), (2, False)]
)
def test_an_hour_before_midnight_reaches_into_the_next_day(hour: int, taken: bool) -> None:
    now = NOON_AT.replace(hour=(hour + 3) % 24)

    assert bool(choose([clinic("east")], shard=Shard(), at=23, now=now).now) is taken


def test_every_hour_of_a_day_with_a_clock_change_takes_a_clinic_three_times() -> None:
    """An hourly trigger, in Lisbon on the day of 25 hours."""
    lisbon = clinic("lisboa", "Europe/Lisbon")
    midnight_at = datetime.fromisoformat("2026-10-24T23:00Z")

    hours = [midnight_at + timedelta(hours=hour) for hour in range(25)]
    taken = [
        hour for hour, now in enumerate(hours) if choose([lisbon], shard=Shard(), at=9, now=now).now
    ]

    assert taken == [10, 11, 12]  # 9:00, 10:00 and 11:00, after the hour that came twice


def test_a_clinic_whose_zone_cannot_be_read_is_run_and_says_so_itself() -> None:
    choice = choose([clinic("lost", "Brasil/SP")], shard=Shard(), at=3, now=NOON_AT)

    assert names(choice.now) == ["lost"]


def test_only_the_named_are_taken_whichever_part_they_would_be_in() -> None:
    fleet = [clinic(name) for name in ("a", "b", "c", "d")]

    choice = choose(fleet, shard=Shard(), only=["d", "b"], now=NOON_AT)

    assert names(choice.now) == ["b", "d"]


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="--only nort, sul"):
        choose([clinic("norte")], shard=Shard(), only=["sul", "nort"], now=NOON_AT)
