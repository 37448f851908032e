"""Makes the call of an incident again, within the caps, and puts the answers beside it.

A replay is written down before anything of it is done, each call is paid for before it is made,
and nothing is sent a second time by itself. What a model answers changes nothing but the answer
that is shown: only people promote.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

import structlog

from ebbtide.catalog.policy import PolicyVersion
from ebbtide.domain.call import Call
from ebbtide.domain.errors import (
    EbbtideError,
    NotFound,
    SpendingCapReached,
    Unprocessable,
    WrongState,
)
from ebbtide.domain.event import Event
from ebbtide.domain.policy import Verdict
from ebbtide.domain.replay import (
    SAMPLES_MAX,
    Caps,
    Comparison,
    PolicyChoice,
    Replay,
    ReplayState,
    Sample,
)
from ebbtide.domain.time import format_instant
from ebbtide.egress.upstreams import Upstream, Upstreams, check_model
from ebbtide.guard.kill_switch import Frozen
from ebbtide.guard.recording import Recorder, RecordingBroken, redacted
from ebbtide.ingest.token_cost import TokenPrices
from ebbtide.replay.candidate import (
    CandidateFailed,
    Line,
    candidate_id,
    make_call,
    most_it_costs,
    request_body,
)
from ebbtide.replay.compare import Measured, compare, measure_text
from ebbtide.replay.embeddings import EmbeddingsMeasure, Purse
from ebbtide.replay.judging import judge
from ebbtide.replay.keeping import (
    pack_sample,
    pack_verdicts,
    seal,
    unpack_sample,
    unpack_verdicts,
    unseal,
)
from ebbtide.replay.words import diff_words
from ebbtide.signals.changes import EVERYBODY
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.replays import StoredReplay
from ebbtide.store.state.spending import Reservation

log = structlog.get_logger(__name__)

THREADS = 8
RUNNING_MAX = 64
CALL_S = 120.0
REPLAY_S = 600.0  # all samples together
_SLACK_S = 60.0
STOP_S = 5.0
SOURCE = "replay"
STOPPED = "interrupted"
LOST_DATA = "the recorded call has lost personal data, so it is not as the model saw it"

Emit = Callable[[Mapping[str, Any]], None]
#: Lets a call for a tenant through, or raises: the kill switch stops replays too.
Gate = Callable[[str], None]


class Policies(Protocol):
    """Versions of policies, and who has which."""

    def in_force(self, tenant_id: str, at: datetime) -> Sequence[PolicyVersion]:
        """The versions that a tenant had at a moment."""
        ...

    def version(self, policy_id: str, version: str) -> PolicyVersion:
        """One version; raises NotFound."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to see again, and how.

    Attributes:
        model: another model; one that the operator's file names.
        policies: versions instead of those in force when the call was made.
    """

    incident: Event
    call_id: str | None
    model: str | None = None
    policies: tuple[PolicyChoice, ...] = ()
    num_samples: int = 1


@dataclass(frozen=True, slots=True)
class Terms:
    """What replays may cost, and what a call counts as when no price is known of its model.

    ``unknown_usd``: None lets no such model be called.
    """

    caps: Caps
    unknown_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that the samples of one replay have in common."""

    replay: Replay
    baseline: Call
    baseline_severity: int | None
    upstream: Upstream
    model: str
    in_force: tuple[PolicyVersion, ...]
    verdicts: tuple[Verdict, ...]
    asked_for: tuple[PolicyVersion, ...]
    amount_usd: Decimal
    until: datetime
    user_id: str | None


