"""The one shape of a simulated event: canonical JSON as ``POST /v1/events`` takes it."""

from __future__ import annotations

from typing import Any

from ebbtide.simulate.draws import Draws
from ebbtide.simulate.rhythm import event_id, instant_text

SOURCE = "simulated"

Fields = dict[str, Any]  #: one event, or its metadata; absent keys are unknown


def make_event(
    draws: Draws,
    moment_us: int,
    tenant_id: str,
    event_type: str,
    entity_type: str | None,
    entity_id: str | None,
    metadata: Fields,
    *,
    session: tuple[str, str] | None = None,
    severity: int | None = None,
    latency_ms: int | None = None,
    cost_usd: float | None = None,
) -> Fields:
    """One event; its id comes from its moment and the customer's own stream.

    Args:
        draws: gives the random part of the id.
        moment_us: when it happened, microseconds since 1970.
        session: user id and session id, when it happened in the console.

    Returns:
        The fields in canonical order. What is None is left out.
    """
    fields: Fields = {
        "event_id": event_id(moment_us, draws.bits(74)),
        "timestamp": instant_text(moment_us),
        "tenant_id": tenant_id,
    }
    if session is not None:
        fields["user_id"], fields["session_id"] = session
    fields["event_type"] = event_type
    if entity_type is not None:
        fields["entity_type"] = entity_type
        fields["entity_id"] = entity_id
    if severity is not None:
        fields["severity"] = severity
    if latency_ms is not None:
        fields["latency_ms"] = latency_ms
    if cost_usd is not None:
        fields["cost_usd"] = cost_usd
    fields["source"] = SOURCE
    fields["metadata"] = metadata
    return fields
