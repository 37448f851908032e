"""Subscriptions as billing events tell them: since when each is paid, at which price, by whom."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from ebbtide.domain.tenant import to_price_usd

STARTED, CANCELLED, UPDATED = "SUBSCRIPTION_STARTED", "SUBSCRIPTION_CANCELLED", "BILLING_UPDATED"
SCHEDULED, WITHDRAWN = "CANCELLATION_SCHEDULED", "CANCELLATION_WITHDRAWN"
FAILED, RECOVERED = "PAYMENT_FAILED", "PAYMENT_RECOVERED"

#: What billing says is no action of the customer, though some of it follows from one.
BILLING_TYPES = frozenset({STARTED, CANCELLED, UPDATED, SCHEDULED, WITHDRAWN, FAILED, RECOVERED})

#: Statuses in which a subscription is paid, or is being asked to be; none said: it is.
PAYING = frozenset({"active", "past_due"})
#: Of two states of one second the later one in a subscription's life; the clock of the billing
#: provider goes by seconds.
_LIFE = ("incomplete", "trialing", "active", "past_due", "unpaid", "paused", "canceled")


class BillingEvent(NamedTuple):
    """One event as it is read; None where it was not said."""

    timestamp: datetime
    event_type: str
    event_uuid: str
    tenant_id: str
    subscription_id: str | None = None
    status: str | None = None
    plan: str | None = None
    price_usd: Fraction | None = None
    currency: str | None = None
    has_discount: bool = False
    is_leaving: bool | None = None
    leaves_at: str | None = None
    reason: str | None = None
    is_involuntary: bool = False
    amount_usd: Fraction | None = None
    next_attempt_at: str | None = None

    @property
    def names_price(self) -> bool:
        """Whether it says what is paid, even when that is no amount of USD known beforehand."""
        return self.price_usd is not None or self.currency is not None


def read_event(
    tenant_id: str,
    timestamp: datetime,
    event_type: str,
    event_uuid: str,
    plan: str | None,
    metadata: str,
) -> BillingEvent:
    """One row of the metric ``billing_events``; what has another form counts as not said."""
    said = json.loads(metadata, parse_float=Decimal)

    def text(name: str) -> str | None:
        value = said.get(name)
        return value if isinstance(value, str) and value else None

    def usd(name: str) -> Fraction | None:
        price = to_price_usd(said.get(name))
        return None if price is None else Fraction(price)

    return BillingEvent(
        timestamp,
        event_type,
        event_uuid,
        tenant_id,
        text("subscription_id"),
        text("status"),
        plan or None,
        usd("price_usd"),
        text("currency"),
        said.get("has_discount") is True,
        said.get("is_leaving") if isinstance(said.get("is_leaving"), bool) else None,
        text("leaves_at"),
        text("feedback") or text("reason"),
        said.get("is_involuntary") is True,
        usd("amount_usd"),
        text("next_attempt_at"),
    )


@dataclass(frozen=True, slots=True)
class Subscribed:
    """One subscription at a moment.

    Attributes:
        tenant_id: whose it is by its newest event.
        stretches: when it was paid, ``[start, end)`` in order; the last one ends at the moment
            when it is still paid.
        priced_by: the newest event that says or sets the price; None when there was no start.
        end: the cancellation that ended it; None when it runs, or was never ended.
        status, has_discount: as its newest state says; None: not said.
        newest_at: its newest event.
        failed: the newest failed payment, when nothing has come since.
    """

    tenant_id: str
    subscription_id: str | None
    is_paid: bool
    status: str | None
    has_discount: bool
    stretches: tuple[tuple[datetime, datetime], ...]
    priced_by: BillingEvent | None
    end: BillingEvent | None
    newest_at: datetime
    is_leaving: bool
    leaves_at: str | None
    failed: BillingEvent | None


def subscriptions_of(events: Iterable[BillingEvent], as_of: datetime) -> list[Subscribed]:
    """Every subscription as it stands at a moment.

    Events that name a subscription are that one's, of the tenant that they were sent for: the
    same number at two tenants is two subscriptions, or one customer's key could end another's.
    Events that name none speak of the tenant's only one, and a cancellation among them ends all
    that the tenant has.

    Args:
        events: all up to the moment, in any order.

    Returns:
        In no particular order; empty without events.
    """
    named: dict[tuple[str, str], list[BillingEvent]] = {}
    own: dict[str, list[BillingEvent]] = {}
    for event in events:
        if event.subscription_id is not None:
            named.setdefault((event.tenant_id, event.subscription_id), []).append(event)
        else:
            own.setdefault(event.tenant_id, []).append(event)
    found = []
    for (tenant_id, _), theirs in named.items():
        if not _tells_state(theirs):
            continue
        ends = [one for one in own.get(tenant_id, ()) if one.event_type == CANCELLED]
        found.append(_follow(sorted([*theirs, *ends], key=_order), tenant_id, as_of))
    with_named = {one.tenant_id for one in found}
    for tenant_id, theirs in own.items():
        is_only_one = tenant_id not in with_named and _tells_state(theirs)
        if is_only_one or any(one.event_type == STARTED for one in theirs):
            found.append(_follow(sorted(theirs, key=_order), tenant_id, as_of))
    return found


def _tells_state(events: Iterable[BillingEvent]) -> bool:
    """Whether they say if something is paid; a payment that failed alone does not."""
    return any(one.event_type in (STARTED, CANCELLED, UPDATED) for one in events)


def _order(event: BillingEvent) -> tuple[datetime, int, Fraction, str]:
    """Cancelled and started at the same instant is started, unless it is one of the provider's."""
    if event.subscription_id is None:
        is_later, price = event.event_type != CANCELLED, event.price_usd or Fraction(0)
        return event.timestamp, int(is_later), price, event.event_uuid
    status = "canceled" if event.event_type == CANCELLED else event.status
    place = _LIFE.index(status) if status in _LIFE else -1
    return event.timestamp, place, Fraction(0), event.event_uuid


