"""The event store port: what every engine promises, and the columns they all share.

A store holds two relations that portable SQL may name:

``events``
    one row per stored event, columns as in :data:`EVENT_SCHEMA`.
``event_rollup``
    additive hourly sums, columns as in :data:`ROLLUP_COLUMNS`. Several rows may stand for one
    (tenant, hour, type): a reader always sums. ``hour_end`` labels the hours ``(hour_end - 1 h,
    hour_end]``, half-open on the left like every window here, so that a window whose ends lie
    on full hours is answered from the roll-up alone.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ebbtide.domain.errors import QueryError
from ebbtide.domain.event import COST_DECIMALS, Event

_text = pa.string()
_instant = pa.timestamp("us", tz="UTC")

#: The one columnar shape in which events enter a store, HTTP and bulk alike.
#: ``event_uuid`` is 16 raw bytes, big-endian; ``event_id`` is null when the producer sent the
#: canonical UUID text itself. Column order equals the tables of every engine.
EVENT_SCHEMA = pa.schema(
    [
        pa.field("event_uuid", pa.binary(16), nullable=False),
        pa.field("event_id", _text),
        pa.field("timestamp", _instant, nullable=False),
        pa.field("received_at", _instant, nullable=False),
        pa.field("tenant_id", _text, nullable=False),
        pa.field("user_id", _text),
        pa.field("session_id", _text),
        pa.field("event_type", _text, nullable=False),
        pa.field("entity_type", _text),
        pa.field("entity_id", _text),
        pa.field("severity", pa.int8()),
        pa.field("latency_ms", pa.int64()),
        pa.field("cost_usd", pa.decimal128(18, COST_DECIMALS)),
        pa.field("source", _text, nullable=False),
        pa.field("metadata", _text, nullable=False),
        pa.field("model", _text),
        pa.field("policy_id", _text),
        pa.field("policy_version", _text),
        pa.field("status_code", pa.int32()),
        pa.field("attribution", _text),
        pa.field("error_type", _text),
        pa.field("tokens_in", pa.int64()),
        pa.field("tokens_out", pa.int64()),
        pa.field("resource", _text),
        pa.field("plan", _text),
    ]
)

EVENT_COLUMNS: tuple[str, ...] = tuple(EVENT_SCHEMA.names)
_TYPES = [_instant if field.type == _instant else field.type for field in EVENT_SCHEMA]

#: Columns of ``event_rollup``; sums are exact (integers and decimals), never floats.
ROLLUP_COLUMNS: tuple[str, ...] = (
    "tenant_id",
    "hour_end",
    "event_type",
    "num",  # events
    "num_cost",  # events whose cost is known
    "cost_usd",  # sum of known costs; null when none is known
    "num_latency",  # events whose latency is known
    "latency_ms",  # sum of known latencies; null when none is known
    "first_at",  # earliest timestamp
    "last_at",  # newest timestamp
    "last_received_at",  # newest received_at
)

Outcomes = npt.NDArray[np.uint8]  #: one domain.event.Outcome value per row, in row order


@dataclass(frozen=True, slots=True)
class Durability:
    """What an acknowledgement means on one engine, said as it is."""

    survives_process_kill: bool
    survives_power_cut: bool
    note: str


class Change(NamedTuple):
    """Events of one tenant and type that came in; when the first and the newest happened.

    The two moments may reach further than what is new: hours are reported as a whole.
    """

    tenant_id: str
    event_type: str
    first_at: datetime
    last_at: datetime


class EventStore(ABC):
    """Append-only events with exactly-once identity, and portable SQL over them.

    Threads: ``append`` is called by one thread at a time; ``query`` by any number beside it.
    """

    #: engine word as in EBBTIDE_EVENTS_URL
    engine: str
    durability: Durability
    #: So many tenants named in a question that sums up cost no more than reading all of them.
    tenants_named_max: int = 500

    @abstractmethod
    def migrate(self) -> list[int]:
        """Bring the schema up to date; returns the numbers applied now, empty when none were.

        Raises:
            SchemaTooNew: the store was written by a newer program.
            MigrationError: a stored checksum differs from the file, or a step failed.
        """

    @abstractmethod
    def append(self, batch: pa.RecordBatch) -> Outcomes:
        """Store the events that are new and say for every row what became of it.

        Events and their roll-up are one transaction where the engine has any; when this
        returns, the result is durable as :attr:`durability` says. The first row of an
        identity in the batch is the one that counts.

        Args:
            batch: rows in :data:`EVENT_SCHEMA`; at most a few 100,000.

        Returns:
            STORED, DUPLICATE (same content, see :func:`same_content`) or CONFLICT per row.

        Raises:
            StoreUnavailable: nothing of the batch is acknowledged; a retry is safe.
            StorageFull: the same, for want of space.
            StoreRefused: the engine would not take a row; nothing of the batch was stored.
        """

    @abstractmethod
    def query(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one portable read and return its rows.

        Args:
            sql: portable SQL with ``:name`` parameters; a sequence value expands inside
                ``IN (:name)``. An empty sequence is a :class:`QueryError`.
            params: str, int, bool, Decimal, UTC-aware datetime, None, or a sequence of them.

        Returns:
            Tuples of int, str, Decimal, float, bool, None and UTC-aware datetime; a UUID comes
            as its lower-case text. Empty when nothing matched.
        """

    @abstractmethod
    def query_arrow(self, sql: str, params: Mapping[str, Any] | None = None) -> pa.Table:
        """The same read as one columnar table, for large answers."""

    def newest_change(self) -> int:
        """The number from which on :meth:`changes` tells all that readers cannot see yet.

        Raises:
            StoreUnavailable: the store cannot answer.
        """
        return self.changes(0)[1]

    @abstractmethod
    def changes(self, since: int) -> tuple[list[Change], int]:
        """Whose events of which type were stored since an earlier call, and when they happened.

        Every event that was committed between the call that returned ``since`` and this one is
        covered by a row; events that were reported before may be covered again. Neither
        ``timestamp`` nor ``received_at`` could tell: both are older than the commit. An erasure
        is not reported.

        Args:
            since: what an earlier call on this database returned; 0 means everything.

        Returns:
            One row per tenant and type, in their order, and the next ``since``.
        """

    @abstractmethod
    def erase_tenant(self, tenant_id: str) -> int:
        """Delete a tenant's events and roll-up for good; returns how many events went."""

    @abstractmethod
    def storage_bytes(self) -> int | None:
        """Bytes this store takes on disk, or None when the engine cannot say."""

    @abstractmethod
    def ping(self) -> None:
        """Return when the store answers; raise StoreUnavailable when it does not."""

    @abstractmethod
    def close(self) -> None:
        """Release files and connections; the store is not usable after it."""

    def maintain(self) -> bool:
        """Do a bounded piece of upkeep (compaction, checkpoint); called when ingest is idle.

        Returns:
            Whether more is due: then it is called again soon, also between two commits.
        """
        return False


