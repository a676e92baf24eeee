"""How settings are read from text: what each may be, what is said of a bad one, how it is shown.

Every reader raises ValueError with what the text must be ("must be …"), never quoting it: a
value may be a secret.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from smartia_jobs.settings import database_url
from smartia_jobs.timing import QuietHours

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Reader:
    """How one type of setting is read and shown.

    Attributes:
        read: text (never empty, no space around it) to value.
        show: value to the text that would give it, without any secret.
    """

    read: Callable[[str], Any]
    show: Callable[[Any], str] = str


def pattern(expression: str, otherwise: str, *, show: Callable[[str], str] = str) -> Reader:
    """Text that matches ``expression`` in full."""
    compiled = re.compile(expression)

    def read(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(otherwise)
        return text

    return Reader(read, show)


def choice(*words: str, fold: Callable[[str], str] = str.lower) -> Reader:
    """One of these words, in any case."""

    def read(text: str) -> str:
        if fold(text) not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return fold(text)

    return Reader(read)


def several(words: Mapping[str, Any]) -> Reader:
    """A comma-separated choice of these words, each standing for a value."""

    def read(text: str) -> frozenset[Any]:
        chosen = [word.strip().lower() for word in text.split(",") if word.strip()]
        if not chosen or not set(chosen) <= words.keys():
            raise ValueError(f"must be one or more of {', '.join(words)}, with commas between them")
        return frozenset(words[word] for word in chosen)

    def show(values: frozenset[Any]) -> str:
        return ",".join(word for word, value in words.items() if value in values)

    return Reader(read, show)


def whole(least: int, most: int | None = None) -> Reader:
    """A whole number within these limits, both included."""

    def read(text: str) -> int:
        number = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None
        if number is None or number < least or (most is not None and number > most):
            raise ValueError(f"must be a whole number{_limits(least, most)}")
        return number

    return Reader(read)


def number(above: float, most: float) -> Reader:
    """A number greater than ``above`` and at most ``most``."""

    def read(text: str) -> float:
        value = _decimal(text)
        if value is None or not above < value <= most:
            raise ValueError(f"must be a number above {above:g} and at most {most:g}")
        return value

    return Reader(read, lambda value: f"{value:g}")


def duration(unit: timedelta, least: float, most: float, *, remark: str = "") -> Reader:
    """So many ``unit``, fractions allowed, within these limits, both included."""

    def read(text: str) -> timedelta:
        value = _decimal(text)
        if value is None or not least <= value <= most:
            raise ValueError(f"must be a number{_limits(least, most)}{remark}")
        return value * unit

    return Reader(read, lambda value: f"{value / unit:g}")


def _decimal(text: str) -> float | None:
    """Return a plain decimal number; None for anything else, such as nan, inf and 1e9."""
    return float(text) if re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", text) else None


def _limits(least: float, most: float | None) -> str:
    return f" of at least {least:g}" if most is None else f" from {least:g} to {most:g}"


def _read_switch(text: str) -> bool:
    switches = {"1": True, "true": True, "yes": True, "on": True}
    switches |= {"0": False, "false": False, "no": False, "off": False}
    if text.lower() not in switches:
        raise ValueError("must be 1 (yes) or 0 (no)")
    return switches[text.lower()]


def _read_zone(text: str) -> ZoneInfo:
    if re.fullmatch(r"Etc/GMT[+-][1-9][0-9]?", text):
        # POSIX counts westward: Etc/GMT-3 is UTC+3, the other side of the world.
        raise ValueError(
            "must be the zone of a place: in Etc/GMT names the sign means the opposite (Etc/GMT-3 "
            "is UTC+3)"
        )
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        # Listing all zones reads hundreds of files: only for the advice.
        from difflib import get_close_matches
        from zoneinfo import available_timezones

        # None of Etc/, whose signs mean the opposite; the first by the alphabet wins.
        names = sorted((name for name in available_timezones() if "/" in name), reverse=True)
        names = [name for name in names if not name.startswith("Etc/")]
        places = {name.lower().rpartition("/")[2]: name for name in names}
        whole = {name.lower(): name for name in names}
        wanted = text.lower().replace(" ", "_")
        place = wanted.rpartition("/")[2]
        # The place alone first: America/ is half of a name, and America/Acree is not Recife.
        close = [places[one] for one in get_close_matches(place, places, n=2, cutoff=0.8)]
        close = close or [whole[one] for one in get_close_matches(wanted, whole, n=2, cutoff=0.7)]
        advice = f" (did you mean {' or '.join(close)}?)" if close else ""
        raise ValueError(f"must be an IANA time zone{advice}") from None


def _address(text: str, otherwise: str) -> SplitResult:
    """Split an address that names a host; raise ValueError with ``otherwise`` for another text."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError(otherwise) from None
    if not parts.hostname or not text.isprintable() or re.search(r"\s", text):
        raise ValueError(otherwise)
    return parts


