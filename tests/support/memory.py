"""A folder in memory: there a database is made in a tenth of the time, and no commit waits."""

import os
import shutil
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there has a private folder

#: What three workers and their servers take at most, and as much again.
_ENOUGH_BYTES = 2 << 30


def memory() -> Path | None:
    """Return a folder that is memory, has room and lets scripts run; None without one."""
    if not os.access(_MEMORY, os.W_OK | os.X_OK):
        return None
    programs_run = not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC  # a container's lets none
    return _MEMORY if programs_run and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES else None
