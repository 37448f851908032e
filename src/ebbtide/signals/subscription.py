"""What a customer pays since when, as its subscription events say it at a moment."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from ebbtide.domain.event import Event
from ebbtide.domain.tenant import Origin, Tenant, to_price_usd
from ebbtide.signals.facts import DAY

STARTED, CANCELLED = "SUBSCRIPTION_STARTED", "SUBSCRIPTION_CANCELLED"


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription; None means unknown. ``day`` counts from 1 and only while it is active."""

    status: str  # active, cancelled, unknown
    day: int | None
    started_at: datetime | None
    cancelled_at: datetime | None
    plan: str | None
    price_usd: Decimal | None
    source: str | None


def subscription_of(
    events: Iterable[Event], tenant: Tenant | None, as_of: datetime
) -> Subscription:
    """How the newest subscription stands.

    A start after a cancellation begins a new one; a second start changes plan and price only.
    What the events leave open is taken from the directory, as far as somebody had entered it by
    then.

    Args:
        events: all SUBSCRIPTION_* events of one tenant up to ``as_of``, in any order.
        tenant: its directory entry; None when there is none.
    """
    started: datetime | None = None
    cancelled: datetime | None = None
    newest: Event | None = None
    # Cancelled and started at the same instant: started.
    for event in sorted(events, key=lambda one: (one.timestamp, one.event_type == STARTED)):
        if event.event_type == CANCELLED:
            cancelled = cancelled or event.timestamp
            continue
        if started is None or cancelled is not None:
            started, cancelled = event.timestamp, None
        newest = event
    metadata = {} if newest is None else json.loads(newest.metadata_json, parse_float=Decimal)
    source, price = metadata.get("source"), to_price_usd(metadata.get("price_usd"))
    entered = _entered(tenant, as_of)
    status = "unknown"
    if cancelled is not None:
        status = "cancelled"
    elif started is not None:
        status = "active"
    return Subscription(
        status=status,
        day=(as_of - started) // DAY + 1 if started is not None and status == "active" else None,
        started_at=started,
        cancelled_at=cancelled,
        plan=(newest.plan if newest is not None else None) or entered.plan,
        price_usd=entered.price_usd if price is None else price,
        source=source if isinstance(source, str) and source else None,
    )


class _Entered(NamedTuple):
    plan: str | None = None
    price_usd: Decimal | None = None


def _entered(tenant: Tenant | None, as_of: datetime) -> _Entered:
    """What somebody had entered by hand by then."""
    if tenant is None:
        return _Entered()

    def is_said(name: str) -> bool:
        said = tenant.provenance.get(name)
        return said is not None and said.origin is Origin.API and said.at <= as_of

    return _Entered(
        tenant.plan if is_said("plan") else None,
        tenant.price_usd if is_said("price_usd") else None,
    )
