"""The one way out of this process: a connection to an address that was checked and is kept to.

A name is resolved once, every address it has is checked, and the connection goes to that very
address: a name that means something else a moment later leads nowhere.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic

from ebbtide.egress.addresses import Reach, resolve
from ebbtide.egress.errors import EgressFailed


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long it may take to connect, and how long an errand may take as a whole."""

    connect_s: float = 5.0
    total_s: float = 15.0


@dataclass(slots=True)
class Errand:
    """One errand from its first packet to its last; after its time every wait in it ends."""

    bounds: Bounds
    until: float
    is_over: bool = False
    _sockets: list[socket.socket] = field(default_factory=list)

    def connect(self, host: str, port: int, reach: Reach) -> tuple[socket.socket, bool]:
        """Connect to a host.

        Returns:
            The socket, and whether the address is one that was allowed expressly.

        Raises:
            EgressFailed: ``dns``, ``blocked_address``, ``timeout`` or ``connection_failed``.
        """
        addresses = resolve(host, port, reach)
        reason = "connection_failed"
        for address in addresses:
            rest_s = min(self.bounds.connect_s, self.until - monotonic())
            if rest_s <= 0:
                raise EgressFailed("timeout")
            try:
                line = socket.create_connection((str(address), port), timeout=rest_s)
            except TimeoutError:
                reason = "timeout"
                continue
            except OSError:
                reason = "connection_failed"
                continue
            line.settimeout(max(0.001, self.until - monotonic()))
            self._sockets.append(line)
            return line, reach.is_own(address)
        raise EgressFailed(reason)

    def wrap(self, line: socket.socket, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
        """Speak TLS with the host on a line.

        Raises:
            EgressFailed: ``tls``: its certificate does not hold, or it speaks something else.
        """
        try:
            wrapped = context.wrap_socket(line, server_hostname=host, do_handshake_on_connect=False)
            self._sockets.append(wrapped)
            wrapped.do_handshake()
        except TimeoutError as error:
            raise EgressFailed("timeout") from error
        except (OSError, ValueError) as error:
            raise EgressFailed("timeout" if self.is_over else "tls") from error
        return wrapped

    def cut(self) -> None:
        """Its time is over: whoever waits on one of its lines is woken."""
        self.is_over = True
        for line in self._sockets:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close every line."""
        for line in self._sockets:
            with suppress(OSError):
                line.close()


@contextmanager
def errand(bounds: Bounds) -> Iterator[Errand]:
    """An errand that ends in time, however slowly the other side drips."""
    one = Errand(bounds, monotonic() + bounds.total_s)
    # A timeout of the socket is for one wait; a byte every few seconds would never meet it.
    timer = threading.Timer(bounds.total_s, one.cut)
    timer.daemon = True
    timer.start()
    try:
        yield one
    finally:
        timer.cancel()
        one.close()
        timer.join()
