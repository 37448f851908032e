"""Reads one case of a metric: what happened, and what the metric then says.

A case is a TOML file ``tests/metrics/<metric>/<what_it_shows>.toml``:

``why``
    one sentence, shown when the case fails.
``as_of``, ``known_at``, ``since``
    the moments asked for; the last two may be left out.
``given``
    events: ``tenant``, ``type`` and ``at``, any further column of an event, ``metadata`` as a
    table, and ``times`` for several that are alike but for their id. May be left out: nothing
    happened.
``expect``
    all rows, in the order of the answer where the metric has one; each with the columns that the
    case is about. ``"null"`` stands for no value. May be left out: no row.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ebbtide.catalog.metric import MetricDefinition
from ebbtide.domain.event import PROMOTED_METADATA, Event
from ebbtide.domain.time import ceil_hour
from event_factory import make_event

FOLDER = Path(__file__).parent

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """One file; ``given`` and ``expect`` as they are written."""

    metric: str
    name: str
    why: str
    as_of: datetime
    known_at: datetime | None
    since: datetime | None
    given: Rows
    expect: Rows

    def events(self, suffix: str) -> list[Event]:
        """What happened, with a suffix that keeps the tenants of cases apart."""
        events = []
        for number, one in enumerate(self.given):
            details = dict(one)
            details["tenant_id"] = details.pop("tenant") + suffix
            details["event_type"] = details.pop("type")
            details["timestamp"] = details.pop("at")
            if "cost_usd" in details:
                details["cost_usd"] = Decimal(details["cost_usd"])
            if "metadata" in details:
                metadata = details.pop("metadata")
                details["metadata_json"] = json.dumps(
                    metadata, separators=(",", ":"), default=float
                )
                details |= {k: v for k, v in metadata.items() if k in PROMOTED_METADATA}
            for i in range(details.pop("times", 1)):
                event_id = f"{self.metric} {self.name} {number} {i}"
                events.append(make_event(**{"event_id": event_id, **details}))
        return events


def read_case(path: Path) -> Case:
    """Read one file; a key that does not belong into it is a mistake."""
    table = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    case = Case(
        metric=path.parent.name,
        name=path.stem,
        why=table.pop("why"),
        as_of=table.pop("as_of"),
        known_at=table.pop("known_at", None),
        since=table.pop("since", None),
        given=table.pop("given", []),
        expect=table.pop("expect", []),
    )
    assert not table, f"{path.name}: unknown keys {sorted(table)}"
    return case


def case_files() -> list[Path]:
    """All cases, by metric."""
    return sorted(FOLDER.glob("*/*.toml"))


def comparable(metric: MetricDefinition, rows: Rows) -> Rows:
    """Rows as they are compared: decimals as plain numbers, in an order.

    Counts with their newest moment are additive within an hour, and engines may cut an hour into
    several rows; here it is one.
    """
    rows = [{name: _value(value) for name, value in row.items()} for row in rows]
    if {"num", "last_at"} <= set(metric.columns):
        hours: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in rows:
            key = (ceil_hour(row["last_at"]), row["tenant_id"], row["event_type"])
            if key in hours:
                hours[key]["num"] += row["num"]
                hours[key]["last_at"] = max(hours[key]["last_at"], row["last_at"])
            else:
                hours[key] = row
        rows = list(hours.values())
    if "ORDER BY" not in metric.sql:
        rows.sort(key=lambda row: repr(sorted(row.items())))
    return rows


def only(row: dict[str, Any], columns: dict[str, Any]) -> dict[str, Any]:
    """The columns of a row that an expected row names."""
    return {name: row[name] for name in columns}


def _value(value: Any) -> Any:
    if value == "null":
        return None
    return value.normalize() if isinstance(value, Decimal) else value
