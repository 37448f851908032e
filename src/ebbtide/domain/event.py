"""The event: one immutable fact, already checked, with its identity settled."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple

SEVERITY_MIN, SEVERITY_MAX = 1, 5
COST_DECIMALS = 10  # finer than any price per token in use; API rounds to 6 at the door
LATENCY_MS_MAX = 2**53 - 1  # the largest integer every JSON reader holds exactly
FUTURE_TOLERANCE_S = 300  # a producer's clock may run ahead by five minutes


class Event(NamedTuple):
    """One fact, validated. A tuple, because millions of them are built on the hot path.

    Identity is ``(tenant_id, event_uuid)``. ``event_id`` is the identifier as the producer
    sent it. ``timestamp`` is when it happened, ``received_at`` when we got it; both are
    UTC-aware with microsecond resolution. ``metadata_json`` is compact JSON text of an object
    (``"{}"`` when there is none). The columns after it are copies of metadata keys that
    queries filter or group by; ``None`` means the producer did not say.
    """

    event_uuid: str
    event_id: str
    timestamp: datetime
    received_at: datetime
    tenant_id: str
    user_id: str | None
    session_id: str | None
    event_type: str
    entity_type: str | None
    entity_id: str | None
    severity: int | None
    latency_ms: int | None
    cost_usd: Decimal | None
    source: str
    metadata_json: str
    model: str | None
    policy_id: str | None
    policy_version: str | None
    status_code: int | None
    attribution: str | None
    error_type: str | None
    tokens_in: int | None
    tokens_out: int | None
    resource: str | None
    plan: str | None


#: Metadata keys that also stand in a column of their own, with the type of the column.
PROMOTED_METADATA: dict[str, type] = {
    "model": str,
    "policy_id": str,
    "policy_version": str,
    "status_code": int,
    "attribution": str,
    "error_type": str,
    "tokens_in": int,
    "tokens_out": int,
    "resource": str,
    "plan": str,
}


class Outcome(IntEnum):
    """What became of one received event; the values are stored in arrays of bytes."""

    STORED = 0  #: on disk now, for the first time
    DUPLICATE = 1  #: the same event was already on disk
    CONFLICT = 2  #: the id was already on disk with other content; the first one is kept
    QUARANTINED = 3  #: kept raw, with a reason, until it is released
    REFUSED = 4  #: not ours to keep: the key may not write for this tenant

    @property
    def word(self) -> str:
        """The lower-case word used in answers and metrics."""
        return self.name.lower()
