"""Every case under tests/metrics, on every engine: given these events, a metric has these rows.

A case is ``tests/metrics/<metric>/<what_it_shows>.toml``: ``why`` (said when it fails), ``as_of``,
perhaps ``known_at`` and ``since``, ``[[given]]`` events (``tenant``, ``type``, ``at``, and any
field of an event; ``times`` repeats one), and ``[[expect]]`` rows, each with the columns that
matter. No ``[[expect]]`` means no row.
"""

from __future__ import annotations

import json
import tomllib
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ebbtide.catalog.loader import load_catalog
from ebbtide.domain.event import PROMOTED_METADATA, Event
from ebbtide.metrics.compute import compute_metric
from ebbtide.store.events.base import EventStore, to_batch
from event_factory import make_event

ROOT = Path(__file__).parents[1] / "metrics"
CASES = sorted(ROOT.glob("*/*.toml"))
METRICS = load_catalog().metrics
SECOND = timedelta(seconds=1)


def read_case(path: Path) -> dict[str, Any]:
    """The case, with exact numbers."""
    case: dict[str, Any] = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    unknown = case.keys() - {"why", "as_of", "known_at", "since", "given", "expect"}
    assert not unknown, f"{path}: unknown {unknown}"
    return case


def events_of(given: list[dict[str, Any]]) -> list[Event]:
    """The events of a case; keys of metadata that have a column fill it."""
    events = []
    for number, one in enumerate(given):
        details = dict(one)
        tenant, kind, at = (details.pop(key) for key in ("tenant", "type", "at"))
        metadata = details.pop("metadata", {})
        copies = {key: metadata[key] for key in PROMOTED_METADATA.keys() & metadata.keys()}
        for turn in range(details.pop("times", 1)):
            events.append(
                make_event(
                    f"{number}-{turn}",
                    tenant_id=tenant,
                    event_type=kind,
                    timestamp=at,
                    metadata_json=json.dumps(metadata, separators=(",", ":"), default=float),
                    **copies,
                    **details,
                )
            )
    return events


def test_there_are_cases() -> None:
    assert len(CASES) >= 10
    assert {path.parent.name for path in CASES} <= METRICS.keys()


def test_every_metric_of_the_operator_has_a_case() -> None:
    prefixes = ("pulse_", "incident_", "policy_version", "pattern_")
    mine = {name for name in METRICS if name.startswith(prefixes)}
    assert mine - {path.parent.name for path in CASES} == set()


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_case_holds(path: Path, store: EventStore) -> None:
    case = read_case(path)
    if events := events_of(case.get("given", [])):
        store.append(to_batch(events))
    table = compute_metric(
        METRICS[path.parent.name],
        case["as_of"],
        store,
        known_at=case.get("known_at"),
        since=case.get("since"),
    )
    found = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    expected = case.get("expect", [])
    shown = [{key: row[key] for key in want} for row, want in zip(found, expected, strict=False)]
    # TOML knows no null; a case writes it as the word.
    wanted = [{k: None if v == "null" else v for k, v in row.items()} for row in expected]
    assert (len(found), shown) == (len(expected), wanted), case["why"]
    for row in found:
        for value in row.values():
            assert value is None or isinstance(value, int | str | Decimal | datetime), row
