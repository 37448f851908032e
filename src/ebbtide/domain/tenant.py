"""The tenant directory entry, and how facts that arrive in any order settle into one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from ebbtide.domain.event import Event
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.time import format_instant

PRICE_USD_MAX = Decimal(10) ** 12  # above it a price is a mistake, and no float that JSON has


class Origin(StrEnum):
    """Where a fact came from. An edit by hand outranks an event of the same instant."""

    EVENT = "event"
    API = "api"


@dataclass(frozen=True, slots=True)
class Contact:
    """A person to talk to at a tenant; None in a field means unknown."""

    name: str | None = None
    email: str | None = None
    role: str | None = None

    def __post_init__(self) -> None:
        for text in (self.name, self.email, self.role):
            _check_text("contacts", text)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a known fact came from and the instant from which it holds."""

    origin: Origin
    at: datetime


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing said about a tenant at one instant.

    Args:
        field: one of :data:`FACT_FIELDS`.
        value: of the type that field has in :class:`Tenant`; None takes the fact back.
        at: the instant it was said, UTC-aware: the event's timestamp or the moment of the edit.
        origin: said by an event or by hand.

    Raises:
        ValueError: the field is unknown, or the value is not of its type.
    """

    field: str
    value: Any
    at: datetime
    origin: Origin

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("a fact needs an instant with a time zone")
        check = FACT_FIELDS.get(self.field)
        if check is None:
            raise ValueError(f"unknown field {self.field!r}; known are {', '.join(FACT_FIELDS)}")
        if self.value is not None:
            check(self.field, self.value)

    @property
    def provenance(self) -> Provenance:
        """Its origin and instant."""
        return Provenance(self.origin, self.at)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A tenant seen: its id as spelled there, when, and what was said about it.

    ``said_at`` is the moment that it speaks of, which may be long before it was seen; None when
    that is the same.
    """

    tenant_uuid: str
    tenant_id: str
    seen_at: datetime
    facts: tuple[Fact, ...] = ()
    said_at: datetime | None = None

    @classmethod
    def of(
        cls,
        tenant_id: str,
        seen_at: datetime,
        facts: Iterable[Fact] = (),
        *,
        said_at: datetime | None = None,
    ) -> Sighting:
        """A sighting under an id as it was sent."""
        return cls(to_uuid_text(tenant_id), tenant_id, seen_at, tuple(facts), said_at)


@dataclass(frozen=True, slots=True)
class Tenant:
    """What the directory knows about one tenant; None means unknown.

    ``tenant_id`` is the canonical spelling: the first one that was seen. ``price_usd`` is per
    30 days. ``started_at`` and ``cancelled_at`` are those of the newest start and the newest
    cancellation. Empty ``contacts`` says that there are none, None that nobody said.
    """

    tenant_uuid: str
    tenant_id: str
    first_seen_at: datetime
    name: str | None = None
    plan: str | None = None
    price_usd: Decimal | None = None
    started_at: datetime | None = None
    cancelled_at: datetime | None = None
    contacts: tuple[Contact, ...] | None = None
    provenance: Mapping[str, Provenance] = field(default_factory=dict)

    @property
    def updated_at(self) -> datetime:
        """The instant of the newest fact, or of the first sighting when there is no fact."""
        return max((p.at for p in self.provenance.values()), default=self.first_seen_at)

    @property
    def is_cancelled(self) -> bool | None:
        """Whether the newest word on the subscription is a cancellation; None when unknown.

        Cancelled and started at the same instant counts as started.
        """
        if self.cancelled_at is None:
            return None if self.started_at is None else False
        return self.started_at is None or self.cancelled_at > self.started_at

    def with_facts(self, facts: Iterable[Fact]) -> Tenant:
        """The tenant after hearing more; the order of hearing and repeats do not matter.

        For each field the fact with the newest instant counts, at the same instant one by
        hand before one from an event, and then the larger text, only so that every order
        gives the same answer.
        """
        values: dict[str, Any] = {}
        provenance = dict(self.provenance)
        for fact in facts:
            known = provenance.get(fact.field)
            if known is not None:
                value = values.get(fact.field, getattr(self, fact.field))
                old = Fact(fact.field, value, known.at, known.origin)
                if _rank(fact) <= _rank(old):
                    continue
            values[fact.field] = fact.value
            provenance[fact.field] = fact.provenance
        return replace(self, provenance=provenance, **values) if values else self


def facts_from_event(event: Event) -> list[Fact]:
    """What an event says about its tenant's subscription.

    Args:
        event: of any type.

    Returns:
        Facts at the event's timestamp; empty for events that are not about a subscription.
        A start without a price says that the price is no longer known from an event: the
        price of an earlier plan does not live on under a new plan.
    """

    def said(name: str, value: Any) -> Fact:
        return Fact(name, value, event.timestamp, Origin.EVENT)

    if event.event_type == "SUBSCRIPTION_CANCELLED":
        return [said("cancelled_at", event.timestamp)]
    if event.event_type != "SUBSCRIPTION_STARTED":
        return []
    metadata = json.loads(event.metadata_json, parse_float=Decimal, parse_int=Decimal)
    price = to_price_usd(metadata.get("price_usd"))
    return [
        said("started_at", event.timestamp),
        said("plan", event.plan or None),
        said("price_usd", price),
    ]


def to_price_usd(value: Any) -> Decimal | None:
    """Read a price in USD; None when the value is no number of 0 to :data:`PRICE_USD_MAX`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        price = Decimal(str(value))
    except (InvalidOperation, ValueError):  # ValueError: an int of more than 4,300 digits
        return None
    return price if price.is_finite() and 0 <= price <= PRICE_USD_MAX else None


def _rank(fact: Fact) -> tuple[datetime, bool, bool, str]:
    value = fact.value
    if isinstance(value, datetime):
        value = format_instant(value)  # one text per instant, whatever zone it was given in
    return fact.at, fact.origin is Origin.API, value is not None, str(value)


def _check_text(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError(f"{name} has a NUL character or half of a surrogate pair")


def _check_price(name: str, value: Any) -> None:
    if not isinstance(value, Decimal) or to_price_usd(value) is None:
        raise ValueError(f"{name} must be a Decimal of 0 to {PRICE_USD_MAX}")


def _check_instant(name: str, value: Any) -> None:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"{name} must be a moment with a time zone")


def _check_contacts(name: str, value: Any) -> None:
    if not isinstance(value, tuple) or not all(isinstance(one, Contact) for one in value):
        raise ValueError(f"{name} must be a tuple of contacts")


#: The fields that facts speak of, each with the check of its values.
FACT_FIELDS = {
    "name": _check_text,
    "plan": _check_text,
    "price_usd": _check_price,
    "started_at": _check_instant,
    "cancelled_at": _check_instant,
    "contacts": _check_contacts,
}
