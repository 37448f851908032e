"""What an attacker tried: each of these went wrong once."""

from __future__ import annotations

import socket
import threading
from urllib.parse import quote

import duckdb
import pyarrow as pa
import pytest
from api_server import NOON, Server, event

from ebbtide.ingest.bulk_wire import MEDIA_TYPE, to_stream
from ebbtide.store.events import duckdb as engine


def test_a_header_without_end_is_cut_off(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        line.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n")
        sent = 0
        answer = b""
        try:
            while sent < 4 * 1024 * 1024:
                line.sendall(b"A: " + b"a" * 8000 + b"\r\n")
                sent += 8000
            answer = line.recv(1000)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert sent < 4 * 1024 * 1024 or b" 431 " in answer


def test_a_tenant_whose_id_holds_a_line_break_can_be_reached(fresh: Server) -> None:
    tenant = "a\nb/../c"
    path = f"/v1/tenants/{quote(tenant, safe='')}"
    assert fresh.admin.send(event(tenant_id=tenant)).results == ["stored"]
    assert fresh.admin.get(path).json["tenant_id"] == tenant
    assert fresh.admin.put(path, {"plan": "pro"}).json["plan"] == "pro"
    assert fresh.admin.delete(path, confirm=tenant).json["erased_events"] == 1


def test_what_waits_in_bulk_while_its_tenant_is_erased_stays_out(fresh: Server) -> None:
    table = pa.table(
        {
            "line": pa.array([1], pa.int64()),
            "event_id": ["late"],
            "tenant_id": ["gone"],
            "timestamp": pa.array([NOON], pa.timestamp("us", tz="UTC")),
            "event_type": ["LOGIN"],
        }
    )
    assert fresh.admin.send(event(tenant_id="gone")).results == ["stored"]
    answers = []

    def load() -> None:
        body = to_stream(table)
        headers = {"Content-Type": MEDIA_TYPE}
        answers.append(fresh.admin.ask("POST", "/v1/bulk?key=k1", body, headers))

    directory = fresh.house.services.directory
    with directory.steady:  # an erasure is under way
        loading = threading.Thread(target=load)
        loading.start()
        loading.join(1.0)
        assert loading.is_alive()
        fresh.house.services.events.erase_tenant("gone")
        directory.erase("gone", fresh.clock())
    loading.join(20)
    assert answers[0].json["refused"] == 1
    assert fresh.num_stored() == 0


def test_events_on_disk_are_acknowledged_though_their_sums_cannot_be_folded(
    fresh: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: engine.DuckDBEventStore) -> None:
        raise duckdb.TransactionException("No space left on device")

    monkeypatch.setattr(engine, "FOLD_ROWS", 1)
    monkeypatch.setattr(engine.DuckDBEventStore, "_fold", full)
    assert fresh.admin.send(event(), event()).results == ["stored", "stored"]
    assert fresh.num_stored() == 2
