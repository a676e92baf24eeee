"""From the environment to checked settings: where values come from, and how they fit together."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from smartia_jobs.errors import ConfigurationError
from smartia_jobs.settings.declarations import Settings
from smartia_jobs.settings.readers import is_loopback
from smartia_jobs.settings.variables import PLATFORM_VARIABLES, VARIABLES, Variable
from smartia_jobs.timing import ReminderTimes

#: A POST may start on a claim up to 60 s old, connect for 5 s and be read for 30 s: a claim
#: that ends earlier could be taken for dead, and its message be sent twice.
SHORTEST_LEASE = timedelta(seconds=100)


def load_settings(
    environ: Mapping[str, str], *, env_file: Path | None = None, directory: Path
) -> Settings:
    """Read and check all settings.

    The environment outranks the file, also with an empty value, which means "not set" (but
    ``ONLY_TO`` may not be empty). A secret may be given as ``NAME_FILE``, the path of a file
    that holds it.

    Args:
        environ: the environment.
        env_file: a file of ``NAME=value`` lines that must exist; None: ``.env``, if there is one.
        directory: where ``.env`` is looked for, and the files that settings name.

    Raises:
        ConfigurationError: with every problem there is, each naming its variable.
    """
    problems: list[str] = []
    texts = _from_file(env_file, directory, problems)
    problems += _mistyped(texts, environ)
    problems += _files_of_no_secret(texts, environ)
    for variable in VARIABLES:
        if environ.keys() & set(variable.names):
            for name in variable.names:
                texts.pop(name, None)
    texts.update(environ)
    values: dict[str, Any] = {}
    for variable in VARIABLES + PLATFORM_VARIABLES:
        text = _text_of(variable, texts, directory, problems)
        if text:
            try:
                values[variable.field] = variable.kind.read(text)
            except ValueError as error:
                problems.append(_problem(variable, text, error))
    if not texts.get("ONLY_TO", "unset").strip():
        # As from a shell variable that is not set: the guard of a first live run fails closed.
        problems.append("ONLY_TO is set, but empty; remove it to write to everybody.")
    settings = _assemble(values, directory)
    problems += _contradictions(settings)
    if problems:
        raise ConfigurationError(problems)
    return replace(settings, send_rate=settings.send_rate / settings.task_count)


def require_sending(settings: Settings) -> None:
    """Check that messages can be sent at all.

    Raises:
        ConfigurationError: naming each variable that is missing.
    """
    needed = {
        "META_ACCESS_TOKEN": settings.meta_access_token,
        "META_PHONE_NUMBER_ID": settings.meta_phone_number_id,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise ConfigurationError(
            [f"{name} is not set; without it nothing can be sent." for name in missing]
        )


def describe(settings: Settings) -> list[tuple[str, str]]:
    """Return each variable's name and the value in force, secrets masked, in the README's order.

    ``SEND_RATE`` is this process's own share. A variable without a value is shown as ``-``.
    """
    return [(variable.name, _shown(variable, settings)) for variable in VARIABLES]


def _shown(variable: Variable, settings: Settings) -> str:
    value: Any = settings
    for part in variable.field.split("."):
        value = getattr(value, part)
    if value is None:
        return "-"
    if variable.secret and variable.name != "DATABASE_URL":  # whose kind masks its password
        return "(set)"
    return variable.kind.show(value) or "-"


def _from_file(env_file: Path | None, directory: Path, problems: list[str]) -> dict[str, str]:
    """Return what the ``.env`` file says; what is wrong with it goes to ``problems``."""
    path = directory / (env_file or ".env")
    if env_file is None and not os.path.lexists(path):
        return {}
    content = _content(path, str(path), problems)
    if content is None:
        return {}
    from io import StringIO

    from dotenv.parser import parse_stream

    texts: dict[str, str] = {}
    for line in parse_stream(StringIO(content)):
        if line.error:
            # The line itself may hold a secret.
            problems.append(f"{path}, line {line.original.line}: must be NAME=value.")
        elif line.key is not None:
            texts[line.key] = line.value or ""
    return texts


def _mistyped(file: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the names that are almost a setting's, where that setting itself is missing.

    Any other name is nobody's mistake: SmartIA may share the file, and the environment is full
    of them. There, only underscores, case and a final S may differ.
    """
    given = file.keys() | environ.keys()
    ours: set[str] = set()
    missing: dict[str, str] = {}
    for variable in VARIABLES:
        ours |= {*variable.names, variable.file_name}
        if given.isdisjoint(variable.names):
            missing |= {_letters(name): name for name in variable.names}
    for name in sorted(given - ours):
        meant = missing.get(_letters(name))
        if meant is None and name in file:
            from difflib import get_close_matches

            close = get_close_matches(_letters(name), missing, n=1, cutoff=0.85)
            meant = missing[close[0]] if close else None
        if meant is not None:
            yield f"{name} is no setting; did you mean {meant}?"


