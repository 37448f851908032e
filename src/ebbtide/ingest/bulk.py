"""Loads many events at once: checked in columns, appended in large batches, counted as all are.

The same promises as at ``POST /v1/events``: a row is stored, known, in conflict, kept in
quarantine or refused, and when :meth:`BulkLoader.load` returns that is durable. What the columns
cannot prove goes through the validator row by row. While one batch is written, the next is
checked; batches are appended in the order of the table.

Quarantine keeps a row as it stood in its file, which few rows need: a sender that keeps its rows
for so long is asked for those that must wait, and sends them again with their text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import structlog

from ebbtide.domain.errors import StoreRefused
from ebbtide.domain.event import Event, Outcome
from ebbtide.domain.quarantine import QuarantineEntry
from ebbtide.domain.tenant import Sighting
from ebbtide.domain.time import EPOCH, parse_instant
from ebbtide.ingest.accounting import Accounting
from ebbtide.ingest.arrow_columns import single
from ebbtide.ingest.bulk_table import (
    FAULT,
    LINE,
    RAW,
    check_table,
    read_rows,
    rows_per_batch,
    to_json,
)
from ebbtide.ingest.directory import SUBSCRIPTION_TYPES, Directory, tenant_uuid
from ebbtide.ingest.event_uuids import Uuids, to_texts
from ebbtide.ingest.incoming import Incoming
from ebbtide.ingest.plain_rows import find_plain
from ebbtide.ingest.validate import Rejection, Validator
from ebbtide.store.events.base import EVENT_SCHEMA, EventStore, Outcomes, to_batch
from ebbtide.store.state.base import StateStore

# One commit, as large as what imports send: so much goes straight into DuckDB's file, compressed,
# and not through its log first. Other writers wait for it, about half a second.
BATCH_ROWS = 245_760
EXAMPLES_MAX = 20  # reasons said with their line

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Example:
    """One row that was not stored, and why."""

    line: int
    reason: str


@dataclass(slots=True)
class BulkOutcome:
    """What became of the rows of one load."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)  #: of rows held or refused
    examples: list[Example] = field(default_factory=list)  #: the first of them
    #: Lines of rows to be sent again with their text; they are not counted yet, nor kept.
    raw_wanted: list[int] = field(default_factory=list)

    def note(self, line: int, reason: str) -> None:
        """Remember why a row was not stored."""
        self.reasons[reason] += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(Example(line, reason))

    def add(self, other: BulkOutcome) -> None:
        """Count what another load did as well."""
        self.counts.update(other.counts)
        self.reasons.update(other.reasons)
        self.examples = (self.examples + other.examples)[:EXAMPLES_MAX]
        self.raw_wanted += other.raw_wanted


@dataclass(frozen=True, slots=True)
class BulkSource:
    """Where the rows of one load come from; the same for all its batches.

    Args:
        door: the way they came in, for metrics and quarantine.
        received_at: now, UTC-aware; events more than five minutes ahead are not believed.
        default_source: the producer's name where a row has none.
        file: the name of the file, for people who look into quarantine.
        key: names the content of the file. Rows without an event id get one made from it
            and their line, so the same file gives the same events again.
        key_id: public id of the API key that was used.
        mapping: the name of the mapping that made events of the rows; None when there was none.
        asks_raw: whether the sender can send a row that must wait again with its text. Then
            such rows are not kept, but named in :attr:`BulkOutcome.raw_wanted`.
    """

    door: str
    received_at: datetime
    default_source: str
    file: str | None
    key: str
    key_id: str | None = None
    mapping: str | None = None
    asks_raw: bool = False


