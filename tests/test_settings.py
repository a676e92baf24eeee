"""Settings: where they come from, what each may be, and what a bad one is told."""

import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from datetime import time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from smartia_jobs.errors import ConfigurationError, ExitStatus
from smartia_jobs.kinds import DAY_AHEAD, HOURS_AHEAD
from smartia_jobs.settings import QuietHours, Settings
from smartia_jobs.settings.checks import require_sending
from smartia_jobs.settings.declarations import PLATFORM_VARIABLES, VARIABLES, describe
from smartia_jobs.settings.environment import gather, load_settings, log_form, understand
from smartia_jobs.settings.variable import Variable

TOKEN = "EAAGverysecretindeed"
OLD_SETTINGS = {
    "META_ACCESS_TOKEN": TOKEN,
    "META_PHONE_NUMBER_ID": "106540352242922",
    "DATABASE_URL": "sqlite:///./smartia.db",
    "CLINIC_TIMEZONE": "America/Sao_Paulo",
}
names = [variable.name for variable in VARIABLES]


def load(tmp_path: Path, **environ: str) -> Settings:
    """Return the settings of this environment, in an otherwise empty folder."""
    return load_settings(environ, directory=tmp_path)


def problems(tmp_path: Path, **environ: str) -> tuple[str, ...]:
    """Return what loading these settings complains of."""
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, **environ)
    assert raised.value.exit_status is ExitStatus.CONFIGURATION
    return raised.value.problems


# Where values come from


def test_the_four_old_settings_are_enough(tmp_path: Path) -> None:
    settings = load(tmp_path, **OLD_SETTINGS)

    require_sending(settings)
    assert settings == replace(
        Settings(), meta_access_token=TOKEN, meta_phone_number_id="106540352242922"
    )


def test_no_setting_at_all_gives_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path) == Settings()


@pytest.mark.parametrize("variable", VARIABLES + PLATFORM_VARIABLES, ids=lambda v: v.name)
def test_a_declared_default_means_the_same_as_leaving_it_out(
    tmp_path: Path, variable: Variable
) -> None:
    if variable.default:
        assert load(tmp_path, **{variable.name: variable.default}) == Settings()
    else:
        assert variable.initial() in (None, frozenset())


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda v: v.name)
def test_an_example_is_a_good_value(tmp_path: Path, variable: Variable) -> None:
    (tmp_path / "messages.toml").touch()
    example = (variable.example or variable.default).replace("…", "")

    settings = load(tmp_path, **{variable.name: example})

    assert dict(describe(settings))[variable.name] is not None


def test_every_part_of_the_settings_has_one_variable() -> None:
    declared = [variable.field for variable in VARIABLES + PLATFORM_VARIABLES]

    parts = {one.name for one in fields(Settings)} - {"reminders"} | {
        f"reminders.{kind}.{part.name}"
        for kind, times in Settings().reminders.items()
        for part in fields(times)
    }
    assert sorted(declared) == sorted(parts)


def test_no_two_settings_share_a_name() -> None:
    every = [name for variable in VARIABLES + PLATFORM_VARIABLES for name in variable.names]

    assert len(every) == len(set(every))


def test_a_dot_env_file_in_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# the clinic\nexport CLINIC_NAME='Clínica Olhar'\nSEND_RATE = \"5\"\n\n", encoding="utf-8"
    )

    settings = load(tmp_path)

    assert (settings.clinic_name, settings.send_rate) == ("Clínica Olhar", 5)


def test_a_dot_env_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SEND_RATE=5\r\n", encoding="utf-8-sig")

    assert load(tmp_path).send_rate == 5


