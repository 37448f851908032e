"""A small company on real stores, with what a full reading says of it beside what is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ebbtide.catalog.loader import Catalog, load_catalog
from ebbtide.domain.event import Event
from ebbtide.domain.ids import to_uuid_text
from ebbtide.signals.customer import Customer, assess, at_risk_order
from ebbtide.signals.facts import Facts
from ebbtide.signals.gather import gather
from ebbtide.signals.refresh import Refresher, Step, load_facts
from ebbtide.signals.results import NOTHING_KEPT, new_rows, to_segment
from ebbtide.signals.rules import read_rules
from ebbtide.store.events.base import EventStore, to_batch
from ebbtide.store.events.duckdb import DuckDBEventStore
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.scores import SEGMENT_COLUMNS
from ebbtide.store.state.sqlite import SQLiteStateStore
from ready_files import lay_events_file, lay_state_file

#: A full hour, so that edges of windows are easy to meet.
START = datetime(2026, 3, 12, 6, tzinfo=UTC)
#: When and by what a row was written says nothing of what is in it.
WRITTEN = ("changed_at", "computed_at")


class Company:
    """Event store, state store and a refresher; ``now`` is the moment of the newest run."""

    def __init__(
        self,
        folder: Path,
        *,
        open_events: Callable[[], EventStore] | None = None,
        open_state: Callable[[], StateStore] | None = None,
        catalog: Catalog | None = None,
    ) -> None:
        if open_events is None:
            lay_events_file(folder / "events.duckdb")
        if open_state is None:
            lay_state_file(folder / "state.sqlite")
        self._open_events = open_events or (lambda: DuckDBEventStore(folder / "events.duckdb"))
        self._open_state = open_state or (lambda: SQLiteStateStore(folder / "state.sqlite"))
        self.catalog = catalog or load_catalog()
        self.rules = read_rules(self.catalog)
        self.now = START
        self.num_events = 0
        self.open()

    def open(self) -> None:
        """Open the stores, as a process does when it starts."""
        self.events = self._open_events()
        self.events.migrate()
        self.state = self._open_state()
        self.state.migrate()
        self.refresher = self.new_refresher()

    def close(self) -> None:
        """Close both stores."""
        self.events.close()
        self.state.close()

    def new_refresher(self) -> Refresher:
        """One with nothing in memory, as another process has it."""
        return Refresher(self.catalog, self.events, self.state)

    def event(self, event_type: str, at: datetime, tenant: str = "acme", **more: Any) -> Event:
        """An event that was not there before."""
        self.num_events += 1
        name = f"event {self.num_events}"
        fields: dict[str, Any] = dict.fromkeys(Event._fields)
        fields |= {
            "event_uuid": to_uuid_text(name),
            "event_id": name,
            "timestamp": at,
            "received_at": at + timedelta(seconds=1),
            "tenant_id": tenant,
            "event_type": event_type,
            "source": "test",
            "metadata_json": "{}",
        }
        return Event(**fields | more)

    def store(self, *events: Event) -> None:
        """Append events."""
        self.events.append(to_batch(events))

    def happens(self, event_type: str, *ages: timedelta, tenant: str = "acme", **more: Any) -> None:
        """Store an event for each age, counted back from now."""
        self.store(*(self.event(event_type, self.now - age, tenant, **more) for age in ages))

    def erase(self, tenant: str) -> None:
        """As the route does: events first."""
        self.events.erase_tenant(tenant)
        self.state.erase_tenant(tenant, self.now)

    def prepare(self, as_of: datetime, refresher: Refresher | None = None) -> Step:
        """Work out a run."""
        at = max(as_of, self.now)
        return (refresher or self.refresher).prepare(as_of, run_id=None, computed_at=at)

    def write(self, step: Step, refresher: Refresher | None = None) -> None:
        """Write it in a transaction of its own."""
        with self.state.scores.writing() as connection:
            (refresher or self.refresher).write(step, connection)

    def tick(self, after: timedelta = timedelta(0), refresher: Refresher | None = None) -> Step:
        """A whole run, so much later."""
        self.now += after
        step = self.prepare(self.now, refresher)
        self.write(step, refresher)
        return step

    # -- what is stored, and what should be ----------------------------------------------------

    def full(self, as_of: datetime | None = None) -> dict[str, Facts]:
        """Facts read in full."""
        return gather(self.events, self.catalog, as_of or self.now)

    def stored_facts(self) -> dict[str, Facts]:
        """The stored facts, without what only bringing them forward needs."""
        facts = load_facts(self.state)[1]
        return {tenant: replace(one, expires_at=None) for tenant, one in facts.items()}

    def stored_segments(self) -> list[dict[str, Any]]:
        """The rows that are current, by tenant, without when they were written."""
        rows = [dict(row) for row in self.state.scores.segments()]
        return [{k: v for k, v in row.items() if k not in WRITTEN} for row in rows]

    def segment(self, facts: Facts, customer: Customer) -> dict[str, Any]:
        """The row that a full reading makes."""
        uuid = to_uuid_text(facts.tenant_id)
        values = to_segment(customer, facts, uuid=uuid, computed_at=self.now)
        row = dict(zip(SEGMENT_COLUMNS, values, strict=True))
        row |= {
            "as_of": self.now,
            "last_api_call": customer.silence.last_api_call,
            "last_event_at": facts.last_event_at,
        }
        return {k: v for k, v in row.items() if k not in WRITTEN}

    def keys(self, facts: Facts, customer: Customer) -> dict[str, str]:
        """The hash of each result that a full reading makes, by formula."""
        uuid = to_uuid_text(facts.tenant_id)
        made = {"uuid": uuid, "computed_at": self.now}
        _, newest = new_rows(customer, facts, self.rules, NOTHING_KEPT, **made)
        return dict(newest.keys)

    def check(self) -> None:
        """Hold everything that is stored against a full reading at the same moment."""
        full, stored = self.full(), self.stored_facts()
        assert stored == full
        customers = {name: assess(one, self.now, self.rules) for name, one in full.items()}
        again = [assess(one, self.now, self.rules) for one in stored.values()]
        assert sorted(again, key=at_risk_order) == sorted(customers.values(), key=at_risk_order)
        assert self.stored_segments() == [
            self.segment(full[name], customers[name]) for name in sorted(full)
        ]
        assert self.state.scores.newest_keys(self.now) == {
            to_uuid_text(name): self.keys(full[name], customers[name]) for name in full
        }
