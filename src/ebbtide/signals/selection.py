"""Which customers are meant, and in which order they come."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from ebbtide.catalog.playbook import LEVELS
from ebbtide.domain.errors import BadRequest
from ebbtide.domain.ids import is_uuid_form, to_uuid_text
from ebbtide.domain.time import EPOCH, format_instant, parse_instant
from ebbtide.signals.customer import Customer

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class CustomerFilter:
    """Which customers are meant; None means any, several conditions must all hold."""

    tenant_id: str | None = None
    risk_levels: Collection[str] | None = None
    status: str | None = None
    paying: str | None = None
    is_silent_churn: bool | None = None
    is_at_risk: bool | None = None
    stickiness_trend: str | None = None
    inferred_buyer_type: str | None = None
    playbook_id: str | None = None

    def takes(self, one: Customer) -> bool:
        """Whether a customer is meant."""
        return (
            (self.tenant_id is None or to_uuid_text(one.tenant_id) == to_uuid_text(self.tenant_id))
            and (self.risk_levels is None or one.risk.risk_level in self.risk_levels)
            and self.status in (None, one.status)
            and self.paying in (None, one.paying)
            and self.is_silent_churn in (None, one.silence.is_silent_churn)
            and self.is_at_risk in (None, one.risk.is_on_list)
            and self.stickiness_trend in (None, one.stickiness.stickiness_trend)
            and self.inferred_buyer_type in (None, one.intent.inferred_buyer_type)
            and (
                self.playbook_id is None
                or any(match.playbook_id == self.playbook_id for match in one.playbooks)
            )
        )


def by_tenant(one: Customer) -> Key:
    """Ids as sent by code point, UUIDs in lower case: the last tie of every order."""
    text = one.tenant_id
    return (text.lower() if is_uuid_form(text) else text,)


def by_risk(one: Customer) -> Key:
    """Level worst first, strength falling, ratio rising with unknown ones last."""
    level, delta = one.risk.risk_level, one.stickiness.stickiness_delta
    rank = len(LEVELS) if level is None else LEVELS.index(level)
    return (rank, -one.risk.risk_signal_strength, delta is None, delta or Fraction(0))


def by_stickiness(one: Customer) -> Key:
    """Most used first."""
    return (-one.stickiness.stickiness_7d,)


def by_delta(one: Customer) -> Key:
    """The steepest decline first, unknown ones last."""
    delta = one.stickiness.stickiness_delta
    return (delta is None, delta or Fraction(0))


def by_friction(one: Customer) -> Key:
    """Most friction of two weeks first, then of this week."""
    return (-one.friction.friction_score, -one.friction.friction_weighted_score)


def by_recent(one: Customer) -> Key:
    """The newest API call first, customers without any last."""
    at = one.silence.last_api_call
    return (at is None, timedelta(0) if at is None else EPOCH - at)


#: Orders by the word that asks for them.
SORTS: dict[str, Callable[[Customer], Key]] = {
    "risk": by_risk,
    "stickiness": by_stickiness,
    "delta": by_delta,
    "friction": by_friction,
    "recent": by_recent,
    "tenant_id": by_tenant,
}


def select(customers: Iterable[Customer], meant: CustomerFilter, sort: str) -> list[Customer]:
    """Those meant, in an order of :data:`SORTS`; empty when nobody is."""
    key = SORTS[sort]
    return sorted(filter(meant.takes, customers), key=lambda one: (*key(one), *by_tenant(one)))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: of which moment, after whom, and at which number if he is gone since."""

    as_of: datetime
    known_at: datetime
    is_stored: bool
    tenant_uuid: str
    index: int

    def to_text(self) -> str:
        """The place as a cursor."""
        parts = [
            format_instant(self.as_of),
            format_instant(self.known_at),
            self.is_stored,
            self.tenant_uuid,
            self.index,
        ]
        return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()

    @classmethod
    def from_text(cls, cursor: str) -> Place:
        """Read a cursor.

        Raises:
            BadRequest: it is not one of ours.
        """
        try:
            as_of, known_at, is_stored, uuid, index = json.loads(
                base64.urlsafe_b64decode(cursor.encode())
            )
            if not (isinstance(is_stored, bool) and is_uuid_form(uuid) and type(index) is int):
                raise ValueError("other kinds of values")
            return cls(parse_instant(as_of), parse_instant(known_at), is_stored, uuid, index)
        except (binascii.Error, ValueError, TypeError, RecursionError) as error:
            raise BadRequest("this cursor is not one of ours") from error

    def start_in(self, ordered: Sequence[Customer]) -> int:
        """The index of the first customer of the next page."""
        for index, one in enumerate(ordered):
            if to_uuid_text(one.tenant_id) == self.tenant_uuid:
                return index + 1
        return min(max(self.index, 0), len(ordered))