def test_a_dollar_in_a_value_stays_a_dollar(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("META_ACCESS_TOKEN=a${PATH}b\n")

    assert load(tmp_path).meta_access_token == "a${PATH}b"


def test_the_environment_outranks_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SEND_RATE=5\nQUIET_HOURS=21:00-07:00\n")

    settings = load(tmp_path, SEND_RATE="7", QUIET_HOURS="")

    assert settings.send_rate == 7
    assert settings.quiet_hours is None


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_only_to_does_not_stand_for_everybody(tmp_path: Path, text: str) -> None:
    (tmp_path / ".env").write_text("ONLY_TO=+5511987654321\n")

    [problem] = problems(tmp_path, ONLY_TO=text)

    assert problem == "ONLY_TO is set, but empty; remove it to write to everybody."


def test_a_named_file_takes_the_place_of_dot_env(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SEND_RATE=5\nSEND_WORKERS=3\n")
    (tmp_path / "other").write_text("SEND_RATE=6\n")

    settings = load_settings({}, env_file=Path("other"), directory=tmp_path)

    assert (settings.send_rate, settings.send_workers) == (6, None)


def test_a_path_in_a_settings_file_is_relative_to_that_file(tmp_path: Path) -> None:
    (tmp_path / "clinics").mkdir()
    for name in ("clinics/token", "clinics/own.toml", "secret"):
        (tmp_path / name).write_text(name)
    (tmp_path / "clinics" / "centro.env").write_text(
        "META_ACCESS_TOKEN_FILE=token\nMESSAGES_FILE=own.toml\n"
    )

    settings = load_settings(
        {"META_APP_SECRET_FILE": "secret"}, env_file=Path("clinics/centro.env"), directory=tmp_path
    )

    assert settings.meta_access_token == "clinics/token"
    assert settings.messages_file == tmp_path / "clinics" / "own.toml"
    assert settings.meta_app_secret == "secret"


@pytest.mark.parametrize("name", ["a" * 300, "file/that/is/no/folder"])
def test_a_catalogue_that_cannot_be_looked_for_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()

    [problem] = problems(tmp_path, MESSAGES_FILE=name)

    assert problem.startswith("MESSAGES_FILE: there is no such file")


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.env.*no such file"):
        load_settings({}, env_file=Path("missing.env"), directory=tmp_path)


def test_a_dot_env_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("CLINIC_NAME=Clínica".encode("latin-1"))

    [problem] = problems(tmp_path)

    assert str(tmp_path / ".env") in problem
    assert "UTF-8" in problem


def test_a_dot_env_that_is_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()

    [problem] = problems(tmp_path)

    assert str(tmp_path / ".env") in problem


def test_a_dot_env_that_points_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to(tmp_path / "gone")

    [problem] = problems(tmp_path)

    assert str(tmp_path / ".env") in problem


def test_a_folder_that_cannot_be_looked_into_is_a_warning(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.symlink_to(folder)

    given = gather({}, directory=folder)

    assert understand(given) == Settings()
    [warning] = given.warnings
    assert warning.startswith(f"{folder / '.env'}: cannot be looked for")


def test_a_malformed_line_is_named_by_its_number_and_not_quoted(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"SEND_RATE=5\nMETA_ACCESS_TOKEN='{TOKEN}\n")

    [problem] = problems(tmp_path)

    assert f"{tmp_path / '.env'}, line 2" in problem
    assert TOKEN not in problem


# Names


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ONLYTO", "ONLY_TO"),
        ("only_to", "ONLY_TO"),
        ("QUIET_HOUR", "QUIET_HOURS"),
        ("CLINIC_TIME_ZONE", "CLINIC_TIMEZONE"),
        ("META_ACESS_TOKEN", "META_ACCESS_TOKEN"),
        ("REMINDER_24_LEAD_HOURS", "REMINDER_24H_LEAD_HOURS"),
        ("DATABASE_URL_FIL", "DATABASE_URL_FILE"),
    ],
)
def test_a_mistyped_name_in_the_file_is_a_problem(tmp_path: Path, name: str, meant: str) -> None:
    (tmp_path / ".env").write_text(f"{name}=geheim\n")

    [problem] = problems(tmp_path)

    assert problem == f"{name} is no setting; did you mean {meant}?"


def slip_of(variable: Variable) -> str:
    """Return a variable's name as another program, or a slip, writes it."""
    joined = variable.name.replace("_", "")
    return joined if joined != variable.name else variable.name.lower()


@pytest.mark.parametrize("variable", [v for v in VARIABLES if not v.shared], ids=lambda v: v.name)
def test_a_name_in_the_environment_that_only_we_can_have_meant_is_a_problem(
    tmp_path: Path, variable: Variable
) -> None:
    [problem] = problems(tmp_path, **{slip_of(variable): "x"})

    assert problem == f"{slip_of(variable)} is no setting; did you mean {variable.name}?"


@pytest.mark.parametrize("variable", [v for v in VARIABLES if v.shared], ids=lambda v: v.name)
def test_a_name_in_the_environment_that_others_may_have_meant_is_a_warning(
    tmp_path: Path, variable: Variable
) -> None:
    given = gather({slip_of(variable): "info"}, directory=tmp_path)

    assert understand(given) == Settings()
    assert given.warnings == (
        f"{slip_of(variable)} is not read; the setting's name is {variable.name}.",
    )


@pytest.mark.parametrize("environ", [{}, {"LOGLEVEL": "info"}])
def test_in_the_file_such_a_name_is_a_problem_all_the_same(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    (tmp_path / ".env").write_text("LOGLEVEL=debug\n")

    assert problems(tmp_path, **environ) == ("LOGLEVEL is no setting; did you mean LOG_LEVEL?",)


def test_what_guards_is_never_taken_for_another_program_s(tmp_path: Path) -> None:
    shared = {variable.name for variable in VARIABLES if variable.shared}

    assert shared.isdisjoint({"ONLY_TO", "QUIET_HOURS", "NO_SEND_DAYS", "NO_SHOW_BRAKE"})
    assert not any(name.startswith(("META_", "CLINIC_", "REMINDER_")) for name in shared)


@pytest.mark.parametrize(
    "name",
    ["META_APP_ID", "CLINIC_ADDRESS", "CLINIC_EMAIL", "TEST_DATABASE_URL",
     "LOG_FILE", "OPENAI_API_KEY", "WHATSAPP_TOKEN"],
)  # fmt: skip
def test_a_name_of_smartia_s_own_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / ".env").write_text(f"{name}=x\n")

    assert load(tmp_path, **{name: "x"}) == Settings()


def test_a_name_beside_the_setting_it_resembles_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("META_PHONE_NUMBER=+551133334444\nMETA_ACCESS_TOKEN_OLD=x\n")

    settings = load(tmp_path, META_PHONE_NUMBER_ID="1", META_ACCESS_TOKEN=TOKEN)

    assert settings.meta_phone_number_id == "1"


# Quotation marks


@pytest.mark.parametrize("text", ['"Clínica Aurora"', "'Clínica Aurora'", ' " Clínica Aurora" '])
def test_quotation_marks_around_a_value_of_the_environment_reach_no_patient(
    tmp_path: Path, text: str
) -> None:
    given = gather({"CLINIC_NAME": text}, directory=tmp_path)

    assert understand(given).clinic_name == "Clínica Aurora"
    assert given.warnings == (
        "CLINIC_NAME is in quotation marks in the environment; they were taken off. "
        "Remove them where it is set.",
    )


@pytest.mark.parametrize("text", ['Clínica "Aurora"', '"A" e "B"', "D'Ávila", '"', "'A\""])
def test_quotation_marks_within_a_name_stay(tmp_path: Path, text: str) -> None:
    given = gather({"CLINIC_NAME": text}, directory=tmp_path)

    assert understand(given).clinic_name == text
    assert given.warnings == ()


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda v: v.name)
def test_quotation_marks_are_taken_off_any_setting(tmp_path: Path, variable: Variable) -> None:
    (tmp_path / "messages.toml").touch()
    text = (variable.example or variable.default).replace("…", "")

    settings = load(tmp_path, **{variable.name: f'"{text}"'})

    assert settings == load(tmp_path, **{variable.name: text})


