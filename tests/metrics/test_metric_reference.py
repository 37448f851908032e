"""The reference page of metrics is what their definitions say."""

from __future__ import annotations

from pathlib import Path

from ebbtide.catalog.loader import load_catalog
from ebbtide.metrics.reference import metrics_page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == metrics_page(load_catalog()), "renew it: make docs"


def test_every_published_number_has_one_home() -> None:
    homes: dict[str, list[str]] = {}
    for metric in load_catalog().metrics.values():
        for name in metric.values:
            homes.setdefault(name, []).append(metric.name)
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}
