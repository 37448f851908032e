"""The one way out to models: a POST to an upstream of the operator's file, answered in bounds.

The connection goes to an address that was checked and is kept to, is used again while it stays
open, follows nothing, and takes no proxy from the environment. Of a request only its body comes
from outside; every header is ours. Nothing is sent a second time by itself.

On an event loop ``await client.send(...)`` gives an answer whose text is read as it comes;
from a thread ``client.post(...)`` gives the whole of it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections import deque
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from types import MappingProxyType
from typing import Any
from weakref import WeakKeyDictionary

import httptools

from ebbtide.egress.addresses import resolve
from ebbtide.egress.errors import EgressFailed
from ebbtide.egress.upstreams import Upstream, Upstreams

CHAT, EMBEDDINGS = "/chat/completions", "/embeddings"
CONNECT_S = 5.0
HEAD_MAX_BYTES = 64 * 1024  # of an answer; honest ones have two
IDLE_S = 15.0  # providers close idle connections after 20 s and more; ours must be earlier
IDLE_MAX = 64  # connections kept open to one upstream
_DRAIN_S = 0.05
_BUFFER_BYTES = 256 * 1024  # read ahead of a slow reader


class ModelCallFailed(EgressFailed):
    """A model was not called, or gave no whole answer.

    Attributes:
        reason: ``dns``, ``blocked_address``, ``connection_failed``, ``tls``, ``insecure``,
            ``timeout``, ``redirect``, ``encoding`` (compressed, which was not asked for),
            ``answer_too_large``, ``half_answer`` (cut off in the middle), ``broken_answer`` or
            ``leaked_key`` (it repeats the key that opens it).
        was_sent: whether a byte of the request went out, so that it may cost money.
    """

    code = "model-call-failed"

    def __init__(self, reason: str, *, was_sent: bool) -> None:
        super().__init__(reason)
        self.was_sent = was_sent


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """A whole answer; its header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """An answer whose head is here and whose text comes."""

    def __init__(self, line: _Line, client: ModelClient, upstream: Upstream) -> None:
        self._line = line
        self._client = client
        self._upstream = upstream
        self.status = line.status
        self.headers: Mapping[str, str] = MappingProxyType(line.headers)
        self._is_closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The text as it comes.

        Raises:
            ModelCallFailed: it did not come whole.
        """
        try:
            while (chunk := await self.next_chunk()) is not None:
                yield chunk
        finally:
            self.close()

    async def next_chunk(self) -> bytes | None:
        """The next piece of the text; None at its end. Close it afterwards.

        Raises:
            ModelCallFailed: it did not come whole.
        """
        return await self._line.next_chunk()

    async def drain(self) -> None:
        """Read the little that may follow an answer that says of itself that it is over."""
        with suppress(TimeoutError, ModelCallFailed):
            async with asyncio.timeout(_DRAIN_S):
                while await self._line.next_chunk() is not None:
                    pass

    async def read(self) -> bytes:
        """The whole text.

        Raises:
            ModelCallFailed: it did not come whole.
        """
        return b"".join([chunk async for chunk in self.chunks()])

    def close(self) -> None:
        """Let go of the line: it is kept when the answer was read to its end."""
        if not self._is_closed:  # afterwards the line may be another's
            self._is_closed = True
            self._client._release(self._upstream, self._line)


class ModelClient:
    """Calls models; from any event loop and any thread.

    Args:
        tls: what certificates have to stand up to; None: the machine's own authorities.
    """

    def __init__(self, upstreams: Upstreams, *, tls: ssl.SSLContext | None = None) -> None:
        self.upstreams = upstreams
        self._tls = tls
        self._idle: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, deque[_Line]]]
        self._idle = WeakKeyDictionary()
        self._aside: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    async def send(
        self,
        upstream: Upstream,
        path: str,
        body: bytes,
        *,
        is_stream: bool = False,
        timeout_s: float | None = None,
    ) -> Exchange:
        """Post a JSON body.

        Args:
            path: :data:`CHAT` or :data:`EMBEDDINGS`.
            timeout_s: for the whole exchange, when shorter than the upstream's own.

        Returns:
            The answer from its head on, whatever its status. Read it to its end, or close it.

        Raises:
            ModelCallFailed: no answer, or one that is not to be read.
        """
        allowed_s = min(timeout_s or upstream.timeout_s, upstream.timeout_s)
        until = monotonic() + allowed_s
        line = self._kept(upstream)
        if line is None:
            line = await self._connect(upstream, until)
        accept = b"text/event-stream" if is_stream else b"application/json"
        head = [
            f"POST {upstream.target.path}{path} HTTP/1.1\r\nHost: {upstream.host}\r\n".encode(),
            b"User-Agent: Ebbtide\r\nContent-Type: application/json\r\n",
            b"Accept: " + accept + b"\r\nAccept-Encoding: identity\r\n",
            b"Content-Length: " + str(len(body)).encode() + b"\r\n",
        ]
        if upstream.secret is not None:
            head.append(f"Authorization: Bearer {upstream.secret}\r\n".encode())
        line.begin(b"".join([*head, b"\r\n"]), body, until, upstream)
        try:
            await line.until_head()
        except BaseException:
            line.abort()
            raise
        exchange = Exchange(line, self, upstream)
        reason = None
        if 300 <= line.status < 400:
            reason = "redirect"
        elif line.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
            reason = "encoding"
        if reason is not None:
            line.abort()
            raise ModelCallFailed(reason, was_sent=True)
        return exchange

    def post(
        self, upstream: Upstream, path: str, body: bytes, *, timeout_s: float | None = None
    ) -> ModelAnswer:
        """Post a JSON body from a thread, and wait for the whole answer.

        Raises:
            ModelCallFailed: no answer, or one that is not whole.
        """

        async def ask() -> ModelAnswer:
            exchange = await self.send(upstream, path, body, timeout_s=timeout_s)
            return ModelAnswer(exchange.status, exchange.headers, await exchange.read())

        try:
            return asyncio.run_coroutine_threadsafe(ask(), self._loop_aside()).result()
        except CancelledError as error:  # the client was closed meanwhile
            raise ModelCallFailed("connection_failed", was_sent=True) from error

    def close_idle(self) -> None:
        """Close the idle lines of the running event loop, which is about to end."""
        for lines in self._idle.pop(asyncio.get_running_loop(), {}).values():
            for line in lines:
                line.abort()

    def close(self) -> None:
        """End the calls of threads; those of an event loop end with it."""
        with self._lock:
            loop, thread = self._aside, self._thread
            self._aside = self._thread = None
        if loop is None or thread is None:
            return

        async def end() -> None:
            self.close_idle()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _loop_aside(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._aside is None:
                self._aside = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._aside.run_forever, name="ebbtide-models", daemon=True
                )
                self._thread.start()
            return self._aside

    def _kept(self, upstream: Upstream) -> _Line | None:
        lines = self._idle.get(asyncio.get_running_loop(), {}).get(upstream.upstream_id)
        while lines:
            line = lines.pop()
            if line.wake():
                return line
        return None

    def _release(self, upstream: Upstream, line: _Line) -> None:
        if not line.may_stay:
            line.abort()
            return
        by_id = self._idle.setdefault(asyncio.get_running_loop(), {})
        lines = by_id.setdefault(upstream.upstream_id, deque())
        if len(lines) == IDLE_MAX:
            lines.popleft().abort()
        line.rest(IDLE_S)
        lines.append(line)

    async def _connect(self, upstream: Upstream, until: float) -> _Line:
        loop = asyncio.get_running_loop()
        target = upstream.target
        context = None
        if target.scheme == "https":
            if self._tls is None:
                self._tls = await loop.run_in_executor(None, ssl.create_default_context)
            context = self._tls
        reason = "connection_failed"
        limit_s = min(CONNECT_S, until - monotonic())
        try:
            async with asyncio.timeout(limit_s):
                addresses = await loop.run_in_executor(
                    None, resolve, target.host, target.port, upstream.reach
                )
                for address in addresses:
                    if context is None and not upstream.reach.is_own(address):
                        raise ModelCallFailed("insecure", was_sent=False)
                    found = await _reach(loop, str(address), target.port)
                    if found is None:
                        continue
                    try:
                        _, line = await loop.create_connection(
                            _Line,
                            sock=found,
                            ssl=context,
                            server_hostname=target.host if context is not None else None,
                        )
                    except BaseException:
                        found.close()
                        raise
                    return line
        except TimeoutError as error:
            raise ModelCallFailed("timeout", was_sent=False) from error
        except ModelCallFailed:
            raise
        except EgressFailed as error:
            raise ModelCallFailed(error.reason, was_sent=False) from error
        except (OSError, ValueError) as error:
            reason = "tls" if context is not None else reason
            raise ModelCallFailed(reason, was_sent=False) from error
        raise ModelCallFailed(reason, was_sent=False)


async def _reach(loop: asyncio.AbstractEventLoop, address: str, port: int) -> socket.socket | None:
    """A socket that is connected to this very address; None when nobody is there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    line = socket.socket(family, socket.SOCK_STREAM)
    line.setblocking(False)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        await loop.sock_connect(line, (address, port))
    except OSError:
        line.close()
        return None
    except BaseException:
        line.close()
        raise
    return line


