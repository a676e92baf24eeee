"""Many clinics: which files of a folder are one, and what outranks what."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from smartia_jobs.errors import ConfigurationError
from smartia_jobs.settings import Settings
from smartia_jobs.settings.clinics import read_clinics
from smartia_jobs.settings.environment import understand


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for clinics."""
    made = tmp_path / "clinics"
    made.mkdir()
    return made


def add(folder: Path, name: str, **settings: str) -> Path:
    """Write a clinic's file, with a database of its own unless it is given one."""
    settings = {"DATABASE_URL": f"sqlite:///{folder}/{name}.db", **settings}
    path = folder / f"{name}.env"
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return path


def settings_of(folder: Path, name: str, environ: Mapping[str, str] | None = None) -> Settings:
    """Return what one clinic's run works with."""
    clinics = {clinic.name: clinic for clinic in read_clinics(folder, environ or {}).all}
    return understand(clinics[name].given)


def test_each_settings_file_in_the_folder_is_a_clinic(folder: Path) -> None:
    add(folder, "norte-2")
    add(folder, "centro")

    assert [clinic.name for clinic in read_clinics(folder, {}).all] == ["centro", "norte-2"]


def test_what_is_no_clinic_s_file_is_ignored_with_a_warning(folder: Path) -> None:
    add(folder, "centro")
    for name in ("Norte.env", "centro.env.bak", "notes.txt", "sul_2.env", "token"):
        (folder / name).write_text("X=1")

    clinics = read_clinics(folder, {})

    assert [clinic.name for clinic in clinics.all] == ["centro"]
    (warning,) = clinics.warnings
    assert "Norte.env, centro.env.bak, notes.txt, sul_2.env, token" in warning
    assert "named like centro.env" in warning


def test_a_file_that_a_clinic_s_settings_name_needs_no_warning(folder: Path) -> None:
    add(folder, "centro", META_ACCESS_TOKEN_FILE="centro.token", MESSAGES_FILE="texts.toml")
    for name in ("centro.token", "texts.toml", "norte.token"):
        (folder / name).write_text("X=1")

    (warning,) = read_clinics(folder, {}).warnings

    assert f"Ignored in {folder}: norte.token. " in warning


def test_hidden_files_and_folders_need_no_warning(folder: Path) -> None:
    """Kubernetes mounts a secret as links into a hidden folder."""
    hidden = folder / "..2026_11_28"
    hidden.mkdir()
    add(hidden, "centro")
    (folder / "..data").symlink_to(hidden.name)
    (folder / "centro.env").symlink_to("..data/centro.env")
    (folder / ".centro.env.swp").write_text("")
    (folder / "secrets").mkdir()

    clinics = read_clinics(folder, {})

    assert [clinic.name for clinic in clinics.all] == ["centro"]
    assert clinics.warnings == ()


@pytest.mark.parametrize(
    "name",
    [
        "DATABASE_URL",
        "DATABASE_URL_FILE",
        "META_ACCESS_TOKEN",
        "META_API_URL",
        "META_APP_SECRET_FILE",
        "CLINIC_TIMEZONE",
    ],
)
def test_what_is_one_clinic_s_own_is_refused_in_the_environment(folder: Path, name: str) -> None:
    add(folder, "centro")

    with pytest.raises(ConfigurationError, match=rf"^{name} in the environment") as refused:
        read_clinics(folder, {name: "something-secret", "PATH": "/bin"})

    assert "something-secret" not in str(refused.value)


def test_several_variables_that_are_one_clinic_s_are_refused_together(folder: Path) -> None:
    add(folder, "centro")

    with pytest.raises(ConfigurationError, match=r"^CLINIC_NAME, META_WABA_ID in .* and set them"):
        read_clinics(folder, {"META_WABA_ID": "1", "CLINIC_NAME": "Clínica Aurora"})


def test_an_empty_variable_of_the_environment_is_not_set(folder: Path) -> None:
    add(folder, "centro")

    assert read_clinics(folder, {"DATABASE_URL": " "}).all


