"""Every setting: its variable, type, default, meaning and example, declared in one place.

Reading it, the table in docs/reference.md, ``check`` and the tests follow from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from math import ceil
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from smartia_jobs.kinds import LIMITS, REMINDERS, ReminderKind, Unit
from smartia_jobs.settings import readers
from smartia_jobs.settings.variable import DECLARED, Variable, setting, setting_in_parts
from smartia_jobs.timing import QuietHours, ReminderTimes

_SECOND, _MINUTE = timedelta(seconds=1), timedelta(minutes=1)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


def _hours(part: str) -> readers.Reader:
    """Read one of a reminder's times in hours."""
    return readers.duration(_HOUR, *LIMITS[part])


def _minutes(part: str) -> readers.Reader:
    """Read it in minutes, within the same limits."""
    least, most = LIMITS[part]
    return readers.duration(_MINUTE, ceil(60 * least), 60 * most)


#: In which unit a reminder's latest moment is given.
_LATEST = {Unit.HOURS: _hours("latest"), Unit.MINUTES: _minutes("latest")}


def _reminder(kind: ReminderKind) -> dict[str, Variable]:
    """Declare when one kind of reminder is due: a variable for each of its times."""
    command, before = kind.command, "how long before the visit the reminder"
    return {
        f"{kind.name}.lead": Variable(
            kind.setting("lead"),
            _hours("lead"),
            f"`{command}`: {before} is best",
            lambda: kind.times.lead,
        ),
        f"{kind.name}.cadence": Variable(
            kind.setting("cadence"),
            _hours("cadence"),
            f"`{command}`: how often the job is scheduled",
            lambda: kind.times.cadence,
        ),
        f"{kind.name}.latest": Variable(
            kind.setting("latest"),
            _LATEST[kind.latest_in],
            f"`{command}`: {before} stops being useful",
            lambda: kind.times.latest,
        ),
    }


