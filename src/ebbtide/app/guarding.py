"""Puts the guard together: keys, what it asks the stores for, and where it tells what it saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from decimal import Decimal
from typing import Any

from ebbtide.app.settings import Settings
from ebbtide.egress.models import ModelClient
from ebbtide.guard.assigned import AssignedPolicies
from ebbtide.guard.events import Fields
from ebbtide.guard.guard import Guard
from ebbtide.guard.handover import Handover
from ebbtide.guard.kill_switch import KillSwitch
from ebbtide.guard.proxy import Proxy
from ebbtide.guard.recording import Recorder, Vault
from ebbtide.ingest.incoming import Incoming
from ebbtide.ingest.ingestor import Ingestor
from ebbtide.ingest.token_cost import TokenPrices
from ebbtide.store.state.base import StateStore

DOOR = "guard"


def make_guard(
    settings: Settings,
    models: ModelClient,
    state: StateStore,
    policies: AssignedPolicies,
    ingestor: Ingestor,
    prices: TokenPrices,
    clock: Callable[[], datetime],
) -> Guard:
    """Everything that the guard needs.

    Raises:
        SettingsError: the key of recordings cannot be used.
    """
    recorder = Recorder(state.recordings, Vault(settings.effective_recording_keys))
    switch = KillSwitch(state.freezes)

    def submit(records: Sequence[Fields], received_at: datetime) -> Future[Any]:
        incoming = [Incoming(one, b"", None) for one in records]
        return ingestor.submit(incoming, door=DOOR, received_at=received_at, default_source=DOOR)

    def cost_of(metadata: Mapping[str, Any], at: datetime) -> tuple[Decimal, str] | None:
        found = prices.cost_of(metadata, at)
        return None if found is None else (found.cost_usd, found.table)

    handover = Handover(submit, recorder, clock)
    proxy = Proxy(models, policies, switch, handover, cost_of, clock)
    return Guard(proxy, switch, recorder, handover, policies.versions_for, cost_of)
