"""The one way to read customers: as the newest run left them, or at any moment asked for.

Every door calls the methods of :class:`CustomerReader` and only shows what they return.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

from ebbtide.catalog.loader import Catalog
from ebbtide.domain.event import Event
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.tenant import Tenant
from ebbtide.domain.time import MICROSECOND
from ebbtide.metrics.compute import MetricTable, compute_metric
from ebbtide.metrics.lineage import trace_columns
from ebbtide.signals.change_log import Around
from ebbtide.signals.changes import EVERYBODY, RECORDED, Change, join, to_recorded
from ebbtide.signals.current import newest_of
from ebbtide.signals.customer import Customer
from ebbtide.signals.explain import OF_USAGE, Derivation, derive
from ebbtide.signals.facts import DAY, Facts
from ebbtide.signals.last_week import stickiness_before
from ebbtide.signals.outcomes import Summary, summarise
from ebbtide.signals.rules import read_rules
from ebbtide.signals.selection import CustomerFilter, Place, select
from ebbtide.signals.snapshot import Moment, Newest, Pair, Snapshot
from ebbtide.signals.snapshots import Snapshots
from ebbtide.signals.stickiness import Stickiness
from ebbtide.signals.subscription import CANCELLED, STARTED, Subscription, subscription_of
from ebbtide.signals.timeline import LENGTH, Count, Line, timeline
from ebbtide.signals.usage import NO_USAGE, Usage, usage_of
from ebbtide.signals.watch import Watch
from ebbtide.store.events.base import EventStore
from ebbtide.store.events.reading import EventFilter, count_events, read_events
from ebbtide.store.state.base import StateStore

_AT_RISK = CustomerFilter(is_at_risk=True)
_GONE = CustomerFilter(status="gone")
_SUBSCRIPTION_EVENTS_MAX = 1000
_CHANGES_MAX = 200  # of a customer's own, and as many of everybody's
_LOOKED_AHEAD = 50  # as many as a page shows that asks for no number


@dataclass(frozen=True, slots=True)
class Insight:
    """A customer with what changed around it."""

    customer: Customer
    around: Around


@dataclass(frozen=True, slots=True)
class CustomerPage:
    """Some customers in order; ``facts`` and ``tenants`` (directory entries) are by UUID."""

    moment: Moment
    customers: Sequence[Customer]
    facts: Mapping[str, Facts]
    tenants: Mapping[str, Tenant]
    total: int
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class AtRisk:
    """Who to call, worst first, and who has gone; both cut at the limit, the totals are not."""

    moment: Moment
    insights: Sequence[Insight]
    total: int
    gone: Sequence[Customer]
    num_gone: int
    facts: Mapping[str, Facts]
    tenants: Mapping[str, Tenant]


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything about one customer at one moment.

    ``changes`` are those that somebody recorded in the days of the timeline, newest first.
    """

    moment: Moment
    insight: Insight
    facts: Facts
    last_week: Stickiness | None
    usage: Usage
    subscription: Subscription
    timeline: Sequence[Line]
    changes: Sequence[Change]
    tenant: Tenant | None


@dataclass(frozen=True, slots=True)
class ChangedSince:
    """What is otherwise now than it was known at the moment itself.

    ``then`` is the number as it was known then; None: nothing of the customer was known.
    ``older_formulas`` are formulas under which stored results for that time were computed.
    """

    num_late_events: int
    then: Derivation | None
    older_formulas: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """One number of one customer with everything behind it; ``events`` are newest first."""

    moment: Moment
    tenant_id: str
    derivation: Derivation
    events: Sequence[Event]
    num_events: int
    lineage: Mapping[str, Mapping[str, Sequence[str]]]
    definitions: Mapping[str, str]
    since: ChangedSince | None


@dataclass(frozen=True, slots=True)
class PlaybookUse:
    """Who matches each playbook at a moment, worst first, and what came of it so far.

    ``summaries`` is None for a reader that sees one tenant only.
    """

    moment: Moment
    matching: Mapping[str, list[str]]
    summaries: Mapping[str, Summary] | None

    def summary(self, playbook_id: str) -> Summary | None:
        """What became of one playbook's suggestions, where that may be seen."""
        return None if self.summaries is None else self.summaries[playbook_id]


