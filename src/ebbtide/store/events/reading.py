"""Reads stored events back, newest first, as of any moment."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from ebbtide.domain.errors import BadRequest
from ebbtide.domain.event import Event
from ebbtide.domain.ids import is_uuid_form, to_uuid_text
from ebbtide.domain.time import EPOCH, format_instant, parse_instant
from ebbtide.store.events.base import EVENT_COLUMNS, EventStore
from ebbtide.store.events.relations import event_counts

PAGE_MAX = 1000
#: Columns of :attr:`EventFilter.said`.
SAID_COLUMNS = ("source", "model", "policy_id", "policy_version", "resource")
#: Parts of the window in which the newest events are looked for before all of it is read.
_STRIDES = (timedelta(hours=1), timedelta(days=1), timedelta(days=30))
_COST_SHOWN = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are meant; None means any.

    ``as_of`` hides events with a later timestamp, ``known_at`` those received later.
    ``since`` is exclusive, like every start of a window.
    """

    tenant_id: str | None = None
    event_type: str | None = None
    event_id: str | None = None
    user_id: str | None = None
    since: datetime | None = None
    as_of: datetime | None = None
    known_at: datetime | None = None
    event_types: Collection[str] | None = None  # any of these
    session_id: str | None = None
    said: Mapping[str, str | None] | None = None  # by SAID_COLUMNS; None: the event does not say


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events, newest first, and where the next page begins (None at the end)."""

    events: list[Event]
    next_cursor: str | None


def read_events(
    store: EventStore,
    meant: EventFilter,
    *,
    cursor: str | None = None,
    limit: int = 100,
) -> EventPage:
    """One page of events.

    Args:
        meant: see :class:`EventFilter`; ``tenant_id`` in the store's spelling.
        cursor: ``next_cursor`` of the page before.
        limit: events per page, at most :data:`PAGE_MAX`.

    Returns:
        Empty when nothing matches.

    Raises:
        BadRequest: the cursor is not one of ours.
    """
    conditions, params = _conditions(meant)
    if not conditions:
        return EventPage([], None)
    if cursor is not None:
        moment, uuid = _read_cursor(cursor)
        conditions.append("(timestamp < :at OR (timestamp = :at AND event_uuid < :after))")
        params |= {"at": moment, "after": uuid}
    text = (
        f"SELECT {', '.join(EVENT_COLUMNS)} FROM events WHERE {' AND '.join(conditions)}"
        f" ORDER BY timestamp DESC, event_uuid DESC LIMIT {min(limit, PAGE_MAX) + 1}"
    )
    rows: Sequence[tuple[Any, ...]] = ()
    for since in _starts(meant, params):
        rows = store.query(text, params | {"since": since})
        if len(rows) > limit:
            break  # the newest ones are all in this part of the window
    events = [Event(row[0], row[1] or row[0], *row[2:]) for row in rows[:limit]]
    more = len(rows) > limit
    return EventPage(events, _write_cursor(events[-1]) if more else None)


def _starts(meant: EventFilter, params: Mapping[str, Any]) -> Iterator[datetime]:
    """Where to begin to look: near the end of the window first, since few events are wanted."""
    end = params.get("at", meant.as_of)
    since: datetime = params["since"]
    if end is not None:
        for length in _STRIDES:
            if since + length < end:
                yield end - length
    yield since


def count_events(store: EventStore, meant: EventFilter) -> int:
    """How many events are meant, on all pages."""
    conditions, params = _conditions(meant)
    if not conditions:
        return 0
    if meant.as_of is not None and _is_counted_by_hours(meant):
        types = meant.event_types if meant.event_type is None else (meant.event_type,)
        relation, asked = event_counts(
            meant.since,
            meant.as_of,
            event_types=None if types is None else sorted(types),
            tenants=None if meant.tenant_id is None else [meant.tenant_id],
        )
        found = store.query(f"SELECT SUM(num) FROM {relation} AS counted", asked)[0][0]
        return int(found or 0)
    text = f"SELECT COUNT(*) FROM events WHERE {' AND '.join(conditions)}"
    return int(store.query(text, params)[0][0])


def _is_counted_by_hours(meant: EventFilter) -> bool:
    """Whether the counts by the hour say enough: they know customer and type, and no more."""
    both = meant.event_type is not None and meant.event_types is not None
    others = (meant.event_id, meant.user_id, meant.session_id, meant.known_at)
    return not both and not meant.said and all(one is None for one in others)


def _conditions(meant: EventFilter) -> tuple[list[str], dict[str, Any]]:
    """The filter as portable SQL with its parameters; empty when nothing can match."""
    exact = {
        "tenant_id": meant.tenant_id,
        "event_type": meant.event_type,
        "user_id": meant.user_id,
        "session_id": meant.session_id,
    }
    said = meant.said or {}
    if not said.keys() <= set(SAID_COLUMNS):
        raise ValueError(f"events are chosen by {', '.join(SAID_COLUMNS)}")
    texts = [*exact.values(), meant.event_id, *said.values()]
    if any("\0" in text for text in texts if text is not None):
        return [], {}  # no stored text has one, and PostgreSQL refuses to be asked
    conditions = []
    params: dict[str, Any] = {}
    for column, value in exact.items():
        if value is not None:
            conditions.append(f"{column} = :{column}")
            params[column] = value
    for column, value in said.items():
        if value is None:
            conditions.append(f"{column} IS NULL")
        else:
            conditions.append(f"{column} = :{column}")
            params[column] = value
    if meant.event_types is not None:
        if not meant.event_types:
            return [], {}
        conditions.append("event_type IN (:event_types)")
        params["event_types"] = sorted(meant.event_types)
    if meant.event_id is not None:
        conditions.append("event_uuid = :event_uuid")
        params["event_uuid"] = to_uuid_text(meant.event_id)
    conditions.append("timestamp > :since")
    params["since"] = meant.since or EPOCH.replace(year=1969)
    if meant.as_of is not None:
        conditions.append("timestamp <= :as_of")
        params["as_of"] = meant.as_of
    if meant.known_at is not None:
        conditions.append("received_at <= :known_at")
        params["known_at"] = meant.known_at
    return conditions, params


def to_json(event: Event) -> dict[str, Any]:
    """An event as the API shows it: ids as sent, money with 6 decimals, UTC."""
    return {
        "event_id": event.event_id,
        "event_uuid": event.event_uuid,
        "timestamp": format_instant(event.timestamp),
        "received_at": format_instant(event.received_at),
        "tenant_id": event.tenant_id,
        "tenant_uuid": to_uuid_text(event.tenant_id),
        "user_id": event.user_id,
        "session_id": event.session_id,
        "event_type": event.event_type,
        "entity_type": event.entity_type,
        "entity_id": event.entity_id,
        "severity": event.severity,
        "latency_ms": event.latency_ms,
        "cost_usd": None
        if event.cost_usd is None
        else float(event.cost_usd.quantize(_COST_SHOWN, ROUND_HALF_UP)),
        "source": event.source,
        "metadata": json.loads(event.metadata_json),
    }


def _write_cursor(event: Event) -> str:
    text = f"{format_instant(event.timestamp)} {event.event_uuid}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        text = base64.urlsafe_b64decode(cursor.encode()).decode()
        moment, _, uuid = text.partition(" ")
        if not is_uuid_form(uuid):
            raise ValueError("no UUID")
        return parse_instant(moment), uuid.lower()
    except (binascii.Error, ValueError) as error:
        raise BadRequest("this cursor is not one of ours") from error
