"""Brings facts and scores forward from one run to the next, at a cost that follows what changed.

What a full reading would find is found here by merging what is new into what is known: which
tenants had what stored since the last run, and the few events that scores count one by one.
Windows that move on lose events from memory alone. Whoever cannot be merged (a tenant seen first,
a sign-up that moved, a past that reaches behind memory) is read in full, alone. A stateful test
holds that both ways give the same rows, to the last digit.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import chain
from weakref import WeakValueDictionary

import msgspec

from ebbtide.catalog.loader import Catalog
from ebbtide.domain.ids import to_uuid_text
from ebbtide.signals.customer import Customer, assess, next_change_at
from ebbtide.signals.facts import DAY, Facts
from ebbtide.signals.gather import NO_ACTIVITY, PLATFORM, Reading, gather, is_activity, spans_of
from ebbtide.signals.news import Merged, News
from ebbtide.signals.recent import LENGTH, NOTHING, Recent, read_recent
from ebbtide.signals.results import NOTHING_KEPT, Newest, formulas_of, new_rows, to_segment
from ebbtide.signals.rules import Rules, read_rules
from ebbtide.signals.silent_churn import API_CALL
from ebbtide.store.events.base import Change, EventStore
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.database import Transaction
from ebbtide.store.state.scores import Advance, FactsHead, ScoreRow, StoredFacts

#: After a longer pause everything is read anew: midnights further back are in no memory.
PAUSE_MAX = 7 * DAY
#: So many runs may follow one another before somebody who reads has to look at everything anew.
NEWS_KEPT = 16
#: What absurd data of one tenant may raise while it is worked on; the others go on.
TENANT_FAULTS = (ArithmeticError, ValueError)

_encoder = msgspec.json.Encoder(order="deterministic")
_newest_decoder = msgspec.json.Decoder(dict[str, datetime])
_NOTHING_NEWER = "{}"
_decoder: msgspec.json.Decoder[Facts | None] = msgspec.json.Decoder(Facts | None)


def load_facts(state: StateStore) -> tuple[FactsHead, dict[str, Facts]]:
    """The stored facts by tenant id, and how far they have come.

    Returns:
        Tenants that have had no event by then, or that could not be assessed, are left out.
    """
    head, rows = state.scores.facts()
    return head, {row.tenant_id: facts for row in rows if (facts := _facts_of(row)) is not None}


def _facts_of(row: StoredFacts) -> Facts | None:
    facts = _decoder.decode(row.facts)
    if facts is None or row.newest == _NOTHING_NEWER:
        return facts
    spans = dict(facts.spans)
    for event_type, last_at in _newest_decoder.decode(row.newest).items():
        spans[event_type] = spans[event_type]._replace(last_at=last_at)
    return replace(facts, spans=spans)


@dataclass(slots=True)
class _Tenant:
    """What is remembered of one tenant; never changed once it is made.

    ``facts`` is None while all of its events lie ahead, or while it cannot be assessed.
    ``unsettled_until``: it has events after the moment of the facts, up to this one.
    ``customer`` is as it was last assessed: what jumps is right, ages are of that moment; None
    when it was not assessed since memory was filled.
    """

    tenant_id: str
    uuid: str
    facts: Facts | None
    recent: Recent = NOTHING
    due_at: datetime | None = None
    unsettled_until: datetime | None = None
    newest: Newest = NOTHING_KEPT
    is_silent: bool = False
    newer: frozenset[str] = frozenset()  # types that have moved since the facts were written
    customer: Customer | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """What the newest run of this process left in memory, for whoever reads customers.

    ``generation`` grows whenever memory is filled anew: after an erasure, a run of another
    process, a long pause. ``news`` is what was stored before each of the newest runs of this
    generation, which are numbered one after another.
    """

    head: FactsHead
    generation: int
    number: int
    news: Sequence[tuple[int, Sequence[Change]]]
    facts: Mapping[str, Facts]  # by tenant id
    uuids: Mapping[str, str]  # the UUIDs of the same tenants
    customers: Mapping[str, Customer]  # as last assessed; without those not assessed since

    def news_since(self, number: int) -> list[Change] | None:
        """What was stored since an earlier run of this generation; None: not known any more."""
        newer = [changes for at, changes in self.news if at > number]
        return list(chain.from_iterable(newer)) if len(newer) == self.number - number else None


@dataclass(slots=True)
class Step:
    """What one run found, not written yet.

    ``advance`` is None for a moment before the stored facts: only ``scores`` come of it.
    ``is_past`` asks for that whatever the moment. ``failed``: tenant id -> reason.
    """

    as_of: datetime
    base: FactsHead
    run_id: int | None
    computed_at: datetime
    num_tenants: int = 0
    num_assessed: int = 0
    num_silent: int = 0
    num_at_risk: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    scores: list[ScoreRow] = field(default_factory=list)
    advance: Advance | None = None
    is_past: bool = False
    tenants: dict[str, _Tenant] = field(default_factory=dict)
    changes: Sequence[Change] = ()  # since the run before; empty where everything is read anew

    @property
    def rows(self) -> list[ScoreRow]:
        """The score rows to be written."""
        return self.scores if self.advance is None else self.advance.scores

    def write_with(self, refresher: Refresher) -> Callable[[Transaction], None]:
        """What writes it inside a transaction; it may be called again when that failed."""
        return lambda connection: refresher.write(self, connection)


class Refresher:
    """The facts of all tenants in memory, brought forward by one run after another.

    Any thread may call it; calls wait for one another.
    """

    def __init__(self, catalog: Catalog, events: EventStore, state: StateStore) -> None:
        self._catalog = catalog
        self._events = events
        self._state = state
        self._rules = read_rules(catalog)
        self._definitions = _definitions(catalog, self._rules)
        self._formulas = formulas_of(self._rules)
        self._loud_types = _loud_types(catalog, self._rules)
        self._lock = threading.RLock()
        self._head = FactsHead()
        self._tenants: dict[str, _Tenant] = {}
        self._generation = 0
        self._num_written = 0
        self._news: deque[tuple[int, Sequence[Change]]] = deque(maxlen=NEWS_KEPT)
        self._left: Left | None = None

    @property
    def left(self) -> Left | None:
        """What the newest run left; None when that is not in memory. It waits for nobody."""
        return self._left

    def prepare(
        self,
        as_of: datetime,
        *,
        run_id: int | None,
        computed_at: datetime,
        check: Callable[[], None] = lambda: None,
    ) -> Step:
        """Work out what a run for this moment has to write.

        Args:
            as_of: UTC-aware.
            run_id: the run that will write it.
            computed_at: the moment of the run itself.
            check: called between pieces of work; what it raises ends the work.

        Raises:
            StoreUnavailable: a store cannot answer.
        """
        step = Step(as_of, FactsHead(), run_id, computed_at)
        with self._lock:
            self._fill(step, check, None)
        return step

    def prepare_past(self, as_of: datetime, *, computed_at: datetime) -> Step:
        """The score rows of one moment and nothing else, whether it lies before the stored facts
        or not; arguments as above.
        """
        step = Step(as_of, FactsHead(), None, computed_at, is_past=True)
        with self._lock:
            self._fill(step, lambda: None, None)
        return step

    def write(self, step: Step, connection: Transaction) -> None:
        """Write a step; when others have moved the facts on meanwhile, after doing it anew."""
        with self._lock:
            scores = self._state.scores
            if scores.take_turn(connection) != step.base:
                anew = Step(
                    step.as_of, FactsHead(), step.run_id, step.computed_at, is_past=step.is_past
                )
                self._fill(anew, lambda: None, connection)
                step = anew
            if step.advance is None:
                scores.add(connection, step.scores)
                return
            # Should the transaction fail after all, the stored head will differ from this one,
            # and the facts are read back.
            self._head = scores.advance(connection, step.advance)
            if step.advance.is_full:
                self._begin_generation()
                self._tenants = step.tenants
            else:
                self._tenants.update(step.tenants)
            self._num_written += 1
            self._news.append((self._num_written, step.changes))
            self._left = self._leave()

    def began_silence(self, step: Step, since: datetime | None) -> list[str]:
        """UUIDs of tenants that became silent after a moment and still are at the step's.

        Args:
            since: None: at any time.
        """
        formula = self._rules.signals.silent_churn.formula
        stored = self._state.scores.between(formula, since, step.as_of)
        found = {
            row.tenant_uuid: msgspec.json.decode(row.result)["is_silent_churn"]
            for row in [*stored, *(row for row in step.rows if row.formula == formula)]
        }
        return sorted(uuid for uuid, is_silent in found.items() if is_silent)

    def _fill(self, step: Step, check: Callable[[], None], connection: Transaction | None) -> None:
        head = step.base = self._state.scores.head(connection)
        # A clock that ran ahead left facts of a moment still to come; they hold nobody up.
        is_ahead = head.as_of is not None and head.as_of > step.computed_at
        is_before = head.as_of is not None and step.as_of < head.as_of
        if head.as_of is None and step.as_of < step.computed_at - PAUSE_MAX:
            step.is_past = True  # asked for by hand; what is current is not begun so far back
        if step.is_past or (is_before and not is_ahead):
            self._fill_past(step, check, connection)
            return
        if (
            is_ahead
            or head.as_of is None
            or head.definitions != self._definitions
            or step.as_of - head.as_of > PAUSE_MAX
        ):
            self._fill_full(step, check, connection)
            return
        if self._state.scores.has_between(self._formulas, head.as_of, step.as_of, connection):
            # A backfill went beyond the head: which rows are the newest has to be looked up.
            self._fill_full(step, check, connection)
            return
        if head != self._head:
            self._read_back(connection)
            step.base = self._head
        self._fill_forward(step, check, connection)

    # -- three ways ----------------------------------------------------------------------------

    def _fill_past(
        self, step: Step, check: Callable[[], None], connection: Transaction | None
    ) -> None:
        """A moment before the stored facts: score rows of that moment, nothing current."""
        facts = gather(self._events, self._catalog, step.as_of)
        check()
        step.num_tenants = step.num_assessed = len(facts)
        head = step.base
        keys = self._state.scores.newest_keys(step.as_of, connection)
        for tenant_id in sorted(facts):
            uuid = to_uuid_text(tenant_id)
            try:
                customer = assess(facts[tenant_id], step.as_of, self._rules)
                rows, _ = new_rows(
                    customer,
                    facts[tenant_id],
                    self._rules,
                    Newest(keys.get(uuid, {})),
                    uuid=uuid,
                    computed_at=step.computed_at,
                )
                step.scores += rows
                if head.as_of is not None and step.as_of < head.as_of:
                    step.scores += self._standing_rows(rows, head.as_of, step.computed_at)
                step.num_silent += customer.silence.is_silent_churn
                step.num_at_risk += customer.risk.is_on_list
            except TENANT_FAULTS as error:
                step.failed[tenant_id] = _reason(error)

    def _standing_rows(
        self, rows: Iterable[ScoreRow], at: datetime, computed_at: datetime
    ) -> Iterator[ScoreRow]:
        """What holds at the head's moment, said again where new rows of the past would hide it.

        A row stands until the next one. Where none came between a moment of the past and the
        head's, the row before both still says what is current.
        """
        for row in rows:
            newest = self._state.scores.history(row.tenant_uuid, row.formula, until=at, limit=1)
            if newest and newest[0].as_of <= row.as_of:
                yield replace(newest[0], as_of=at, computed_at=computed_at)

    def _fill_full(
        self, step: Step, check: Callable[[], None], connection: Transaction | None
    ) -> None:
        """Everything anew: the first run, other definitions, a long pause, another store."""
        as_of = step.as_of
        # First of all, so that what is stored while we read is reported the next time.
        stored, since = self._events.changes(0)
        changes = [one for one in stored if is_activity(one.tenant_id, one.event_type)]
        check()
        recents = read_recent(self._events, self._catalog, as_of - LENGTH, as_of)
        check()
        ahead: dict[str, datetime] = {}
        for one in changes:
            if one.last_at > as_of:
                ahead[one.tenant_id] = max(one.last_at, ahead.get(one.tenant_id, one.last_at))
        facts = self._whole(as_of, changes, ahead, recents)
        check()
        keys = self._state.scores.newest_keys(as_of, connection)
        step.advance = self._advance(step, since, is_full=True)
        for tenant_id in sorted(facts.keys() | ahead.keys()):
            uuid = to_uuid_text(tenant_id)
            recent = recents.get(tenant_id, NOTHING)
            theirs, until = facts.get(tenant_id), ahead.get(tenant_id)
            newest = Newest(keys.get(uuid, {}))
            self._assess(step, _Tenant(tenant_id, uuid, theirs, recent, None, until, newest))
        step.num_tenants = len(facts)
        step.num_silent = sum(one.is_silent for one in step.tenants.values())

    def _whole(
        self,
        as_of: datetime,
        changes: Sequence[Change],
        ahead: Collection[str],
        recents: Mapping[str, Recent],
    ) -> dict[str, Facts]:
        """The facts of all tenants from what was read of them already, and from what was not.

        Args:
            changes: all there are, so they are spans; but not of tenants with events ahead.
        """
        reading = Reading(self._events, self._catalog, as_of)
        spans = spans_of([one for one in changes if one.tenant_id not in ahead])
        if ahead:
            spans |= Reading(self._events, self._catalog, as_of, tenants=ahead).spans()
        firsts, peaks = reading.firsts(spans), reading.peaks()
        whole = {}
        for tenant_id, theirs in spans.items():
            counts = recents.get(tenant_id, NOTHING).counts(as_of)
            whole[tenant_id] = Facts(
                tenant_id,
                theirs,
                firsts[tenant_id],
                counts.actions_3d,
                counts.actions_7d,
                counts.actions_30d,
                peaks.get(tenant_id, 0),
                counts.friction_14d,
                counts.friction_events_7d,
                counts.expires_at,
            )
        return whole

    def _read_back(self, connection: Transaction | None) -> None:
        """Fill memory from the stored facts, as another process or an earlier one left them."""
        head, rows = self._state.scores.facts(connection)
        assert head.as_of is not None
        silent = self._state.scores.silent(connection)
        recents = read_recent(self._events, self._catalog, head.as_of - LENGTH, head.as_of)
        self._tenants = {
            row.tenant_id: _Tenant(
                row.tenant_id,
                row.tenant_uuid,
                _facts_of(row),
                recents.get(row.tenant_id, NOTHING),
                row.due_at,
                row.unsettled_until,
                Newest(row.keys),
                row.tenant_uuid in silent,
                frozenset(_newest_decoder.decode(row.newest)),
            )
            for row in rows
        }
        self._head = head
        self._begin_generation()
        self._left = self._leave()

    def _fill_forward(
        self, step: Step, check: Callable[[], None], connection: Transaction | None
    ) -> None:
        """From the moment of the stored facts to a later one, or once more to the same one."""
        head, as_of = self._head, step.as_of
        assert head.as_of is not None and head.changes_since is not None
        changes, since = self._events.changes(head.changes_since)
        step.changes = changes
        check()
        if since < head.changes_since:
            # Another store than before, or an older copy of it: what is gone is not reported.
            self._fill_full(step, check, connection)
            return
        known = {name: one.facts for name, one in self._tenants.items()}
        news = News(self._events, self._catalog, head.as_of, as_of)
        news.read(
            changes,
            {
                name: one.unsettled_until
                for name, one in self._tenants.items()
                if one.unsettled_until is not None
            },
            {name for name, facts in known.items() if facts is not None},
        )
        check()
        step.advance = self._advance(step, since, is_full=False)
        unread = {name for name in news.by_tenant if known.get(name) is None}
        unread |= {name for name, facts in known.items() if facts is None}
        for tenant in self._tenants.values():
            facts = tenant.facts
            if facts is None:
                continue
            is_due = tenant.due_at is not None and tenant.due_at <= as_of
            if not is_due and not news.concerns(tenant.tenant_id, facts):
                continue
            try:
                merged = news.merge(tenant.tenant_id, facts, tenant.recent)
            except TENANT_FAULTS as error:
                self._fail(step, tenant, error)
                continue
            if merged is None:
                unread.add(tenant.tenant_id)
                continue
            self._settle(step, news, tenant, merged, is_due=is_due)
        check()
        if unread:
            self._read_anew(step, news, unread)
        after = {**self._tenants, **step.tenants}.values()
        step.num_tenants = sum(one.facts is not None for one in after)
        step.num_silent = sum(one.is_silent for one in after)

    def _begin_generation(self) -> None:
        self._generation += 1
        self._news.clear()

    def _leave(self) -> Left:
        facts, uuids, customers = {}, {}, {}
        for name, one in self._tenants.items():
            if one.facts is not None:
                facts[name], uuids[name] = one.facts, one.uuid
                if one.customer is not None:
                    customers[name] = one.customer
        return Left(
            self._head,
            self._generation,
            self._num_written,
            tuple(self._news),
            facts,
            uuids,
            customers,
        )

    # -- one tenant ----------------------------------------------------------------------------

    def _settle(
        self, step: Step, news: News, tenant: _Tenant, merged: Merged, *, is_due: bool
    ) -> None:
        """Keep merged facts, and assess them where something may be different."""
        old = tenant.facts
        assert old is not None
        until = news.ahead.get(tenant.tenant_id)
        is_quiet = merged.is_same and self._is_quiet(old, merged.moved, step.as_of)
        after = _Tenant(
            tenant.tenant_id,
            tenant.uuid,
            merged.facts,
            merged.recent,
            tenant.due_at,
            until,
            tenant.newest,
            tenant.is_silent,
            tenant.newer | merged.moved,
            tenant.customer,
        )
        if is_due or not is_quiet or until != tenant.unsettled_until:
            self._assess(step, after)
        elif merged.moved:
            step.tenants[tenant.tenant_id] = after
            assert step.advance is not None
            step.advance.calls.append(_calls(after))

    def _is_quiet(self, old: Facts, moved: frozenset[str], as_of: datetime) -> bool:
        """Whether newer events of these types change no more than two moments.

        They do not as long as their like was new enough to count already.
        """
        if self._loud_types is None or not moved.isdisjoint(self._loud_types):
            return False
        rules = self._rules.signals
        if old.last_event_at <= as_of - rules.risk.gone_after_days * DAY:
            return False
        if API_CALL not in moved:
            return True
        within = timedelta(hours=rules.silent_churn.api_call_within_hours)
        last = old.last_at(API_CALL)
        return last is not None and last > as_of - within

    def _read_anew(self, step: Step, news: News, tenant_ids: set[str]) -> None:
        """Read some tenants in full."""
        as_of = step.as_of
        facts = gather(self._events, self._catalog, as_of, tenants=tenant_ids)
        recents = read_recent(self._events, self._catalog, as_of - LENGTH, as_of, tenant_ids)
        for tenant_id in sorted(tenant_ids):
            recent = recents.get(tenant_id, NOTHING)
            theirs = _expiring(facts.get(tenant_id), recent, as_of)
            before = self._tenants.get(tenant_id)
            self._assess(
                step,
                _Tenant(
                    tenant_id,
                    to_uuid_text(tenant_id),
                    theirs,
                    recent,
                    None,
                    news.ahead.get(tenant_id),
                    NOTHING_KEPT if before is None else before.newest,
                ),
            )

    def _assess(self, step: Step, tenant: _Tenant) -> None:
        """Say everything about one tenant, and note what of it is to be written."""
        advance = step.advance
        assert advance is not None
        if tenant.facts is None:
            step.tenants[tenant.tenant_id] = tenant
            advance.facts.append(_stored(tenant))
            return
        try:
            customer = assess(tenant.facts, step.as_of, self._rules, before=tenant.customer)
            rows, newest = new_rows(
                customer,
                tenant.facts,
                self._rules,
                tenant.newest,
                uuid=tenant.uuid,
                computed_at=step.computed_at,
            )
            segment = to_segment(
                customer, tenant.facts, uuid=tenant.uuid, computed_at=step.computed_at
            )
            due_at = next_change_at(tenant.facts, step.as_of, self._rules)
        except TENANT_FAULTS as error:
            self._fail(step, tenant, error)
            return
        step.num_assessed += 1
        after = _Tenant(
            tenant.tenant_id,
            tenant.uuid,
            tenant.facts,
            tenant.recent,
            due_at,
            tenant.unsettled_until,
            newest,
            customer.silence.is_silent_churn,
            customer=customer,
        )
        step.tenants[tenant.tenant_id] = after
        advance.facts.append(_stored(after))
        advance.scores += rows
        advance.segments.append(segment)
        advance.calls.append(_calls(after))

    def _fail(self, step: Step, tenant: _Tenant, error: Exception) -> None:
        """Leave a tenant out; without facts it is read in full, and named, at every run."""
        step.failed[tenant.tenant_id] = _reason(error)
        after = replace(
            tenant, facts=None, recent=NOTHING, due_at=None, is_silent=False, customer=None
        )
        step.tenants[tenant.tenant_id] = after
        assert step.advance is not None
        step.advance.facts.append(_stored(after))

    def _advance(self, step: Step, since: int, *, is_full: bool) -> Advance:
        return Advance(
            as_of=step.as_of,
            changes_since=since,
            definitions=self._definitions,
            run_id=step.run_id,
            is_full=is_full,
        )


#: By the identity of the state store; it lives as long as somebody holds it.
_refreshers: WeakValueDictionary[int, Refresher] = WeakValueDictionary()
_making = threading.Lock()


def refresher_of(catalog: Catalog, events: EventStore, state: StateStore) -> Refresher:
    """The refresher of a state store: one for all jobs, or each would undo the others' memory.

    Whoever wants it kept between runs holds on to it.
    """
    with _making:
        found = _refreshers.get(id(state))
        if found is None:
            found = _refreshers[id(state)] = Refresher(catalog, events, state)
        return found


def _stored(tenant: _Tenant) -> StoredFacts:
    return StoredFacts(
        tenant.uuid,
        tenant.tenant_id,
        _encoder.encode(tenant.facts).decode(),
        tenant.due_at,
        tenant.unsettled_until,
        tenant.newest.keys,
    )


def _calls(tenant: _Tenant) -> tuple[str, datetime | None, datetime, str]:
    facts = tenant.facts
    assert facts is not None
    newest = {event_type: facts.spans[event_type].last_at for event_type in tenant.newer}
    return (
        tenant.uuid,
        facts.last_at(API_CALL),
        facts.last_event_at,
        _encoder.encode(newest).decode(),
    )


def _expiring(facts: Facts | None, recent: Recent, as_of: datetime) -> Facts | None:
    if facts is None:
        return None
    return replace(facts, expires_at=recent.counts(as_of).expires_at)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _definitions(catalog: Catalog, rules: Rules) -> str:
    """A name for all metrics and rules together, another one when any of them changes."""
    hashes = [metric.definition_hash for metric in catalog.metrics.values()]
    told_apart = (PLATFORM, sorted(NO_ACTIVITY))
    return sha256(f"{hashes} {rules!r} {told_apart}".encode()).hexdigest()


def _loud_types(catalog: Catalog, rules: Rules) -> frozenset[str] | None:
    """Types whose newest moment says something by itself; None: all of them.

    Of the others, once there was one, a newer one is one more sign of life. API calls are among
    those, as long as the one before was new enough to count.
    """
    metrics = catalog.metrics
    loud = {*(metrics["signal_instants"].inputs or ()), *(metrics["friction_events"].inputs or ())}
    loud.update(name for name in catalog.event_types if name.startswith("SUBSCRIPTION_"))
    for condition in chain.from_iterable(
        chain(
            (case.when for case in rules.signals.interventions),
            (playbook.when for playbook in rules.playbooks.values()),
        )
    ):
        if condition.metric == "days_since_last" and not condition.event_types:
            return None
        loud.update(condition.event_types)
    return frozenset(loud)
