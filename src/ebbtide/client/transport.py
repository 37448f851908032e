"""Posts one body to the server's event door, within a time limit, and returns its answer."""

from __future__ import annotations

import gzip
import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from ebbtide import __version__
from ebbtide.client.errors import EmitterSettingsError
from ebbtide.client.secret import Secret

EVENTS_PATH = "/v1/events"
ANSWER_BYTES_MAX = 16 * 2**20  # far above the results of any batch; a hostile answer is cut here
IDLE_S_MAX = 4.0  # servers close a quiet connection after about 5 s; a fresh one beats a race


class TransportError(Exception):
    """No usable answer came. Whether the server took the body is unknown: send it again."""


class Answer(NamedTuple):
    """What the server said. ``retry_after_s`` is None when it asked for no pause."""

    status: int
    retry_after_s: float | None
    body: bytes


class Payload(NamedTuple):
    """A body ready for the wire, compressed once for all its attempts."""

    data: bytes
    encoding: str | None


class Transport:
    """One kept-alive connection to one address; used by one thread at a time.

    It follows no redirect, reads no proxy from the environment and always verifies TLS.
    """

    def __init__(
        self,
        url: str,
        api_key: Secret | None,
        *,
        proxy: str | None = None,
        ca_file: str | None = None,
        gzip_min_bytes: int = 1024,
    ) -> None:
        """Check the settings; nothing is sent yet.

        Args:
            url: where the server is, ``http`` or ``https``, with a path when it is not at
                the root of its host.
            api_key: sent as ``X-API-Key``; None sends no key.
            proxy: an ``http://host:port`` proxy to go through; None connects directly.
            ca_file: certificates to trust beside those of the system (a private authority).
            gzip_min_bytes: bodies from this size on are compressed.

        Raises:
            EmitterSettingsError: the address, key or file cannot be used.
        """
        self._target = _split_address(url, "url")
        self._path = self._target.path.rstrip("/") + EVENTS_PATH
        self._proxy = None if proxy is None else _split_address(proxy, "proxy")
        if self._proxy is not None and self._proxy.scheme != "http":
            raise EmitterSettingsError("proxy must be an http address")
        if api_key is not None:
            _check_key(api_key)
        self._api_key = api_key
        self._gzip_min_bytes = gzip_min_bytes
        self._tls: ssl.SSLContext | None = None
        if self._target.scheme == "https":
            self._tls = ssl.create_default_context()
            if ca_file is not None:
                try:
                    self._tls.load_verify_locations(ca_file)
                except OSError as error:
                    raise EmitterSettingsError(f"ca_file cannot be read: {error}") from error
        self._connection: http.client.HTTPConnection | None = None
        self._used_at = 0.0

    @property
    def address(self) -> str:
        """Where events go, fit to be shown."""
        return f"{self._target.scheme}://{self._target.netloc}{self._target.path.rstrip('/')}"

    def redact(self, text: str) -> str:
        """A text from outside with the key masked, should somebody have repeated it."""
        return text if self._api_key is None else self._api_key.redact(text)

    def prepare(self, body: bytes) -> Payload:
        """Compress a body when that is worth it."""
        if len(body) < self._gzip_min_bytes:
            return Payload(body, None)
        return Payload(gzip.compress(body, compresslevel=3, mtime=0), "gzip")

    def post(self, payload: Payload, timeout_s: float) -> Answer:
        """Send a body and wait for the whole answer.

        Args:
            timeout_s: for all of it together, so that a server that trickles cannot hold us.
                (Name resolution has no time limit in Python and may add its own.)

        Raises:
            TransportError: no connection, no answer in time, or none that is HTTP.
        """
        deadline = time.monotonic() + timeout_s
        try:
            answer = self._exchange(payload, deadline)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            self.close()
            raise TransportError(f"{_describe(error)} ({self._target.netloc})") from error
        except BaseException:
            self.close()  # half an exchange must not be read as the next one's answer
            raise
        self._used_at = time.monotonic()
        return answer

    def close(self) -> None:
        """Close the connection; the next post opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _exchange(self, payload: Payload, deadline: float) -> Answer:
        connection = self._connect(deadline)
        self._send(connection, payload)
        response = connection.getresponse()
        body = response.read(ANSWER_BYTES_MAX + 1)
        if len(body) > ANSWER_BYTES_MAX:
            raise http.client.HTTPException("the answer is too large")
        if response.length:  # the connection ended before the announced length
            raise http.client.IncompleteRead(body)
        retry_after_s = _read_retry_after(response.getheader("Retry-After"))
        if response.will_close:
            self.close()
        return Answer(response.status, retry_after_s, body)

    def _connect(self, deadline: float) -> http.client.HTTPConnection:
        if time.monotonic() - self._used_at > IDLE_S_MAX:
            self.close()
        if self._connection is None:
            self._connection = self._new_connection(_remaining_s(deadline))
            self._connection.connect()
        connection = self._connection
        connection.sock.settimeout(_remaining_s(deadline))
        connection.response_class = _bounded_response(deadline)  # type: ignore[assignment]
        return connection

    def _new_connection(self, timeout_s: float) -> http.client.HTTPConnection:
        near = self._proxy or self._target
        host = near.hostname or ""
        if self._tls is None:
            return http.client.HTTPConnection(host, near.port or 80, timeout=timeout_s)
        port = near.port or (443 if self._proxy is None else 80)
        secure = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=self._tls)
        if self._proxy is not None:
            secure.set_tunnel(self._target.hostname or "", self._target.port or 443)
        return secure

    def _send(self, connection: http.client.HTTPConnection, payload: Payload) -> None:
        through_proxy = self._proxy is not None and self._tls is None
        path = f"http://{self._target.netloc}{self._path}" if through_proxy else self._path
        connection.putrequest("POST", path, skip_accept_encoding=True, skip_host=through_proxy)
        if through_proxy:
            connection.putheader("Host", self._target.netloc)
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(payload.data)))
        connection.putheader("User-Agent", f"ebbtide-python/{__version__}")
        if payload.encoding is not None:
            connection.putheader("Content-Encoding", payload.encoding)
        if self._api_key is not None:
            connection.putheader("X-API-Key", self._api_key.reveal())
        # A server that refuses a body (413) may answer before it has read all of it. That answer
        # is worth more than the broken pipe; if there is none, reading it fails in its turn.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.endheaders(payload.data)


class _DeadlineReader(io.RawIOBase):
    """Reads a socket up to a moment, however slowly the bytes come."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(_remaining_s(self._deadline))
        return self._sock.recv_into(buffer)