def to_batch(events: Sequence[Event]) -> pa.RecordBatch:
    """Lay validated events out in columns.

    Args:
        events: at least one event.
    """
    columns = list(zip(*events, strict=True))
    n = len(events)
    uuids = bytes.fromhex("".join(columns[0]).replace("-", ""))
    arrays = [pa.Array.from_buffers(_TYPES[0], n, [None, pa.py_buffer(uuids)])]
    if columns[0] == columns[1]:
        arrays.append(pa.nulls(n, _text))
    else:
        pairs = zip(columns[0], columns[1], strict=True)
        arrays.append(pa.array([sent if sent != uuid else None for uuid, sent in pairs], _text))
    for kind, values in zip(_TYPES[2:], columns[2:], strict=True):
        # Most columns of most batches are empty or constant, and then need no conversion.
        first = values[0]
        if (first is None or kind is _instant) and values.count(first) == n:
            made = pa.nulls(n, kind) if first is None else pa.repeat(pa.scalar(first, kind), n)
        else:
            made = pa.array(values, kind)
        arrays.append(made)
    return pa.RecordBatch.from_arrays(arrays, schema=EVENT_SCHEMA)


#: Columns that are identity or bookkeeping, and so no part of an event's content.
NOT_CONTENT = frozenset({"event_uuid", "event_id", "tenant_id", "received_at", "source"})
CONTENT_COLUMNS: tuple[str, ...] = tuple(c for c in EVENT_COLUMNS if c not in NOT_CONTENT)

