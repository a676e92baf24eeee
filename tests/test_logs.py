"""Log lines: always valid, bounded and quiet about others; never in the way of sending."""

import json
import logging
import subprocess
import sys
import threading
import warnings
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from smartia_jobs.logs import (
    configure_logs,
    hold_logs,
    log_event,
)
from smartia_jobs.logs.lines import JsonLines

logger = logging.getLogger("smartia_jobs.test")


pytestmark = pytest.mark.usefixtures("logging_as_before")


class Stream:
    """Everything that was written to standard error so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys, self._text = capsys, ""

    @property
    def text(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def stream(capsys: pytest.CaptureFixture[str]) -> Stream:
    """Standard error as it reads when it is not a terminal."""
    return Stream(capsys)


def entries(stream: Stream) -> list[dict[str, Any]]:
    """Return the lines as a strict reader of JSON sees them."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in stream.text.splitlines()]


def as_json(stream: Stream, level: str = "INFO", **labels: str) -> None:
    configure_logs("auto", level, terminal=False, labels=labels)


def test_a_line_elsewhere_is_one_object_with_cloud_logging_s_fields(stream: Stream) -> None:
    as_json(stream, job="24h", run_id="r1", task="0", attempt="1")
    before = datetime.now(UTC)

    log_event(logger, logging.WARNING, "slower", outbox_id=7, duration_ms=1.5, stopped=None)

    [entry] = entries(stream)
    assert before <= datetime.fromisoformat(entry.pop("time")) <= datetime.now(UTC)
    assert entry == {
        "severity": "WARNING",
        "message": "slower",
        "logger": "smartia_jobs.test",
        "logging.googleapis.com/labels": {
            "job": "24h", "run_id": "r1", "task": "0", "attempt": "1",
        },
        "outbox_id": 7,
        "duration_ms": 1.5,
        "stopped": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("level", "severity"), [(10, "DEBUG"), (25, "INFO"), (40, "ERROR"), (50, "CRITICAL")]
)
def test_every_level_has_a_severity(stream: Stream, level: int, severity: str) -> None:
    as_json(stream, level="DEBUG")

    logger.log(level, "x")

    assert entries(stream)[0]["severity"] == severity


def test_an_error_brings_its_stack_on_the_same_line_without_its_words(stream: Stream) -> None:
    as_json(stream)

    try:
        raise RuntimeError("Ana, +55 11 98765-4321")
    except RuntimeError:
        logger.exception("a bug")

    [entry] = entries(stream)
    assert entry["stack_trace"].startswith("Traceback")
    assert "test_logs.py" in entry["stack_trace"]
    assert entry["stack_trace"].endswith("\nRuntimeError")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_chain_of_errors_shows_each_kind_in_turn(stream: Stream, terminal: bool) -> None:
    configure_logs("text", "INFO", terminal=terminal)
    name, phone = "Ana", "+5511987654321"

    try:
        try:
            raise KeyError(phone)
        except KeyError as first:
            raise json.JSONDecodeError(name, name, 0) from first
    except ValueError:
        logger.exception("a bug")

    kinds = [line for line in stream.text.splitlines() if line.endswith("Error")]
    assert kinds == ["KeyError", "json.decoder.JSONDecodeError"]
    assert phone not in stream.text
    assert name not in stream.text


def test_an_error_that_leads_back_to_itself_ends(stream: Stream) -> None:
    as_json(stream)
    error = RuntimeError()
    other = ValueError()
    error.__cause__, other.__cause__ = other, error

    logger.error("a bug", exc_info=error)

    assert entries(stream)[0]["stack_trace"].endswith("\nRuntimeError")


