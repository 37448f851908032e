"""A provider of models over real HTTP that does what a test tells it to: answers, delays, harm."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

#: Writes an answer to a connection; afterwards the connection is closed unless it says True.
Act = Callable[[socket.socket], bool | None]


@dataclass
class Seen:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as data."""
        return json.loads(self.body)


@dataclass
class Provider:
    """Answers requests with what is in ``script``, then with ``usual``."""

    port: int
    usual: Act
    script: deque[Act] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    num_connections: int = 0

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def last(self) -> Seen:
        """The newest request."""
        return self.seen[-1]

    def then(self, *acts: Act) -> None:
        """Answer the next requests so."""
        self.script.extend(acts)


def head(status: int, *lines: str) -> bytes:
    """The head of an answer."""
    return "\r\n".join([f"HTTP/1.1 {status} Some Words", *lines, "", ""]).encode()


def reply(status: int, body: Any, **headers: str) -> Act:
    """A whole answer, as JSON unless it is bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {
        "content-type": "application/json",
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    lines = [f"{name}: {value}" for name, value in named.items()]

    def act(line: socket.socket) -> bool:
        line.sendall(head(status, f"content-length: {len(data)}", *lines) + data)
        return True

    return act


def completion(text: str | None = "Hello.", **more: Any) -> dict[str, Any]:
    """A chat completion as OpenAI gives it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 1000,
            "completion_tokens": 100,
            "total_tokens": 1100,
            "prompt_tokens_details": {"cached_tokens": 200},
        },
    } | more


def says(text: str, **headers: str) -> Act:
    """A whole chat completion."""
    return reply(200, completion(text), **headers)


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """One piece of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return data(
        {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [choice],
        }
    )


def data(value: Any) -> bytes:
    """One event of a stream."""
    text = value if isinstance(value, str) else json.dumps(value)
    return f"data: {text}\n\n".encode()


USAGE = data(
    {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    }
)
DONE = data("[DONE]")


def streams(*pieces: bytes | threading.Event, is_whole: bool = True) -> Act:
    """A stream, a piece at a time; where an event stands it waits for it."""

    def act(line: socket.socket) -> bool:
        line.sendall(head(200, "content-type: text/event-stream", "transfer-encoding: chunked"))
        for piece in pieces:
            if isinstance(piece, threading.Event):
                piece.wait(5)
            else:
                line.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        if is_whole:
            line.sendall(b"0\r\n\r\n")
        return is_whole

    return act


def tells(text: str, with_usage: bool = True) -> Act:
    """A stream that tells a text word by word."""
    words = [chunk({"role": "assistant", "content": ""})]
    words += [chunk({"content": word + " "}) for word in text.split(" ")]
    words.append(chunk({}, "stop"))
    return streams(*words, *([USAGE] if with_usage else []), DONE)


def sends(*parts: bytes) -> Act:
    """These bytes, and then the line is closed."""

    def act(line: socket.socket) -> None:
        for part in parts:
            line.sendall(part)

    return act


def endless(first: bytes, more: bytes, every_s: float = 0.0) -> Act:
    """Bytes without an end, until the other side hangs up."""

    def act(line: socket.socket) -> None:
        line.sendall(first)
        while True:
            line.sendall(more)
            if every_s:
                time.sleep(every_s)

    return act


def waits(until: threading.Event, then: Act) -> Act:
    """An answer that comes when it is told to."""

    def act(line: socket.socket) -> bool | None:
        until.wait(10)
        return then(line)

    return act


@contextmanager
def provider(usual: Act | None = None) -> Iterator[Provider]:
    """A provider on a free loopback port."""
    listener = socket.create_server(("127.0.0.1", 0))
    found = Provider(listener.getsockname()[1], usual or says("Hello."))
    open_lines: set[socket.socket] = set()

    def accept() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            found.num_connections += 1
            open_lines.add(line)
            threading.Thread(target=_serve, args=(found, line, open_lines), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield found
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for line in list(open_lines):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


def _serve(found: Provider, line: socket.socket, open_lines: set[socket.socket]) -> None:
    with line, suppress(OSError):
        reader = line.makefile("rb")
        with reader:
            while (seen := _read(reader)) is not None:
                found.seen.append(seen)
                act = found.script.popleft() if found.script else found.usual
                if not act(line):
                    break
    open_lines.discard(line)


def _read(reader: Any) -> Seen | None:
    first = reader.readline().decode("latin-1").split(" ")
    if len(first) < 2:
        return None
    headers = {}
    while (text := reader.readline().decode("latin-1").strip()) != "":
        name, _, value = text.partition(":")
        headers[name] = value.strip()
    return Seen(first[1], headers, reader.read(int(headers.get("Content-Length", 0))))
