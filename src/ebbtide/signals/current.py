"""All customers as the newest run left them, kept in memory for whoever reads or evaluates them.

Jobs and readers of one process share it. What the run has in memory is taken from there, and
brought forward by what the run has found new; where memory is not what is stored (another
process ran, a tenant was erased), everything is read in full. A stateful test holds that both
give the same answers.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from weakref import WeakValueDictionary

from ebbtide.catalog.loader import Catalog
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.time import MICROSECOND
from ebbtide.signals.change_log import ChangeLog, FirstEvents
from ebbtide.signals.customer import Customer, assess
from ebbtide.signals.facts import Economics, Facts
from ebbtide.signals.ledger import Ledger
from ebbtide.signals.refresh import Left, Refresher, load_facts, refresher_of
from ebbtide.signals.rules import Rules, read_rules
from ebbtide.signals.snapshot import Moment, Newest, Pair, Snapshot
from ebbtide.store.events.base import Change, EventStore
from ebbtide.store.events.relations import event_counts
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.scores import FactsHead

KEPT = 3  # pages of a list are turned within a few runs of the job


class Assessed(Mapping[str, Customer]):
    """Customers at one moment by tenant UUID, each assessed when somebody asks for it."""

    def __init__(
        self,
        facts: Mapping[str, Facts],
        as_of: datetime,
        rules: Rules,
        economics: Mapping[str, Economics],
        lately: Mapping[str, Customer],
    ) -> None:
        """Make it ready.

        Args:
            facts: by tenant UUID.
            economics: by tenant id.
            lately: customers by tenant id, assessed without their money; those of the same
                facts and moment need not be assessed again.
        """
        self._facts = facts
        self._as_of = as_of
        self._rules = rules
        self._economics = economics
        self._lately = lately
        self._made: dict[str, Customer] = {}

    def __getitem__(self, uuid: str) -> Customer:
        made = self._made.get(uuid)
        if made is None:
            facts = self._facts[uuid]
            money = self._economics.get(facts.tenant_id)
            found = self._lately.get(facts.tenant_id)
            if found is not None and found.is_of(facts, self._as_of):
                made = found.with_money(money)
            else:
                made = assess(facts, self._as_of, self._rules, money)
            # Two threads may both make it; one of the two equal customers stays.
            made = self._made.setdefault(uuid, made)
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    def __contains__(self, uuid: object) -> bool:
        return uuid in self._facts


@dataclass(frozen=True, slots=True)
class _Standing:
    """What the next look begins with."""

    left: Left
    snapshot: Snapshot


class Current:
    """Snapshots of the newest stored facts, and of a few before them; from any thread."""

    def __init__(
        self, catalog: Catalog, events: EventStore, state: StateStore, refresher: Refresher
    ) -> None:
        self._catalog = catalog
        self._events = events
        self._state = state
        self._refresher = refresher
        self._rules = read_rules(catalog)
        # A run does not look at money; were a playbook to ask for it, money would decide who is on
        # the list, and what a run has assessed could not be used.
        self._is_money_last = not asks_for_money(self._rules)
        self._ledger = Ledger(events, catalog)
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, Snapshot] = OrderedDict()  # by the token of stored facts
        self._standing: _Standing | None = None
        self._expected: int | None = None

    def expect(self, as_of: datetime, changes_since: int) -> None:
        """A run has worked out a moment: begin to read its money while the run is written.

        Args:
            changes_since: how far the run was told what is stored.
        """
        with self._lock:
            self._expected = changes_since
            self._ledger.read_ahead(as_of)

    def newest(self, head: FactsHead) -> Snapshot:
        """All customers by the newest stored facts.

        Args:
            head: of the stored facts; its moment is known.

        Raises:
            StoreUnavailable: a store cannot answer.
        """
        with self._lock:
            kept = self._kept.get(head.token)
            if kept is None:
                left = self._refresher.left
                if left is not None and left.head == head:
                    kept = self._from_memory(left)
                else:
                    head, kept = self._from_store()
                self._kept[head.token] = kept
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            return kept

    def earlier(self, as_of: datetime) -> Snapshot | None:
        """The one of an earlier run, when that is still kept and nobody was erased since."""
        token = self._state.scores.head().token
        with self._lock:
            # A token moves with an erasure too, which must not be undone from memory.
            for kept in self._kept.values() if token in self._kept else ():
                if kept.moment.as_of == as_of:
                    return kept
        return None

    def _from_memory(self, left: Left) -> Snapshot:
        before = self._standing
        self._standing = None  # should this fail, the ledger may be ahead
        at = left.head.as_of
        assert at is not None
        stored: list[Change] | None = None
        if before is not None and before.left.generation == left.generation:
            stored = left.news_since(before.left.number)
            if at < before.snapshot.moment.as_of:
                stored = None
        if self._expected != left.head.changes_since:
            self._ledger.forget_ahead()  # another run was told of more since
        money = self._ledger.at(at, stored)
        facts = {left.uuids[name]: left.facts[name] for name in sorted(left.facts)}
        firsts = FirstEvents(left.facts)
        if before is None or stored is None:
            log = ChangeLog(self._events, self._catalog, at, None, firsts)
            newest = Newest(self._newest_at(at), None)
        else:
            log = before.snapshot.log.followed_by(at, stored, firsts)
            was = before.snapshot.moment
            oldest = min((one.first_at for one in stored), default=at) - MICROSECOND
            newest = was.newest.followed_by(self._newest_at(at), was.as_of, oldest)
        assessed = left.customers if self._is_money_last else {}
        customers = Assessed(facts, at, self._rules, money, assessed)
        lately: Mapping[str, Customer] = {}
        if before is not None and stored is not None and self._is_money_last:
            lately = before.snapshot.standing
        standing = {}
        for uuid, one in facts.items():
            found = assessed.get(one.tenant_id) or lately.get(uuid)
            standing[uuid] = customers[uuid] if found is None else found
        snapshot = Snapshot(_moment(left.head, newest), customers, facts, log, standing, money)
        self._standing = _Standing(left, snapshot)
        return snapshot

    def _from_store(self) -> tuple[FactsHead, Snapshot]:
        self._standing = None
        head, stored = load_facts(self._state)
        at = head.as_of
        assert at is not None
        facts = {to_uuid_text(name): one for name, one in stored.items()}
        money = self._ledger.at(at, None)
        customers = Assessed(facts, at, self._rules, money, {})
        firsts = FirstEvents(stored)
        log = ChangeLog(self._events, self._catalog, at, None, firsts)
        moment = _moment(head, Newest(self._newest_at(at), None))
        return head, Snapshot(moment, customers, facts, log, customers, money)

    def _newest_at(self, at: datetime) -> Callable[[datetime | None], Pair]:
        return lambda since: newest_of(self._events, since, at)


#: By the identity of the state store; a store and what is kept of it end together.
_currents: WeakValueDictionary[int, Current] = WeakValueDictionary()
_making = threading.Lock()


def current_of(catalog: Catalog, events: EventStore, state: StateStore) -> Current:
    """The one that all readers and jobs of a state store share."""
    refresher = refresher_of(catalog, events, state)
    with _making:
        found = _currents.get(id(state))
        if found is None:
            found = _currents[id(state)] = Current(catalog, events, state, refresher)
        return found


def asks_for_money(rules: Rules) -> bool:
    """Whether level, strength or playbooks look at money or speak of it."""
    components = rules.signals.risk.components
    conditions = [one for playbook in rules.playbooks.values() for one in playbook.when]
    asked = {one.metric for one in components} | {one.metric for one in conditions}
    if "margin_warning" in asked:
        return True
    texts = [
        *(playbook.reason for playbook in rules.playbooks.values()),
        *(text for one in conditions for text in (one.text, one.text_null or "")),
        *(band.text for one in components for band in one.bands),
    ]
    return any("{margin" in text or "{api_call_change" in text for text in texts)


def newest_of(
    events: EventStore,
    since: datetime | None,
    at: datetime,
    *,
    known_at: datetime | None = None,
    tenants: Sequence[str] | None = None,
) -> Pair:
    """When the newest event of a stretch of time happened, and when the last one came."""
    relation, params = event_counts(since, at, known_at=known_at, tenants=tenants)
    text = f"SELECT MAX(last_at), MAX(last_received_at) FROM {relation} AS counted"
    row = events.query(text, params)[0]
    return row[0], row[1]


def _moment(head: FactsHead, newest: Newest) -> Moment:
    assert head.as_of is not None
    computed_at = head.computed_at or head.as_of
    return Moment(head.as_of, computed_at, None, computed_at, True, newest)
