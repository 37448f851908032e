"""``evaluate-playbooks``: what is suggested to whom, and what came of the earlier suggestions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog

from ebbtide.catalog.condition import MEASURES
from ebbtide.catalog.playbook import Success
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.intervention import Intervention, State, Suggestion
from ebbtide.domain.time import HOUR, format_instant
from ebbtide.jobs.job import Job, JobOutcome, RunContext, Stores
from ebbtide.signals.current import current_of
from ebbtide.signals.customer import Customer
from ebbtide.signals.exact import compare
from ebbtide.signals.facts import DAY
from ebbtide.signals.measures import Measured
from ebbtide.signals.outcomes import Key, close, happened, has_fallen, plan, settle
from ebbtide.signals.rules import Rules, read_rules
from ebbtide.signals.snapshot import Snapshot
from ebbtide.signals.snapshots import Snapshots
from ebbtide.signals.suggestions import KnownRules, suggestions_of
from ebbtide.store.events.base import EventStore
from ebbtide.store.events.reading import EventFilter, count_events
from ebbtide.store.state.database import Transaction

log = structlog.get_logger(__name__)

#: After a longer pause the days that nobody looked at are looked at too.
LOOKED_EVERY = HOUR


def make_job(stores: Stores) -> Job:
    """The body of this job."""
    return EvaluatePlaybooks(stores)


class EvaluatePlaybooks:
    """Suggests anew, ends what no longer holds, and closes windows."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._rules = read_rules(stores.catalog)
        # Held from run to run; without a holder what is in memory would be read anew each time.
        self._current = current_of(stores.catalog, stores.events, stores.state)
        self._known_rules = KnownRules()

    def run(self, context: RunContext) -> JobOutcome:
        """Evaluate at one moment.

        A moment before the newest evaluation changes nothing: suggestions are about now.
        """
        stores, at = self._stores, context.as_of
        shelf = stores.state.interventions
        looked_at = shelf.evaluated_at()
        now = stores.state.runs.get(context.run_id).started_at
        # What a clock that ran ahead has evaluated is of a moment still to come: it is taken back.
        is_ahead = looked_at is not None and looked_at > now
        if looked_at is not None and at < looked_at and not is_ahead:
            return JobOutcome({"num_suggested": 0}, message="A newer moment was evaluated already")
        message = None
        if is_ahead:
            assert looked_at is not None
            message = f"Playbooks evaluated anew: a clock ran ahead, to {format_instant(looked_at)}"
            log.error("playbooks.clock_ran_ahead", evaluated_at=looked_at, now=now, run_at=at)
            looked_at = None
        snapshots = Snapshots(stores.catalog, stores.events, stores.state, lambda: at, self._rules)
        seen = snapshots.for_run(at)
        context.check()
        # Rules first: only what is suggested anew has to be put into words.
        suggested = [
            (uuid, rule)
            for uuid, one in seen.standing.items()
            if _is_of_concern(one)
            for rule in self._known_rules.of(uuid, one, seen.money.get(one.tenant_id))
        ]
        self._known_rules.keep(seen.standing)
        rows = shelf.lasting()
        taken_back = [row.end(at) for row in rows if _is_premature(row, now)]
        rows = [row for row in rows if not _is_premature(row, now)]
        planned = plan(suggested, [row for row in rows if row.ended_at is None], at)
        new = self._in_words(seen, planned.new)
        changed = {row.id: row for row in (*taken_back, *planned.changed)}
        gauge = _Gauge(stores.events, snapshots, self._rules, seen, looked_at)
        num_closed = 0
        for row in rows:
            if not row.open_windows:
                continue
            context.check()
            before = changed.get(row.id, row)
            after = gauge.measure(before)
            if after != before:
                num_closed += 1
                changed[row.id] = after

        def write(transaction: Transaction) -> None:
            shelf.record(transaction, new, changed.values(), at, now)

        return JobOutcome(
            {
                "num_tenants": len(seen.customers),
                "num_suggested": len(new),
                "num_ended": len(planned.changed),
                "num_outcomes": num_closed,
            },
            write=write,
            message=message,
        )

    def _in_words(self, seen: Snapshot, keys: Iterable[Key]) -> list[tuple[Suggestion, datetime]]:
        by_tenant: dict[str, dict[str, Suggestion]] = {}
        for uuid in dict.fromkeys(uuid for uuid, _ in keys):
            suggestions = suggestions_of(seen.customers[uuid], self._rules.playbooks)
            by_tenant[uuid] = {one.rule: one for one in suggestions}
        return [(by_tenant[uuid][rule], seen.moment.as_of) for uuid, rule in keys]


