"""A real Ebbtide with a guard, in front of a scripted provider."""

from __future__ import annotations

import base64
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import openai
from scripted_provider import Provider, provider

from ebbtide.app.house import House
from ebbtide.app.serving import serving_aside
from ebbtide.app.settings import Settings
from ebbtide.domain.policy import OFF
from ebbtide.store.state.policies import Act
from ready_files import lay_events_file, lay_state_file

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
#: Opens the provider; it may be nowhere but in what goes to the provider.
PROVIDER_KEY = "sk-canary-c0ffee0123456789"
BLOCKING = ("PII_FILTER", "PROMPT_INJECTION", "SAFETY_BASIC")


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


@dataclass
class Guarded:
    """A house behind HTTP, its provider, and its admin key."""

    house: House
    port: int
    provider: Provider
    admin: str

    @property
    def url(self) -> str:
        """The base URL that clients of models are given."""
        return f"http://127.0.0.1:{self.port}/v1"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        **headers: str,
    ) -> Answer:
        """One request; data goes as JSON, bytes as they are."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        given = {"X-API-Key": key or self.admin, "Content-Type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            line.request(method, path, sent, given)
            answer = line.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            line.close()

    def chat(self, tenant: str, text: str = "Hello", **more: Any) -> Answer:
        """A chat completion of a tenant, with the admin's key."""
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]} | more
        return self.ask("POST", "/v1/chat/completions", body, X_Ebbtide_Tenant=tenant)

    def key(self, *scopes: str, tenant: str | None = None) -> dict[str, Any]:
        """A new key as it is shown once."""
        body = {"name": "test", "scopes": list(scopes), "tenant_id": tenant}
        answer = self.ask("POST", "/v1/keys", {k: v for k, v in body.items() if v})
        assert answer.status == 201, answer.body
        made: dict[str, Any] = answer.json
        return made

    def openai(self, tenant: str) -> openai.OpenAI:
        """The official client, as its users make it, with a key of a tenant."""
        key = self.key("llm:call", tenant=tenant)["key"]
        return openai.OpenAI(api_key=key, base_url=self.url, max_retries=0, timeout=20)

    def without_blocks(self, tenant: str) -> None:
        """Take from a tenant the policies that can block."""
        for policy_id in BLOCKING:
            act = Act(f"{policy_id}-{tenant}", policy_id, [tenant], OFF, NOON, "test", "a test")
            self.house.services.state.policies.assign(act)
        self.house.services.policies.forget()

    def events_of_stream(self, tenant: str, *types: str) -> list[Mapping[str, Any]]:
        """The same once there are any: a stream is handed over when its last piece has left."""
        until = monotonic() + 10
        while not (found := self.events(tenant, *types)) and monotonic() < until:
            threading.Event().wait(0.005)
        return found

    def events(self, tenant: str, *types: str) -> list[Mapping[str, Any]]:
        """What is stored of a tenant, in time; metadata beside the columns."""
        assert self.house.services.guard.handover.wait_until_stored(10)
        rows = self.house.services.events.query(
            "SELECT event_type, entity_id, severity, latency_ms, cost_usd, user_id, session_id, "
            "source, metadata FROM events WHERE tenant_id = :tenant_id "
            "ORDER BY timestamp, event_type",
            {"tenant_id": tenant},
        )
        names = (
            "event_type", "entity_id", "severity", "latency_ms", "cost_usd", "user_id",
            "session_id", "source",
        )  # fmt: skip
        found = [dict(zip(names, row[:-1], strict=True)) | json.loads(row[-1]) for row in rows]
        return [one for one in found if not types or one["event_type"] in types]


@contextmanager
def guarded(folder: Path, **settings: Any) -> Iterator[Guarded]:
    """A guarded house in a folder."""
    lay_events_file(folder / "data" / "events.duckdb")
    lay_state_file(folder / "data" / "state.sqlite")
    (folder / "secrets").mkdir()
    (folder / "secrets" / "OPENAI_KEY").write_text(PROVIDER_KEY)
    with provider() as model:
        (folder / "upstreams.toml").write_text(
            f"""
            [[upstream]]
            id = "local"
            base_url = "{model.url}"
            secret = "OPENAI_KEY"
            models = ["gpt-*", "text-embedding-*"]
            default = true
            prices = "openai"
            allow_private = true
            answer_max_mb = 1

            [[upstream]]
            id = "slow"
            base_url = "{model.url}"
            secret = "OPENAI_KEY"
            allow_private = true
            timeout_s = 0.2
            """
        )
        given = {
            "upstreams": folder / "upstreams.toml",
            "secrets_dir": folder / "secrets",
            "recording_key": base64.b64encode(b"k" * 32).decode(),
        } | settings
        with House(Settings(data_dir=folder / "data", **given), lambda: NOON) as house:
            assert house.first_key is not None
            with serving_aside(house) as running:
                port = int(running.url.rpartition(":")[2])
                yield Guarded(house, port, model, house.first_key)
