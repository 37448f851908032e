"""How a command reaches its Ebbtide: always over the HTTP API, whoever serves it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import httpx2

from ebbtide.cli.output import errors
from ebbtide.domain.errors import EbbtideError

if TYPE_CHECKING:
    from ebbtide.ingest.bulk import BulkLoader

TIMEOUT_S = 60.0


class CommandError(EbbtideError):
    """The server refused what a command asked for; the message is the server's."""

    code = "command-error"

    def __init__(
        self, message: str, status: int | None = None, answer: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.answer = answer or {}


class Door:
    """A small JSON client bound to one server and one key."""

    def __init__(
        self, url: str, key: str, *, is_running: bool, loader: BulkLoader | None = None
    ) -> None:
        """Open a connection pool.

        Args:
            url: address of the server.
            key: an admin key, or one with the scopes the command needs.
            is_running: whether a server ran already; False when the command opened the
                folder itself.
            loader: the way in for files where the stores are open in this process.
        """
        self.url = url
        self.key = key
        self.is_running = is_running
        self.loader = loader
        self._has_warned = False
        self._http = httpx2.Client(
            base_url=url,
            headers={"X-API-Key": key},
            timeout=TIMEOUT_S,
            trust_env=False,  # a proxy from the environment has no business on this line
            follow_redirects=False,
        )

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """Read; parameters that are None are left out."""
        return self._ask("GET", path, params=_given(params))

    def post(
        self, path: str, body: Any = None, *, timeout_s: float = TIMEOUT_S, **params: Any
    ) -> dict[str, Any]:
        """Send JSON; parameters that are None are left out."""
        return self._ask("POST", path, json=body, timeout=timeout_s, params=_given(params))

    def put(self, path: str, body: Any) -> dict[str, Any]:
        """Replace."""
        return self._ask("PUT", path, json=body)

    def delete(self, path: str, **params: Any) -> dict[str, Any]:
        """Remove."""
        return self._ask("DELETE", path, params=_given(params))

    def send(self, path: str, content: bytes, content_type: str, **params: Any) -> dict[str, Any]:
        """Post bytes."""
        headers = {"Content-Type": content_type}
        return self._ask("POST", path, params=_given(params), content=content, headers=headers)

    def fetch(self, path: str) -> bytes:
        """A file, as it is."""
        return self._answer("GET", path).content

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _ask(self, method: str, path: str, **rest: Any) -> dict[str, Any]:
        answer = self._answer(method, path, **rest)
        return _body(answer, self.url)

    def _answer(self, method: str, path: str, **rest: Any) -> httpx2.Response:
        try:
            answer = self._http.request(method, path, **rest)
        except httpx2.HTTPError as error:
            raise CommandError(f"no answer from {self.url}: {error}") from error
        if "x-ebbtide-simulated" in answer.headers and not self._has_warned:
            self._has_warned = True
            errors.print("Simulated data: no customer, event or number here is real.", style="dim")
        if answer.status_code >= 400:
            body = _body(answer, self.url)
            title = body.get("title", f"the server answered {answer.status_code}")
            detail = body.get("detail")
            faults = "; ".join(f"{f['where']}: {f['why']}" for f in body.get("errors", []))
            text = ": ".join(part for part in (title, detail, faults) if part)
            raise CommandError(text, answer.status_code, body)
        return answer


def _body(answer: httpx2.Response, url: str) -> dict[str, Any]:
    """The JSON object of an answer; empty when it is of another kind."""
    is_json = answer.headers.get("content-type", "").partition(";")[0].endswith("json")
    return _object(answer, url) if is_json else {}


def _object(answer: httpx2.Response, url: str) -> dict[str, Any]:
    """The JSON object of an answer; what is none does not come from Ebbtide."""
    try:
        body = answer.json()
    except ValueError as error:
        raise CommandError(f"{url} answered broken JSON", answer.status_code) from error
    if not isinstance(body, dict):
        raise CommandError(f"{url} answered something else than an object", answer.status_code)
    return body


def _given(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


#: Opens the door to the server of a folder, starting one for the time of a command if none runs.
#: With ``may_begin=True`` the folder and its stores are made when there are none.
Connect = Callable[..., AbstractContextManager[Door]]
