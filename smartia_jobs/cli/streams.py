"""Standard streams that nobody reads any more, that are full or closed, or know no accents.

Nothing that is written there may stop the work of a run, or change what its exit status says of
it: what cannot be written is dropped where it would be written, and said at the end.
"""

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from smartia_jobs.errors import ExitStatus

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Descriptor(io.FileIO):
    """A standard stream's descriptor, which swallows what cannot be written.

    Attributes:
        error: why the first write failed that did; nothing is tried after it, so that no
            output has a hole in it.
    """

    def __init__(self, number: int) -> None:
        """Write to this descriptor, and never close it."""
        super().__init__(number, "w", closefd=False)
        self.error: OSError | None = None

    def write(self, octets: "ReadableBuffer", /) -> int:
        """Write some of the octets, waiting where a pipe that does not block is full."""
        size = memoryview(octets).nbytes
        while self.error is None:
            try:
                written = super().write(octets)
            except OSError as error:
                self.error = error
            else:
                if written is not None:
                    return written
                _wait_until_writable(self.fileno())
        return size


def prepare_streams() -> None:
    """Let every character be written, and what cannot be written stop nothing."""
    _open_what_was_closed()
    sys.stdout = _sturdy(sys.stdout, errors="replace")
    sys.stderr = _sturdy(sys.stderr, errors="backslashreplace")


def output_error() -> OSError | None:
    """Return why standard output could not be written, if it could not."""
    sys.stdout.flush()
    descriptor = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return descriptor.error if isinstance(descriptor, _Descriptor) else None


def forget_output() -> None:
    """Let nobody ask any more whether standard output could be written."""
    sys.stdout = _nowhere()


def status_of_output(status: int) -> int:
    """Return the exit status of a command whose result went to standard output.

    A reader who left has seen enough. Where a result could not be written otherwise, a command
    that succeeded says 78 and why.
    """
    error = output_error()
    if error is None or error.errno == errno.EPIPE:
        return status
    sys.stderr.write(f"smartia-jobs: standard output cannot be written ({error.strerror}).\n")
    return status or int(ExitStatus.CONFIGURATION)


def _open_what_was_closed() -> None:
    """Give each standard descriptor that was closed to nobody.

    The next file or connection would be given its number otherwise, and be sent whatever a
    library writes to standard error.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _sturdy(stream: TextIO | None, *, errors: str) -> TextIO:
    if stream is None:  # it was closed
        return _nowhere()
    buffer = getattr(stream, "buffer", None)
    if type(getattr(buffer, "raw", buffer)) is not io.FileIO:
        return stream  # a Windows console, or whoever looks at what this process writes
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(stream.fileno())),
        encoding=stream.encoding,
        errors=errors,
        line_buffering=bool(stream.line_buffering or getattr(stream, "write_through", False)),
    )


def _wait_until_writable(number: int) -> None:
    import select

    select.select([], [number], [])


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")
