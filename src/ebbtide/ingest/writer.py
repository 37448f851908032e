"""Group commit: many requests, one columnar batch, one fsync, then all their answers.

One thread owns every write to the event store. While it commits, requests gather; the next
commit takes them all. So the disk is never waited for twice by the same event, and nothing is
answered before it is durable.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import repeat
from time import monotonic
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import structlog

from ebbtide.domain.errors import (
    EbbtideError,
    IngestOverloaded,
    StoreRefused,
    StoreUnavailable,
)
from ebbtide.domain.event import Event, Outcome
from ebbtide.domain.quarantine import QuarantineEntry
from ebbtide.domain.tenant import Sighting
from ebbtide.ingest.accounting import Accounting
from ebbtide.ingest.directory import SUBSCRIPTION_TYPES, Directory
from ebbtide.ingest.incoming import Incoming
from ebbtide.ingest.plain_request import PlainRequest
from ebbtide.ingest.result import Result
from ebbtide.store.events.base import EventStore, Outcomes, to_batch
from ebbtide.store.state.base import StateStore

COMMIT_EVENTS_MAX = 20_000  # larger groups make the first request in the group wait longer
WAITING_EVENTS_MAX = 200_000  # about 200 MB of events in memory; beyond it we ask to come back
IDLE_UPKEEP_S = 1.0  # after this long without events there is time to fold and checkpoint
GATHER_S = 0.02  # the longest that a group waits for the requests that are expected
REST_UPKEEP_S = 30.0  # and this often while nothing comes, for readers leave caches behind
BUSY_UPKEEP_S = 60.0  # and this often where events never cease, if there is something to do

GENERATED_ID = "generated_event_id"  # the sender named none, so a retry would store it again

_new = tuple.__new__  # a named tuple without its argument handling, for the hot path
_NO_OUTCOMES = np.zeros(0, np.uint8)
_OUTCOMES = tuple(Outcome)  # by value; calling the enum costs a microsecond an event

log = structlog.get_logger(__name__)


class Held(NamedTuple):
    """A record that must wait in quarantine."""

    reason: str
    event_id: str | None
    tenant_id: str | None


class Refused(NamedTuple):
    """A record that its sender may not write; it is answered, not kept."""

    reason: str
    event_id: str | None


Entry = Event | Held | Refused


@dataclass(slots=True)
class Submission:
    """The records of one request, what was made of them, and the promise of their results."""

    door: str
    received_at: datetime
    incoming: Sequence[Incoming]
    judge: Callable[[], list[Entry]]  # decides each record; called at most once
    plain: PlainRequest | None = None  # all of it at once, where nothing is to be decided
    sightings: Sequence[Sighting] = ()
    key_id: str | None = None
    source_file: str | None = None
    lines: Sequence[int] | None = None
    generated: Collection[int] = ()  # positions of records that named no id
    batch: pa.RecordBatch | None = None  # the events in columns; None while that cannot be done
    holds: bool = True  # False when its rejects are in quarantine already
    results: Future[list[Result]] = field(default_factory=Future)
    _entries: list[Entry] | None = None

    @property
    def entries(self) -> list[Entry]:
        """One for each record, in order; judged when first asked for."""
        if self._entries is None:
            self._entries = self.judge()
        return self._entries

    @entries.setter
    def entries(self, entries: list[Entry]) -> None:
        self._entries = entries

    @property
    def events(self) -> list[Event]:
        """Those of the entries that are events, in order."""
        return [entry for entry in self.entries if type(entry) is Event]

    def raw(self, position: int) -> bytes:
        """The record as it came, for quarantine."""
        record = self.incoming[position]
        return record.text or msgspec.json.encode(record.fields)


class Writer:
    """The one thread that writes events."""

    def __init__(
        self,
        events: EventStore,
        state: StateStore,
        directory: Directory,
        accounting: Accounting,
    ) -> None:
        self._events = events
        self._state = state
        self._directory = directory
        self._accounting = accounting
        self._waiting: deque[Submission] = deque()
        self._waiting_events = 0
        self._expected = 1  # requests under way at once, as the last group has shown
        self._ready = threading.Condition()
        self._closing = False
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="ebbtide-writer", daemon=True)
        self._thread.start()

    def submit(self, submission: Submission) -> Future[list[Result]]:
        """Queue a request; its future is done when every record of it is durable.

        Raises:
            IngestOverloaded: too many events wait already.
            StoreUnavailable: the writer is shutting down.
        """
        # Laid out here, in the caller's thread, and not by the writer: while it commits, the
        # caller has time, and the less Python the writer runs, the less they wait for each other.
        plain = submission.plain
        if plain is not None and self._directory.are_canonical(plain.tenant_ids):
            submission.batch = plain.batch
        else:
            self._judge(submission)
        num = len(submission.incoming)
        with self._ready:
            if self._closing:
                raise StoreUnavailable("the server is shutting down")
            if self._waiting_events + num > WAITING_EVENTS_MAX:
                raise IngestOverloaded("too many events wait for the disk", retry_after_s=1)
            # A caller that hangs up must not cancel what the thread is about to answer.
            submission.results.set_running_or_notify_cancel()
            self._waiting.append(submission)
            self._waiting_events += num
            self._ready.notify()
        return submission.results

    @property
    def waiting_events(self) -> int:
        """Events that are checked but not yet on disk."""
        return self._waiting_events

    @property
    def is_alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Write nothing while the block runs; what is erased in it stays out afterwards."""
        with self._writing:
            yield

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what waits, then stop."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        self._thread.join(timeout_s)

    # -- the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        # A store may have begun work that outlasts a stop, so the first idle second asks it.
        upkeep_due = more_due = True
        kept_up_at = monotonic()
        while True:
            group = self._take(IDLE_UPKEEP_S if upkeep_due else REST_UPKEEP_S)
            if group is None:
                return
            if group:
                self._finish(group)
                self._expected = len(group) + len(self._waiting)
                upkeep_due = True
            if not group or (more_due and monotonic() - kept_up_at > BUSY_UPKEEP_S):
                is_more_due = self._upkeep()
                upkeep_due = bool(is_more_due)
                more_due = more_due if is_more_due is None else is_more_due
                kept_up_at = monotonic()

    def _take(self, timeout_s: float) -> list[Submission] | None:
        """The next group; empty when idle for the time given, None when closed and drained."""
        with self._ready:
            deadline = monotonic() + timeout_s
            while not self._waiting:
                if self._closing:
                    return None
                left = deadline - monotonic()
                if left <= 0:
                    return []
                self._ready.wait(left)
            # Under load the other clients' requests are being read just now. Committing beside that
            # costs more than waiting for them: the two would only take turns. A single client
            # never waits, for it is the only one expected.
            gathered = monotonic() + GATHER_S
            while len(self._waiting) < self._expected and not self._closing:
                left = gathered - monotonic()
                if left <= 0:
                    break
                self._ready.wait(left)
            group, size = [], 0
            while self._waiting and size < COMMIT_EVENTS_MAX:
                submission = self._waiting.popleft()
                group.append(submission)
                size += len(submission.incoming)
            self._waiting_events -= size
            return group

    def _finish(self, group: list[Submission]) -> None:
        try:
            with self._writing:
                answers = self._commit(group)
        except StoreUnavailable as error:
            for submission in group:
                submission.results.set_exception(error)
            log.warning("ingest.unavailable", code=error.code, requests=len(group))
        # The last door of this thread: were it to die, every later request would wait for
        # ever. The group is told, the fault is logged with its trace, the next group is tried.
        except Exception as error:
            for submission in group:
                submission.results.set_exception(error)
            log.exception("ingest.fault", requests=len(group))
        else:
            for submission, results in zip(group, answers, strict=True):
                self._accounting.add(submission.door, results)
                submission.results.set_result(results)

    def _upkeep(self) -> bool | None:
        """Whether the store has more to do; None when it could not do what was due."""
        try:
            return self._events.maintain()
        except EbbtideError as error:
            log.warning("store.upkeep_failed", code=error.code, detail=str(error))
            return None

    def _commit(self, group: list[Submission]) -> list[list[Result]]:
        self._directory.hear_of_erasures()
        for submission in group:
            self._settle(submission)
        codes, refusals = self._append(group)
        held: list[QuarantineEntry] = []
        sightings = [one for submission in group for one in submission.sightings]
        answers = []
        at = 0
        for submission in group:
            plain = submission.plain
            num = len(submission.events if plain is None else plain.event_ids)
            outcomes = [_OUTCOMES[code] for code in codes[at : at + num].tolist()]
            if plain is not None and _is_settled(plain, outcomes):
                rows = zip(plain.event_ids, outcomes, repeat(None))
                answers.append([_new(Result, row) for row in rows])
            else:
                reasons = {row - at: reason for row, reason in refusals.items() if row >= at}
                answers.append(self._answer(submission, outcomes, reasons, held, sightings))
            at += num
        # Events first: were the quarantine write to fail now, the whole request is answered
        # 503 and sent again, and its events come back as duplicates.
        if held:
            self._state.quarantine.add(held)
        if sightings:
            self._directory.apply(sightings)
        return answers

    def _answer(
        self,
        submission: Submission,
        outcomes: list[Outcome],
        reasons: dict[int, str],
        held: list[QuarantineEntry],
        sightings: list[Sighting],
    ) -> list[Result]:
        """The results of one request; what must be kept or entered for it goes into the lists."""
        results = []
        at = 0
        for position, entry in enumerate(submission.entries):
            if isinstance(entry, Event):
                outcome = outcomes[at]
                if outcome is Outcome.STORED or outcome is Outcome.DUPLICATE:
                    note = GENERATED_ID if position in submission.generated else None
                    results.append(_new(Result, (entry[1], outcome, note)))
                    if entry.event_type in SUBSCRIPTION_TYPES:
                        sightings.append(self._directory.sighting_of(entry))
                else:
                    reason = reasons.get(at, "conflict")
                    if submission.holds:
                        held.append(_item(submission, position, reason, entry.tenant_id))
                    results.append(Result(entry.event_id, outcome, reason))
                at += 1
            elif isinstance(entry, Held):
                if submission.holds:
                    held.append(_item(submission, position, entry.reason, entry.tenant_id))
                results.append(Result(entry.event_id, Outcome.QUARANTINED, entry.reason))
            else:
                results.append(Result(entry.event_id, Outcome.REFUSED, entry.reason))
        return results

    def _settle(self, submission: Submission) -> None:
        """Do what could not be done before: erasures and new tenants are settled here."""
        plain = submission.plain
        if plain is not None:
            if not self._directory.were_erased(plain.tenant_ids):
                return
            self._judge(submission)
        if self._directory.erasures:
            submission.entries = [self._without_erased(one) for one in submission.entries]
            submission.batch = self._laid_out_early(submission.events)
        if submission.batch is None and (events := submission.events):
            # Enters new tenants; a value that no column takes is found while appending.
            events = self._directory.with_canonical_tenants(events)
            submission.batch = _laid_out(events)

    def _judge(self, submission: Submission) -> None:
        """Go through a request record by record."""
        submission.plain = None
        submission.batch = self._laid_out_early(submission.events)

    def _without_erased(self, entry: Entry) -> Entry:
        # Asked here and not before: an event that waited while its tenant was erased must not
        # come after it.
        if isinstance(entry, Event) and self._directory.is_erased(entry):
            return Refused("erased_tenant", entry.event_id)
        return entry

    def _laid_out_early(self, events: list[Event]) -> pa.RecordBatch | None:
        """Events in columns when nothing is open about them; else the writer takes care of it."""
        if not events or not self._directory.are_canonical({e.tenant_id for e in events}):
            return None
        return _laid_out(events)

    def _append(self, group: Sequence[Submission]) -> tuple[Outcomes, dict[int, str]]:
        """Append a group; a row that the engine itself refuses is isolated by halving."""
        batches = [one.batch for one in group if one.batch is not None]
        if len(batches) == len(group) or all(one.batch or not one.events for one in group):
            if not batches:
                return _NO_OUTCOMES, {}
            try:
                whole = batches[0] if len(batches) == 1 else pa.concat_batches(batches)
                return self._events.append(whole), {}
            except (StoreRefused, ValueError, OverflowError):
                pass  # some row of it; which one is found next
        return self._append_halves([one for submission in group for one in submission.events])

    def _append_halves(self, events: list[Event]) -> tuple[Outcomes, dict[int, str]]:
        try:
            batch = to_batch(self._directory.with_canonical_tenants(events))
            return self._events.append(batch), {}
        except (StoreRefused, ValueError, OverflowError) as error:
            if len(events) == 1:
                log.error("ingest.store_refused", detail=str(error)[:500])
                return np.full(1, Outcome.QUARANTINED, np.uint8), {0: "store_refused"}
        middle = len(events) // 2
        first, early = self._append_halves(events[:middle])
        second, late = self._append_halves(events[middle:])
        late = {middle + at: reason for at, reason in late.items()}
        return np.concatenate([first, second]), early | late


def _is_settled(plain: PlainRequest, outcomes: Collection[Outcome]) -> bool:
    """Whether the answers follow from the outcomes, and the directory learns nothing."""
    return Outcome.CONFLICT not in outcomes and plain.event_types.isdisjoint(SUBSCRIPTION_TYPES)


def _laid_out(events: list[Event]) -> pa.RecordBatch | None:
    """Events in columns; None when one of them has a value that no column takes."""
    try:
        return to_batch(events)
    except (ValueError, OverflowError):
        return None


def _item(
    submission: Submission, position: int, reason: str, tenant_id: str | None
) -> QuarantineEntry:
    return QuarantineEntry(
        door=submission.door,
        received_at=submission.received_at,
        reason=reason,
        raw=submission.raw(position),
        tenant_id=tenant_id,
        key_id=submission.key_id,
        file=submission.source_file,
        line=submission.lines[position] if submission.lines is not None else None,
    )
