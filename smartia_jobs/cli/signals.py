"""SIGTERM and Ctrl-C as a wish to end; a process that is PID 1 would not even notice them.

A terminal that is closed (SIGHUP) wishes the same as SIGTERM.
"""

import atexit
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

from smartia_jobs.errors import ExitStatus, InterruptedRunError

if TYPE_CHECKING:
    from smartia_jobs.run import Stop

#: A scheduler kills what has not ended 10 s after SIGTERM (Cloud Run, Docker); whatever
#: holds the process up, a hanging disk or server, it leaves before that.
LEAVE_AFTER_S = 9.0
#: A service waits for jobs of its own, which leave after that.
SERVICE_LEAVES_AFTER_S = LEAVE_AFTER_S + 0.5
#: How long the last log lines may take, should nobody read them.
_LAST_WORDS_S = 0.5

_STATUS = {signal.SIGTERM: ExitStatus.TERMINATED, signal.SIGINT: ExitStatus.INTERRUPTED}
if sys.platform != "win32":
    _STATUS[signal.SIGHUP] = ExitStatus.TERMINATED


def leave_at_once(final: int | None = None) -> None:
    """Answer signals by ending the process: there is nothing yet, or no more, to end in order.

    While modules are loaded an exception could be lost in one of them.

    Args:
        final: the status of a process that has done its work; None: the signal's own.
    """

    def on_signal(number: int, _: FrameType | None) -> None:
        if final is None:
            _say_that_nothing_was_begun(_STATUS[signal.Signals(number)])
        os._exit(_STATUS[signal.Signals(number)] if final is None else final)

    _answer(on_signal)
    if final is not None and sys.platform != "win32":
        # While the interpreter ends it takes its handlers away, and a signal would kill it.
        atexit.register(signal.pthread_sigmask, signal.SIG_BLOCK, _STATUS)


def listen(stop: "Stop", *, leave_after_s: float = LEAVE_AFTER_S) -> None:
    """Turn signals into ``stop`` while messages are being sent, else into an exception.

    A second Ctrl-C no longer waits for answers: what is in flight becomes unknown when its
    lease ends. Nor does a process that is still there ``leave_after_s`` after the signal.

    Raises:
        InterruptedRunError: a signal came before, and its exception got lost.
    """
    before = signal.getsignal(signal.SIGTERM)
    _answer(_Listener(stop, leave_after_s))
    if isinstance(before, _Listener) and before.stop.status is not None:
        raise InterruptedRunError(before.stop.status)


def leave_in_time(number: int) -> None:
    """End a service that is still there when its time after a signal is over, with its status."""
    from smartia_jobs.run import Stop

    _leave_soon(Stop(), _STATUS[signal.Signals(number)], SERVICE_LEAVES_AFTER_S)


class _Listener:
    """Hears signals for one run."""

    def __init__(self, stop: "Stop", leave_after_s: float) -> None:
        self.stop = stop
        self.leave_after_s = leave_after_s

    def __call__(self, number: int, _: FrameType | None) -> None:
        status = _STATUS[signal.Signals(number)]
        impatient = number == signal.SIGINT and self.stop.requested
        if not self.stop.requested:
            _leave_soon(self.stop, status, self.leave_after_s)
        self.stop.request(status)
        if impatient or not self.stop.is_polled:
            raise InterruptedRunError(status, sending=self.stop.is_polled)


def _answer(handler: "signal._HANDLER") -> None:
    """Handle the signals, even if the parent process has blocked them.

    What was ignored stays ignored, as under nohup and behind a script's ``&``; but SIGTERM is
    the one that nobody can mean to ignore.
    """
    for one in _STATUS:
        if one == signal.SIGTERM or signal.getsignal(one) != signal.SIG_IGN:
            signal.signal(one, handler)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STATUS)


def _say_that_nothing_was_begun(status: ExitStatus) -> None:
    """Write straight to the descriptors: a signal may come in the middle of another line."""
    words = str(InterruptedRunError(status))
    lines = {2: f"smartia-jobs: {words}\n"}
    if "--json" in sys.argv:
        job = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
        lines[1] = f'{{"job": "{job}", "exit_code": {int(status)}, "error": "{words}"}}\n'
    for number, line in lines.items():
        try:
            os.write(number, line.encode("utf-8", "replace"))
        except OSError:
            continue  # closed or full: the status says it


def _leave_soon(stop: "Stop", status: ExitStatus, after_s: float) -> None:
    import threading

    leave = threading.Timer(after_s, _leave, (stop, status))
    leave.daemon = True
    leave.start()


def _leave(stop: "Stop", status: ExitStatus) -> None:
    """End the process, whatever its threads hang in; each open claim becomes unknown."""
    import threading

    speaking = threading.Thread(target=stop.on_forced_exit, daemon=True)
    speaking.start()
    speaking.join(_LAST_WORDS_S)
    os._exit(status)
