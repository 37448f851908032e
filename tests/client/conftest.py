"""What the client's tests share: a server on loopback and emitters that are always closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from event_server import EventServer

from ebbtide import Emitter


@pytest.fixture
def server() -> Iterator[EventServer]:
    server = EventServer()
    yield server
    server.close()


@pytest.fixture
def make_emitter(
    server: EventServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Emitter]]:
    """Makes emitters for the server: quick to flush, no pause between attempts."""
    monkeypatch.delenv("EBBTIDE_API_KEY", raising=False)
    made: list[Emitter] = []

    def make(url: str | None = None, **options: Any) -> Emitter:
        options.setdefault("flush_interval_s", 0.02)
        options.setdefault("sleep", lambda seconds: None)
        options.setdefault("tenant_id", "acme")
        made.append(Emitter(server.url if url is None else url, **options))
        return made[-1]

    yield make
    for emitter in made:
        emitter.close(0.5)