class CustomerReader:
    """Reads customers from the stores; may be called from any thread."""

    def __init__(
        self,
        catalog: Catalog,
        events: EventStore,
        state: StateStore,
        clock: Callable[[], datetime],
        watch: Watch | None = None,
    ) -> None:
        """Begin with nothing kept.

        Args:
            watch: tells what is stored late or erased; without it no past moment is kept.
        """
        self._catalog = catalog
        self._events = events
        self._state = state
        self.rules = read_rules(catalog)
        self._snapshots = Snapshots(catalog, events, state, clock, self.rules, watch)

    def look_ahead(self) -> None:
        """Make ready what the list of today needs, so that nobody has to wait for it.

        Raises:
            StoreUnavailable: a store cannot answer.
        """
        if self._state.scores.head().as_of is not None:
            self.at_risk(_LOOKED_AHEAD)

    def page(
        self,
        meant: CustomerFilter,
        sort: str,
        *,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> CustomerPage:
        """A page of customers.

        Args:
            sort: a word of ``selection.SORTS``.
            cursor: ``next_cursor`` of the page before; it keeps to that page's moment, and
                ``as_of`` and ``known_at`` are not looked at.

        Raises:
            BadRequest: the cursor is not one of ours.
            Unprocessable: the moment lies in the future.
        """
        place = None if cursor is None else Place.from_text(cursor)
        if place is None:
            seen = self._snapshots.at(as_of, known_at)
        else:
            seen = self._snapshots.again(place.as_of, place.known_at, is_stored=place.is_stored)
        # Where only the newest moment of each decides, all have to be asked for it.
        everybody = seen.customers if sort == "recent" else seen.standing
        ordered = select(everybody.values(), meant, sort)
        start = 0 if place is None else place.start_in(ordered)
        page = seen.now(ordered[start : start + limit])
        end = start + len(page)
        next_cursor = None
        if page and end < len(ordered):
            of, last = seen.moment, to_uuid_text(page[-1].tenant_id)
            next_cursor = Place(of.as_of, of.known_at, of.is_stored, last, end).to_text()
        tenants = self._directory(page, seen.moment)
        moment = self._moment_for(meant.tenant_id, seen)
        return CustomerPage(moment, page, seen.facts, tenants, len(ordered), next_cursor)

    def at_risk(
        self,
        limit: int,
        *,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
        tenant_id: str | None = None,
    ) -> AtRisk:
        """Who to call today.

        Args:
            limit: of customers on the list, and of those that are gone.
            tenant_id: only this one; None means all.

        Raises:
            Unprocessable: the moment lies in the future.
        """
        seen = self._snapshots.at(as_of, known_at)
        everybody = seen.standing.values()
        listed = select(everybody, replace(_AT_RISK, tenant_id=tenant_id), "risk")
        # Nobody comes or goes without being assessed, so the last call of these is known too.
        gone = select(everybody, replace(_GONE, tenant_id=tenant_id), "recent")
        to_call, to_miss = seen.now(listed[:limit]), seen.now(gone[:limit])
        return AtRisk(
            self._moment_for(tenant_id, seen),
            _insights(seen, to_call),
            len(listed),
            to_miss,
            len(gone),
            seen.facts,
            self._directory([*to_call, *to_miss], seen.moment),
        )

    def everybody(
        self, *, as_of: datetime | None = None, known_at: datetime | None = None
    ) -> Snapshot:
        """All customers at a moment; ``standing`` is enough for who is at risk.

        Raises:
            Unprocessable: the moment lies in the future.
        """
        return self._snapshots.at(as_of, known_at)

    def profile(
        self,
        tenant_id: str,
        *,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Profile:
        """Everything about one customer.

        Raises:
            NotFound: it has no event by then.
            Unprocessable: the moment lies in the future.
        """
        seen = self._snapshots.at(as_of, known_at, tenant_id)
        facts, customer = seen.find(tenant_id)
        of, name = seen.moment, facts.tenant_id
        tenant = self._directory([customer], of).get(to_uuid_text(name))
        # Two at a time: engines answer each of these questions on one core.
        with ThreadPoolExecutor(1, thread_name_prefix="ebbtide-profile") as beside:
            last_week = beside.submit(
                stickiness_before,
                facts,
                of.as_of - 7 * DAY,
                self._events,
                self._catalog,
                self.rules,
                known_at=of.asked_known_at,
            )
            lines = beside.submit(self._timeline, of, facts)
            insight = _insights(seen, [customer])[0]
            usage = self._usage(of, name)
            subscription, changes = self._subscription(of, facts), self._recorded(of, name)
            return Profile(
                self._moment_for(name, seen),
                insight,
                facts,
                last_week.result(),
                usage,
                subscription,
                lines.result(),
                changes,
                tenant,
            )

    def explain(
        self,
        tenant_id: str,
        metric: str,
        *,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
        limit: int = 20,
    ) -> Explanation:
        """Where one number of one customer comes from, always computed anew.

        Args:
            metric: a key of ``explain.EXPLAINED``.
            limit: contributing events to list.

        Raises:
            NotFound: it has no event by then.
            Unprocessable: the moment lies in the future.
        """
        seen = self._snapshots.at(as_of, known_at, tenant_id, fresh=True)
        facts, customer = seen.find(tenant_id)
        found = self._derive(metric, seen.moment, facts, customer)
        meant = EventFilter(
            facts.tenant_id,
            since=found.reads.since,
            as_of=found.reads.until,
            known_at=seen.moment.asked_known_at,
            event_types=found.reads.event_types,
        )
        metrics = [self._catalog.metrics[family] for family in found.families]
        num_events = count_events(self._events, meant)
        return Explanation(
            moment=seen.moment,
            tenant_id=facts.tenant_id,
            derivation=found,
            events=read_events(self._events, meant, limit=limit).events,
            num_events=num_events,
            lineage={one.name: trace_columns(one) for one in metrics},
            definitions={one.name: one.definition_hash for one in metrics},
            since=self._changed_since(seen.moment, found, meant, num_events),
        )

    def playbooks(
        self,
        *,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
        tenant_id: str | None = None,
    ) -> PlaybookUse:
        """How each playbook is used, and what had come of it by the moment.

        Args:
            tenant_id: only this one is looked at, and nothing is summed up; None means all.

        Raises:
            Unprocessable: the moment lies in the future.
        """
        seen = self._snapshots.at(as_of, known_at)
        ordered = select(seen.customers.values(), CustomerFilter(tenant_id), "risk")
        matching: dict[str, list[str]] = {name: [] for name in self.rules.playbooks}
        for one in ordered:
            for match in one.playbooks:
                matching[match.playbook_id].append(one.tenant_id)
        if tenant_id is not None:
            return PlaybookUse(self._moment_for(tenant_id, seen), matching, None)
        at = min((one for one in (as_of, known_at) if one is not None), default=None)
        rows = self._state.interventions.of_playbooks(at)
        summaries = {
            name: summarise(name, [row for row in rows if row.suggestion.playbook_id == name])
            for name in self.rules.playbooks
        }
        return PlaybookUse(seen.moment, matching, summaries)

    def _moment_for(self, tenant_id: str | None, seen: Snapshot) -> Moment:
        """The moment with the freshness of what was asked about, and of nobody else."""
        if tenant_id is None:
            return seen.moment
        of, facts = seen.moment, seen.facts.get(to_uuid_text(tenant_id))

        def read_newest(since: datetime | None) -> Pair:
            if facts is None:
                return None, None
            return newest_of(
                self._events,
                since,
                of.as_of,
                known_at=of.asked_known_at,
                tenants=[facts.tenant_id],
            )

        return replace(of, newest=Newest(read_newest, None))

    def _changed_since(
        self, of: Moment, found: Derivation, meant: EventFilter, num_events: int
    ) -> ChangedSince | None:
        """Compare with what was known at the moment itself; None when just that was asked."""
        at = of.as_of
        if of.asked_known_at is not None and of.asked_known_at <= at:
            return None
        assert meant.tenant_id is not None
        num_late = num_events - count_events(self._events, replace(meant, known_at=at))
        then: Derivation | None = found
        if num_late:
            known = self._snapshots.compute(at, at, [meant.tenant_id])
            uuid = to_uuid_text(meant.tenant_id)
            then = None
            if uuid in known.customers:
                facts, customer = known.find(meant.tenant_id)
                then = self._derive(found.metric, known.moment, facts, customer)
        stem = found.formula.partition("/")[0]
        used = self._state.scores.formulas(to_uuid_text(meant.tenant_id), at)
        older = [one for one in used if one.partition("/")[0] == stem and one != found.formula]
        return ChangedSince(num_late, then, tuple(older))

    def _derive(self, metric: str, of: Moment, facts: Facts, customer: Customer) -> Derivation:
        usage = self._usage(of, facts.tenant_id) if metric in OF_USAGE else NO_USAGE
        return derive(metric, facts, customer, self.rules, usage)

    # -- parts of a profile --------------------------------------------------------------------

    def _compute(self, metric: str, of: Moment, tenant_id: str) -> MetricTable:
        return compute_metric(
            self._catalog.metrics[metric],
            of.as_of,
            self._events,
            known_at=of.asked_known_at,
            tenants=[tenant_id],
        )

    def _usage(self, of: Moment, tenant_id: str) -> Usage:
        return usage_of(self._compute("active_days", of, tenant_id))

    def _timeline(self, of: Moment, facts: Facts) -> Sequence[Line]:
        table = self._compute("daily_timeline", of, facts.tenant_id)
        columns = (table.column(name) for name in ("event_type", "last_at", "num"))
        counts = [Count(*one) for one in zip(*columns, strict=True)]
        return timeline(counts, facts, of.as_of)

    def _recorded(self, of: Moment, tenant_id: str) -> Sequence[Change]:
        """Its own changes and everybody's."""
        events = [
            event
            for whose in dict.fromkeys((tenant_id, EVERYBODY))
            for event in read_events(
                self._events,
                EventFilter(
                    whose,
                    since=of.as_of - LENGTH,
                    as_of=of.as_of,
                    known_at=of.asked_known_at,
                    event_type=RECORDED,
                ),
                limit=_CHANGES_MAX,
            ).events
        ]
        return join(to_recorded(events))

    def _subscription(self, of: Moment, facts: Facts) -> Subscription:
        tenant_id, events = facts.tenant_id, []
        spans = [facts.spans[one] for one in (STARTED, CANCELLED) if one in facts.spans]
        if spans:  # mostly one moment: nothing else of a long history has to be looked at
            meant = EventFilter(
                tenant_id,
                since=min(span.first_at for span in spans) - MICROSECOND,
                as_of=max(span.last_at for span in spans),
                known_at=of.asked_known_at,
                event_types=(STARTED, CANCELLED),
            )
            events = read_events(self._events, meant, limit=_SUBSCRIPTION_EVENTS_MAX).events
        # What people enter holds from then on, so a price of later says nothing about the moment.
        uuid = to_uuid_text(tenant_id)
        entered = self._state.tenants.find([uuid], min(of.as_of, of.known_at))
        return subscription_of(events, entered.get(uuid), of.as_of)

    def _directory(self, customers: Iterable[Customer], of: Moment) -> dict[str, Tenant]:
        uuids = {to_uuid_text(one.tenant_id) for one in customers}
        return self._state.tenants.find(uuids, of.asked_known_at)


def _insights(seen: Snapshot, customers: Sequence[Customer]) -> list[Insight]:
    around = seen.log.around([one.tenant_id for one in customers])
    return [Insight(one, around[one.tenant_id]) for one in customers]
