"""When a store is gone, full or slow, or a caller is slow: no false answer, and then it goes on."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from api_server import Client, Server, event, open_server
from structlog.testing import capture_logs

from ebbtide.domain.errors import StorageFull, StoreUnavailable


def check_unavailable(answer: Any, code: str = "store-unavailable") -> None:
    """503 that says when to come back, and nothing about the store."""
    assert answer.status == 503, answer.body
    assert answer.json["code"] == code
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert "detail" not in answer.json


# -- stores that are gone ----------------------------------------------------------------------


def test_a_server_without_its_event_store_is_alive_but_not_ready(fresh: Server) -> None:
    kept = event()
    assert fresh.admin.send(kept).results == ["stored"]
    fresh.house.services.events.close()
    nobody = fresh.client()
    assert nobody.get("/health/live").status == 200
    check_unavailable(nobody.get("/health/ready"), "not-ready")
    assert fresh.admin.send(event()).status == 503
    assert fresh.admin.get("/v1/events").status == 503
    shown = fresh.admin.get("/metrics")
    assert shown.status == 200
    assert 'ebbtide_store_up{engine="duckdb",store="events"} 0.0' in shown.body.decode()
    assert 'ebbtide_store_up{engine="sqlite",store="state"} 1.0' in shown.body.decode()


class Broken:
    """Makes methods of one object fail until it is mended."""

    def __init__(self, target: Any, error: Exception, *names: str) -> None:
        self._target, self._error, self._names = target, error, names

    def __enter__(self) -> None:
        for name in self._names:
            setattr(self._target, name, self._fail)

    def __exit__(self, *_: object) -> None:
        for name in self._names:
            delattr(self._target, name)

    def _fail(self, *_: Any, **__: Any) -> None:
        raise self._error


AWAY = StoreUnavailable("connection to db.internal:5432 refused, user ebbtide")
FULL = StorageFull("no space left on /var/lib/canary", retry_after_s=10)


@pytest.mark.parametrize(
    ("error", "code"), [(AWAY, "store-unavailable"), (FULL, "storage-full")], ids=["away", "full"]
)
def test_what_the_event_store_does_not_take_is_not_acknowledged(
    fresh: Server, error: StoreUnavailable, code: str
) -> None:
    events = [event() for _ in range(5)]
    with Broken(fresh.house.services.events, error, "append"):
        for _ in range(3):
            check_unavailable(fresh.admin.send(*events), code)
            check_unavailable(fresh.admin.post("/v1/track", CALL), code)
        assert fresh.admin.get("/v1/events").json["events"] == []
        assert fresh.client().get("/health/live").status == 200
    assert fresh.admin.send(*events).results == ["stored"] * 5
    assert fresh.num_stored() == 5
    fresh.check_identity()


CALL = {"event": "LOGIN", "userId": "u", "context": {"groupId": "acme"}, "messageId": "m"}


def test_what_quarantine_does_not_take_is_not_acknowledged(fresh: Server) -> None:
    """The good ones of the request are on disk by then; the retry finds them there."""
    good, bad = event(), event(severity=99)
    with Broken(fresh.house.services.state.quarantine, FULL, "add"):
        check_unavailable(fresh.admin.send(good, bad), "storage-full")
        assert fresh.admin.send(event()).results == ["stored"]  # without rejects it goes on
    assert fresh.admin.get("/v1/quarantine").json["total"] == 0
    assert fresh.admin.send(good, bad).results == ["duplicate", "quarantined"]
    assert fresh.admin.get("/v1/quarantine").json["total"] == 1
    fresh.check_identity()


def test_what_the_directory_does_not_take_is_not_acknowledged(fresh: Server) -> None:
    fresh.admin.send(event())
    started = event(event_type="SUBSCRIPTION_STARTED", metadata={"plan": "pro"})
    with Broken(fresh.house.services.state.tenants, AWAY, "remember"):
        check_unavailable(fresh.admin.send(event(tenant_id="new")))
        check_unavailable(fresh.admin.send(started))
        check_unavailable(fresh.admin.put("/v1/tenants/acme", {"name": "n"}))
        assert fresh.admin.send(event()).results == ["stored"]  # a known tenant needs no one
    assert fresh.admin.send(started).results == ["duplicate"]
    assert fresh.admin.get("/v1/tenants/acme").json["plan"] == "pro"


def test_without_the_state_store_no_key_opens(fresh: Server) -> None:
    client = fresh.client("read")
    assert client.get("/v1/events").status == 200
    with Broken(fresh.house.services.state.keys, AWAY, "find"):
        assert client.get("/v1/events").status == 200  # remembered for a second
        fresh.house.services.authenticator.forget()
        check_unavailable(client.get("/v1/events"))
        check_unavailable(fresh.admin.send(event()))
    with Broken(fresh.house.services.state, AWAY, "ping"):
        check_unavailable(fresh.client().get("/health/ready"), "not-ready")
    assert client.get("/v1/events").status == 200
    assert fresh.client().get("/health/ready").status == 200


def test_noting_the_use_of_a_key_is_only_a_courtesy(fresh: Server) -> None:
    client = fresh.client("read")
    with Broken(fresh.house.services.state.keys, FULL, "note_use"):
        assert client.get("/v1/events").status == 200


def test_an_erasure_that_fails_says_so_and_can_be_repeated(fresh: Server) -> None:
    fresh.admin.send(event(tenant_id="t"))
    for target, name in (
        (fresh.house.services.events, "erase_tenant"),
        (fresh.house.services.state, "erase_tenant"),
    ):
        with Broken(target, AWAY, name):
            check_unavailable(fresh.admin.delete("/v1/tenants/t", confirm="t"))
        assert fresh.admin.get("/v1/tenants/t").status == 200
    assert fresh.admin.delete("/v1/tenants/t", confirm="t").status == 200
    assert fresh.num_stored() == 0
    assert fresh.admin.get("/v1/tenants/t").status == 404


def test_a_fault_in_one_group_does_not_stop_the_next(fresh: Server) -> None:
    fault = Broken(fresh.house.services.events, ZeroDivisionError("a fault of ours"), "append")
    with fault, capture_logs() as logs:
        answer = fresh.admin.send(event())
        assert (answer.status, answer.json["code"]) == (500, "internal-error")
    assert [line["event"] for line in logs] == ["ingest.fault", "api.fault"]
    assert fresh.admin.send(event()).results == ["stored"]
    assert fresh.client().get("/health/ready").status == 200
    fresh.check_identity()


def test_more_than_fits_into_memory_is_asked_to_come_back(fresh: Server) -> None:
    writer = fresh.house.services.writer
    batch = [event() for _ in range(12_000)]
    with ThreadPoolExecutor(4) as pool, writer.paused():
        # The writer holds one group and waits; the queue behind it fills up.
        answers = [pool.submit(fresh.admin.send, event())]
        time.sleep(0.2)
        writer._waiting_events += 190_000
        try:
            refused = fresh.admin.send(*batch)
        finally:
            writer._waiting_events -= 190_000
    check_unavailable(refused, "ingest-overloaded")
    assert answers[0].result(20).results == ["stored"]
    assert fresh.num_stored() == 1


# -- callers that are slow, or gone ------------------------------------------------------------


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits less than a second for a header and for a body."""
    folder = tmp_path_factory.mktemp("hasty")
    yield from open_server(folder, header_deadline_s=0.6, receive_deadline_s=0.6)


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def read_all(line: socket.socket) -> bytes:
    answer = b""
    while True:
        try:
            part = line.recv(65536)
        except ConnectionResetError:
            return answer
        if not part:
            return answer
        answer += part


