"""``ebbtide revenue``: money on one screen, and the same as data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from command import Command

from ebbtide.app.main import connect
from ebbtide.domain.time import format_instant


@pytest.fixture
def told(ebbtide: Command) -> Command:
    """A customer that costs more than it brings, and one that nobody knows."""
    now = datetime.now(UTC)

    def event(number: int, days_ago: float, kind: str, tenant: str, **more: Any) -> dict[str, Any]:
        return {
            "event_id": f"e-{number}",
            "timestamp": format_instant(now - timedelta(days=days_ago)),
            "tenant_id": tenant,
            "event_type": kind,
        } | more

    with connect(may_begin=True) as door:
        door.post(
            "/v1/events",
            [
                event(1, 60, "SUBSCRIPTION_STARTED", "acme", metadata={"price_usd": 49.0}),
                event(2, 1, "LLM_CALL_MADE", "acme", cost_usd=50.25),
                event(3, 1, "LOGIN", "beta"),
            ],
        )
    return ebbtide


@pytest.mark.parametrize("ebbtide", ["beside a server"], indirect=True)
def test_one_screen_says_what_is_earned_and_where_it_is_lost(told: Command) -> None:
    shown = told("revenue")
    assert "MRR            49.00 USD from 1 customer" in shown
    assert "not in it    1 customer without a word on whether they pay" in shown
    assert "Margin         -1.25 USD (-2.6 %)" in shown
    assert "critical: acme costs 1.25 USD more than it brings in 30 days" in shown
    assert "99.00 (default)" in shown
    flagged = told("revenue", "--flagged", "--limit", "1")
    assert "beta" not in flagged
    assert "1 more" in told("revenue", "--limit", "1")
    body = told.json("revenue")
    assert body["revenue"]["mrr_usd"] == 49
    assert [one["tenant_id"] for one in body["tenants"]["items"]] == ["acme", "beta"]


@pytest.mark.parametrize("ebbtide", ["alone"], indirect=True)
def test_nothing_known_is_said(ebbtide: Command) -> None:
    shown = ebbtide("revenue")
    assert "MRR            — from 0 customers (no activity)" in shown
    assert "ebbtide revenue --flagged" in ebbtide("revenue", "--help")
