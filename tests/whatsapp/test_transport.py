"""HTTP to Meta over real sockets: what surely was not sent, what perhaps was, and what came."""

import gzip
import hashlib
import hmac
import io
import json
import signal
import socket
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smartia_jobs.errors import ConfigurationError, ExitStatus, InterruptedRunError
from smartia_jobs.settings import Settings
from smartia_jobs.whatsapp.connections import (
    LONGEST_ANSWER,
    NoAnswerError,
    NotSentError,
    SharedTLS,
)
from smartia_jobs.whatsapp.transport import Reply, Transport
from tests.whatsapp.loopback import (
    Loopback,
    Talk,
    after_request,
    answer,
    answering,
    be_silent,
    hang_up,
    loopback,
    read_request,
    reset,
    saying,
    server_tls,
    trickling,
)

TOKEN = "EAAGmadeUpToken123"
SECRET = "made-up-app-secret"
OK = answer(b'{"ok": true}')


@contextmanager
def transport_to(
    url: str,
    *,
    workers: int = 4,
    timeouts_s: tuple[float, float] = (5, 5),
    tls: ssl.SSLContext | None = None,
) -> Iterator[Transport]:
    settings = Settings(meta_access_token=TOKEN, meta_app_secret=SECRET, meta_api_url=url)
    transport = Transport(settings, workers=workers, timeouts_s=timeouts_s, tls=tls)
    try:
        yield transport
    finally:
        transport.close()


def post(transport: Transport, body: bytes = b'{"to": "+5511987654321"}') -> Reply:
    return transport.send(transport.prepare("POST", "123/messages"), body)


def test_a_request_has_the_token_in_its_header_and_the_proof_in_its_query() -> None:
    proof = hmac.new(SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()

    with loopback(answering(OK)) as server, transport_to(server.url) as transport:
        post(transport, b'{"a": 1}')

    head, _, body = server.requests[0].decode().partition("\r\n\r\n")
    lines = head.split("\r\n")
    assert lines[0] == f"POST /v25.0/123/messages?appsecret_proof={proof} HTTP/1.1"
    assert f"Authorization: Bearer {TOKEN}" in lines
    assert "Content-Type: application/json" in lines
    assert "Content-Length: 8" in lines
    assert head.count(TOKEN) == 1
    assert body == '{"a": 1}'


def test_a_management_call_goes_through_the_same_transport() -> None:
    with loopback(answering(OK)) as server, transport_to(server.url) as transport:
        reply = transport.send(transport.prepare("GET", "99/message_templates", {"limit": "5"}))

    assert server.requests[0].startswith(
        b"GET /v25.0/99/message_templates?limit=5&appsecret_proof="
    )
    assert (reply.status, reply.body) == (200, {"ok": True})


def test_headers_are_found_whatever_their_case() -> None:
    with (
        loopback(answering(answer(b"{}", headers="retry-after: 7\r\n"))) as server,
        transport_to(server.url) as transport,
    ):
        reply = post(transport)

    assert reply.headers.get("Retry-After") == "7"


def test_a_prepared_request_is_sent_often_and_never_changed() -> None:
    with loopback(answering(OK)) as server, transport_to(server.url) as transport:
        prepared = transport.prepare("POST", "123/messages")
        for body in (b"1", b"22", b"333"):
            transport.send(prepared, body)

    assert [r.rpartition(b"\r\n")[2] for r in server.requests] == [b"1", b"22", b"333"]
    assert prepared.body is None


def chunked(*parts: bytes) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "first",
    [OK, chunked(b'{"ok":', b" true}"), answer(b"<html>", status="502 Bad Gateway"), answer(b"")],
)
def test_one_connection_serves_one_request_after_the_other(first: bytes) -> None:
    with loopback(answering(first, OK)) as server, transport_to(server.url) as transport:
        post(transport)
        reply = post(transport)

    assert reply.body == {"ok": True}
    assert server.connections == 1


def test_a_connection_that_the_server_has_closed_is_not_used_again() -> None:
    def talk(connection: socket.socket, server: Loopback) -> None:
        read_request(connection, server)
        connection.sendall(OK)
        connection.shutdown(socket.SHUT_RDWR)
        closed.release()

    closed = threading.Semaphore(0)
    with loopback(talk) as server, transport_to(server.url) as transport:
        for _ in range(3):
            post(transport)
            closed.acquire(timeout=5)

    assert server.connections == 3


