"""From the environment, a file and files of secrets to settings: where values come from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from os.path import exists, isfile  # they say no where Path's own raise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from smartia_jobs.errors import ConfigurationError
from smartia_jobs.settings.checks import contradictions
from smartia_jobs.settings.declarations import PLATFORM_VARIABLES, VARIABLES, Settings
from smartia_jobs.settings.names import files_of_no_secret, near_misses
from smartia_jobs.settings.variable import Variable


@dataclass(frozen=True, slots=True)
class Given:
    """What the environment and the file say, before any of it is understood.

    Attributes:
        texts: by the name of the variable.
        directory: where the files are that settings of the environment name.
        file: the settings file that was looked for, by its whole path.
        was_read: whether it was there and could be read.
        problems: what is wrong already.
        warnings: what an operator should correct, although a run can go on.
        of_file: those names whose text is the file's.
        file_outranks: the environment, as that of one clinic of many does.
        is_unreadable: the file was to be read and could not be; ``problems`` says why.
    """

    texts: Mapping[str, str]
    directory: Path
    file: Path
    was_read: bool
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    of_file: frozenset[str] = frozenset()
    file_outranks: bool = False
    is_unreadable: bool = False

    def path(self, name: str, path: str | Path) -> Path:
        """Return the path that a setting names; in a settings file it is relative to that file."""
        return (self.file.parent if name in self.of_file else self.directory) / path


def load_settings(
    environ: Mapping[str, str], *, env_file: Path | None = None, directory: Path
) -> Settings:
    """Read and check all settings, as :func:`gather` and :func:`understand` do."""
    return understand(gather(environ, env_file=env_file, directory=directory))


def gather(
    environ: Mapping[str, str],
    *,
    env_file: Path | None = None,
    directory: Path,
    file_outranks: bool = False,
) -> Given:
    """Collect the texts of all settings; what is wrong is kept for :func:`understand` to raise.

    One of the two outranks the other, also with an empty value, which means "not set". A pair of
    quotation marks around a whole value of the environment is taken off: ``docker run
    --env-file`` leaves them there, and patients would read them.

    Args:
        environ: the environment.
        env_file: a file of ``NAME=value`` lines that must exist; None: ``.env``, if there is one.
        directory: where ``.env`` is looked for, and the files that the environment names.
        file_outranks: the file is one clinic's, and many share the environment; otherwise
            the environment outranks the file.
    """
    problems: list[str] = []
    warnings: list[str] = []
    path = directory / (env_file or ".env")
    content = _file_content(
        path, problems, warnings, must_exist=env_file is not None, pipes=not file_outranks
    )
    is_unreadable = bool(problems)
    file = _assignments(content, path, problems)
    for miss in near_misses(file, environ):
        (warnings if miss.harmless else problems).append(miss.advice)
    problems += files_of_no_secret(file, environ)
    if not file_outranks:
        warnings += _outranked(file, environ, path)
    outside = dict(environ)
    for name in _quoted(environ):
        outside[name] = environ[name].strip()[1:-1]
        warnings.append(
            f"{name} is in quotation marks in the environment; they were taken off. "
            "Remove them where it is set."
        )
    weaker, stronger = (outside, file) if file_outranks else (file, outside)
    texts = dict(weaker)
    for variable in VARIABLES:
        if stronger.keys() & set(variable.names):
            for name in variable.names:
                texts.pop(name, None)
    texts.update(stronger)
    of_file = frozenset(file) if file_outranks else frozenset(texts.keys() - environ.keys())
    was_read = content is not None
    return Given(
        texts,
        directory,
        path,
        was_read,
        tuple(problems),
        tuple(warnings),
        of_file,
        file_outranks,
        is_unreadable,
    )


def understand(given: Given) -> Settings:
    """Return the checked settings.

    ``ONLY_TO`` may not be empty. A secret may be given as ``NAME_FILE``, the path of a file that
    holds it.

    Raises:
        ConfigurationError: with every problem there is, each naming its variable.
    """
    problems = list(given.problems)
    values: dict[str, Any] = {}
    for variable in VARIABLES + PLATFORM_VARIABLES:
        text = _text_of(variable, given, problems)
        if text:
            try:
                value = variable.reader.read(text)
                is_path = isinstance(value, Path)
                values[variable.field] = given.path(variable.name, value) if is_path else value
            except ValueError as error:
                problems.append(_problem(variable, text, error))
    if not given.texts.get("ONLY_TO", "unset").strip():
        # As from a shell variable that is not set: the guard of a first live run fails closed.
        problems.append("ONLY_TO is set, but empty; remove it to write to everybody.")
    settings = Settings()
    for path, value in values.items():
        settings = _with(settings, path, value)
    problems += contradictions(settings)
    if problems:
        raise ConfigurationError(problems)
    return replace(settings, send_rate=settings.send_rate / settings.task_count)


def log_form(given: Given) -> tuple[str, str]:
    """Return ``LOG_FORMAT`` and ``LOG_LEVEL``, whatever else is wrong.

    Errors in other settings are logged in this form as well. Where these two are wrong, the
    defaults hold.
    """
    usual = Settings()
    return (
        _understood("log_format", given) or usual.log_format,
        _understood("log_level", given) or usual.log_level,
    )


def ping_url_of(given: Given) -> str | None:
    """Return ``PING_URL``, whatever else is wrong; None: it is not set, or wrong itself."""
    url: str | None = _understood("ping_url", given)
    return url


def zone_of(given: Given) -> ZoneInfo | None:
    """Return ``CLINIC_TIMEZONE``, whatever else is wrong; None: it is wrong itself."""
    if not given.texts.get("CLINIC_TIMEZONE", "").strip():
        return Settings().clinic_timezone
    zone: ZoneInfo | None = _understood("clinic_timezone", given)
    return zone


def _understood(field: str, given: Given) -> Any:
    """Return the value of one setting; None: it is not set, or wrong.

    A pipe that it may name gives its text but once, and is left to :func:`understand`.
    """
    (variable,) = (one for one in VARIABLES if one.field == field)
    text = _text_of(variable, given, [], pipes=False)
    try:
        return variable.reader.read(text) if text else None
    except ValueError:
        return None


def _file_content(
    path: Path, problems: list[str], warnings: list[str], *, must_exist: bool, pipes: bool
) -> str | None:
    """Return the text of the settings file, if there is one; what is wrong goes to the lists."""
    if not must_exist:
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:  # a folder that this user may not look into
            warnings.append(f"{path}: cannot be looked for ({error.strerror}), and is not read.")
            return None
    return _content(path, str(path), problems, pipes=pipes)


def _assignments(content: str | None, path: Path, problems: list[str]) -> dict[str, str]:
    """Return what the settings file says, by name."""
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


def _outranked(file: Mapping[str, str], environ: Mapping[str, str], path: Path) -> Iterator[str]:
    """Yield what the file says without effect: a crontab or shell may have set it long ago."""
    for variable in VARIABLES:
        in_file, outside = (
            {name: text for name in variable.names if (text := given.get(name, "").strip())}
            for given in (file, environ)
        )
        if in_file and outside != in_file and environ.keys() & set(variable.names):
            yield f"{variable.name} in the environment outranks what {path} says, and differs."


def _quoted(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield which settings have one pair of quotation marks around their whole value."""
    for variable in VARIABLES:
        for name in variable.names:
            text = environ.get(name, "").strip()
            if len(text) > 1 and text[0] == text[-1] in "\"'" and text[0] not in text[1:-1]:
                yield name