def _require_https(parts: SplitResult, why: str) -> None:
    """Raise ValueError unless the address is https, or http on this machine."""
    is_local = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if parts.scheme != "https" and not is_local:
        raise ValueError(
            f"{why}; it must begin with https:// (http:// only for this machine itself)"
        )


def _read_api_url(text: str) -> str:
    otherwise = "must be https:// and a host, with no path (the program adds it)"
    parts = _address(text, otherwise)
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(otherwise)
    _require_https(parts, "receives the access token")
    return text.rstrip("/")


def _read_forward_url(text: str) -> str:
    otherwise = "must be an address such as https://api.example.org/webhook/meta"
    parts = _address(text, otherwise)
    if parts.scheme not in ("http", "https"):
        raise ValueError(otherwise)
    _require_https(parts, "receives what patients write")
    return text


def _read_ping_url(text: str) -> str:
    otherwise = "must be an address such as https://hc-ping.com/KEY/smartia-{job}"
    try:
        filled = text.format(job="job", clinic="clinic")
    except (ValueError, LookupError, AttributeError):
        raise ValueError(f"{otherwise}; only {{job}} and {{clinic}} are filled in") from None
    if _address(filled, otherwise).scheme not in ("http", "https"):
        raise ValueError(otherwise)
    return text


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine itself, by its name or address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _read_quiet_hours(text: str) -> QuietHours:
    try:
        start, end = (time.fromisoformat(part.strip().zfill(5)) for part in text.split("-"))
    except ValueError:
        raise ValueError(
            "must be two clock times from 00:00 to 23:59 with a hyphen between them"
        ) from None
    if start == end:
        raise ValueError("must begin and end at different times; leave it empty for no quiet hours")
    minutes = (60 * (start.hour - end.hour) + start.minute - end.minute) % _DAY_MINUTES
    if minutes < _LEAST_MINUTES:
        raise ValueError("must leave at least an hour a day in which messages are sent")
    return QuietHours(start, end)


def _read_no_send_days(text: str) -> frozenset[int]:
    days: frozenset[int] = _DAY_NAMES.read(text)
    if len(days) == len(DAYS):
        raise ValueError("must leave at least one day on which messages are sent")
    return days


def _read_phones(text: str) -> frozenset[str]:
    phones = [phone.strip() for phone in text.split(",") if phone.strip()]
    if not phones or not all(_PHONE.fullmatch(phone) for phone in phones):
        raise ValueError("must be phone numbers with country and area code, commas between them")
    return frozenset(phones)


def _read_name(text: str) -> str:
    try:
        # What Python could not decode by the locale (LC_ALL=C) it kept byte by byte.
        text = text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("must be UTF-8 text") from None
    if len(text) > 60 or not text.isprintable():
        raise ValueError("must be a single line of at most 60 characters")
    return text


def _read_path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("must be a path without ~: there is no such home directory") from None


def _read_country(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2}", text):
        raise ValueError("must be a country's two letters (ISO 3166)")
    return text.upper()


_DAY_MINUTES = 24 * 60
#: Jobs run hourly, some more often: less of the day might meet none of their runs.
_LEAST_MINUTES = 60
#: At least an area code and eight digits.
_PHONE = re.compile(r"\+?(?:[0-9][ ().-]*){10,15}")
_DAY_NAMES = several({name: number for number, name in enumerate(DAYS)})

TEXT_NAME = Reader(_read_name)
SWITCH = Reader(_read_switch, lambda value: str(int(value)))
ZONE = Reader(_read_zone, lambda zone: str(zone.key))
API_URL = Reader(_read_api_url)
PING_URL = Reader(_read_ping_url)
FORWARD_URL = Reader(_read_forward_url)
COUNTRY = Reader(_read_country)
PATH = Reader(_read_path)
ANY_TEXT = Reader(str)
PHONE = pattern(_PHONE.pattern, "must be a phone number with country and area code")
PHONES = Reader(_read_phones, lambda phones: f"{len(phones)} phones" if phones else "")
DIGITS = pattern(r"[0-9]{1,30}", "must be the id, digits only (it is not the phone number itself)")
#: Printable ASCII: it travels in an HTTP header, and paste brings quotes and line ends along.
SECRET = pattern(
    r"[!#-&(-~]+",
    "must be the bare value: no spaces, line breaks or quotes in it, no 'Bearer'",
    show=lambda _: "(set)",
)
#: One that is not Meta's but the operator's own: what is short can be guessed.
LONG_SECRET = pattern(
    r"[!#-&(-~]{16,}",
    "must be at least 16 characters, with no spaces, line breaks or quotes in it, no 'Bearer'",
    show=lambda _: "(set)",
)
DATABASE_URL = Reader(database_url.normalise, database_url.masked)
QUIET_HOURS = Reader(_read_quiet_hours, lambda hours: f"{hours.start:%H:%M}-{hours.end:%H:%M}")
NO_SEND_DAYS = Reader(_read_no_send_days, _DAY_NAMES.show)
STATUSES = several({"scheduled": "SCHEDULED", "confirmed": "CONFIRMED"})