def test_quotation_marks_are_taken_off_the_name_of_a_secret_s_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(TOKEN)

    assert load(tmp_path, META_ACCESS_TOKEN_FILE="'secret'").meta_access_token == TOKEN


def test_an_only_to_of_quotation_marks_alone_is_empty(tmp_path: Path) -> None:
    assert problems(tmp_path, ONLY_TO='""') == (
        "ONLY_TO is set, but empty; remove it to write to everybody.",
    )


# Secrets in files


@pytest.mark.parametrize("variable", [v for v in VARIABLES if v.secret], ids=lambda v: v.name)
def test_a_secret_can_be_given_as_a_file(tmp_path: Path, variable: Variable) -> None:
    addresses = {"DATABASE_URL": "postgresql+psycopg://u:p@h/d", "PING_URL": "https://h/{job}"}
    value = addresses.get(variable.name, TOKEN)
    (tmp_path / "secret").write_text(f"  {value}\n", encoding="utf-8-sig")

    settings = load(tmp_path, **{variable.file_name: "secret"})

    assert getattr(settings, variable.field) == value


def test_a_secret_given_twice_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(TOKEN)

    [problem] = problems(
        tmp_path, META_ACCESS_TOKEN=TOKEN, META_ACCESS_TOKEN_FILE=str(tmp_path / "secret")
    )

    assert "META_ACCESS_TOKEN and META_ACCESS_TOKEN_FILE" in problem