class _Line(asyncio.Protocol):
    """A connection, and the one exchange that it carries at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_lost = False
        self._is_resting = True
        self._reset()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.headers: dict[str, str] = {}
        self._chunks: deque[bytes] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._failure: str | None = None
        self._has_head = self._is_done = self._keeps_alive = self._is_paused = False
        self._head_bytes = self._body_bytes = self._buffered = 0
        self._limit = 0
        self._secret = b""
        self._tail = b""

    # -- what the client does ---------------------------------------------------------------

    def begin(self, head: bytes, body: bytes, until: float, upstream: Upstream) -> None:
        """Send a request; nothing else is under way on this line."""
        self._reset()
        self._is_resting = False
        self._limit = upstream.answer_max_bytes
        self._secret = (upstream.secret or "").encode()
        left_s = max(0.0, until - monotonic())
        self._timer = self._loop.call_later(left_s, self._fail, "timeout")
        if self._is_lost or self._transport is None:
            self._fail("connection_failed")
            return
        self._transport.write(head + body if len(body) < 16_384 else head)
        if len(body) >= 16_384:
            self._transport.write(body)

    async def until_head(self) -> None:
        """Wait for the head of the answer."""
        while not self._has_head:
            self._raise_failure()
            await self._wait()
        self._raise_failure()

    async def next_chunk(self) -> bytes | None:
        """The next piece of the text; None at its end."""
        while not self._chunks:
            self._raise_failure()
            if self._is_done:
                return None
            await self._wait()
        chunk = self._chunks.popleft()
        self._buffered -= len(chunk)
        if self._is_paused and self._buffered < _BUFFER_BYTES and not self._is_lost:
            self._is_paused = False
            self._transport.resume_reading()
        return chunk

    @property
    def may_stay(self) -> bool:
        """Whether another exchange can follow."""
        is_whole = self._is_done and not self._chunks and self._failure is None
        return is_whole and self._keeps_alive and not self._is_lost

    def rest(self, idle_s: float) -> None:
        """Wait for the next exchange, for a while."""
        self._stop_timer()
        self._is_resting = True
        self._timer = self._loop.call_later(idle_s, self.abort)

    def wake(self) -> bool:
        """Come out of the rest; False when the other side has closed meanwhile."""
        self._stop_timer()
        if self._is_lost or self._transport.is_closing():
            self.abort()
            return False
        return True

    def abort(self) -> None:
        """Close at once."""
        self._stop_timer()
        self._is_lost = True
        if self._transport is not None:
            self._transport.abort()

    # -- what the event loop calls ----------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """It is open."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Some bytes of an answer."""
        if self._is_resting or self._is_done:
            self.abort()  # it speaks without being asked: the next answer might not be ours
            self._keeps_alive = False
            return
        if self._secret:
            seen = self._tail + data
            if self._secret in seen:
                self._fail("leaked_key")
                return
            self._tail = seen[-len(self._secret) + 1 :] if len(self._secret) > 1 else b""
        if not self._has_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("broken_answer")
            return
        if not self._has_head and self._head_bytes > HEAD_MAX_BYTES:
            self._fail("broken_answer")
        self._wake_reader()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self._is_lost = True
        if self._is_resting or self._is_done:
            return
        has_length = "content-length" in self.headers or "transfer-encoding" in self.headers
        if self._has_head and not has_length and exc is None:
            self._is_done = True  # such an answer ends where the line ends
            self._wake_reader()
        else:
            self._fail("half_answer" if self._has_head else "connection_failed")

    # -- what the parser calls --------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the answer; of equal ones the last counts."""
        if not self._has_head:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        """The head is here; one that only announces another one is passed over."""
        self.status = self._parser.get_status_code()
        self._has_head = self.status >= 200

    def on_body(self, data: bytes) -> None:
        """A piece of the text."""
        self._body_bytes += len(data)
        if self._body_bytes > self._limit:
            self._fail("answer_too_large")
            return
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > _BUFFER_BYTES and not self._is_paused and not self._is_lost:
            self._is_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if not self._has_head:
            self.headers.clear()
            return
        self._is_done = True
        self._keeps_alive = self._parser.should_keep_alive()

    # ---------------------------------------------------------------------------------------

    def _fail(self, reason: str) -> None:
        if self._failure is None and not self._is_done:
            self._failure = reason
            self._chunks.clear()
            self.abort()
            self._wake_reader()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise ModelCallFailed(self._failure, was_sent=True)

    async def _wait(self) -> None:
        self._waiting = self._loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def _wake_reader(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
