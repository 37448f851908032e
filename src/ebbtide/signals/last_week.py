"""How much one customer investigated at an earlier moment, read from no more than that needs."""

from __future__ import annotations

from datetime import datetime

from ebbtide.catalog.loader import Catalog
from ebbtide.signals.facts import NO_ACTIONS, Facts, Span
from ebbtide.signals.gather import Reading
from ebbtide.signals.rules import Rules
from ebbtide.signals.stickiness import Stickiness, compute_stickiness
from ebbtide.store.events.base import EventStore


def stickiness_before(
    facts: Facts,
    earlier: datetime,
    store: EventStore,
    catalog: Catalog,
    rules: Rules,
    *,
    known_at: datetime | None = None,
) -> Stickiness | None:
    """Stickiness at a moment before that of the facts; the same as from facts of that moment.

    Args:
        facts: of the customer, later, and by the same knowledge.
        earlier: UTC-aware.

    Returns:
        None when the customer had no event by then.

    Raises:
        StoreUnavailable: the event store cannot answer.
    """
    # Of newest moments it is only asked whether there is one.
    spans = {
        event_type: Span(span.first_at, min(span.last_at, earlier))
        for event_type, span in facts.spans.items()
        if span.first_at <= earlier
    }
    if not spans:
        return None
    name = facts.tenant_id
    asking = Reading(store, catalog, earlier, known_at=known_at, tenants=[name])
    actions = asking.actions().get(name, (NO_ACTIONS, NO_ACTIONS, NO_ACTIONS))
    then = Facts(name, spans, {}, *actions, asking.peaks().get(name, 0))
    return compute_stickiness(then, earlier, rules)
