"""Past projections are scored by what happened, and only once it did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ebbtide.domain.resource import Edge, EdgeKind, StoredProjection
from ebbtide.limits.score import score

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def said(day: int, low: float | None, middle: float | None, high: float | None) -> StoredProjection:
    status = "stable" if middle is None else "growing"
    return StoredProjection(
        "disk", START + day * DAY, "days_to_limit/1", 50, 100, status, middle, low, high, 1.0,
        99, 10.0, 0, True,
    )  # fmt: skip


def reached(day: float) -> Edge:
    return Edge("disk", START + day * DAY, EdgeKind.EXHAUSTED, 100, 100)


def test_inside_and_outside() -> None:
    projections = [said(0, 8, 9, 11), said(1, 10, 12, 14), said(2, 6, 9, None)]
    found = score(projections, [reached(10)], START + 10 * DAY)
    assert (found.num_projections, found.num_settled) == (3, 3)
    assert found.inside == pytest.approx(2 / 3)  # on day 1 it was nine days away, not ten
    assert found.median_error_days == pytest.approx(1)


def test_what_may_still_come_true_is_not_settled() -> None:
    found = score([said(0, 8, 9, 11)], [], START + 10 * DAY)
    assert (found.num_projections, found.num_settled, found.inside) == (1, 0, None)


def test_an_overdue_projection_was_wrong_and_has_no_error() -> None:
    found = score([said(0, 8, 9, 11)], [], START + 12 * DAY)
    assert (found.num_settled, found.inside, found.median_error_days) == (1, 0, None)


def test_stable_named_no_day() -> None:
    assert score([said(0, None, None, None)], [reached(5)], START + 9 * DAY).num_projections == 0
