"""Looking a key up may wait for a disk; nobody else waits with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from api_server import Client, Server, event

from ebbtide.domain.keys import ApiKey


class SlowShelf:
    """The keys as they are, each found only when the gate is opened."""

    def __init__(self, server: Server) -> None:
        self._find = server.house.services.state.keys.find
        self.gate = threading.Event()
        self.asked = threading.Semaphore(0)
        self.num_asked = 0

    def find(self, key_id: str) -> ApiKey | None:
        """What was there when it was asked, told when the gate is open."""
        self.num_asked += 1
        found = self._find(key_id)
        self.asked.release()
        assert self.gate.wait(20)
        return found


@contextmanager
def slow_shelf(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowShelf]:
    """Key look-ups that stop until the gate is opened, at the latest when the block ends."""
    shelf = SlowShelf(server)
    with monkeypatch.context() as patch:
        patch.setattr(server.house.services.state.keys, "find", shelf.find)
        try:
            yield shelf
        finally:
            shelf.gate.set()


PATHS = ["/v1/events", "/v1/track", "/v1/cloudevents", "/v1/bulk", "/metrics"]


@pytest.mark.parametrize("path", PATHS)
def test_a_slow_look_up_holds_up_nobody_else(
    server: Server, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    newcomer, regular = server.client("ingest"), server.admin
    assert regular.send(event()).results == ["stored"]  # remembered for a second from here
    method = "GET" if path == "/metrics" else "POST"
    with slow_shelf(server, monkeypatch) as shelf, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(newcomer.ask, method, path, b"[]" if method == "POST" else None)
        assert shelf.asked.acquire(timeout=10)
        began = time.monotonic()
        assert server.client().get("/health/live").status == 200
        assert regular.send(event()).results == ["stored"]
        assert time.monotonic() - began < 5 and not waiting.done()
        shelf.gate.set()
        assert waiting.result(20).status in (200, 400, 403, 415)


def test_the_same_key_is_looked_up_once_at_a_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = server.client("ingest").key
    with slow_shelf(server, monkeypatch) as shelf, ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(Client(server.port, key).send, event()) for _ in range(8)]
        assert shelf.asked.acquire(timeout=10)
        time.sleep(0.5)  # all of them are at the door
        shelf.gate.set()
        assert [one.result(20).results for one in sent] == [["stored"]] * 8
    assert shelf.num_asked == 1


def test_a_key_that_is_revoked_while_it_is_looked_up_is_not_remembered(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = server.make_key("ingest")
    client = Client(server.port, made["key"])
    with slow_shelf(server, monkeypatch) as shelf, ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(client.send, event())
        assert shelf.asked.acquire(timeout=10)
        server.house.services.state.keys.revoke(made["key_id"], server.clock())
        server.house.services.authenticator.forget()
        shelf.gate.set()
        assert under_way.result(20).results == ["stored"]  # it came before the revocation
    assert client.send(event()).status == 401


def test_a_wrong_key_is_told_so_whoever_asks_with_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "ebb_" + "a" * 12 + "_" + "b" * 52
    with slow_shelf(server, monkeypatch) as shelf, ThreadPoolExecutor(4) as pool:
        sent = [
            pool.submit(Client(server.port, wrong, "127.0.3.1").send, event()) for _ in range(4)
        ]
        assert shelf.asked.acquire(timeout=10)
        shelf.gate.set()
        assert {one.result(20).status for one in sent} == {401}
