"""The catalogue: for each kind of message, the template that WhatsApp sends in its name."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from smartia_jobs.catalogue import reminders, rules, words_back
from smartia_jobs.catalogue.words_back import WordsBack
from smartia_jobs.errors import ConfigurationError
from smartia_jobs.incoming import Meaning
from smartia_jobs.kinds import KINDS, ReminderKind

_SHIPPED = "default.pt_BR.toml"
#: The section with which a clinic adds words by which answers are understood.
_OWN_WORDS = "words"

_TEXT = "a text in quotes"
_HOURS = "a number of hours"
_KEYS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "name": (str, _TEXT),
    "language": (str, _TEXT),
    "category": (str, _TEXT),
    "body": (str, _TEXT),
    "parameter_format": (str, _TEXT),
    "variables": (list, 'a list of names, like ["paciente", "data"]'),
    "without_name": (str, _TEXT),
    "footer": (str, _TEXT),
    "call_button": (str, _TEXT),
    "buttons": (list, "sections, each begun by [[kind.buttons]]"),
    "time_to_live_seconds": (int, "a whole number of seconds"),
    "lead_hours": ((int, float), _HOURS),
    "every_hours": ((int, float), _HOURS),
    "latest_hours": ((int, float), _HOURS),
    "only_unconfirmed": (bool, "true or false"),
    "booked_days_ahead": (int, "a whole number of days"),
    "followed_by": (str, _TEXT),
    "confirmed": (dict, "a section of its own, begun by [kind.confirmed]"),
}
_REQUIRED = ("name", "language", "category", "body")

#: What the text for who confirmed already may say itself, and what it takes from its reminder
#: where it does not.
_OF_CONFIRMED = ("name", "body", "parameter_format", "variables", "without_name", "footer",
                 "call_button", "buttons")  # fmt: skip
_OF_ITS_REMINDER = ("language", "category", "time_to_live_seconds", "without_name")


@dataclass(frozen=True, slots=True)
class Button:
    """A button below a message.

    Attributes:
        type: ``quick_reply`` or ``url``.
        text: its label.
        url: where a url button leads.
        means: what a tap on a quick reply means, one of :data:`rules.MEANINGS`. None: it is
            nothing to this program.
        payload: what a quick reply sends to the clinic's own bot; ``{{id}}`` stands for the
            appointment's id. None, where there is no ``means`` either: WhatsApp sends the label.
    """

    type: str
    text: str
    url: str | None = None
    means: str | None = None
    payload: str | None = None


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """What is sent for one kind of message; whatever :mod:`rules` demands holds.

    Attributes:
        kind: one of :data:`smartia_jobs.kinds.KINDS`, or a section of the clinic's own; with
            ``.confirmed`` where it is the text for who confirmed already.
        name: the template's name at Meta.
        language: Meta's language code, also that of dates and lists.
        category: ``UTILITY`` or ``MARKETING``.
        body: the text with its placeholders, as Meta approves it.
        parameters: what each placeholder of the body stands for, in the order it is sent;
            the placeholders of a positional template are ``"1"``, ``"2"`` …
        named: whether Meta knows the parameters by name.
        without_name: what stands for a patient without a usable name.
        footer: a small line below the body.
        buttons: in order; the call button is not among them.
        call_button: the label of the button that calls the clinic; None for no such button.
        time_to_live: how long Meta tries to deliver; None for its default of 30 days.
        reminder: when it is due, and about which visits; None for what is no reminder.
        confirmed: what is sent instead about visits that are all confirmed; None: this.
    """

    kind: str
    name: str
    language: str
    category: str
    body: str
    parameters: Mapping[str, str]
    named: bool = True
    without_name: str = ""
    footer: str | None = None
    buttons: tuple[Button, ...] = ()
    call_button: str | None = None
    time_to_live: timedelta | None = None
    reminder: ReminderKind | None = None
    confirmed: "MessageTemplate | None" = None

    @property
    def asks(self) -> bool:
        """Whether it asks if the patient will come."""
        return any(button.means == Meaning.CONFIRM for button in self.buttons)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The template of every kind, in the order of :data:`smartia_jobs.kinds.KINDS`.

    Reminders that the clinic's own catalogue defines come last, as they stand there. The text for
    who confirmed already follows its reminder.

    Attributes:
        templates: kind to template.
        words_back: what patients are told in return for an answer.
        own_words: the clinic's section ``[words]``, in which nothing is wrong.
    """

    templates: Mapping[str, MessageTemplate]
    words_back: WordsBack
    own_words: Mapping[str, list[str]] = field(default_factory=dict)

    def __getitem__(self, kind: str) -> MessageTemplate:
        """Return the template of a kind."""
        return self.templates[kind]

    @property
    def reminders(self) -> Mapping[str, ReminderKind]:
        """Every kind of reminder, by its name, with the conditions in force."""
        kinds = (template.reminder for template in self.templates.values())
        return {kind.name: kind for kind in kinds if kind is not None}


