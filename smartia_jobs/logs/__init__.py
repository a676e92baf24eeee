"""Log lines: what they look like, and where they go."""

from smartia_jobs.logs.handlers import (
    a_person_watches,
    configure_logs,
    hold_logs,
    label_lines,
    log_event,
    logs_are_json,
    stderr_console,
    tell,
)

__all__ = [
    "a_person_watches",
    "configure_logs",
    "hold_logs",
    "label_lines",
    "log_event",
    "logs_are_json",
    "stderr_console",
    "tell",
]