def head(server: Server, length: int) -> bytes:
    return (
        f"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-API-Key: {server.admin.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def trickle(line: socket.socket, data: bytes, seconds: float) -> None:
    """Send a byte now and then until the other side hangs up."""
    until = time.monotonic() + seconds
    for byte in data:
        if time.monotonic() > until:
            return
        try:
            line.sendall(bytes([byte]))
        except OSError:
            return
        time.sleep(0.05)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_header_that_does_not_arrive_is_not_waited_for(hasty: Server, sent: bytes) -> None:
    with connect(hasty) as line:
        began = time.monotonic()
        line.sendall(sent)
        answer = read_all(line)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert 0.5 < time.monotonic() - began < 5


def test_a_header_that_trickles_is_cut_off(hasty: Server) -> None:
    with connect(hasty) as line:
        began = time.monotonic()
        trickle(line, b"GET / HTTP/1.1\r\nHost: " + b"x" * 1000, 8)
        assert read_all(line).startswith((b"HTTP/1.1 408 ", b""))
    assert time.monotonic() - began < 5


def test_the_second_header_on_a_connection_has_its_time_too(hasty: Server) -> None:
    with connect(hasty) as line:
        line.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert line.recv(65536).startswith(b"HTTP/1.1 200 ")
        time.sleep(1)  # an idle connection is no slow header
        line.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert line.recv(65536).startswith(b"HTTP/1.1 200 ")
        line.sendall(b"GET /health/live HTTP/1.1\r\nHo")
        assert read_all(line).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("path", ["/v1/events", "/v1/track", "/v1/cloudevents", "/v1/keys"])
def test_a_body_that_trickles_is_cut_off(hasty: Server, path: str) -> None:
    with connect(hasty) as line:
        began = time.monotonic()
        line.sendall(head(hasty, 1000).replace(b"/v1/events", path.encode()))
        trickle(line, b"[" + b" " * 998, 8)
        answer = read_all(line)
    assert answer == b"" or b"receive-timeout" in answer
    assert time.monotonic() - began < 5


def test_a_body_that_stops_is_answered_408(hasty: Server) -> None:
    with connect(hasty) as line:
        line.sendall(head(hasty, 1000) + b"[")
        answer = read_all(line)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    assert b"connection: close" in answer.lower()


def test_slow_callers_do_not_hold_up_others(hasty: Server) -> None:
    lines = [connect(hasty) for _ in range(100)]
    try:
        for line in lines:
            line.sendall(head(hasty, 1000) + b"[")
        assert hasty.admin.send(event()).results == ["stored"]
    finally:
        for line in lines:
            line.close()
    assert hasty.admin.send(event()).results == ["stored"]


def test_a_caller_that_hangs_up_does_not_stop_the_writer(fresh: Server) -> None:
    body = json.dumps([event(event_id="x", tenant_id="t")]).encode()
    for _ in range(20):
        with connect(fresh) as line:
            line.sendall(head(fresh, len(body)) + body)
    for _ in range(20):
        with connect(fresh) as line:
            line.sendall(head(fresh, len(body)) + body[:-5])
    assert fresh.admin.send(event()).results == ["stored"]
    assert fresh.house.services.writer.is_alive
    assert fresh.num_stored() == 2
    fresh.check_identity()


def test_many_requests_at_once_are_all_answered(fresh: Server) -> None:
    def send(number: int) -> list[str]:
        client = Client(fresh.port, fresh.admin.key)
        return [
            result
            for _ in range(10)
            for result in client.send(*[event(tenant_id=f"t{number}") for _ in range(5)]).results
        ]

    with ThreadPoolExecutor(8) as pool:
        results = [result for part in pool.map(send, range(8)) for result in part]
    assert results == ["stored"] * 400
    assert fresh.num_stored() == 400
    assert threading.active_count() < 100
    fresh.check_identity()
