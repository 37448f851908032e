"""Tries quarantined records again, with the mappings of now, on the one path of every event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.mapping import SourceMapping
from ebbtide.domain.errors import BadRequest
from ebbtide.domain.event import Outcome
from ebbtide.domain.quarantine import (
    QuarantineEntry,
    QuarantineFilter,
    QuarantineRow,
    ReleaseResult,
)
from ebbtide.domain.tenant import Sighting
from ebbtide.ingest import cloudevents, segment
from ebbtide.ingest.decode import decode_record
from ebbtide.ingest.directory import Directory
from ebbtide.ingest.imported_row import ImportedRowReader
from ebbtide.ingest.incoming import Aside, Incoming, Reading
from ebbtide.ingest.ingestor import DEFAULT_SOURCES, Ingestor
from ebbtide.ingest.mappings import Mappings
from ebbtide.store.state.base import StateStore

CHUNK_ROWS = 500
DOOR = "release"


@dataclass(slots=True)
class ReleaseReport:
    """What one release did.

    ``reasons`` are those of the rows that still wait, as this attempt found them.
    ``missing_mappings`` counts rows that could not be read, by the mapping that they came with:
    nobody has said what it is by now. They wait for the reason they had.
    """

    num_tried: int = 0
    num_released: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    missing_mappings: Counter[str] = field(default_factory=Counter)
    results: list[ReleaseResult] = field(default_factory=list)

    @property
    def num_remaining(self) -> int:
        """Rows that were tried and still wait."""
        return self.num_tried - self.num_released


class Releaser:
    """Lets quarantined records in once they pass."""

    def __init__(
        self,
        ingestor: Ingestor,
        state: StateStore,
        mappings: Mappings,
        clock: Callable[[], datetime],
        directory: Directory,
    ) -> None:
        self._ingestor = ingestor
        self._state = state
        self._mappings = mappings
        self._clock = clock
        self._directory = directory
        self._catalog = load_catalog()

    def release(
        self, meant: QuarantineFilter, mapping: SourceMapping | None = None
    ) -> ReleaseReport:
        """Try every pending row that is meant, oldest first.

        A row whose record is stored now, or was stored before, is settled; the others stay
        with the reason of this attempt. A crash in between repeats rows, which then come out
        as duplicates: a record without an id of its own is stored under one made from its row.

        Args:
            meant: which rows; its status is not looked at.
            mapping: for this release, the mapping of the source of its name; None when the
                files in the folder know all that is needed.

        Raises:
            MappingError: a mapping file is broken; nothing was tried.
            StoreUnavailable: a store cannot answer; rows settled so far stay settled.
        """
        mappings = dict(self._mappings.reload())
        if mapping is not None:
            mappings[mapping.name] = mapping
        self._directory.hear_of_erasures()
        reader = _Reader(mappings, ImportedRowReader(self._catalog), self._directory.is_past)
        report = ReleaseReport()
        after = 0
        while True:
            rows = self._state.quarantine.list_pending(meant, after=after, limit=CHUNK_ROWS)
            if not rows:
                break
            after = rows[-1].id
            results = self._try(rows, reader)
            report.num_released += self._state.quarantine.settle(results, self._clock())
            report.num_tried += len(rows)
            report.reasons.update(one.reason for one in results if one.reason is not None)
            report.results.extend(results)
        report.missing_mappings = reader.missing
        return report

    def _try(self, rows: Sequence[QuarantineRow], reader: _Reader) -> list[ReleaseResult]:
        readings = [reader.reread(row) for row in rows]
        incoming = [
            _completed(record, row)
            for row, reading in zip(rows, readings, strict=True)
            for record in reading.incoming
        ]
        future = self._ingestor.submit(
            incoming,
            door=DOOR,
            received_at=self._clock(),
            default_source=DOOR,
            sightings=[one for reading in readings for one in reading.sightings],
            holds=False,
        )
        results = iter(future.result())
        settled = []
        for row, reading in zip(rows, readings, strict=True):
            answers = reading.in_order([next(results) for _ in reading.incoming])
            _, outcome, reason = answers[0]
            if outcome in (Outcome.STORED, Outcome.DUPLICATE):
                settled.append(ReleaseResult(row.id, outcome=outcome.word))
            else:
                settled.append(ReleaseResult(row.id, reason=reason or outcome.word))
        return settled


def _completed(record: Incoming, row: QuarantineRow) -> Incoming:
    """The record with what the door knew when it first came."""
    if record.fields is None:
        return record
    fields = dict(record.fields)
    for name, value in (
        ("event_id", row.fallback_event_id),
        ("tenant_id", row.entry.tenant_id),
        ("source", DEFAULT_SOURCES.get(row.entry.door, row.entry.door)),
    ):
        if fields.get(name) is None and value is not None:
            fields[name] = value
    return record._replace(fields=fields)


class _Reader:
    """Reads records again as their doors would, for the time of one release."""

    def __init__(
        self,
        mappings: Mapping[str, SourceMapping],
        imported: ImportedRowReader,
        is_past: Callable[[Sighting], bool],
    ) -> None:
        self._mappings = mappings
        self._imported = imported
        self._is_past = is_past
        self.missing: Counter[str] = Counter()  #: rows by the name of a mapping that nobody knows

    def reread(self, row: QuarantineRow) -> Reading:
        """Read one record; one message, always."""
        entry = row.entry
        if entry.event_id is not None:
            return Reading((self._imported_row(entry),))
        try:
            if entry.door == "segment":
                return segment.reread(
                    entry.raw,
                    received_at=entry.received_at,
                    mapping=self._mappings["segment"],
                    bound_tenant=entry.tenant_id,
                    is_past=self._is_past,
                )
            if entry.door == "cloudevents":
                return cloudevents.reread(entry.raw, mapping=self._mappings["cloudevents"])
        except BadRequest:  # it is as unreadable as it was
            return Reading((Incoming(None, entry.raw, "invalid_json"),))
        return Reading((decode_record(entry.raw),))

    def _imported_row(self, entry: QuarantineEntry) -> Incoming | Aside:
        mapping = None
        if entry.mapping is not None:
            mapping = self._mappings.get(entry.mapping)
            if mapping is None:
                self.missing[entry.mapping] += 1
                return Aside(None, Outcome.REFUSED, entry.reason)
        return self._imported.reread(entry, mapping)
