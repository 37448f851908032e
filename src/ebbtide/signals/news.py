"""What was stored since the last run, read as far as scores need it, and merged into facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from ebbtide.catalog.loader import Catalog
from ebbtide.metrics.compute import compute_metric
from ebbtide.signals.facts import DAY, INVESTIGATION_TYPES, Facts, Span
from ebbtide.signals.gather import (
    FIRST_TYPES,
    Spans,
    firsts_from,
    is_activity,
    signed_up_at,
    spans_of,
    tenths_of,
)
from ebbtide.signals.recent import LENGTH, NOTHING, Counts, Recent, read_recent
from ebbtide.store.events.base import Change, EventStore

#: The week of a midnight further back than this reaches out of what is in memory.
PEAKS_KNOWN = 22 * DAY
_TICK = timedelta(microseconds=1)
_NOTHING: frozenset[str] = frozenset()


@dataclass(slots=True)
class Merged:
    """A tenant's facts at the later moment.

    ``moved``: types of which there is a newer event. ``is_same``: nothing else is different.
    """

    facts: Facts
    recent: Recent
    moved: frozenset[str]
    is_same: bool


class News:
    """What happened between the moments of two runs, and what was stored since the first.

    Attributes:
        by_tenant: changes as the event store reports them.
        ahead: tenants with events after the later moment, and up to when.
    """

    def __init__(
        self, store: EventStore, catalog: Catalog, since: datetime, as_of: datetime
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._since = since
        self._as_of = as_of
        self._newest_midnight = as_of.replace(hour=0, minute=0, second=0, microsecond=0)
        self._tenths = tenths_of(catalog)
        metrics = catalog.metrics
        self._counted = frozenset(metrics["signal_instants"].inputs or ()) | frozenset(
            metrics["friction_events"].inputs or ()
        )
        self.by_tenant: dict[str, list[Change]] = {}
        self.ahead: dict[str, datetime] = {}
        self._spans: Spans = {}
        self._recents: dict[str, Recent] = {}
        self._recents_since = as_of
        self._read: frozenset[str] = frozenset()

    def read(
        self, changes: Iterable[Change], unsettled: Mapping[str, datetime], is_known: Set[str]
    ) -> None:
        """Ask the event store for what the changes alone do not say.

        Args:
            changes: since the last run, all of them.
            unsettled: tenants that had events after the last run's moment, and up to when.
            is_known: tenants with facts; the others are read in full, so nothing is asked here.
        """
        as_of, since = self._as_of, self._since
        spans_from = recents_from = as_of
        spans_again, recents_again = set(), set()
        for tenant, until in unsettled.items():
            if until > as_of:
                self.ahead[tenant] = until
            if tenant in is_known:
                spans_again.add(tenant)
                recents_again.add(tenant)
                spans_from = recents_from = since
        for one in changes:
            tenant = one.tenant_id
            if not is_activity(tenant, one.event_type):
                continue
            self.by_tenant.setdefault(tenant, []).append(one)
            if one.last_at > as_of:
                self.ahead[tenant] = max(one.last_at, self.ahead.get(tenant, one.last_at))
            if tenant not in is_known or one.first_at > as_of:
                continue
            if one.last_at > as_of:
                spans_again.add(tenant)
                spans_from = min(spans_from, one.first_at - _TICK)
            if one.event_type in self._counted:
                recents_again.add(tenant)
                recents_from = min(recents_from, one.first_at - _TICK)
        if spans_again:
            metric = self._catalog.metrics["activity_spans"]
            table = compute_metric(
                metric, as_of, self._store, tenants=spans_again, since=spans_from
            )
            self._spans = spans_of(table.rows)
        if recents_again:
            self._recents_since = max(recents_from, as_of - LENGTH)
            self._recents = read_recent(
                self._store, self._catalog, self._recents_since, as_of, recents_again
            )
        self._read = frozenset(recents_again)

    def concerns(self, tenant: str, facts: Facts) -> bool:
        """Whether anything of a tenant's facts may be different now."""
        return (
            tenant in self.by_tenant
            or tenant in self._read
            or (facts.expires_at is not None and facts.expires_at <= self._as_of)
            or self._newest_midnight > self._since
        )

    def merge(self, tenant: str, facts: Facts, recent: Recent) -> Merged | None:
        """Bring one tenant's facts to the later moment.

        Returns:
            None when they have to be read in full: what they need is in no memory.
        """
        as_of = self._as_of
        rows = [row[1:] for row in self.by_tenant.get(tenant, ()) if row.last_at <= as_of]
        if tenant in self._spans:
            rows += [(name, *span) for name, span in self._spans[tenant].items()]
        spans, begun, moved = _merged_spans(facts.spans, rows)
        firsts = self._firsts(facts, spans, rows, is_start_sure=not begun)
        if firsts is None:
            return None
        is_read = tenant in self._read
        if is_read:
            recent = recent.followed_by(
                self._recents.get(tenant, NOTHING), self._recents_since, as_of
            )
        counts: Counts | Facts = facts
        if is_read or (facts.expires_at is not None and facts.expires_at <= as_of):
            counts = recent.counts(as_of)
        peak = facts.peak_tenths
        start = self._peaks_start(tenant)
        if start <= self._newest_midnight:
            if start < as_of - PEAKS_KNOWN:
                return None
            peak = max(peak, recent.peak_tenths(start, as_of, self._tenths))
        made = Facts(
            facts.tenant_id,
            spans,
            firsts,
            counts.actions_3d,
            counts.actions_7d,
            counts.actions_30d,
            peak,
            counts.friction_14d,
            counts.friction_events_7d,
            counts.expires_at,
        )
        is_same = (
            not begun and firsts is facts.firsts and counts is facts and peak == facts.peak_tenths
        )
        return Merged(made, recent, moved, is_same)

    def _firsts(
        self,
        facts: Facts,
        spans: Mapping[str, Span],
        rows: Iterable[tuple[str, datetime, datetime]],
        *,
        is_start_sure: bool,
    ) -> Mapping[str, datetime] | None:
        """First events at or after sign-up; None when only the events can tell."""
        start = facts.signed_up_at
        if not is_start_sure and signed_up_at(spans) != start:
            firsts, is_open = firsts_from(spans)
            return None if is_open else firsts
        found: Mapping[str, datetime] = facts.firsts
        for event_type, first_at, last_at in rows:
            if event_type not in FIRST_TYPES or last_at < start:
                continue
            known = found.get(event_type)
            if first_at < start:
                if known is None or known > start:
                    return None  # somewhere in between may be an earlier one than the known
            elif known is None or first_at < known:
                found = {**found, event_type: first_at}
        return found

    def _peaks_start(self, tenant: str) -> datetime:
        """The first moment whose midnights may have a higher week than was known."""
        start = self._since + _TICK
        for one in self.by_tenant.get(tenant, ()):
            if one.event_type in INVESTIGATION_TYPES and one.first_at < start:
                start = one.first_at
        return start


def _merged_spans(
    spans: Mapping[str, Span], rows: Iterable[tuple[str, datetime, datetime]]
) -> tuple[Mapping[str, Span], bool, frozenset[str]]:
    """Spans with more events in them.

    Returns:
        The same mapping when nothing is different; whether a type began earlier or was seen for
        the first time; the types of which there is a newer event.
    """
    made: dict[str, Span] = {}
    begun = False
    for event_type, first_at, last_at in rows:
        old = made.get(event_type) or spans.get(event_type)
        if old is None:
            made[event_type] = Span(first_at, last_at)
            begun = True
            continue
        old_first, old_last = old
        if first_at < old_first:
            made[event_type] = Span(first_at, max(old_last, last_at))
            begun = True
        elif last_at > old_last:
            made[event_type] = Span(old_first, last_at)
    if not made:
        return spans, False, _NOTHING
    return {**spans, **made}, begun, frozenset(made)
