"""The one way to read the product's numbers: funnel, features and cohorts over one memory."""

from __future__ import annotations

from datetime import datetime

from ebbtide.catalog.loader import Catalog
from ebbtide.signals.activity import ActivityReader
from ebbtide.signals.cohorts import CohortReader
from ebbtide.signals.features import FeatureReader
from ebbtide.signals.funnel import FunnelReader
from ebbtide.signals.watch import Watch, watch_over
from ebbtide.store.events.base import EventStore
from ebbtide.store.state.base import StateStore


class ProductReader:
    """Questions about the product; may be asked from any thread."""

    def __init__(
        self, catalog: Catalog, events: EventStore, state: StateStore, watch: Watch | None = None
    ) -> None:
        """Begin with nothing kept; a watch may be shared with other readers."""
        watch = watch or watch_over(events, state)
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