def test_no_more_requests_are_under_way_than_there_are_workers() -> None:
    lock = threading.Lock()
    now = most = 0

    def talk(connection: socket.socket, server: Loopback) -> None:
        nonlocal now, most
        while read_request(connection, server):
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.01)
            with lock:
                now -= 1
            connection.sendall(OK)

    with loopback(talk) as server, transport_to(server.url, workers=2) as transport:
        threads = [threading.Thread(target=post, args=(transport,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert (len(server.requests), most <= 2, server.connections <= 2) == (8, True, True)


def test_proxies_and_certificates_of_the_environment_are_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")

    with loopback(answering(OK)) as server, transport_to(server.url) as transport:
        reply = post(transport)

    assert reply.status == 200


# Nothing was sent


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_refused_connection_sent_nothing() -> None:
    with (
        transport_to(f"http://127.0.0.1:{free_port()}") as transport,
        pytest.raises(NotSentError, match="could not be reached"),
    ):
        post(transport)


def test_a_name_that_nobody_knows_sent_nothing() -> None:
    too_long_to_be_asked_for = "a." * 200 + "invalid"

    with (
        transport_to(f"http://{too_long_to_be_asked_for}") as transport,
        pytest.raises(NotSentError, match="looked up"),
    ):
        post(transport)


@pytest.mark.skipif(sys.platform != "linux", reason="fills the queue of connections as Linux does")
def test_a_connection_that_is_never_taken_sent_nothing() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)

        with (
            transport_to(f"http://127.0.0.1:{address[1]}", timeouts_s=(0.1, 5)) as transport,
            pytest.raises(NotSentError, match="in time"),
        ):
            post(transport)

        for one in waiting:
            one.close()


def test_a_tls_handshake_that_never_ends_sent_nothing() -> None:
    with (
        loopback(be_silent) as server,
        transport_to(server.url.replace("http:", "https:"), timeouts_s=(0.1, 5)) as transport,
        pytest.raises(NotSentError, match="in time"),
    ):
        post(transport)


# Where a reset comes before the handshake begins, ssl leaves its socket to be collected.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.parametrize(
    "talk",
    [
        saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        reset,
        hang_up,
    ],
    ids=["speaks no TLS", "resets", "hangs up"],
)
def test_a_tls_handshake_that_fails_sent_nothing(
    talk: Talk,
) -> None:
    with (
        loopback(talk) as server,
        transport_to(server.url.replace("http:", "https:")) as transport,
        pytest.raises(NotSentError),
    ):
        post(transport)


def test_a_server_whose_certificate_nobody_vouches_for_is_sent_nothing(certificate: Path) -> None:
    with (
        loopback(answering(OK), server_tls(certificate)) as server,
        transport_to(server.url) as transport,
        pytest.raises(NotSentError, match="certificates"),
    ):
        post(transport)

    assert server.requests == []


def test_a_server_with_the_certificate_of_another_name_is_sent_nothing(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=certificate)

    with (
        loopback(answering(OK), server_tls(certificate)) as server,
        transport_to(server.url.replace("127.0.0.1", "localhost"), tls=trusting) as transport,
        pytest.raises(NotSentError, match="certificates"),
    ):
        post(transport)

    assert server.requests == []


# Perhaps something was sent


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

BROKEN = {
    "hangs up": hang_up,
    "resets": reset,
    "hangs up in the status line": saying(b"HTTP/1.1 20"),
    "hangs up in the headers": saying(b"HTTP/1.1 400 Bad Request\r\nContent-Len"),
    "hangs up after an interim answer": saying(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "changes the protocol": saying(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n"),
    "hangs up in the body": saying(HEAD + b'{"messages": '),
    "resets in the body": saying(HEAD + b'{"messages": ', reset),
    "hangs up in the chunks": saying(CHUNKS + b"5\r\n{}"),
    "writes bad chunks": saying(CHUNKS + b"zz\r\n{}\r\n"),
    "writes a chunk of negative length": saying(CHUNKS + b"-5\r\n{}\r\n"),
    "hangs up in a chunk's length": saying(CHUNKS + b"2\r\n{}\r\n0"),
    "tells two lengths": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n{}"),
    "speaks something else": saying(b"220 smtp ready\r\n" * 9),
    "sends too many headers": saying(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200),
    "sends a line without end": saying(b"HTTP/1.1 200 " + b"a" * 100_000),
}

LATE = {
    "is silent": be_silent,
    "is silent after the headers": saying(HEAD, be_silent),
    "trickles a status line": saying(b"HTTP/1.1 200 O", trickling(b"K")),
    "trickles headers": saying(HEAD[:17], trickling(b"a: b\r\n")),
    "trickles a body": saying(HEAD, trickling(b" ")),
    "trickles chunks": saying(CHUNKS, trickling(b"1\r\n \r\n")),
    "says continue without end": trickling(b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_breaks_off_says_nothing(
    fault: Talk,
) -> None:
    with (
        loopback(after_request(fault)) as server,
        transport_to(server.url) as transport,
        pytest.raises(NoAnswerError, match="broke"),
    ):
        post(transport)

    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", LATE.values(), ids=LATE)
def test_an_answer_that_takes_too_long_altogether_says_nothing(
    fault: Talk,
) -> None:
    with (
        loopback(after_request(fault)) as server,
        transport_to(server.url, timeouts_s=(5, 0.2)) as transport,
        pytest.raises(NoAnswerError, match="in time"),
    ):
        post(transport)

    assert len(server.requests) == 1


def test_the_time_for_an_answer_is_not_extended_by_its_first_byte() -> None:
    def talk(connection: socket.socket, server: Loopback) -> None:
        read_request(connection, server)
        server.closing.wait(0.8)
        connection.sendall(OK[:1])
        server.closing.wait(0.8)
        connection.sendall(OK[1:])

    with (
        loopback(talk) as server,
        transport_to(server.url, timeouts_s=(5, 1)) as transport,
        pytest.raises(NoAnswerError, match="in time"),
    ):
        post(transport)


def test_a_tls_connection_cut_after_the_request_may_have_sent_it(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=certificate)

    with (
        loopback(after_request(reset), server_tls(certificate)) as server,
        transport_to(server.url, tls=trusting) as transport,
        pytest.raises(NoAnswerError),
    ):
        post(transport)

    assert len(server.requests) == 1


def test_a_tls_connection_is_kept_open(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=certificate)

    with (
        loopback(answering(OK), server_tls(certificate)) as server,
        transport_to(server.url, tls=trusting) as transport,
    ):
        replies = [post(transport) for _ in range(3)]

    assert [reply.body for reply in replies] == [{"ok": True}] * 3
    assert server.connections == 1


def test_a_tls_answer_that_takes_too_long_altogether_says_nothing(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=certificate)

    with (
        loopback(after_request(saying(HEAD, trickling(b" "))), server_tls(certificate)) as server,
        transport_to(server.url, timeouts_s=(5, 0.2), tls=trusting) as transport,
        pytest.raises(NoAnswerError, match="in time"),
    ):
        post(transport)

    assert server.connections == 1


# Odd answers


def test_a_redirect_is_handed_back_and_not_followed() -> None:
    elsewhere = answer(b"", status="307 Temporary Redirect", headers="Location: /elsewhere\r\n")

    with loopback(answering(elsewhere)) as server, transport_to(server.url) as transport:
        reply = post(transport)

    assert (reply.status, reply.body) == (307, None)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"{",
        b'{"a": 1} trailing',
        b"\xff\xfe\x00",
        '{"a": "ç"}'.encode("latin-1"),
        b"[" * 100_000,
        b'{"error": {"code": ' + b"1" * 5_000 + b"}}",
        b"{}" + b" " * LONGEST_ANSWER,
        b'"' + b"x" * (LONGEST_ANSWER + 1) + b'"',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_is_no_json_of_reasonable_length_is_none(body: bytes) -> None:
    with loopback(answering(answer(body), OK)) as server, transport_to(server.url) as transport:
        reply = post(transport)
        next_reply = post(transport)

    assert (reply.status, reply.body) == (200, None)
    assert next_reply.body == {"ok": True}


@pytest.mark.parametrize("size", [10, 50_000_000])
def test_a_compressed_answer_which_nobody_asked_for_is_not_unpacked(size: int) -> None:
    packed = answer(gzip.compress(b"{}" + b" " * size), headers="Content-Encoding: gzip\r\n")

    with loopback(answering(packed)) as server, transport_to(server.url) as transport:
        reply = post(transport)

    assert b"Accept-Encoding: identity" in server.requests[0]
    assert (reply.status, reply.body) == (200, None)


@pytest.mark.parametrize("body", [b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b" {} \n"])
def test_json_in_any_unicode_form_is_read(body: bytes) -> None:
    with loopback(answering(answer(body))) as server, transport_to(server.url) as transport:
        reply = post(transport)

    assert reply.body == {}


def test_a_body_of_any_allowed_length_is_read_whole() -> None:
    long = json.dumps({"a": "x" * (LONGEST_ANSWER - 9)}).encode()
    assert len(long) == LONGEST_ANSWER

    with loopback(answering(answer(long))) as server, transport_to(server.url) as transport:
        reply = post(transport)

    assert isinstance(reply.body, dict)


def test_an_endless_body_is_not_read_to_its_end() -> None:
    def talk(connection: socket.socket, server: Loopback) -> None:
        read_request(connection, server)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not server.closing.is_set():
            connection.sendall(b" " * 65536)

    with loopback(talk) as server, transport_to(server.url) as transport:
        reply = post(transport)

    assert (reply.status, reply.body) == (200, None)


def test_endless_headers_are_not_read_to_their_end() -> None:
    def talk(connection: socket.socket, server: Loopback) -> None:
        read_request(connection, server)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not server.closing.is_set():
            connection.sendall(b"a: b\r\n" * 10_000)

    with (
        loopback(talk) as server,
        transport_to(server.url) as transport,
        pytest.raises(NoAnswerError, match="broke"),
    ):
        post(transport)


def test_a_chunk_that_tells_no_true_length_is_not_read_to_its_end() -> None:
    def talk(connection: socket.socket, server: Loopback) -> None:
        read_request(connection, server)
        connection.sendall(CHUNKS + b"-1\r\n")
        while not server.closing.is_set():
            connection.sendall(b" " * 65536)

    with (
        loopback(talk) as server,
        transport_to(server.url) as transport,
        pytest.raises(NoAnswerError, match="broke"),
    ):
        post(transport)


@pytest.mark.parametrize("pause_s", [0, 0.05])
@pytest.mark.parametrize("interim", ["100 Continue", "103 Early Hints"])
def test_an_interim_answer_is_passed_over(interim: str, pause_s: float) -> None:
    def talk(connection: socket.socket, server: Loopback) -> None:
        while read_request(connection, server):
            first = f"HTTP/1.1 {interim}\r\nRetry-After: 7\r\n\r\n".encode()
            last = answer(b'{"request": %d}' % len(server.requests))
            if pause_s:
                connection.sendall(first)
                server.closing.wait(pause_s)
                connection.sendall(last)
            else:
                connection.sendall(first + last)

    with loopback(talk) as server, transport_to(server.url) as transport:
        replies = [post(transport) for _ in range(3)]

    assert [reply.body for reply in replies] == [{"request": 1}, {"request": 2}, {"request": 3}]
    assert [reply.status for reply in replies] == [200] * 3
    assert replies[0].headers.get("Retry-After") is None
    assert server.connections == 1


@pytest.mark.parametrize("surplus", [answer(b'{"of": "nobody"}'), b"\r\nnoise", b"HTTP/1.1 2"])
@pytest.mark.parametrize("pause_s", [0, 0.05])
def test_what_follows_an_answer_is_never_taken_for_the_next_requests(
    surplus: bytes, pause_s: float
) -> None:
    def talk(connection: socket.socket, server: Loopback) -> None:
        while read_request(connection, server):
            own = answer(b'{"request": %d}' % len(server.requests))
            if pause_s:
                connection.sendall(own)
                server.closing.wait(pause_s)
                connection.sendall(surplus)
            else:
                connection.sendall(own + surplus)

    with loopback(talk) as server, transport_to(server.url) as transport:
        replies = []
        for _ in range(3):
            replies.append(post(transport))
            time.sleep(2 * pause_s)

    assert [reply.body for reply in replies] == [{"request": 1}, {"request": 2}, {"request": 3}]
    assert server.connections == 3


def test_what_tls_has_taken_in_beyond_an_answer_is_never_taken_for_the_next_requests(
    certificate: Path,
) -> None:
    def talk(connection: socket.socket, server: Loopback) -> None:
        while read_request(connection, server):
            own = answer(b'{"request": %d}' % len(server.requests))
            up_to_the_buffers_end = b"\r\n" * ((io.DEFAULT_BUFFER_SIZE - len(own)) // 2)
            of_nobody = answer(b'{"of": "nobody"}')
            connection.sendall(own + up_to_the_buffers_end + of_nobody)  # one TLS record

    trusting = ssl.create_default_context(cafile=certificate)

    with (
        loopback(talk, server_tls(certificate)) as server,
        transport_to(server.url, tls=trusting) as transport,
    ):
        replies = [post(transport) for _ in range(3)]

    assert [reply.body for reply in replies] == [{"request": 1}, {"request": 2}, {"request": 3}]


def test_threads_share_a_tls_context_that_no_connection_changes(certificate: Path) -> None:
    shown = server_tls(certificate)
    shown.set_alpn_protocols(["http/1.1"])
    agreed: list[str | None] = []

    def talk(connection: socket.socket, server: Loopback) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        agreed.append(connection.selected_alpn_protocol())
        answering(OK)(connection, server)

    trusting = SharedTLS(ssl.PROTOCOL_TLS_CLIENT)
    trusting.load_verify_locations(certificate)
    trusted = trusting.cert_store_stats()

    with loopback(talk, shown) as server, transport_to(server.url, tls=trusting) as transport:
        post(transport)

    assert agreed == [None]
    assert trusting.cert_store_stats() == trusted


@pytest.mark.parametrize(
    ("only", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", 200),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", 200),
        (b"HTTP/1.0 500 Error\r\nContent-Type: text/plain\r\n\r\n{}", 500),
    ],
    ids=["says close", "old protocol", "no length", "old protocol, no length"],
)
def test_a_connection_that_ends_with_its_answer_is_not_used_again(only: bytes, status: int) -> None:
    with (
        loopback(after_request(saying(only))) as server,
        transport_to(server.url) as transport,
    ):
        replies = [post(transport) for _ in range(2)]

    assert [(reply.status, reply.body) for reply in replies] == [(status, {})] * 2
    assert server.connections == 2


@pytest.mark.parametrize(
    "then",
    [
        be_silent,
        saying(HEAD[:17], be_silent),
        saying(HEAD, be_silent),
        saying(HEAD, trickling(b" ")),
    ],
    ids=["before it", "in its headers", "in its body", "while it trickles"],
)
def test_a_signal_that_comes_while_an_answer_is_waited_for_ends_the_wait(then: Talk) -> None:
    def interrupted(*_: object) -> None:
        raise InterruptedRunError(ExitStatus.INTERRUPTED)

    def talk(connection: socket.socket, server: Loopback) -> None:
        read_request(connection, server)
        if len(server.requests) == 1:
            then(connection, server)
        else:
            connection.sendall(OK)

    earlier = signal.signal(signal.SIGALRM, interrupted)
    try:
        with loopback(talk) as server, transport_to(server.url) as transport:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(InterruptedRunError):
                post(transport)
            reply = post(transport)
    finally:
        signal.signal(signal.SIGALRM, earlier)

    assert reply.body == {"ok": True}
    assert server.connections == 2


# Secrets


@pytest.mark.parametrize("fault", [*BROKEN.values(), saying(HEAD[:17] + b": \x00\r\n\r\n")])
def test_neither_token_nor_proof_nor_phone_is_in_an_error_or_a_log(
    fault: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    proof = hmac.new(SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
    text = ""

    with loopback(after_request(fault)) as server, transport_to(server.url) as transport:
        text = repr(transport)
        try:
            post(transport)
        except NoAnswerError as error:
            text += "".join(traceback.format_exception(error))

    text += caplog.text
    assert [secret for secret in (TOKEN, SECRET, proof, "987654321") if secret in text] == []


def test_neither_token_nor_proof_is_in_the_error_of_a_failed_connection() -> None:
    proof = hmac.new(SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()

    with (
        transport_to(f"http://127.0.0.1:{free_port()}") as transport,
        pytest.raises(NotSentError) as caught,
    ):
        post(transport)

    text = "".join(traceback.format_exception(caught.value))
    assert [secret for secret in (TOKEN, SECRET, proof, "987654321") if secret in text] == []


@pytest.mark.parametrize("token", [None, "", " ", "two words", "line\n", "tab\t", "ção", "nul\0"])
def test_a_token_that_fits_no_header_is_a_wrong_setting(token: str | None) -> None:
    with pytest.raises(ConfigurationError, match="META_ACCESS_TOKEN") as caught:
        Transport(Settings(meta_access_token=token), workers=1)

    assert not token or not token.strip() or token.strip() not in str(caught.value)
