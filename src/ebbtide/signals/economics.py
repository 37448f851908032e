"""What each customer costs and pays: model costs, calls, and its subscription's prices."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

from ebbtide.catalog.loader import Catalog
from ebbtide.domain.tenant import to_price_usd
from ebbtide.metrics.compute import compute_metric
from ebbtide.signals.facts import Economics, SubscriptionEvent
from ebbtide.store.events.base import EventStore


def gather_economics(
    store: EventStore,
    catalog: Catalog,
    as_of: datetime,
    *,
    known_at: datetime | None = None,
    tenants: Collection[str] | None = None,
) -> dict[str, Economics]:
    """Money and calls of two windows of 30 days, by tenant id.

    Args:
        known_at: events that arrived after it were not known yet; None: all that is stored.
        tenants: only these, in the store's spelling; None: all.

    Returns:
        A tenant without a call in 60 days has none. A cost that no call said counts as 0.

    Raises:
        StoreUnavailable: the event store cannot answer.
    """
    subscriptions = read_subscriptions(store, catalog, as_of, known_at=known_at, tenants=tenants)
    table = compute_metric(
        catalog.metrics["tenant_economics"], as_of, store, known_at=known_at, tenants=tenants
    )
    return {
        tenant_id: Economics(
            str(cost or 0),
            str(cost_before or 0),
            num_calls,
            num_calls_before,
            tuple(subscriptions.get(tenant_id, ())),
        )
        for tenant_id, cost, cost_before, num_calls, num_calls_before in table.rows
    }


def read_subscriptions(
    store: EventStore,
    catalog: Catalog,
    as_of: datetime,
    *,
    known_at: datetime | None = None,
    tenants: Collection[str] | None = None,
    since: datetime | None = None,
) -> dict[str, list[SubscriptionEvent]]:
    """Starts and cancellations by tenant id, in order of time; arguments as above.

    Args:
        since: only those after this moment.
    """
    subscriptions: dict[str, list[SubscriptionEvent]] = {}
    table = compute_metric(
        catalog.metrics["subscriptions"],
        as_of,
        store,
        known_at=known_at,
        tenants=tenants,
        since=since,
    )
    for tenant_id, timestamp, event_type, _, metadata in table.rows:
        said = json.loads(metadata, parse_float=Decimal)
        price = to_price_usd(said.get("price_usd"))
        text = None if price is None else str(price)
        event = SubscriptionEvent(timestamp, event_type, text)
        subscriptions.setdefault(tenant_id, []).append(event)
    return subscriptions