def load_catalogue(path: Path | None) -> Catalogue:
    """Read the clinic's catalogue; kinds it leaves out are taken from the shipped one.

    Args:
        path: the clinic's TOML file; None for the shipped catalogue alone.

    Raises:
        ConfigurationError: with everything that is wrong, each problem naming file and kind.
    """
    own = {} if path is None else _tables(path.name, _file(path))
    own_back = own.pop(words_back.SECTION, {})
    own_words = own.pop(_OWN_WORDS, None)
    custom = {} if path is None else _read(path.name, own, own_back, own_words)
    shipped, shipped_back = _shipped()
    usual = {kind: custom.get(kind) or shipped[kind] for kind in KINDS} | custom
    templates = {
        template.kind: template
        for one in usual.values()
        for template in (one, one.confirmed)
        if template is not None
    }
    back = words_back.words_back(own_back, shipped_back)
    catalogue, file = Catalogue(templates, back, own_words or {}), path.name if path else _SHIPPED
    wrong = [f"{file}: {clash}" for clash in _clashes(templates)]
    followers = reminders.wrong_followers(catalogue.reminders)
    wrong += [f"{file} [{kind}]: {problem}" for kind, problem in followers]
    if wrong:
        raise ConfigurationError(wrong)
    return catalogue


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"MESSAGES_FILE: {path} cannot be read ({error.strerror}); correct the path, or "
            "unset MESSAGES_FILE to use the shipped messages"
        ) from error


@cache
def _shipped() -> tuple[Mapping[str, MessageTemplate], Mapping[str, Any]]:
    """Return the shipped templates and words back, which are the same for all clinics."""
    from importlib import resources

    content = resources.files("smartia_jobs.catalogue").joinpath(_SHIPPED).read_bytes()
    tables = _tables(_SHIPPED, content)
    back = tables.pop(words_back.SECTION)
    return _read(_SHIPPED, tables, back), back


def _tables(file: str, content: bytes) -> dict[str, Any]:
    try:
        # Windows editors put a byte order mark before UTF-8, which TOML does not allow.
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file}: is not UTF-8 text; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file}: is not TOML: {error}") from error


def _read(
    file: str, tables: Mapping[str, Any], back: object, own_words: object = None
) -> dict[str, MessageTemplate]:
    """Read every kind of a file, or raise with all that is wrong in it and in its words."""
    problems = [
        f"{file} [{section}]: {problem}"
        for kind, table in tables.items()
        for section, problem in _problems(kind, table)
    ]
    problems += [f"{file} [{words_back.SECTION}]: {one}" for one in words_back.problems(back)]
    if own_words is not None:
        from smartia_jobs.catalogue import words  # hundreds of words, which few clinics add to

        problems += [f"{file} [{_OWN_WORDS}]: {one}" for one in words.problems(own_words)]
    if problems:
        raise ConfigurationError(problems)
    return {
        kind: _template(kind, table, reminders.reminder(kind, table))
        for kind, table in tables.items()
    }


