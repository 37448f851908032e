"""Asks the API within this process: the console shows what the API answers, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode

from starlette.types import ASGIApp, Message, Scope


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API said: its data, or the problem that it told."""

    status: int
    data: dict[str, Any]

    @property
    def is_ok(self) -> bool:
        """Whether there is data."""
        return self.status < 400


@dataclass(frozen=True, slots=True)
class Api:
    """The API's application, asked as a browser would ask it, without a line between.

    Who asks is decided there: each question carries the key of the session. So the console can
    show nobody more than their key may see, and no number has a second home.
    """

    application: ASGIApp

    async def ask(
        self,
        method: str,
        path: str,
        key: str,
        client: tuple[str, int] | None,
        params: Mapping[str, str | Sequence[str]] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        """One question.

        Args:
            path: with its variable parts percent-encoded, see :func:`part`.
            key: text of the API key to ask with.
            client: address and port of the one who really asks.

        Raises:
            Exception: whatever broke in the API beyond what it answers itself.
        """
        sent = b"" if body is None else json.dumps(body).encode()
        headers = [
            (b"host", b"console"),
            (b"x-api-key", key.encode("latin-1", "replace")),
            (b"content-length", str(len(sent)).encode()),
        ]
        if body is not None:
            headers.append((b"content-type", b"application/json"))
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode("ascii"),
            "root_path": "",
            "query_string": urlencode(params or {}, doseq=True).encode(),
            "headers": headers,
            "client": client,
            "server": None,
        }
        is_sent = False
        status = 500
        parts: list[bytes] = []

        async def receive() -> Message:
            nonlocal is_sent
            if is_sent:
                return {"type": "http.disconnect"}
            is_sent = True
            return {"type": "http.request", "body": sent, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        await self.application(scope, receive, send)
        data = json.loads(b"".join(parts) or b"{}")
        assert isinstance(data, dict)
        return Answer(status, data)


def part(text: str) -> str:
    """One variable part of a path; whatever it says, it stays one part."""
    return quote(text, safe="")
