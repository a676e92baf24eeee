"""From the environment, a file and files of secrets to settings: where values come from."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from smartia_jobs.errors import ConfigurationError
from smartia_jobs.settings.checks import contradictions
from smartia_jobs.settings.declarations import PLATFORM_VARIABLES, VARIABLES, Settings
from smartia_jobs.settings.variable import Variable


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
                values[variable.field] = variable.reader.read(text)
            except ValueError as error:
                problems.append(_problem(variable, text, error))
    if not texts.get("ONLY_TO", "unset").strip():
        # As from a shell variable that is not set: the guard of a first live run fails closed.
        problems.append("ONLY_TO is set, but empty; remove it to write to everybody.")
    settings = _assemble(values, directory)
    problems += contradictions(settings)
    if problems:
        raise ConfigurationError(problems)
    return replace(settings, send_rate=settings.send_rate / settings.task_count)


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
    whole: dict[str, Any] = {}
    for path, value in values.items():
        name, _, part = path.partition(".")
        if part:
            value = replace(whole.get(name, getattr(Settings(), name)), **{part: value})
        whole[name] = value
    if "messages_file" in whole:
        whole["messages_file"] = directory / whole["messages_file"].expanduser()
    return Settings(**whole)
