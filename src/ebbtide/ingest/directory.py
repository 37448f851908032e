"""The tenant directory at work: one spelling per tenant, and what events say about it."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from time import monotonic

from ebbtide.domain.errors import StoreUnavailable
from ebbtide.domain.event import Event
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.tenant import Sighting, facts_from_event
from ebbtide.store.events.base import EVENT_COLUMNS, EventStore
from ebbtide.store.state.base import StateStore

HEAR_EVERY_S = 1.0  # what one server erased, another one may still take for so long

#: Event types that change what the directory knows; nearly no event is one of them.
SUBSCRIPTION_TYPES = ("SUBSCRIPTION_STARTED", "SUBSCRIPTION_CANCELLED")

tenant_uuid = lru_cache(maxsize=100_000)(to_uuid_text)


class Directory:
    """Settles tenant ids before events are stored, and facts after."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._canonical: dict[str, str] = {}  # spelling as sent -> spelling in the store
        self._erased: dict[str, datetime] = state.tenants.erasures()
        self._lock = threading.Lock()
        #: Whether no other process can use the same state store: its file belongs to one.
        self.is_alone = state.engine == "sqlite"
        self._heard_at = monotonic()
        #: Held by whoever needs that no tenant is erased for a while, and by erasures themselves.
        self.steady = threading.Lock()

    def with_canonical_tenants(self, events: list[Event]) -> list[Event]:
        """The events, each under the one spelling of its tenant; new tenants are entered.

        Raises:
            StoreUnavailable: a tenant is new and the state store cannot take it.
        """
        canonical = self._canonical
        unknown = {e.tenant_id: e.received_at for e in events if e.tenant_id not in canonical}
        if unknown:
            self._learn(Sighting.of(sent, at) for sent, at in unknown.items())
        if all(canonical[e.tenant_id] == e.tenant_id for e in events):
            return events
        return [
            e
            if canonical[e.tenant_id] == e.tenant_id
            else e._replace(tenant_id=canonical[e.tenant_id])
            for e in events
        ]

    def are_canonical(self, tenant_ids: Iterable[str]) -> bool:
        """Whether these are the known spellings of their tenants."""
        canonical = self._canonical
        return all(canonical.get(sent) == sent for sent in tenant_ids)

    def canonical(self, tenant_ids: Iterable[str], seen_at: datetime) -> dict[str, str]:
        """The one spelling of each tenant id, for bulk loads; new tenants are entered."""
        wanted = set(tenant_ids)
        unknown = wanted - self._canonical.keys()
        if unknown:
            self._learn(Sighting.of(sent, seen_at) for sent in sorted(unknown))
        return {sent: self._canonical[sent] for sent in wanted}

    def _learn(self, sightings: Iterable[Sighting]) -> None:
        sightings = list(sightings)
        spellings = self._state.tenants.remember(sightings)
        with self._lock:
            for one in sightings:
                self._canonical[one.tenant_id] = spellings[one.tenant_uuid]

    def sighting_of(self, event: Event) -> Sighting:
        """What an event of :data:`SUBSCRIPTION_TYPES` says about its tenant."""
        return Sighting.of(
            event.tenant_id, event.received_at, facts_from_event(event), said_at=event.timestamp
        )

    def apply(self, sightings: Sequence[Sighting]) -> None:
        """Write what was said into the directory; of an erased past nothing comes back.

        Saying it again changes nothing.
        """
        self._learn(one for one in sightings if not self.is_past(one))

    def is_past(self, sighting: Sighting) -> bool:
        """Whether it speaks of a tenant's past that was erased."""
        erased_at = self._erased.get(sighting.tenant_uuid)
        return erased_at is not None and (sighting.said_at or sighting.seen_at) <= erased_at

    def is_erased(self, event: Event) -> bool:
        """Whether the event belongs to a tenant's past that was erased."""
        if not self._erased:
            return False
        erased_at = self._erased.get(tenant_uuid(event.tenant_id))
        return erased_at is not None and event.timestamp <= erased_at

    def were_erased(self, tenant_ids: Iterable[str]) -> bool:
        """Whether any of these tenants has a past that was erased."""
        erased = self._erased
        return bool(erased) and any(tenant_uuid(sent) in erased for sent in tenant_ids)

    @property
    def erasures(self) -> dict[str, datetime]:
        """When which tenant (by UUID) was erased."""
        return self._erased

    def hear_of_erasures(self) -> None:
        """Learn what another process on the same state store has erased; asked often, done rarely.

        When the state store cannot answer, nothing can be erased through it either.
        """
        if self.is_alone or monotonic() - self._heard_at < HEAR_EVERY_S:
            return
        with suppress(StoreUnavailable):
            erased = self._state.tenants.erasures()
            with self._lock:
                gone = {uuid for uuid, at in erased.items() if self._erased.get(uuid) != at}
                self._erased = erased
                self._forget(gone)
        self._heard_at = monotonic()

    def erase(self, tenant_id: str, at: datetime) -> None:
        """Forget a tenant here and keep its past from coming back."""
        self._state.erase_tenant(tenant_id, at)
        uuid = to_uuid_text(tenant_id)
        with self._lock:
            self._erased = self._state.tenants.erasures()
            self._forget({uuid})

    def _forget(self, uuids: Collection[str]) -> None:
        if uuids:
            self._canonical = {
                sent: kept
                for sent, kept in self._canonical.items()
                if to_uuid_text(sent) not in uuids
            }

    def reconcile(self, events: EventStore, at: datetime) -> int:
        """Enter tenants that have events but no entry; returns how many there were.

        Between an event's commit and its directory entry a process can die, and a directory
        can be restored from an older copy: the events are the truth, so they are asked.
        """
        stored = [row[0] for row in events.query("SELECT DISTINCT tenant_id FROM event_rollup")]
        known = self._state.tenants.spellings([to_uuid_text(tenant) for tenant in stored])
        missing = [tenant for tenant in stored if to_uuid_text(tenant) not in known]
        self._canonical.update((tenant, tenant) for tenant in stored)
        if missing:
            self._learn(Sighting.of(tenant, at) for tenant in missing)
        facts = [
            Sighting.of(event.tenant_id, at, facts_from_event(event))
            for event in _subscription_events(events)
        ]
        if facts:
            self._learn(facts)
        return len(missing)


def _subscription_events(events: EventStore) -> list[Event]:
    rows = events.query(
        f"SELECT {', '.join(EVENT_COLUMNS)} FROM events WHERE event_type IN (:types)"
        " ORDER BY timestamp",
        {"types": SUBSCRIPTION_TYPES},
    )
    return [Event(row[0], row[1] or row[0], *row[2:]) for row in rows]
