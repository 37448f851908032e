"""Turns a metric's definition, a moment and a store into rows that know what they rest on."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from ebbtide.catalog.metric import FRESHNESS, MetricDefinition
from ebbtide.store.events.base import EventStore
from ebbtide.store.events.relations import Relation, event_counts, events_within

#: More tenants than this are not named to any engine: it reads all, and the others are left out
#: afterwards. Answers of many rows gain by names as long as these are few; sums gain less, see
#: :attr:`EventStore.tenants_named_max`.
TENANTS_NAMED_MAX = 500

_FIRST_MOMENT = datetime.min.replace(tzinfo=UTC)
_RELATION = re.compile(r"\b(FROM|JOIN)\s+(event_counts|events)\b(?:\s+AS\s+(\w+))?")


@dataclass(frozen=True, slots=True)
class MetricTable:
    """The answer of one metric.

    Attributes:
        metric: its name.
        columns: names, in the order of each row.
        rows: one per value of the metric's grain; what a missing row means stands in the
            definition's ``null``.
        as_of, known_at: the moment it is for, and up to which arrivals it knows (None: all).
        definition_hash: of the file it was computed by.
        freshness: the newest ``received_at`` of the events it rests on; None when there are none.
    """

    metric: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    as_of: datetime
    known_at: datetime | None
    definition_hash: str
    freshness: datetime | None

    def column(self, name: str) -> list[Any]:
        """The values of one column, in the order of the rows."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


def compute_metric(
    metric: MetricDefinition,
    as_of: datetime,
    store: EventStore,
    *,
    known_at: datetime | None = None,
    tenants: Collection[str] | None = None,
    since: datetime | None = None,
) -> MetricTable:
    """Compute one metric at a moment.

    Args:
        metric: from the catalog; its ``columns`` are those of the answer.
        as_of: UTC-aware. Events with a later ``timestamp`` do not exist yet.
        store: any engine; the cases of each metric hold that all answer alike.
        known_at: events that arrived later are left out; None means that all count.
        tenants: only these, in the store's spelling; None means all.
        since: only what came after this moment, instead of the metric's own window.

    Returns:
        Integers, exact decimals, texts and UTC moments. No row for what has no events.

    Raises:
        StoreUnavailable: the store could not answer; nothing may be put in its place.
    """
    rows: list[tuple[Any, ...]] = []
    if tenants is None or tenants:
        named = _worth_naming(metric, store, tenants)
        sql, params = metric_query(metric, as_of, known_at=known_at, tenants=named, since=since)
        rows = store.query(sql, params)
        if tenants is not None and named is None:
            wanted = frozenset(tenants)
            place = tuple(metric.columns).index("tenant_id")
            rows = [row for row in rows if row[place] in wanted]
    return MetricTable(
        metric=metric.name,
        columns=tuple(metric.columns),
        rows=[row[:-1] for row in rows],
        as_of=as_of,
        known_at=known_at,
        definition_hash=metric.definition_hash,
        freshness=max((row[-1] for row in rows), default=None),
    )


def compute_metric_arrow(
    metric: MetricDefinition,
    as_of: datetime,
    store: EventStore,
    *,
    known_at: datetime | None = None,
    tenants: Collection[str] | None = None,
    since: datetime | None = None,
) -> pa.Table:
    """The same rows as one columnar table, for hundreds of thousands of them.

    Returns:
        The metric's columns, and :data:`FRESHNESS` as the last one. With many tenants it may
        hold rows of others.
    """
    if tenants is not None and not tenants:
        names = [*metric.columns, FRESHNESS]
        return pa.table({name: pa.nulls(0) for name in names})
    named = _worth_naming(metric, store, tenants)
    sql, params = metric_query(metric, as_of, known_at=known_at, tenants=named, since=since)
    return store.query_arrow(sql, params)


def metric_query(
    metric: MetricDefinition,
    as_of: datetime,
    *,
    known_at: datetime | None = None,
    tenants: Collection[str] | None = None,
    since: datetime | None = None,
) -> Relation:
    """The text that a store is asked, with its parameters.

    The relations that the metric names are put in for their names; they hold the window, the
    types and the tenants.
    """
    starts = {f"start_{word}": _before(as_of, length) for word, length in metric.windows.items()}
    start = since
    if start is None and metric.window is not None:
        start = _before(as_of, metric.window)
    named = None if tenants is None else sorted(tenants)
    params: dict[str, Any] = {"as_of": as_of, **starts}

    def relation(match: re.Match[str]) -> str:
        keyword, name, alias = match.groups()
        if name == "events":
            text, values = events_within(
                start, as_of, known_at=known_at, event_types=metric.inputs, tenants=named
            )
        else:
            text, values = event_counts(
                start,
                as_of,
                starts.values(),
                known_at=known_at,
                event_types=metric.inputs,
                tenants=named,
            )
        prefix = f"{name}_"
        params.update({prefix + key: value for key, value in values.items()})
        return f"{keyword} {text.replace(':within_', f':{prefix}within_')} AS {alias or name}"

    return _RELATION.sub(relation, metric.sql), params


def _worth_naming(
    metric: MetricDefinition, store: EventStore, tenants: Collection[str] | None
) -> Collection[str] | None:
    """The tenants, or None when it is cheaper to read all and leave the others out."""
    if "tenant_id" not in metric.columns:
        return tenants  # its rows cannot be told apart afterwards
    sums_up = "GROUP BY" in metric.sql
    most = store.tenants_named_max if sums_up else TENANTS_NAMED_MAX
    return tenants if tenants is not None and len(tenants) <= most else None


def _before(moment: datetime, length: timedelta) -> datetime:
    """A moment so much earlier, or the first one there is."""
    try:
        return moment - length
    except OverflowError:
        return _FIRST_MOMENT
