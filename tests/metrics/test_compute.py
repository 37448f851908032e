"""What holds for any metric: whom it is asked of, when, and what it says of itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ebbtide.catalog.loader import load_catalog
from ebbtide.metrics import compute
from ebbtide.metrics.compute import compute_metric, compute_metric_arrow, metric_query
from ebbtide.store.events.base import EventStore, to_batch
from event_factory import NOON, make_event

METRICS = load_catalog().metrics
STICKINESS, HOURS = METRICS["stickiness"], METRICS["investigation_hours"]
DAY = timedelta(days=1)


@pytest.fixture
def ten(store: EventStore) -> list[str]:
    """Ten tenants with one view each."""
    tenants = [f"ten-{i}" for i in range(10)]
    store.append(
        to_batch(
            [
                make_event(f"view of {one}", tenant_id=one, event_type="INCIDENT_VIEWED")
                for one in tenants
            ]
        )
    )
    return tenants


@pytest.mark.parametrize("named_max", [0, 3, 100])
def test_the_answer_does_not_depend_on_how_tenants_are_picked(
    ten: list[str], store: EventStore, named_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(store), "tenants_named_max", named_max)
    monkeypatch.setattr(compute, "TENANTS_NAMED_MAX", named_max)
    for metric in (STICKINESS, HOURS):
        table = compute_metric(metric, NOON, store, tenants=ten[2:7])
        assert sorted(table.column("tenant_id")) == ten[2:7]
        assert table.freshness == NOON + timedelta(seconds=1)


def test_nobody_is_nobody_and_not_everybody(ten: list[str], store: EventStore) -> None:
    table = compute_metric(STICKINESS, NOON, store, tenants=[])
    assert table.rows == [] and table.freshness is None
    assert compute_metric_arrow(STICKINESS, NOON, store, tenants=[]).num_rows == 0
    assert compute_metric(STICKINESS, NOON, store, tenants=["unknown"]).rows == []
    assert set(ten) <= set(compute_metric(STICKINESS, NOON, store).column("tenant_id"))


def test_an_answer_names_what_it_was_computed_by(ten: list[str], store: EventStore) -> None:
    table = compute_metric(STICKINESS, NOON, store, known_at=NOON + DAY, tenants=ten[:1])
    assert (table.metric, table.as_of, table.known_at) == ("stickiness", NOON, NOON + DAY)
    assert table.definition_hash == STICKINESS.definition_hash
    assert table.columns == tuple(STICKINESS.columns)


def test_since_narrows_a_metric_over_all_history(ten: list[str], store: EventStore) -> None:
    late = [
        make_event(
            f"{i}", tenant_id="ten-0", event_type="INCIDENT_VIEWED", timestamp=NOON + i * DAY
        )
        for i in (1, 2)
    ]
    store.append(to_batch(late))
    table = compute_metric(HOURS, NOON + 9 * DAY, store, tenants=ten[:1], since=NOON + DAY)
    assert table.column("last_at") == [NOON + 2 * DAY]


def test_a_moment_near_the_beginning_of_the_calendar_has_an_answer(store: EventStore) -> None:
    for name in ("stickiness", "active_days", "activity_spans"):
        assert compute_metric(METRICS[name], datetime(1, 1, 2, tzinfo=UTC), store).rows == []


def test_the_zone_in_which_a_moment_is_written_changes_nothing(
    ten: list[str], store: EventStore
) -> None:
    """Hours of the roll-up are of UTC; Kathmandu is 5:45 ahead of it."""
    from zoneinfo import ZoneInfo

    for as_of in (NOON, NOON + timedelta(minutes=30), NOON + 7 * DAY):
        here = compute_metric(STICKINESS, as_of, store, tenants=ten)
        there = compute_metric(
            STICKINESS, as_of.astimezone(ZoneInfo("Asia/Kathmandu")), store, tenants=ten
        )
        assert here.rows == there.rows and len(here.rows) == 10


def test_a_text_and_its_parameters_can_be_shown() -> None:
    sql, params = metric_query(STICKINESS, NOON, tenants=["acme"])
    assert "event_rollup" in sql and "acme" not in sql
    assert params["as_of"] == NOON and params["start_7d"] == NOON - 7 * DAY
    assert "event_rollup" not in metric_query(STICKINESS, NOON, known_at=NOON)[0]
