"""Every case of every metric, on every engine, by the roll-up and by the events alone."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from case import Rows, case_files, comparable, only, read_case

from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.metric import FRESHNESS
from ebbtide.metrics.compute import MetricTable, compute_metric, compute_metric_arrow
from ebbtide.metrics.lineage import trace_columns
from ebbtide.store.events.base import EventStore, to_batch

METRICS = load_catalog().metrics
_numbers = count()


def _name(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


@pytest.mark.parametrize("path", case_files(), ids=_name)
def test_a_case_holds(path: Path, store: EventStore) -> None:
    case = read_case(path)
    metric = METRICS[case.metric]
    suffix = f"~{next(_numbers)}"  # one store holds the tenants of all cases
    events = case.events(suffix)
    # In two commits, the newest first: what came late counts where it happened.
    half = len(events) // 2
    for part in (events[half:], events[:half]):
        if part:
            assert not any(store.append(to_batch(part))), "an event of the case was not stored"
    expected = comparable(metric, case.expect)
    counted = {event.received_at for event in events}

    def check(known_at: object, how: str) -> MetricTable:
        table = compute_metric(
            metric,
            case.as_of,
            store,
            known_at=known_at,  # type: ignore[arg-type]
            tenants={event.tenant_id for event in events} or {f"nobody{suffix}"},
            since=case.since,
        )
        rows: Rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        for row in rows:
            if "tenant_id" in row:
                row["tenant_id"] = row["tenant_id"].removesuffix(suffix)
        rows = comparable(metric, rows)
        assert len(rows) == len(expected), f"{how}{case.why}\n{rows}"
        shown = [only(row, meant) for row, meant in zip(rows, expected, strict=True)]
        assert shown == expected, f"{how}{case.why}"
        assert table.freshness is None or table.freshness in counted
        return table

    table = check(case.known_at, "")
    if case.known_at is None and counted:
        raw = check(max(counted), "from the events alone: ")
        assert raw.freshness == table.freshness


@pytest.mark.parametrize("name", METRICS)
def test_the_header_names_the_columns_of_the_answer(name: str, store: EventStore) -> None:
    metric = METRICS[name]
    as_of = read_case(next(path for path in case_files() if path.parent.name == name)).as_of
    table = compute_metric_arrow(metric, as_of, store)
    assert table.column_names == [*metric.columns, FRESHNESS]


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_a_case(name: str) -> None:
    assert any(path.parent.name == name for path in case_files()), (
        f"tests/metrics/{name} holds no case"
    )


def test_every_case_is_of_a_metric_and_says_why() -> None:
    for path in case_files():
        assert path.parent.name in METRICS, path
        why = read_case(path).why
        assert why.endswith(".") and len(why.split()) > 3, f"{path.name}: {why}"


@pytest.mark.parametrize("name", METRICS)
def test_no_column_is_without_lineage(name: str) -> None:
    """What cannot be traced to stored columns raises; freshness comes from arrival."""
    metric = METRICS[name]
    traced = trace_columns(metric)
    assert list(traced) == [*metric.columns, FRESHNESS]
    assert all(traced.values())
    assert {one.rpartition(".")[2] for one in traced[FRESHNESS]} <= {
        "received_at",
        "last_received_at",
    }