def _follow(events: Sequence[BillingEvent], tenant_id: str, as_of: datetime) -> Subscribed:
    stretches: list[tuple[datetime, datetime]] = []
    since: datetime | None = None
    priced_by: BillingEvent | None = None
    end: BillingEvent | None = None
    failed: BillingEvent | None = None
    status: str | None = None
    has_discount = False
    is_leaving, leaves_at = False, None
    for one in events:
        kind = one.event_type
        if kind in (STARTED, UPDATED):
            if kind == STARTED or one.names_price:
                priced_by = one
            status, has_discount = one.status, one.has_discount
            is_paid = since is not None if kind == UPDATED else True
            if one.status is not None:
                is_paid = one.status in PAYING
            if is_paid and since is None:
                since, end = one.timestamp, None
            elif not is_paid and since is not None:
                stretches.append((since, one.timestamp))
                since = None
            if one.status == "active":
                failed = None
        elif kind == CANCELLED:
            if since is not None:
                stretches.append((since, one.timestamp))
            since, end, is_leaving, leaves_at = None, end or one, False, None
        elif kind == FAILED:
            failed = one
        elif kind == RECOVERED:
            failed = None
        if kind == SCHEDULED or one.is_leaving:
            is_leaving, leaves_at = kind != CANCELLED, one.leaves_at or leaves_at
        elif kind == WITHDRAWN or one.is_leaving is False:
            is_leaving, leaves_at = False, None
    if since is not None:
        stretches.append((since, as_of))
    return Subscribed(
        tenant_id=tenant_id,
        subscription_id=next((one.subscription_id for one in events if one.subscription_id), None),
        is_paid=since is not None,
        status=status,
        has_discount=has_discount,
        stretches=tuple(stretches),
        priced_by=priced_by,
        end=end if since is None else None,
        newest_at=events[-1].timestamp,
        is_leaving=is_leaving and since is not None,
        leaves_at=leaves_at if is_leaving else None,
        failed=failed if since is not None else None,
    )


@dataclass(frozen=True, slots=True)
class Price:
    """The price of 30 days; None with the reason why it is not known."""

    usd: Fraction | None
    source: str  # event, directory, default; unknown
    reason: str | None = None


def price_of(
    subscription: Subscribed | None, entered: Mapping[str, Fraction], default: Fraction
) -> Price:
    """What is paid for 30 days.

    Args:
        subscription: None for a tenant that has none.
        entered: prices that people wrote into the directory, by tenant id.
        default: when neither the event nor the directory says one.
    """
    event = None if subscription is None else subscription.priced_by
    if event is not None:
        if event.price_usd is not None:
            return Price(event.price_usd, "event")
        if event.currency is not None:
            # The provider said what is paid; it is just no amount of USD known beforehand.
            is_usd = event.currency == "usd"
            return Price(None, "unknown", "not_fixed" if is_usd else f"in_{event.currency}")
    if subscription is not None and subscription.tenant_id in entered:
        return Price(entered[subscription.tenant_id], "directory")
    return Price(default, "default")
