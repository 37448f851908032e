"""Who stayed, with and without each feature: a comparison of shares, and how sure it is.

Use comes first and staying after it: what counts as use lies before the moment from which on
staying is looked at. Customers choose what they use, so a difference is a correlation, not a
cause; heavy users of one feature are heavy users of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import NamedTuple

from ebbtide.catalog.product import RetentionRule
from ebbtide.signals.proportions import difference, z_of
from ebbtide.signals.subscription import CANCELLED, STARTED

NOTE = "A correlation, not a cause: customers choose for themselves what they use."
INSUFFICIENT = "insufficient_data"


@dataclass(frozen=True, slots=True)
class Standing:
    """Newest start and cancellation of a subscription; None where there is none."""

    started_at: datetime | None
    cancelled_at: datetime | None

    @property
    def is_cancelled(self) -> bool:
        """Whether the newest word is a cancellation; at the same instant a start wins."""
        if self.cancelled_at is None:
            return False
        return self.started_at is None or self.started_at < self.cancelled_at


class Word(NamedTuple):
    """A start or a cancellation of a tenant's subscription."""

    tenant_id: str
    at: datetime
    event_type: str


@dataclass(frozen=True, slots=True)
class Group:
    """Customers on one side of a comparison, and how many of them stayed."""

    num: int
    num_kept: int

    @property
    def share(self) -> Fraction | None:
        """None when there is nobody."""
        return Fraction(self.num_kept, self.num) if self.num else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """With a feature and without it.

    Attributes:
        low, high: the interval of the difference of the shares, with minus without; None when a
            side is too small to say anything.
        verdict: ``kept_more``, ``kept_less``, ``no_difference_shown`` or ``insufficient_data``.
    """

    with_feature: Group
    without: Group
    low: float | None
    high: float | None
    verdict: str

    @property
    def difference(self) -> Fraction | None:
        """With minus without; None where nothing can be said."""
        if self.low is None or self.with_feature.share is None or self.without.share is None:
            return None
        return self.with_feature.share - self.without.share


def standings_at(words: Iterable[Word], at: datetime) -> dict[str, Standing]:
    """How subscriptions stand at a moment; a tenant of whom nothing was said is missing."""
    newest: dict[tuple[str, str], datetime] = {}
    for word in words:
        if word.at <= at:
            key = word.tenant_id, word.event_type
            newest[key] = max(word.at, newest.get(key, word.at))
    return {
        tenant: Standing(newest.get((tenant, STARTED)), newest.get((tenant, CANCELLED)))
        for tenant, _ in newest
    }


def customers_of(active: Set[str], standings: Mapping[str, Standing]) -> frozenset[str]:
    """Tenants that are customers: active, and their subscription is not cancelled."""
    return frozenset(
        one for one in active if one not in standings or not standings[one].is_cancelled
    )


def compare(
    customers: Set[str], kept: Set[str], users: Set[str], rule: RetentionRule, num_features: int
) -> Comparison:
    """Compare customers that used a feature with those that did not.

    Args:
        customers: at the earlier moment.
        kept: customers at the later one.
        users: who used the feature before the earlier one.
        num_features: all that are compared beside one another; with more of them one looks
            good by chance more often, so each interval is wider.
    """
    used, unused = customers & users, customers - users
    with_feature = Group(len(used), len(used & kept))
    without = Group(len(unused), len(unused & kept))
    if min(with_feature.num, without.num) < rule.min_group:
        return Comparison(with_feature, without, None, None, INSUFFICIENT)
    z = z_of(float(rule.confidence), num_features)
    low, high = difference(
        with_feature.num_kept, with_feature.num, without.num_kept, without.num, z
    )
    verdict = "kept_more" if low > 0 else "kept_less" if high < 0 else "no_difference_shown"
    return Comparison(with_feature, without, low, high, verdict)


def sides(
    customers: Set[str], users: Set[str], kept: Set[str], *, used: bool, stayed: bool
) -> list[str]:
    """The customers behind one number of a comparison, by their ids."""
    chosen = customers & users if used else customers - users
    return sorted(chosen & kept if stayed else chosen - kept)
