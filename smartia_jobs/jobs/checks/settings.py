"""Settings, catalogue and platform: what can be judged without database or network."""

import os
from collections.abc import Iterator
from datetime import timedelta
from math import ceil
from stat import S_IROTH, S_IWOTH

from smartia_jobs.catalogue.loading import Catalogue
from smartia_jobs.jobs.checks.finding import Finding, Level
from smartia_jobs.jobs.sender import OnlyTo
from smartia_jobs.jobs.time_to_live import outlives
from smartia_jobs.settings import Settings
from smartia_jobs.settings.checks import is_sandbox, wrong_database
from smartia_jobs.settings.database_url import masked
from smartia_jobs.settings.declarations import VARIABLES, describe
from smartia_jobs.settings.environment import Given

#: Cloud Run's default for a task.
#: Source: https://cloud.google.com/run/docs/configuring/task-timeout (2026-11).
_USUAL_TIMEOUT = timedelta(minutes=10)
#: Waits for throttles, start and database, besides the sending itself.
_RESERVE = timedelta(minutes=6)


def settings_file(given: Given) -> Finding:
    """Say which settings file was read, and what of it or the environment should be mended."""
    if given.is_unreadable:
        text = f"{given.file} could not be read: none of its settings is in force."
        return Finding("settings_file", Level.PROBLEM, text, "mend it as the line of settings says")
    text = which_file(given)
    warnings = [(warning, "mend it where it is set") for warning in given.warnings]
    if _others_may_read(given):
        step = f"run: chmod 600 {given.file} (640 if its group is to read it)"
        warnings.append(("It holds a secret, and every user of this machine may read it.", step))
    if not warnings:
        return Finding("settings_file", Level.OK, text)
    first, *others = (warning for warning, _ in warnings)
    steps = "; ".join(dict.fromkeys(step for _, step in warnings))
    return Finding("settings_file", Level.WARNING, f"{text} {first}", steps, tuple(others))


def which_file(given: Given) -> str:
    """Say in a sentence which settings file was read."""
    if not given.was_read:
        return f"None was read ({given.file}): all settings come from the environment."
    ranks = "it outranks the environment" if given.file_outranks else "the environment outranks it"
    return f"{given.file} was read; {ranks}."


def _others_may_read(given: Given) -> bool:
    """Whether the settings file holds a secret that is open to every user of this machine."""
    if os.name != "posix" or not given.was_read or given.texts.get("CLOUD_RUN_JOB"):
        return False  # a bucket that Cloud Run mounts has no modes of its own
    secrets = (variable for variable in VARIABLES if variable.secret)
    holds_one = any(
        variable.name in given.of_file and _is_secret(variable.name, given.texts[variable.name])
        for variable in secrets
    )
    return holds_one and bool(given.file.stat().st_mode & (S_IROTH | S_IWOTH))


def _is_secret(name: str, text: str) -> bool:
    """Whether a value must stay one; a database's address may hold no password."""
    return bool(text.strip()) and (name != "DATABASE_URL" or masked(text) != text)


def settings_in_force(settings: Settings) -> Finding:
    """Say how many settings are set, and what shows them."""
    values, usual = describe(settings), dict(describe(Settings()))
    changed = sum(value != usual[name] for name, value in values)
    how_many = f"Not at their defaults: {changed} of {len(values)}"
    text = f"{how_many}; smartia-jobs config show lists each."
    return Finding("settings_in_force", Level.OK, text)


def settings_fit(settings: Settings, *, must_send: bool) -> Finding:
    """Say what is missing for sending, and which values are rarely meant.

    Raises:
        ConfigurationError: ``ONLY_TO`` holds something that is no phone.
    """
    OnlyTo(settings)
    needed = {
        "META_ACCESS_TOKEN": settings.meta_access_token,
        "META_PHONE_NUMBER_ID": settings.meta_phone_number_id,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        level = Level.PROBLEM if must_send else Level.WARNING
        text = f"{' and '.join(missing)} not set: nothing can be sent."
        step = "create the WhatsApp account and its token (README: first reminder)"
        return Finding("settings", level, text, step)
    warnings = dict(_worth_a_look(settings))
    if warnings:
        text, step = " ".join(warnings), "; ".join(warnings.values())
        return Finding("settings", Level.WARNING, text, step)
    return Finding("settings", Level.OK, "All are valid.")


def _worth_a_look(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield values that are valid but rarely meant, each with what to do."""
    mismatch = wrong_database(settings)
    if mismatch is not None:
        yield mismatch
    elif is_sandbox(settings):
        yield (
            "META_API_URL is this machine itself, a sandbox: nothing reaches a patient.",
            "for the clinic itself remove META_API_URL and DATABASE_IS_A_COPY",
        )
    elif settings.meta_api_url != Settings().meta_api_url:
        yield (
            "META_API_URL is not WhatsApp's own address: perhaps nothing reaches a patient.",
            "remove META_API_URL, unless it is a gateway that passes everything on to WhatsApp",
        )
    if settings.only_to:
        text = f"ONLY_TO is set: all but {len(settings.only_to)} phones are skipped."
        yield text, "unset ONLY_TO when the trial is over"
    if settings.clinic_name == Settings().clinic_name:
        text = f'CLINIC_NAME is not set: patients read "{settings.clinic_name}".'
        yield text, "set CLINIC_NAME to the clinic's name as its patients know it"
    if settings.quiet_hours is None:
        text = "QUIET_HOURS is not set: a run at night writes to patients at night."
        yield text, "set QUIET_HOURS, for example to 21:00-07:00"


def cloud_run(settings: Settings, people: int | None) -> Finding:
    """Say what a task needs on Cloud Run: how it was configured cannot be seen from inside.

    Args:
        settings: with the job's name, as Cloud Run set it.
        people: how many a day's largest run writes to; None when that is not known.
    """
    name = f"job {settings.cloud_run_job}"
    if settings.database_url.startswith("sqlite"):
        text = f"{name}: an SQLite file vanishes with the container."
        return Finding("cloud_run", Level.PROBLEM, text, "use PostgreSQL")
    sending = timedelta(seconds=(people or 0) / (settings.send_rate * settings.task_count))
    minutes = ceil((sending + _RESERVE) / timedelta(minutes=1))
    text = f"{name}, {settings.task_count} tasks; a run takes up to {minutes} min."
    step = (
        f"give it a task time-out of {minutes} min or more and 1 to 3 retries (both are not"
        " visible from inside): gcloud run jobs describe"
    )
    enough = timedelta(minutes=minutes) <= _USUAL_TIMEOUT
    return Finding("cloud_run", Level.OK if enough else Level.WARNING, text, step)


def time_to_live(settings: Settings, catalogue: Catalogue) -> Finding:
    """Compare how long the catalogue lets WhatsApp try with when reminders lose their use."""
    found = (outlives(template, settings) for template in catalogue.templates.values())
    # A reminder and its text for who confirmed already live equally long.
    too_long = list(dict.fromkeys(problem for problem in found if problem is not None))
    if not too_long:
        return Finding("time_to_live", Level.OK, "No reminder outlives its use.")
    step = "in MESSAGES_FILE give the kind a shorter time_to_live_seconds and a new name (…_v2)"
    return Finding("time_to_live", Level.WARNING, too_long[0], step, tuple(too_long[1:]))