def test_sizes_are_bounded(stream: Stream) -> None:
    as_json(stream)

    def deep(left: int) -> None:
        if not left:
            raise RuntimeError
        try:
            deep(left - 1)
        except RuntimeError as error:
            raise RuntimeError from error

    try:
        deep(300)
    except RuntimeError:
        logger.exception("é" * 10_000, extra={"ctx": {"k" * 900: "ü" * 10_000}})

    [entry] = entries(stream)
    assert len(entry["message"].encode()) == 8_000 + len("…".encode())
    assert len(entry["k" * 100 + "…"].encode()) == 8_000 + len("…".encode())
    assert 50_000 < len(entry["stack_trace"].encode()) <= 60_000 + len("…".encode())
    assert entry["stack_trace"].endswith("RuntimeError")


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        Decimal("1.5"),
        {1: {2: {3: {4: {5: {6: 7}}}}}},
        [{"a": {"b"}}],
        datetime(2026, 11, 23, tzinfo=UTC),
        "\ud800 alone",
        b"\xff",
        "line\r\nend\x00\u2028\x85",
        object(),
    ],
)
def test_no_value_makes_an_invalid_line(stream: Stream, value: object) -> None:
    as_json(stream)

    log_event(logger, logging.INFO, f"{value}", value=value)

    assert len(stream.text.splitlines()) == 1
    assert stream.text.isascii()
    stream.text.encode("utf-8")
    assert "value" in entries(stream)[0]
    assert "\\ud800" not in stream.text


def test_a_value_that_holds_itself_ends_somewhere(stream: Stream) -> None:
    as_json(stream)
    snake: list[object] = []
    snake.append(snake)

    log_event(logger, logging.INFO, "x", value=snake)

    assert len(entries(stream)) == 1


def test_fields_cannot_replace_cloud_logging_s_own(stream: Stream) -> None:
    as_json(stream)

    logger.info("true", extra={"ctx": {"severity": "ALERT", "message": "false", "time": "never"}})

    [entry] = entries(stream)
    assert (entry["severity"], entry["message"]) == ("INFO", "true")
    assert entry["time"] != "never"


def test_arguments_that_do_not_fit_cost_only_themselves() -> None:
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "%d of %d", ("one",), None)

    line = JsonLines({}).format(record)

    assert json.loads(line)["message"] == "%d of %d"


def test_a_python_warning_is_a_line_like_any_other(stream: Stream) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        as_json(stream)
        warnings.warn("old", stacklevel=1)
        logging.captureWarnings(False)

    assert "old" in entries(stream)[0]["message"]


@pytest.mark.parametrize(
    "name", ["urllib3.connectionpool", "requests", "sqlalchemy.engine.Engine", "alembic", "other"]
)
def test_other_libraries_are_heard_from_warning_on_even_at_debug(stream: Stream, name: str) -> None:
    logging.getLogger(name.partition(".")[0]).setLevel(logging.DEBUG)
    as_json(stream, level="DEBUG")
    if name == "other":
        logging.getLogger(name).setLevel(logging.NOTSET)

    for level in (logging.DEBUG, logging.INFO, logging.WARNING):
        logging.getLogger(name).log(level, "x")

    assert [entry["severity"] for entry in entries(stream)] == ["WARNING"]


def test_the_level_is_this_program_s_own(stream: Stream) -> None:
    as_json(stream, level="WARNING")

    logger.info("quiet")
    logger.warning("loud")

    assert [entry["message"] for entry in entries(stream)] == ["loud"]


def test_configuring_again_replaces_the_first(stream: Stream) -> None:
    as_json(stream, run_id="first")
    as_json(stream, run_id="second")

    logger.info("x")

    labels = [entry["logging.googleapis.com/labels"] for entry in entries(stream)]
    assert labels == [{"run_id": "second"}]


def test_text_elsewhere_is_plain_and_one_line(stream: Stream) -> None:
    configure_logs("text", "INFO", terminal=False)

    log_event(logger, logging.INFO, "one\ntwo\x1b[31m", due=3, skipped={"moved": 1}, why="a\nb")

    [line] = stream.text.splitlines()
    expected = 'INFO    one\\ntwo\\x1b[31m due=3 skipped={"moved": 1} why=a\\nb'
    assert line.partition(" ")[2] == expected