def _content(path: Path, what: str, problems: list[str], *, pipes: bool) -> str | None:
    """Return the text of a file; a pipe is read for as long as nobody writes, if it may be one."""
    if not pipes and exists(path) and not isfile(path):
        problems.append(f"{what}: is no file.")
        return None
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        problems.append(f"{what}: there is no such file.")
    except OSError as error:
        problems.append(f"{what}: cannot be read ({error.strerror}).")
    except ValueError:
        problems.append(f"{what}: is not UTF-8 text; save it as UTF-8.")
    return None


def _text_of(variable: Variable, given: Given, problems: list[str], *, pipes: bool = True) -> str:
    """Return the stripped text of a variable, from its file if it names one; empty: not set."""
    text = given.texts.get(variable.name, "").strip()
    file = given.texts.get(variable.file_name, "").strip() if variable.secret else ""
    if not file:
        return text
    if text:
        problems.append(f"{variable.name} and {variable.file_name} are both set; keep one of them.")
        return ""
    path, what = given.path(variable.file_name, file), f"{variable.file_name} ({file})"
    # Of many clinics none may hold up the others.
    content = _content(path, what, problems, pipes=pipes and not given.file_outranks)
    if content is not None and not content.strip():
        problems.append(f"{variable.file_name} ({file}): the file is empty.")
    return (content or "").strip()


def _problem(variable: Variable, text: str, error: ValueError) -> str:
    shown = "" if variable.secret or variable.personal else f" is {text[:80]!r}; it"
    example = "" if variable.secret else f", for example {variable.example or variable.default}"
    return f"{variable.name}{shown} {error}{example}."


def _with(whole: Any, path: str, value: Any) -> Any:
    """Return the settings, or a part of them, with one value changed."""
    name, _, rest = path.partition(".")
    if isinstance(whole, Mapping):
        return {**whole, name: _with(whole[name], rest, value) if rest else value}
    return replace(whole, **{name: _with(getattr(whole, name), rest, value) if rest else value})
