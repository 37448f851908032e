"""Runs the HTTP door: in this thread for ``serve``, in another one for the command line."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ebbtide.app.data_dir import RunningServer
from ebbtide.app.doors import Doors
from ebbtide.app.house import House
from ebbtide.domain.errors import SettingsError

HEADER_MAX_BYTES = 64 * 1024  # of one request; no honest one comes near it
KEEP_ALIVE_S = 75  # idle connections; longer than a scrape or flush interval
DRAIN_S = 10  # requests under way get this long when we are told to stop


class DeadlineProtocol(HttpToolsProtocol):
    """HTTP/1.1 that hangs up on a request whose header is too slow or too large.

    The server library itself would wait for ever for a header that trickles, and keep one of
    any size.
    """

    _deadline: asyncio.TimerHandle | None = None
    _header_bytes = 0

    def __init__(self, *args: Any, header_deadline_s: float, **named: Any) -> None:
        super().__init__(*args, **named)
        self._header_deadline_s = header_deadline_s

    def connection_made(self, transport: Any) -> None:
        """A new connection: its first header is due."""
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """More bytes; as long as the header is not complete they all belong to it."""
        super().data_received(data)
        if self._deadline is not None:
            self._header_bytes += len(data)
            if self._header_bytes > HEADER_MAX_BYTES:
                self._hang_up(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """The first byte of a request on a connection that was kept open."""
        super().on_message_begin()
        self._header_bytes = 0
        if self._deadline is None:
            self._arm()

    def on_headers_complete(self) -> None:
        """The header is here."""
        self._disarm()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer hung up, or we did."""
        self._disarm()
        super().connection_lost(exc)

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self._header_deadline_s, self._expire)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        self._hang_up(b"408 Request Timeout")

    def _hang_up(self, status: bytes) -> None:
        self._disarm()
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\n\r\n")
            self.transport.close()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        SettingsError: the address cannot be used, most often because it is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another port with "
            "EBBTIDE_PORT or --port"
        ) from error
    listener.listen(2048)
    return listener


def url_of(listener: socket.socket) -> str:
    """The address to reach a listener at from this machine."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """The server library's own, which leaves no line to a model open when its loop ends."""

    def __init__(self, config: uvicorn.Config, house: House) -> None:
        super().__init__(config)
        self._house = house

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End requests, then what was opened for them."""
        await super().shutdown(sockets)
        self._house.services.models.close_idle()


def _server(house: House) -> uvicorn.Server:
    config = uvicorn.Config(
        Doors(house),
        loop="uvloop",
        http=partial(  # type: ignore[arg-type]  # any factory of protocols will do
            DeadlineProtocol, header_deadline_s=house.settings.header_deadline_s
        ),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
    return _Server(config, house)


def _announce(house: House, listener: socket.socket) -> RunningServer:
    secret = secrets.token_urlsafe(32)
    house.services.authenticator.accept_local(secret)
    running = RunningServer(os.getpid(), url_of(listener), secret)
    house.data_dir.announce(running)
    return running


def _tune_interpreter() -> None:
    """Settle the interpreter for many small objects and two busy threads.

    Cyclic garbage is looked for seldom: events form no cycles.

    With Python's defaults a third of the interpreter's time at full load goes into finding
    none. What lives as long as the process is not looked at again at all.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)
    # The writer comes back from the database many times a commit and must not wait 5 ms each time.
    sys.setswitchinterval(0.0005)


def serve(house: House, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are answered first."""
    _announce(house, listener)
    server = _server(house)

    def end(*_: object) -> None:
        server.should_exit = True

    # The server library has handlers of its own while it runs. Before that, an exception from
    # ours could be lost in a callback of the garbage collector; and once drained it raises the
    # signal again, which must end this call and not the process: the house is closed after it.
    for sent in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sent, end)
    _tune_interpreter()
    if house.settings.scheduler == "on":
        house.scheduler.start()
    house.sender.start()
    try:
        server.run(sockets=[listener])
    finally:
        # What stays frozen is never freed: DuckDB's binding would list all of it as leaked.
        gc.unfreeze()


@contextmanager
def serving_aside(house: House) -> Iterator[RunningServer]:
    """Serve on a free loopback port from another thread while the block runs."""
    listener = bind("127.0.0.1", 0)
    server = _server(house)
    thread = threading.Thread(
        target=server.run,
        kwargs={"sockets": [listener]},
        name="ebbtide-door",
        daemon=True,
    )
    running = _announce(house, listener)
    thread.start()
    try:
        yield running
    finally:
        server.should_exit = True
        thread.join(DRAIN_S)
        listener.close()
