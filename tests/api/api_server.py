"""A real Ebbtide behind real loopback HTTP, with a clock that the tests move."""

from __future__ import annotations

import http.client
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ebbtide.app.house import House
from ebbtide.app.serving import serving_aside
from ebbtide.app.settings import Settings
from ready_files import lay_events_file, lay_state_file

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
JSON = {"Content-Type": "application/json"}
_numbers = itertools.count(1)


def event(**fields: Any) -> dict[str, Any]:
    """A small valid event; a field given as None is left out."""
    whole = {
        "event_id": f"e-{next(_numbers)}",
        "timestamp": "2026-03-12T11:00:00Z",
        "tenant_id": "acme",
        "event_type": "LOGIN",
    } | fields
    return {name: value for name, value in whole.items() if value is not None}


class Clock:
    """Tells the moment it was set to."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        """Move on, or back."""
        self.now += timedelta(**by)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as data."""
        return json.loads(self.body)

    @property
    def results(self) -> list[str]:
        """The result words of an ingest answer."""
        assert self.status == 200, (self.status, self.body[:500])
        return [one["result"] for one in self.json["results"]]

    @property
    def reasons(self) -> list[str | None]:
        """The reasons of an ingest answer."""
        assert self.status == 200, (self.status, self.body[:500])
        return [one["reason"] for one in self.json["results"]]


@dataclass
class Client:
    """Speaks plain HTTP to one server with one key; every answer is kept in ``seen``."""

    port: int
    key: str | None
    source: str = "127.0.0.1"
    seen: list[bytes] = field(default_factory=list)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own; ``path`` goes out as it stands here."""
        line = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=30, source_address=(self.source, 0)
        )
        try:
            line.putrequest(method, path, skip_accept_encoding=True)
            given = dict(headers or {})
            if self.key is not None and not {"X-API-Key", "Authorization"} & given.keys():
                given["X-API-Key"] = self.key
            if isinstance(body, bytes):
                given.setdefault("Content-Length", str(len(body)))
            elif body is not None:
                given["Transfer-Encoding"] = "chunked"
            for name, value in given.items():
                line.putheader(name, value)
            line.endheaders()
            _send(line, body)
            answer = line.getresponse()
            read = answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
            self.seen.append(repr(found).encode() + read)
            return Answer(answer.status, found, read)
        finally:
            line.close()

    def get(self, path: str, **params: Any) -> Answer:
        """Read; parameters are percent-encoded."""
        query = "?" + urlencode(params, doseq=True) if params else ""
        return self.ask("GET", path + query)

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        """Send data as JSON, or bytes as they are."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, _bytes(body), JSON | given)

    def put(self, path: str, body: Any) -> Answer:
        """Replace."""
        return self.ask("PUT", path, _bytes(body), JSON)

    def delete(self, path: str, **params: Any) -> Answer:
        """Remove."""
        return self.ask("DELETE", path + ("?" + urlencode(params, doseq=True) if params else ""))

    def send(self, *events: Any) -> Answer:
        """Post events as one list."""
        return self.post("/v1/events", list(events))


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def _send(line: http.client.HTTPConnection, body: bytes | Iterator[bytes] | None) -> None:
    # A server that refuses a body may hang up while it is still being sent; its answer counts.
    try:
        if isinstance(body, bytes):
            line.send(body)
        elif body is not None:
            for part in body:
                line.send(b"%x\r\n%s\r\n" % (len(part), part))
            line.send(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        pass


@dataclass
class Server:
    """A house that is open for visitors."""

    house: House
    port: int
    clock: Clock
    admin: Client

    def client(self, *scopes: str, tenant: str | None = None, source: str = "127.0.0.1") -> Client:
        """A client with a new key of these scopes; without scopes it has no key."""
        if not scopes:
            return Client(self.port, None, source)
        return Client(self.port, self.make_key(*scopes, tenant=tenant)["key"], source)

    def make_key(self, *scopes: str, tenant: str | None = None, **more: Any) -> dict[str, Any]:
        """A new key as the API shows it once."""
        body = {"name": "test", "scopes": list(scopes), "tenant_id": tenant} | more
        answer = self.admin.post("/v1/keys", {k: v for k, v in body.items() if v is not None})
        assert answer.status == 201, answer.body
        made: dict[str, Any] = answer.json
        return made

    def counts(self) -> Counter[tuple[str, str]]:
        """Records by door and result, as ``/metrics`` has them."""
        counts: Counter[tuple[str, str]] = Counter()
        for line in self.admin.get("/metrics").body.decode().splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith("ebbtide_events_received_total{"):
                counts[(name.split('"')[1], "received")] = int(float(value))
            elif name.startswith("ebbtide_events_total{"):
                door, result = name.split('"')[1::2]
                counts[(door, result)] = int(float(value))
        return counts

    def check_identity(self) -> None:
        """Every record received has exactly one result, door by door."""
        counts = self.counts()
        for door in {door for door, _ in counts}:
            parts = sum(n for (of, what), n in counts.items() if of == door and what != "received")
            assert counts[(door, "received")] == parts, (door, counts)

    def num_stored(self) -> int:
        """Events in the store, after checking that the roll-up says the same."""
        events = self.house.services.events
        stored = int(events.query("SELECT COUNT(*) FROM events")[0][0])
        rolled = int(events.query("SELECT SUM(num) FROM event_rollup")[0][0] or 0)
        assert rolled == stored
        return stored


def open_server(folder: Path, **settings: Any) -> Iterator[Server]:
    """A new house in a folder, served on a free port, and closed when the iterator ends."""
    clock = Clock()
    if "events_url" not in settings:
        lay_events_file(folder / "events.duckdb")
    if "state_url" not in settings:
        lay_state_file(folder / "state.sqlite")
    with House(Settings(data_dir=folder, **settings), clock) as house:
        assert house.first_key is not None
        with serving_aside(house) as running:
            port = int(running.url.rpartition(":")[2])
            server = Server(house, port, clock, Client(port, house.first_key))
            yield server