def _reminders() -> Any:
    """Declare when each kind of reminder is due, with the times of its own as the default."""
    variables = {path: one for kind in REMINDERS for path, one in _reminder(kind).items()}
    return setting_in_parts({kind.name: kind.times for kind in REMINDERS}, variables)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the environment can say, in the order of docs/reference.md.

    Secrets are kept out of ``repr``.
    """

    # WhatsApp
    meta_access_token: str | None = setting(
        "META_ACCESS_TOKEN",
        readers.SECRET,
        "WhatsApp's access token (of a system user, so that it does not expire); needed to send",
        example="EAAG…",
        secret=True,
    )
    meta_phone_number_id: str | None = setting(
        "META_PHONE_NUMBER_ID",
        readers.DIGITS,
        "the id of the clinic's WhatsApp number (not the number itself); needed to send",
        example="106540352242922",
    )
    meta_waba_id: str | None = setting(
        "META_WABA_ID",
        readers.DIGITS,
        "the id of the WhatsApp Business account; needed by `templates`, used by `check`",
        example="102290129340398",
    )
    meta_app_secret: str | None = setting(
        "META_APP_SECRET",
        readers.SECRET,
        "the app's secret; adds a proof to each request (`appsecret_proof`), and tells the webhook"
        " what Meta has signed",
        example="0123456789abcdef0123456789abcdef",
        secret=True,
    )
    meta_app_secret_old: str | None = setting(
        "META_APP_SECRET_OLD",
        readers.SECRET,
        "`serve`: the app's secret before, which the webhook takes as well while it is changed",
        example="fedcba9876543210fedcba9876543210",
        secret=True,
    )
    meta_verify_token: str | None = setting(
        "META_VERIFY_TOKEN",
        readers.SECRET,
        "`serve`: the word that Meta shows when it is given the webhook's address; together with"
        " `META_APP_SECRET` it turns `/webhook` on",
        example="a-word-that-you-made-up",
        secret=True,
    )
    meta_api_version: str = setting(
        "META_API_VERSION",
        readers.pattern(r"v[0-9]{2}\.[0-9]", "must be a Graph API version: v, a number, .0"),
        "the version of Meta's Graph API",
        default="v25.0",
    )
    meta_api_url: str = setting(
        "META_API_URL",
        readers.API_URL,
        "where WhatsApp is; https, except on this machine itself (the sandbox)",
        default="https://graph.facebook.com",
        personal=True,  # a wrong one may hold a password
    )

    # The clinic and its database
    database_url: str = setting(
        "DATABASE_URL",
        readers.DATABASE_URL,
        "SmartIA's database: `sqlite:///path` or `postgresql://user:password@host/database`",
        default="sqlite:///./smartia.db",
        secret=True,
        shared=True,
    )
    stored_times: str | None = setting(
        "STORED_TIMES",
        readers.choice("wall", "instant"),
        "PostgreSQL only: whether `appointment_date` holds the clinic's wall time or true instants",
        example="wall",
    )
    clinic_timezone: ZoneInfo = setting(
        "CLINIC_TIMEZONE",
        readers.ZONE,
        "the clinic's time zone, an IANA name",
        default=lambda: ZoneInfo("America/Sao_Paulo"),
    )
    clinic_name: str = setting(
        "CLINIC_NAME",
        readers.TEXT_NAME,
        "the clinic as its patients know it",
        default="sua clínica",
    )
    clinic_phone: str | None = setting(
        "CLINIC_PHONE",
        readers.PHONE,
        "the phone that reminders name; templates with a call button get it when submitted",
        example="+551133334444",
    )
    clinic_country: str = setting(
        "CLINIC_COUNTRY",
        readers.COUNTRY,
        "the country that phone numbers without a country code belong to, two letters",
        default="BR",
    )
    messages_file: Path | None = setting(
        "MESSAGES_FILE",
        readers.PATH,
        "a message catalogue of your own (TOML)",
        example="messages.toml",
    )

    # Sending
    #: Once read, this process's own share: the tasks of a Cloud Run job divide it.
    send_rate: float = setting(
        "SEND_RATE",
        readers.number(0, 1000),
        "messages a second and process; raise it to 80 or 1000 where Meta allows",
        default=20.0,
        shared=True,
    )
    send_workers: int | None = setting(
        "SEND_WORKERS",
        readers.whole(1, 256),
        "messages on their way at one time; follows the rate when unset",
        example="16",
        shared=True,
    )
    #: As typed, still to be parsed; empty: everyone.
    only_to: frozenset[str] = setting(
        "ONLY_TO",
        readers.PHONES,
        "comma-separated phones; everybody else is skipped (for a first live run)",
        default=frozenset[str](),
        example="+5511987654321",
        personal=True,
    )

    # When
    #: By the name of the kind.
    reminders: Mapping[str, ReminderTimes] = _reminders()
    min_notice: timedelta = setting(
        "MIN_NOTICE_HOURS",
        readers.duration(_HOUR, 0, 336),
        "visits booked less than this before they start are not reminded",
        default=timedelta(0),
    )
    quiet_hours: QuietHours | None = setting(
        "QUIET_HOURS",
        readers.QUIET_HOURS,
        "clinic hours in which nothing is sent; may cross midnight",
        example="21:00-07:00",
    )
    #: 0 = Monday … 6 = Sunday.
    no_send_days: frozenset[int] = setting(
        "NO_SEND_DAYS",
        readers.NO_SEND_DAYS,
        "days of the week on which nothing is sent: mon, tue, wed, thu, fri, sat, sun",
        default=frozenset[int](),
        example="sat,sun",
    )

    # No-show
    no_show_statuses: frozenset[str] = setting(
        "NO_SHOW_STATUSES",
        readers.STATUSES,
        "`no-show`: the statuses that become NO_SHOW",
        default=frozenset({"SCHEDULED", "CONFIRMED"}),
    )
    no_show_grace: timedelta = setting(
        "NO_SHOW_GRACE_MINUTES",
        readers.duration(_MINUTE, 0, 10080),
        "`no-show`: how long after its start a visit becomes a no-show, at least its duration",
        default=60 * _MINUTE,
    )
    no_show_lookback: timedelta = setting(
        "NO_SHOW_LOOKBACK_DAYS",
        readers.duration(_DAY, 0.1, 90),
        "`no-show`: older visits are counted and pointed out, never touched",
        default=7 * _DAY,
    )
    no_show_brake: int = setting(
        "NO_SHOW_BRAKE",
        readers.whole(1),
        "`no-show`: a run that would mark more than this marks nothing",
        default=200,
    )
    no_show_without_attendance: bool = setting(
        "NO_SHOW_WITHOUT_ATTENDANCE",
        readers.SWITCH,
        "`no-show`: 1 marks even where nobody records who came",
        default=False,
    )
    invitations: bool = setting(
        "INVITATIONS",
        readers.SWITCH,
        "`no-show`: 0 only marks and never invites anybody back",
        default=True,
    )
    reengage_after: timedelta | None = setting(
        "REENGAGE_AFTER_MINUTES",
        readers.duration(_MINUTE, 0, 20160),
        "`no-show`: how long after the start of a no-show its patient is invited; unset: the grace",
        example="90",
    )
    reengage_within: timedelta = setting(
        "REENGAGE_WITHIN_HOURS",
        readers.duration(_HOUR, 1, 720),
        "`no-show`: after this nobody is invited because of a no-show",
        default=48 * _HOUR,
    )

    # What comes back
    listen_to: str = setting(
        "LISTEN_TO",
        readers.choice("auto", "webhook", "smartia"),
        "`replies`: what is read besides what our webhook stored: `smartia`: SmartIA's own"
        " dialogues; `webhook`: nothing; `auto`: those, until a webhook of ours has stored"
        " something",
        default="auto",
    )

    # Answers
    on_cancel: str = setting(
        "ON_CANCEL",
        readers.choice("tap", "any", "list"),
        "a patient cancels: `tap` cancels the visit when a button was tapped, `any` by words too, "
        "`list` only lists it",
        default="tap",
    )
    word_back: bool = setting(
        "WORD_BACK",
        readers.SWITCH,
        "0: patients who answer get no word back",
        default=True,
    )
    keep_answers: timedelta = setting(
        "KEEP_ANSWERS_DAYS",
        readers.duration(_DAY, 1, 3650),
        "how long the text of a patient's answer is kept",
        default=30 * _DAY,
    )

    # Safety
    on_unknown: str = setting(
        "ON_UNKNOWN",
        readers.choice("hold", "resend"),
        "a message that may have been accepted: hold it for a person, or resend it once",
        default="hold",
    )
    claim_lease: timedelta = setting(
        "CLAIM_LEASE_SECONDS",
        readers.duration(_SECOND, 1, 3600, remark=" (below 100 only for the sandbox)"),
        "how long a message that is being sent is kept from other processes; at least 100",
        default=120 * _SECOND,
    )
    database_is_a_copy: bool = setting(
        "DATABASE_IS_A_COPY",
        readers.SWITCH,
        "1: `DATABASE_URL` is a copy to try things on; goes with the sandbox, and with it alone",
        default=False,
    )
    auto_migrate: bool = setting(
        "AUTO_MIGRATE",
        readers.SWITCH,
        "0: a sending job does not create or upgrade its own tables (`db upgrade` does)",
        default=True,
        shared=True,
    )

    # The HTTP service
    http_auth: str | None = setting(
        "HTTP_AUTH",
        readers.choice("iam", "token"),
        "`serve`: who may start jobs: `token` (`HTTP_TOKEN`), or `iam` where Cloud Run itself "
        "checks every caller; unset: jobs cannot be started over HTTP",
        example="token",
    )
    http_token: str | None = setting(
        "HTTP_TOKEN",
        readers.LONG_SECRET,
        "`serve`: what a caller sends as `Authorization: Bearer …`; at least 16 characters",
        example="0123456789abcdef0123456789abcdef",
        secret=True,
    )

    webhook_forward_url: str | None = setting(
        "WEBHOOK_FORWARD_URL",
        readers.FORWARD_URL,
        "`serve`: SmartIA's webhook, where it has the same number: everything is forwarded to it"
        " but statuses of our messages, taps on our buttons and words that we understand",
        example="https://api.example.org/webhook/meta",
        personal=True,  # a wrong one may hold a password
    )

    # Logs
    log_format: str = setting(
        "LOG_FORMAT",
        readers.choice("auto", "text", "json"),
        "auto: text on a terminal, JSON lines elsewhere",
        default="auto",
        shared=True,
    )
    log_level: str = setting(
        "LOG_LEVEL",
        readers.choice("DEBUG", "INFO", "WARNING", "ERROR", fold=str.upper),
        "the least that is logged",
        default="INFO",
        shared=True,
    )

    ping_url: str | None = setting(
        "PING_URL",
        readers.PING_URL,
        "requested at the start of each run of a reminder, `no-show`, `replies`, `calls` or"
        " `metrics` with `/start` and at its end with its exit status, as healthchecks.io expects;"
        " `{job}` and, of one clinic among many, its name for `{clinic}` are filled in",
        example="https://hc-ping.com/KEY/smartia-{job}",
        secret=True,  # whoever knows it can report in our name
    )

    # Where it runs
    # Source: https://cloud.google.com/run/docs/container-contract (2026-11).
    cloud_run_job: str | None = setting(
        "CLOUD_RUN_JOB",
        readers.ANY_TEXT,
        "set on Cloud Run; SQLite is refused there",
        platform=True,
    )
    cloud_run_service: str | None = setting(
        "K_SERVICE",
        readers.ANY_TEXT,
        "set on Cloud Run's services; SQLite is refused there as well",
        platform=True,
    )
    cloud_run_execution: str | None = setting(
        "CLOUD_RUN_EXECUTION",
        readers.ANY_TEXT,
        "names the run in the logs and on claims",
        platform=True,
    )
    task_index: int = setting(
        "CLOUD_RUN_TASK_INDEX",
        readers.whole(0),
        "which of the tasks this is",
        default=0,
        platform=True,
    )
    task_count: int = setting(
        "CLOUD_RUN_TASK_COUNT",
        readers.whole(1),
        "how many tasks share `SEND_RATE`",
        default=1,
        platform=True,
    )
    task_attempt: int = setting(
        "CLOUD_RUN_TASK_ATTEMPT",
        readers.whole(0),
        "how often the task was tried before",
        default=0,
        platform=True,
    )

    def times_of(self, kind: ReminderKind) -> ReminderTimes:
        """Return when a kind of reminder is due in this clinic."""
        return self.reminders.get(kind.name, kind.times)


_DECLARED = tuple(
    replace(variable, field=f"{one.name}.{part}".rstrip("."))
    for one in fields(Settings)
    for part, variable in one.metadata[DECLARED].items()
)
#: What an operator may set, in the order of docs/reference.md.
VARIABLES = tuple(variable for variable in _DECLARED if not variable.platform)
#: What Cloud Run sets.
PLATFORM_VARIABLES = tuple(variable for variable in _DECLARED if variable.platform)


def describe(settings: Settings) -> list[tuple[str, str | None]]:
    """Return each variable's name and the value in force, secrets masked, in that order.

    ``SEND_RATE`` is this process's own share. A variable without a value has None.
    """
    return [(variable.name, _shown(variable, settings) or None) for variable in VARIABLES]


def _shown(variable: Variable, settings: Settings) -> str:
    value: Any = settings
    for part in variable.field.split("."):
        value = value[part] if isinstance(value, Mapping) else getattr(value, part)
    return variable.shown(value)