class _DeadlineSocket:
    """The one method that http.client needs to read a response."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._reader = _DeadlineReader(sock, deadline)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader)


def _bounded_response(deadline: float) -> Callable[..., http.client.HTTPResponse]:
    def response(sock: socket.socket, **options: Any) -> http.client.HTTPResponse:
        return http.client.HTTPResponse(_DeadlineSocket(sock, deadline), **options)  # type: ignore[arg-type]

    return response


def _remaining_s(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("timed out")
    return remaining


def _split_address(url: str, name: str) -> SplitResult:
    """Take an address apart; messages never repeat it, for it might hold a password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise EmitterSettingsError(f"{name} is not an address") from error
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise EmitterSettingsError(f"{name} must look like https://host:port")
    if parts.username is not None or parts.password is not None:
        raise EmitterSettingsError(f"{name} must not hold a user or a password; use api_key")
    if parts.query or parts.fragment:
        raise EmitterSettingsError(f"{name} must not hold a query or a fragment")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise EmitterSettingsError(f"{name} holds characters that an address cannot hold")
    return parts


def _check_key(api_key: Secret) -> None:
    # http.client would refuse such a key too, but with the key in its message.
    text_is_fit = api_key.reveal().isascii() and api_key.reveal().isprintable()
    if not api_key.reveal() or " " in api_key.reveal() or not text_is_fit:
        raise EmitterSettingsError("api_key is empty or holds characters that no key has")


def _describe(error: Exception) -> str:
    """A failure in words that hold nothing the server or the caller wrote."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate was not accepted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


def _read_retry_after(text: str | None) -> float | None:
    """Seconds from a Retry-After header: a number or an HTTP date; None when unreadable."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - time.time())
