"""Standard output that nobody reads any more, that is full, closed, or knows no accents."""

import contextlib
import errno
import os
import sys
from typing import TextIO

#: What writing to a full disk or to a closed or dead stream raises.
_BROKEN = frozenset({errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF})


def prepare_streams() -> None:
    """Let every character be written, and a stream that was closed swallow what comes."""
    if sys.stdout is None:
        sys.stdout = _nowhere()
    if sys.stderr is None:
        sys.stderr = _nowhere()
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


def cannot_be_written(error: BaseException) -> bool:
    """Return whether an error is about a standard stream and not about a file."""
    return isinstance(error, OSError) and error.filename is None and error.errno in _BROKEN


def give_up_output(error: OSError) -> int:
    """Forget what was not written; return 0 for a reader who left, else 78 with the reason."""
    # The interpreter would try to write the rest once more at its end, and say so.
    sys.stdout = _nowhere()
    if error.errno == errno.EPIPE:
        return 0
    with contextlib.suppress(OSError):
        sys.stderr.write(f"smartia-jobs: standard output cannot be written ({error.strerror}).\n")
    return 78


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")
