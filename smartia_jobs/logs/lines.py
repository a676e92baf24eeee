"""What a log line looks like: as JSON for Cloud Logging, as text for a person; pure."""

import json
import logging
import math
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

# Cloud Logging cuts an entry at 256 kB, and a cut line is no longer JSON
# (https://cloud.google.com/logging/quotas, 2026-11).
_MESSAGE_BYTES = 8_000
_STACK_BYTES = 60_000
_KEY_BYTES = 100
_LABELS = "logging.googleapis.com/labels"

#: A line stays one line, and text from outside cannot steer a terminal.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_CONTROL |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}

#: ``json.dumps`` would make an encoder for each line.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class JsonLines(logging.Formatter):
    """One JSON object a line, with the fields that Cloud Logging and Error Reporting read.

    Always ASCII (other letters as ``\\u`` escapes), so that no encoding of standard error can
    damage it; each text bounded; never NaN. Fields cannot replace Cloud Logging's own.

    Source: https://cloud.google.com/logging/docs/structured-logging, 2026-11.
    """

    def __init__(self, labels: Mapping[str, str]) -> None:
        """Put these labels on every line."""
        super().__init__()
        self._labels = {str(key): str(value) for key, value in labels.items()}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        entry = {
            **_fields(record),
            "severity": _severity(record.levelno),
            "message": _start(_message(record), _MESSAGE_BYTES),
            "time": _time(record).isoformat(),
            "logger": record.name,
            _LABELS: self._labels,
        }
        if record.exc_info:
            entry["stack_trace"] = _end(_stack(record.exc_info[1]), _STACK_BYTES)
        return _encode(entry)


class TextLines(logging.Formatter):
    """One line of text for a person, the stack below it."""

    def __init__(self, labels: Mapping[str, str] | None = None) -> None:
        """Put these labels among the fields of every line."""
        super().__init__()
        self._labels = dict(labels or {})

    def format(self, record: logging.LogRecord) -> str:
        """Return time, level, message and fields."""
        return " ".join(part for part in self.parts(record) if part) + self.stack(record)

    def parts(self, record: logging.LogRecord) -> tuple[str, str, str, str]:
        """Return local time, level, message and fields, each on one line."""
        fields = {**self._labels, **_fields(record)}
        pairs = " ".join(f"{key}={_pair(value)}" for key, value in fields.items())
        return (
            f"{_time(record).astimezone():%H:%M:%S}",
            f"{record.levelname:<7}",
            _start(_message(record), _MESSAGE_BYTES).translate(_CONTROL),
            pairs.translate(_CONTROL),
        )

    def stack(self, record: logging.LogRecord) -> str:
        """Return the stack with a line end before it; empty when there is none."""
        if not record.exc_info:
            return ""
        return "\n" + _end(_stack(record.exc_info[1]), _STACK_BYTES)


def _stack(error: BaseException | None) -> str:
    """Return where errors arose and of which type they are, the first one first.

    Without their words: those of an unexpected error may quote a patient's phone, name or text.
    """
    stacks = ["".join(_frames(one)) for one in _chain(error)]
    return "\n\nwhich led to:\n\n".join(reversed(stacks))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _frames(error: BaseException) -> Iterator[str]:
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    error_type = type(error)
    module = "" if error_type.__module__ == "builtins" else f"{error_type.__module__}."
    yield f"{module}{error_type.__qualname__}"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return str(record.msg)  # its arguments do not fit; the line matters more


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the structured fields of a line as plain JSON values."""
    fields = getattr(record, "ctx", None)
    return _plain(fields) if isinstance(fields, Mapping) else {}


def _plain(value: Any, depth: int = 4) -> Any:
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, str):
        return _start(value, _MESSAGE_BYTES)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, Mapping) and depth:
        return {_key(key): _plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [_plain(item, depth - 1) for item in value]
    return _start(str(value), _MESSAGE_BYTES)


@lru_cache(maxsize=256, typed=True)  # the same few, in line after line
def _key(key: object) -> str:
    return _start(str(key), _KEY_BYTES)


def _pair(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _severity(level: int) -> str:
    for least in (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG):
        if level >= least:
            return logging.getLevelName(least)
    return "DEFAULT"


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _start(text: str, limit: int) -> str:
    if text.isascii() and len(text) <= limit:
        return text
    octets = text.encode("utf-8", "replace")  # a lone surrogate becomes a question mark
    cut = octets[:limit].decode("utf-8", "ignore")
    return cut if len(octets) <= limit else f"{cut}…"


def _end(text: str, limit: int) -> str:
    octets = text.encode("utf-8", "replace")
    cut = octets[-limit:].decode("utf-8", "ignore")
    return cut if len(octets) <= limit else f"…{cut}"
