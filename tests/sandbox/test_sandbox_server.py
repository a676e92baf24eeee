"""The server survives broken clients, keeps connections, and ends without a trace."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
import requests

from smartia_jobs.sandbox import PHONE_NUMBER_ID, Sandbox, Scripted
from tests.sandbox.graph import NAMED, PHONE, Graph, reminder, wait_until

SEND = f"POST /v25.0/{PHONE_NUMBER_ID}/messages HTTP/1.1\r\nHost: x\r\n"


def port_of(sandbox: Sandbox) -> int:
    """Return where it listens."""
    return int(sandbox.url.rpartition(":")[2])


@pytest.fixture
def wire(sandbox: Sandbox) -> Iterator[socket.socket]:
    """A bare connection to the sandbox."""
    with closing(socket.create_connection(("127.0.0.1", port_of(sandbox)), timeout=30)) as opened:
        yield opened


@pytest.fixture
def threads_of_sandboxes() -> Callable[[], list[str]]:
    """Return what names the threads of this test's sandboxes; another's may outlive its test."""
    others = set(threading.enumerate())

    def running() -> list[str]:
        threads = set(threading.enumerate()) - others
        return [thread.name for thread in threads if thread.name.startswith("sandbox")]

    return running


def everything(wire: socket.socket) -> bytes:
    """Return what comes until the other side closes."""
    return b"".join(iter(lambda: wire.recv(65536), b""))


def status_of(answer: bytes) -> int:
    """Return the status of a raw answer."""
    return int(answer.split(b" ", 2)[1])


def test_many_requests_share_one_connection(sandbox: Sandbox, graph: Graph) -> None:
    before = threading.active_count()

    for _ in range(20):
        assert graph.send().headers["Connection"] == "keep-alive"
        assert graph.send(reminder(template="nunca_vi")).status_code == 404

    assert threading.active_count() - before == 1


def test_two_requests_in_one_packet_get_two_answers(wire: socket.socket) -> None:
    wire.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n")

    assert everything(wire).count(b"HTTP/1.1 200 OK") == 2


def test_an_answer_names_its_server_and_ends_the_connection_when_asked(
    wire: socket.socket,
) -> None:
    wire.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    answer = everything(wire)

    assert b"Server: smartia-jobs-sandbox\r\n" in answer
    assert b"Connection: close\r\n" in answer


@pytest.mark.parametrize(
    "request_text",
    [
        "nonsense\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/x\r\n\r\n",
        "GET /" + "x" * 70_000 + " HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n" + "X: y\r\n" * 200 + "\r\n",
        "BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
        SEND + "Content-Length: many\r\n\r\n",
        SEND + "Content-Length: -1\r\n\r\n",
        SEND + "Content-Length: ²\r\n\r\n",
        SEND + "Content-Length: 99999999999999999999\r\n\r\n",
        SEND + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "\x00\x01\x02\r\n\r\n",
    ],
    ids=lambda text: text[-40:-4],
)
def test_malformed_http_is_refused_and_the_next_client_is_served(
    wire: socket.socket, graph: Graph, request_text: str
) -> None:
    wire.sendall(request_text.encode("latin-1"))
    wire.shutdown(socket.SHUT_WR)

    answer = everything(wire)

    assert b"HTTP/1.1 2" not in answer
    assert b"Traceback" not in answer
    assert graph.send().status_code == 200


def test_a_huge_body_is_refused_with_an_answer(sandbox: Sandbox, graph: Graph) -> None:
    answer = graph.send(data=b"x" * 5_000_000)

    assert answer.status_code == 413
    assert answer.headers["Connection"] == "close"
    assert sandbox.received == []
    assert graph.send().status_code == 200


def test_a_client_that_sends_a_huge_body_first_and_reads_then_gets_its_answer(
    wire: socket.socket,
) -> None:
    wire.sendall(f"{SEND}Content-Length: 8000000\r\n\r\n".encode() + b"x" * 8_000_000)
    wire.shutdown(socket.SHUT_WR)

    assert status_of(everything(wire)) == 413


def test_a_chunked_body_is_refused_with_an_answer(graph: Graph) -> None:
    answer = graph.send(data=iter([b"{}"]))

    assert answer.status_code == 411


def test_a_body_shorter_than_declared_is_refused(wire: socket.socket, sandbox: Sandbox) -> None:
    wire.sendall(f"{SEND}Content-Length: 100\r\n\r\n{{}}".encode())
    wire.shutdown(socket.SHUT_WR)

    assert status_of(everything(wire)) == 400
    assert sandbox.received == []


def test_a_body_longer_than_declared_ends_the_connection_after_its_answer(
    wire: socket.socket, sandbox: Sandbox
) -> None:
    wire.sendall(f"{SEND}Content-Length: 2\r\n\r\n{{}}more than was declared\r\n\r\n".encode())

    answer = everything(wire)

    assert status_of(answer) == 401
    assert len(sandbox.received) == 1


def test_a_client_that_hangs_up_early_disturbs_nobody(
    sandbox: Sandbox, graph: Graph, capfd: pytest.CaptureFixture[str]
) -> None:
    reset_on_close = struct.pack("ii", 1, 0)
    for text in ("", "POST", SEND, SEND + "Content-Length: 9\r\n\r\n"):
        for linger in (b"", reset_on_close):
            with closing(socket.create_connection(("127.0.0.1", port_of(sandbox)))) as wire:
                if linger:
                    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                wire.sendall(text.encode())

    assert graph.send().status_code == 200
    sandbox.close()
    assert capfd.readouterr() == ("", "")


def test_expect_continue_is_answered_before_the_body_is_sent(wire: socket.socket) -> None:
    wire.sendall(f"{SEND}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n".encode())

    assert wire.recv(65536).startswith(b"HTTP/1.1 100 Continue")
    wire.sendall(b"{}")
    assert status_of(wire.recv(65536)) == 401


def test_nothing_is_printed_about_requests(
    graph: Graph, wire: socket.socket, capfd: pytest.CaptureFixture[str]
) -> None:
    graph.send()
    graph.get("debug_token", input_token="EAAsecret")
    wire.sendall(b"nonsense\r\n\r\n")
    everything(wire)

    assert capfd.readouterr() == ("", "")


def test_only_the_newest_requests_are_kept(no_threads_left: None) -> None:
    with Sandbox(templates=[NAMED], keep=3) as sandbox, Graph(sandbox.url) as graph:
        for number in range(5):
            graph.send(reminder(biz_opaque_callback_data=str(number)))

        assert [m["callback_data"] for m in sandbox.received] == ["2", "3", "4"]
        assert graph.control("GET", "sandbox/stats").json()["received"] == 5


def test_what_was_received_cannot_be_changed_from_outside(sandbox: Sandbox, graph: Graph) -> None:
    graph.send()

    sandbox.received[0]["accepted"] = False
    sandbox.received.clear()

    assert sandbox.received[0]["accepted"]


def test_closing_cuts_idle_connections_and_frees_the_port(
    no_threads_left: None, threads_of_sandboxes: Callable[[], list[str]]
) -> None:
    sandbox = Sandbox(templates=[NAMED])
    port = port_of(sandbox)
    with Graph(sandbox.url) as graph:
        assert graph.send().status_code == 200

        sandbox.close()

        assert threads_of_sandboxes() == []
        with pytest.raises(requests.ConnectionError):
            graph.send()
    with Sandbox(port=port) as again, Graph(again.url) as graph:
        assert port_of(again) == port
        assert graph.control("GET", "").status_code == 200


def test_closing_ends_slow_answers_at_once(
    no_threads_left: None, threads_of_sandboxes: Callable[[], list[str]]
) -> None:
    sandbox = Sandbox(templates=[NAMED])
    sandbox.script("*", Scripted(delay_s=3600), repeat_last=True)

    def send() -> None:
        with Graph(sandbox.url) as graph:
            graph.send()

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(send) for _ in range(4)]
        wait_until(lambda: len(sandbox.received) == 4)
        sandbox.close()

        assert threads_of_sandboxes() == []
        assert all(
            isinstance(future.exception(timeout=30), requests.ConnectionError) for future in waiting
        )


def test_closing_ends_a_connection_in_the_middle_of_a_request(no_threads_left: None) -> None:
    sandbox = Sandbox()
    with closing(socket.create_connection(("127.0.0.1", port_of(sandbox)), timeout=30)) as wire:
        wire.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.recv(65536)
        wire.sendall(SEND.encode() + b"Content-Length: 100\r\n\r\n{")

        sandbox.close()

        assert everything(wire) == b""


def test_closing_waits_for_every_thread(
    no_threads_left: None, threads_of_sandboxes: Callable[[], list[str]]
) -> None:
    sandbox = Sandbox()
    with ExitStack() as opened:
        for _ in range(100):
            wire = socket.create_connection(("127.0.0.1", port_of(sandbox)), timeout=30)
            opened.enter_context(closing(wire))
        wait_until(lambda: len(threads_of_sandboxes()) == 101)

        sandbox.close()

        assert threads_of_sandboxes() == []


def test_closing_twice_is_harmless(no_threads_left: None) -> None:
    sandbox = Sandbox()

    sandbox.close()
    sandbox.close()


def test_waiting_ends_when_the_sandbox_is_closed(no_threads_left: None) -> None:
    sandbox = Sandbox()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sandbox.wait)

        sandbox.close()

        assert waiting.result(timeout=30) is None


def test_a_taken_port_is_an_error_that_leaves_nothing_behind(sandbox: Sandbox) -> None:
    before = threading.active_count()

    with pytest.raises(OSError, match="in use"):
        Sandbox(port=port_of(sandbox))

    assert threading.active_count() == before


def test_it_listens_on_loopback_only(sandbox: Sandbox) -> None:
    assert sandbox.url.startswith("http://127.0.0.1:")
    with pytest.raises(OSError), closing(socket.socket()) as wire:
        wire.settimeout(5)
        wire.connect(("127.0.0.2", port_of(sandbox)))


def test_two_sandboxes_do_not_know_each_other(sandbox: Sandbox, graph: Graph) -> None:
    with Sandbox(templates=[NAMED]) as other, Graph(other.url) as other_graph:
        other.script(PHONE, Scripted(code=131056))

        assert graph.send().status_code == 200
        assert other_graph.send().status_code == 400
        assert len(sandbox.received) == len(other.received) == 1