@dataclass(frozen=True, slots=True)
class _Gauge:
    """Measures the open windows of suggestions at one moment, each by its own playbook."""

    events: EventStore
    snapshots: Snapshots
    rules: Rules
    seen: Snapshot
    looked_at: datetime | None  # the evaluation before this one

    def measure(self, row: Intervention) -> Intervention:
        """A row with those of its windows closed that are settled by now."""
        playbook = self.rules.playbooks.get(row.suggestion.playbook_id or "")
        window = row.window
        if playbook is None or window is None:
            return row  # a playbook that has left the catalog is not measured any more
        for name, start in row.open_windows:
            end = start + window
            until = min(self.seen.moment.as_of, end)
            if until > start:
                reached = self._is_reached(row.tenant_id, playbook.success, start, until, end)
                settled = settle(start, window, until, reached)
                if settled is not None:
                    row = close(row, name, settled)
        return row

    def _is_reached(
        self, tenant_id: str, success: Success, start: datetime, until: datetime, end: datetime
    ) -> bool:
        if success.kind == "fall":
            assert success.fall_percent is not None
            if until < end:
                return False  # counts are compared when both lengths of time are over
            num = self._count(tenant_id, success, start, end)
            num_before = self._count(tenant_id, success, start - (end - start), start)
            return has_fallen(num, num_before, success.fall_percent)
        uuid = to_uuid_text(tenant_id)
        if success.kind == "event":
            found = self._there(tenant_id, until).facts.get(uuid)
            return found is not None and happened(found.last_at(*success.event_types), start)
        moments = _moments(start, until, self.looked_at)
        return any(self._holds(success, tenant_id, uuid, moment) for moment in moments)

    def _count(self, tenant_id: str, success: Success, since: datetime, until: datetime) -> int:
        meant = EventFilter(tenant_id, since=since, as_of=until, event_types=success.event_types)
        return count_events(self.events, meant)

    def _there(self, tenant_id: str, moment: datetime) -> Snapshot:
        """The customer at a moment; it is not in there when it had no event by then."""
        if moment == self.seen.moment.as_of:
            return self.seen
        return self.snapshots.compute(moment, None, [tenant_id])

    def _holds(self, success: Success, tenant_id: str, uuid: str, moment: datetime) -> bool:
        assert success.metric is not None and success.comparison is not None
        assert success.than is not None
        there = self._there(tenant_id, moment)
        # Ages alone grow between two assessments.
        is_age = MEASURES[success.metric][0] == "age"
        one = (there.customers if is_age else there.standing).get(uuid)
        if one is None:
            return False
        measured = Measured(
            there.facts[uuid], moment, self.rules, one.stickiness, one.friction, one.silence, None
        )
        value = measured.value(success.metric)
        if value is None or isinstance(value, str):
            return False
        return compare(value, success.comparison, success.than)


def _is_premature(row: Intervention, now: datetime) -> bool:
    """Whether a clock that ran ahead suggested it, and nobody has answered."""
    return row.suggested_at > now and row.state is State.SUGGESTED


def _is_of_concern(customer: Customer) -> bool:
    """Whether anything may be suggested for it; what decides this jumps, and is never stale."""
    return customer.risk.is_on_list or bool(customer.playbooks)


def _moments(start: datetime, until: datetime, looked_at: datetime | None) -> list[datetime]:
    """When to look: now, and at the full days of the window that a long pause has missed."""
    since = start if looked_at is None else max(start, looked_at)
    missed = []
    if until - since > LOOKED_EVERY:
        days = range(1, (until - start) // DAY + 1)
        missed = [start + n * DAY for n in days if since < start + n * DAY < until]
    return [*missed, until]