@dataclass(slots=True)
class _Checked:
    """One batch on its way into the store; all lists are in the order of the table."""

    part: pa.Table
    events: pa.RecordBatch  #: what is valid, in EVENT_SCHEMA
    rows: npt.NDArray[np.int64]  #: where each event stood in ``part``
    derived_ids: Uuids
    held: list[tuple[int, QuarantineEntry]]  #: row and entry
    refused: list[tuple[int, str]]  #: row and reason
    wanted: list[int]  #: rows that must wait and are to be sent again with their text

    def line(self, row: int) -> int:
        return int(self.part.column(LINE)[row].as_py())

    def source_text(self, row: int) -> bytes | None:
        """The row as it stood in its file; None when its sender did not say."""
        if RAW not in self.part.column_names:
            return None
        text: bytes | None = self.part.column(RAW)[row].as_py()
        return text

    def is_fault(self, row: int) -> bool:
        """Whether the sender itself could not read the row."""
        return FAULT in self.part.column_names and self.part.column(FAULT)[row].is_valid


@dataclass(slots=True)
class CheckedTable:
    """A table whose rows are decided, ready to be stored."""

    source: BulkSource
    batches: list[_Checked]


class BulkLoader:
    """The way in for files. May be used by several threads, beside the writer."""

    def __init__(
        self,
        validator: Validator,
        events: EventStore,
        state: StateStore,
        directory: Directory,
        accounting: Accounting,
    ) -> None:
        self._validator = validator
        self._events = events
        self._state = state
        self._directory = directory
        self._accounting = accounting

    def load(self, table: pa.Table, **source: Any) -> BulkOutcome:
        """Check and store a table of events: :meth:`check`, then :meth:`store`.

        Args:
            source: where its rows come from, by the names of :class:`BulkSource`.
        """
        return self.store(self.check(table, BulkSource(**source)))

    def check(self, table: pa.Table, source: BulkSource) -> CheckedTable:
        """Decide every row of a table; nothing is stored yet.

        Args:
            table: unchecked events, as :mod:`ebbtide.ingest.bulk_table` describes it.

        Raises:
            BadRequest: the table is of another shape.
        """
        table = check_table(table)
        parts = _parts(table, rows_per_batch(table, BATCH_ROWS))
        return CheckedTable(source, [self._check(part, source) for part in parts])

    def store(self, checked: CheckedTable) -> BulkOutcome:
        """Store what was checked, in the order of the table.

        Returns:
            Counts by outcome; with the rows that are wanted again they sum up to the rows of the
            table. Each row that is counted is durable somewhere now.

        Raises:
            StoreUnavailable: a store cannot answer. What was stored so far stays; the same
                table can be loaded again, and what is stored comes out as a duplicate.
        """
        outcome = BulkOutcome()
        for batch in checked.batches:
            self._store(batch, checked.source, outcome)
        return outcome

    # -- checking --------------------------------------------------------------------------

    def _check(self, part: pa.Table, source: BulkSource) -> _Checked:
        found = find_plain(
            part,
            self._validator,
            received_at=source.received_at,
            default_source=source.default_source,
            key=source.key,
        )
        plain = found.plain
        rows = np.flatnonzero(plain)
        batch = found.batch if plain.all() else found.batch.filter(pa.array(plain))
        checked = _Checked(part, batch, rows, found.derived_ids, [], [], [])
        others = np.flatnonzero(~plain)
        if len(others):
            self._check_by_row(checked, others, source)
        checked.events = checked.events.cast(EVENT_SCHEMA)
        return checked

    def _check_by_row(
        self, checked: _Checked, rows: npt.NDArray[np.int64], source: BulkSource
    ) -> None:
        """Let the validator decide these rows."""
        events: list[Event] = []
        places: list[int] = []
        records = read_rows(checked.part, rows)
        derived = to_texts(checked.derived_ids[rows])
        for row, event_id, record in zip(rows.tolist(), derived, records, strict=True):
            event = self._decide(record, event_id, source)
            if isinstance(event, Event):
                events.append(event)
                places.append(row)
            else:
                self._hold(checked, source, row, event.reason, record)
        if not events:
            return
        batch, bad = _laid_out(events)
        for at in bad:
            self._hold(checked, source, places[at], "store_refused")
        kept = np.delete(np.array(places, np.int64), bad)
        if batch is not None:
            mixed = pa.Table.from_batches(
                [checked.events.cast(EVENT_SCHEMA), batch]
            ).combine_chunks()
            all_rows = np.concatenate([checked.rows, kept])
            order = np.argsort(all_rows)
            checked.rows = all_rows[order]
            checked.events = mixed.take(pa.array(order)).combine_chunks().to_batches()[0]

    def _decide(self, record: Incoming, event_id: str, source: BulkSource) -> Event | Rejection:
        fields = record.fields
        if fields is None:
            return Rejection(record.reason or "not_an_object")
        if fields.get("event_id") is None:
            fields["event_id"] = event_id
        received_at = source.received_at
        said = fields.get("received_at")
        if said is not None:
            try:
                received_at = parse_instant(said)
            except (TypeError, ValueError, OverflowError):
                return Rejection("invalid_received_at")
            if not EPOCH <= received_at <= source.received_at:
                return Rejection("invalid_received_at")
        return self._validator.check(
            fields, received_at=received_at, default_source=source.default_source
        )

    def _hold(
        self,
        checked: _Checked,
        source: BulkSource,
        row: int,
        reason: str,
        record: Incoming | None = None,
    ) -> None:
        """Put a row aside for quarantine, or on the list of those to be sent with their text.

        Args:
            record: the row as it was read; None when it has to be read for this.
        """
        text = own = checked.source_text(row)
        if text is None and source.asks_raw and not checked.is_fault(row):
            checked.wanted.append(row)
            return
        if record is None:
            record = read_rows(checked.part, np.array([row]))[0]
        fields = record.fields or {}
        event_id = to_texts(checked.derived_ids[row : row + 1])[0]
        if text is None and record.fields is not None:
            if fields.get("event_id") is None:
                fields["event_id"] = event_id
            text = to_json(fields)
        tenant_id = fields.get("tenant_id")
        entry = QuarantineEntry(
            received_at=source.received_at,
            door=source.door,
            reason=reason,
            raw=record.text if text is None else text,
            tenant_id=tenant_id if isinstance(tenant_id, str) else None,
            key_id=source.key_id,
            file=source.file,
            line=checked.line(row),
            event_id=event_id,
            mapping=None if own is None else source.mapping,  # our own words need none
        )
        checked.held.append((row, entry))

    def _refuse_erased(self, checked: _Checked) -> None:
        """Keep the past of erased tenants out."""
        erasures = self._directory.erasures
        if not erasures or not checked.events.num_rows:
            return
        coded = checked.events.column("tenant_id").dictionary_encode()
        ends = [erasures.get(tenant_uuid(sent)) for sent in coded.dictionary.to_pylist()]
        if not any(ends):
            return
        until = pa.array(ends, pa.timestamp("us", tz="UTC")).take(coded.indices)
        gone = pc.less_equal(checked.events.column("timestamp"), until).fill_null(False)
        is_gone = gone.to_numpy(False)
        checked.refused = [(int(row), "erased_tenant") for row in checked.rows[is_gone]]
        checked.rows = checked.rows[~is_gone]
        checked.events = checked.events.filter(pc.invert(gone))

    def _under_one_spelling(self, events: pa.RecordBatch, seen_at: datetime) -> pa.RecordBatch:
        """Put each event under the one spelling of its tenant; new tenants are entered."""
        if not events.num_rows:
            return events
        at = EVENT_SCHEMA.get_field_index("tenant_id")
        coded = events.column(at).dictionary_encode()
        sent = coded.dictionary.to_pylist()
        canonical = self._directory.canonical(sent, seen_at)
        kept = [canonical[one] for one in sent]
        if kept == sent:
            return events
        return events.set_column(
            at, EVENT_SCHEMA.field(at), pa.array(kept, pa.string()).take(coded.indices)
        )

    # -- storing ---------------------------------------------------------------------------

    def _store(self, checked: _Checked, source: BulkSource, outcome: BulkOutcome) -> None:
        """Append one batch; when this returns, every row of it is durable somewhere."""
        held = checked.held
        # From asking about erasures to the last write, no tenant may be erased: what waited for
        # the stores meanwhile would come after the erasure, under a spelling that is gone.
        with self._directory.steady:
            self._refuse_erased(checked)
            checked.events = self._under_one_spelling(checked.events, source.received_at)
            if checked.events.num_rows:
                outcomes = self._append(checked.events)
            else:
                outcomes = np.zeros(0, np.uint8)
            for row in checked.rows[outcomes == Outcome.QUARANTINED].tolist():
                self._hold(checked, source, row, "store_refused")
            num_quarantined = len(held)
            for row in checked.rows[outcomes == Outcome.CONFLICT].tolist():
                self._hold(checked, source, row, "conflict")
            # Events first: were the quarantine write to fail now, the load is answered as failed
            # and comes again, and its events come back as duplicates.
            self._state.quarantine.add([entry for _, entry in held])
            sightings = self._sightings(checked.events, outcomes)
            if sightings:
                self._directory.apply(sightings)
        tally = np.bincount(outcomes, minlength=len(Outcome))
        tally[Outcome.QUARANTINED] = num_quarantined
        tally[Outcome.CONFLICT] = len(held) - num_quarantined
        tally[Outcome.REFUSED] = len(checked.refused)
        self._accounting.add_tally(source.door, tally)
        for one in Outcome:
            outcome.counts[one] += int(tally[one])
        notes = [(row, entry.reason) for row, entry in held] + checked.refused
        for row, reason in sorted(notes):
            outcome.note(checked.line(row), reason)
        outcome.raw_wanted += [checked.line(row) for row in sorted(checked.wanted)]

    def _append(self, events: pa.RecordBatch) -> Outcomes:
        """Append a batch; a row that the engine itself refuses is isolated by halving."""
        try:
            return self._events.append(events)
        except StoreRefused as error:
            if events.num_rows == 1:
                log.error("bulk.store_refused", detail=str(error)[:500])
                return np.full(1, Outcome.QUARANTINED, np.uint8)
        middle = events.num_rows // 2
        first = self._append(events.slice(0, middle))
        return np.concatenate([first, self._append(events.slice(middle))])

    def _sightings(self, events: pa.RecordBatch, outcomes: Outcomes) -> list[Sighting]:
        """What subscription events say about their tenants."""
        if not events.num_rows:
            return []
        told = pc.is_in(events.column("event_type"), pa.array(SUBSCRIPTION_TYPES)).to_numpy(False)
        told &= (outcomes == Outcome.STORED) | (outcomes == Outcome.DUPLICATE)
        if not told.any():
            return []
        found = []
        for row in events.filter(pa.array(told)).to_pylist():
            sighting = self._directory.sighting_of(Event(*row.values()))
            if sighting is not None:
                found.append(sighting)
        return found


def _parts(table: pa.Table, num_rows: int) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, num_rows):
        part = table.slice(start, num_rows)
        yield pa.table({name: single(part.column(name)) for name in part.column_names})


def _laid_out(events: Sequence[Event]) -> tuple[pa.RecordBatch | None, list[int]]:
    """The events in columns, and the positions of those that columns cannot hold."""
    try:
        return to_batch(events), []
    except (ValueError, OverflowError):
        pass  # one of them; found below
    good, bad = [], []
    for at, event in enumerate(events):
        try:
            to_batch([event])
        except (ValueError, OverflowError) as error:
            log.error("bulk.store_refused", detail=str(error)[:500])
            bad.append(at)
        else:
            good.append(event)
    return (to_batch(good) if good else None), bad