@pytest.mark.parametrize(
    ("name", "in_file", "outside"),
    [
        ("QUIET_HOURS", "21:00-07:00", {"QUIET_HOURS": "18:00-10:00"}),
        ("ONLY_TO", "+5511987654321", {"ONLY_TO": "+5511987650000"}),
        ("CLINIC_NAME", "Clínica Aurora", {"CLINIC_NAME": ""}),
        ("DATABASE_URL", "sqlite:///smartia.db", {"DATABASE_URL": "sqlite:///copy.db"}),
        ("META_ACCESS_TOKEN", TOKEN, {"META_ACCESS_TOKEN_FILE": "token"}),
    ],
)
def test_what_the_environment_outranks_in_the_file_is_named(
    tmp_path: Path, name: str, in_file: str, outside: dict[str, str]
) -> None:
    (tmp_path / ".env").write_text(f"{name}={in_file}\n", encoding="utf-8")

    given = gather(outside, directory=tmp_path)

    assert given.warnings == (
        f"{name} in the environment outranks what {tmp_path / '.env'} says, and differs.",
    )


@pytest.mark.parametrize("in_file", ["", "QUIET_HOURS=\n", "QUIET_HOURS= 21:00-07:00\n"])
def test_the_environment_and_a_file_that_agree_need_no_word(tmp_path: Path, in_file: str) -> None:
    (tmp_path / ".env").write_text(in_file)

    assert gather({"QUIET_HOURS": "21:00-07:00"}, directory=tmp_path).warnings == ()


def test_a_secret_s_file_in_the_environment_outranks_the_secret_in_the_file(
    tmp_path: Path,
) -> None:
    (tmp_path / ".env").write_text("META_ACCESS_TOKEN=old\n")
    (tmp_path / "secret").write_text(TOKEN)

    settings = load(tmp_path, META_ACCESS_TOKEN_FILE=str(tmp_path / "secret"))

    assert settings.meta_access_token == TOKEN


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff"])
def test_an_unusable_secret_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)

    [problem] = problems(tmp_path, META_APP_SECRET_FILE="secret")

    assert problem.startswith("META_APP_SECRET_FILE (secret)")


@pytest.mark.parametrize("variable", [v for v in VARIABLES if not v.secret], ids=lambda v: v.name)
def test_what_is_no_secret_cannot_be_given_as_a_file(tmp_path: Path, variable: Variable) -> None:
    problem = (
        f"{variable.file_name} is no setting: only a secret can be given as a file; "
        f"set {variable.name} itself."
    )

    assert problems(tmp_path, **{variable.file_name: "value"}) == (problem,)

    (tmp_path / ".env").write_text(f"{variable.file_name}=value\n")
    assert problems(tmp_path) == (problem,)
    assert problems(tmp_path, **{variable.file_name: "value"}) == (problem,)


def test_an_empty_file_name_of_no_secret_erases_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("QUIET_HOURS=21:00-07:00\n")

    assert load(tmp_path, QUIET_HOURS_FILE="").quiet_hours == QuietHours(time(21), time(7))


@pytest.mark.parametrize("name", ["METAACCESS_TOKEN_FILE", "meta_access_token_file"])
def test_a_mistyped_file_name_of_a_secret_is_a_problem(tmp_path: Path, name: str) -> None:
    [problem] = problems(tmp_path, **{name: "secret"})

    assert problem == f"{name} is no setting; did you mean META_ACCESS_TOKEN_FILE?"


# Values


