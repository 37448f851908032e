"""Puts the Replay Lab together: what it may spend, whom it asks, and where it tells what it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
import structlog

from ebbtide.app.settings import Settings
from ebbtide.domain.event import Outcome
from ebbtide.domain.replay import Caps
from ebbtide.egress.models import ModelClient
from ebbtide.guard.assigned import AssignedPolicies
from ebbtide.guard.guard import Guard
from ebbtide.ingest.incoming import Incoming
from ebbtide.ingest.ingestor import Ingestor
from ebbtide.ingest.token_cost import TokenPrices
from ebbtide.replay.embeddings import EmbeddingsMeasure
from ebbtide.replay.lab import ReplayLab
from ebbtide.replay.policy_only import PolicyReplayer
from ebbtide.replay.promotion import Promoter
from ebbtide.replay.run import Replayer, Terms
from ebbtide.replay.versions import VersionsThen
from ebbtide.store.state.base import StateStore

DOOR = "replay"
EMIT_TIMEOUT_S = 30.0

log = structlog.get_logger(__name__)


def make_replay_lab(
    settings: Settings,
    models: ModelClient,
    guard: Guard,
    state: StateStore,
    policies: AssignedPolicies,
    ingestor: Ingestor,
    prices: TokenPrices,
    clock: Callable[[], datetime],
) -> ReplayLab:
    """Everything that replays need.

    Raises:
        SettingsError: no upstream names the model of embeddings.
    """

    def emit(fields: Mapping[str, Any]) -> None:
        (result,) = ingestor.submit(
            [Incoming(dict(fields), msgspec.json.encode(fields), None)],
            door=DOOR,
            received_at=clock(),
            default_source=DOOR,
        ).result(EMIT_TIMEOUT_S)
        if result.outcome not in (Outcome.STORED, Outcome.DUPLICATE):
            log.error("replay.event_not_stored", kind=fields["event_type"], why=result.reason)

    def gate(tenant_id: str) -> None:
        if guard.switch.is_stale:
            guard.switch.refresh()
        guard.switch.check(tenant_id, None)

    caps = Caps(
        run_usd=settings.replay_run_cap_usd,
        tenant_day_usd=settings.replay_tenant_day_cap_usd,
        day_usd=settings.replay_day_cap_usd,
    )
    embeddings = None
    if settings.replay_embeddings_model is not None:
        embeddings = EmbeddingsMeasure(
            models,
            models.upstreams,
            settings.replay_embeddings_model,
            prices,
            settings.replay_unknown_price_usd,
        )
    versions = VersionsThen(state.policies)
    replayer = Replayer(
        state,
        guard.recorder,
        versions,
        models.upstreams,
        models,
        Terms(caps, settings.replay_unknown_price_usd),
        emit,
        clock,
        gate=gate,
        prices=prices,
        embeddings=embeddings,
    )
    return ReplayLab(
        replayer=replayer,
        policy_only=PolicyReplayer(state, guard.recorder, clock),
        promoter=Promoter(state, emit, policies.forget),
        versions=versions,
    )
