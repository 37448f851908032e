"""A real HTTP server on loopback that stores events by id and can be told to misbehave."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

Misbehaviour = Callable[["Handler", list[dict[str, Any]]], bool]


class Request(NamedTuple):
    """One request as it came in; ``at`` is monotonic seconds."""

    path: str
    headers: dict[str, str]
    raw: bytes
    ids: list[str]
    at: float


class EventServer:
    """Answers ``POST /v1/events`` like Ebbtide: the first event of an id is stored.

    ``script`` holds one misbehaviour per request, used up from the left. Each gets the handler
    and the events, and returns True when it has answered (or cut the connection) itself.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.stored: dict[tuple[str | None, str], dict[str, Any]] = {}
        self.raw_events: list[bytes] = []
        self.script: deque[Misbehaviour] = deque()
        self.always: Misbehaviour | None = None
        self.verdict: Callable[[dict[str, Any]], tuple[str, str | None] | None] = lambda event: None
        self.lock = threading.Lock()
        self._http = Server(("127.0.0.1", 0), Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def stored_ids(self) -> list[str]:
        """Ids in the order in which they were stored."""
        return [event_id for _, event_id in self.stored]

    def store(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Keep what is new and give the result of each event."""
        results = []
        with self.lock:
            for event in events:
                word, reason = self.verdict(event) or ("stored", None)
                if word == "stored":
                    key = (event.get("tenant_id"), event["event_id"])
                    word = "duplicate" if key in self.stored else "stored"
                    self.stored.setdefault(key, event)
                results.append({"event_id": event["event_id"], "result": word, "reason": reason})
        return results

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class Server(ThreadingHTTPServer):
    owner: EventServer
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break on purpose are no news."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        owner = self.server.owner
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        body = gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw
        events = json.loads(body)["events"]
        with owner.lock:
            owner.requests.append(
                Request(
                    self.path,
                    {name.lower(): value for name, value in self.headers.items()},
                    raw,
                    [event["event_id"] for event in events],
                    time.monotonic(),
                )
            )
            misbehave = owner.script.popleft() if owner.script else owner.always
        if misbehave is not None and misbehave(self, events):
            return
        self.answer(200, {"results": owner.store(events)})

    do_CONNECT = do_GET = do_POST

    def answer(self, status: int, body: Any, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def cut(self) -> None:
        """End the connection without a word."""
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Keep test output quiet."""


def status(code: int, body: Any = b"", **headers: str) -> Misbehaviour:
    """Answer with a status instead of storing."""

    def misbehave(handler: Handler, events: list[dict[str, Any]]) -> bool:
        handler.answer(code, body, **headers)
        return True

    return misbehave


def cut_before(handler: Handler, events: list[dict[str, Any]]) -> bool:
    """Lose the connection before anything was stored."""
    handler.cut()
    return True


def cut_after(handler: Handler, events: list[dict[str, Any]]) -> bool:
    """Store the events, then lose the connection before the answer."""
    handler.server.owner.store(events)
    handler.cut()
    return True


def too_large_above(number: int) -> Misbehaviour:
    """Refuse batches of more events than this with 413."""

    def misbehave(handler: Handler, events: list[dict[str, Any]]) -> bool:
        if len(events) <= number:
            return False
        handler.answer(413, {"code": "body-too-large"})
        return True

    return misbehave