#: Metadata key of events whose timestamp we corrected for the sender's clock: the time as it was
#: sent, null when none was. The correction differs a little with every attempt, this does not.
ORIGINAL_TIMESTAMP = "original_timestamp"

#: Metadata key of events whose cost we worked out ourselves: the price table that it came from.
#: The sender said neither, and the table may be another one when the event comes again.
COST_TABLE = "cost_table"


def same_content(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two rows of one identity say the same.

    Absent equals null, numbers compare by value (1 = 1.0), the same instant is the same,
    metadata compares as data and ``{}`` equals absent. A null inside metadata is content.
    A timestamp that we computed compares by what the sender said (:data:`ORIGINAL_TIMESTAMP`),
    and so does a cost (:data:`COST_TABLE`).
    """
    import json

    texts = [row.get("metadata") or "{}" for row in (one, other)]
    # Equal texts are equal data; only others need to be read.
    if texts[0] != texts[1]:
        data = [json.loads(text) for text in texts]
        for each in data:
            each.pop(COST_TABLE, None)
        if not _same_json(*data):
            return False
    ours = {"metadata", "cost_usd"}
    if _has_key(texts[0], ORIGINAL_TIMESTAMP):
        ours.add("timestamp")
    costs = [
        None if _has_key(text, COST_TABLE) else row.get("cost_usd")
        for text, row in zip(texts, (one, other), strict=True)
    ]
    return costs[0] == costs[1] and all(
        one.get(name) == other.get(name) for name in CONTENT_COLUMNS if name not in ours
    )


def _has_key(metadata: str, key: str) -> bool:
    """Whether metadata name a key; seldom do they, and then they need not be read."""
    import json

    return key in metadata and key in json.loads(metadata)


def _same_json(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: numbers by value, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same_json(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same_json, one, other))
    return bool(one == other)


# A parameter is a colon and a name, outside of quotes and comments, and not a cast (``::``).
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|::|:([a-z_][a-z0-9_]*)", re.S)


def bind(
    sql: str,
    params: Mapping[str, Any],
    placeholder: Any,
) -> tuple[str, dict[str, Any]]:
    """Turn ``:name`` parameters into an engine's own placeholders.

    Args:
        sql: portable SQL.
        params: values by name; a list or tuple expands to as many placeholders.
        placeholder: function ``(name, value) -> text`` that writes one placeholder.

    Returns:
        The engine's text and the flat values by their (expanded) names.

    Raises:
        QueryError: a parameter has no value, a sequence is empty, or a moment names no zone.
    """
    flat: dict[str, Any] = {}

    def write(key: str, name: str, value: Any) -> str:
        if isinstance(value, datetime) and value.tzinfo is None:
            raise QueryError(f"the moment given for :{name} names no time zone")
        flat[key] = value
        return str(placeholder(key, value))

    def one(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return match.group(0)
        if name not in params:
            raise QueryError(f"the query names :{name}, but no value was given for it")
        value = params[name]
        if isinstance(value, list | tuple | set | frozenset):
            if not value:
                raise QueryError(f"the list given for :{name} is empty")
            # Two underscores keep :kinds of two values apart from a parameter named :kinds_1.
            return ", ".join(write(f"{name}__{i}", name, item) for i, item in enumerate(value))
        return write(name, name, value)

    return _TOKEN.sub(one, sql), flat


def split_statements(script: str) -> Iterable[str]:
    """The statements of a migration file, split at semicolons that end a line."""
    for part in re.split(r";[ \t]*(?:\n|$)", script):
        if re.sub(r"--[^\n]*", "", part).strip():
            yield part.strip()
