"""Receivers on loopback that behave well or badly: an HTTP server and a mail server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    """What came in."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """An HTTP server whose answers a test sets."""

    port: int
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[Request] = field(default_factory=list)
    hold: threading.Event | None = None  # answers only when it is set

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver for the time of a block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.seen.append(Request(self.path, dict(self.headers.items()), body))
            if receiver.hold is not None:
                receiver.hold.wait(10)
            with suppress(OSError):  # whoever asked may be gone
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "6")
                self.end_headers()
                self.wfile.write(b"answer")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        if receiver.hold is not None:
            receiver.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port on which every connection is answered by a function."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                line, _ = listener.accept()
                threading.Thread(target=serve, args=(line,), daemon=True).start()

    def serve(line: socket.socket) -> None:
        with line, suppress(OSError):
            answer(line)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@dataclass
class MailReceiver:
    """A mail server without TLS; ``refusal`` is what it says to every recipient."""

    port: int = 0
    refusal: bytes | None = None
    mails: list[bytes] = field(default_factory=list)


@contextmanager
def receiving_mail() -> Iterator[MailReceiver]:
    """A mail server for the time of a block."""
    receiver = MailReceiver()

    def answer(line: socket.socket) -> None:
        reader = line.makefile("rb")
        line.sendall(b"220 here\r\n")
        while command := reader.readline():
            word = command[:4].upper()
            if word == b"RCPT" and receiver.refusal is not None:
                line.sendall(receiver.refusal)
            elif word == b"DATA":
                line.sendall(b"354 go on\r\n")
                mail = b""
                while (part := reader.readline()) != b".\r\n":
                    mail += part
                receiver.mails.append(mail)
                line.sendall(b"250 taken\r\n")
            else:
                line.sendall(b"250 fine\r\n")
            if word == b"QUIT":
                return

    with listening(answer) as port:
        receiver.port = port
        yield receiver


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
