"""Edges are told once: at 80 % of the limit, and again only after a fall below 75 %."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ebbtide.domain.resource import Origin, ResourceSample
from ebbtide.limits.edges import new_edges

START = datetime(2026, 3, 12, tzinfo=UTC)


def samples(*used: float, limit: float | None = 100.0, after: int = 0) -> list[ResourceSample]:
    return [
        ResourceSample(
            "disk", START + timedelta(minutes=5 * (after + i)), value, limit, None, Origin.GAUGE
        )
        for i, value in enumerate(used)
    ]


def kinds(*used: float) -> list[str]:
    return [edge.kind.value for edge in new_edges([], samples(*used))]


def test_exactly_80_percent_is_a_warning_and_it_comes_once() -> None:
    assert kinds(79.9, 80, 81, 90, 79, 80, 85) == ["warning"]


def test_after_a_real_fall_it_is_news_again() -> None:
    assert kinds(82, 74.9, 80) == ["warning", "cleared", "warning"]


def test_the_limit_itself_is_an_edge_of_its_own() -> None:
    assert kinds(50, 100, 105, 99, 60) == ["warning", "exhausted", "relieved", "cleared"]


def test_without_a_limit_there_is_nothing_to_cross() -> None:
    assert new_edges([], samples(1e9, limit=None)) == []
    assert new_edges([], samples(1e9, limit=0.0)) == []


@given(used=st.lists(st.floats(0, 120), max_size=40), cut=st.integers(0, 40))
def test_looking_in_two_runs_finds_the_same_edges(used: list[float], cut: int) -> None:
    whole = new_edges([], samples(*used))
    first = new_edges([], samples(*used[:cut]))
    # The second run sees everything again, as a job does.
    assert first + new_edges(first, samples(*used)) == whole
