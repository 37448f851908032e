"""Customers at any moment: as the newest run left them, or computed for the moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from ebbtide.catalog.loader import Catalog
from ebbtide.domain.errors import Unprocessable
from ebbtide.domain.ids import to_uuid_text
from ebbtide.signals.change_log import ChangeLog
from ebbtide.signals.current import current_of, newest_of
from ebbtide.signals.customer import assess
from ebbtide.signals.economics import gather_economics
from ebbtide.signals.gather import gather
from ebbtide.signals.rules import Rules
from ebbtide.signals.snapshot import Moment, Newest, Pair, Snapshot
from ebbtide.signals.watch import Shelf, Watch
from ebbtide.store.events.base import EventStore
from ebbtide.store.state.base import StateStore

#: Past moments that are kept, and with how many customers at most: about 5 kB each.
PAST_KEPT, CUSTOMERS_KEPT_MAX = 3, 5_000

_Asked = tuple[datetime, datetime | None]  # as_of and known_at


class Snapshots:
    """Finds the newest stored snapshot, or makes one for any moment; from any thread."""

    def __init__(
        self,
        catalog: Catalog,
        events: EventStore,
        state: StateStore,
        clock: Callable[[], datetime],
        rules: Rules,
        watch: Watch | None = None,
    ) -> None:
        """Begin with no past moment kept; without a watch none ever is."""
        self._catalog = catalog
        self._events = events
        self._state = state
        self._clock = clock
        self._rules = rules
        self._current = current_of(catalog, events, state)
        self._watch = watch
        # What is stored later for a moment, or for one before it, makes it another one.
        self._past: Shelf[_Asked, Snapshot | None] | None = None
        if watch is not None:
            self._past = watch.keep(lambda asked, late: late.first <= asked[0], PAST_KEPT)

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
            # Stored facts of a moment still to come are those of a clock that was wrong.
            if head.as_of is not None and head.as_of <= now and not fresh:
                return self._current.newest(head)
            at = min(head.as_of or now, now)
        if tenant_id is None and not fresh and (as_of or known_at) is not None:
            return self._at_past(at, known_at, now)
        return self.compute(at, known_at, None if tenant_id is None else [tenant_id])

    def _at_past(self, at: datetime, known_at: datetime | None, now: datetime) -> Snapshot:
        """All customers at a moment that was named: people look at one for a while."""
        if self._watch is None or self._past is None:
            return self.compute(at, known_at, None)
        made: list[Snapshot] = []

        def load() -> Snapshot | None:
            made.append(self.compute(at, known_at, None))
            return made[0] if len(made[0].customers) <= CUSTOMERS_KEPT_MAX else None

        self._watch.look()
        kept = self._past.get((at, known_at), load)
        if made:
            return made[0]
        if kept is None:
            return self.compute(at, known_at, None)
        return replace(kept, moment=replace(kept.moment, known_at=known_at or now, computed_at=now))

    def again(self, as_of: datetime, known_at: datetime, *, is_stored: bool) -> Snapshot:
        """The moment of an earlier page; computed anew when it is not kept any more."""
        if is_stored:
            kept = self._current.earlier(as_of)
            if kept is not None:
                return kept
        return self.at(as_of, known_at)

    def for_run(self, as_of: datetime) -> Snapshot:
        """All customers for a run of a job: stored facts when they are of that moment."""
        head = self._state.scores.head()
        if head.as_of == as_of:
            return self._current.newest(head)
        return self.compute(as_of, None, None)

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

        def read_newest(since: datetime | None) -> Pair:
            if tenants is not None and not tenants:
                return None, None
            return newest_of(self._events, since, at, known_at=known_at, tenants=tenants)

        moment = Moment(at, known_at or now, known_at, now, False, Newest(read_newest, None))
        money = gather_economics(
            self._events, self._catalog, at, known_at=known_at, tenants=tenants
        )
        by_uuid = {to_uuid_text(one.tenant_id): one for one in facts.values()}
        customers = {
            uuid: assess(one, at, self._rules, money.get(one.tenant_id))
            for uuid, one in by_uuid.items()
        }
        firsts = {one.tenant_id: one.first_event_at for one in by_uuid.values()}
        log = ChangeLog(self._events, self._catalog, at, known_at, firsts)
        return Snapshot(moment, customers, by_uuid, log, customers, money)
