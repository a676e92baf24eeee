"""The settings of one run: read from the environment once, checked all together, immutable."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from smartia_jobs.timing import QuietHours, ReminderTimes


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the environment can say. Secrets are kept out of ``repr``."""

    # WhatsApp
    meta_access_token: str | None = field(default=None, repr=False)
    meta_phone_number_id: str | None = None
    meta_waba_id: str | None = None
    meta_app_secret: str | None = field(default=None, repr=False)
    meta_api_version: str = "v25.0"
    meta_api_url: str = "https://graph.facebook.com"
    # the clinic and its database
    database_url: str = field(default="sqlite:///./smartia.db", repr=False)
    stored_times: str | None = None  # "wall" | "instant"
    clinic_timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("America/Sao_Paulo"))
    clinic_name: str = "sua clínica"
    clinic_phone: str | None = None
    clinic_country: str = "BR"
    messages_file: Path | None = None
    # sending
    send_rate: float = 20.0  # messages a second of this process: its share of the tasks'
    send_workers: int | None = None  # None: follows the rate
    only_to: frozenset[str] = frozenset()  # phones as typed, still to be parsed; empty: everyone
    # when
    reminder_24h: ReminderTimes = field(
        default=ReminderTimes(
            lead=timedelta(hours=24), cadence=timedelta(hours=24), latest=timedelta(hours=6)
        )
    )
    reminder_2h: ReminderTimes = field(
        default=ReminderTimes(
            lead=timedelta(hours=2), cadence=timedelta(hours=1), latest=timedelta(minutes=45)
        )
    )
    min_notice: timedelta = timedelta(0)
    quiet_hours: QuietHours | None = None
    no_send_days: frozenset[int] = frozenset()  # 0 = Monday … 6 = Sunday
    # no-show
    no_show_statuses: frozenset[str] = frozenset({"SCHEDULED", "CONFIRMED"})
    no_show_grace: timedelta = timedelta(minutes=60)
    no_show_lookback: timedelta = timedelta(days=7)
    no_show_brake: int = 200
    no_show_without_attendance: bool = False
    invitations: bool = True
    reengage_after: timedelta | None = None  # None: the grace
    reengage_within: timedelta = timedelta(hours=48)
    # safety
    on_unknown: str = "hold"  # "hold" | "resend"
    claim_lease: timedelta = timedelta(seconds=120)
    auto_migrate: bool = True
    # logs
    log_format: str = "auto"  # "auto" | "text" | "json"
    log_level: str = "INFO"
    # where it runs
    cloud_run_job: str | None = None  # set by Cloud Run
    task_index: int = 0
    task_count: int = 1
    task_attempt: int = 0
    cloud_run_execution: str | None = None
