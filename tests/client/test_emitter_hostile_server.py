"""Whatever answers at the other end, an attempt ends in time and in bounded memory."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ebbtide.client.secret import Secret
from ebbtide.client.transport import Payload, Transport, TransportError


def read_start(connection: socket.socket) -> None:
    """Read a small request whole; closing on unread bytes would reset the answer away."""
    start = b""
    while not start.endswith(b"{}") and len(start) < 1000:
        piece = connection.recv(65536)
        if not piece:
            return
        start += piece


@contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """One connection after another, each handed to ``talk`` after the request's first bytes."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    read_start(connection)
                    talk(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def trickle(connection: socket.socket, head: bytes, piece: bytes) -> None:
    connection.sendall(head)
    while True:
        connection.sendall(piece)
        time.sleep(0.02)


def flood(connection: socket.socket, head: bytes) -> None:
    connection.sendall(head)
    while True:
        connection.sendall(b"x" * 65536)


ATTACKS: dict[str, Callable[[socket.socket], None]] = {
    "silence": lambda c: time.sleep(1.5),
    "slow status line": lambda c: trickle(c, b"HTTP/1.1 2", b"0"),
    "slow headers": lambda c: trickle(c, b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    "slow body": lambda c: trickle(c, b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"z"),
    "endless body": lambda c: flood(c, b"HTTP/1.1 200 OK\r\n\r\n"),
    "endless header": lambda c: flood(c, b"HTTP/1.1 200 OK\r\nX: "),
    "endless 100": lambda c: trickle(c, b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "many headers": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000),
    "no HTTP": lambda c: c.sendall(b"220 mail.example.org ESMTP\r\n"),
    "bad length": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"),
    "bad chunk": lambda c: c.sendall(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    ),
    "nothing": lambda c: None,
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attempt_ends_in_time(name: str) -> None:
    with raw_server(ATTACKS[name]) as url:
        transport = Transport(url, Secret("the-key-canary"))
        before = time.monotonic()
        with pytest.raises(TransportError) as caught:
            transport.post(Payload(b"{}", None), timeout_s=0.5)
        assert time.monotonic() - before < 1.2
        assert "canary" not in str(caught.value) + repr(transport)
        transport.close()


def test_an_early_413_is_heard_over_the_broken_pipe() -> None:
    def refuse(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        time.sleep(0.1)  # closed on an unread body: the client's sending breaks off

    with raw_server(refuse) as url:
        transport = Transport(url, None)
        body = b"x" * 20_000_000  # more than the buffers between the two hold
        assert transport.post(Payload(body, None), timeout_s=5).status == 413
        transport.close()


def test_a_large_answer_is_cut_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebbtide.client.transport.ANSWER_BYTES_MAX", 1000)
    sizes = iter([1000, 1001])

    def talk(connection: socket.socket) -> None:
        size = next(sizes)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)

    with raw_server(talk) as url:
        transport = Transport(url, None)
        assert len(transport.post(Payload(b"{}", None), timeout_s=5).body) == 1000
        transport.close()
        with pytest.raises(TransportError):
            transport.post(Payload(b"{}", None), timeout_s=5)


def test_nobody_listens() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        transport = Transport(f"http://127.0.0.1:{holder.getsockname()[1]}", None)
        with pytest.raises(TransportError, match="Connection refused"):
            transport.post(Payload(b"{}", None), timeout_s=5)


def test_a_name_that_does_not_resolve() -> None:
    transport = Transport("http://no-such-host.invalid", None)
    with pytest.raises(TransportError, match=r"\(no-such-host\.invalid\)"):
        transport.post(Payload(b"{}", None), timeout_s=5)


# ------------------------------------------------------------------ TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate and its key for 127.0.0.1, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        " -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    )
    try:
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True, timeout=30)
    except FileNotFoundError:
        pytest.skip("needs the openssl command to make a certificate")
    return folder


@contextmanager
def tls_server(certificate: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            plain, _ = listener.accept()
            with plain, context.wrap_socket(plain, server_side=True) as connection:
                read_start(connection)
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        thread.join(5)


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path) -> None:
    refused = pytest.raises(TransportError, match="certificate was not accepted: self")
    with tls_server(certificate) as url, refused:
        Transport(url, Secret("key")).post(Payload(b"{}", None), timeout_s=5)


def test_a_private_authority_is_trusted_when_named(certificate: Path) -> None:
    with tls_server(certificate) as url:
        transport = Transport(url, Secret("key"), ca_file=str(certificate / "cert.pem"))
        assert transport.post(Payload(b"{}", None), timeout_s=5).status == 204
        transport.close()
