"""What Stripe says of subscriptions and payments, as events of ours.

Every event is made of one message alone, never of what came before: Stripe delivers out of order
and more than once, so the moment that it names decides what is newest, and the id that it names
what is a repeat. Each message about a subscription carries the whole of its state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from ebbtide.domain.errors import BadRequest
from ebbtide.domain.ids import ID_MAX_CHARS
from ebbtide.domain.tenant import to_price_usd
from ebbtide.domain.time import format_instant
from ebbtide.ingest.decode import DEPTH_MAX, decode_json, fault
from ebbtide.ingest.incoming import Incoming

SOURCE = "stripe"
BODY_MAX_BYTES = 1024 * 1024  # their largest messages have a quarter of it
INVALID = "invalid_stripe_event"  # the reason of a signed message that we cannot read

#: Statuses in which a subscription is paid, or is being asked to be.
PAYING = frozenset({"active", "past_due"})
_SUBSCRIPTION = "customer.subscription."
_CHANGES = frozenset({"created", "updated", "deleted", "paused", "resumed"})
_PRICED_BY = frozenset({"items", "plan", "quantity"})
_TEXT_MAX_CHARS = 1000
_PRICE_PLACES = 6
#: How many periods of 30 days an interval has. A month is one: that is how its price is named.
_PERIODS = {
    "day": Fraction(1, 30),
    "week": Fraction(7, 30),
    "month": Fraction(1),
    "year": Fraction(12),
}


@dataclass(frozen=True, slots=True)
class StripeEndpoint:
    """What this installation agreed with Stripe.

    Attributes:
        secrets: of the endpoint; several while one is being exchanged, none: it is not in use.
        tenant_key: metadata key of a subscription that names the tenant; without it the tenant
            has the id of the Stripe customer.
    """

    secrets: tuple[bytes, ...] = field(repr=False)
    tenant_key: str = "tenant_id"


def read(body: bytes, endpoint: StripeEndpoint) -> list[Incoming]:
    """One message of Stripe as events.

    Args:
        body: JSON; its signature was checked.

    Returns:
        Empty for messages about other things. What cannot be read waits in quarantine.

    Raises:
        BadRequest: the body is no JSON.
    """
    message = decode_json(body)
    if not isinstance(message, dict):
        raise BadRequest("send one event of Stripe")
    reason = fault(message, DEPTH_MAX)
    if reason is not None:
        return [Incoming(None, body, reason)]
    kind = message.get("type")
    try:
        if isinstance(kind, str) and kind.startswith(_SUBSCRIPTION):
            change = kind.removeprefix(_SUBSCRIPTION)
            found = _subscription(message, change, endpoint) if change in _CHANGES else []
        elif kind == "invoice.payment_failed":
            found = [_payment(message, "PAYMENT_FAILED", endpoint)]
        elif kind == "invoice.paid":
            # A payment that went through at once is no news.
            is_late = _count(_thing(message).get("attempt_count")) > 1
            found = [_payment(message, "PAYMENT_RECOVERED", endpoint)] if is_late else []
        elif isinstance(kind, str) and kind:
            found = []
        else:
            raise _Unreadable
    except _Unreadable:
        return [Incoming(None, body, INVALID)]
    return [Incoming(fields, b"", None) for fields in found]


class _Unreadable(Exception):
    """The message has not the form that Stripe documents."""


# -- subscriptions -----------------------------------------------------------------------------


def _subscription(
    message: Mapping[str, Any], change: str, endpoint: StripeEndpoint
) -> list[dict[str, Any]]:
    thing = _thing(message)
    before = message["data"].get("previous_attributes") or {}
    if not isinstance(before, dict):
        raise _Unreadable
    at = _moment(message.get("created"))
    subscription_id, status = _id(thing.get("id")), _word(thing.get("status"))
    if at is None or subscription_id is None or status is None:
        raise _Unreadable
    about = {
        "timestamp": format_instant(at),
        "tenant_id": _tenant(thing, [thing.get("metadata")], endpoint),
        "entity_type": "subscription",
        "entity_id": subscription_id,
        "source": SOURCE,
    }
    state = _state(thing, subscription_id, status) | {"livemode": message.get("livemode") is True}
    event_id = _id(message.get("id"))
    if event_id is None:
        raise _Unreadable
    event_type = _type_of(change, status, before)
    if event_type == "SUBSCRIPTION_CANCELLED":
        state |= _ending(thing, at)
    said = [about | {"event_id": event_id, "event_type": event_type, "metadata": state}]
    intent = _intent(change, thing, before)
    if intent is not None:
        other = {"event_id": f"{event_id}:cancellation", "event_type": intent, "metadata": state}
        said.append(about | other)
    return said


def _type_of(change: str, status: str, before: Mapping[str, Any]) -> str:
    """A start is also what changes the price, as formulas 13 has it."""
    if change == "deleted":
        return "SUBSCRIPTION_CANCELLED"
    if status in PAYING:
        was = before.get("status")
        if change == "created" or (isinstance(was, str) and was not in PAYING):
            return "SUBSCRIPTION_STARTED"
        if change == "updated" and not _PRICED_BY.isdisjoint(before):
            return "SUBSCRIPTION_STARTED"
    return "BILLING_UPDATED"


def _intent(change: str, thing: Mapping[str, Any], before: Mapping[str, Any]) -> str | None:
    if change not in ("created", "updated"):
        return None
    leaves = _leaves(thing)
    left = False if change == "created" else _leaves({**thing, **before})
    if leaves == left:
        return None
    return "CANCELLATION_SCHEDULED" if leaves else "CANCELLATION_WITHDRAWN"


def _leaves(thing: Mapping[str, Any]) -> bool:
    return thing.get("cancel_at_period_end") is True or thing.get("cancel_at") is not None


def _state(thing: Mapping[str, Any], subscription_id: str, status: str) -> dict[str, Any]:
    items = _items(thing)
    currency = _word(thing.get("currency")) or _word(_price_of(items[0]).get("currency"))
    price = _price_usd(thing, items) if currency == "usd" else None
    details = thing.get("cancellation_details")
    details = details if isinstance(details, dict) else {}
    found: dict[str, Any] = {
        "subscription_id": subscription_id,
        "customer_id": _reference(thing.get("customer")),
        "status": status,
        "plan": _plan(items),
        "price_usd": price,
        "currency": currency,
        "has_discount": bool(thing.get("discounts") or thing.get("discount")),
        "is_leaving": _leaves(thing),
        "leaves_at": _shown(thing.get("cancel_at")) or _period_end(thing, items),
        "feedback": _word(details.get("feedback")),
        "comment": _word(details.get("comment")),
        "reason": _word(details.get("reason")),
    }
    return {name: value for name, value in found.items() if value is not None}


def _items(thing: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = thing.get("items")
    items = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(items, list):
        items = []
    found: list[Mapping[str, Any]] = [one for one in items if isinstance(one, dict)]
    return found or [thing]  # before there were items, the plan stood in the subscription


def _price_of(item: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in ("price", "plan"):
        one = item.get(name)
        if isinstance(one, dict):
            return one
    return {}


def _price_usd(thing: Mapping[str, Any], items: list[Mapping[str, Any]]) -> float | None:
    """The price of 30 days; None when a part of it is not known before it is used."""
    listed = thing.get("items")
    if isinstance(listed, dict) and listed.get("has_more") is True:
        return None
    total = Fraction(0)
    for item in items:
        price = _price_of(item)
        every = price.get("recurring") if isinstance(price.get("recurring"), dict) else price
        assert isinstance(every, dict)
        cents = _first(price, "unit_amount_decimal", "unit_amount", "amount_decimal", "amount")
        periods = _PERIODS.get(str(every.get("interval")))
        count = every.get("interval_count", 1)
        quantity = item.get("quantity", 1)
        if cents is None or periods is None or every.get("usage_type") == "metered":
            return None
        if _word(price.get("currency")) not in (None, "usd"):
            return None
        if type(count) is not int or count < 1 or type(quantity) is not int or quantity < 0:
            return None
        total += cents * quantity / (100 * periods * count)
    rounded = round(total, _PRICE_PLACES)
    exact = Decimal(rounded.numerator) / Decimal(rounded.denominator)
    # Up to 15 digits a float is read back as the very decimal that it was made of.
    return float(exact) if to_price_usd(exact) is not None else None


def _first(price: Mapping[str, Any], *names: str) -> Fraction | None:
    """The first amount that is said; None when none is a number of 0 or more."""
    said = next((price[name] for name in names if price.get(name) is not None), None)
    if isinstance(said, bool) or not isinstance(said, int | float | str):
        return None
    try:
        amount = Decimal(str(said)[:40])
    except InvalidOperation:
        return None
    return Fraction(amount) if amount.is_finite() and 0 <= amount < 10**15 else None


def _plan(items: list[Mapping[str, Any]]) -> str | None:
    """How the price is called; of several items the first one is the plan."""
    price = _price_of(items[0])
    for name in ("lookup_key", "nickname", "id"):
        found = _id(price.get(name))
        if found is not None:
            return found
    return None


def _period_end(thing: Mapping[str, Any], items: list[Mapping[str, Any]]) -> str | None:
    """The end of the period, for one who leaves with it; newer versions name it by the item."""
    if thing.get("cancel_at_period_end") is not True:
        return None
    return _shown(items[0].get("current_period_end")) or _shown(thing.get("current_period_end"))


def _ending(thing: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    details = thing.get("cancellation_details")
    details = details if isinstance(details, dict) else {}
    started = _moment(thing.get("start_date")) or _moment(thing.get("created"))
    found = {
        "reason": _word(details.get("feedback")) or _word(details.get("reason")),
        "is_involuntary": details.get("reason") == "payment_failed",
        "tenure_days": None if started is None or started > at else (at - started).days,
    }
    return {name: value for name, value in found.items() if value is not None}


# -- payments ----------------------------------------------------------------------------------


def _payment(
    message: Mapping[str, Any], event_type: str, endpoint: StripeEndpoint
) -> dict[str, Any]:
    invoice = _thing(message)
    at, event_id = _moment(message.get("created")), _id(message.get("id"))
    invoice_id = _id(invoice.get("id"))
    if at is None or event_id is None or invoice_id is None:
        raise _Unreadable
    parent = invoice.get("parent")
    of = parent.get("subscription_details") if isinstance(parent, dict) else None
    if not isinstance(of, dict):
        of = invoice.get("subscription_details")  # where older versions have it
    of = of if isinstance(of, dict) else {}
    currency = _word(invoice.get("currency"))
    name = "amount_due" if event_type == "PAYMENT_FAILED" else "amount_paid"
    cents = invoice.get(name)
    is_usd = currency == "usd" and type(cents) is int and 0 <= cents < 10**12
    found: dict[str, Any] = {
        "invoice_id": invoice_id,
        "subscription_id": _reference(of.get("subscription") or invoice.get("subscription")),
        "customer_id": _reference(invoice.get("customer")),
        "attempt_count": _count(invoice.get("attempt_count")),
        "amount_usd": cents / 100 if is_usd and type(cents) is int else None,
        "currency": currency,
        "next_attempt_at": _shown(invoice.get("next_payment_attempt")),
        "billing_reason": _word(invoice.get("billing_reason")),
        "livemode": message.get("livemode") is True,
    }
    return {
        "event_id": event_id,
        "event_type": event_type,
        "timestamp": format_instant(at),
        "tenant_id": _tenant(invoice, [of.get("metadata"), invoice.get("metadata")], endpoint),
        "entity_type": "invoice",
        "entity_id": invoice_id,
        "source": SOURCE,
        "metadata": {name: value for name, value in found.items() if value is not None},
    }


# -- pieces ------------------------------------------------------------------------------------


def _thing(message: Mapping[str, Any]) -> dict[str, Any]:
    """What the message is about."""
    data = message.get("data")
    thing = data.get("object") if isinstance(data, dict) else None
    if not isinstance(thing, dict):
        raise _Unreadable
    return thing


def _tenant(thing: Mapping[str, Any], metadata: list[Any], endpoint: StripeEndpoint) -> str:
    customer = thing.get("customer")
    if isinstance(customer, dict):
        metadata = [*metadata, customer.get("metadata")]
    for one in metadata:
        named = _id(one.get(endpoint.tenant_key)) if isinstance(one, dict) else None
        if named is not None:
            return named
    found = _reference(customer)
    if found is None:
        raise _Unreadable
    return found


def _reference(value: Any) -> str | None:
    """The id of another object, which may also stand here in full."""
    return _id(value.get("id") if isinstance(value, dict) else value)


def _id(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= ID_MAX_CHARS else None


def _word(value: Any) -> str | None:
    return value[:_TEXT_MAX_CHARS] if isinstance(value, str) and value else None


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 2**31 else 0


def _moment(value: Any) -> datetime | None:
    """Seconds since 1970, as far as the calendar of events goes."""
    if type(value) is not int or not 0 <= value < 2**37:
        return None
    return datetime.fromtimestamp(value, UTC)


def _shown(value: Any) -> str | None:
    moment = _moment(value)
    return None if moment is None else format_instant(moment)
