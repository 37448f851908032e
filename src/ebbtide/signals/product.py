"""The one way to read the product's numbers: funnel, features and cohorts over one memory."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime

from ebbtide.catalog.loader import Catalog
from ebbtide.signals.activity import ActivityReader
from ebbtide.signals.cohorts import CohortReader
from ebbtide.signals.features import FeatureReader
from ebbtide.signals.funnel import FunnelReader
from ebbtide.signals.weeks import Watch
from ebbtide.store.events.base import EventStore
from ebbtide.store.state.base import StateStore


class ProductReader:
    """Questions about the product; may be asked from any thread."""

    def __init__(self, catalog: Catalog, events: EventStore, state: StateStore) -> None:
        def erasures() -> Hashable:
            return frozenset(state.tenants.erasures().items())

        watch = Watch(events, erasures)
        activity = ActivityReader(catalog, events, watch)
        self.funnel = FunnelReader(catalog, events, watch)
        self.features = FeatureReader(catalog, events, watch, activity)
        self.cohorts = CohortReader(catalog, activity)

    def look_ahead(self, as_of: datetime) -> None:
        """Make ready what the pages of today need, so that nobody has to wait for it.

        Raises:
            StoreUnavailable: a store cannot answer.
        """
        self.funnel.at(as_of)
        self.features.at(as_of)
        self.cohorts.at(as_of)
