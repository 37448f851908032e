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
class File:
    """What the API sent, as it is."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    content: bytes


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
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One question.

        Args:
            path: with its variable parts percent-encoded, see :func:`part`.
            key: text of the API key to ask with.
            client: address and port of the one who really asks.
            headers: those of the one who really asks that matter to the answer.

        Raises:
            Exception: whatever broke in the API beyond what it answers itself.
        """
        file = await self.fetch(method, path, key, client, params, body, headers)
        data = json.loads(file.content or b"{}")
        assert isinstance(data, dict)
        return Answer(file.status, data)

    async def fetch(
        self,
        method: str,
        path: str,
        key: str,
        client: tuple[str, int] | None,
        params: Mapping[str, str | Sequence[str]] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> File:
        """As :meth:`ask`, for an answer of any kind."""
        sent = b"" if body is None else json.dumps(body).encode()
        given = [
            (b"host", b"console"),
            (b"x-api-key", key.encode("latin-1", "replace")),
            (b"content-length", str(len(sent)).encode()),
        ]
        if body is not None:
            given.append((b"content-type", b"application/json"))
        for name, text in (headers or {}).items():
            given.append((name.encode("ascii"), text.encode("latin-1", "replace")))
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
            "headers": given,
            "client": client,
            "server": None,
        }
        is_sent = False
        status = 500
        sent_back: tuple[tuple[bytes, bytes], ...] = ()
        parts: list[bytes] = []

        async def receive() -> Message:
            nonlocal is_sent
            if is_sent:
                return {"type": "http.disconnect"}
            is_sent = True
            return {"type": "http.request", "body": sent, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status, sent_back
            if message["type"] == "http.response.start":
                status = message["status"]
                sent_back = tuple(message["headers"])
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        await self.application(scope, receive, send)
        return File(status, sent_back, b"".join(parts))


def part(text: str) -> str:
    """One variable part of a path; whatever it says, it stays one part."""
    return quote(text, safe="")
