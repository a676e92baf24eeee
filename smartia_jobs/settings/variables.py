"""Every environment variable there is: its name, kind, default and meaning.

This table is the single place a setting is declared; reading it, ``check`` and the README's
table follow from it.
"""

from dataclasses import dataclass
from datetime import timedelta

from smartia_jobs.settings import readers
from smartia_jobs.settings.readers import Kind

_SECOND, _MINUTE = timedelta(seconds=1), timedelta(minutes=1)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable.

    Attributes:
        name: in the environment.
        field: of :class:`~smartia_jobs.settings.Settings`, with a dot for a part of one.
        kind: how its text is read and shown.
        meaning: for the README, ending without a full stop.
        default: the text that means the same as leaving it out; empty: none.
        example: a good value, where the default is none.
        secret: never shown, and may be given as a file named by ``NAME_FILE``.
        personal: not quoted when it is wrong, because of what may stand in it.
    """

    name: str
    field: str
    kind: Kind
    meaning: str
    default: str = ""
    example: str = ""
    secret: bool = False
    personal: bool = False

    @property
    def file_name(self) -> str:
        """What would name a file with the value in it; only a secret's is a setting."""
        return f"{self.name}_FILE"

    @property
    def names(self) -> tuple[str, ...]:
        """Every name in the environment by which this can be set."""
        return (self.name, self.file_name) if self.secret else (self.name,)