@pytest.mark.parametrize(
    ("name", "text", "field", "expected"),
    [
        ("CLINIC_TIMEZONE", " Europe/Lisbon ", "clinic_timezone", ZoneInfo("Europe/Lisbon")),
        ("CLINIC_NAME", "   ", "clinic_name", "sua clínica"),
        ("CLINIC_COUNTRY", "pt", "clinic_country", "PT"),
        ("META_API_URL", "http://127.0.0.1:8080/", "meta_api_url", "http://127.0.0.1:8080"),
        ("META_API_URL", "http://[::1]:8080", "meta_api_url", "http://[::1]:8080"),
        ("META_API_URL", "http://localhost", "meta_api_url", "http://localhost"),
        ("META_API_URL", "https://proxy.example/", "meta_api_url", "https://proxy.example"),
        ("META_API_VERSION", "v26.1", "meta_api_version", "v26.1"),
        ("DATABASE_URL", "postgres://u@h/d", "database_url", "postgresql+psycopg://u@h/d"),
        ("STORED_TIMES", "Instant", "stored_times", "instant"),
        ("SEND_RATE", "0.5", "send_rate", 0.5),
        ("SEND_RATE", "1000", "send_rate", 1000),
        ("SEND_WORKERS", "256", "send_workers", 256),
        ("ONLY_TO", "+55 (11) 98765-4321, 5511912345678,", "only_to",
         frozenset({"+55 (11) 98765-4321", "5511912345678"})),
        ("REMINDER_2H_LATEST_MINUTES", "90", "reminders",
         {**Settings().reminders, "2h": replace(HOURS_AHEAD.times, latest=timedelta(minutes=90))}),
        ("REMINDER_24H_LEAD_HOURS", "48", "reminders",
         {**Settings().reminders, "24h": replace(DAY_AHEAD.times, lead=timedelta(hours=48))}),
        ("MIN_NOTICE_HOURS", "1.5", "min_notice", timedelta(minutes=90)),
        ("QUIET_HOURS", "21:00-07:00", "quiet_hours", QuietHours(time(21), time(7))),
        ("QUIET_HOURS", "9:05 - 10:10", "quiet_hours", QuietHours(time(9, 5), time(10, 10))),
        ("QUIET_HOURS", "10:00-09:00", "quiet_hours", QuietHours(time(10), time(9))),
        ("QUIET_HOURS", "00:00-23:00", "quiet_hours", QuietHours(time(), time(23))),
        ("NO_SEND_DAYS", "Sun, sat", "no_send_days", frozenset({5, 6})),
        ("NO_SHOW_STATUSES", "SCHEDULED", "no_show_statuses", frozenset({"SCHEDULED"})),
        ("NO_SHOW_GRACE_MINUTES", "0", "no_show_grace", timedelta(0)),
        ("NO_SHOW_LOOKBACK_DAYS", "30", "no_show_lookback", timedelta(days=30)),
        ("NO_SHOW_BRAKE", "1", "no_show_brake", 1),
        ("NO_SHOW_WITHOUT_ATTENDANCE", "1", "no_show_without_attendance", True),
        ("REENGAGE_AFTER_MINUTES", "90", "reengage_after", timedelta(minutes=90)),
        ("REENGAGE_WITHIN_HOURS", "24", "reengage_within", timedelta(hours=24)),
        ("ON_CANCEL", "Any", "on_cancel", "any"),
        ("WORD_BACK", "0", "word_back", False),
        ("KEEP_ANSWERS_DAYS", "7", "keep_answers", timedelta(days=7)),
        ("ON_UNKNOWN", "resend", "on_unknown", "resend"),
        ("CLAIM_LEASE_SECONDS", "100", "claim_lease", timedelta(seconds=100)),
        ("AUTO_MIGRATE", "off", "auto_migrate", False),
        ("LOG_FORMAT", "JSON", "log_format", "json"),
        ("LOG_LEVEL", "debug", "log_level", "DEBUG"),
        ("CLOUD_RUN_TASK_INDEX", "2", "task_index", 2),
        ("CLOUD_RUN_TASK_ATTEMPT", "3", "task_attempt", 3),
        ("CLOUD_RUN_EXECUTION", "job-abc", "cloud_run_execution", "job-abc"),
    ],
)  # fmt: skip
def test_a_good_value_is_read(
    tmp_path: Path, name: str, text: str, field: str, expected: Any
) -> None:
    assert getattr(load(tmp_path, **{name: text}), field) == expected