class Replayer:
    """Runs replays in threads of its own, as long as the server lives."""

    def __init__(
        self,
        state: StateStore,
        recorder: Recorder,
        policies: Policies,
        upstreams: Upstreams,
        line: Line,
        terms: Terms,
        emit: Emit,
        clock: Callable[[], datetime],
        *,
        gate: Gate | None = None,
        prices: TokenPrices | None = None,
        embeddings: EmbeddingsMeasure | None = None,
        call_s: float = CALL_S,
        replay_s: float = REPLAY_S,
    ) -> None:
        """Make it ready.

        Args:
            emit: stores one event; it raises when that fails.
            clock: one that all processes on the state store share.
            embeddings: measures similarity; None: text similarity.
            call_s, replay_s: how long one call and a whole replay may take.
        """
        self.terms = terms
        self.upstreams = upstreams
        self._state = state
        self._recorder = recorder
        self._policies = policies
        self._line = line
        self._emit = emit
        self._clock = clock
        self._gate = gate or (lambda _: None)
        self._prices = prices or TokenPrices()
        self._embeddings = embeddings
        self._call_s = call_s
        self._replay_s = replay_s
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="ebbtide-replay")
        self._runs: dict[str, Future[None]] = {}
        self._lock = threading.Lock()

    # -- what people ask for -------------------------------------------------------------------

    def start(self, wish: Wish, *, asked_by: str, user_id: str | None = None) -> Replay:
        """Write a replay down, set money aside for its first call, and begin.

        Raises:
            Unprocessable: it cannot be run as it was asked for; the message says why.
            NotFound: there is no such version of a policy.
            SpendingCapReached: a cap leaves too little for the first call.
            Frozen: the kill switch stopped the customer.
            RecordingBroken: the call is recorded, and its key is not given any more.
            WrongState: too many are under way, or the server stops.
        """
        plan = self._plan(wish, asked_by, user_id)
        one = plan.replay
        if self._stopping.is_set():
            raise WrongState("the server stops; nothing new is begun")
        self._gate(one.tenant_id)
        self._reserve(plan, 1)
        try:
            packed = pack_verdicts(plan.verdicts)
            self._state.replays.start(
                one,
                seal(self._recorder.vault, packed, one.replay_id),
                due_at=plan.until + timedelta(seconds=_SLACK_S),
                keep_until=self._keep_until(plan.baseline),
                running_max=RUNNING_MAX,
            )
        except EbbtideError:
            self._settle(one, 1, Decimal(0))  # no call was made
            raise
        with self._lock:
            run = self._runs[one.replay_id] = self._pool.submit(self._run, plan)
        run.add_done_callback(lambda _: self._forget(one.replay_id, run))
        return one

    def abort(self, replay_id: str, reason: str | None = None) -> Replay:
        """Begin no further call of a replay; one under way comes to its end and is paid.

        Raises:
            NotFound: there is none with this id.
            WrongState: it has ended already.
        """
        one = self._state.replays.get(replay_id).replay
        now = self._clock()
        if not self._state.replays.end(replay_id, ReplayState.ABORTED, now):
            raise WrongState(f"the replay is {self.read(replay_id).state}")
        self._emit(
            _event(
                one,
                "REPLAY_ABORTED",
                now,
                metadata={"abort_reason": reason or "by_hand", "step_reached": "running"},
            )
        )
        return self.read(replay_id)

    def read(self, replay_id: str) -> Replay:
        """A replay with all that is kept of it.

        Raises:
            NotFound: there is none with this id.
        """
        return self.opened(self._state.replays.get(replay_id))

    def opened(self, stored: StoredReplay) -> Replay:
        """A stored replay with its calls, verdicts and differences."""
        one = stored.replay
        baseline = self._recorded(one.call_id, one.tenant_id)
        packed = self._open(stored.content, one.replay_id)
        samples = []
        for sample in one.samples:
            inner = self._open(stored.samples.get(sample.number), _about(one, sample.number))
            if inner is not None:
                call, comparison = unpack_sample(inner)
                if baseline is not None and None not in (baseline.output, call.output):
                    diff = diff_words(baseline.output or "", call.output or "")
                    comparison = replace(comparison, diff=diff)
                sample = replace(sample, call=call, comparison=comparison)
            samples.append(sample)
        return replace(
            one,
            baseline=baseline,
            baseline_verdicts=() if packed is None else unpack_verdicts(packed),
            samples=tuple(samples),
        )

    def wait(self, replay_id: str, timeout_s: float | None = None) -> None:
        """Return when a replay of this process is over."""
        with self._lock:
            run = self._runs.get(replay_id)
        if run is not None:
            run.result(timeout_s)

    def stop(self) -> None:
        """Begin no further call; those under way get a moment."""
        self._stopping.set()
        with self._lock:
            runs = dict(self._runs)
        self._pool.shutdown(wait=False, cancel_futures=True)
        futures.wait([run for run in runs.values() if not run.cancelled()], STOP_S)
        for replay_id, run in runs.items():
            if run.cancelled():  # before its first call
                now = self._clock()
                self._state.spending.settle(_about_id(replay_id, 1), Decimal(0), now)
                self._state.replays.end(replay_id, ReplayState.FAILED, now, STOPPED)

    # -- how it is done ------------------------------------------------------------------------

    def _plan(self, wish: Wish, asked_by: str, user_id: str | None) -> _Plan:
        event = wish.incident
        if not 1 <= wish.num_samples <= SAMPLES_MAX:
            raise Unprocessable(f"samples is 1 to {SAMPLES_MAX}")
        if wish.call_id is None:
            raise Unprocessable("the incident names no call, so there is nothing to make again")
        try:
            baseline = self._recorder.get(wish.call_id, event.tenant_id)
        except NotFound as error:
            raise Unprocessable(
                "the call of the incident is not recorded: recording was off when it was made,"
                " or its time to be kept is over"
            ) from error
        if not baseline.messages or not baseline.is_whole:
            raise Unprocessable(
                "the recorded call holds more than text, such as images or what tools answered,"
                " so it cannot be made again as it was"
            )
        upstream, model = self._where(baseline, wish.model)
        now = self._clock()
        body, _ = request_body(baseline, model)
        amount = most_it_costs(body, upstream, model, self._prices, now, self.terms.unknown_usd)
        if amount is None:
            raise Unprocessable(
                "no price is known of this model, so no cap could be kept; "
                "EBBTIDE_REPLAY_UNKNOWN_PRICE_USD says what such a call counts as"
            )
        in_force = tuple(self._policies.in_force(event.tenant_id, baseline.at))
        return _Plan(
            Replay(
                replay_id=f"rep_{secrets.token_hex(12)}",
                tenant_id=event.tenant_id,
                incident_id=event.entity_id or event.event_uuid,
                call_id=baseline.call_id,
                model=model,
                is_model_changed=model != baseline.model,
                policies=wish.policies,
                num_samples=wish.num_samples,
                state=ReplayState.RUNNING,
                asked_by=asked_by,
                started_at=now,
            ),
            baseline,
            event.severity,
            upstream,
            model,
            in_force,
            judge(baseline, in_force),
            self._chosen(in_force, wish.policies),
            amount,
            now + timedelta(seconds=self._replay_s),
            user_id,
        )

    def _where(self, baseline: Call, wanted: str | None) -> tuple[Upstream, str]:
        """The upstream and the model; only what the operator's file names can be chosen."""
        if wanted is not None:
            try:
                model = check_model(wanted)
            except ValueError as error:
                raise Unprocessable(str(error)) from error
            found = self.upstreams.of_model(model)
            if found is None or found.fit(model) < 0:
                raise Unprocessable("no upstream names this model")
            if baseline.provider is not None and model == baseline.model:
                found = self.upstreams.get(baseline.provider) or found
            return found, model
        if baseline.model is None:
            raise Unprocessable("the recorded call names no model: choose one")
        found = self.upstreams.get(baseline.provider or "")
        if found is None:
            found = self.upstreams.of_model(baseline.model)
        if found is None:
            raise Unprocessable("no upstream is configured for the model of the recorded call")
        return found, baseline.model

    def _chosen(
        self, in_force: Sequence[PolicyVersion], choices: Sequence[PolicyChoice]
    ) -> tuple[PolicyVersion, ...]:
        ids = [one.policy_id for one in choices]
        if len(set(ids)) < len(ids):
            raise Unprocessable("a policy is named twice")
        chosen = {
            one.policy_id: self._policies.version(one.policy_id, one.version) for one in choices
        }
        kept = [chosen.pop(one.policy_id, one) for one in in_force]
        return (*kept, *chosen.values())

    def _run(self, plan: _Plan) -> None:
        one = plan.replay
        failure: str | None = "internal_error"
        done: list[tuple[Call, Comparison]] = []
        try:
            self._tell(plan, "REPLAY_STARTED")
            failure = self._samples(plan, done)
        except EbbtideError as error:
            failure = error.code
            raise
        finally:
            if failure is None:
                self._finish(plan, done)
            elif self._state.replays.end(one.replay_id, ReplayState.FAILED, self._clock(), failure):
                self._tell(plan, "REPLAY_FAILED", error_type=failure)

    def _samples(self, plan: _Plan, done: list[tuple[Call, Comparison]]) -> str | None:
        """Make the calls one after another; returns why they ended early, or None."""
        one = plan.replay
        for number in range(1, one.num_samples + 1):
            left_s = (plan.until - self._clock()).total_seconds()
            if self._stopping.is_set() or left_s <= 0:
                if number == 1:
                    self._settle(one, 1, Decimal(0))
                return STOPPED if left_s > 0 else "deadline"
            if number > 1:
                try:
                    self._gate(one.tenant_id)
                    self._reserve(plan, number)
                except (Frozen, SpendingCapReached) as error:
                    return error.code
            if not self._state.replays.begin_sample(one.replay_id, number):
                self._settle(one, number, Decimal(0))
                return "aborted"  # it has ended already, and this ends it no second time
            sample = Sample(number, ReplayState.FAILED)
            try:
                call = make_call(
                    self._line,
                    plan.upstream,
                    plan.baseline,
                    plan.model,
                    call_id=candidate_id(one.replay_id, number),
                    at=self._clock(),
                    timeout_s=min(self._call_s, left_s),
                    prices=self._prices,
                    unknown_usd=self.terms.unknown_usd,
                )
            except CandidateFailed as error:
                self._settle(one, number, error.cost_usd)
                failed = replace(sample, error_type=error.reason)
                self._state.replays.end_sample(one.replay_id, failed, None)
                return error.reason
            self._settle(one, number, call.cost_usd)
            kept, comparison = self._compared(plan, call, number)
            done.append((kept, comparison))
            sample = replace(sample, state=ReplayState.DONE, comparison=comparison)
            packed = pack_sample(kept, comparison)
            content = seal(self._recorder.vault, packed, _about(one, number))
            self._state.replays.end_sample(one.replay_id, sample, content)
        return None

    def _compared(self, plan: _Plan, call: Call, number: int) -> tuple[Call, Comparison]:
        """A new call as it is kept, and its comparison.

        The policies look at what the model said. The comparison is of texts without personal
        data, since the recorded one has lost its own.
        """
        asked_for = judge(call, plan.asked_for)
        kept = redacted(call)
        in_force = plan.verdicts, judge(kept, plan.in_force)
        comparison = compare(
            plan.baseline,
            kept,
            in_force=in_force,
            asked_for=asked_for,
            measure=lambda before, after: self._measured(plan, number, before, after),
            differs=LOST_DATA if plan.baseline.is_redacted else None,
        )
        if plan.baseline_severity is not None:
            severity = replace(comparison.severity, before=Decimal(plan.baseline_severity))
            comparison = replace(comparison, severity=severity)
        return kept, comparison

    def _measured(self, plan: _Plan, number: int, before: str, after: str) -> Measured:
        if self._embeddings is None:
            return measure_text(before, after)
        one, name = plan.replay, f"{_about(plan.replay, number)}.similarity"

        def reserve(amount: Decimal) -> None:
            self._state.spending.reserve(
                Reservation(name, one.replay_id, number, one.tenant_id, amount),
                self.terms.caps,
                self._clock(),
            )

        def settle(spent: Decimal | None) -> None:
            self._state.spending.settle(name, spent, self._clock())

        return self._embeddings.measure(before, after, Purse(reserve, settle), self._clock())

    def _finish(self, plan: _Plan, done: Sequence[tuple[Call, Comparison]]) -> None:
        one = plan.replay
        if not self._state.replays.end(one.replay_id, ReplayState.DONE, self._clock()):
            return
        stored = self._state.replays.get(one.replay_id)
        metadata: dict[str, Any] = {}
        if stored.match is not None:
            metadata["match_level"] = stored.match.value
        changes = [comparison.cost_usd.change for _, comparison in done]
        known = [change for change in changes if change is not None]
        if known and len(known) == len(changes):
            metadata["cost_delta"] = float(sum(known, Decimal(0)) / len(known))
        latencies = [call.latency_ms for call, _ in done if call.latency_ms is not None]
        extra: dict[str, Any] = {"cost_usd": str(stored.replay.spent_usd)}
        if latencies:
            extra["latency_ms"] = sum(latencies)
        self._tell(plan, "REPLAY_EXECUTED", extra, **metadata)

    def _reserve(self, plan: _Plan, number: int) -> None:
        one = plan.replay
        reservation = Reservation(
            _about(one, number), one.replay_id, number, one.tenant_id, plan.amount_usd
        )
        self._state.spending.reserve(reservation, self.terms.caps, self._clock())

    def _settle(self, one: Replay, number: int, spent_usd: Decimal | None) -> None:
        self._state.spending.settle(_about(one, number), spent_usd, self._clock())

    def _keep_until(self, baseline: Call) -> datetime | None:
        """The replay is kept as long as the call that it is about."""
        choice = self._recorder.choice(baseline.tenant_id)
        return None if choice is None else baseline.at + timedelta(days=choice.retention_days)

    def _recorded(self, call_id: str, tenant_id: str) -> Call | None:
        try:
            return self._recorder.get(call_id, tenant_id)
        except (NotFound, RecordingBroken):
            return None

    def _open(self, content: bytes | None, about: str) -> bytes | None:
        return unseal(self._recorder.vault, content, about)

    def _tell(
        self,
        plan: _Plan,
        event_type: str,
        extra: Mapping[str, Any] | None = None,
        **metadata: Any,
    ) -> None:
        fields = _event(plan.replay, event_type, self._clock(), metadata=metadata)
        if plan.user_id is not None:
            fields["user_id"] = plan.user_id
        self._emit(fields | dict(extra or {}))

    def _forget(self, replay_id: str, run: Future[None]) -> None:
        with self._lock:
            self._runs.pop(replay_id, None)
        if not run.cancelled() and (error := run.exception()) is not None:
            log.error("replay.fault", replay_id=replay_id, exc_info=error)


def _event(
    one: Replay, event_type: str, at: datetime, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "event_id": f"{one.replay_id}:{event_type.lower()}",  # told twice, it is stored once
        "timestamp": format_instant(at),
        "tenant_id": EVERYBODY,  # it is the operator's doing: no customer looks busier by it
        "event_type": event_type,
        "entity_type": "replay",
        "entity_id": one.replay_id,
        "source": SOURCE,
        "metadata": {"incident_id": one.incident_id, **metadata},
    }


def _about(one: Replay, number: int) -> str:
    return _about_id(one.replay_id, number)


def _about_id(replay_id: str, number: int) -> str:
    return f"{replay_id}.{number}"
