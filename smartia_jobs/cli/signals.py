"""SIGTERM and Ctrl-C as a wish to end; a process that is PID 1 would not even notice them."""

import os
import signal
import threading
from types import FrameType

from smartia_jobs.errors import ExitStatus, InterruptedRunError
from smartia_jobs.run import Stop

#: A scheduler kills what has not ended 10 s after SIGTERM (Cloud Run, Docker); whatever
#: holds the process up, a hanging disk or server, it leaves before that.
LEAVE_AFTER_S = 9.0
#: How long the last log lines may take, should nobody read them.
_LAST_WORDS_S = 0.5

_STATUS = {signal.SIGTERM: ExitStatus.TERMINATED, signal.SIGINT: ExitStatus.INTERRUPTED}


def listen(stop: Stop) -> None:
    """Turn signals into ``stop`` while messages are being sent, else into an exception.

    A second Ctrl-C no longer waits for answers: what is in flight becomes unknown when its
    lease ends. Nor does a process that is still there ``LEAVE_AFTER_S`` after the signal.
    """

    def heard(number: int, _: FrameType | None) -> None:
        status = _STATUS[signal.Signals(number)]
        impatient = number == signal.SIGINT and stop.requested
        if not stop.requested:
            leave = threading.Timer(LEAVE_AFTER_S, _leave, (stop, status))
            leave.daemon = True
            leave.start()
        stop.request(status)
        if impatient or not stop.heeded:
            raise InterruptedRunError(status)

    for one in _STATUS:
        signal.signal(one, heard)


def _leave(stop: Stop, status: ExitStatus) -> None:
    """End the process, whatever its threads hang in; each open claim becomes unknown."""
    speaking = threading.Thread(target=stop.last_words, daemon=True)
    speaking.start()
    speaking.join(_LAST_WORDS_S)
    os._exit(status)