def _files_of_no_secret(file: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the ``NAME_FILE`` of settings that are no secret: nobody would read that file."""
    for variable in VARIABLES:
        name = variable.file_name
        if not variable.secret and (environ.get(name, "") + file.get(name, "")).strip():
            yield (
                f"{name} is no setting: only a secret can be given as a file; "
                f"set {variable.name} itself."
            )


def _letters(name: str) -> str:
    return name.upper().replace("_", "").removesuffix("S")


def _content(path: Path, what: str, problems: list[str]) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        problems.append(f"{what}: there is no such file.")
    except OSError as error:
        problems.append(f"{what}: cannot be read ({error.strerror}).")
    except ValueError:
        problems.append(f"{what}: is not UTF-8 text; save it as UTF-8.")
    return None


def _text_of(
    variable: Variable, texts: Mapping[str, str], directory: Path, problems: list[str]
) -> str:
    """Return the stripped text of a variable, from its file if it names one; empty: not set."""
    text = texts.get(variable.name, "").strip()
    file = texts.get(variable.file_name, "").strip() if variable.secret else ""
    if not file:
        return text
    if text:
        problems.append(f"{variable.name} and {variable.file_name} are both set; keep one of them.")
        return ""
    content = _content(directory / file, f"{variable.file_name} ({file})", problems)
    if content is not None and not content.strip():
        problems.append(f"{variable.file_name} ({file}): the file is empty.")
    return (content or "").strip()


def _problem(variable: Variable, text: str, error: ValueError) -> str:
    shown = "" if variable.secret or variable.personal else f" is {text[:80]!r}; it"
    example = "" if variable.secret else f", for example {variable.example or variable.default}"
    return f"{variable.name}{shown} {error}{example}."


def _assemble(values: Mapping[str, Any], directory: Path) -> Settings:
    whole = {name: value for name, value in values.items() if "." not in name}
    for kind in ("reminder_24h", "reminder_2h"):
        parts = {
            part.name: values[f"{kind}.{part.name}"]
            for part in fields(ReminderTimes)
            if f"{kind}.{part.name}" in values
        }
        whole[kind] = replace(getattr(Settings(), kind), **parts)
    if "messages_file" in whole:
        whole["messages_file"] = directory / whole["messages_file"].expanduser()
    return Settings(**whole)


def _contradictions(settings: Settings) -> Iterator[str]:
    """Yield what is wrong with settings that are right one by one."""
    reminders = (("24H", "HOURS", settings.reminder_24h), ("2H", "MINUTES", settings.reminder_2h))
    for name, unit, times in reminders:
        most = times.lead - times.cadence / 2
        if most <= timedelta(0):
            yield (
                f"REMINDER_{name}_EVERY_HOURS is too long: it must be less than twice "
                f"REMINDER_{name}_LEAD_HOURS, or some visits would be reminded by no run."
            )
        elif times.latest > most:
            yield (
                f"REMINDER_{name}_LATEST_{unit} is too long: with REMINDER_{name}_LEAD_HOURS and "
                f"REMINDER_{name}_EVERY_HOURS as they are, some visits would be reminded by no "
                f"run. It can be at most {most / timedelta(**{unit.lower(): 1}):g}: the lead less "
                "half of the time between two runs."
            )
    after = settings.reengage_after
    if (settings.no_show_grace if after is None else after) >= settings.reengage_within:
        yield (
            "REENGAGE_WITHIN_HOURS must be longer than REENGAGE_AFTER_MINUTES (unless that is "
            "set, NO_SHOW_GRACE_MINUTES); as it is, nobody would ever be invited back."
        )
    if settings.messages_file is not None and not settings.messages_file.is_file():
        yield f"MESSAGES_FILE: there is no such file: {settings.messages_file}."
    sandbox = is_loopback(urlsplit(settings.meta_api_url).hostname or "")
    if settings.claim_lease < SHORTEST_LEASE and not sandbox:
        yield (
            f"CLAIM_LEASE_SECONDS must be at least {SHORTEST_LEASE.total_seconds():g}, or a "
            "message could be sent twice; it may be shorter only while META_API_URL is the "
            "sandbox on this machine."
        )
    if settings.cloud_run_job and settings.database_url.startswith("sqlite"):
        yield (
            "DATABASE_URL is an SQLite file, and this is Cloud Run: the file would vanish with "
            "the container, and with it the memory of what was sent. Use PostgreSQL "
            "(postgresql://user:password@/database?host=/cloudsql/PROJECT:REGION:INSTANCE)."
        )
