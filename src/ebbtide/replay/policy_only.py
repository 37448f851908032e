"""What would another version of a policy have said of the calls that are recorded? No call is made.

The same versions over the same recordings give the same result, and the same digest.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import islice
from queue import SimpleQueue
from time import monotonic

import structlog

from ebbtide.catalog.policy import PolicyVersion
from ebbtide.domain.errors import EbbtideError, RunEnded, Unprocessable, WrongState
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.replay import PolicyReplay, ReplayState, TenantDifference
from ebbtide.domain.time import TimeWindow, format_instant
from ebbtide.guard.recording import Recorder
from ebbtide.replay.difference import Tally
from ebbtide.replay.judge_apart import NEITHER, RESULTS, Judge, judge_page
from ebbtide.store.state.base import StateStore

log = structlog.get_logger(__name__)

PAGE = 1_000
#: From so many calls on two processes pay: starting them takes a second, and a run in the
#: server's own process would slow down everybody else for as long as it takes.
APART_FROM = 5_000
PROCESSES = 2
AHEAD = 2 * PROCESSES  # pages read before the first one is judged
RUNNING_MAX = 8
RUN_S = 900.0
_SLACK_S = 60.0
TELL_EVERY_S = 0.5
STOP_S = 5.0

#: A page: what is known of each call outside, and its sealed text opened.
Page = tuple[list[tuple[str, str]], list[bytes]]


class PolicyReplayer:
    """Runs policy-only replays one after another, as long as the server lives."""

    def __init__(
        self,
        state: StateStore,
        recorder: Recorder,
        clock: Callable[[], datetime],
        *,
        apart_from: int = APART_FROM,
    ) -> None:
        """Make it ready.

        Args:
            clock: one that all processes on the state store share.
            apart_from: from how many calls on they are judged in processes of their own.
        """
        self._state = state
        self._recorder = recorder
        self._clock = clock
        self._apart_from = apart_from
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ebbtide-policy-replay")
        self._runs: dict[str, Future[None]] = {}
        self._lock = threading.Lock()

    def start(
        self,
        before: PolicyVersion,
        after: PolicyVersion,
        window: TimeWindow,
        *,
        tenant_ids: Sequence[str] | None,
        asked_by: str,
    ) -> PolicyReplay:
        """Write a run down, and begin it when those before it are over.

        Args:
            before, after: two versions of one policy.
            tenant_ids: only these; None for all that are recorded.

        Raises:
            Unprocessable: these are not two versions of one policy.
            WrongState: too many are under way, or the server stops.
        """
        if before.policy_id != after.policy_id:
            raise Unprocessable("both have to be versions of one policy")
        if before.version == after.version:
            raise Unprocessable("a version differs in nothing from itself")
        if self._stopping.is_set():
            raise WrongState("the server stops; nothing new is begun")
        now = self._clock()
        one = PolicyReplay(
            policy_replay_id=f"prp_{secrets.token_hex(12)}",
            policy_id=before.policy_id,
            before=before.version,
            after=after.version,
            start=window.start,
            as_of=window.as_of,
            tenant_ids=None if tenant_ids is None else tuple(tenant_ids),
            state=ReplayState.RUNNING,
            asked_by=asked_by,
            started_at=now,
        )
        due_at = now + timedelta(seconds=RUN_S * RUNNING_MAX + _SLACK_S)
        self._state.policy_replays.start(one, due_at=due_at, running_max=RUNNING_MAX)
        with self._lock:
            run = self._runs[one.policy_replay_id] = self._pool.submit(
                self._run, one, before, after
            )
        run.add_done_callback(lambda _: self._forget(one.policy_replay_id, run))
        return one

    def wait(self, policy_replay_id: str, timeout_s: float | None = None) -> None:
        """Return when a run of this process is over."""
        with self._lock:
            run = self._runs.get(policy_replay_id)
        if run is not None:
            run.result(timeout_s)

    def stop(self) -> None:
        """End what is under way; it is said to be interrupted."""
        self._stopping.set()
        with self._lock:
            runs = dict(self._runs)
        self._pool.shutdown(wait=False, cancel_futures=True)
        futures.wait([run for run in runs.values() if not run.cancelled()], STOP_S)
        for policy_replay_id, run in runs.items():
            if run.cancelled():
                self._state.policy_replays.end(
                    policy_replay_id, self._clock(), num_done=0, error_type="interrupted"
                )

    def _run(self, one: PolicyReplay, before: PolicyVersion, after: PolicyVersion) -> None:
        shelf, name = self._state.policy_replays, one.policy_replay_id
        failure: str | None = "internal_error"
        progress = Progress(lambda num: shelf.tell(name, num), self._stopping.is_set)
        tenants: tuple[TenantDifference, ...] = ()
        try:
            tenants = self.compare(one, before, after, progress)
            failure = None
        except RunEnded:
            failure = "interrupted"
        except EbbtideError as error:
            failure = error.code
            raise
        finally:
            shelf.end(
                name,
                self._clock(),
                num_done=progress.num,
                tenants=tenants,
                digest=None if failure else digest_of(one, before, after, tenants),
                error_type=failure,
            )

    def compare(
        self,
        one: PolicyReplay,
        before: PolicyVersion,
        after: PolicyVersion,
        progress: Progress,
    ) -> tuple[TenantDifference, ...]:
        """Judge all calls by both versions.

        Raises:
            RunEnded: it is not to go on.
            RecordingBroken: a call does not open.
        """
        window = TimeWindow(one.start, one.as_of)
        shelf = self._state.recordings
        named = None if one.tenant_ids is None else [to_uuid_text(t) for t in one.tenant_ids]
        num = sum(
            shelf.count(window, tenant_id=tenant, policy_id=one.policy_id)
            for tenant in named or (None,)
        )
        said = self._state.judgements.of_policy(one.policy_id, one.started_at)
        tallies: dict[str, Tally] = {}
        is_apart = num >= self._apart_from and (os.cpu_count() or 1) > 1
        pages = self._pages(window, named, one.policy_id)
        judged = _judged(pages, (before.text, after.text), PROCESSES if is_apart else 0)
        with closing(judged):
            for names, results in judged:
                for (tenant, call_id), first, second in zip(
                    names, results[::2], results[1::2], strict=True
                ):
                    if NEITHER in (first, second):
                        continue
                    tallies.setdefault(tenant, Tally()).add(
                        call_id, RESULTS[first], RESULTS[second], said.get((tenant, call_id))
                    )
                progress.add(len(names))
        spellings = {uuid: one.tenant_id for uuid, one in shelf.choices().items()}
        spellings |= self._state.tenants.spellings(list(tallies))
        found = [tally.of_tenant(spellings.get(uuid, uuid)) for uuid, tally in tallies.items()]
        return tuple(sorted(found, key=lambda each: each.tenant_id))

    def _pages(
        self, window: TimeWindow, tenants: Sequence[str] | None, policy_id: str
    ) -> Iterator[Page]:
        for tenant in tenants if tenants is not None else (None,):
            opened = self._recorder.opened(window, tenant_id=tenant, policy_id=policy_id)
            while page := list(islice(opened, PAGE)):
                yield [(uuid, call_id) for uuid, call_id, _ in page], [text for *_, text in page]

    def _forget(self, policy_replay_id: str, run: Future[None]) -> None:
        with self._lock:
            self._runs.pop(policy_replay_id, None)
        if not run.cancelled() and (error := run.exception()) is not None:
            log.error("policy_replay.fault", replay_id=policy_replay_id, exc_info=error)


class Progress:
    """How far a run is, told now and then.

    Args:
        tell: is given the number of calls; False when the run is not to go on.
        is_over: whether to stop.
    """

    def __init__(
        self,
        tell: Callable[[int], bool],
        is_over: Callable[[], bool],
        timer: Callable[[], float] = monotonic,
    ) -> None:
        self.num = 0
        self._tell = tell
        self._is_over = is_over
        self._timer = timer
        self._told_at = self._began_at = timer()

    def add(self, num: int) -> None:
        """Count calls.

        Raises:
            RunEnded: the run is not to go on.
        """
        self.num += num
        now = self._timer()
        if self._is_over() or now - self._began_at > RUN_S:
            raise RunEnded("the run is not to go on")
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            if not self._tell(self.num):
                raise RunEnded("the run has ended already")


def digest_of(
    one: PolicyReplay,
    before: PolicyVersion,
    after: PolicyVersion,
    tenants: Sequence[TenantDifference],
) -> str:
    """sha256 of what was asked and what came out, as canonical JSON."""
    named = None if one.tenant_ids is None else sorted(one.tenant_ids)
    told = {
        "versions": [before.digest, after.digest],
        "window": [format_instant(one.start), format_instant(one.as_of)],
        "tenant_ids": named,
        "tenants": [asdict(each) for each in tenants],
    }
    text = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _judged(
    pages: Iterator[Page], texts: tuple[str, str], num_processes: int
) -> Generator[tuple[list[tuple[str, str]], bytes]]:
    """Each page with its results, in the order of the pages."""
    if num_processes == 0:
        for names, calls in pages:
            yield names, judge_page(texts, calls)
        return
    free: SimpleQueue[Judge] = SimpleQueue()

    def judge(calls: Sequence[bytes]) -> bytes:
        one = free.get()
        try:
            return one.judge(calls)
        finally:
            free.put(one)

    with ExitStack() as stack:
        for _ in range(num_processes):
            one = Judge(texts)
            stack.callback(one.close)
            free.put(one)
        pool = stack.enter_context(ThreadPoolExecutor(num_processes))
        waiting: deque[tuple[list[tuple[str, str]], Future[bytes]]] = deque()
        for names, calls in pages:
            waiting.append((names, pool.submit(judge, calls)))
            if len(waiting) > AHEAD:
                names, result = waiting.popleft()
                yield names, result.result()
        while waiting:
            names, result = waiting.popleft()
            yield names, result.result()
