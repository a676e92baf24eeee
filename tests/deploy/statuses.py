"""Which exit statuses a scheduler should not answer with another try."""

from smartia_jobs.errors import ExitStatus

#: Running again would not help (the README's table).
FINAL = {
    int(status)
    for status in (
        ExitStatus.BUG,
        ExitStatus.USAGE,
        ExitStatus.UNREACHED,
        ExitStatus.REFUSED,
        ExitStatus.CONFIGURATION,
    )
}