def _problems(kind: str, table: object) -> Iterator[tuple[str, str]]:
    """Yield each problem of a kind with the section it is in."""
    if kind not in KINDS and not reminders.is_own(kind, table):
        yield (
            kind,
            f"is no kind of message; there are {', '.join(KINDS)}, and reminders of your own,"
            f" which have {', '.join(reminders.TIMES)}; [{words_back.SECTION}] has what answers"
            " are answered with",
        )
        return
    if not isinstance(table, dict):
        yield kind, f"must be a section, begun by [{kind}]"
        return
    required = (*_REQUIRED, *(reminders.TIMES if reminders.is_own(kind, table) else ()))
    fit, wrong = _fitting(table, _KEYS, required)
    for problem in (*wrong, *rules.problems(fit), *reminders.problems(kind, fit)):
        yield kind, problem
    if "confirmed" in fit:
        own, wrong = _fitting(fit["confirmed"], _OF_CONFIRMED, ("name", "body"))
        for problem in (*wrong, *rules.problems(_with_its_reminders(fit, own))):
            yield _confirmed(kind), problem


def _fitting(
    table: Mapping[str, object], keys: Iterable[str], required: Iterable[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the keys whose values have the right types, and what is wrong with the others."""
    fit: dict[str, Any] = {}
    wrong: list[str] = []
    for key, value in table.items():
        if key in _KEYS and key not in keys:
            wrong.append(f"{key}: is that of its reminder; leave it out here")
        elif key not in keys:
            near = get_close_matches(key, keys, n=1)
            wrong.append(f"{key}: is unknown" + (f"; did you mean {near[0]}?" if near else ""))
        elif not _fits(key, value):
            wrong.append(f"{key}: must be {_KEYS[key][1]}")
        else:
            fit[key] = value
    wrong += [f"{key}: is missing" for key in required if key not in table]
    return fit, wrong


def _confirmed(kind: str) -> str:
    return f"{kind}.confirmed"


def _with_its_reminders(table: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the text for who confirmed already says, with what it takes from its reminder."""
    return {key: table[key] for key in _OF_ITS_REMINDER if key in table} | dict(own)


def _fits(key: str, value: object) -> bool:
    wanted = _KEYS[key][0]
    if not isinstance(value, wanted) or isinstance(value, bool) is not (wanted is bool):
        return False
    item = {"variables": str, "buttons": dict}.get(key)
    return item is None or (isinstance(value, list) and all(isinstance(i, item) for i in value))


def _template(
    kind: str, table: Mapping[str, Any], reminder: ReminderKind | None
) -> MessageTemplate:
    seconds = table.get("time_to_live_seconds", rules.THIRTY_DAYS)
    confirmed = None
    if "confirmed" in table:
        own = _with_its_reminders(table, table["confirmed"])
        confirmed = _template(_confirmed(kind), own, reminder)
    return MessageTemplate(
        kind=kind,
        name=table["name"],
        language=table["language"],
        category=table["category"],
        body=table["body"].strip(),
        parameters=rules.parameters(table),
        named=table.get("parameter_format", "named") == "named",
        without_name=table.get("without_name", ""),
        footer=table.get("footer"),
        buttons=tuple(Button(**button) for button in table.get("buttons", ())),
        call_button=table.get("call_button"),
        time_to_live=None if seconds == rules.THIRTY_DAYS else timedelta(seconds=seconds),
        reminder=reminder,
        confirmed=confirmed,
    )


def _clashes(templates: Mapping[str, MessageTemplate]) -> Iterator[str]:
    """Yield the names that two kinds use for different templates: Meta has one of a name."""
    seen: dict[tuple[str, str], MessageTemplate] = {}
    for template in templates.values():
        first = seen.setdefault((template.name, template.language), template)
        if _as_meta_sees(first) != _as_meta_sees(template):
            yield (
                f"[{first.kind}] and [{template.kind}] have the same name {template.name} for "
                "different texts, buttons or categories; give each text a name of its own"
            )


def _as_meta_sees(template: MessageTemplate) -> tuple[object, ...]:
    buttons = [(button.type, button.text, button.url) for button in template.buttons]
    return template.body, template.category, template.footer, buttons, template.call_button
