"""Where the sample company lives, every answer and every command says that it is simulated."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ebbtide.api.application import build_application
from ebbtide.app.house import House
from ebbtide.app.settings import Settings
from ebbtide.store.state.settings import SAMPLE_COMPANY


def headers_of(app: Any, path: str) -> dict[bytes, bytes]:
    """The headers of one answer, asked without a network."""
    return answer_of(app, path)[0]


def answer_of(app: Any, path: str, key: str = "") -> tuple[dict[bytes, bytes], bytes]:
    """The headers and the body of one answer, asked without a network."""
    found: dict[bytes, bytes] = {}
    body = b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal body
        if message["type"] == "http.response.start":
            found.update(message["headers"])
        body += message.get("body", b"")

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"x-api-key", key.encode())],
        "scheme": "http",
        "server": ("127.0.0.1", 1),
        "client": ("127.0.0.1", 2),
    }
    asyncio.run(app(scope, receive, send))
    return found, body


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


def test_numbers_to_copy_say_it_in_the_same_answer(tmp_path: Path) -> None:
    with House(Settings(data_dir=tmp_path / "data")) as house:
        key = house.first_key or ""
        real = build_application(house.services)
        sample = build_application(house.services, is_simulated=True)
        for path in ("/ops/customers", "/api/v1/ops/pulse", "/v1/tenants"):
            _, plain = answer_of(real, path, key)
            headers, body = answer_of(sample, path, key)
            marked = json.loads(body)
            assert int(headers[b"content-length"]) == len(body)
            assert next(iter(marked)) == "simulated" and marked.pop("simulated") is True
            assert marked.keys() == json.loads(plain).keys()
        _, refused = answer_of(sample, "/ops/customers")
        assert "simulated" not in json.loads(refused)  # nothing to copy there
