"""SIGTERM and Ctrl-C as a wish to end; a process that is PID 1 would not even notice them."""

import signal
from types import FrameType

from smartia_jobs.errors import ExitStatus, InterruptedRunError
from smartia_jobs.run import Stop

_STATUS = {signal.SIGTERM: ExitStatus.TERMINATED, signal.SIGINT: ExitStatus.INTERRUPTED}


def listen(stop: Stop) -> None:
    """Turn signals into ``stop`` while messages are being sent, else into an exception.

    A second Ctrl-C no longer waits for answers: what is in flight becomes unknown when its
    lease ends.
    """

    def heard(number: int, _: FrameType | None) -> None:
        status = _STATUS[signal.Signals(number)]
        impatient = number == signal.SIGINT and stop.requested
        stop.request(status)
        if impatient or not stop.heeded:
            raise InterruptedRunError(status)

    for one in _STATUS:
        signal.signal(one, heard)