def test_a_name_that_the_locale_could_not_decode_is_read_as_utf_8(tmp_path: Path) -> None:
    undecoded = "Clínica".encode().decode("ascii", "surrogateescape")

    assert load(tmp_path, CLINIC_NAME=undecoded).clinic_name == "Clínica"


def test_a_name_in_another_encoding_is_told_so(tmp_path: Path) -> None:
    latin = "Clínica".encode("latin-1").decode("utf-8", "surrogateescape")

    [problem] = problems(tmp_path, CLINIC_NAME=latin)

    assert "CLINIC_NAME" in problem
    assert "must be UTF-8 text" in problem


def test_the_form_of_log_lines_is_known_although_another_setting_is_wrong(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_FORMAT=text\nLOG_LEVEL=loud\nSEND_RATE=x\n")

    assert log_form(gather({}, directory=tmp_path)) == ("text", "INFO")
    assert log_form(gather({"LOG_FORMAT": "json"}, directory=tmp_path)) == ("json", "INFO")


def test_a_catalogue_is_found_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").touch()

    assert load(tmp_path, MESSAGES_FILE="mine.toml").messages_file == tmp_path / "mine.toml"


def test_the_rate_is_shared_by_the_tasks(tmp_path: Path) -> None:
    settings = load(tmp_path, SEND_RATE="80", CLOUD_RUN_TASK_COUNT="4")

    assert (settings.send_rate, settings.task_count) == (20, 4)


@pytest.mark.parametrize(
    ("name", "text", "advice"),
    [
        ("META_PHONE_NUMBER_ID", "+55 11 98765-4321", "not the phone number"),
        ("META_WABA_ID", "abc", "digits"),
        ("META_API_VERSION", "25.0", "v25.0"),
        ("META_API_URL", "http://graph.facebook.com", "https://"),
        ("META_API_URL", "http://127.0.0.1.example.com", "https://"),
        ("META_API_URL", "graph.facebook.com", "https://graph.facebook.com"),
        ("META_API_URL", "https://user@graph.facebook.com", "https://graph.facebook.com"),
        ("META_API_URL", "https://graph.facebook.com/v25.0/", "no path"),
        ("META_API_URL", "https://graph.facebook.com?x", "no path"),
        ("META_API_URL", "https://h:port", "https://graph.facebook.com"),
        ("STORED_TIMES", "utc", "wall or instant"),
        ("CLINIC_TIMEZONE", "america/sao paulo", "did you mean America/Sao_Paulo"),
        ("CLINIC_TIMEZONE", "America/Acree", "did you mean Brazil/Acre?"),
        ("CLINIC_TIMEZONE", "Amercia/Sao_Paulo", "did you mean America/Sao_Paulo?"),
        ("CLINIC_TIMEZONE", "America/Cuiabá", "did you mean America/Cuiaba?"),
        ("CLINIC_TIMEZONE", "Brasília", "IANA"),
        ("CLINIC_TIMEZONE", "Etc/GMT-3", "Etc/GMT-3 is UTC+3"),
        ("CLINIC_TIMEZONE", "Etc/GMT+3", "opposite"),
        ("CLINIC_TIMEZONE", "America", "IANA"),
        ("CLINIC_TIMEZONE", "/etc/localtime", "IANA"),
        ("CLINIC_NAME", "x" * 61, "60"),
        ("CLINIC_NAME", "a\nb", "single line"),
        ("CLINIC_PHONE", "reception", "phone number"),
        ("CLINIC_COUNTRY", "Brasil", "two letters"),
        ("MESSAGES_FILE", "missing.toml", "no such file"),
        ("MESSAGES_FILE", "~nobody-of-this-name/m.toml", "no such home directory"),
        ("SEND_RATE", "0", "above 0"),
        ("SEND_RATE", "-1", "above 0"),
        ("SEND_RATE", "nan", "above 0"),
        ("SEND_RATE", "inf", "above 0"),
        ("SEND_RATE", "1e3", "above 0"),
        ("SEND_RATE", "1001", "at most 1000"),
        ("SEND_RATE", "0,5", "for example"),
        ("SEND_WORKERS", "0", "from 1 to 256"),
        ("SEND_WORKERS", "257", "from 1 to 256"),
        ("SEND_WORKERS", "٣", "from 1 to 256"),
        ("REMINDER_24H_LEAD_HOURS", "0", "from 0.1"),
        ("REMINDER_24H_LATEST_HOURS", "12.5", "at most 12:"),
        ("REMINDER_2H_LATEST_MINUTES", "91", "at most 90:"),
        ("REMINDER_2H_EVERY_HOURS", "3", "REMINDER_2H_LATEST_MINUTES is too long"),
        ("REMINDER_2H_EVERY_HOURS", "4", "less than twice REMINDER_2H_LEAD_HOURS"),
        ("MIN_NOTICE_HOURS", "-2", "from 0"),
        ("QUIET_HOURS", "21:00", "hyphen"),
        ("QUIET_HOURS", "21-7", "hyphen"),
        ("QUIET_HOURS", "22:00-24:00", "23:59"),
        ("QUIET_HOURS", "21:00-21:00", "different times"),
        ("QUIET_HOURS", "00:00-23:59", "at least an hour a day"),
        ("QUIET_HOURS", "10:00-09:01", "at least an hour a day"),
        ("NO_SEND_DAYS", "sábado", "mon, tue"),
        ("NO_SEND_DAYS", ",", "mon, tue"),
        ("NO_SEND_DAYS", "mon,tue,wed,thu,fri,sat,sun", "at least one day"),
        ("NO_SHOW_STATUSES", "scheduled,completed", "scheduled, confirmed"),
        ("NO_SHOW_BRAKE", "0", "at least 1"),
        ("NO_SHOW_WITHOUT_ATTENDANCE", "maybe", "1 (yes) or 0 (no)"),
        ("REENGAGE_AFTER_MINUTES", "2880", "REENGAGE_WITHIN_HOURS"),
        ("ON_CANCEL", "never", "tap or any or list"),
        ("KEEP_ANSWERS_DAYS", "0", "from 1 to 3650"),
        ("ON_UNKNOWN", "drop", "hold or resend"),
        ("CLAIM_LEASE_SECONDS", "99", "at least 100"),
        ("CLAIM_LEASE_SECONDS", "0", "from 1 to 3600 (below 100 only for the sandbox)"),
        ("AUTO_MIGRATE", "2", "1 (yes) or 0 (no)"),
        ("LOG_FORMAT", "xml", "auto or text or json"),
        ("LOG_LEVEL", "loud", "DEBUG or INFO"),
        ("CLOUD_RUN_TASK_COUNT", "0", "at least 1"),
        ("CLOUD_RUN_TASK_INDEX", "-1", "at least 0"),
    ],
)
def test_a_bad_value_is_told_what_would_be_right(
    tmp_path: Path, name: str, text: str, advice: str
) -> None:
    [problem] = problems(tmp_path, **{name: text})

    assert name in problem
    assert advice in problem


def test_a_bad_value_is_shown(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, SEND_RATE="fast")

    assert problem == (
        "SEND_RATE is 'fast'; it must be a number above 0 and at most 1000, for example 20."
    )


def test_a_bad_address_is_told_one_example(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, META_API_URL="graph.facebook.com")

    assert problem == (
        "META_API_URL must be https:// and a host, with no path (the program adds it), for example "
        "https://graph.facebook.com."
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("META_ACCESS_TOKEN", "Bearer geheim"),
        ("META_ACCESS_TOKEN", '"geheim'),
        ("META_ACCESS_TOKEN", "''geheim''"),
        ("META_ACCESS_TOKEN", "gehe\nim"),
        ("META_ACCESS_TOKEN", "geheim…"),
        ("META_APP_SECRET", "geheim geheim"),
        ("DATABASE_URL", "mysql://u:geheim@h/d"),
        ("DATABASE_URL", "geheim"),
        ("META_API_URL", "https://u:geheim@graph.facebook.com"),
        ("META_API_URL", "https://:geheim@graph.facebook.com"),
        ("ONLY_TO", "geheim 5511987654321"),
    ],
)
def test_a_bad_secret_is_named_and_never_shown(tmp_path: Path, name: str, text: str) -> None:
    [problem] = problems(tmp_path, **{name: text})

    assert problem.startswith(name)
    assert "geheim" not in problem
    assert "gehe" not in problem


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("'\nMETA_APP_SECRET_FILE=nowhere\n")

    found = problems(
        tmp_path, SEND_RATE="0", CLINIC_TIMEZONE="Mars", QUIET_HOURS="x", CLAIM_LEASE_SECONDS="5"
    )

    expected = (
        ".env",
        "META_APP_SECRET_FILE",
        "CLINIC_TIMEZONE",
        "SEND_RATE",
        "QUIET_HOURS",
        "CLAIM_",
    )
    assert len(found) == len(expected)
    assert all(name in problem for name, problem in zip(expected, found, strict=True))


