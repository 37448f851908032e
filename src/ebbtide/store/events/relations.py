"""The two relations that questions are asked of: counts by the hour, and the events themselves.

Both hold one window ``(start, as_of]`` and whatever else narrows a question, so that its text
says nothing of tenants, of what was known, or of how a store keeps its sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from ebbtide.domain.time import HOUR, ceil_hour, floor_hour
from ebbtide.store.events.base import EVENT_COLUMNS, ROLLUP_COLUMNS

#: Columns of :func:`event_counts`: those of the roll-up but for its hour.
COUNT_COLUMNS: tuple[str, ...] = tuple(c for c in ROLLUP_COLUMNS if c != "hour_end")

_ROLLED = f"SELECT {', '.join(COUNT_COLUMNS)} FROM event_rollup"
_RAW = (
    "SELECT tenant_id, event_type, 1 AS num, CASE WHEN cost_usd IS NULL THEN 0 ELSE 1 END AS"
    " num_cost, cost_usd, CASE WHEN latency_ms IS NULL THEN 0 ELSE 1 END AS num_latency,"
    " latency_ms, timestamp AS first_at, timestamp AS last_at, received_at AS last_received_at"
    " FROM events"
)
_WHOLE = f"SELECT {', '.join(EVENT_COLUMNS)} FROM events"

Relation = tuple[str, dict[str, Any]]  #: a parenthesised SELECT and its parameters


def event_counts(
    start: datetime | None,
    as_of: datetime,
    cuts: Iterable[datetime] = (),
    *,
    known_at: datetime | None = None,
    event_types: Sequence[str] | None = None,
    tenants: Sequence[str] | None = None,
) -> Relation:
    """Counts of a window: full hours from the roll-up, and raw the hours that a cut goes through.

    No row straddles a cut, so ``last_at > :cut`` says exactly on which side its events lie, and
    one read answers several windows that end at ``as_of``.

    Args:
        start, as_of: the window ``(start, as_of]``, UTC-aware; a start of None means from the
            first event on.
        cuts: further moments that no row may straddle; outside of the window they mean nothing.
        known_at: when given, only events with ``received_at <= known_at`` count, so the
            roll-up (which does not know when each event came) is not used.
        event_types, tenants: only these; None means all. Neither may be empty.

    Returns:
        A relation with :data:`COUNT_COLUMNS`. Its rows are additive: sum them, take the least
        ``first_at`` and the greatest ``last_at``.
    """
    parts = _Parts(known_at, event_types, tenants)
    start, as_of = start and start.astimezone(UTC), as_of.astimezone(UTC)  # hours are of UTC
    first = None if start is None else ceil_hour(start)
    last = floor_hour(as_of)
    if known_at is not None or (first is not None and first >= last):
        parts.add(_RAW, "timestamp", start, as_of)
        return parts.relation()
    split = sorted(
        {
            floor_hour(cut)
            for cut in (cut.astimezone(UTC) for cut in cuts)
            if floor_hour(cut) < min(cut, last) and (first is None or cut > first)
        }
    )
    parts.add(_ROLLED, "hour_end", first, last, but=[hour + HOUR for hour in split])
    if first is not None and start != first:
        parts.add(_RAW, "timestamp", start, first)
    for hour in split:
        parts.add(_RAW, "timestamp", hour, hour + HOUR)
    if last != as_of:
        parts.add(_RAW, "timestamp", last, as_of)
    return parts.relation()


def events_within(
    start: datetime | None,
    as_of: datetime,
    *,
    known_at: datetime | None = None,
    event_types: Sequence[str] | None = None,
    tenants: Sequence[str] | None = None,
) -> Relation:
    """The events of a window, with the columns of ``events``; arguments as above."""
    parts = _Parts(known_at, event_types, tenants)
    parts.add(_WHOLE, "timestamp", start, as_of)
    return parts.relation()


class _Parts:
    """Selections of some stretches of time, each narrowed alike, put one below the other."""

    def __init__(
        self,
        known_at: datetime | None,
        event_types: Sequence[str] | None,
        tenants: Sequence[str] | None,
    ) -> None:
        self._params: dict[str, Any] = {}
        self._moments: dict[datetime, str] = {}
        self._texts: list[str] = []
        narrow = []
        if event_types is not None:
            narrow.append(f"event_type IN ({self._name('types', list(event_types))})")
        if tenants is not None:
            narrow.append(f"tenant_id IN ({self._name('tenants', list(tenants))})")
        if known_at is not None:
            narrow.append(f"received_at <= {self._name('known_at', known_at)}")
        self._narrow = narrow

    def _name(self, name: str, value: Any) -> str:
        self._params[f"within_{name}"] = value
        return f":within_{name}"

    def _moment(self, moment: datetime) -> str:
        if moment not in self._moments:
            self._moments[moment] = self._name(f"moment_{len(self._moments)}", moment)
        return self._moments[moment]

    def add(
        self,
        select: str,
        column: str,
        start: datetime | None,
        end: datetime,
        *,
        but: Sequence[datetime] = (),
    ) -> None:
        """Add ``(start, end]`` of a moment column, but for some moments."""
        conditions = [f"{column} <= {self._moment(end)}", *self._narrow]
        if start is not None:
            conditions.insert(0, f"{column} > {self._moment(start)}")
        conditions += [f"{column} <> {self._moment(moment)}" for moment in but]
        self._texts.append(f"{select} WHERE {' AND '.join(conditions)}")

    def relation(self) -> Relation:
        return f"({' UNION ALL '.join(self._texts)})", self._params