def test_a_clinic_s_file_outranks_the_environment(folder: Path) -> None:
    add(folder, "centro", SEND_RATE="5", QUIET_HOURS="")
    environ = {"SEND_RATE": "7", "QUIET_HOURS": "21:00-07:00", "ON_CANCEL": "list"}

    settings = settings_of(folder, "centro", environ)

    assert (settings.send_rate, settings.quiet_hours) == (5, None)
    assert settings.on_cancel == "list"
    assert read_clinics(folder, environ).all[0].given.warnings == ()


def test_a_secret_s_file_in_the_clinic_s_file_outranks_the_secret_in_the_environment(
    folder: Path,
) -> None:
    (folder / "secrets").mkdir()
    (folder / "secrets" / "ping").write_text("https://monitor.example/its-own")
    add(folder, "centro", PING_URL_FILE="secrets/ping")

    settings = settings_of(folder, "centro", {"PING_URL": "https://monitor.example/of-all"})

    assert settings.ping_url == "https://monitor.example/its-own"


def test_a_clinic_s_rate_is_not_divided_among_the_tasks(folder: Path) -> None:
    add(folder, "centro", SEND_RATE="20")
    environ = {"CLOUD_RUN_TASK_COUNT": "4", "CLOUD_RUN_TASK_INDEX": "2"}

    settings = settings_of(folder, "centro", environ)

    assert (settings.send_rate, settings.task_index) == (20, 2)


def test_a_clinic_without_a_database_does_not_get_the_default_one(folder: Path) -> None:
    (folder / "centro.env").write_text("SEND_RATE=5\n")

    with pytest.raises(ConfigurationError, match="DATABASE_URL is not set"):
        settings_of(folder, "centro")


def test_a_broken_file_is_a_clinic_whose_settings_say_so(folder: Path) -> None:
    add(folder, "centro")
    (folder / "garbage.env").write_bytes(b"\xff\xfe\x00\xd8")
    (folder / "gone.env").symlink_to("nowhere")
    (folder / "lost.env").symlink_to("x" * 300)  # not even the system can look at its end
    os.mkfifo(folder / "pipe.env")
    for name in ("garbage", "gone", "lost", "pipe"):
        with pytest.raises(ConfigurationError, match=f"{name}.env"):
            settings_of(folder, name)

    assert settings_of(folder, "centro").database_url.endswith("centro.db")


@pytest.mark.parametrize("name", ["META_PHONE_NUMBER_ID", "DATABASE_URL", "PING_URL"])
def test_what_two_clinics_should_not_share_is_a_warning(folder: Path, name: str) -> None:
    for clinic, value in (("centro", "sqlite:///a-1"), ("norte", "sqlite:///a-2"),
                          ("sul", "sqlite:///a-1")):  # fmt: skip
        add(folder, clinic, **{name: value})

    (warning,) = read_clinics(folder, {}).warnings

    assert warning.startswith(f"centro, sul have the same {name}")
    assert "a-1" not in warning


def test_one_monitor_for_all_clinics_has_a_place_for_their_names(folder: Path) -> None:
    for name in ("centro", "norte"):
        add(folder, name)

    without = read_clinics(folder, {"PING_URL": "https://monitor.example/{job}"}).warnings
    with_names = read_clinics(folder, {"PING_URL": "https://monitor.example/{clinic}"}).warnings

    assert [warning.split(";")[0] for warning in without] == [
        "centro, norte have the same PING_URL"
    ]
    assert with_names == ()


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_a_folder_without_a_clinic_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clinics"
    if kind == "empty":
        path.mkdir()
    elif kind == "file":
        path.write_text("")

    with pytest.raises(ConfigurationError, match="--clinics"):
        read_clinics(path, {})


def test_a_folder_in_the_place_of_a_clinic_s_file_is_a_clinic_that_says_so(folder: Path) -> None:
    add(folder, "centro")
    (folder / "norte.env").mkdir()
    (folder / "other").mkdir()

    found = read_clinics(folder, {})

    assert [clinic.name for clinic in found.all] == ["centro", "norte"]
    assert found.warnings == ()
    with pytest.raises(ConfigurationError, match=r"norte\.env: is no file"):
        understand(found.all[1].given)


def test_a_pipe_that_a_clinic_s_file_names_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "token")
    add(folder, "centro", META_ACCESS_TOKEN_FILE="token")

    with pytest.raises(ConfigurationError, match=r"META_ACCESS_TOKEN_FILE \(token\): is no file"):
        settings_of(folder, "centro")
