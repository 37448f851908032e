"""Where the sample company lives, every answer and every command says that it is simulated."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ebbtide.api.application import build_application
from ebbtide.app.house import House
from ebbtide.app.settings import Settings
from ebbtide.store.state.settings import SAMPLE_COMPANY


def headers_of(app: Any, path: str) -> dict[bytes, bytes]:
    """The headers of one answer, asked without a network."""
    found: dict[bytes, bytes] = {}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            found.update(message["headers"])

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "scheme": "http",
        "server": ("127.0.0.1", 1),
        "client": ("127.0.0.1", 2),
    }
    asyncio.run(app(scope, receive, send))
    return found


@pytest.mark.parametrize("path", ["/health/live", "/ops/customers", "/nowhere"])
def test_every_answer_of_a_sample_company_says_so(tmp_path: Path, path: str) -> None:
    house = House(Settings(data_dir=tmp_path / "data"), make_first_key=False)
    try:
        real = build_application(house.services, is_simulated=house.is_simulated)
        assert b"x-ebbtide-simulated" not in headers_of(real, path)
        house.services.state.settings.set(SAMPLE_COMPANY, "{}")
        sample = build_application(house.services, is_simulated=house.is_simulated)
        assert headers_of(sample, path)[b"x-ebbtide-simulated"] == b"true"
    finally:
        house.close()
