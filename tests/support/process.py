"""The test's own process, left as it was found by what runs a command in it."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import smartia_jobs.whatsapp.connections  # noqa: F401 - sets levels of urllib3 as it is loaded
from smartia_jobs.logs import stderr_console

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def process_as_before() -> Iterator[None]:
    """Take back what is done in the block to the log and the signals of this process."""
    root = logging.getLogger()
    level = root.level
    levels = {name: logging.getLogger(name).level for name in list(root.manager.loggerDict)}
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        logging.captureWarnings(False)
        root.setLevel(level)
        for one in list(root.handlers):
            if one.name == "smartia_jobs":
                root.removeHandler(one)
        for name in list(root.manager.loggerDict):
            logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))
        stderr_console.cache_clear()