def test_a_short_lease_is_only_for_the_sandbox(tmp_path: Path) -> None:
    settings = load(tmp_path, CLAIM_LEASE_SECONDS="2", META_API_URL="http://127.0.0.1:8080")

    assert settings.claim_lease == timedelta(seconds=2)


@pytest.mark.parametrize("variable", ["CLOUD_RUN_JOB", "K_SERVICE"])
def test_sqlite_is_refused_on_cloud_run(tmp_path: Path, variable: str) -> None:
    [problem] = problems(tmp_path, **{variable: "smartia-24h"})

    assert problem.startswith("DATABASE_URL")
    assert "vanish" in problem


def test_postgresql_is_accepted_on_cloud_run(tmp_path: Path) -> None:
    url = "postgresql+psycopg://u:p@/d?host=/cloudsql/p:r:i"

    assert load(tmp_path, CLOUD_RUN_JOB="smartia-24h", DATABASE_URL=url).database_url == url


# Sending, showing


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, ["META_ACCESS_TOKEN", "META_PHONE_NUMBER_ID"]),
        ({"META_ACCESS_TOKEN": TOKEN}, ["META_PHONE_NUMBER_ID"]),
        ({"META_PHONE_NUMBER_ID": "1"}, ["META_ACCESS_TOKEN"]),
    ],
)
def test_sending_names_everything_it_lacks(
    tmp_path: Path, given: dict[str, str], missing: list[str]
) -> None:
    settings = load(tmp_path, **given)

    with pytest.raises(ConfigurationError) as raised:
        require_sending(settings)

    assert re.findall(r"META_\w+", str(raised.value)) == missing


