"""Which features customers use, and whether those that used one stayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from ebbtide.catalog.loader import Catalog
from ebbtide.catalog.product import Feature
from ebbtide.signals.activity import COLUMN_OF, Activity, ActivityReader
from ebbtide.signals.facts import DAY
from ebbtide.signals.retention import Comparison, compare, customers_of, standings_at
from ebbtide.signals.subscription_words import SubscriptionWords
from ebbtide.signals.watch import Watch
from ebbtide.store.events.base import EventStore

LENGTH = 30 * DAY


@dataclass(frozen=True, slots=True)
class FeatureUse:
    """One feature over 30 days; ``share`` is of active tenants, None when there is none."""

    feature: Feature
    num_actions: int
    num_tenants: int
    share: Fraction | None
    comparison: Comparison

    @property
    def mean(self) -> Fraction | None:
        """Actions per tenant that used it; None when nobody did."""
        return Fraction(self.num_actions, self.num_tenants) if self.num_tenants else None


@dataclass(frozen=True, slots=True)
class Features:
    """All features, those that most tenants use first.

    Attributes:
        num_active: tenants with an event of any type in 30 days.
        customers: those of 30 days ago, whose staying is looked at.
        kept: those of them that are customers still.
        users: by feature, who used it in the 30 days before that.
    """

    as_of: datetime
    num_active: int
    uses: Sequence[FeatureUse]
    customers: Set[str]
    kept: Set[str]
    users: Mapping[str, Set[str]]
    freshness: datetime | None

    @property
    def since(self) -> datetime:
        """Use is looked at before this moment, staying after it."""
        return self.as_of - LENGTH


class FeatureReader:
    """Reads features at any moment. From any thread."""

    def __init__(
        self, catalog: Catalog, events: EventStore, watch: Watch, activity: ActivityReader
    ) -> None:
        self._rule = catalog.signals.product
        self._activity = activity
        self._subscriptions = SubscriptionWords(catalog, events, watch)

    def at(self, as_of: datetime, *, known_at: datetime | None = None) -> Features:
        """Use over 30 days, and staying over the same 30 days by use in the 30 days before.

        Raises:
            StoreUnavailable: a store cannot answer.
        """
        middle = as_of - LENGTH
        words = self._subscriptions.until(as_of, known_at=known_at)
        # One beside the other: engines answer each on one core.
        with ThreadPoolExecutor(1, thread_name_prefix="ebbtide-features") as beside:
            earlier = beside.submit(
                self._activity.over, middle - LENGTH, middle, known_at=known_at, look=False
            )
            now = self._activity.over(middle, as_of, known_at=known_at, look=False)
            before = earlier.result()
        customers = customers_of(before.who(["num_events"]), standings_at(words, middle))
        kept = customers & customers_of(now.who(["num_events"]), standings_at(words, as_of))
        features = self._rule.features.features
        users = {one.name: before.who([COLUMN_OF[one.event_type]]) for one in features}
        num_active = len(now.tenants)
        uses = []
        for one in features:
            comparison = compare(
                customers, kept, users[one.name], self._rule.retention, len(features)
            )
            uses.append(_use(one, now, num_active, comparison))
        uses.sort(key=lambda use: -use.num_tenants)  # stable: ties in the order of the rule
        return Features(
            as_of,
            num_active,
            uses,
            customers,
            kept,
            users,
            max(filter(None, (before.freshness, now.freshness)), default=None),
        )


def _use(feature: Feature, now: Activity, num_active: int, comparison: Comparison) -> FeatureUse:
    column = now.column(COLUMN_OF[feature.event_type])
    num_tenants = int((column > 0).sum())
    share = Fraction(num_tenants, num_active) if num_active else None
    return FeatureUse(feature, int(column.sum()), num_tenants, share, comparison)
