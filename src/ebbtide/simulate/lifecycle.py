"""What happens once in a sample customer's life: sign-up, upgrade, freeze, cancellation."""

from __future__ import annotations

from ebbtide.simulate.draws import Draws
from ebbtide.simulate.event import Fields, make_event
from ebbtide.simulate.rhythm import DAY_US
from ebbtide.simulate.script import Frame, Script, price_usd

_sources = ("self_serve", "sales", "partner")
_reasons = ("too expensive", "moved to another product", "project ended", "missing feature")


def lifecycle_events(frame: Frame, script: Script) -> list[Fields]:
    """All such events of one customer, oldest first; they may lie outside the window."""
    draws = Draws(frame.seed, script.index, "lifecycle")
    events: list[Fields] = []

    def add(
        moment_us: int,
        event_type: str,
        entity_type: str,
        metadata: Fields,
        severity: int | None = None,
    ) -> None:
        tenant_id = script.tenant_id
        entity_id = tenant_id if entity_type == "tenant" else f"sub-{tenant_id}"
        events.append(
            make_event(
                draws,
                moment_us,
                tenant_id,
                event_type,
                entity_type,
                entity_id,
                metadata,
                severity=severity,
            )
        )

    def subscribe(moment_us: int, plan: str) -> None:
        metadata = {"plan": plan, "price_usd": price_usd(plan), "source": draws.pick(_sources)}
        add(moment_us, "SUBSCRIPTION_STARTED", "subscription", metadata)

    subscribe(script.signed_up_us, script.plan)
    if script.upgraded_us is not None and script.next_plan is not None:
        subscribe(script.upgraded_us, script.next_plan)
    if script.frozen_us is not None:
        metadata = {"scope": "tenant", "reason": "runaway cost", "auto_triggered": True}
        add(script.frozen_us, "FREEZE_ACTIVATED", "tenant", metadata, severity=5)
    if script.cancelled_us is not None:
        tenure_days = (script.cancelled_us - script.signed_up_us) // DAY_US
        metadata = {"reason": draws.pick(_reasons), "tenure_days": tenure_days}
        add(script.cancelled_us, "SUBSCRIPTION_CANCELLED", "subscription", metadata)
    return events