def test_settings_are_described_in_the_table_s_order_without_secrets(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        META_ACCESS_TOKEN=TOKEN,
        META_APP_SECRET="geheim",
        DATABASE_URL="postgres://u:geheim@h/d",
        ONLY_TO="+5511987654321",
        QUIET_HOURS="21:00-07:00",
        NO_SEND_DAYS="sun,sat",
        MIN_NOTICE_HOURS="1.5",
    )

    described = describe(settings)

    shown = dict(described)
    assert [name for name, _ in described] == names
    assert not any(word in str(described) for word in (TOKEN, "geheim", "98765"))
    assert shown["DATABASE_URL"] == "postgresql+psycopg://u:***@h/d"
    assert shown["QUIET_HOURS"] == "21:00-07:00"
    assert shown["NO_SEND_DAYS"] == "sat,sun"
    assert shown["MIN_NOTICE_HOURS"] == "1.5"
    assert shown["SEND_WORKERS"] is None


def test_what_is_described_could_be_set_again(tmp_path: Path) -> None:
    shown = {name: text for name, text in describe(Settings()) if text is not None}

    assert load(tmp_path, **shown) == Settings()


def test_secrets_stay_out_of_repr(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        META_ACCESS_TOKEN=TOKEN,
        META_APP_SECRET=TOKEN,
        DATABASE_URL=f"postgres://u:{TOKEN}@h/d",
    )

    assert TOKEN not in repr(settings)


def test_reading_settings_loads_no_heavy_library(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from smartia_jobs.settings.environment import load_settings\n"
        "load_settings(os.environ, directory=Path.cwd())\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(os.path.abspath, ["."])),
        },
    )

    heavy = {"sqlalchemy", "dotenv", "phonenumbers", "requests", "rich", "babel", "difflib"}
    assert heavy.isdisjoint(done.stdout.split())
