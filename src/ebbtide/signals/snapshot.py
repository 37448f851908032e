"""All customers at one moment: as the newest run left them, or computed for the moment."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ebbtide.catalog.loader import Catalog
from ebbtide.domain.errors import NotFound, Unprocessable
from ebbtide.domain.ids import to_uuid_text
from ebbtide.signals.change_log import ChangeLog
from ebbtide.signals.customer import Customer, assess
from ebbtide.signals.economics import gather_economics
from ebbtide.signals.facts import Facts
from ebbtide.signals.gather import gather
from ebbtide.signals.refresh import load_facts
from ebbtide.signals.rules import Rules
from ebbtide.store.events.base import EventStore
from ebbtide.store.events.relations import event_counts
from ebbtide.store.state.base import StateStore

KEPT = 3  # pages of a list are turned within a few runs of the job


@dataclass(frozen=True, slots=True)
class Moment:
    """What an answer is for and what it knows.

    ``asked_known_at`` is what the stores are asked with; None: everything counts. ``is_stored``:
    a job computed it, not the read.
    """

    as_of: datetime
    known_at: datetime
    asked_known_at: datetime | None
    computed_at: datetime
    is_stored: bool
    newest_event_at: datetime | None
    newest_received_at: datetime | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Customers and their facts at one moment, by tenant UUID."""

    moment: Moment
    customers: Mapping[str, Customer]
    facts: Mapping[str, Facts]
    log: ChangeLog

    def has(self, tenant_id: str) -> bool:
        """Whether it had an event by then."""
        return to_uuid_text(tenant_id) in self.customers

    def find(self, tenant_id: str) -> tuple[Facts, Customer]:
        """One customer in any spelling of its id.

        Raises:
            NotFound: it had no event by then.
        """
        uuid = to_uuid_text(tenant_id)
        if uuid not in self.customers:
            raise NotFound("there is no such customer, or it had no event by then")
        return self.facts[uuid], self.customers[uuid]


class Snapshots:
    """Makes snapshots, and keeps the newest stored ones; from any thread."""

    def __init__(
        self,
        catalog: Catalog,
        events: EventStore,
        state: StateStore,
        clock: Callable[[], datetime],
        rules: Rules,
    ) -> None:
        self._catalog = catalog
        self._events = events
        self._state = state
        self._clock = clock
        self._rules = rules
        self._kept: OrderedDict[int, Snapshot] = OrderedDict()  # by the token of stored facts
        self._lock = threading.Lock()

    def at(
        self,
        as_of: datetime | None,
        known_at: datetime | None,
        tenant_id: str | None = None,
        *,
        fresh: bool = False,
    ) -> Snapshot:
        """The customers at a moment.

        Args:
            as_of: None: the moment of ``known_at`` if given, else of the newest run; before the
                first run it is computed for now.
            tenant_id: the snapshot must hold this one, and need not hold others.
            fresh: compute it, also where a stored one would do.

        Raises:
            Unprocessable: the moment lies in the future.
        """
        now = self._clock()
        for name, moment in (("as_of", as_of), ("known_at", known_at)):
            if moment is not None and moment > now:
                raise Unprocessable(f"{name} lies in the future")
        at = as_of or known_at
        if at is None:
            head = self._state.scores.head()
            if head.as_of is not None and not fresh:
                return self._newest(head.token)
            at = head.as_of or now
        return self.compute(at, known_at, None if tenant_id is None else [tenant_id])

    def again(self, as_of: datetime, known_at: datetime, *, is_stored: bool) -> Snapshot:
        """The moment of an earlier page; computed anew when it is not kept any more."""
        if is_stored:
            token = self._state.scores.head().token
            with self._lock:
                # A token moves with an erasure too, which must not be undone from memory.
                for kept in self._kept.values() if token in self._kept else ():
                    if kept.moment.as_of == as_of:
                        return kept
        return self.at(as_of, known_at)

    def for_run(self, as_of: datetime) -> Snapshot:
        """All customers for a run of a job: stored facts when they are of that moment."""
        head = self._state.scores.head()
        return self._newest(head.token) if head.as_of == as_of else self.compute(as_of, None, None)

    def compute(
        self, at: datetime, known_at: datetime | None, tenants: Sequence[str] | None
    ) -> Snapshot:
        """Gather facts for a moment and assess them.

        Args:
            tenants: ids in any spelling; None means all.
        """
        if tenants is not None:
            uuids = [to_uuid_text(one) for one in tenants]
            known = self._state.tenants.spellings(uuids)
            tenants = [known.get(uuid, one) for uuid, one in zip(uuids, tenants, strict=True)]
            tenants = [one for one in tenants if "\0" not in one]
        now = self._clock()
        facts = gather(self._events, self._catalog, at, known_at=known_at, tenants=tenants)
        moment = self._moment(at, known_at, known_at or now, now, False, tenants)
        return self._made(moment, facts.values(), tenants)

    def _newest(self, token: int) -> Snapshot:
        with self._lock:
            kept = self._kept.get(token)
            if kept is None:
                head, facts = load_facts(self._state)
                assert head.as_of is not None
                computed_at = head.computed_at or head.as_of
                moment = self._moment(head.as_of, None, computed_at, computed_at, True, None)
                kept = self._made(moment, facts.values(), None)
                self._kept[head.token] = kept
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            return kept

    def _moment(
        self,
        at: datetime,
        asked: datetime | None,
        known_at: datetime,
        computed_at: datetime,
        is_stored: bool,
        tenants: Sequence[str] | None,
    ) -> Moment:
        newest: tuple[datetime | None, datetime | None] = (None, None)
        if tenants is None or tenants:
            relation, params = event_counts(None, at, known_at=asked, tenants=tenants)
            text = f"SELECT MAX(last_at), MAX(last_received_at) FROM {relation} AS counted"
            row = self._events.query(text, params)[0]
            newest = (row[0], row[1])
        return Moment(at, known_at, asked, computed_at, is_stored, *newest)

    def _made(
        self, moment: Moment, facts: Iterable[Facts], tenants: Sequence[str] | None
    ) -> Snapshot:
        at, asked = moment.as_of, moment.asked_known_at
        by_uuid = {to_uuid_text(one.tenant_id): one for one in facts}
        money = gather_economics(self._events, self._catalog, at, known_at=asked, tenants=tenants)
        customers = {
            uuid: assess(one, at, self._rules, money.get(one.tenant_id))
            for uuid, one in by_uuid.items()
        }
        firsts = {one.tenant_id: one.first_event_at for one in by_uuid.values()}
        log = ChangeLog(self._events, self._catalog, at, asked, firsts)
        return Snapshot(moment, customers, by_uuid, log)
