"""Tries quarantined records again, with the mappings of now, on the one path of every event."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ebbtide.catalog.mapping import SourceMapping
from ebbtide.domain.errors import BadRequest
from ebbtide.domain.event import Outcome
from ebbtide.domain.quarantine import QuarantineFilter, QuarantineRow, ReleaseResult
from ebbtide.ingest import cloudevents, segment
from ebbtide.ingest.decode import decode_record
from ebbtide.ingest.incoming import Incoming, Reading
from ebbtide.ingest.ingestor import DEFAULT_SOURCES, Ingestor
from ebbtide.ingest.mappings import Mappings
from ebbtide.ingest.translate import UNMAPPED, translate
from ebbtide.store.state.base import StateStore

CHUNK_ROWS = 500
DOOR = "release"


@dataclass(slots=True)
class ReleaseReport:
    """What one release did."""

    num_tried: int = 0
    num_released: int = 0
    num_remaining: int = 0
    results: list[ReleaseResult] = field(default_factory=list)


class Releaser:
    """Lets quarantined records in once they pass."""

    def __init__(
        self,
        ingestor: Ingestor,
        state: StateStore,
        mappings: Mappings,
        clock: Callable[[], datetime],
    ) -> None:
        self._ingestor = ingestor
        self._state = state
        self._mappings = mappings
        self._clock = clock

    def release(self, meant: QuarantineFilter) -> ReleaseReport:
        """Try every pending row that is meant, oldest first.

        A row whose record is stored now, or was stored before, is settled; the others stay
        with the reason of this attempt. A crash in between repeats rows, which then come out
        as duplicates: a record without an id of its own is stored under one made from its row.

        Raises:
            MappingError: a mapping file is broken; nothing was tried.
            StoreUnavailable: a store cannot answer; rows settled so far stay settled.
        """
        mappings = self._mappings.reload()
        report = ReleaseReport()
        after = 0
        while True:
            rows = self._state.quarantine.list_pending(meant, after=after, limit=CHUNK_ROWS)
            if not rows:
                break
            after = rows[-1].id
            results = self._try(rows, mappings)
            report.num_released += self._state.quarantine.settle(results, self._clock())
            report.num_tried += len(rows)
            report.results.extend(results)
        report.num_remaining = sum(self._state.quarantine.count_by_reason(meant).values())
        return report

    def _try(
        self, rows: Sequence[QuarantineRow], mappings: Mapping[str, SourceMapping]
    ) -> list[ReleaseResult]:
        readings = [_reread(row, mappings) for row in rows]
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


def _reread(row: QuarantineRow, mappings: Mapping[str, SourceMapping]) -> Reading:
    """Read a record again as its door would; one message, always."""
    entry = row.entry
    door, _, source = entry.door.partition(":")
    try:
        if door == "segment":
            return segment.reread(
                entry.raw,
                received_at=entry.received_at,
                mapping=mappings["segment"],
                bound_tenant=entry.tenant_id,
            )
        if door == "cloudevents":
            return cloudevents.reread(entry.raw, mapping=mappings["cloudevents"])
    except BadRequest:  # it is as unreadable as it was
        return Reading((Incoming(None, entry.raw, "invalid_json"),))
    return Reading((_mapped(decode_record(entry.raw), mappings.get(source)),))


def _mapped(record: Incoming, mapping: SourceMapping | None) -> Incoming:
    """A row of an imported file, by the mapping of its source; our own records as they are."""
    if mapping is None or record.fields is None or "event_type" in record.fields:
        return record
    fields = translate(mapping, record.fields)
    return Incoming(fields, record.raw, None if fields is not None else UNMAPPED)