#: What an operator may set, in the order of the README.
VARIABLES: tuple[Variable, ...] = (
    Variable(
        "META_ACCESS_TOKEN",
        "meta_access_token",
        readers.SECRET,
        "WhatsApp's access token (of a system user, so that it does not expire); needed to send",
        example="EAAG…",
        secret=True,
    ),
    Variable(
        "META_PHONE_NUMBER_ID",
        "meta_phone_number_id",
        readers.DIGITS,
        "the id of the clinic's WhatsApp number (not the number itself); needed to send",
        example="106540352242922",
    ),
    Variable(
        "META_WABA_ID",
        "meta_waba_id",
        readers.DIGITS,
        "the id of the WhatsApp Business account; needed by `templates`, used by `check`",
        example="102290129340398",
    ),
    Variable(
        "META_APP_SECRET",
        "meta_app_secret",
        readers.SECRET,
        "the app's secret; adds a proof to each request (`appsecret_proof`)",
        example="0123456789abcdef0123456789abcdef",
        secret=True,
    ),
    Variable(
        "META_API_VERSION",
        "meta_api_version",
        readers.pattern(r"v[0-9]{2}\.[0-9]", "must be a Graph API version: v, a number, .0"),
        "the version of Meta's Graph API",
        default="v25.0",
    ),
    Variable(
        "META_API_URL",
        "meta_api_url",
        readers.API_URL,
        "where WhatsApp is; https, except on this machine itself (the sandbox)",
        default="https://graph.facebook.com",
        personal=True,  # a wrong one may hold a password
    ),
    Variable(
        "DATABASE_URL",
        "database_url",
        readers.DATABASE_URL,
        "SmartIA's database: `sqlite:///path` or `postgresql://user:password@host/database`",
        default="sqlite:///./smartia.db",
        secret=True,
    ),
    Variable(
        "STORED_TIMES",
        "stored_times",
        readers.choice("wall", "instant"),
        "PostgreSQL only: whether `appointment_date` holds the clinic's wall time or true instants",
        example="wall",
    ),
    Variable(
        "CLINIC_TIMEZONE",
        "clinic_timezone",
        readers.ZONE,
        "the clinic's time zone, an IANA name",
        default="America/Sao_Paulo",
    ),
    Variable(
        "CLINIC_NAME",
        "clinic_name",
        readers.TEXT_NAME,
        "the clinic as its patients know it",
        default="sua clínica",
    ),
    Variable(
        "CLINIC_PHONE",
        "clinic_phone",
        readers.PHONE,
        "adds a call button to templates that are submitted while it is set",
        example="+551133334444",
    ),
    Variable(
        "CLINIC_COUNTRY",
        "clinic_country",
        readers.COUNTRY,
        "the country that phone numbers without a country code belong to, two letters",
        default="BR",
    ),
    Variable(
        "MESSAGES_FILE",
        "messages_file",
        readers.PATH,
        "a message catalogue of your own (TOML)",
        example="messages.toml",
    ),
    Variable(
        "SEND_RATE",
        "send_rate",
        readers.number(0, 1000),
        "messages a second and process; raise it to 80 or 1000 where Meta allows",
        default="20",
    ),
    Variable(
        "SEND_WORKERS",
        "send_workers",
        readers.whole(1, 256),
        "messages on their way at one time; follows the rate when unset",
        example="16",
    ),
    Variable(
        "ONLY_TO",
        "only_to",
        readers.PHONES,
        "comma-separated phones; everybody else is skipped (for a first live run)",
        example="+5511987654321",
        personal=True,
    ),
    Variable(
        "REMINDER_24H_LEAD_HOURS",
        "reminder_24h.lead",
        readers.duration(_HOUR, 1, 336),
        "`24h`: how long before the visit the reminder is best",
        default="24",
    ),
    Variable(
        "REMINDER_24H_EVERY_HOURS",
        "reminder_24h.cadence",
        readers.duration(_HOUR, 0.01, 168),
        "`24h`: how often the job is scheduled",
        default="24",
    ),
    Variable(
        "REMINDER_24H_LATEST_HOURS",
        "reminder_24h.latest",
        readers.duration(_HOUR, 0.01, 336),
        "`24h`: how long before the visit the reminder stops being useful",
        default="6",
    ),
    Variable(
        "REMINDER_2H_LEAD_HOURS",
        "reminder_2h.lead",
        readers.duration(_HOUR, 0.1, 336),
        "`2h`: how long before the visit the reminder is best",
        default="2",
    ),
    Variable(
        "REMINDER_2H_EVERY_HOURS",
        "reminder_2h.cadence",
        readers.duration(_HOUR, 0.01, 168),
        "`2h`: how often the job is scheduled",
        default="1",
    ),
    Variable(
        "REMINDER_2H_LATEST_MINUTES",
        "reminder_2h.latest",
        readers.duration(_MINUTE, 1, 20160),
        "`2h`: how long before the visit the reminder stops being useful",
        default="45",
    ),
    Variable(
        "MIN_NOTICE_HOURS",
        "min_notice",
        readers.duration(_HOUR, 0, 336),
        "visits booked less than this before they start are not reminded",
        default="0",
    ),
    Variable(
        "QUIET_HOURS",
        "quiet_hours",
        readers.QUIET_HOURS,
        "clinic hours in which nothing is sent; may cross midnight",
        example="21:00-07:00",
    ),
    Variable(
        "NO_SEND_DAYS",
        "no_send_days",
        readers.NO_SEND_DAYS,
        "days of the week on which nothing is sent: mon, tue, wed, thu, fri, sat, sun",
        example="sat,sun",
    ),
    Variable(
        "NO_SHOW_STATUSES",
        "no_show_statuses",
        readers.STATUSES,
        "`no-show`: the statuses that become NO_SHOW",
        default="scheduled,confirmed",
    ),
    Variable(
        "NO_SHOW_GRACE_MINUTES",
        "no_show_grace",
        readers.duration(_MINUTE, 0, 10080),
        "`no-show`: how long after its start a visit counts as missed, at least its duration",
        default="60",
    ),
    Variable(
        "NO_SHOW_LOOKBACK_DAYS",
        "no_show_lookback",
        readers.duration(_DAY, 0.1, 90),
        "`no-show`: older visits are counted and pointed out, never touched",
        default="7",
    ),
    Variable(
        "NO_SHOW_BRAKE",
        "no_show_brake",
        readers.whole(1),
        "`no-show`: a run that would mark more than this marks nothing",
        default="200",
    ),
    Variable(
        "NO_SHOW_WITHOUT_ATTENDANCE",
        "no_show_without_attendance",
        readers.SWITCH,
        "`no-show`: 1 marks even where nobody records who came",
        default="0",
    ),
    Variable(
        "INVITATIONS",
        "invitations",
        readings.SWITCH,
        "`no-show`: 0 only marks and never invites anybody back",
        default="1",
    ),
    Variable(
        "REENGAGE_AFTER_MINUTES",
        "reengage_after",
        readers.duration(_MINUTE, 0, 20160),
        "`no-show`: how long after its start a missed visit is written about; unset: the grace",
        example="90",
    ),
    Variable(
        "REENGAGE_WITHIN_HOURS",
        "reengage_within",
        readers.duration(_HOUR, 1, 720),
        "`no-show`: after this nobody is written to about a missed visit",
        default="48",
    ),
    Variable(
        "ON_UNKNOWN",
        "on_unknown",
        readers.choice("hold", "resend"),
        "a message that may have been accepted: hold it for a person, or resend it once",
        default="hold",
    ),
    Variable(
        "CLAIM_LEASE_SECONDS",
        "claim_lease",
        readers.duration(_SECOND, 1, 3600, remark=" (below 100 only for the sandbox)"),
        "how long a message that is being sent is kept from other processes; at least 100",
        default="120",
    ),
    Variable(
        "AUTO_MIGRATE",
        "auto_migrate",
        readers.SWITCH,
        "0: a sending job does not create or upgrade its own tables (`db upgrade` does)",
        default="1",
    ),
    Variable(
        "LOG_FORMAT",
        "log_format",
        readers.choice("auto", "text", "json"),
        "auto: text on a terminal, JSON lines elsewhere",
        default="auto",
    ),
    Variable(
        "LOG_LEVEL",
        "log_level",
        readers.choice("DEBUG", "INFO", "WARNING", "ERROR", fold=str.upper),
        "the least that is logged",
        default="INFO",
    ),
)

#: What Cloud Run sets by itself
#: (https://cloud.google.com/run/docs/container-contract, 2026-11).
PLATFORM_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "CLOUD_RUN_JOB",
        "cloud_run_job",
        Kind(str),
        "set on Cloud Run; SQLite is refused there",
    ),
    Variable(
        "CLOUD_RUN_EXECUTION",
        "cloud_run_execution",
        Kind(str),
        "names the run in the logs and on claims",
    ),
    Variable(
        "CLOUD_RUN_TASK_INDEX",
        "task_index",
        readers.whole(0),
        "which of the tasks this is",
        default="0",
    ),
    Variable(
        "CLOUD_RUN_TASK_COUNT",
        "task_count",
        readers.whole(1),
        "how many tasks share `SEND_RATE`",
        default="1",
    ),
    Variable(
        "CLOUD_RUN_TASK_ATTEMPT",
        "task_attempt",
        readers.whole(0),
        "how often the task was tried before",
        default="0",
    ),
)