def test_a_terminal_gets_text_through_rich(stream: Stream) -> None:
    configure_logs("auto", "INFO", terminal=True)

    try:
        raise RuntimeError("[bold]not markup")
    except RuntimeError:
        logger.exception("[red]not markup", extra={"ctx": {"due": 3}})

    first, *stack = stream.text.splitlines()
    assert first.partition(" ")[2] == "ERROR   [red]not markup due=3"
    assert stack[-1] == "RuntimeError"


def test_a_terminal_is_not_flooded_with_a_line_per_message(stream: Stream) -> None:
    configure_logs("auto", "INFO", terminal=True)

    for level in (logging.INFO, logging.WARNING):
        log_event(logger, level, "message", action="message", outbox_id=1)
        log_event(logger, level, "run finished", event="run_finished", due=3)
        log_event(logger, level, "the index was built")

    said = [line.split()[1] for line in stream.text.splitlines()]
    assert said == ["INFO", "WARNING", "WARNING", "WARNING"]


def test_the_lines_for_machines_can_be_had_on_a_terminal(stream: Stream) -> None:
    configure_logs("auto", "DEBUG", terminal=True)

    log_event(logger, logging.INFO, "message", action="message", outbox_id=1)

    assert stream.text.endswith("message action=message outbox_id=1\n")


def test_lines_wait_while_they_are_held(stream: Stream) -> None:
    as_json(stream)
    writer = threading.Thread(target=logger.info, args=("later",))

    with hold_logs():
        writer.start()
        writer.join(0.05)
        before = stream.text
    writer.join()

    assert before == ""
    assert entries(stream)[0]["message"] == "later"


def test_json_can_be_had_on_a_terminal(stream: Stream) -> None:
    configure_logs("json", "INFO", terminal=True)

    logger.info("x")

    assert entries(stream)[0]["message"] == "x"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_closed_standard_error_does_not_stop_the_program(terminal: bool) -> None:
    program = (
        "import logging, sys\n"
        "from smartia_jobs.logs import configure_logs\n"
        f"configure_logs('auto', 'INFO', terminal={terminal})\n"
        "sys.stdin.readline()\n"
        "for _ in range(3): logging.getLogger('smartia_jobs').info('x' * 5000)\n"
        "print('done')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.close()
        process.stdin.write("go on\n")
        process.stdin.close()
        said = process.stdout.read()

    assert said == "done\n"
    assert process.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("terminal", [False, True])
def test_a_full_disk_under_standard_error_does_not_stop_the_program(terminal: bool) -> None:
    program = (
        "import logging\n"
        "from smartia_jobs.logs import configure_logs\n"
        f"configure_logs('auto', 'INFO', terminal={terminal})\n"
        "logging.getLogger('smartia_jobs').info('x')\n"
        "print('done')\n"
    )

    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=full)

    assert (done.returncode, done.stdout) == (0, b"done\n")


def test_importing_it_and_writing_json_does_not_load_rich() -> None:
    program = (
        "import logging, sys\n"
        "from smartia_jobs.logs import configure_logs\n"
        "configure_logs('auto', 'INFO', terminal=False)\n"
        "logging.getLogger('smartia_jobs').info('x')\n"
        "print(*sys.modules)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)

    assert b"rich" not in done.stdout.split()


# One line, one write


def test_a_line_leaves_at_once(stream: Stream) -> None:
    configure_logs("json", "INFO", terminal=False)

    logger.info("first")

    assert [entry["message"] for entry in entries(stream)] == ["first"]


def test_lines_from_many_threads_stay_whole(stream: Stream) -> None:
    configure_logs("json", "INFO", terminal=False)

    def write() -> None:
        for _ in range(200):
            logger.info("a line")

    threads = [threading.Thread(target=write) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(entries(stream)) == 800


def test_a_line_that_cannot_be_written_stops_nothing() -> None:
    program = """
import logging
from smartia_jobs.logs import configure_logs

class Odd:
    def __str__(self):
        raise AttributeError("no words")

configure_logs("json", "INFO", terminal=False)
logger = logging.getLogger("smartia_jobs.test")
logger.info("before %s", Odd())
logger.info("after")
"""

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert '"message":"after"' in done.stderr
