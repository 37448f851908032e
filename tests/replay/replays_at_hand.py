"""A state store with recorded calls, versions of policies and a way to a scripted provider."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from ebbtide.catalog.policy import PolicyVersion, read_policy
from ebbtide.domain.call import Call, Message
from ebbtide.domain.errors import NotFound
from ebbtide.domain.event import Event
from ebbtide.domain.replay import Caps, Replay
from ebbtide.egress.http import Target
from ebbtide.egress.models import ModelClient
from ebbtide.egress.upstreams import Upstream, Upstreams
from ebbtide.guard.recording import Recorder, Vault
from ebbtide.ingest.token_cost import TokenPrices
from ebbtide.replay.embeddings import EmbeddingsMeasure
from ebbtide.replay.run import Replayer, Terms, Wish
from ebbtide.store.state.base import StateStore
from scripted_models import ScriptedModels

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
SECRET = "provider-key-canary-0123456789"
CAPS = Caps(run_usd=Decimal(1), tenant_day_usd=Decimal(5), day_usd=Decimal(20))
QUESTION = "Is my contract auto-renewed?"
CLAIM = "Yes, your contract is set to auto-renew."
CALL = Call(
    call_id="call_1",
    tenant_id="acme",
    at=NOW - timedelta(hours=1),
    model="gpt-4o-mini",
    provider="openai",
    messages=(Message("system", "Be brief."), Message("user", QUESTION)),
    context={"contract_status": "active", "auto_renew": None},
    output=CLAIM,
    parameters={"temperature": 0, "max_tokens": 100},
    tokens_in=20,
    tokens_out=10,
    cost_usd=Decimal("0.0000090000"),
    latency_ms=800,
)
V12 = """
id = "CLAIMS"
version = "v12"
title = "Claims"
meaning = "A claim of renewal."
stages = ["output"]
action = "block"
severity = 4
[[rules]]
name = "renews"
says = "The answer says that something renews."
when = "output.contains('auto-renew')"
"""
V13 = V12.replace("v12", "v13").replace("auto-renew'", "is set to'")


class Versions:
    """Versions of policies, of which ``in_force`` are those of everybody."""

    def __init__(self, *texts: str, in_force: Sequence[int] = (0,)) -> None:
        self.all = [read_policy(text) for text in texts]
        self.chosen = tuple(self.all[place] for place in in_force)

    def in_force(self, tenant_id: str, at: datetime) -> Sequence[PolicyVersion]:
        return self.chosen

    def version(self, policy_id: str, version: str) -> PolicyVersion:
        for one in self.all:
            if (one.policy_id, one.version) == (policy_id, version):
                return one
        raise NotFound("there is no such version")


def incident(call_id: str = "call_1", tenant_id: str = "acme") -> Event:
    """An incident of a call, of severity 4."""
    known = {
        "tenant_id": tenant_id,
        "event_uuid": "0" * 32,
        "event_id": f"e-{call_id}",
        "timestamp": CALL.at,
        "received_at": CALL.at,
        "event_type": "INCIDENT_CREATED",
        "entity_id": f"inc_{call_id}",
        "severity": 4,
        "source": "guard",
        "metadata_json": "{}",
    }
    return Event(**dict.fromkeys(Event._fields) | known)  # type: ignore[arg-type]


@dataclass
class Lab:
    """All that a replay needs."""

    state: StateStore
    models: ScriptedModels
    replayer: Replayer
    recorder: Recorder
    line: ModelClient
    events: list[dict[str, Any]] = field(default_factory=list)
    now: datetime = NOW

    def record(self, *calls: Call) -> None:
        self.recorder.keep((call, ("CLAIMS",)) for call in calls)

    def run(self, num_samples: int = 1, call_id: str = "call_1", **wish: Any) -> Replay:
        """Start a replay and wait for its end."""
        begun = self.start(num_samples, call_id, **wish)
        self.replayer.wait(begun.replay_id, 20)
        return self.replayer.read(begun.replay_id)

    def start(self, num_samples: int = 1, call_id: str = "call_1", **wish: Any) -> Replay:
        meant = Wish(incident(call_id), call_id, num_samples=num_samples, **wish)
        return self.replayer.start(meant, asked_by="key_1")

    def told(self) -> list[str]:
        return [one["event_type"] for one in self.events]

    def close(self) -> None:
        self.replayer.stop()
        self.line.close()


def open_lab(state: StateStore, models: ScriptedModels, caps: Caps = CAPS, **more: Any) -> Lab:
    """A lab whose tenant ``acme`` is recorded, with CALL recorded already."""
    upstream = Upstream(
        "openai",
        Target("http", "127.0.0.1", models.port, "/v1"),
        models=("gpt-4o*", "text-embedding-*"),
        is_private=True,
        timeout_s=more.pop("timeout_s", 10.0),
        secret=SECRET,
        secret_name="OPENAI",
    )
    other = replace(upstream, upstream_id="other", models=("gpt-4.1*",), is_default=True)
    upstreams = Upstreams((upstream, other))
    line = ModelClient(upstreams)
    recorder = Recorder(state.recordings, Vault([b"k" * 32]))
    recorder.choose("acme", is_on=True, retention_days=30, at=NOW, by="t")
    lock = threading.Lock()
    events: list[dict[str, Any]] = []

    def emit(fields: Mapping[str, Any]) -> None:
        with lock:
            events.append(dict(fields))

    terms = Terms(caps, more.pop("unknown_usd", None))
    versions = more.pop("versions", Versions(V12, V13))
    clock = more.pop("clock", lambda: lab.now)
    if "embeddings" in more:
        model, prices = more["embeddings"], TokenPrices()
        more["embeddings"] = EmbeddingsMeasure(line, upstreams, model, prices, None)
    replayer = Replayer(state, recorder, versions, upstreams, line, terms, emit, clock, **more)
    lab = Lab(state, models, replayer, recorder, line, events)
    lab.record(CALL)
    return lab
