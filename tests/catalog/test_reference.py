"""The committed reference page of the event types is the one that the definitions give."""

from __future__ import annotations

from pathlib import Path

from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.reference import event_types_page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "event-types.md"


def test_the_committed_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == event_types_page(load_catalog()), (
        "renew it: python -m ebbtide.catalog.reference > docs/reference/event-types.md"
    )


def test_the_page_shows_each_type_each_field_and_each_example() -> None:
    page = event_types_page(load_catalog())
    for kind in load_catalog().event_types.values():
        section = page.split(f"\n## {kind.name}\n")[1].split("\n## ")[0]
        assert kind.summary in section and kind.meaning in section
        assert kind.example["event_id"] in section
        for field in kind.metadata.values():
            row = next(
                line for line in section.splitlines() if line.startswith(f"| `{field.name}`")
            )
            assert field.meaning in row
            assert ("| yes |" in row) is field.required
